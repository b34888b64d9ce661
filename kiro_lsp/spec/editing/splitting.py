"""A task whose details are its steps becomes a task with sub-tasks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from kiro_lsp.spec.assemble import Parsed
from kiro_lsp.spec.blocks import ITEM
from kiro_lsp.spec.editing.edits import Refused, TextEdit, applied, replace, without_end
from kiro_lsp.spec.editing.numbering import first_below, writing_of
from kiro_lsp.spec.metadata import begins_metadata, read_metadata
from kiro_lsp.spec.model import Task
from kiro_lsp.spec.tasks import parsed as parse

_BULLET: Final = re.compile(r"(?P<indent>[ \t]*)(?P<bullet>[-*+]|\d{1,9}[.)])(?P<gap>[ \t]+)(?=\S)")
FEWEST: Final = 2


def steps_of(parsed: Parsed, task: Task) -> list[int]:
    """Lines of the bullets directly below a task that are steps: without a box, and no metadata."""
    if task.mark_column is None or task.criterion or task.withdrawn or task.id is None:
        return []
    found = [(line, _width(match["indent"])) for line, match in _bullets(parsed, task) if line and match is not None]
    if not found:
        return []
    least = min(width for _, width in found)
    lines = [line for line, width in found if width == least]
    return [line for line in lines if not _is_metadata(parsed.lines[line])]


def _bullets(parsed: Parsed, task: Task) -> Iterator[tuple[int, re.Match[str] | None]]:
    boxes = {box.line for box in parsed.blocks.boxes}
    for line in range(task.line + 1, min(task.end_line, len(parsed.lines))):
        if parsed.blocks.kinds[line] == ITEM and line not in boxes:
            yield line, _BULLET.match(parsed.lines[line])


def _width(indent: str) -> int:
    return len(indent.expandtabs(4))


def _is_metadata(line: str) -> bool:
    text = without_end(line)
    match = _BULLET.match(text)
    return bool(read_metadata([text])) or begins_metadata(text[match.end() if match else 0 :])


def split(parsed: Parsed, path: str, task: Task) -> tuple[TextEdit, ...] | Refused:
    """The edits that make sub-tasks of a task's steps, where they stand; their details stay theirs."""
    lines = steps_of(parsed, task)
    if len(lines) < FEWEST:
        return Refused("There are no steps below this task that could become sub-tasks.")
    edits: list[TextEdit] = []
    taken: list[str] = []
    for line in lines:
        match = _BULLET.match(parsed.lines[line])
        identifier = first_below(parsed.task_list, task, taken)
        assert match is not None
        if identifier is not None:
            taken.append(identifier)
        written = writing_of(parsed, identifier).of(identifier) if identifier is not None else ""
        edits.append(replace(line, match.end(), match.end(), f"[ ] {written}"))
    after = parse(applied(parsed.lines, edits), path).task_list.tasks
    made = [other.line for other in after if other.line in set(lines)]
    if made != lines or len(after) != len(parsed.task_list.tasks) + len(lines):
        return Refused("These steps would not be read as sub-tasks: nothing is changed.")
    return tuple(edits)
