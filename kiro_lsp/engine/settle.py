"""What becomes of staged changes: accept, reject, undo, restore, tick, commit.

Every verb begins with a compare-and-swap on the run's state, so that two editors and a terminal cannot apply the same
change twice, and ends with events that say what happened to which files. How bytes reach the disk is apply.py's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kiro_lsp import events
from kiro_lsp.changes.lineends import same_text, text_of
from kiro_lsp.changes.review import Review
from kiro_lsp.engine import commit, faults, verdicts
from kiro_lsp.engine.apply import Applier, Buffers, Outcome
from kiro_lsp.engine.disk import Disk
from kiro_lsp.engine.history import history_of
from kiro_lsp.engine.implementation_log import logged
from kiro_lsp.engine.resume import review_of, superseding
from kiro_lsp.engine.run import now
from kiro_lsp.engine.workspace import Workspace
from kiro_lsp.errors import KiroError, RunRefused, StaleRevision, StoreError
from kiro_lsp.events import Envelope, RunEvent, RunState
from kiro_lsp.executors import registry
from kiro_lsp.spec.model import TaskAnchor, TaskStatus
from kiro_lsp.store import Owner, RunRecord, Store

_UNDOABLE: frozenset[RunState] = frozenset({"applied", "review", "conflict", "undone"})
"""An undone run has something to undo again when its files were restored since."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The answer to accept, reject, undo and restore. `ok` is False when nothing was written and something must be done."""

    ok: bool
    state: RunState
    message: str
    files: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    ticked: bool = False
    commit: str | None = None
    merged: tuple[str, ...] = ()


