"""After a crash: every unfinished journal is brought to before or after, by what the files hold.

A journal that was only prepared has written nothing. One that was being applied is complete when every file on the disk
holds its new content (open documents come first, so they were done by then); else every file goes back to what it was.
A file that somebody changed meanwhile is left as it is and named. Nothing is ever applied anew, no box is ticked and no
run changes its state here; the engine does that with the outcome.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kiro_lsp.changes.lineends import same_text, text_of
from kiro_lsp.engine import rootlock
from kiro_lsp.engine.disk import Change, Changed, Disk
from kiro_lsp.engine.faults import point
from kiro_lsp.errors import UnknownRun
from kiro_lsp.store import Journal, JournalFile, JournalKind, Store

OpenText = Callable[[Path], str | None]
"""The text of an open document, None when it is not open."""

_UNFINISHED: Collection[Literal["PREPARED", "APPLYING"]] = ("PREPARED", "APPLYING")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an apply ended. `verified`: every file holds its new content. `rolled-back`: every file holds its old one.

    `conflict`: nothing was written because files are not what they were, or a file could not be put back; `conflicts`
    names them and `message` says why. Paths are root-relative with `/`.
    """

    state: Literal["verified", "rolled-back", "conflict"]
    files: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    message: str = ""
    kind: JournalKind = "accept"
    merged: tuple[str, ...] = ()
    """Of `files` those that keep what somebody else changed meanwhile."""
    reasons: tuple[str, ...] = ()
    """Why each of `conflicts` is one, where that is known."""


def recover(store: Store, root: Path, run_id: str, *, open_text: OpenText = lambda _path: None) -> Outcome:
    """Finish what a dead process left unfinished for one run, and say where the run stands now.

    The outcome is that of the last accept, undo or restore that is in force: a rolled back undo leaves the accept.
    Blocks while another process applies in the project. Raises StoreError; OSError when the disk fails, then call it
    again.
    """
    with rootlock.held_blocking(store.directory, root):
        outcomes = {journal.id: settle(store, root, journal, open_text) for journal in _unfinished(store, run_id)}
    journals = [journal for journal in store.journals(run_id=run_id) if journal.kind != "tick"]
    stuck = next((outcomes[journal.id] for journal in journals if _state_of(outcomes, journal) == "conflict"), None)
    if stuck is not None:
        return stuck
    verified = [journal for journal in journals if journal.state == "VERIFIED"]
    if not verified:
        return Outcome("rolled-back", kind=journals[-1].kind if journals else "accept")
    last = verified[-1]
    return Outcome("verified", _paths(last.files), kind=last.kind)


def recover_root(store: Store, root: Path, *, open_text: OpenText = lambda _path: None) -> list[Outcome]:
    """Finish every unfinished journal of a project. The caller holds the lock of the root."""
    real = os.path.realpath(root)
    return [
        settle(store, root, journal, open_text)
        for journal in _unfinished(store, None)
        if _root_of(store, journal) == real
    ]


def settle(store: Store, root: Path, journal: Journal, open_text: OpenText) -> Outcome:
    """Bring one unfinished journal to its end. May be called again after a failure at any point."""
    point("recover.begin")
    files = _paths(journal.files)
    if journal.state == "PREPARED":
        store.journal_state(journal.id, "ROLLED_BACK").result()
        return Outcome("rolled-back", kind=journal.kind)
    disk, changes = Disk(root, token(store, journal.id)), changes_of(journal)
    if _is_complete(disk, root, journal, changes, open_text):
        for number, change in changes:
            disk.sweep(change, number)
        store.journal_state(journal.id, "VERIFIED").result()
        point("recover.recorded")
        return Outcome("verified", files, kind=journal.kind)
    conflicts = put_back(disk, changes)
    store.journal_state(journal.id, "CONFLICT" if conflicts else "ROLLED_BACK").result()
    point("recover.recorded")
    if not conflicts:
        return Outcome("rolled-back", kind=journal.kind)
    reasons = "; ".join(f"{path}: {reason}" for path, reason in conflicts.items())
    message = f"An apply was cut off and these files were not put back, because they are not ours any more: {reasons}."
    return Outcome("conflict", files, tuple(conflicts), message, journal.kind)


def put_back(disk: Disk, changes: Sequence[tuple[int, Change]]) -> dict[str, str]:
    """Undo every step that was taken, last first; path → reason for files that somebody else changed since.

    Raises OSError when the disk fails; then nothing is lost and it can be called again.
    """
    conflicts: dict[str, str] = {}
    failure: OSError | None = None
    for number, change in reversed(changes):
        point("recover.file")
        try:
            disk.back(change, number)
        except Changed as changed:
            conflicts[change.path] = str(changed)
            disk.sweep(change.reversed(), number)
        except OSError as error:
            failure = failure or error  # the others still go back
    if failure is not None:
        raise failure
    return conflicts


def changes_of(journal: Journal) -> list[tuple[int, Change]]:
    """The files of a journal that are written to the disk, with the numbers that their temporary files have."""
    exact = journal.kind in ("undo", "restore")
    return [
        (number, Change(file.path, file.before, file.after, file.before_mode, file.after_mode, file.made_dirs, exact))
        for number, file in enumerate(journal.files)
        if file.where == "disk"
    ]


def token(store: Store, journal: int) -> str:
    """What the temporary files of a journal are called; two state folders never share a name."""
    return hashlib.sha256(f"{store.directory}\0{journal}".encode("utf-8", "surrogateescape")).hexdigest()[:12]


def _is_complete(
    disk: Disk, root: Path, journal: Journal, changes: Sequence[tuple[int, Change]], open_text: OpenText
) -> bool:
    if changes and all(change.is_done(disk.look(change.path)) for _number, change in changes):
        return True
    buffers = [file for file in journal.files if file.where == "buffer"]
    if not buffers or not all(_reached(disk, root, file, open_text) for file in buffers):
        return not journal.files
    # Every document has the new text, so the files on the disk follow instead of parting from them.
    try:
        for number, change in changes:
            if not change.is_done(disk.look(change.path)):
                disk.lay(change, number)
                disk.swap(change, number)
        disk.sync(change for _number, change in changes)
    except Changed:
        return False
    return True


def _reached(disk: Disk, root: Path, file: JournalFile, open_text: OpenText) -> bool:
    """Whether a document, or the file it was saved to, has the new text."""
    wanted = text_of(file.after)
    actual = open_text(root / file.path)
    if actual is None:
        actual = text_of(disk.look(file.path).data)
    return wanted is not None and actual is not None and same_text(actual, wanted)


def _unfinished(store: Store, run_id: str | None) -> list[Journal]:
    return store.journals(run_id=run_id, states=_UNFINISHED)


def _root_of(store: Store, journal: Journal) -> str | None:
    try:
        return store.run(journal.run_id).root
    except UnknownRun:
        return None


def _state_of(outcomes: dict[int, Outcome], journal: Journal) -> str | None:
    outcome = outcomes.get(journal.id)
    return None if outcome is None else outcome.state


def _paths(files: Sequence[JournalFile]) -> tuple[str, ...]:
    return tuple(sorted({file.path for file in files}))


__all__ = ["OpenText", "Outcome", "changes_of", "put_back", "recover", "recover_root", "settle", "token"]
