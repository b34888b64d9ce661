"""What a rule is: a function from facts to findings, under a stable code, and perhaps a fix for what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from kiro_lsp.spec.editing.edits import TextEdit
from kiro_lsp.spec.facts import Facts
from kiro_lsp.spec.model import Severity, Task


@dataclass(frozen=True, slots=True)
class Related:
    """A place that explains a finding. `path` is root-relative, "" for the task file itself."""

    path: str
    line: int
    message: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule found, at a place inside one line. Its severity is the rule's own until settings are asked."""

    line: int
    column: int
    message: str
    end_column: int | None = None
    """None: to the end of the line."""
    related: tuple[Related, ...] = ()
    key: str | None = None
    """The task that it is about."""
    code: str = ""
    severity: Severity = "warning"


@dataclass(frozen=True, slots=True)
class Fix:
    """A way to settle a finding that changes nothing else. The edits do not touch each other."""

    title: str
    edits: tuple[TextEdit, ...]


Check = Callable[[Facts], Iterable[Finding]]
Fixer = Callable[[Facts, Finding], Iterable[Fix]]


@dataclass(slots=True)
class Rule:
    code: str
    severity: Severity
    doc: str
    """The first line of the function's docstring."""
    check: Check


RULES: Final[dict[str, Rule]] = {}
FIXES: Final[dict[str, Fixer]] = {}


def rule(code: str, severity: Severity) -> Callable[[Check], Check]:
    """Makes a function the rule with this code. What it yields is given code and severity by `findings`."""

    def enter(check: Check) -> Check:
        doc = (check.__doc__ or "").strip().partition("\n")[0]
        RULES[code] = Rule(code, severity, doc, check)
        return check

    return enter


def fix(*codes: str) -> Callable[[Fixer], Fixer]:
    """Makes a function the fix for findings with these codes, its own or those of the parser."""

    def enter(fixer: Fixer) -> Fixer:
        for code in codes:
            FIXES[code] = fixer
        return fixer

    return enter


@dataclass(slots=True)
class Family:
    """The tasks of a file by what they are to each other; one for each list of tasks, made by `family_of`."""

    tasks: tuple[Task, ...]
    by_key: dict[str, Task]
    by_line: dict[int, Task]
    """0-based line of the box, heading or row → task."""
    children: dict[str, list[Task]]
    by_id: dict[str, Task] = field(default_factory=dict)
    """The first task with each id."""
    repeated: dict[str, list[Task]] = field(default_factory=dict)
    """All tasks with an id that several have."""
    neighbours: Sequence[list[Task]] = ()
    """Work under one heading and one parent, in the order of the file."""

    def inside(self, task: Task) -> Iterator[Task]:
        """The tasks around one, innermost first."""
        while task.parent is not None and task.parent in self.by_key:
            task = self.by_key[task.parent]
            yield task


_last: list[tuple[tuple[Task, ...], Family]] = []


def family_of(facts: Facts) -> Family:
    """The family of a file's tasks, kept for the list of tasks that was asked about last."""
    tasks = facts.tasks.tasks
    for known, family in _last:
        if known is tasks:
            return family
    found = Family(tasks, {task.key: task for task in tasks}, {task.line: task for task in tasks}, {})
    beside: dict[tuple[tuple[str, ...], str | None], list[Task]] = {}
    for task in tasks:
        if is_work(task):
            beside.setdefault((task.heading_path, task.parent), []).append(task)
        if task.parent is not None:
            found.children.setdefault(task.parent, []).append(task)
        if task.id is not None:
            first = found.by_id.setdefault(task.id, task)
            if first is not task:
                found.repeated.setdefault(task.id, [first]).append(task)
    found.neighbours = list(beside.values())
    _last[:] = [(tasks, found)]
    return found


def is_work(task: Task) -> bool:
    """Whether a task is something to do: no criterion, and not withdrawn."""
    return not task.criterion and not task.withdrawn


def title_column(facts: Facts, task: Task) -> int:
    """Where the title of a task begins in its line, id included."""
    line = facts.lines[task.line]
    start = 0 if task.mark_column is None else line.find("]", task.mark_column) + 1
    return start + len(line[start:]) - len(line[start:].lstrip(" \t*\\"))


def of_task(facts: Facts, task: Task, message: str, *related: Related, text: str | None = None) -> Finding:
    """A finding about a task: at `text` in its own lines where that stands, else at its id, else at its title."""
    if text:
        for number in range(task.line, min(task.end_line, len(facts.lines))):
            at = facts.lines[number].find(text)
            if at >= 0:
                return Finding(number, at, message, at + len(text), related, task.key)
    line = facts.lines[task.line]
    start = title_column(facts, task)
    end = None
    if task.id is not None and (at := line.find(task.id, start)) >= 0:
        start, end = at, at + len(task.id)
    return Finding(task.line, start, message, end, related, task.key)


def at_task(task: Task, message: str) -> Related:
    return Related("", task.line, message)


def name_of(task: Task) -> str:
    """How a task is called in a message."""
    if task.id is not None:
        return f"task {task.id}"
    title = task.title if len(task.title) <= 40 else f"{task.title[:39]}…"
    return f"the task “{title}”"
