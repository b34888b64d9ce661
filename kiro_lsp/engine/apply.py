"""Accept, undo, restore and tick: a set of files goes from before to after, or stays as it was, through a journal.

    PREPARED   what will be written, with both contents of every file, is in the store
    APPLYING   open documents by one edit of the editor, then closed files by us
    VERIFIED | ROLLED_BACK | CONFLICT

What an editor answers is a hint; only contents count. Which hunks are accepted is the review's business, what becomes
of the run is the engine's, and what a crash left is recovery.py's. A file that is not what it was gets
the change of an accept merged into it, or is named, and nothing is written; an undo never merges.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from kiro_lsp.changes.diff import is_mixture
from kiro_lsp.changes.lineends import same_text, text_of
from kiro_lsp.changes.review import Content, Review
from kiro_lsp.engine import recovery, rootlock
from kiro_lsp.engine.disk import Change, Changed, Disk
from kiro_lsp.engine.faults import point
from kiro_lsp.engine.history import TANGLED, Restoration, history_of
from kiro_lsp.engine.plan import Plan, Target, accepting, plan
from kiro_lsp.engine.recovery import Outcome
from kiro_lsp.errors import RunRefused, StoreError
from kiro_lsp.spec import tasks
from kiro_lsp.spec.model import MarkEdit, Problem, Task, TaskAnchor, TaskStatus
from kiro_lsp.store import Journal, JournalKind, Store

T = TypeVar("T")

_TICK_TRIES: Final = 5
"""How often a tick looks again when somebody writes to the task file at the same moment."""

_RUNNING: Final[set[asyncio.Task[Any]]] = set()
"""Applies go on to their end when their caller is cancelled; the loop itself holds on to nobody."""

__all__ = ["Applier", "Buffers", "Outcome", "TickOutcome"]


class Buffers(Protocol):
    """The editor's open documents; a terminal has none."""

    def paths(self) -> Sequence[Path]:
        """Every document that is open, as absolute paths."""
        ...

    def text(self, path: Path) -> str | None:
        """The text of an open document with the line ends it has there, None when it is not open."""
        ...

    def dirty(self, path: Path) -> bool:
        """Whether an open document has unsaved changes."""
        ...

    async def edit(self, files: Mapping[Path, tuple[str, str]]) -> bool:
        """Bring open documents from their old to their new text, by one versioned edit.

        The answer is a hint. A lost connection is False or ConnectionError; there is no time limit.
        """
        ...

    async def save(self, paths: Sequence[Path]) -> Sequence[Path]:
        """Save open documents where the client can; gives those that were saved."""
        ...


@dataclass(frozen=True, slots=True)
class TickOutcome:
    """`ticked`: the mark was written. Neither ticked nor a problem: it was there already, or another status was
    found.
    """

    ticked: bool
    problem: Problem | None = None


class _NotApplied(Exception):
    """The editor did not take the edit; the documents say what it did instead."""


