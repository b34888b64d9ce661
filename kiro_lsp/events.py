"""RunEvent: the one kind of fact about a run, and how facts reach those who look.

A run is a numbered list of events. The engine appends an event to the store first and publishes it then, so what a face
has shown survives a crash. Status, ledger, progress and dashboard are folds of this list. The field names and their
camelCase spelling on the wire are a contract with other programs (docs/protocol.md): extend, never rename.

This module knows no run registry, no database and no editor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, get_args

from kiro_lsp.changes.model import FileAction

RunState = Literal[
    "queued",
    "running",
    "waiting",
    "verifying",
    "review",
    "applying",
    "applied",
    "rejected",
    "conflict",
    "undone",
    "failed",
    "cancelled",
    "budget",
    "interrupted",
]
RUN_STATES: Final[tuple[RunState, ...]] = get_args(RunState)

LIVE_STATES: Final[frozenset[RunState]] = frozenset({"queued", "running", "waiting", "verifying", "applying"})
"""An owner process is at work; without one the run is `interrupted`."""

REVIEWABLE_STATES: Final[frozenset[RunState]] = frozenset(
    {"verifying", "review", "conflict", "failed", "cancelled", "budget", "interrupted"}
)
"""The staged changes, if there are any, can be accepted or rejected."""

Way = Literal["api", "acp", "cli", "mcp", "replay", "paste"]
"""How the changes came; `paste`: a person brought an answer, no agent ran."""

Billing = Literal["metered", "subscription", "local"]
OptionKind = Literal["allow-once", "allow-run", "allow-always", "deny"]


@dataclass(frozen=True, slots=True)
class PlanEntry:
    text: str
    status: Literal["pending", "in_progress", "completed"]


@dataclass(frozen=True, slots=True)
class PermissionOption:
    id: str
    label: str
    kind: OptionKind


@dataclass(frozen=True, slots=True)
class CommandDetail:
    """What exactly is asked for. A consent covers this digest and nothing else."""

    argv: tuple[str, ...]
    cwd: str
    env: Mapping[str, str]
    digest: str


@dataclass(frozen=True, slots=True)
class Start:
    agent: str
    way: Way
    model: str
    task: str
    reason: str
    continues: str | None = None
    """The run whose staged changes this one goes on from."""
    comment: str | None = None
    """What the person said of that run's changes."""


@dataclass(frozen=True, slots=True)
class Session:
    """The agent's own session: what it is told to open again when a later run goes on from this one."""

    session_id: str


@dataclass(frozen=True, slots=True)
class State:
    from_: RunState
    to: RunState
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Isolation:
    level: Literal["memory", "overlay", "bubblewrap", "copy"]
    network: str


@dataclass(frozen=True, slots=True)
class Phase:
    """One of the words people see: starting, copying, thinking, reading, editing, running, waiting, verifying, review."""

    phase: str
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    text: str


@dataclass(frozen=True, slots=True)
class Thought:
    text: str


@dataclass(frozen=True, slots=True)
class Plan:
    entries: tuple[PlanEntry, ...]


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool call; `kind` is one of ACP's (read, edit, delete, move, search, execute, think, fetch, other)."""

    id: str
    kind: str
    title: str
    status: Literal["pending", "in_progress", "completed", "failed"]
    path: str | None = None
    output: str | None = None
    """What a command printed, or why the call failed, once it is over; of much the beginning and the end."""


@dataclass(frozen=True, slots=True)
class File:
    action: FileAction
    path: str
    to: str | None = None


@dataclass(frozen=True, slots=True)
class Permission:
    request_id: str
    kind: str
    title: str
    options: tuple[PermissionOption, ...]
    detail: CommandDetail | None = None
    words: bool | None = None
    """True where the agent asks something that an answer in words answers."""


@dataclass(frozen=True, slots=True)
class Answer:
    request_id: str
    option: str
    by: str
    text: str | None = None
    """What the person said beside the option, or instead of one."""


