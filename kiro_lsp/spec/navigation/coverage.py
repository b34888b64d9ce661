"""Which requirements of a document the tasks cover, and how far."""

from __future__ import annotations

from dataclasses import dataclass

from kiro_lsp.spec.assemble import Parsed
from kiro_lsp.spec.requirements import RequirementIndex


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the tasks do for the requirement that begins in `line`."""

    line: int
    tasks: int
    done: int

    @property
    def title(self) -> str:
        if not self.tasks:
            return "no task"
        return f"{self.tasks} {'task' if self.tasks == 1 else 'tasks'} · {self.done} done"


def coverage_of(parsed: Parsed, index: RequirementIndex, path: str) -> list[Coverage]:
    """One for every requirement of a root-relative path, in its order; criteria count for their requirement.

    Criteria of tasks and withdrawn tasks are no tasks here.
    """
    tops = {entry.ref: entry for entry in index.entries.values() if entry.path == path and not entry.owner}
    tops |= {entry.ref: entry for entry in index.names.values() if entry.path == path and entry.named}
    counts = {entry.line: [0, 0] for entry in tops.values()}
    known: dict[tuple[str, ...], set[int]] = {}
    for task in parsed.task_list.tasks:
        if not task.requirements or task.criterion or task.withdrawn:
            continue
        lines = known.get(task.requirements)
        if lines is None:
            hits = (hit for hit in index.resolve(task.requirements)[0] if hit.path == path)
            owners = (tops.get(hit.owner) if hit.owner else hit for hit in hits)
            lines = known[task.requirements] = {owner.line for owner in owners if owner is not None}
        for line in lines & counts.keys():
            counts[line][0] += 1
            counts[line][1] += task.status == "done"
    return [Coverage(line, *counts[line]) for line in sorted(counts)]