class Applier:
    """Applies in one project. Cheap to make; one apply at a time, over all processes, is seen to by a lock."""

    def __init__(self, store: Store, root: Path, buffers: Buffers) -> None:
        self._store, self._root, self._buffers = store, root, buffers

    async def accept(self, run_id: str, review_after: Review, taken: Collection[str] = ()) -> Outcome:
        """Bring the files from the decisions that are recorded to those of `review_after`, and record these.

        `taken` are files whose changes the person took over in the editor already: an undo takes them back too.
        Raises StoreError when nothing could be written down; then nothing was written.
        """

        async def work() -> Outcome:
            decisions, _revision = self._store.decisions(run_id)
            targets = accepting(Review(review_after.changes, decisions), review_after, taken)
            return await self._apply("accept", run_id, targets, review=review_after)

        return await self._alone(work)

    async def undo(self, run_id: str) -> Outcome:
        """Put everything back that this run changed, the tick included; after a `restore`, take that back.

        All of it or nothing: a file that changed since is named. Raises RunRefused when there is nothing to undo.
        """

        async def work() -> Outcome:
            history = history_of(self._store, run_id)
            if not history.in_force:
                raise RunRefused(f"Run {run_id} has changed nothing that could be undone.", code="nothing-to-undo")
            return await self._put_back("undo", run_id, history.undone())

        return await self._alone(work)

    async def restore(self, run_id: str) -> Outcome:
        """Put the contents from before this run back over whatever is there now, which is kept: `undo` brings it back.

        In the task file only the mark goes back. Raises RunRefused when the run has changed nothing.
        """

        async def work() -> Outcome:
            history = history_of(self._store, run_id)
            if not history.changed:
                raise RunRefused(f"Run {run_id} has changed nothing that could be restored.", code="nothing-to-restore")
            return await self._put_back("restore", run_id, history.restored())

        return await self._alone(work)

    async def tick(
        self,
        run_id: str | None,
        task_path: str,
        anchor: TaskAnchor,
        status: TaskStatus,
        *,
        only_from: TaskStatus | None = None,
    ) -> TickOutcome:
        """Write a status: one mark of the one task that `anchor` means, in the current text, or nothing at all.

        With `only_from` only a task that has that status is written. Without a run nothing is recorded: such a mark is
        taken back by writing the other one.
        """

        async def work() -> TickOutcome:
            for _ in range(_TICK_TRIES):
                found = self._tick_target(task_path, anchor, status, only_from)
                if isinstance(found, TickOutcome):
                    return found
                outcome = await self._apply(
                    "tick", run_id, [found], confirm=lambda text: self._has(text, task_path, anchor, status)
                )
                if outcome.state == "verified":
                    return TickOutcome(True)
            message = f"The box of {anchor.key} was not written: {outcome.message}"
            return TickOutcome(False, Problem(0, 0, "tick-refused", "warning", message))

        return await self._alone(work)

    # Ticking

    def _tick_target(
        self, path: str, anchor: TaskAnchor, status: TaskStatus, only_from: TaskStatus | None
    ) -> Target | TickOutcome:
        data, is_document, reason = self._current(path)
        decoded = None if data is None else tasks.decode(data)
        if data is None or decoded is None or decoded.text is None:
            problem = decoded.problem if decoded is not None else None
            message = f"{path} cannot be written: {problem.message if problem else reason}"
            return TickOutcome(False, Problem(0, 0, "unreadable-file", "warning", message))
        found = tasks.parse(decoded.text, str(self._root / path))
        task = tasks.relocate(found, anchor)
        if task is None:
            message = f"Task {anchor.key} was not found again, or more than once, in {path}: its box was not touched."
            return TickOutcome(False, Problem(0, 0, "task-gone", "warning", message))
        if task.status == status or (only_from is not None and task.status != only_from):
            return TickOutcome(False)
        edit = tasks.mark_edit(found, decoded.text, task, status, str(self._root / path))
        if isinstance(edit, Problem):
            return TickOutcome(False, edit)
        return Target(path, Content(data), Content(tasks.apply_mark(data, edit)), from_editor=is_document)

    def _current(self, path: str) -> tuple[bytes | None, bool, str]:
        """(content, whether it is a document's, why there is none)."""
        text = self._buffers.text(self._root / path)
        if text is not None:
            return text.encode("utf-8", "surrogatepass"), True, ""
        seen = Disk(self._root, "tick").look(path)
        return seen.data, False, f"it is {seen.obstacle}" if seen.obstacle else "it is not there any more"

    def _has(self, text: str, path: str, anchor: TaskAnchor, status: TaskStatus) -> bool:
        task = self._task_in(text, path, anchor)
        return task is not None and task.status == status

    def _task_in(self, text: str, path: str, anchor: TaskAnchor) -> Task | None:
        return tasks.relocate(tasks.parse(text, str(self._root / path)), anchor)

    # Going back

    async def _put_back(self, kind: JournalKind, run_id: str, restorations: Sequence[Restoration]) -> Outcome:
        anchor = self._store.run(run_id).anchor
        targets: list[Target] = []
        left: list[str] = []
        for restoration in restorations:
            if restoration.is_tick:
                target = self._unticked(restoration, anchor)
                if target is None:
                    left.append(restoration.path)
                else:
                    targets.append(target)
            else:
                targets.append(restoration.target(force=kind == "restore"))
        tangled = [entry.path for entry in restorations if entry.is_tangled and not entry.is_tick]
        if kind == "undo" and tangled:
            return _conflict(dict.fromkeys(tangled, TANGLED), kind)
        outcome = await self._apply(kind, run_id, targets)
        if outcome.state != "verified" or not left:
            return outcome
        note = f"The box in {', '.join(left)} was changed since and stays as it is."
        return Outcome(outcome.state, outcome.files, outcome.conflicts, f"{outcome.message} {note}".strip(), kind)

    def _unticked(self, restoration: Restoration, anchor: TaskAnchor) -> Target | None:
        """The mark as it was before the first tick, in the text as it is now; None when it is not ours any more."""
        data, is_document, _reason = self._current(restoration.path)
        texts = [text_of(content) for content in (data, restoration.before.data, restoration.after.data)]
        now, before, after = texts
        if data is None or now is None or before is None or after is None:
            return None
        if restoration.is_unbroken and same_text(now, after):
            return restoration.target(force=False)
        task = self._task_in(now, restoration.path, anchor)
        was, became = (self._task_in(text, restoration.path, anchor) for text in (before, after))
        if task is None or was is None or became is None or task.mark != became.mark or task.mark_column is None:
            return None
        edit = MarkEdit(task.line, task.mark_column, task.mark_column + len(task.mark), was.mark)
        return Target(restoration.path, Content(data), Content(tasks.apply_mark(data, edit)), from_editor=is_document)

    # One set of files

    async def _alone(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Carry out under the lock of the root, to its end even when the caller is cancelled meanwhile."""

        async def locked() -> T:
            async with rootlock.held(self._store.directory, self._root):
                # Whatever is unfinished here is of a process that died: its turn to hold the lock is over.
                await asyncio.to_thread(recovery.recover_root, self._store, self._root, open_text=self._buffers.text)
                return await work()

        running = asyncio.get_running_loop().create_task(locked(), name="apply")
        _RUNNING.add(running)
        running.add_done_callback(_RUNNING.discard)
        try:
            return await asyncio.shield(running)
        except OSError as error:
            raise StoreError(
                f"{error.filename or self._root} cannot be used: {error.strerror}.",
                hint="Nothing was written. Free some space or check the rights, then try again.",
            ) from error

    async def _apply(
        self,
        kind: JournalKind,
        run_id: str | None,
        targets: Sequence[Target],
        *,
        review: Review | None = None,
        confirm: Callable[[str], bool] = lambda _text: False,
    ) -> Outcome:
        texts = {target.path: self._buffers.text(self._root / target.path) for target in targets}
        documents = {path: text for path, text in texts.items() if text is not None}
        planned = await asyncio.to_thread(plan, self._root, documents, targets)
        point("apply.planned")
        if planned.conflicts:
            return _conflict(planned.conflicts, kind)
        entry = Journal(
            run_id or "",
            kind,
            tuple(planned.files),
            decisions=review.decisions if review is not None else {},
            revision=review.revision if review is not None else 0,
        )
        journal = _Recorded(self._store, entry)
        await journal.prepare()
        exact = kind in ("undo", "restore")
        work = _Write(self._root, self._buffers, planned, journal, confirm=confirm, exact=exact)
        return await work.carry_out()


class _Recorded:
    """The journal of one apply. Without a run there is none: a single mark is atomic by itself."""

    def __init__(self, store: Store, journal: Journal) -> None:
        self._store, self._journal = store, journal
        self._id: int | None = None

    @property
    def kind(self) -> JournalKind:
        return self._journal.kind

    @property
    def token(self) -> str:
        return recovery.token(self._store, self._id or 0)

    async def prepare(self) -> None:
        if self._journal.run_id:
            self._id = await asyncio.wrap_future(self._store.journal_prepare(self._journal))
            point("apply.prepared")

    async def begin(self) -> None:
        await self._state("APPLYING")
        point("apply.applying")

    async def verified(self) -> None:
        await self._state("VERIFIED")

    async def ended(self, state: str) -> None:
        await self._state("CONFLICT" if state == "conflict" else "ROLLED_BACK")

    async def _state(self, state: Any) -> None:
        if self._id is not None:
            await asyncio.wrap_future(self._store.journal_state(self._id, state))


class _Write:
    """One planned set: documents, then files, then the proof; on any failure everything back."""

    def __init__(
        self,
        root: Path,
        buffers: Buffers,
        planned: Plan,
        journal: _Recorded,
        *,
        confirm: Callable[[str], bool],
        exact: bool,
    ) -> None:
        self._root, self._buffers, self._journal, self._confirm = root, buffers, journal, confirm
        self._paths, self._merged = planned.paths, tuple(sorted(planned.merged))
        self._edits = planned.edits(root)
        self._disk = Disk(root, journal.token)
        self._swapped: set[int] = set()
        self._changes = [
            (
                number,
                Change(file.path, file.before, file.after, file.before_mode, file.after_mode, file.made_dirs, exact),
            )
            for number, file in enumerate(planned.files)
            if file.where == "disk"
        ]

    async def carry_out(self) -> Outcome:
        try:
            await self._journal.begin()
            await self._edit()
            await asyncio.to_thread(self._write)
            await self._journal.verified()
        except _NotApplied as refusal:
            return await self._back(str(refusal), {})
        except Changed as changed:
            path, reason = changed.args
            return await self._back("", {path: reason})
        except OSError as error:
            reason = f"{self._relative(error)} could not be written: {error.strerror}. Nothing was changed."
            return await self._back(reason, {})
        except StoreError as error:
            return await self._back(f"{error.message} Nothing was changed.", {})
        point("apply.recorded")
        return Outcome("verified", self._paths, kind=self._journal.kind, merged=self._merged)

    async def _edit(self) -> None:
        if not self._edits:
            return
        point("apply.buffers")
        accepted = await self._ask(self._edits)
        point("apply.edited")
        missed = [path for path, (_old, new) in self._edits.items() if not self._has(path, new)]
        if missed:
            names = ", ".join(sorted(self._name(path) for path in missed))
            how = "said yes, but did not change" if accepted else "did not accept the change of"
            raise _NotApplied(f"The editor {how} {names}. Nothing was changed; the change set is still pending.")

    def _has(self, path: Path, wanted: str) -> bool:
        """Whether a document, or the file it was saved to and closed, has a text now."""
        actual = self._buffers.text(path)
        if actual is None:
            actual = text_of(self._disk.look(self._name(path)).data)
        return actual is not None and (same_text(actual, wanted) or self._confirm(actual))

    async def _ask(self, edits: Mapping[Path, tuple[str, str]]) -> bool:
        try:
            return await self._buffers.edit(edits)
        except ConnectionError:
            return False

    def _write(self) -> None:
        """Lay everything beside its place first: a full disk shows before the first file changes."""
        for step in (self._disk.lay, self._swap):
            for number, change in self._changes:
                try:
                    step(change, number)
                except Changed as changed:
                    raise Changed(change.path, str(changed)) from changed
                except OSError as error:
                    error.filename = change.path
                    raise
        self._disk.sync(change for _number, change in self._changes)
        point("apply.swapped")
        for _number, change in self._changes:
            if not change.is_done(self._disk.look(change.path)):
                raise Changed(change.path, "it changed while it was being written")
        point("apply.verified")
        for number, change in self._changes:
            self._disk.sweep(change, number)
        point("apply.swept")

    def _swap(self, change: Change, number: int) -> None:
        self._swapped.add(number)
        try:
            self._disk.swap(change, number)
        except Changed:
            # What is there now is somebody else's, also where it equals what we wanted.
            self._swapped.discard(number)
            raise

    def _put_back(self) -> dict[str, str]:
        conflicts = recovery.put_back(self._disk, [entry for entry in self._changes if entry[0] in self._swapped])
        for number, change in self._changes:
            if number not in self._swapped:
                self._disk.sweep(change.reversed(), number)
        return conflicts

    async def _back(self, message: str, conflicts: dict[str, str]) -> Outcome:
        """Everything back as it was; what cannot go back is named, and tried again by the next apply."""
        stuck: dict[str, str] = {}
        unfinished = ""
        try:
            stuck = await asyncio.to_thread(self._put_back)
        except OSError as error:
            unfinished = (
                f" {self._relative(error)} could not be put back yet ({error.strerror}): its old content is kept and is"
                " put back at the next start."
            )
        stuck |= await self._edit_back()
        outcome = _conflict(conflicts | stuck, self._journal.kind) if conflicts or stuck else None
        if unfinished:
            left = tuple(sorted({*conflicts, *stuck} or {change.path for _number, change in self._changes}))
            return Outcome("conflict", (), left, (message + unfinished).strip(), self._journal.kind)
        try:
            await self._journal.ended("conflict" if stuck else "rolled-back")
        except StoreError as error:
            message = message or error.message  # the journal stays open and is closed by the next apply
        if outcome is not None and not stuck:
            return outcome
        if stuck:
            reasons = "; ".join(f"{path}: {reason}" for path, reason in stuck.items())
            text = f"{message} These files could not be put back: {reasons}.".strip()
            return Outcome("conflict", (), tuple(sorted(stuck)), text, self._journal.kind)
        return Outcome("rolled-back", (), (), message, self._journal.kind)

    async def _edit_back(self) -> dict[str, str]:
        """Inverse edits for the documents that were changed; path → reason for those that have neither text."""
        inverse = {
            path: (actual, old)
            for path, (old, new) in self._edits.items()
            if (actual := self._buffers.text(path)) is not None and actual != old and is_mixture(actual, old, new)
        }
        if inverse:
            await self._ask(inverse)
        return {
            self._name(path): "the document was only partly changed, and could not be changed back"
            for path, (old, _new) in self._edits.items()
            if (actual := self._buffers.text(path)) is not None and not same_text(actual, old)
        }

    def _name(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()

    def _relative(self, error: OSError) -> str:
        return str(error.filename) if error.filename else "A file"


def _conflict(conflicts: Mapping[str, str], kind: JournalKind) -> Outcome:
    paths = tuple(sorted(conflicts))
    reasons = tuple(conflicts[path] for path in paths)
    told = "; ".join(f"{path}: {conflicts[path]}" for path in paths)
    message = f"Nothing was written, no version is lost. {told}."
    return Outcome("conflict", (), paths, message, kind, reasons=reasons)
