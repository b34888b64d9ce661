"""What can be written at a place of a task file, told from the line and from what stands around it."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import Final, Literal

from kiro_lsp.spec import details
from kiro_lsp.spec.assemble import Parsed
from kiro_lsp.spec.blocks import CODE, FRONT_MATTER, HTML
from kiro_lsp.spec.editing.edits import without_end
from kiro_lsp.spec.model import Task

Kind = Literal["task", "mark", "id", "tag", "key", "requirement", "dependency", "wave", "path"]

_ITEM: Final = re.compile(r"(?P<lead>[ \t]*)(?:(?P<bullet>[-*+]|\d{1,9}[.)])(?P<gap>[ \t]*))?")
_IN_BOX: Final = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]+\[(?P<mark>[^\]\r\n]?)\Z")
_BOXED: Final = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]+\[[^\]\r\n]{0,2}\](?:\\?\*)?(?P<gap>[ \t]+)")
_KEY: Final = re.compile(r"[ \t]+(?:[-*+][ \t]+)?(?P<word>(?:\*\*|__|_)?[^\W\d_]?[\w -]{0,30})\Z")
_KEYED: Final = re.compile(
    r"(?P<key>[^\W\d_][^_*:：`|\[\]\r\n]{0,39})_?(?:\*\*|__|\*)?\s{0,4}[:：](?:\*\*|__|\*)?(?P<value>[^\r\n]*)\Z"
)
_VALIDATES: Final = re.compile(r"validates?\Z", re.IGNORECASE)
_PATH_KEY: Final = re.compile(r"leverage|复用|参考", re.IGNORECASE)
_DEPENDS: Final = re.compile(
    r"[(（\[](?:depends?(?:\s+on)?|after|blocked\s+by|requires|needs)\s+[^()（）\[\]]*\Z", re.IGNORECASE
)
_WORD: Final = re.compile(r"[\w.\-]*\Z")
_AHEAD: Final = re.compile(r"[\w.\-]*")
_PATH: Final = re.compile(r"[^\s`,;()\"'|]*\Z")
_PATH_AHEAD: Final = re.compile(r"[^\s`,;()\"'|]*")
_TAG: Final = re.compile(r"[\[(][A-Za-z0-9]*\Z")


@dataclass(frozen=True, slots=True)
class Context:
    """`start` to `end` of the line are what a completion replaces; `typed` is what of it stands before the cursor."""

    kind: Kind
    line: int
    start: int
    end: int
    typed: str
    task: Task | None = None
    """The task in whose lines the place lies."""
    key: str = ""


@dataclass(frozen=True, slots=True)
class _Here:
    """A cursor: its line's text before and after it, and the task around."""

    line: int
    before: str
    after: str
    task: Task | None

    @property
    def column(self) -> int:
        return len(self.before)


def context_at(parsed: Parsed, line: int, column: int) -> Context | None:
    """What may stand at a place; None where nothing of ours does."""
    text = without_end(parsed.lines[line]) if line < len(parsed.lines) else ""
    column = min(column, len(text))
    before, after = text[:column], text[column:]
    if len(text) > 5000:
        return None
    if line < len(parsed.lines) and parsed.blocks.kinds[line] in (CODE, HTML, FRONT_MATTER):
        return _in_wave(parsed, _Here(line, before, after, None))
    task = task_around(parsed, line)
    here = _Here(line, before, after, task)
    box = _IN_BOX.search(before)
    if box is not None:
        closing = after.find("]") if re.match(r"[^\]\r\n]?\]", after) else -1
        return Context("mark", line, box.start("mark"), column + max(closing, 0), box["mark"], task)
    boxed = _BOXED.match(before)
    if boxed is not None:
        return _behind_box(here, boxed.end())
    if task is not None and line > task.line:
        found = _detail(here)
        if found is not None:
            return found
    return _new_task(here)


