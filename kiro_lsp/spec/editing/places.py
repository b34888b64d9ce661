"""Where ids stand in a text: a task's own, and every reference that clearly means a task.

A reference is an id behind a dependency key or in `(depends on …)`, in Kiro's waves, in an arrow or a graph outside the tasks, or
in prose behind the word task (`task 1.2`, `tasks 1, 2 and 3`); ids such as `T012` need no word. A plain number elsewhere is none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kiro_lsp.spec import details, graph
from kiro_lsp.spec.assemble import Parsed
from kiro_lsp.spec.blocks import CODE, HTML, Fence
from kiro_lsp.spec.editing.edits import without_end
from kiro_lsp.spec.model import Task

_T_ID: Final = re.compile(r"T\d{1,5}(?:\.\d+)*[A-Za-z]?\Z")
_COMMENT: Final = re.compile(r"<!--.*?(?:-->|$)")
_DEPENDENCY_VALUE: Final = re.compile(
    r"(?:^\s*|[-*+]\s+|_|\*\*|\s)(?:" + details.DEPENDENCY_KEYS.pattern.removesuffix(r"\Z") + r")"
    r"_?\s{0,4}(?:\*\*|__|\*)?\s{0,4}[:：]\s{0,4}(?:\*\*|__|\*)?(?P<value>.*)$",
    re.IGNORECASE,
)
_NEXT_KEY: Final = re.compile(r"(?<![\w_])_[^\W\d_][^_*:：`|\[\]]{0,39}\s{0,4}[:：]")
_CLOSING: Final = re.compile(r"(?<=[^\s_])_+(?![^\W_])")
_IN_TITLE: Final = (details._DEPENDS_IN_TITLE, details._DEPENDS_SENTENCE, details._DEPENDS_PLAIN, details._ARROW_END)
_JSON: Final = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|[\[\]{}:,]')
_LONGEST_LINE: Final = 5000


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """One id as it is written, from `start` to `end` of a line."""

    line: int
    start: int
    end: int
    id: str
    to: str | None = None
    """The other end of a range of ids, which then ends at `end`."""
    first_end: int = 0
    """For a range: where its first id ends."""
    bare: bool = False
    """A number in JSON: another kind of id needs quotes."""


def own_place(parsed: Parsed, task: Task) -> Place | None:
    """Where a task's own id stands, None without one or where it cannot be told."""
    if task.id is None or task.line >= len(parsed.lines):
        return None
    line = without_end(parsed.lines[task.line])
    if "<!--" in line:
        line = _COMMENT.sub(lambda match: " " * len(match[0]), line)
    column = task.mark_column + len(task.mark) + 1 if task.mark_column is not None else 0
    found = _bounded(line, task.id, column)
    if found is not None:
        return Place(task.line, *found, task.id)
    first, dash, last = task.id.partition("-")
    if not dash:
        return None
    ranged = re.compile(rf"(?<![\w.]){re.escape(first)}\s?[-–—]\s?{re.escape(last)}(?![A-Za-z0-9])").search(
        line, column
    )
    return Place(task.line, *ranged.span(), task.id) if ranged is not None else None


def _bounded(line: str, identifier: str, start: int) -> tuple[int, int] | None:
    """Where an id stands by itself; without a pattern, since each would have to be compiled."""
    at = line.find(identifier, start)
    while at >= 0:
        end = at + len(identifier)
        before, after = line[at - 1 : at], line[end : end + 2]
        joined = (before.isalnum() and before.isascii()) or before == "."
        goes_on = (after[:1].isalnum() and after[:1].isascii()) or (after[:1] in (".", "-") and after[1:].isalnum())
        if not joined and not goes_on:
            return at, end
        at = line.find(identifier, at + 1)
    return None


def title_column(line: str, task: Task) -> int | None:
    """The column where the title of a task begins: behind the box, an optional mark and blanks."""
    if task.mark_column is None:
        return None
    match = re.compile(r"\](?:\\?\*)?[ \t]*(?:\\?\*[ \t]+)?").match(line, task.mark_column + len(task.mark))
    return match.end() if match is not None else None


def references(parsed: Parsed) -> list[Place]:
    """Every reference to a task of this file in it, in order; a task's own id is none."""
    known = {task.id: None for task in parsed.task_list.tasks if task.id is not None}
    if not known:
        return []
    own = {place for task in parsed.task_list.tasks if (place := own_place(parsed, task)) is not None}
    boxes = {task.line for task in parsed.task_list.tasks}
    found: dict[tuple[int, int], Place] = {}
    for place in _all(parsed, known, boxes):
        found.setdefault((place.line, place.start), place)
    taken = {(place.line, place.start) for place in own}
    return [found[key] for key in sorted(found) if key not in taken and found[key].id in known]


