"""The rows of the store as values: runs, owners, journal entries, control rows, ledger answers.

Frozen data with plain fields; how they are kept is the other modules' business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kiro_lsp.changes.model import Decision
from kiro_lsp.events import Billing, RunEvent, RunState, Way
from kiro_lsp.spec.model import TaskAnchor


@dataclass(frozen=True, slots=True)
class Owner:
    """A process that cannot be mistaken for a later one with the same number."""

    pid: int
    start_ticks: int
    """When it started, in the kernel's clock ticks since boot (0 where the system does not say)."""
    boot_id: str
    serial: str = "0"
    """Tells several engines of one process apart."""

    @property
    def key(self) -> str:
        return f"{self.pid}-{self.start_ticks}-{self.serial}-{self.boot_id}"


@dataclass(frozen=True, slots=True)
class RunRecord:
    run_id: str
    root: str
    """Real path of the project."""
    path: str
    """The task file, root-relative with `/`; "" for a run without a task (an answer that a person pasted)."""
    task_key: str
    title: str
    agent: str
    way: Way
    model: str
    billing: Billing
    state: RunState
    started_at: str
    anchor: TaskAnchor
    task_id: str | None = None
    owner: Owner | None = None
    replay: bool = False
    reason: str = ""
    """Why this agent was chosen."""
    note: str | None = None
    ended_at: str | None = None
    cost: str | None = "0"
    """Decimal string in USD so far; None: not known."""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    turns: int = 0
    """Requests that were answered, or may have been."""
    charged: str = "0"
    """Decimal string in USD: what counts against the caps, which is more than `cost` where that is not known."""
    files: int = 0
    """Files in the staged change set."""
    revision: int = 1
    """Moves on with every decision."""
    intent: Mapping[str, Any] | None = None
    session: str | None = None
    """The agent's own session, where it said one."""
    continues: str | None = None
    """The run from whose staged changes this one went on."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A text that was kept for a project, and how many seconds ago."""

    text: str
    age: float


JournalKind = Literal["accept", "undo", "tick", "restore"]
JournalState = Literal["PREPARED", "APPLYING", "VERIFIED", "ROLLED_BACK", "CONFLICT"]


@dataclass(frozen=True, slots=True)
class JournalFile:
    """One file of an apply: its content and mode before and after (None: not there), and where it is written."""

    path: str
    where: Literal["disk", "buffer"]
    before: bytes | None
    after: bytes | None
    before_mode: int | None = None
    after_mode: int | None = None
    made_dirs: tuple[str, ...] = ()
    """Folders that writing it had to make, outermost first; an undo removes them when they are empty."""


@dataclass(frozen=True, slots=True)
class Journal:
    run_id: str
    kind: JournalKind
    files: tuple[JournalFile, ...]
    state: JournalState = "PREPARED"
    decisions: Mapping[str, Mapping[str, Decision]] = field(default_factory=dict)
    """What is decided when this is VERIFIED: path → hunk id → decision."""
    revision: int = 0
    id: int = 0
    created_at: str = ""


@dataclass(frozen=True, slots=True)
class ControlRow:
    """A request from one process to another."""

    id: int
    kind: str
    run_id: str | None
    args: Mapping[str, Any]
    by: str


@dataclass(frozen=True, slots=True)
class Reservation:
    id: int
    nano: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing was reserved. Amounts are nano-dollars."""

    message: str
    setting: str
    """The cap that could have been passed: `max_cost_per_run` or `max_cost_per_day`."""
    cap: int
    spent: int
    reserved: int


@dataclass(frozen=True, slots=True)
class Spent:
    """Nano-dollars: settled, still reserved, and how many requests have an unknown cost (charged as reserved)."""

    spent: int
    reserved: int
    unknown: int


@dataclass(frozen=True, slots=True)
class Warn:
    """What is said, once a day, when what a day has cost reaches `at` nano-dollars."""

    at: int
    said: Callable[[str, Spent], RunEvent]
    """The event for a ledger's day and what counts on it."""
    time: str
    """RFC 3339, of the event."""


@dataclass(frozen=True, slots=True)
class CostRow:
    key: str
    runs: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    nano: int | None
    """What is known of the cost; None when nothing is."""
    unknown: int
    """Requests whose cost is not known; each is charged as it was reserved."""
    turns: int = 0
    charged: int = 0
    """What counts against the caps: what is known, and the reservations of what is not."""
    metered: bool = False
    """Whether any of it is paid by the token."""