@dataclass(slots=True)
class Settlement:
    """The settling verbs for the runs of one project."""

    store: Store
    workspace: Workspace
    buffers: Buffers
    publish: Callable[[Sequence[Envelope]], None]
    owner: Owner
    is_verifying: Callable[[str], bool] = lambda _run_id: False
    """Whether the verify command of a run goes on in this process."""

    def review(self, run_id: str) -> Review:
        """The change set of a run with the decisions taken so far. Raises UnknownRun."""
        return review_of(self.store, run_id)

    async def accept(
        self,
        run_id: str,
        revision: int | None,
        path: str | None,
        hunks: Collection[str] | None,
        taken: Collection[str] = (),
    ) -> Settled:
        """Apply the pending hunks that are named (all of them without names), tick the task when nothing is left."""
        record, review = await self._open(run_id, revision)
        if not review.changes.files and record.state != "review":
            raise RunRefused(
                f"Run {run_id} is {record.state} and has no changes: there is nothing to accept.",
                code="not-reviewable",
                hint="Retry it.",
            )
        wanted = review.decide("accepted", path=path, hunks=hunks)
        previous = await self._begin(record, review.revision)
        faults.point("review.accepting")
        unsaved = await asyncio.to_thread(self._unsaved, [*review.touched(), record.path])
        outcome = await self._or_as_before(run_id, previous, self._applier().accept(run_id, wanted, taken))
        faults.point("review.applied")
        if outcome.state == "conflict":
            return await self._conflict(record, outcome)
        if outcome.state == "rolled-back":
            back = self._back(run_id, previous)
            await self._append(run_id, [events.State("applying", back, outcome.message)])
            return Settled(False, back, outcome.message)
        return await self._accepted(record, wanted, outcome, unsaved)

    async def reject(
        self, run_id: str, revision: int | None, path: str | None, hunks: Collection[str] | None
    ) -> Settled:
        """Set pending hunks aside. Nothing touches the tree; rejected contents stay in the store."""
        record, review = await self._open(run_id, revision)
        after = review.decide("rejected", path=path, hunks=hunks)
        if not await self._swap(record, record.state, record.state, review.revision):
            raise _moved_on(run_id)
        faults.point("review.rejecting")
        await asyncio.wrap_future(self.store.decide(run_id, after.decisions, after.revision))
        faults.point("review.rejected")
        rejected = tuple(
            identifier for identifier in after.rejected_hunks() if identifier not in review.rejected_hunks()
        )
        files = tuple(sorted(after.files_with(rejected)))
        state: RunState = record.state
        group: list[RunEvent] = [events.Rejected(files, rejected)]
        if after.settled:
            state = "applied" if after.accepted_any else "rejected"
            if state == "applied":
                group.append(events.Applied(after.accepted_files(), True, False))
            group.append(events.State(record.state, state))
        await self._append(run_id, group)
        if state == "rejected":
            await self.mark(record, "open", only_from="in-progress")
        left = "" if after.settled else " The rest is still pending."
        return Settled(True, state, f"Rejected {len(rejected)} change(s) in {len(files)} file(s).{left}", files)

    async def edit_proposed(self, run_id: str, path: str, text: str, onto: str | None = None) -> None:
        """The person changed the proposed side of a file: that is what a later accept takes. The review moves on.

        `onto` is what the file held when they merged it with the proposal, to `text`: then it is a change of that.
        """
        _record, review = await self._open(run_id, None)
        changed = review.amended(path, text) if onto is None else review.resolved(path, text, self._now(path, onto))
        mine = review.mine_in(changed)
        await asyncio.wrap_future(self.store.amend(run_id, changed, review.revision + 1, mine))

    def _now(self, path: str, expected: str) -> bytes:
        """What the file or its document holds now. Raises RunRefused when that is another text than `expected`."""
        data = self.workspace.buffer_bytes(path)
        data = Disk(self.workspace.root, "merge").look(path).data if data is None else data
        text = text_of(data)
        if data is None or text is None or not same_text(text, expected):
            raise RunRefused(f"{path} has changed again.", code="stale", hint="Merge it once more.")
        return data

    async def undo(self, run_id: str) -> Settled:
        """Put everything back as it was before the accept, the tick included."""
        return await self._revert(run_id, "undo")

    async def restore(self, run_id: str) -> Settled:
        """Put the backup of every touched file back, also over later changes (which are saved first)."""
        if not self.workspace.settings().settings.safety.backup_before_execution:
            raise RunRefused(
                "No backup is kept (safety.backup_before_execution = false).",
                code="no-backup",
                hint="`undo` takes an accept back as long as its files have not changed since.",
            )
        return await self._revert(run_id, "restore")

    async def commit(self, run_id: str, message: str | None) -> Settled:
        """Commit exactly the accepted paths of an applied run. Raises RunRefused with the reason when it cannot."""
        record = self.store.run(run_id)
        review = self.review(run_id)
        if record.state != "applied":
            raise RunRefused(
                f"Run {run_id} is {record.state}: only an applied run can be committed.",
                hint="Accept its changes first.",
            )
        files = [*review.accepted_files(), *([record.path] if record.path else [])]
        done = await asyncio.to_thread(
            commit.commit_run, self.workspace.root, files, commit.message_of(record, message), self.buffers
        )
        return Settled(done.ok, "applied", done.message, tuple(done.files), commit=done.commit)

    async def mark(
        self, record: RunRecord, status: TaskStatus, *, only_from: TaskStatus | None = None
    ) -> Literal["written", "unchanged"] | str:
        """Write a status for the run's task, if it has one; the text of a problem when that is not possible."""
        if not record.path:
            return "unchanged"
        outcome = await self._applier().tick(record.run_id, record.path, record.anchor, status, only_from=only_from)
        if outcome.problem is not None:
            return outcome.problem.message
        return "written" if outcome.ticked else "unchanged"

    async def set_status(self, path: str, anchor: TaskAnchor, status: TaskStatus) -> str:
        """Write a status by hand; returns a line for the person. Raises RunRefused when the mark cannot be written."""
        outcome = await self._applier().tick(None, path, anchor, status)
        if outcome.problem is not None:
            raise RunRefused(outcome.problem.message, code=outcome.problem.code)
        return f"Task {anchor.key} is {status} now." if outcome.ticked else f"Task {anchor.key} was {status} already."

    async def finish_recovered(self, record: RunRecord, outcome: Outcome) -> None:
        """Go on where a process died in the middle of an accept, an undo or a restore."""
        if outcome.state != "verified":
            reason = "the process died while applying; everything was put back"
            await self._append(record.run_id, [events.State("applying", "review", reason)])
        elif outcome.kind in ("undo", "restore"):
            await self._append(record.run_id, [events.Undone(outcome.files), events.State("applying", "undone")])
        else:
            await self._accepted(record, self.review(record.run_id), outcome)

    # The steps

    async def _open(self, run_id: str, revision: int | None) -> tuple[RunRecord, Review]:
        record = self.store.run(run_id)
        review = self.review(run_id)
        if record.state not in events.REVIEWABLE_STATES:
            raise RunRefused(
                f"Run {run_id} is {record.state}: there is nothing to review.",
                code="not-reviewable",
                hint=_hint_for(record.state),
            )
        newer = superseding(self.store, record)
        if newer is not None:
            raise RunRefused(
                f"Run {newer.run_id} goes on from this one: its review holds these changes too.",
                code="superseded",
                hint=f"Decide on that one, `kiro-lsp review {newer.run_id}`. If you reject it, this one counts again.",
            )
        if revision is not None and revision != review.revision:
            raise StaleRevision(
                f"The review of run {run_id} has moved on (revision {review.revision}, you looked at {revision}).",
                hint="Look again and decide on what is there now.",
            )
        return record, review

    async def _begin(self, record: RunRecord, revision: int) -> RunState:
        """Take the run into `applying`; raises RunRefused when somebody else was faster."""
        if not await self._swap(record, record.state, "applying", revision):
            raise _moved_on(record.run_id)
        await self._append(record.run_id, [events.State(record.state, "applying")])
        return record.state

    async def _swap(self, record: RunRecord, from_: RunState, to: RunState, revision: int) -> bool:
        return await asyncio.wrap_future(
            self.store.transition(record.run_id, [from_], to, revision=revision, owner=self.owner)
        )

    async def _accepted(
        self, record: RunRecord, review: Review, outcome: Outcome, unsaved: Collection[str] = ()
    ) -> Settled:
        notes = [outcome.message] if outcome.message else []
        merged = outcome.merged or None
        if merged:
            notes.append(f"Merged with what changed meanwhile: {', '.join(merged)}.")
        if not review.settled:
            applied = events.Applied(outcome.files, True, False, merged)
            back = self._back(record.run_id, "verifying")
            await self._append(record.run_id, [applied, events.State("applying", back)])
            notes.append(f"Applied {_files(outcome.files)}; the rest is still pending.")
            notes += await self._saved(outcome.files, unsaved)
            return Settled(True, back, " ".join(notes), outcome.files, merged=outcome.merged)
        partial = review.rejected_any
        tick = ""
        if record.way == "replay" and record.model == registry.TRIAL:
            notes.append("This was a recorded trial: the task was not worked on, so its box stays as it is.")
        elif not partial and self._completed(record.run_id):
            tick = await self.mark(record, "done")
            if tick not in ("written", "unchanged"):
                notes.append(f"The box was not ticked: {tick}")
        ticked = tick == "written"
        verified = verdicts.verified(self.store, record, review)
        faults.point("review.ticked")
        await self._append(
            record.run_id,
            [
                events.Applied(review.accepted_files(), partial, ticked, merged, verified),
                events.State("applying", "applied"),
            ],
        )
        faults.point("review.settled")
        notes.append(f"Applied {_files(review.accepted_files())}." + (" The task is ticked." if ticked else ""))
        if verified is False:
            notes.append("It is not verified.")
        notes += await self._saved([*outcome.files, *([record.path] if ticked else [])], unsaved)
        if ticked:
            notes += await logged(self.workspace, self.store, record, review)
        committed = await self._auto_commit(record.run_id, notes)
        told = " ".join(notes)
        return Settled(True, "applied", told, outcome.files, ticked=ticked, commit=committed, merged=outcome.merged)

    def _unsaved(self, files: Collection[str]) -> frozenset[str]:
        """Those of the files that are open with edits of the person's: whether these are saved is theirs to say."""
        disk, found = Disk(self.workspace.root, "save"), set()
        for name in filter(None, files):
            text = self.buffers.text(self.workspace.root / name)
            on_disk = None if text is None else text_of(disk.look(name).data)
            if text is not None and (on_disk is None or not same_text(text, on_disk)):
                found.add(name)
        return frozenset(found)

    async def _saved(self, files: Sequence[str], unsaved: Collection[str]) -> list[str]:
        """Save what an accept or undo changed, where settings and client allow it; name what stays unsaved."""
        if not self.workspace.settings().settings.execution.auto_save:
            return []
        open_files = [path for name in files if self.buffers.text(path := self.workspace.root / name) is not None]
        wanted = [path for path in open_files if path.relative_to(self.workspace.root).as_posix() not in unsaved]
        saved = set(await self.buffers.save(wanted)) if wanted else set()
        left = [str(path.relative_to(self.workspace.root)) for path in open_files if path not in saved]
        return [f"Not saved yet, save it in the editor: {', '.join(left)}."] if left else []

    async def _auto_commit(self, run_id: str, notes: list[str]) -> str | None:
        if not self.workspace.settings().settings.execution.auto_commit:
            return None
        try:
            done = await self.commit(run_id, None)
        except RunRefused as refusal:
            notes.append(f"Not committed: {refusal}")
            return None
        notes.append(done.message)
        return done.commit

    async def _conflict(self, record: RunRecord, outcome: Outcome) -> Settled:
        await self._append(
            record.run_id,
            [
                events.ConflictFound(outcome.conflicts, outcome.reasons or None),
                events.State("applying", "conflict", outcome.message),
            ],
        )
        return Settled(False, "conflict", outcome.message, conflicts=outcome.conflicts)

    async def _revert(self, run_id: str, verb: Literal["undo", "restore"]) -> Settled:
        record = self.store.run(run_id)
        history = history_of(self.store, run_id)
        if record.state not in _UNDOABLE or not (history.in_force if verb == "undo" else history.changed):
            raise RunRefused(
                f"Run {run_id} is {record.state}: there is nothing to {verb}.", hint=_hint_for(record.state)
            )
        _decisions, revision = self.store.decisions(run_id)
        unsaved = await asyncio.to_thread(self._unsaved, [*self.review(run_id).touched(), record.path])
        previous = await self._begin(record, revision)
        applier = self._applier()
        work = applier.undo(run_id) if verb == "undo" else applier.restore(run_id)
        outcome = await self._or_as_before(run_id, previous, work)
        if outcome.state != "verified":
            back = self._back(run_id, previous)
            await self._append(run_id, [events.State("applying", back, outcome.message)])
            return Settled(False, back, outcome.message, conflicts=outcome.conflicts)
        await self._append(run_id, [events.Undone(outcome.files), events.State("applying", "undone")])
        notes = [outcome.message or f"Put back {_files(outcome.files)}.", *await self._saved(outcome.files, unsaved)]
        return Settled(True, "undone", " ".join(notes), outcome.files)

    def _completed(self, run_id: str) -> bool:
        """Only a run whose executor completed may tick: accepted pieces of a failed run are not a finished task."""
        return self.store.has_event(run_id, "complete")

    async def _or_as_before(self, run_id: str, previous: RunState, work: Awaitable[Outcome]) -> Outcome:
        """An apply that is refused as a whole leaves the run in the state that it had."""
        try:
            return await work
        except KiroError as refusal:
            await self._append(run_id, [events.State("applying", self._back(run_id, previous), refusal.message)])
            raise

    def _back(self, run_id: str, state: RunState) -> RunState:
        """The state that a run goes back to; its verify command may have reported meanwhile."""
        return "review" if state == "verifying" and not self.is_verifying(run_id) else state

    async def _append(self, run_id: str, group: Sequence[RunEvent]) -> None:
        envelopes = await asyncio.wrap_future(self.store.append(run_id, group, durable=True, at=now()))
        self.publish(envelopes)

    def _applier(self) -> Applier:
        return Applier(self.store, self.workspace.root, self.buffers)


