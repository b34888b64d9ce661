"""What an executor is: one request in, one result out, and a run context that is all it may touch.

An executor never sees an editor, never writes to the workspace and never decides what is applied. It reads and writes
through `RunContext` (an overlay: disk < editor buffers < staged writes), and the engine turns what was staged into a
change set. Returning means the executor has ended; raising `ExecutorError` means it failed in a named way.

The five fields that planners outside this project pass are the first five of `ExecutorRequest`, and each has a default
but `root_dir`; everything else is optional too. Importing this module imports no SDK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from kiro_lsp.budget import Usage
from kiro_lsp.events import Billing, OptionKind, RunEvent, Way
from kiro_lsp.sandbox.search import Match as Match  # noqa: PLC0414  # part of this interface
from kiro_lsp.settings import AgentSettings, Settings
from kiro_lsp.spec.intent import IntentContract, Prompt

StopReason = Literal["end_turn", "max_tokens", "max_turn_requests", "refusal", "cancelled"]
"""ACP's words for why an agent stopped."""


@dataclass(frozen=True, slots=True)
class ExecutorRequest:
    root_dir: Path | str
    intent: IntentContract | None = None
    ticket_markdown: str | None = None
    """The task as text, for planners that have no spec. Used when `prompt` is None."""
    summary: str | None = None
    target_files: Sequence[str] = ()
    prompt: Prompt | None = None
    """The assembled prompt of a spec task: stable system prefix, context documents, the task."""
    note: str | None = None
    """What the person added at the click."""
    agent: AgentSettings | None = None
    settings: Settings | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    """Where keys may be looked up, already reduced to what this agent may see."""
    schema: Mapping[str, Any] | None = None
    """Nothing is to be done: the summary is to be one JSON object of this schema, and no tool is offered."""
    redact: Callable[[str], str] | None = None
    """Takes known secrets out of a text before a provider gets it. None: only the agent's own key is known."""


@dataclass(frozen=True, slots=True)
class ExecutorResult:
    success: bool
    error: str | None = None
    changed_files: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    stop_reason: StopReason | None = None
    usage: Usage | None = None
    summary: str | None = None


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command in the copy of the workspace ended. `output` is stdout and stderr, bounded, as they came."""

    exit_code: int
    output: str
    truncated: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class Question:
    kind: str
    title: str
    options: tuple[tuple[str, str, OptionKind], ...]
    """(id, label, kind) in the order to show them."""


class Spend(Protocol):
    """One reserved request. Without `used`, leaving the context charges the whole reservation."""

    async def used(self, usage: Usage) -> None: ...


class RunContext(Protocol):
    """All that an executor may touch. Paths are root-relative with `/`; any spelling that leaves the root raises PathRefused."""

    @property
    def run_id(self) -> str: ...

    @property
    def root(self) -> Path: ...

    async def read(self, path: str) -> bytes:
        """The file as this run sees it. Raises FileNotFoundError, PathRefused, UnreadableFile (not a regular file, too large)."""
        ...

    async def write(self, path: str, data: bytes) -> None:
        """Stage the whole new content; nothing on disk changes."""
        ...

    async def delete(self, path: str) -> None:
        """Stage a deletion. Raises FileNotFoundError."""
        ...

    async def list(self, under: str = "") -> list[str]:
        """Files below `under`, sorted; ignored files and `.git` are left out, staged ones are in."""
        ...

    async def search(self, pattern: str, *, under: str = "", limit: int = 200) -> Sequence[Match]:
        """Lines that match a regular expression, with the rules of `list`. Raises ValueError for a bad pattern."""
        ...

    async def run_command(self, argv: Sequence[str], *, cwd: str = "", timeout: float | None = None) -> CommandResult:
        """Run a program in a materialised copy, after the person allowed exactly this argv. Raises PermissionError when denied."""
        ...

    def emit(self, event: RunEvent) -> None:
        """Record and publish an event. Synchronous, so that the order of calls is the order of events."""
        ...

    async def ask(self, question: Question) -> str:
        """Ask the person; returns the id of the chosen option. Cancel, disconnect and end of input mean the deny option."""
        ...

    def spend(self, model: str, at_most: Usage) -> AbstractAsyncContextManager[Spend]:
        """Reserve before a request, settle after. Raises BudgetExceeded on entry when a cap could be passed."""
        ...


class Executor(Protocol):
    """Carries out one request. Files go through `run`; returning means ended, raising means failed."""

    async def execute(self, request: ExecutorRequest, run: RunContext) -> ExecutorResult: ...


@dataclass(frozen=True, slots=True)
class WayInfo:
    """One of the ways behind an agent's everyday name."""

    type: str
    way: Way
    command: str | None
    """The program that it needs, None where it needs none."""
    available: bool
    reason: str
    version: str | None = None
    in_use: bool = False


@dataclass(frozen=True, slots=True)
class AgentInfo:
    """What is known about an agent, by the way that is in use: the first of its ways that is available."""

    name: str
    label: str
    type: str
    way: Way
    model: str
    billing: Billing
    available: bool
    reason: str
    """Why it is (not) available: the variable, program or endpoint that was looked for, and where."""
    version: str | None = None
    """Of the program or server behind it, where one was asked."""
    ways: tuple[WayInfo, ...] = ()
    """All ways behind the name, in the order of preference."""
    traces: tuple[str, ...] = ()
    """What for this agent lies in the project's root: `.claude`, `GEMINI.md`, `AGENTS.md`. It decides nothing."""
