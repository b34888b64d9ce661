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
from typing import TYPE_CHECKING, Any, Literal, Protocol

from kiro_lsp.budget import Usage
from kiro_lsp.changes.model import FileChange
from kiro_lsp.events import Billing, OptionKind, RunEvent, Way
from kiro_lsp.sandbox.homes import Home as Home  # noqa: PLC0414  # part of this interface
from kiro_lsp.sandbox.search import Match as Match  # noqa: PLC0414  # part of this interface
from kiro_lsp.settings import AgentSettings, Settings
from kiro_lsp.spec.intent import IntentContract, Prompt
from kiro_lsp.store.model import Kept as Kept  # noqa: PLC0414  # part of this interface

if TYPE_CHECKING:  # what makes copies is loaded when the first one is made
    from kiro_lsp.sandbox.processes import Conversation, Finished

StopReason = Literal["end_turn", "max_tokens", "max_turn_requests", "refusal", "cancelled"]
"""ACP's words for why an agent stopped."""


@dataclass(frozen=True, slots=True)
class Resume:
    """What an earlier run of the task left, for the run that goes on from it. Its staged changes are laid out already:
    `RunContext.read` and a workplace show them.

    An executor whose agent keeps sessions emits `events.Session` as soon as it knows the id. In a later run it opens
    `session_id` again and says `brief.resumed_text(request, in_session=True)` instead of the task; where there is none, or
    it cannot be opened any more, `brief.task_texts(request)` says all of it.
    """

    run_id: str
    ended: str
    """How the earlier run ended, as a sentence."""
    session_id: str | None = None
    """The agent's own session of that run, where the same agent works by the same way again."""
    transcript: str = ""
    """What was said and done in that run, bounded and without secrets."""
    staged: tuple[str, ...] = ()
    """The files that it had changed."""
    comment: str | None = None
    """What the person says about these changes."""
    path: str | None = None
    """The file that the comment is about; None: all of them."""
    excerpt: str | None = None
    """The part of the change that the comment is about, as a diff."""


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
    resume: Resume | None = None
    """What to go on from; None: start from zero."""


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
    words: bool = False
    """An answer in words is asked for, not only one of the options."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the person: the id of an option, and what they said with it."""

    option: str
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Needs:
    """What a program needs of the place that it works in, as the file of its agent says."""

    network: Literal["none", "hosts", "open"] = "none"
    hosts: tuple[str, ...] = ()
    """With "hosts", what it reaches: `api.example.com` (port 443), `127.0.0.1:8080`."""
    homes: tuple[Home, ...] = ()
    """Its own folders of the person's: where its login is."""
    programs: tuple[str, ...] = ()
    """Paths of programs that it starts: what is installed with them must be readable."""
    shared: bool = False
    """A process that runs elsewhere works on it too, so its path must be one that everybody sees: a plain copy."""


class Workplace(Protocol):
    """A copy of the project that a program works in, as isolated as this system allows.

    `absorb` and `refresh` may be called while the program works: what it changes later is taken over later.
    """

    @property
    def path(self) -> Path:
        """Where the program sees the project."""
        ...

    @property
    def level(self) -> str: ...

    @property
    def network(self) -> str:
        """For people: what the program can reach."""
        ...

    async def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str = "",
        extra_env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        on_output: Callable[[str], None] | None = None,
    ) -> Finished:
        """Run a program to its end; `cwd` is root-relative, `extra_env` what this one may know besides. As `processes.run`."""
        ...

    def talk(
        self, argv: Sequence[str], *, cwd: str = "", extra_env: Mapping[str, str] | None = None
    ) -> AbstractAsyncContextManager[Conversation]:
        """Start a program and speak to it; it is gone when the context is left. As `processes.talk`."""
        ...

    def relative(self, path: str) -> str:
        """The root-relative path of a file as the program spells it. Raises PathRefused."""
        ...

    async def refresh(self) -> None:
        """Bring the copy to what was staged by `RunContext.write` and `delete` meanwhile."""
        ...

    async def absorb(self) -> Sequence[FileChange]:
        """Stage what has changed in the copy, durably, with `file` events. Raises ExecutorError when the program wrote
        outside it: nothing of the run can be accepted then.
        """
        ...


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
        """Run a program in a copy of the project. Where that is no sandbox without network, the person must allow exactly this
        argv first: raises PermissionError when they do not.
        """
        ...

    async def allow_command(
        self, argv: Sequence[str], *, cwd: str = "", env: Mapping[str, str] | None = None, where: str = "not sandboxed"
    ) -> None:
        """Return when an agent's program may run exactly this in its workplace, of which `where` says how it is isolated:
        the person allowed it, now or for this run or project. Raises PermissionError when they do not.
        """
        ...

    async def allow_tool(self, name: str, digest: str, title: str) -> None:
        """Let the person allow a tool of somebody else's: once, for this run, or always, as `digest` says what it is.

        Raises PermissionError when they do not.
        """
        ...

    async def recall(self, name: str) -> Kept | None:
        """A text that an earlier run in this project kept."""
        ...

    async def keep(self, name: str, text: str) -> None:
        """Keep a text for later runs in this project, until its trust is taken back."""
        ...

    def workplace(self, needs: Needs) -> AbstractAsyncContextManager[Workplace]:
        """A copy for an agent's program, the same for the whole run. Says how isolated it is by the `isolation` event.

        On leaving, by failure or cancel too, what changed in it is staged. Raises ExecutorError when there is no place that
        the needs allow, or when the program wrote outside of it.
        """
        ...

    def emit(self, event: RunEvent) -> None:
        """Record and publish an event. Synchronous, so that the order of calls is the order of events."""
        ...

    async def ask(self, question: Question) -> str:
        """Ask the person; returns the id of the chosen option. Cancel, disconnect and end of input mean the deny option."""
        ...

    async def ask_in_words(self, question: Question) -> Reply:
        """As `ask`, with what the person wrote beside the option, where they wrote something."""
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
    login: tuple[str, ...] | None = None
    """The command by which a person logs in to the program, where it is used with their login."""
    key: str | None = None
    """The variable of the key that it is used with."""


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
    capped: bool = True
    """No request starts that could pass the cap. False: it is paid by use, and only its own word says how much."""