def _files(files: Sequence[str]) -> str:
    return "no files" if not files else f"{len(files)} file" + ("s" if len(files) > 1 else "")


def _moved_on(run_id: str) -> StaleRevision:
    return StaleRevision(
        f"Run {run_id} was changed at the same moment from somewhere else; nothing was done here.",
        hint="Look at it again.",
    )


def _hint_for(state: RunState) -> str:
    hints: dict[str, str] = {
        "applied": "It was accepted before; `undo` takes it back.",
        "rejected": "It was rejected before; retry the run, or apply the answer again, to get new changes.",
        "undone": "It was undone before; retry the run, or apply the answer again, to get new changes.",
        "applying": "Somebody is applying it right now.",
    }
    return hints.get(state, "Wait until it has ended, or cancel it.")


def no_buffers() -> Buffers:
    """The documents of a face without an editor: none is open."""
    return _NoBuffers()


class _NoBuffers:
    def paths(self) -> Sequence[Path]:
        return ()

    def text(self, path: Path) -> str | None:  # noqa: ARG002
        return None

    def dirty(self, path: Path) -> bool:  # noqa: ARG002
        return False

    async def edit(self, files: object) -> bool:  # noqa: ARG002
        raise StoreError("there is no editor to edit a document in")

    async def save(self, paths: Sequence[Path]) -> Sequence[Path]:  # noqa: ARG002
        return []
