"""Rules about marks that contradict each other, or what is going on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from kiro_lsp.spec.checks.rule import Finding, Fix, family_of, fix, is_work, rule
from kiro_lsp.spec.editing.edits import replace as replaced
from kiro_lsp.spec.facts import Facts
from kiro_lsp.spec.marks import is_writable, mark_for
from kiro_lsp.spec.model import MarkEdit, Task, TaskStatus

_SETTLED: Final = frozenset({"failed", "cancelled", "budget", "interrupted", "rejected", "undone"})


def _at_mark(task: Task, message: str) -> Finding:
    column = task.mark_column or 0
    return Finding(task.line, max(0, column - 1), message, column + len(task.mark) + 1, (), task.key)


@rule("open-above-done", "information")
def open_above_done(facts: Facts) -> Iterator[Finding]:
    """All sub-tasks are done, the task itself is not."""
    family = family_of(facts)
    for key, children in family.children.items():
        task = family.by_key.get(key)
        if task is None or not is_work(task) or task.status not in ("open", "in-progress") or task.mark_column is None:
            continue
        work = [child for child in children if is_work(child)]
        if len(work) < 2 or task.optional or any(child.criterion and child.status != "done" for child in children):
            continue
        if all(child.status == "done" for child in work):
            these = "Both" if len(work) == 2 else f"All {len(work)}"
            message = f"{these} sub-tasks of this task are done; it is not marked done itself."
            yield _at_mark(task, message)


@rule("no-run", "hint")
def no_run(facts: Facts) -> Iterator[Finding]:
    """A task is marked in progress, but its last run has ended and nothing works on it."""
    family = family_of(facts)
    for key, run in facts.runs.items():
        task = family.by_key.get(key)
        if task is None or task.status != "in-progress" or run.is_live or run.state not in _SETTLED:
            continue
        if not any(is_work(child) for child in family.children.get(key, ())):
            yield _at_mark(
                task, f"This task is marked in progress, but its last run, with {run.label}, has ended ({run.state})."
            )


def _marked(facts: Facts, key: str | None, status: TaskStatus, title: str) -> Iterable[Fix]:
    task = family_of(facts).by_key.get(key or "")
    if task is None or task.mark_column is None or not is_writable(task.mark, task.mark_column):
        return
    mark = mark_for(facts.tasks, status, facts.path)
    if mark:
        edit = MarkEdit(task.line, task.mark_column, task.mark_column + len(task.mark), mark)
        yield Fix(title, (replaced(edit.line, edit.start, edit.end, edit.new),))


@fix("open-above-done")
def mark_done(facts: Facts, finding: Finding) -> Iterable[Fix]:
    """The done mark that the file uses."""
    return _marked(facts, finding.key, "done", "Mark it done")


@fix("no-run")
def mark_open(facts: Facts, finding: Finding) -> Iterable[Fix]:
    """Back to open."""
    return _marked(facts, finding.key, "open", "Mark it open")
