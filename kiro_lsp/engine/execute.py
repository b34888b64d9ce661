"""Carrying out one run: consent, context, isolation, the executor, and how it ended.

`RunJob.carry_out` is the run boundary: whatever happens inside, the run ends in a stated state with a message that says
what to do, its staged work is kept, and no sibling run notices. It applies nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kiro_lsp import events
from kiro_lsp.changes import changeset
from kiro_lsp.engine import checks, faults, verdicts
from kiro_lsp.engine.resume import Continued, lay_out
from kiro_lsp.engine.run import RunHandle
from kiro_lsp.engine.workspace import TaskFile, Workspace, command_digest
from kiro_lsp.errors import ExecutorError, KiroError, RunRefused
from kiro_lsp.events import Phase, RunState
from kiro_lsp.executors import registry
from kiro_lsp.executors.protocol import AgentInfo, Executor, ExecutorRequest, ExecutorResult, Question
from kiro_lsp.executors.worker import WorkerPool
from kiro_lsp.sandbox import masks
from kiro_lsp.settings import LoadedSettings
from kiro_lsp.spec.intent import IntentContract
from kiro_lsp.spec.model import Task
from kiro_lsp.spec.prompt import Prompt

log = logging.getLogger(__name__)

TrustMode = Literal["ask", "once", "refuse"]

CONSENT_RUN, CONSENT_TRUST, CONSENT_CANCEL = "run", "run-trust", "cancel"

_UNCAPPED_OPTIONS: tuple[tuple[str, str, events.OptionKind], ...] = (
    (CONSENT_RUN, "Run", "allow-once"),
    ("always", "Always in this project", "allow-always"),
    (CONSENT_CANCEL, "Cancel", "deny"),
)
_NOT_CAPPED = "It is paid by use, and what it spends can be neither seen nor limited while it works."


@dataclass(frozen=True, slots=True)
class StartRun:
    """What a face asks for when it starts a run."""

    root: Path
    path: str | Path
    """The task file, absolute or relative to the root."""
    task: str
    """A selector: key, id, or line number (1-based)."""
    agent: str | None = None
    model: str | None = None
    reason: str | None = None
    """Why `agent`, where it was not the person who named it."""
    note: str | None = None
    trust: TrustMode = "ask"
    """What to do in a project that is not trusted: ask the person, trust it for this process, or refuse."""
    confirmed: bool = False
    """The person asked for exactly this run already (a terminal command); a trusted project needs no sheet then."""
    allowed_commands: Sequence[Sequence[str]] = ()
    by: str = "editor"
    verify: Sequence[str] | None = None
    """The command that the change is verified with. None: the configured one; empty: none."""
    continued: Continued | None = None
    """The run that this one goes on from."""
    executor: Executor | None = None
    """Who carries it out instead of the agent's own: the person, in the agent's session. That takes as long as it takes."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a run works on: the task as it is in the current text, and the prompt that follows from it."""

    file: TaskFile
    task: Task
    prompt: Prompt
    intent: IntentContract


