"""Finding a task: by what a person or program calls it, and again in a file that was edited meanwhile."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from kiro_lsp.errors import AmbiguousTask, Candidate, UnknownTask
from kiro_lsp.spec.keys import title_hash
from kiro_lsp.spec.model import Task, TaskAnchor, TaskList

_NAMED_AT_MOST: Final = 12
_RANGE: Final = re.compile(r"(T|[A-Z]+-?)?(\d+)-(?:\1)?(\d+)\Z")


def selector_of(task_list: TaskList, task: Task) -> str:
    """What `find` resolves to exactly this task: its key, or `key~1` for the first of several with one id."""
    return _selector(task, sum(other.id == task.id for other in task_list.tasks))


def selectors(task_list: TaskList) -> dict[str, str]:
    """`selector_of` for every task, by key, in the time that one walk through the file takes."""
    carriers = Counter(task.id for task in task_list.tasks)
    return {task.key: _selector(task, carriers[task.id]) for task in task_list.tasks}


def _selector(task: Task, carriers: int) -> str:
    return f"{task.key}~1" if task.id is not None and task.key == task.id and carriers > 1 else task.key


def selector_of_key(key: str) -> str:
    """What `find` resolves to exactly the task with this key, also where other tasks have the same id."""
    return f"{key}~1"


def find(task_list: TaskList, selector: str) -> Task:
    """The task that a selector names: by key, by id, and only if no task has it by 1-based line; `:12` is always line 12.

    An id that several tasks carry is refused; `id~1`, `id~2` … and `:line` then name one of them. Raises UnknownTask, which
    says what exists, and AmbiguousTask with the candidates.
    """
    wanted = selector.strip()
    if wanted.startswith(":") and wanted[1:].isdecimal():
        return _at_line(task_list, int(wanted[1:]), selector)
    by_id = [task for task in task_list.tasks if task.id == wanted]
    if len(by_id) > 1:
        raise _ambiguous(selector, by_id)
    for task in task_list.tasks:
        if wanted in (task.key, f"{task.key}~1"):
            return task
    within = [task for task in task_list.tasks if task.id is not None and _in_range(task.id, wanted)]
    loose = (
        by_id
        or within
        or [task for task in task_list.tasks if task.id and task.id.casefold() == wanted.casefold().rstrip(".:")]
    )
    if len(loose) > 1:
        raise _ambiguous(selector, loose)
    if loose:
        return loose[0]
    if wanted.isdecimal() and len(wanted) < 10:
        return _at_line(task_list, int(wanted), selector)
    raise _unknown(task_list, f"There is no task {selector!r}.")


def _at_line(task_list: TaskList, line: int, selector: str) -> Task:
    for task in task_list.tasks:
        if task.line == line - 1:
            return task
    what = (
        f"no task {selector!r}, and no task on line {line}"
        if not selector.strip().startswith(":")
        else f"no task on line {line}"
    )
    raise _unknown(task_list, f"There is {what}.")


def _in_range(identifier: str, wanted: str) -> bool:
    """Whether one item for a range of ids (`T062-T067`) covers the wanted one."""
    match = _RANGE.match(identifier)
    if match is None:
        return False
    prefix = match[1] or ""
    number = wanted.removeprefix(prefix)
    return (
        wanted.startswith(prefix)
        and number.isdecimal()
        and len(number) < 10
        and int(match[2]) <= int(number) <= int(match[3])
    )


def _unknown(task_list: TaskList, message: str) -> UnknownTask:
    if not task_list.tasks:
        return UnknownTask(message, hint="The file has no tasks.")
    names = ", ".join(f"{task.key} (line {task.line + 1})" for task in task_list.tasks[:_NAMED_AT_MOST])
    left = len(task_list.tasks) - _NAMED_AT_MOST
    return UnknownTask(message, hint=f"It has {names}{f' and {left} more' if left > 0 else ''}.")


def _ambiguous(selector: str, tasks: Sequence[Task]) -> AmbiguousTask:
    where = ", ".join(f"line {task.line + 1} ({task.title})" for task in tasks[:_NAMED_AT_MOST])
    ways = " or ".join(f":{task.line + 1}" for task in tasks[:_NAMED_AT_MOST])
    return AmbiguousTask(
        f"Several tasks are called {selector!r}: {where}.",
        tuple(Candidate(task.key, task.line + 1, task.title) for task in tasks),
        hint=f"Say which one by its line, {ways}, or by its key with a number, {tasks[0].key}~1 or {tasks[1].key}.",
    )


def anchor_of(task_list: TaskList, task: Task) -> TaskAnchor:
    """What a run remembers, so that `relocate` finds the task again."""
    at = next(number for number, other in enumerate(task_list.tasks) if other.key == task.key)
    before, after = _neighbours(task_list.tasks, at)
    return TaskAnchor(task.key, task.id, title_hash(task.title), task.heading_path, before, after)


def _neighbours(tasks: Sequence[Task], at: int) -> tuple[str | None, str | None]:
    before = title_hash(tasks[at - 1].title) if at > 0 else None
    after = title_hash(tasks[at + 1].title) if at + 1 < len(tasks) else None
    return before, after


def relocate(task_list: TaskList, anchor: TaskAnchor) -> Task | None:
    """The same task in a file that may have been edited; None when it is gone or could be one of several.

    The title or the id may have changed, not both, and what has not changed needs the place as its witness: the heading
    above or a neighbour. Better no tick than a wrong one.
    """
    tasks = task_list.tasks
    titles = [title_hash(task.title) for task in tasks]
    same_id = [number for number, task in enumerate(tasks) if task.id == anchor.id and anchor.id is not None]
    both = [number for number, task in enumerate(tasks) if titles[number] == anchor.title_hash and task.id == anchor.id]
    if both:
        return _only(task_list, titles, anchor, both, least=1)
    renumbered = [number for number in range(len(tasks)) if titles[number] == anchor.title_hash]
    if renumbered and anchor.id is not None and not same_id:
        return _only(task_list, titles, anchor, renumbered, least=2)
    if not renumbered and len(same_id) == 1:
        return _only(task_list, titles, anchor, same_id, least=3)
    return None


def _only(
    task_list: TaskList, titles: Sequence[str], anchor: TaskAnchor, numbers: Sequence[int], *, least: int
) -> Task | None:
    """The one candidate with the most witnesses, at least `least` of three; None on a tie."""

    def witnesses(number: int) -> int:
        before = titles[number - 1] if number > 0 else None
        after = titles[number + 1] if number + 1 < len(titles) else None
        heading = task_list.tasks[number].heading_path == anchor.heading_path
        return heading + (before == anchor.before) + (after == anchor.after)

    ranked = sorted(((witnesses(number), -number) for number in numbers), reverse=True)
    best, at = ranked[0]
    if best < least or (len(ranked) > 1 and ranked[1][0] == best):
        return None
    return task_list.tasks[-at]
