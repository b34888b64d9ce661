"""One id renamed wherever it is written in a spec: a task's in its file and in the documents beside it, a requirement's in all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kiro_lsp.spec import titles
from kiro_lsp.spec.assemble import Parsed
from kiro_lsp.spec.editing.edits import Refused
from kiro_lsp.spec.editing.places import Place, own_place, references
from kiro_lsp.spec.editing.renumber import Change, change_of, extended
from kiro_lsp.spec.model import Task

_ID: Final = re.compile(titles.ID)


@dataclass(frozen=True, slots=True)
class Target:
    """The id under a cursor."""

    line: int
    start: int
    end: int
    name: str


def task_target(parsed: Parsed, line: int, column: int) -> Target | None:
    """The task id at a place: a task's own, or a reference to it."""
    for task in parsed.task_list.tasks:
        if task.line == line:
            place = own_place(parsed, task)
            if place is not None and place.start <= column <= place.end:
                return Target(line, place.start, place.end, place.id)
    for place in references(parsed):
        if place.line == line and place.start <= column <= place.end:
            return _end_of(place, column)
    return None


def _end_of(place: Place, column: int) -> Target:
    if place.to is None:
        return Target(place.line, place.start, place.end, place.id)
    if column <= place.first_end:
        return Target(place.line, place.start, place.first_end, place.id)
    return Target(place.line, place.end - len(place.to), place.end, place.to)


def task_of(parsed: Parsed, target: Target) -> Task | None:
    """The task that an id under the cursor means: the one in whose line it stands, else the first with it."""
    carriers = [task for task in parsed.task_list.tasks if task.id == target.name]
    return next((task for task in carriers if task.line == target.line), next(iter(carriers), None))


def rename_task(parsed: Parsed, path: str, task: Task, name: str, documents: Mapping[str, str]) -> Change | Refused:
    """The edits that give a task another id: its own, those of sub-tasks that begin with it, and every reference."""
    name = name.strip().rstrip(".:")
    if _ID.fullmatch(name) is None:
        return Refused(f"“{name}” is no id of a task, such as 3, 3.2 or T012.")
    if name == task.id:
        return Change((), {})
    new = extended(parsed.task_list, task, name)
    for other in parsed.task_list.tasks:
        if other.key not in new and other.id in new.values():
            return Refused(f"Line {other.line + 1} has the id {other.id} already: “{other.title[:60]}”.")
    return change_of(parsed, path, new, documents, keep_parents=False)
