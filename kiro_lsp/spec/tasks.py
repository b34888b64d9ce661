"""Task files: text in, tasks and problems out; statuses written back one byte at a time. The public face of parsing.

`parse` never fails: what is odd becomes a problem, with its place and what to do. Nothing here reads or writes a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kiro_lsp.spec.assemble import Parsed, drafted
from kiro_lsp.spec.decoding import Decoded, decode
from kiro_lsp.spec.dialects import is_task_file
from kiro_lsp.spec.finding import anchor_of, find, relocate, selector_of, selector_of_key, selectors
from kiro_lsp.spec.lines import split_lines
from kiro_lsp.spec.marks import apply_mark, mark_edit, mark_for
from kiro_lsp.spec.model import Dialect, MarkEdit, Problem, Summary, Task, TaskAnchor, TaskList, TaskStatus
from kiro_lsp.spec.order import order_of

__all__ = [
    "Decoded",
    "Dialect",
    "MarkEdit",
    "Parsed",
    "Problem",
    "Summary",
    "Task",
    "TaskAnchor",
    "TaskList",
    "TaskStatus",
    "anchor_of",
    "apply_mark",
    "children",
    "decode",
    "find",
    "is_group",
    "is_runnable",
    "is_task_file",
    "mark_edit",
    "mark_for",
    "parse",
    "parsed",
    "relocate",
    "selector_of",
    "selector_of_key",
    "selectors",
    "split_lines",
    "summary",
    "tasks_json",
    "why_not_runnable",
]

_STATES: Final[tuple[TaskStatus, ...]] = ("open", "in-progress", "done", "blocked", "unknown")


def parse(text: str, path: str = "") -> TaskList:
    """The tasks of a file. `path` as given, POSIX or Windows; it only helps to tell the dialect. Never raises."""
    return parsed(text, path).task_list


def parsed(text: str, path: str = "") -> Parsed:
    """The same with lines and blocks. Behind a byte order mark the columns of the blocks' line 0 do not count it."""
    return drafted(split_lines(text), path)


def summary(task_list: TaskList) -> Summary:
    """Counts over every box that is a task or a criterion. In a file without boxes, over its tasks in headings or tables."""
    boxes: Sequence[Task] = [task for task in task_list.tasks if task.mark_column is not None] or task_list.tasks
    count = dict.fromkeys(_STATES, 0)
    for task in boxes:
        count[task.status] += 1
    return Summary(
        total=len(boxes),
        open=count["open"],
        in_progress=count["in-progress"],
        done=count["done"],
        blocked=count["blocked"],
        unknown=count["unknown"],
        optional=sum(task.optional for task in boxes),
        with_id=sum(task.id is not None for task in boxes),
    )


def children(task_list: TaskList, task: Task) -> tuple[Task, ...]:
    """The tasks and criteria directly below a task, in file order."""
    return tuple(other for other in task_list.tasks if other.parent == task.key)


def is_group(task_list: TaskList, task: Task) -> bool:
    """Whether a task has sub-tasks of its own that are still to be done: running it means running those."""
    return any(_is_open(child) for child in children(task_list, task))


def _is_open(task: Task) -> bool:
    return task.status != "done" and not task.criterion and not task.withdrawn


def is_runnable(task_list: TaskList, task: Task) -> bool:
    """Whether a run lens belongs on this task. Sub-tasks still open make it a group (`is_group`), which is runnable too."""
    return why_not_runnable(task_list, task) is None


def why_not_runnable(task_list: TaskList, task: Task) -> str | None:
    """Why a task cannot be run by itself, as a sentence; None if it can. A done task may be run again."""
    if task.criterion:
        parent = next((other for other in task_list.tasks if other.key == task.parent), None)
        owner = f" of task {parent.key}: run that" if parent is not None else ", not a task"
        return f"This is an acceptance criterion{owner}."
    if task.withdrawn:
        return "This task was withdrawn: it is struck through or marked as dropped."
    return None


def tasks_json(path: str, task_list: TaskList) -> dict[str, object]:
    """The object that `tasks --json` prints for one file. Lines and columns count from 1."""
    counts = summary(task_list)
    return {
        "path": path,
        "dialect": task_list.dialect,
        "tasks": [_task_json(task) for task in task_list.tasks],
        "waves": [list(wave) for wave in order_of(task_list).waves],
        "problems": [_problem_json(problem) for problem in task_list.problems],
        "summary": {
            "total": counts.total,
            "open": counts.open,
            "inProgress": counts.in_progress,
            "done": counts.done,
            "blocked": counts.blocked,
            "unknown": counts.unknown,
            "optional": counts.optional,
            "withId": counts.with_id,
        },
    }


def _task_json(task: Task) -> dict[str, object]:
    return {
        "key": task.key,
        "id": task.id,
        "title": task.title,
        "status": task.status,
        "mark": task.mark,
        "line": task.line + 1,
        "depth": task.depth,
        "optional": task.optional,
        "parallel": task.parallel,
        "story": task.story,
        "section": task.section,
        "parent": task.parent,
        "requirements": list(task.requirements),
        "dependsOn": list(task.depends_on),
        "files": list(task.files),
        "metadata": dict(task.metadata),
        "body": task.body,
    }


def _problem_json(problem: Problem) -> dict[str, object]:
    return {
        "line": problem.line + 1,
        "column": problem.column + 1,
        "code": problem.code,
        "severity": problem.severity,
        "message": problem.message,
    }