def task_around(parsed: Parsed, line: int) -> Task | None:
    """The task whose own lines hold this one, also where it is a blank or unfinished line right below."""
    tasks = parsed.task_list.tasks
    at = bisect_right(tasks, line, key=lambda task: task.line) - 1
    if at < 0:
        return None
    task = tasks[at]
    if line < task.end_line:
        return task
    between = parsed.lines[task.end_line : line]
    if all(not text.strip() for text in between):
        text = parsed.lines[line] if line < len(parsed.lines) else ""
        lead = len(parsed.lines[task.line]) - len(parsed.lines[task.line].lstrip())
        return task if len(text) - len(text.lstrip(" \t")) > lead else None
    return None


def _around(kind: Kind, here: _Here, key: str = "") -> Context:
    """A context that replaces the word at the cursor."""
    column, before, after = here.column, here.before, here.after
    behind, ahead = (_PATH, _PATH_AHEAD) if kind == "path" else (_WORD, _AHEAD)
    word, rest = behind.search(before), ahead.match(after)
    start = word.start() if word is not None else column
    while kind != "path" and start < column and before[start] in "_.-":
        start += 1
    end = column + (rest.end() if rest is not None else 0)
    if after[: end - column].endswith("_"):
        end = column + len(after[: end - column].rstrip("_"))
    return Context(kind, here.line, start, end, before[start:], here.task, key)


def _behind_box(here: _Here, start: int) -> Context | None:
    line, column, before, after, task = here.line, here.column, here.before, here.after, here.task
    rest = before[start:]
    if re.fullmatch(r"(?:\*\*|`|\[)?[\w.]{0,12}", rest) and not re.match(r"[ \t]*\w", after[:1] if rest else after):
        return Context("id", line, start, column, rest, task)
    if rest and re.fullmatch(r"[\w.]{0,12}", rest) and (ahead := re.match(r"[\w.]+", after)):
        return Context("id", line, start, column + ahead.end(), rest, task)
    if _ticked(before):
        return _around("path", here)
    if _DEPENDS.search(before):
        return _around("dependency", here)
    tag = _TAG.search(before)
    if tag is not None and before.count("`") % 2 == 0 and before[tag.start() - 1 : tag.start()] in (" ", "\t"):
        closing = 1 if after[:1] in ("]", ")") else 0
        return Context("tag", line, tag.start(), column + closing, tag[0], task)
    if "/" in before.rpartition(" ")[2]:
        return _around("path", here)
    return None


def _ticked(before: str) -> bool:
    return before.count("`") % 2 == 1


def _detail(here: _Here) -> Context | None:
    """A place in the lines below a task."""
    before = here.before
    if _ticked(before):
        return _around("path", here)
    keyed = _KEYED.search(before)
    if keyed is not None:
        key = keyed["key"].strip()
        if details.REQUIREMENT_KEYS.match(key) or _VALIDATES.match(key):
            return _around("requirement", here, key)
        if details.DEPENDENCY_KEYS.match(key):
            return _around("dependency", here, key)
        if details.FILE_KEYS.match(key) or _PATH_KEY.match(key):
            return _around("path", here, key)
        return None
    word = _KEY.match(before)
    if word is not None and not here.after.strip():
        return Context("key", here.line, word.start("word"), here.column, word["word"], here.task)
    if "/" in before.rpartition(" ")[2]:
        return _around("path", here)
    return None


def _new_task(here: _Here) -> Context | None:
    item = _ITEM.fullmatch(here.before)
    if item is None or here.after.strip():
        return None
    return Context("task", here.line, item.end("lead"), here.column, here.before[item.end("lead") :])


def _in_wave(parsed: Parsed, here: _Here) -> Context | None:
    line, before = here.line, here.before
    for fence in parsed.blocks.fences:
        if fence.start < line < fence.end and '"waves"' in "".join(parsed.lines[fence.start : fence.end]):
            if before.count('"') % 2 == 1 and re.search(r'[\[,]\s*"[^"]*\Z', before):
                return _around("wave", here)
            return None
    return None
