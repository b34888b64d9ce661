"""Statuses and optional marks of tasks, changed in their text: one character each, and nothing else of the line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from kiro_lsp.spec.assemble import Parsed
from kiro_lsp.spec.editing.edits import TextEdit, replace
from kiro_lsp.spec.marks import mark_edit
from kiro_lsp.spec.model import Problem, Task, TaskList, TaskStatus

WRITTEN: Final[tuple[TaskStatus, ...]] = ("done", "in-progress", "open")
"""The statuses that can be asked for, in the order in which they are offered."""
_STAR: Final = re.compile(r"\\?\*(?=[ \t])")


def below(task_list: TaskList, task: Task) -> list[Task]:
    """All tasks and criteria below a task that are still meant, in file order."""
    family = {task.key}
    found: list[Task] = []
    before = -1
    while len(family) != before:  # a sub-task may stand above its parent
        before = len(family)
        family |= {other.key for other in task_list.tasks if other.parent in family}
    found = [other for other in task_list.tasks if other.key in family and other.key != task.key]
    return [other for other in found if not other.withdrawn]


def with_status(parsed: Parsed, path: str, tasks: Iterable[Task], status: TaskStatus) -> tuple[TextEdit, ...] | Problem:
    """The edits that give tasks a status, one character each; the first Problem where one cannot be written."""
    edits = []
    for task in tasks:
        if task.status == status:
            continue
        line = "\n" * task.line + parsed.lines[task.line]
        edit = mark_edit(parsed.task_list, line, task, status, path)
        if isinstance(edit, Problem):
            return edit
        edits.append(replace(edit.line, edit.start, edit.end, edit.new))
    return tuple(edits)


def takes_stars(task_list: TaskList) -> bool:
    """Whether `- [ ]* ` says "optional" to the tools that read this file."""
    return task_list.dialect == "kiro"


def made_optional(parsed: Parsed, tasks: Sequence[Task], *, optional: bool) -> tuple[TextEdit, ...]:
    """The edits that put a star behind the boxes of tasks, or take it away. Other marks of optional tasks are left."""
    edits = []
    for task in tasks:
        if task.mark_column is None or task.optional == optional:
            continue
        column = task.mark_column + len(task.mark) + 1
        star = _STAR.match(parsed.lines[task.line], column)
        if optional:
            edits.append(replace(task.line, column, column, "*"))
        elif star is not None:
            edits.append(replace(task.line, *star.span(), ""))
    return tuple(edits)