@dataclass(slots=True)
class RunJob:
    """One run from the click to the pending review. The engine gives it the pieces that several runs share."""

    handle: RunHandle
    workspace: Workspace
    start: StartRun
    workers: WorkerPool
    slot: Callable[[RunHandle], AbstractAsyncContextManager[None]]
    """Held while the run works; entering waits until fewer than `max_parallel` runs do."""
    choose: Callable[[], Chosen]
    """Reads the task again and assembles the prompt. Blocking: called in a thread."""
    arm: Callable[[RunHandle], Awaitable[None]]
    """Gives the handle the agent and settings in force, after trust is settled."""
    mark: Callable[[RunHandle, Literal["in-progress", "open"]], Awaitable[None]]
    """Writes the task's status, where `mark_in_progress` asks for it."""
    review_ready: Callable[[RunHandle], Awaitable[None]]
    """Called when a change set is pending; applies it when the person configured to skip the review."""

    @property
    def verify_command(self) -> tuple[str, ...]:
        """What the change is verified with, by the settings in force; () for nothing."""
        return verdicts.command_of(self.start.verify, self.handle.settings.execution.verify_command)

    async def carry_out(self) -> None:
        try:
            succeeded = await self._guarded()
            faults.point("run.ending")
            await self.handle.written()
            faults.point("run.ended")
            if succeeded:
                await self.review_ready(self.handle)
        finally:
            await self.handle.stage.close()

    async def _guarded(self) -> bool:
        """Whether the executor succeeded. Every failure has become an event when this returns."""
        handle = self.handle
        try:
            if self.start.continued is not None:
                await lay_out(handle.store, handle, self.start.continued)
            await self._consent()
            faults.point("run.consented")
            async with self.slot(handle):
                await self._execute()
        except asyncio.CancelledError:
            await self._cancelled()
        except ExecutorError as error:
            self._failed(error.kind, error.message, error.hint)
        except TimeoutError:
            seconds = handle.settings.execution.timeout_seconds
            self._failed(
                "timeout",
                f"The run was stopped after {seconds} seconds (execution.timeout_seconds).",
                "What it staged until then can be reviewed. Raise the limit in your own configuration, or retry.",
            )
        except KiroError as error:
            self._failed("agent", error.message, error.hint)
        except Exception as error:  # the run boundary: the crash of one run must not end its siblings
            cause = _only_member(error)
            log.exception("run %s crashed", handle.run_id)
            self._failed(
                "internal",
                f"The run crashed: {type(cause).__name__}: {cause}",
                "This is a fault of kiro-lsp, not of the project; retry is safe. `kiro-lsp doctor` says where the log is.",
            )
        else:
            return True
        return False

    # Consent

    async def _consent(self) -> None:
        """One sheet at the first click of a project: what runs, where it goes, what it may cost, what is trusted by it."""
        workspace, handle = self.workspace, self.handle
        asked_for = await asyncio.to_thread(workspace.asked_for)
        untrusted = await asyncio.to_thread(workspace.trust) == "untrusted"
        if untrusted and self.start.trust == "once":
            workspace.grant(asked_for.digest, once=True)
            untrusted = False
        wants_sheet = asked_for.settings.safety.require_confirmation and not self.start.confirmed
        shown = None
        if untrusted or (wants_sheet and not await asyncio.to_thread(workspace.consented)):
            shown = handle.agent
            await self._ask_consent(asked_for, untrusted)
        await self.arm(handle)
        if not handle.agent.capped and handle.agent != shown:
            await self._confirm_uncapped()

    async def _ask_consent(self, asked_for: LoadedSettings, untrusted: bool) -> None:
        workspace, handle = self.workspace, self.handle
        with_values = untrusted and bool(asked_for.trust_values)
        options: list[tuple[str, str, events.OptionKind]] = [(CONSENT_RUN, "Run", "allow-once")]
        if with_values:
            options.append((CONSENT_TRUST, "Run and trust project", "allow-always"))
        options.append((CONSENT_CANCEL, "Cancel", "deny"))
        argv = verdicts.command_of(self.start.verify, asked_for.settings.execution.verify_command)
        checked = await asyncio.to_thread(checks.offered, workspace.root, argv)
        named = self.start.agent is not None
        sheet = consent_sheet(
            handle.agent, handle.record.title, asked_for, with_values, is_named=named, checked=checked
        )
        option = await handle.ask(Question("consent", sheet, tuple(options)))
        if option == CONSENT_CANCEL:
            handle.cancelled_by = handle.cancelled_by or "consent"
            raise asyncio.CancelledError
        lasting = option == CONSENT_TRUST or not with_values
        if untrusted:
            await asyncio.to_thread(workspace.grant, asked_for.digest, once=not lasting)
        await asyncio.to_thread(workspace.remember_consent, lasting=lasting)

    async def _confirm_uncapped(self) -> None:
        """An agent that spends money without a limit of ours is confirmed by itself: for this run, or for the project."""
        handle = self.handle
        argv = ("without a cap", handle.agent.name, handle.agent.way)
        digest = command_digest(argv, "", {})
        if digest in handle.allowed_digests:
            return
        title = f"{handle.agent.label} by {handle.agent.way} is not capped. {_NOT_CAPPED} Run it?"
        option = await handle.ask(Question("spend", title, _UNCAPPED_OPTIONS))
        if option == CONSENT_CANCEL:
            handle.cancelled_by = handle.cancelled_by or "consent"
            raise asyncio.CancelledError
        if option == "always":
            await asyncio.wrap_future(handle.store.allow_argv(handle.record.root, digest, argv))

    # Execution

    async def _execute(self) -> None:
        handle = self.handle
        chosen = await asyncio.to_thread(self.choose)
        reason = handle.reason or handle.record.reason or "chosen by you"
        agent, continued = handle.agent, self.start.continued
        resume = None if continued is None else continued.resume_for(agent)
        continues = (resume.run_id, resume.comment) if resume is not None else (None, None)
        handle.emit_together(
            [
                handle.transition("running"),
                events.Start(agent.name, agent.way, agent.model, chosen.task.key, reason, *continues),
                # A program's workplace says by itself how isolated it is.
                *([events.Isolation("memory", "provider only")] if agent.way in ("api", "replay") else []),
                Phase("starting"),
            ]
        )
        await handle.written()
        faults.point("run.started")
        await self.mark(handle, "in-progress")
        request = ExecutorRequest(
            root_dir=self.workspace.root,
            intent=chosen.intent,
            ticket_markdown=chosen.prompt.task,
            summary=chosen.task.title,
            target_files=chosen.task.files,
            prompt=chosen.prompt,
            note=self.start.note,
            agent=handle.agent_settings,
            settings=handle.settings,
            environ=handle.executor_environ,
            redact=handle.redactor.redact,
            resume=resume,
        )
        seconds = handle.settings.execution.timeout_seconds if self.start.executor is None else None
        async with asyncio.timeout(seconds) as timeout:
            with handle.time_limit(timeout):
                executor = self.start.executor
                if executor is None:
                    executor = await asyncio.to_thread(registry.create, agent, handle.settings, self.workers)
                result = await executor.execute(request, handle)
        self._ended(result)

    # Ends. Each is one transaction, so a reader of `complete`, `error` or `cancelled` finds the state already in place.

    def _ended(self, result: ExecutorResult) -> None:
        handle = self.handle
        if not result.success:
            raise ExecutorError(
                "agent", result.error or "The agent gave up without a reason.", hint="Retry, or pick another agent."
            )
        handle.stage.must_be_clean()
        changes = handle.stage.changes()
        counts = changeset.counts(changes)
        paths = tuple(change.path for change in changes.files)
        argv = self.verify_command
        handle.emit_together(
            [
                handle.transition(verdicts.state_of(argv)),
                events.ReviewReady(paths),
                *verdicts.opening(argv),
                events.Complete(
                    paths, counts.created, counts.modified, counts.deleted, counts.tests_added, result.summary or ""
                ),
            ]
        )

    def _failed(self, kind: str, message: str, hint: str) -> None:
        handle = self.handle
        state: RunState = "budget" if kind == "budget" else "failed"
        handle.emit_together([handle.transition(state, message), events.Error(kind, message, hint)])

    async def _cancelled(self) -> None:
        """A run that its process abandons is interrupted: it can be picked up. One that a person stopped is cancelled."""
        handle = self.handle
        if handle.cancelled_by == "shutdown":
            handle.emit(handle.transition("interrupted", "the process that ran it ended"))
        else:
            handle.emit_together([handle.transition("cancelled", handle.cancelled_by), events.Cancelled()])


