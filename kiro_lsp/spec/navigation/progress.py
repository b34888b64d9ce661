"""How much is done below a heading and inside a task with sub-tasks."""

from __future__ import annotations

from typing import NamedTuple

from kiro_lsp.spec.assemble import Parsed
from kiro_lsp.spec.model import Task
from kiro_lsp.spec.navigation.tree import tree_of, walk


class Progress(NamedTuple):
    line: int
    done: int
    total: int


class _Counts:
    __slots__ = ("criteria", "criteria_done", "done", "total")

    def __init__(self) -> None:
        self.done = self.total = self.criteria_done = self.criteria = 0


def progress_of(parsed: Parsed) -> list[Progress]:
    """One for each heading and each task that has tasks in it, in the order of the file.

    What is counted are the tasks that have none inside, without those that were dropped; acceptance criteria only for the
    task or heading that they belong to, and only where it has no tasks.
    """
    counts: dict[int, _Counts] = {}
    found: list[Progress] = []
    nodes = walk(tree_of(parsed))
    for node, above in reversed(nodes):
        own = counts.pop(id(node), None) or _Counts()
        done, total = (own.done, own.total) if own.total else (own.criteria_done, own.criteria)
        if total:
            found.append(Progress(node.line, done, total))
        if above is not None:
            _add(counts.setdefault(id(above), _Counts()), own, node.task)
    found.reverse()
    return found


def _add(outer: _Counts, inner: _Counts, task: Task | None) -> None:
    if task is None or (inner.total and not task.withdrawn and not task.criterion):
        outer.done += inner.done
        outer.total += inner.total
    elif task.withdrawn:
        return
    elif task.criterion:
        outer.criteria += 1
        outer.criteria_done += task.status == "done"
    else:
        outer.total += 1
        outer.done += task.status == "done"
