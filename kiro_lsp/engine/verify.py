"""Verifying a change before it is accepted: the project's own check, in a copy of its own with the change in it.

The review is open from the moment that the agent has ended; the command goes on behind it and reports when it has ended.
It never keeps a decision waiting: what is accepted before the verdict is recorded as unverified. Its copy is thrown away,
so nothing that the command writes becomes part of the change. What is verified is what would be accepted: the files of the
review over those of the project, without anything else that the agent left in its own copy.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kiro_lsp.changes.model import FileChange
from kiro_lsp.engine import repairs, verdicts
from kiro_lsp.engine.execute import refuse_untrusted
from kiro_lsp.engine.failing import failing_part, result_line
from kiro_lsp.engine.resume import left_by, superseding
from kiro_lsp.engine.run import now
from kiro_lsp.engine.stage import COPIES
from kiro_lsp.engine.workspace import Workspace
from kiro_lsp.errors import ExecutorError, KiroError, RunRefused
from kiro_lsp.events import Isolation, Phase, RunEvent, State, Verify
from kiro_lsp.executors.workplace import ALL_LEVELS, RunCopy
from kiro_lsp.sandbox import programs
from kiro_lsp.sandbox.processes import Finished
from kiro_lsp.settings import Settings

if TYPE_CHECKING:
    from kiro_lsp.engine.engine import Engine
    from kiro_lsp.engine.run import RunHandle
    from kiro_lsp.sandbox.isolation import Level

log = logging.getLogger(__name__)

BY_CONFIGURATION: Final = "your configuration (review_changes = false)"
_NOT_STARTED: Final = 127


@dataclass(frozen=True, slots=True)
class Found:
    verdict: Verify
    isolation: Isolation | None = None
    """How the command was kept to its copy, where it came that far."""


@dataclass(slots=True)
class _Job:
    work: asyncio.Task[Found]
    """The command. What ends a verification is its end, so that there is always one who reports."""
    reporting: asyncio.Task[None]
    why_stopped: str = "the verify command was stopped"


@dataclass(slots=True)
class Verifications:
    """The verify commands that go on in this process, one a run."""

    engine: Engine
    levels: frozenset[Level] = ALL_LEVELS
    """The kinds of isolation that may be used."""
    _jobs: dict[str, _Job] = field(default_factory=dict)
    _repairs: dict[str, str] = field(default_factory=dict)

    def is_running(self, run_id: str) -> bool:
        return run_id in self._jobs

    async def review_ready(self, group: asyncio.TaskGroup, handle: RunHandle, argv: Sequence[str]) -> None:
        """A run has completed: verify it, and apply it where the person configured to skip the review."""
        if argv:
            self._begin(group, handle.run_id, argv, handle.settings)
        elif not handle.settings.safety.review_changes:
            await self.engine.accept(handle.run_id, by=BY_CONFIGURATION)

    async def again(self, group: asyncio.TaskGroup, run_id: str, argv: Sequence[str], *, trust_once: bool) -> None:
        """Verify what is pending now, whatever was said of it before.

        Raises RunRefused where there is no open review, and in a project that is not trusted.
        """
        store = self.engine.store
        workspace = self.engine.workspace(Path(store.run(run_id).root))
        if trust_once:
            await asyncio.to_thread(lambda: workspace.grant(workspace.digest(), once=True))
        if await asyncio.to_thread(workspace.trust) == "untrusted":
            raise refuse_untrusted(workspace)
        redact = (await asyncio.to_thread(workspace.settings)).secrets.redactor().redact
        begun = [State("review", "verifying"), *verdicts.opening([redact(part) for part in argv])]
        kept = await asyncio.wrap_future(store.append_while(run_id, ["review"], begun, at=now()))
        if not kept:
            state = store.run(run_id).state
            raise RunRefused(f"Run {run_id} is {state}: there is no open review to verify.", code="not-reviewable")
        self.engine.publish_foreign(kept)
        self._begin(group, run_id, argv, None)

    def stop(self, run_id: str, why: str) -> bool:
        """End a verification; its review stays. False when there is none here."""
        job = self._jobs.get(run_id)
        if job is None:
            return False
        job.why_stopped = why
        job.work.cancel()
        return True

    def stop_all(self, why: str) -> None:
        for run_id in list(self._jobs):
            self.stop(run_id, why)

    def decided(self, run_id: str) -> None:
        """Something was decided on a run: nobody waits for the verdict on changes that were rejected or taken back."""
        if self.is_running(run_id) and self.engine.store.run(run_id).state in ("rejected", "undone"):
            self.stop(run_id, "it was decided on")

    async def ended(self, run_id: str) -> str | None:
        """Wait until a verification has reported, or was stopped; the run that repairs what failed, if one was started."""
        job = self._jobs.get(run_id)
        if job is not None:
            await asyncio.wait([job.reporting])
        return self._repairs.get(run_id)

    def _begin(self, group: asyncio.TaskGroup, run_id: str, argv: Sequence[str], then: Settings | None) -> None:
        """`then`: the settings of the run that has just completed, which say how it goes on."""
        work = asyncio.create_task(verdict(self.engine, run_id, tuple(argv), self.levels), name=f"verify {run_id}")
        reporting = group.create_task(self._until_reported(run_id, tuple(argv), work, then), name=f"verdict {run_id}")
        self._jobs[run_id] = _Job(work, reporting)

    async def _until_reported(
        self, run_id: str, argv: tuple[str, ...], work: asyncio.Task[Found], then: Settings | None
    ) -> None:
        found: Found | None = None
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:  # the engine itself gives up
            work.cancel()
            await asyncio.wait([work])
            raise
        try:
            found = work.result()
        except asyncio.CancelledError:
            log.info("verifying run %s was stopped", run_id)
        except KiroError as error:
            found = Found(Verify(argv, False, 0.0, f"It could not be run: {error}"))
        except Exception as error:  # a verdict that cannot be had must not end other runs
            log.exception("verifying run %s crashed", run_id)
            found = Found(Verify(argv, False, 0.0, f"It could not be run: {type(error).__name__}: {error}"))
        # From here on whoever applies a part of it takes the run to `review` and not back to `verifying`.
        why = self._jobs.pop(run_id).why_stopped
        is_open = await self._report(run_id, found, None if found is not None else why)
        if found is not None and is_open and then is not None:
            await self._go_on(run_id, argv, found.verdict, then)

    async def _report(self, run_id: str, found: Found | None, reason: str | None) -> bool:
        """The verdict, and the run in `review`, in one transaction; after a decision the verdict alone, and False."""
        store = self.engine.store
        told: list[RunEvent] = [] if found is None else [each for each in (found.isolation, found.verdict) if each]
        ended: list[RunEvent] = [*told, State("verifying", "review", reason), Phase("review")]
        kept = await asyncio.wrap_future(store.append_while(run_id, ["verifying"], ended, at=now()))
        is_open = bool(kept)
        if told and not kept:
            kept = await asyncio.wrap_future(store.append(run_id, told, durable=True, at=now()))
        self.engine.publish_foreign(kept)
        return is_open

    async def _go_on(self, run_id: str, argv: tuple[str, ...], found: Verify, settings: Settings) -> None:
        """What nobody has to decide: a verified change is applied without a review, and a failure repaired, if so configured."""
        record = self.engine.store.run(run_id)
        if self.engine.review(run_id).revision != found.revision or superseding(self.engine.store, record) is not None:
            return  # the person is at it
        try:
            if found.ok and not settings.safety.review_changes:
                await self.engine.accept(run_id, by=BY_CONFIGURATION)
            elif not found.ok:
                repair = await repairs.begin(self.engine, run_id, found, argv, settings.execution.verify_repairs)
                if repair is not None:
                    self._repairs[run_id] = repair
        except KiroError as refusal:
            log.warning("after verifying run %s: %s", run_id, refusal)


async def verdict(engine: Engine, run_id: str, argv: tuple[str, ...], levels: frozenset[Level] = ALL_LEVELS) -> Found:
    """Run the command over what would be accepted now, and say what came of it."""
    record, review = engine.store.run(run_id), engine.review(run_id)
    workspace = engine.workspace(Path(record.root))
    loaded = await asyncio.to_thread(workspace.settings)
    scene = _Scene(engine, workspace, run_id, left_by(review, record.state))
    copy = RunCopy(
        workspace.root,
        lambda: engine.store.directory / COPIES / f"{run_id}-verify",
        scene,
        environ=programs.reduced_environ(engine.environ, (workspace.root,)),
        trusted=True,
        hidden=(str(engine.store.directory),),
        levels=levels,
    )
    started = asyncio.get_running_loop().time()
    try:
        ended = await copy.command(argv, timeout=loaded.settings.execution.verify_timeout)
    except (FileNotFoundError, PermissionError, NotADirectoryError) as error:
        ended = Finished(_NOT_STARTED, f"It could not be started: {error}", False, 0.0, False)
    except ExecutorError as error:
        if copy.spoiled is None:
            raise
        named = error.message.partition(" Nothing that")[0]
        ended = Finished(1, named, False, asyncio.get_running_loop().time() - started, False)
    finally:
        await copy.close()
    redact = loaded.secrets.redactor().redact
    told = await asyncio.to_thread(_said, ended, argv, redact, review.revision, review.contents())
    return Found(told, scene.isolation)


def _said(ended: Finished, argv: tuple[str, ...], redact: Callable[[str], str], revision: int, contents: str) -> Verify:
    output = redact(ended.output)
    ok = ended.exit_code == 0 and not ended.timed_out
    result = result_line(output)
    if ended.timed_out:
        result = f"stopped after {ended.seconds:.0f} s (execution.verify_timeout)"
    elif not ok and not result:
        result = f"exit code {ended.exit_code}, no output"
    failing = "" if ok else failing_part(output)
    summary = "\n".join(part for part in (result, failing) if part and (part is result or part != result))
    return Verify(tuple(map(redact, argv)), ok, round(ended.seconds, 3), summary, revision, contents)


@dataclass(slots=True)
class _Scene:
    """What the copy of a verify command shows. Nothing that changes in it is taken over."""

    engine: Engine
    workspace: Workspace
    run_id: str
    changes: Sequence[FileChange]
    isolation: Isolation | None = None

    def staged(self) -> Sequence[FileChange]:
        return self.changes

    def buffers(self) -> Mapping[str, bytes]:
        workspace = self.workspace
        open_now = workspace.open_paths(self.engine.buffers.paths())
        return {path: data for path in open_now if (data := workspace.buffer_bytes(path)) is not None}

    async def take(self, changes: Sequence[FileChange]) -> Sequence[FileChange]:
        log.debug("verifying run %s left %d changed files in its copy", self.run_id, len(changes))
        return ()

    async def spoil(self) -> None:
        """It is said in the verdict: the change itself was made before, and stays as it was."""

    def emit(self, event: RunEvent) -> None:
        """Of what the copy tells, how it is isolated is all that concerns the person."""
        if isinstance(event, Isolation):
            self.isolation = event
