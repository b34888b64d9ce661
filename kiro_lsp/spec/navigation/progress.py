"""How much is done below a heading and inside a task with sub-tasks."""

from __future__ import annotations

from typing import NamedTuple

from kiro_lsp.spec.assemble import Parsed, Rows
from kiro_lsp.spec.navigation.tree import tree_of


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
    tree, rows = tree_of(parsed), parsed.rows
    counts: dict[int, _Counts] = {}
    found: list[Progress] = []
    for node in reversed(range(len(tree.lines))):
        own = counts.pop(node, None) or _Counts()
        done, total = (own.done, own.total) if own.total else (own.criteria_done, own.criteria)
        if total:
            found.append(Progress(tree.lines[node], done, total))
        if tree.above[node] >= 0:
            _add(counts.setdefault(tree.above[node], _Counts()), own, rows, tree.rows[node])
    found.reverse()
    return found


def _add(outer: _Counts, inner: _Counts, rows: Rows, row: int) -> None:
    """`row` of what `inner` counts, -1 for a heading."""
    if row < 0 or (inner.total and not rows.withdrawn[row] and not rows.criteria[row]):
        outer.done += inner.done
        outer.total += inner.total
    elif rows.withdrawn[row]:
        return
    elif rows.criteria[row]:
        outer.criteria += 1
        outer.criteria_done += rows.statuses[row] == "done"
    else:
        outer.total += 1
        outer.done += rows.statuses[row] == "done"
