"""The id of a requirement renamed in the document that defines it, in the tasks, and in what stands beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from kiro_lsp.spec import details
from kiro_lsp.spec.assemble import Parsed
from kiro_lsp.spec.editing.edits import Refused, TextEdit, applied, replace, without_end
from kiro_lsp.spec.editing.renaming import Target
from kiro_lsp.spec.facts import requirements_in
from kiro_lsp.spec.lines import split_lines
from kiro_lsp.spec.model import TaskList
from kiro_lsp.spec.references import CODE, REQUIREMENT_NOUNS, keys_of
from kiro_lsp.spec.requirements import Requirement, RequirementIndex
from kiro_lsp.spec.tasks import parsed as parse

_BEFORE: Final = r"(?<![A-Za-z0-9.])(?<!\w_)"
_AFTER: Final = r"(?![A-Za-z0-9]|_\w|\.\d)"
ID: Final = re.compile(rf"{_BEFORE}(?<![\w.]-)(?:{CODE}|\d+(?:\.\d+)*[a-z]?){_AFTER}")
"""What may be the id of a requirement, by its form alone."""
_CODE_ID: Final = re.compile(CODE)
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)*")
_WORDED: Final = re.compile(
    rf"(?<!\w)(?:{REQUIREMENT_NOUNS}|validates?)[*_]{{0,2}}\s*[:：#№]?[*_]{{0,2}}\s*"
    r"(?P<list>\d+(?:\.\d+)*(?:\s*(?:[,，、;&~–-]|and|to)\s*\d+(?:\.\d+)*)*)",
    re.IGNORECASE,
)
_VALUE: Final = re.compile(
    r"(?<![^\W_])(?:" + details.REQUIREMENT_KEYS.pattern.removesuffix(r"\Z") + r"|validates?|验证)"
    r"_?(?:\*\*|__|\*)?\s{0,4}[:：]\s{0,4}(?:\*\*|__|\*)?(?P<value>.*)$",
    re.IGNORECASE,
)
_PARENTHESES: Final = re.compile(r"[(（][^()（）]*[)）]")
_DEFINED: Final = re.compile(r"[ \t]*(?:[-*+][ \t]+)?[*_`]*(?=\d)")


def requirement_target(
    lines: Sequence[str], index: RequirementIndex, path: str, line: int, column: int, *, tasks: bool
) -> Target | None:
    """The id of a known requirement at a place of a task file (`tasks`) or of another document."""
    if line >= len(lines):
        return None
    text = without_end(lines[line])
    for match in ID.finditer(text):
        if match.start() <= column <= match.end():
            entry = entry_of(index, match[0])
            spans = (*reference_spans(text, tasks=tasks), *definition_spans(text, line, entry, path))
            inside = any(start <= match.start() and match.end() <= end for start, end in spans)
            if entry is not None and (inside or not match[0][0].isdigit()):
                return Target(line, match.start(), match.end(), match[0])
    return None


def entry_of(index: RequirementIndex, name: str) -> Requirement | None:
    return next((index.entries[key] for key in keys_of(name) if key in index.entries), None)


def reference_spans(text: str, *, tasks: bool) -> Iterator[tuple[int, int]]:
    """Where plain numbers of a line mean requirements: behind a key, and behind the word requirement."""
    if tasks:
        for match in _VALUE.finditer(text):
            yield match.span("value")
    for match in _WORDED.finditer(text):
        yield match.span("list")


def definition_spans(text: str, line: int, entry: Requirement | None, path: str) -> Iterator[tuple[int, int]]:
    """Where a document writes the number of the requirement that begins in this line."""
    if entry is None or (entry.path, entry.line) != (path, line):
        return
    number = re.search(_BEFORE + re.escape(entry.ref) + _AFTER, text)
    if number is not None and (text.lstrip().startswith("#") or _DEFINED.match(text) or text.lstrip()[:1] in "*|-"):
        yield number.span()


def rename_requirement(
    parsed: Parsed, path: str, documents: Mapping[str, str], old: str, name: str, *, read_as: str = ""
) -> Mapping[str, tuple[TextEdit, ...]] | Refused:
    """The edits, by path, that give a requirement another id: its own, those of its criteria, and every reference.

    `read_as` is the path that the task file was parsed under, if that is not `path`.
    """
    name = name.strip()
    index = requirements_in(documents)
    entry = entry_of(index, old)
    if entry is None:
        return Refused(f"No document of this spec defines the requirement {old}.")
    shape = _NUMBER if entry.ref[:1].isdigit() else _CODE_ID
    if shape.fullmatch(name) is None or entry.ref.count(".") != name.count("."):
        return Refused(f"“{name}” is no id of the same kind as {entry.ref}.")
    if entry.owner and not _written(documents, entry):
        return Refused(f"{entry.ref} is the place of this criterion in its list: move it there instead.")
    other = next((index.entries[key] for key in keys_of(name) if key in index.entries), None)
    if other is not None and other is not entry:
        return Refused(f"{other.path} has the id {other.ref} already, in line {other.line + 1}.")
    texts = {**documents, path: "".join(parsed.lines)}
    edits = {
        where: found
        for where, text in texts.items()
        if (found := tuple(_edits(text, entry, name, where, tasks=where == path)))
    }
    changed = {where: applied(texts[where], found) for where, found in edits.items()}
    after = parse(changed[path], read_as or path).task_list if path in changed else parsed.task_list
    return _refused_as_read(parsed.task_list, after, documents, changed, name) or edits


def _written(documents: Mapping[str, str], entry: Requirement) -> bool:
    """Whether a criterion has its id in its line."""
    line = split_lines(documents[entry.path])[entry.line]
    return re.search(_BEFORE + re.escape(entry.ref) + _AFTER, line) is not None


def _edits(text: str, entry: Requirement, name: str, path: str, *, tasks: bool) -> Iterator[TextEdit]:
    old = keys_of(entry.ref)[0]
    coded, fence = not entry.ref[:1].isdigit(), ""
    for number, raw in enumerate(split_lines(text)):
        line = without_end(raw)
        mark = re.match(r" {0,3}(`{3,}|~{3,})", line)
        if mark is not None and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        if fence or mark is not None or len(line) > 20_000:
            continue
        own = entry if (entry.path, entry.line) == (path, number) else None
        spans = [*reference_spans(line, tasks=tasks), *definition_spans(line, number, own, path)]
        if not coded and entry.path == path and (found := _DEFINED.match(line)):
            spans.append((found.end(), len(line)) if ID.match(line, found.end()) else (0, 0))
            spans[-1] = (spans[-1][0], _end(line, spans[-1][0]))
        comments = [match.span() for match in _PARENTHESES.finditer(line)] if not coded else []
        for match in ID.finditer(line):
            if any(start <= match.start() < end for start, end in comments):
                continue
            if coded or any(start <= match.start() and match.end() <= end for start, end in spans):
                new = _renamed(match[0], old, name)
                if new is not None and new != match[0]:
                    yield replace(number, match.start(), match.end(), new)


def _end(line: str, start: int) -> int:
    match = ID.match(line, start)
    return match.end() if match is not None and "." in match[0] else start


def _renamed(token: str, old: str, name: str) -> str | None:
    """The new form of an id: itself, or one of its criteria."""
    if keys_of(token)[0] == old:
        return name
    head, dot, rest = token, "", ""
    while "." in head:
        head, _, last = head.rpartition(".")
        rest = f"{last}{dot}{rest}"
        dot = "."
        if keys_of(head)[0] == old:
            return f"{name}.{rest}"
    return None


def _refused_as_read(
    before: TaskList, after: TaskList, documents: Mapping[str, str], changed: Mapping[str, str], name: str
) -> Refused | None:
    old_index = requirements_in(documents)
    new_index = requirements_in({where: changed.get(where, text) for where, text in documents.items()})
    if entry_of(new_index, name) is None:
        return Refused(f"{name} would not be read as the id of this requirement: nothing is changed.")
    if len(before.tasks) != len(after.tasks) or before.dialect != after.dialect:
        return Refused("With the new id the tasks would be read otherwise: nothing is changed.")
    for task, now in zip(before.tasks, after.tasks, strict=True):
        was, lost = old_index.resolve(task.requirements)
        found, missing = new_index.resolve(now.requirements)
        places = [{(entry.path, entry.line) for entry in entries} for entries in (was, found)]
        if places[0] != places[1] or len(lost) != len(missing) or (task.id, task.status) != (now.id, now.status):
            return Refused(f"Line {task.line + 1} would mean other requirements: nothing is changed.")
    return None