def _all(parsed: Parsed, known: Mapping[str, None], boxes: set[int]) -> Iterator[Place]:
    kinds, owners = parsed.blocks.kinds, parsed.blocks.owners
    below: int | None = None
    for number, raw in enumerate(parsed.lines):
        line = without_end(raw)
        if len(line) > _LONGEST_LINE or kinds[number] in (CODE, HTML):
            continue
        inside = owners[number] >= 0 or number in boxes
        if below is not None and line.strip() and _indent(line) > below and number not in boxes:
            yield from _tokens(line, number, known, 0, len(line), strict=False)
        elif line.strip():
            below = None
        if inside:
            for start, end in _dependency_values(line):
                if not line[start:end].strip(" *_"):
                    below = _indent(line)
                yield from _tokens(line, number, known, start, end, strict=False)
            yield from _in_title(line, number, known)
        elif graph.is_prose(kinds[number], owners[number], line):
            yield from _related(line, number, known)
        yield from mentions_in(line, number, known)
    for fence in parsed.blocks.fences:
        yield from _in_fence(parsed.lines, fence, known)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _dependency_values(line: str) -> Iterator[tuple[int, int]]:
    """Where the values of dependency keys stand in a line of a task."""
    if ":" not in line and "：" not in line:
        return
    match = _DEPENDENCY_VALUE.search(line)
    if match is None:
        return
    start, end = match.span("value")
    following = _NEXT_KEY.search(line, start)
    if following is not None:
        end = following.start()
    closings = [closing.start() for closing in _CLOSING.finditer(line, start, end)]
    yield start, closings[-1] if closings else end


def _in_title(line: str, number: int, known: Mapping[str, None]) -> Iterator[Place]:
    for pattern in _IN_TITLE:
        for match in pattern.finditer(line):
            yield from _tokens(line, number, known, *match.span(1), strict=False)


def _related(line: str, number: int, known: Mapping[str, None]) -> Iterator[Place]:
    """Ids of a line in which ids and relation words alternate."""
    if not any(True for _ in graph.relations(line, known)):
        return
    for start, end in graph.sides_of(line):
        bracket = line.find("(", start, end)
        yield from _tokens(line, number, known, start, bracket if bracket >= 0 else end, strict=True)


def _tokens(
    line: str, number: int, known: Mapping[str, None], start: int, end: int, *, strict: bool
) -> Iterator[Place]:
    value = line[start:end]
    for match, named in details.id_tokens(value, listed=details._is_list(value)):
        if match["id"].isdigit() and not named:
            continue
        if match["id"] in known or not strict:
            yield _place(match, number, start)


def _place(match: re.Match[str], number: int, offset: int) -> Place:
    first, last = match.span("id")
    if match["to"] is None:
        return Place(number, offset + first, offset + last, match["id"])
    return Place(number, offset + first, offset + match.end("to"), match["id"], match["to"], offset + last)


def mentions_in(line: str, number: int, known: Mapping[str, None]) -> Iterator[Place]:
    """Ids in a line of prose that clearly mean tasks."""
    for match, named in details.id_tokens(line):
        if match["id"] in known and (named or _T_ID.match(match["id"])):
            yield _place(match, number, 0)


def mentions(lines: Sequence[str], known: Mapping[str, None]) -> list[Place]:
    """The same for another document, without what stands in its code blocks."""
    found: list[Place] = []
    fence = ""
    for number, raw in enumerate(lines):
        line = without_end(raw)
        mark = re.match(r" {0,3}(`{3,}|~{3,})", line)
        if mark is not None and (not fence or (line.strip() == mark[1] and mark[1].startswith(fence))):
            fence = "" if fence else mark[1]
        elif not fence and len(line) <= _LONGEST_LINE:
            found += mentions_in(line, number, known)
    return found


# Waves and graphs


def _in_fence(lines: Sequence[str], fence: Fence, known: Mapping[str, None]) -> Iterator[Place]:
    if fence.info.lower().startswith("mermaid"):
        for number in range(fence.start + 1, fence.end):
            line = without_end(lines[number])
            if len(line) <= _LONGEST_LINE:
                yield from _related(graph._LABEL.sub(lambda match: " " * len(match[0]), line), number, known)
        return
    yield from wave_places(lines, fence)


def wave_places(lines: Sequence[str], fence: Fence) -> Iterator[Place]:
    """The ids in the waves of a JSON code block; nothing for another one."""
    body = lines[fence.start + 1 : fence.end - 1 if fence.closed else fence.end]
    if not any('"waves"' in line for line in body):
        return
    stack: list[tuple[str, str]] = []  # the bracket, and the key that it is the value of
    key = ""
    for number, line in enumerate(body, fence.start + 1):
        for match in _JSON.finditer(line):
            sign = match[0]
            if sign in ("{", "["):
                stack.append((sign, key))
                key = ""
            elif sign in ("}", "]"):
                if stack:
                    stack.pop()
                key = ""
            elif sign[0] == '"' and re.match(r"\s*:", line[match.end() :]):
                key = sign[1:-1]
            elif sign not in (":", ",") and _in_wave(stack):
                place = _json_place(match, number)
                if place is not None:
                    yield place


def _in_wave(stack: Sequence[tuple[str, str]]) -> bool:
    """Whether a value stands in `{"waves": [{"tasks": [here]}]}` or `{"waves": [[here]]}`."""
    return [*stack[:2]] == [("{", ""), ("[", "waves")] and [*stack[2:]] in (
        [("{", ""), ("[", "tasks")],
        [("[", "")],
    )


def _json_place(match: re.Match[str], number: int) -> Place | None:
    sign = match[0]
    if sign[0] != '"':
        return Place(number, match.start(), match.end(), str(json.loads(sign)), bare=True)
    return Place(number, match.start() + 1, match.end() - 1, sign[1:-1]) if "\\" not in sign else None