def consent_sheet(
    agent: AgentInfo,
    title: str,
    loaded: LoadedSettings,
    with_values: bool,
    *,
    is_named: bool = True,
    checked: str = "",
) -> str:
    """The text of the sheet: every line is something that follows from pressing Run. `is_named`: the person named the agent;
    `checked`: what the change is verified with.
    """
    cost = loaded.settings.cost
    lines = [
        f"Run “{title}” with {agent.label}?",
        f"Agent: {agent.label} by {agent.way}, model {agent.model or 'of its own choice'}.",
    ]
    asked = loaded.settings.routing.classifier_model
    if asked and not is_named:
        lines.append(
            f"Before that {asked} is asked what kind of work it is; by its answer another agent may be chosen."
        )
    if agent.way == "replay":
        lines.append("RECORDED: it plays back a recorded run. Nothing leaves this machine and nothing is charged.")
    elif not agent.capped:
        lines.append(f"Cost: not capped. {_NOT_CAPPED}")
    elif agent.billing == "metered":
        lines.append(f"Cost: at most ${cost.max_cost_per_run} for this run, ${cost.max_cost_per_day} a day.")
    else:
        lines.append(f"Cost: {agent.billing} use; no ceiling in dollars can be enforced.")
    configured = [name for name in agent.traces if masks.configures_agents(name)]
    if configured and agent.way not in ("api", "replay"):
        lines.append(
            f"The project configures this agent: {', '.join(configured)}. From now on that applies in its copy."
        )
    if agent.way != "replay":
        lines.append("Leaves this machine: the task, its spec documents and the files that the agent reads.")
    lines.append("Your files change only after you accept the review.")
    if checked:
        lines.append(checked)
    if with_values:
        lines.append("This project asks for:")
        lines += [f"  {value.key} = {value.value}  ({value.source})" for value in loaded.trust_values]
    return "\n".join(lines)


def refuse_untrusted(workspace: Workspace) -> RunRefused:
    """Why a run cannot start in a project that nobody trusted, for a face that cannot ask."""
    return RunRefused(
        f"The project {workspace.root} is not trusted, and there is nobody to ask.",
        code="untrusted",
        hint="Look with `kiro-lsp trust --show`, then use `kiro-lsp trust --yes DIGEST`, or `--trust` for this run only.",
    )


def _only_member(error: BaseException) -> BaseException:
    """The one failure inside nested exception groups, so that a person reads `agent died` and not `unhandled errors`."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
