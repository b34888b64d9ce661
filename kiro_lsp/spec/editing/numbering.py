"""The id that a new task gets, and how this file writes ids."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from dataclasses import replace as replaced
from typing import Final

from kiro_lsp.spec.assemble import Parsed
from kiro_lsp.spec.editing.edits import Refused, TextEdit, replace, without_end
from kiro_lsp.spec.editing.places import own_place, title_column
from kiro_lsp.spec.editing.renumber import Level, in_order, number_of, refused_as_read
from kiro_lsp.spec.model import Task, TaskList

_AFTER: Final = re.compile(r"(?:\*\*|__|`|\])?\\?[.:：、)）]?(?:\*\*|__|`|\])?[ \t]+")
_BEFORE: Final = re.compile(r"(?:\*\*|__|`|\[)?\Z")
_PAIRS: Final = {"**": "**", "__": "__", "`": "`", "[": "]", "": ""}


@dataclass(frozen=True, slots=True)
class Writing:
    """What stands around an id: `**` and `** `, nothing and `. ` …"""

    before: str
    after: str

    def of(self, identifier: str) -> str:
        return f"{self.before}{identifier}{self.after}"


def has_ids(task_list: TaskList) -> bool:
    return any(task.id is not None for task in task_list.tasks)


def following(task_list: TaskList, identifier: str, taken: Iterable[str] = ()) -> str:
    """The next id of a row: one more than `identifier`, or than the row's last where that is taken."""
    prefix, last, _ = number_of(identifier)
    if not last:
        return identifier
    used = {task.id for task in task_list.tasks if task.id is not None} | set(taken)
    width = len(last) if last.startswith("0") or prefix[:1].isalpha() else 0
    found = f"{prefix}{int(last) + 1:0{width}d}"
    if found in used:  # an id such as T010b or 7.4b stands in the row too, but does not take the plain one
        row = (number_of(other) for other in used if other.startswith(prefix))
        numbers = [int(number) for before, number, _ in row if before == prefix and number]
        found = f"{prefix}{max(numbers, default=int(last)) + 1:0{width}d}"
    return found


def behind_all(task_list: TaskList, level: Level) -> dict[str, str]:
    """New ids that number a row behind all others of its kind, for numbers that begin again though they should not."""
    used = (number_of(task.id) for task in task_list.tasks if task.id is not None)
    highest = max((int(number) for prefix, number, _ in used if number and prefix == level.prefix), default=0)
    return in_order(task_list, [replaced(level, start=highest + 1)])


def is_in_order(level: Level, task: Task, identifier: str) -> bool:
    """Whether a row counts up once one of its tasks has another id."""
    ids = (identifier if other is task else other.id or "" for other in level.tasks)
    numbers = [int(number_of(one)[1] or 0) for one in ids]
    return numbers == sorted(numbers)


def first_below(task_list: TaskList, task: Task, taken: Iterable[str] = ()) -> str | None:
    """The next id for a sub-task of a task, None where ids of this kind have no level below."""
    if task.id is None or not task.id[0].isdigit():
        return None
    prefix = f"{task.id}."
    known = [other.id for other in task_list.tasks if other.id is not None and other.id.startswith(prefix)]
    below = [other for other in (*known, *taken) if number_of(other)[0] == prefix]
    if below:
        return following(task_list, max(below, key=lambda identifier: int(number_of(identifier)[1] or 0)), taken)
    return f"{task.id}.1"


def writing_of(parsed: Parsed, identifier: str) -> Writing:
    """How this file writes an id of this kind: as the nearest one like it, else as the dialect does."""
    alike = _shape(identifier)
    for task in reversed(parsed.task_list.tasks):
        if task.id is not None and _shape(task.id) == alike and (found := writing_at(parsed, task)) is not None:
            return found
    return Writing("", " " if "." in identifier or not identifier[0].isdigit() else ". ")


def writing_at(parsed: Parsed, task: Task) -> Writing | None:
    """How a task's own id is written, None where it is woven into the title."""
    place = own_place(parsed, task)
    start = title_column(parsed.lines[task.line], task) if place is not None else None
    if place is None or start is None:
        return None
    line = without_end(parsed.lines[task.line])
    before, after = line[start : place.start], _AFTER.match(line, place.end)
    if _BEFORE.fullmatch(before) is None or after is None:
        return None
    closing = _PAIRS[before]
    if (closing and closing not in after[0]) or (not closing and after[0].strip(" \t\\.:：、)）")):
        return None
    return Writing(before, after[0].rstrip(" \t") + " ")


def _shape(identifier: str) -> str:
    return re.sub(r"\d+", "0", identifier.rstrip("abcdefghijklmnopqrstuvwxyz"))


def without_id(task_list: TaskList) -> list[Task]:
    """Tasks that lack an id in a file that uses ids."""
    if not has_ids(task_list):
        return []
    return [
        task
        for task in task_list.tasks
        if task.id is None and not task.criterion and not task.withdrawn and task.mark_column is not None
    ]


def with_ids(parsed: Parsed, path: str, tasks: Sequence[Task]) -> tuple[TextEdit, ...] | Refused:
    """The edits that give these tasks the next ids of their rows."""
    edits: list[TextEdit] = []
    new: dict[str, str] = {}
    wanted = {task.key for task in tasks}
    ids: dict[str, str] = {}
    rows: dict[int, str] = {}
    """Column of the box → the last id above that stands there."""
    for task in parsed.task_list.tasks:
        column = task.mark_column or 0
        if task.id is not None:
            rows = {at: identifier for at, identifier in rows.items() if at <= column} | {column: task.id}
        elif task.key in wanted:
            identifier = (
                following(parsed.task_list, rows[column], new.values())
                if column in rows
                else _first_of_row(parsed.task_list, task, ids)
            )
            start = title_column(parsed.lines[task.line], task)
            if identifier is None or start is None:
                return Refused(f"There is no id that line {task.line + 1} could have.")
            new[task.key] = ids[task.key] = identifier
            rows = {at: known for at, known in rows.items() if at <= column} | {column: identifier}
            edits.append(replace(task.line, start, start, writing_of(parsed, identifier).of(identifier)))
    refused = refused_as_read(parsed, path, edits, new, keep_parents=False)
    return refused if refused is not None else tuple(edits)


def _first_of_row(task_list: TaskList, task: Task, ids: dict[str, str]) -> str | None:
    """The id of a task that has none like it above it. `ids`: those that were given already, by key."""
    parent = next((other for other in task_list.tasks if other.key == task.parent), None)
    identifier = ids.get(task.parent or "") or (parent.id if parent is not None else None)
    taken = list(ids.values())
    if identifier is not None:
        return f"{identifier}.1" if identifier[0].isdigit() else following(task_list, identifier, taken)
    below = next((other for other in task_list.tasks if other.id is not None and other.line > task.line), None)
    last = next((other for other in reversed(task_list.tasks) if other.id is not None), None)
    near = last if last is not None and last.mark_column == task.mark_column else below or last
    return following(task_list, near.id or "", taken) if near is not None else None
