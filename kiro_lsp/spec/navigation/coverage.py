"""Which requirements of a document the tasks cover, and how far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kiro_lsp.spec.model import Task
from kiro_lsp.spec.requirements import RequirementIndex


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the tasks do for the requirement that begins in `line`."""

    line: int
    ref: str
    """The id of the requirement, or its name where it has none."""
    tasks: int
    done: int

    @property
    def title(self) -> str:
        if not self.tasks:
            return "no task"
        return f"{self.tasks} {'task' if self.tasks == 1 else 'tasks'} · {self.done} done"


def coverage_of(
    covering: Mapping[tuple[str, int], Sequence[Task]], index: RequirementIndex, path: str
) -> list[Coverage]:
    """One for every requirement of a root-relative path, in its order; criteria count for their requirement.

    `covering` is what `tasks_by_requirement` found. Criteria of tasks and withdrawn tasks are no tasks here.
    """
    listed = (*index.entries.values(), *(entry for entry in index.names.values() if entry.named))
    tops = {entry.line: entry.ref for entry in reversed(listed) if entry.path == path and not entry.owner}
    found = []
    for line in sorted(tops):
        tasks = [task for task in covering.get((path, line), ()) if not task.criterion and not task.withdrawn]
        found.append(Coverage(line, tops[line], len(tasks), sum(task.status == "done" for task in tasks)))
    return found
