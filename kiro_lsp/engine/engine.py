"""Engine: the one orchestrator. Faces call it; it knows no face.

It owns the runs of this process (one TaskGroup), their events, and what other processes ask for. Where a run is carried
out is execute.py, what becomes of its changes is settle.py, how processes talk is control.py. Everything here happens on
one event loop; what blocks goes to threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from kiro_lsp import budget, events
from kiro_lsp.changes.review import Review
from kiro_lsp.engine import faults
from kiro_lsp.engine.apply import Buffers, Outcome
from kiro_lsp.engine.control import Control
from kiro_lsp.engine.execute import Chosen, RunJob, StartRun, refuse_untrusted
from kiro_lsp.engine.following import Follower, LiveRun, used_by
from kiro_lsp.engine.pick import Kinds, pasts_in, picked
from kiro_lsp.engine.resume import shown_runs
from kiro_lsp.engine.run import RunHandle, new_run_id, now
from kiro_lsp.engine.settle import Settled, Settlement, no_buffers
from kiro_lsp.engine.stage import Stage
from kiro_lsp.engine.verdicts import STOPPED, command_of, verdict_on
from kiro_lsp.engine.verify import Verifications
from kiro_lsp.engine.workspace import TaskFile, Workspace, user_config_path
from kiro_lsp.errors import KiroError, RunRefused, UnreadableFile
from kiro_lsp.events import Envelope, EventStream
from kiro_lsp.executors import registry
from kiro_lsp.executors.choice import Past
from kiro_lsp.executors.worker import WorkerPool
from kiro_lsp.sandbox import programs
from kiro_lsp.settings import LoadedSettings
from kiro_lsp.settings.redact import Redactor
from kiro_lsp.spec import tasks
from kiro_lsp.store import Owner, RunRecord, Store


class Engine:
    """Use it as an async context manager; leaving it interrupts what still runs, and keeps what was staged.

    `face` says who this process is in control rows and answers (editor, terminal, dashboard). Callables in `on_change` are
    called with the real root when a run of it changed, for lens refreshes; keep them quick.
    """

    def __init__(
        self,
        store: Store,
        *,
        face: str,
        environ: Mapping[str, str],
        buffers: Buffers | None = None,
        client_settings: Callable[[Path], Mapping[str, object]] = lambda _root: {},
        own_settings: Callable[[], Mapping[str, object]] = dict,
        restricted: Callable[[Path], bool] = lambda _root: False,
    ) -> None:
        self.store, self.face, self.environ = store, face, environ
        self.buffers = buffers or no_buffers()
        self.client_settings, self.own_settings, self.restricted = client_settings, own_settings, restricted
        self.on_change: list[Callable[[str], None]] = []
        self.stream = EventStream()
        self.handles: dict[str, RunHandle] = {}
        self._workspaces: dict[str, Workspace] = {}
        self._published: dict[str, int] = {}
        self._working: set[str] = set()
        self._slot_freed = asyncio.Condition()
        self._group = asyncio.TaskGroup()
        self._control = Control(self)
        self.workers = WorkerPool(environ)
        self._kinds = Kinds(environ, self.workers)
        self.verifications = Verifications(self)

    async def __aenter__(self) -> Engine:
        await self._group.__aenter__()
        await self._control.start(self._group)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in list(self.handles.values()):
            handle.cancel("shutdown")
        self.verifications.stop_all("the process that verified it ended")
        self._control.stop()
        try:
            await self._group.__aexit__(None, None, None)
        finally:
            self.stream.close()
            await self.workers.close()
            await self._control.release()

    # Projects

    def workspace(self, root: Path) -> Workspace:
        """The project at an absolute root. The same object every time, so that a grant for this process holds."""
        key = str(root)
        if key not in self._workspaces:  # the root of a run is where links lead; it may have been opened through one
            opened = next((known for known in self._workspaces.values() if known.real_root == key), None)
            new = Workspace(root, self.store, self.environ, user_config_path(self.environ))
            self._workspaces[key] = opened or new
        workspace = self._workspaces[key]
        workspace.client, workspace.editor = self.client_settings(workspace.root), self.own_settings()
        workspace.restricted = self.restricted(workspace.root)
        workspace.buffer_text = self.buffers.text
        return workspace

    def forget_settings(self) -> None:
        """Read all settings again at their next use."""
        for workspace in self._workspaces.values():
            workspace.forget()

    async def warm_up(self, root: Path) -> None:
        """Have what a plain click would need ready, in a trusted project; elsewhere nothing is started."""
        workspace = self.workspace(root)
        if await asyncio.to_thread(workspace.trust) == "untrusted":
            return
        agent = await asyncio.to_thread(workspace.recommended)
        if agent is not None and (module := registry.warm_module(agent)) is not None:
            await self.workers.warm_up(module)
            await asyncio.to_thread(budget.cost_nano, agent.model, budget.Usage(1, 1))

    async def hold(self, root: Path) -> None:
        """A language server that has this project open applies for everybody, since only it sees the buffers."""
        await self._control.hold(self.workspace(root).real_root)

    async def release(self, root: Path) -> None:
        await self._control.release_root(self.workspace(root).real_root)

    # Starting

    async def start(self, start: StartRun) -> str:
        """Record a run and begin it; returns its id at once, before anything was asked or sent.

        Raises UnknownTask, AmbiguousTask, UnreadableFile, PathRefused, or RunRefused with one of the codes disabled,
        restricted, untrusted, not-runnable, busy, no-agent.
        """
        workspace = self.workspace(start.root)
        file, task = await asyncio.to_thread(self._find, workspace, start)
        loaded = await asyncio.to_thread(self._settings_to_start_with, workspace, start)
        agent, reason = await asyncio.to_thread(picked, workspace, loaded, start, task)
        record = RunRecord(
            run_id=new_run_id(),
            root=workspace.real_root,
            path=file.path,
            task_key=task.key,
            title=task.title,
            task_id=task.id,
            agent=agent.name,
            way=agent.way,
            model=agent.model,
            billing=agent.billing,
            state="queued",
            started_at=now(),
            anchor=tasks.anchor_of(file.tasks, task),
            owner=self._control.owner,
            replay=agent.way == "replay",
            reason=reason,
            note=start.note,
            continues=None if start.continued is None else start.continued.record.run_id,
        )
        handle = RunHandle(record, agent, loaded.settings, self.store, Redactor(()), self._publish)
        handle.stage = self._stage(workspace, handle)
        if not await asyncio.wrap_future(self.store.create_run(record)):
            raise RunRefused(
                f"Task {task.key} is already being worked on.",
                code="busy",
                hint="Wait for that run, or cancel it first.",
            )
        faults.point("run.recorded")
        self.handles[record.run_id] = handle
        job = self._job(workspace, handle, replace(start, path=file.path, task=tasks.selector_of_key(task.key)), task)
        handle.job = self._group.create_task(self._carry_out(job), name=f"run {record.run_id}")
        self._changed(record.root)
        return record.run_id

    def _find(self, workspace: Workspace, start: StartRun) -> tuple[TaskFile, tasks.Task]:
        file = workspace.read_tasks(start.path)
        if file.text is None:
            problem = file.problem.message if file.problem else "it is not text"
            raise UnreadableFile(f"{file.path} cannot be read as a task file: {problem}", hint="Save it as UTF-8 text.")
        task = tasks.find(file.tasks, start.task)
        why_not = tasks.why_not_runnable(file.tasks, task)
        if why_not:
            raise RunRefused(
                f"Task {task.key} cannot be run: {why_not}", code="not-runnable", hint="Run the task it belongs to."
            )
        return file, task

    def _settings_to_start_with(self, workspace: Workspace, start: StartRun) -> LoadedSettings:
        """What the run would be started with; in a project that is still to be trusted, what it would be after that."""
        if workspace.restricted:
            raise RunRefused(
                f"{workspace.root} is in restricted mode in the editor: nothing is run there.",
                code="restricted",
                hint="Trust the folder in the editor first.",
            )
        untrusted = workspace.trust() == "untrusted"
        if untrusted and start.trust == "refuse":
            raise refuse_untrusted(workspace)
        loaded = workspace.asked_for() if untrusted else workspace.settings()
        if not loaded.settings.kiro.enabled:
            raise RunRefused(
                "Running tasks is switched off (kiro.enabled = false).",
                code="disabled",
                hint="Set KIRO_ENABLED=true, or kiro.enabled in kiro.toml.",
            )
        return loaded

    def _job(self, workspace: Workspace, handle: RunHandle, start: StartRun, task: tasks.Task) -> RunJob:
        async def mark(handle: RunHandle, status: Literal["in-progress", "open"]) -> None:
            if handle.settings.execution.mark_in_progress:
                self.saved([workspace.root / handle.record.path])
                await self._settlement(workspace).mark(handle.record, status)

        async def review_ready(handle: RunHandle) -> None:
            argv = command_of(start.verify, handle.settings.execution.verify_command)
            await self.verifications.review_ready(self._group, handle, argv)

        def choose() -> Chosen:
            file, task = self._find(workspace, start)
            prompt, intent = workspace.prompt(file, task)
            return Chosen(file, task, prompt, intent)

        async def arm(handle: RunHandle) -> None:
            loaded = await asyncio.to_thread(workspace.settings)
            handle.redactor = Redactor(loaded.secrets.values())
            known = await asyncio.to_thread(workspace.agents_of, loaded)
            told, why_not = await self._kinds.of(handle, known, loaded, start, task)
            agent, reason = await asyncio.to_thread(picked, workspace, loaded, start, task, told)
            handle.reason = f"{reason} ({why_not})" if why_not else reason
            handle.agent, handle.settings = agent, loaded.settings
            handle.agent_settings = registry.settings_for(
                agent.name, loaded.settings, model=agent.model, kind=agent.type
            )
            handle.executor_environ = registry.environ_of(handle.agent_settings, self.environ, loaded.secrets)
            handle.stage.environ = programs.reduced_environ(self.environ, (workspace.root,))
            handle.allowed_digests = await asyncio.to_thread(
                workspace.allowed_commands, loaded.settings, start.allowed_commands
            )
            handle.stage.trusted = True

        return RunJob(handle, workspace, start, self.workers, self._slot, choose, arm, mark, review_ready)

    def _stage(self, workspace: Workspace, handle: RunHandle) -> Stage:
        return Stage(
            run_id=handle.run_id,
            root=workspace.root,
            store=self.store,
            buffer_bytes=workspace.buffer_bytes,
            open_documents=lambda: workspace.open_paths(self.buffers.paths()),
            emit=handle.emit,
            task_file=handle.record.path,
            trusted=False,
        )

    async def _carry_out(self, job: RunJob) -> None:
        try:
            await job.carry_out()
        finally:
            self.handles.pop(job.handle.run_id, None)
            self._changed(job.handle.record.root)

    @asynccontextmanager
    async def _slot(self, handle: RunHandle) -> AsyncIterator[None]:
        async with self._slot_freed:
            await self._slot_freed.wait_for(lambda: len(self._working) < handle.settings.execution.max_parallel)
            self._working.add(handle.run_id)
        try:
            yield
        finally:
            self._working.discard(handle.run_id)
            async with self._slot_freed:
                self._slot_freed.notify_all()

    # While a run goes on

    async def run_ended(self, run_id: str) -> None:
        """Wait until nothing of a run goes on in this process any more; at once where nothing does."""
        handle = self.handles.get(run_id)
        if handle is not None and handle.job is not None:
            await asyncio.wait([handle.job])

    async def cancel(self, run_id: str, *, by: str) -> str:
        """Stop a run, here or in the process that owns it; what it staged stays reviewable. Returns a line for the person."""
        record = self.store.run(run_id)
        # First: a run that is being verified may still be putting its copy away.
        if self.verifications.stop(record.run_id, f"stopped by {by}"):
            return STOPPED
        handle = self.handles.get(record.run_id)
        if handle is not None:
            handle.cancel(by)
            return f"Cancelling run {record.run_id}; what it staged is kept."
        if record.state not in events.LIVE_STATES:
            raise RunRefused(f"Run {record.run_id} is {record.state}: there is nothing to cancel.", code="not-live")
        return str((await self._control.request(record, "cancel", {"by": by}))["message"])

    async def answer(self, run_id: str, request_id: str, option: str, *, by: str, text: str | None = None) -> None:
        """Answer a question of a run, here or in the process that owns it. Raises RunRefused when it is not open."""
        handle = self.handles.get(run_id)
        if handle is not None:
            handle.answer(request_id, option, by, text)
            return
        record = self.store.run(run_id)
        args = {"request": request_id, "option": option, "by": by, "text": text}
        await self._control.request(record, "answer", args)

    # Settling

    async def accept(
        self,
        run_id: str,
        *,
        revision: int | None = None,
        path: str | None = None,
        hunks: Collection[str] | None = None,
        taken: Collection[str] = (),
        by: str,
    ) -> Settled:
        """Apply what is named, or everything. `taken` are files that hold their change by the editor's own doing."""
        chosen = None if hunks is None else list(hunks)
        args = {"revision": revision, "path": path, "hunks": chosen, "taken": list(taken)}
        return await self._settle("accept", run_id, args, by)

    async def reject(
        self,
        run_id: str,
        *,
        revision: int | None = None,
        path: str | None = None,
        hunks: Collection[str] | None = None,
        by: str,
    ) -> Settled:
        args = {"revision": revision, "path": path, "hunks": None if hunks is None else list(hunks)}
        return await self._settle("reject", run_id, args, by)

    async def edit_proposed(self, run_id: str, path: str, text: str, onto: str | None = None) -> None:
        """Replace what is proposed for a file by what the person made of it, or of it and `onto`. Raises RunRefused."""
        record = self.store.run(run_id)
        await self._settlement(self.workspace(Path(record.root))).edit_proposed(record.run_id, path, text, onto)
        self._changed(record.root)

    async def undo(self, run_id: str, *, by: str) -> Settled:
        return await self._settle("undo", run_id, {}, by)

    async def restore(self, run_id: str, *, by: str) -> Settled:
        return await self._settle("restore", run_id, {}, by)

    async def commit(self, run_id: str, message: str | None = None, *, by: str) -> Settled:
        return await self._settle("commit", run_id, {"message": message}, by)

    async def _settle(self, verb: str, run_id: str, args: dict[str, Any], by: str) -> Settled:
        record = self.store.run(run_id)
        elsewhere = self._control.elsewhere(record)
        if elsewhere is not None:
            return await self._control.settle_elsewhere(record, elsewhere, verb, args | {"by": by})
        return await self.settle_here(verb, record, args)

    async def settle_here(self, verb: str, record: RunRecord, args: Mapping[str, Any]) -> Settled:
        """Carry out a settling verb in this process. Raises KiroError."""
        settlement = self._settlement(self.workspace(Path(record.root)))
        run_id = record.run_id
        if self.handles:
            touched = (record.path, *settlement.review(run_id).touched())
            self.saved([Path(record.root) / path for path in touched])
        try:
            match verb:
                case "accept":
                    taken = args.get("taken", ())
                    return await settlement.accept(run_id, args["revision"], args["path"], args["hunks"], taken)
                case "reject":
                    return await settlement.reject(run_id, args["revision"], args["path"], args["hunks"])
                case "undo":
                    return await settlement.undo(run_id)
                case "restore":
                    return await settlement.restore(run_id)
                case "commit":
                    return await settlement.commit(run_id, args["message"])
                case _:
                    raise KiroError(f"unknown verb {verb!r}")
        finally:
            self.verifications.decided(run_id)
            self._changed(record.root)

    async def verify(self, run_id: str, argv: Sequence[str], *, trust_once: bool = False) -> None:
        """Run a command over what a review would apply; returns when it has begun. Raises RunRefused without a review."""
        await self.verifications.again(self._group, self.store.run(run_id).run_id, argv, trust_once=trust_once)

    def saved(self, files: Sequence[Path]) -> None:
        """Files that the person's editor wrote, or that we are about to: no running agent did."""
        for handle in self.handles.values():
            for root in {handle.root, Path(handle.record.root)}:
                handle.stage.saved(path.relative_to(root).as_posix() for path in files if path.is_relative_to(root))

    async def set_status(self, root: Path, path: str | Path, selector: str, status: tasks.TaskStatus) -> str:
        """Write a status by hand. Returns a line for the person; raises KiroError when it cannot be written."""
        workspace = self.workspace(root)
        file, task = await asyncio.to_thread(self._task_in, workspace, path, selector)
        self.saved([workspace.root / file.path])
        outcome = await self._settlement(workspace).set_status(file.path, tasks.anchor_of(file.tasks, task), status)
        self._changed(workspace.real_root)
        return outcome

    def _task_in(self, workspace: Workspace, path: str | Path, selector: str) -> tuple[TaskFile, tasks.Task]:
        file = workspace.read_tasks(path)
        return file, tasks.find(file.tasks, selector)

    async def finish_recovered(self, record: RunRecord, outcome: Outcome) -> None:
        """Bring a run whose apply was cut off, and recovered, to its state: applied and ticked, or reviewable again."""
        await self._settlement(self.workspace(Path(record.root))).finish_recovered(record, outcome)
        self._changed(record.root)

    def _settlement(self, workspace: Workspace) -> Settlement:
        running = self.verifications.is_running
        return Settlement(self.store, workspace, self.buffers, self._publish, self._control.owner, running)

    # Looking

    def review(self, run_id: str) -> Review:
        """The change set of a run with its decisions. Raises UnknownRun."""
        record = self.store.run(run_id)
        return self._settlement(self.workspace(Path(record.root))).review(record.run_id)

    def runs(self, root: Path | None = None, limit: int = 200) -> list[RunRecord]:
        """Newest first."""
        return self.store.runs(root=None if root is None else self.workspace(root).real_root, limit=limit)

    def live(self, root: Path) -> list[LiveRun]:
        """The newest run of every task of a project that has one; what lenses show."""
        newest: dict[tuple[str, str], LiveRun] = {}
        for record in shown_runs(self.runs(root)):
            key = (record.path, record.task_key)
            if record.path and key not in newest:
                newest[key] = self._live(record, registry.label_of(record.agent))
        return list(newest.values())

    def pasts(self, root: Path) -> dict[str, Past]:
        """Task file → what became of its tasks so far."""
        return pasts_in(self.store, self.workspace(root).real_root)

    def _live(self, record: RunRecord, label: str) -> LiveRun:
        handle = self.handles.get(record.run_id)
        return LiveRun(
            record.run_id,
            record.path,
            record.task_key,
            record.title,
            record.agent,
            label,
            handle.state if handle else record.state,
            handle.phase if handle else "",
            record.started_at,
            record.cost,
            record.files,
            handle.question if handle else None,
            used_by(record),
            verdict_on(self.store, record),
        )

    def follow(self, run_id: str | None, after: int = 0) -> Follower:
        """The events of a run from `after` (exclusive) on: the recorded ones, then live ones, without a gap.

        With None: the live events of all runs. Close it when you stop reading early.
        """
        return Follower(self.store, self.stream, run_id, after)

    # Events

    def _publish(self, envelopes: Sequence[Envelope]) -> None:
        """Hand committed events to those who look, each once, in order."""
        fresh = [item for item in envelopes if item.seq > self._published.get(item.run_id, 0)]
        if not fresh:
            return
        for envelope in fresh:
            self._published[envelope.run_id] = max(envelope.seq, self._published.get(envelope.run_id, 0))
        self.stream.publish(fresh)
        if any(not isinstance(item.event, events.Chunk | events.Thought) for item in fresh):
            for run_id in {item.run_id for item in fresh}:
                handle = self.handles.get(run_id)
                self._changed(handle.record.root if handle else self.store.run(run_id).root)

    def publish_foreign(self, envelopes: Sequence[Envelope]) -> None:
        """Events that another process appended."""
        self._publish(envelopes)

    def _changed(self, root: str) -> None:
        for callback in list(self.on_change):
            callback(root)

    @property
    def owner(self) -> Owner:
        return self._control.owner


__all__ = ["Engine", "LiveRun", "LoadedSettings", "Settled", "StartRun"]