@dataclass(frozen=True, slots=True)
class UsageReport:
    """Usage of the whole run so far. `cost` is a decimal string in USD; None means unknown, never zero."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost: str | None
    billing: Billing
    turns: int | None = None
    """Requests that were answered, or may have been."""


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that the person should hear once, though the run goes on. `kind` is "budget"."""

    kind: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Verifying:
    """The verify command has begun; `Verify` follows, unless it is stopped."""

    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verify:
    """What the verify command said. The first line of `summary` is the result; what failed stands below it."""

    command: tuple[str, ...]
    ok: bool
    seconds: float
    summary: str
    revision: int | None = None
    """Of the review, when the command was started."""
    contents: str | None = None
    """A digest of what was verified: what every file of the change set held."""


@dataclass(frozen=True, slots=True)
class ReviewReady:
    files_changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Complete:
    files_changed: tuple[str, ...]
    files_created: int
    files_modified: int
    files_deleted: int
    tests_added: int
    summary: str


@dataclass(frozen=True, slots=True)
class Error:
    kind: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    pass


@dataclass(frozen=True, slots=True)
class Applied:
    files: tuple[str, ...]
    partial: bool
    ticked: bool
    merged: tuple[str, ...] | None = None
    """Files that keep what somebody else changed meanwhile; None without any."""
    verified: bool | None = None
    """Whether the verify command was content with exactly this; None where there is none."""


@dataclass(frozen=True, slots=True)
class Rejected:
    files: tuple[str, ...]
    hunks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConflictFound:
    files: tuple[str, ...]
    reasons: tuple[str, ...] | None = None
    """Why, one for each of `files`; None where that is not known."""


@dataclass(frozen=True, slots=True)
class Undone:
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Superseded:
    """A later run goes on from this one: its review holds these changes too, and is the one to decide on."""

    by: str


RunEvent = (
    Start
    | Session
    | State
    | Isolation
    | Phase
    | Chunk
    | Thought
    | Plan
    | Tool
    | File
    | Permission
    | Answer
    | UsageReport
    | Warned
    | Verifying
    | Verify
    | ReviewReady
    | Complete
    | Error
    | Cancelled
    | Applied
    | Rejected
    | ConflictFound
    | Undone
    | Superseded
)

_TYPE_OF: Final[dict[type, str]] = {
    Start: "start",
    Session: "session",
    State: "state",
    Isolation: "isolation",
    Phase: "phase",
    Chunk: "chunk",
    Thought: "thought",
    Plan: "plan",
    Tool: "tool",
    File: "file",
    Permission: "permission",
    Answer: "answer",
    UsageReport: "usage",
    Warned: "warning",
    Verifying: "verifying",
    Verify: "verify",
    ReviewReady: "review",
    Complete: "complete",
    Error: "error",
    Cancelled: "cancelled",
    Applied: "applied",
    Rejected: "rejected",
    ConflictFound: "conflict",
    Undone: "undone",
    Superseded: "superseded",
}
_CLASS_OF: Final = {name: cls for cls, name in _TYPE_OF.items()}

EVENT_TYPES: Final = frozenset(_CLASS_OF)
"""The `type` words of the wire that this version knows."""

_OPTIONAL: Final = frozenset(
    {"reason", "detail", "path", "to", "merged", "reasons", "turns", "continues", "comment", "words", "text"}
    | {"revision", "contents", "verified", "output"}
)
"""Fields that stay away from the wire when they are None; `cost` is null there, because null says something."""

ENDED: Final = (Complete, Error, Cancelled)
"""Exactly one of these comes in a run, when the executor has ended."""

SETTLED: Final = (Applied, Rejected, ConflictFound, Undone)
"""What became of the staged changes, as it happens."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """An event with its place: `seq` counts 1, 2, … per run, `at` is RFC 3339 in UTC."""

    run_id: str
    seq: int
    at: str
    event: RunEvent

    @property
    def type(self) -> str:
        return _TYPE_OF[type(self.event)]


def to_wire(envelope: Envelope) -> dict[str, Any]:
    """The JSON object of architecture 5.3: type, runId, seq, at, then the event's own fields in camelCase."""
    head = {"type": envelope.type, "runId": envelope.run_id, "seq": envelope.seq, "at": envelope.at}
    return head | _body(envelope.event)


