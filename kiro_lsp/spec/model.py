"""The values of the spec layer: Task, TaskList, Problem. Pure data; parsing is in tasks.py.

Positions: lines are 0-based, columns are 0-based character (code point) offsets in their line, spans are half-open.
Faces add 1 to lines where people or the JSON contract count from 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Dialect = Literal["kiro", "spec-kit", "spec-workflow", "openspec", "checklist"]
TaskStatus = Literal["open", "in-progress", "done", "blocked", "unknown"]
Severity = Literal["error", "warning", "information", "hint"]


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault found in a spec or configuration file: a value, never an exception."""

    line: int
    column: int
    code: str
    severity: Severity
    message: str
    end_column: int | None = None


@dataclass(frozen=True, slots=True)
class Task:
    key: str
    """Names the task uniquely in its file: the id, `id~2` for a repeated id, `#` + 8 hex without one."""
    id: str | None
    title: str
    status: TaskStatus
    mark: str
    """The raw character in the box, "" for `[]` and for forms without a box."""
    line: int
    mark_column: int | None
    """Where the mark stands in its line (for `[]`: where it would be inserted); None if it is not writable."""
    end_line: int
    """First line after the task's own body (sub-tasks excluded where they are tasks of their own)."""
    depth: int
    optional: bool = False
    parallel: bool = False
    story: str | None = None
    section: str | None = None
    heading_path: tuple[str, ...] = ()
    parent: str | None = None
    requirements: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    criterion: bool = False
    """An acceptance criterion of another task or heading: counted, never run by itself."""
    withdrawn: bool = False
    """Struck through or marked as dropped: shown, never run."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts over every box; the five states sum to `total`."""

    total: int
    open: int
    in_progress: int
    done: int
    blocked: int
    unknown: int
    optional: int
    with_id: int


@dataclass(frozen=True, slots=True)
class TaskList:
    dialect: Dialect
    tasks: tuple[Task, ...]
    problems: tuple[Problem, ...]
    waves: tuple[tuple[str, ...], ...] = ()
    """Task ids that may run together, in order, from the file's own dependency graph."""
    legend: Mapping[str, TaskStatus | None] = field(default_factory=dict)
    """Marks that the file itself explains; None for one that says "will not be done"."""


@dataclass(frozen=True, slots=True)
class TaskAnchor:
    """What a run remembers of its task, so that the tick finds it again in an edited file or writes nothing."""

    key: str
    id: str | None
    title_hash: str
    """sha256 hex of the NFC title with blanks collapsed."""
    heading_path: tuple[str, ...]
    before: str | None
    """Title hash of the task above, None at the top."""
    after: str | None


@dataclass(frozen=True, slots=True)
class MarkEdit:
    """Replace the characters `start:end` of `line` by `new`: at most one character."""

    line: int
    start: int
    end: int
    new: str