def body_to_wire(event: RunEvent) -> tuple[str, dict[str, Any]]:
    """(type, fields): what the store keeps of an event."""
    return _TYPE_OF[type(event)], _body(event)


def event_from_wire(type_: str, body: Mapping[str, Any]) -> RunEvent:
    """The event that `body_to_wire` described. Unknown extra fields are ignored, so newer writers can be read.

    Raises ValueError for an unknown type or a missing field.
    """
    cls = _CLASS_OF.get(type_)
    if cls is None:
        raise ValueError(f"unknown event type {type_!r}")
    values: dict[str, Any] = {}
    for spec in fields(cls):
        wire = _camel(spec.name)
        if wire in body:
            values[spec.name] = _read_value(spec.name, body[wire])
    try:
        return cls(**values)  # type: ignore[no-any-return]  # the table holds RunEvent classes only
    except TypeError as error:
        raise ValueError(f"event {type_!r}: {error}") from error


def _body(event: RunEvent) -> dict[str, Any]:
    return _plain(event)  # type: ignore[no-any-return]


def _plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return {
            _camel(spec.name): _plain(item)
            for spec in fields(value)
            if (item := getattr(value, spec.name)) is not None or spec.name not in _OPTIONAL
        }
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return dict(value)
    return value


def _read_value(name: str, value: Any) -> Any:
    if name == "entries":
        return tuple(PlanEntry(**entry) for entry in value)
    if name == "options":
        return tuple(PermissionOption(**option) for option in value)
    if name == "detail" and isinstance(value, Mapping):
        return CommandDetail(tuple(value["argv"]), value["cwd"], dict(value["env"]), value["digest"])
    return tuple(value) if isinstance(value, list) else value


def _camel(name: str) -> str:
    head, *rest = name.rstrip("_").split("_")
    return head + "".join(word.capitalize() for word in rest)


def state_of(events: Iterable[RunEvent]) -> RunState:
    """The state of a run as a fold of its events: the `to` of the last State, `queued` before the first."""
    state: RunState = "queued"
    for event in events:
        if isinstance(event, State):
            state = event.to
    return state


@dataclass(slots=True)
class Subscription:
    """A bounded queue of envelopes for one reader.

    A reader that is too slow is closed (`lagged` is set) and must ask again from the last `seq` it saw, instead of
    holding memory or blocking the run.
    """

    run_id: str | None
    """Only events of this run; None follows all runs."""
    queue: asyncio.Queue[Envelope | None]
    lagged: bool = False

    async def next(self) -> Envelope | None:
        """The next envelope, or None when the stream is closed."""
        return await self.queue.get()


@dataclass(slots=True)
class EventStream:
    """Fan-out of published envelopes. Belongs to one event loop; `publish` must be called on it."""

    capacity: int = 1000
    _subscriptions: list[Subscription] = field(default_factory=list)

    def subscribe(self, run_id: str | None = None) -> Subscription:
        subscription = Subscription(run_id, asyncio.Queue(self.capacity + 1))
        self._subscriptions.append(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    def publish(self, envelopes: Sequence[Envelope]) -> None:
        for envelope in envelopes:
            for subscription in list(self._subscriptions):
                if subscription.run_id not in (None, envelope.run_id):
                    continue
                if subscription.queue.qsize() >= self.capacity:
                    subscription.lagged = True
                    self._close(subscription)
                else:
                    subscription.queue.put_nowait(envelope)

    def close(self) -> None:
        for subscription in list(self._subscriptions):
            self._close(subscription)

    def _close(self, subscription: Subscription) -> None:
        self.unsubscribe(subscription)
        subscription.queue.put_nowait(None)
