"""Staged changes, decisions and the apply journal: contents as content-addressed blobs, verified whenever they are read."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, Final

from kiro_lsp.changes.model import ChangeSet, Decision, FileChange
from kiro_lsp.errors import RunRefused, StaleRevision, StoreError
from kiro_lsp.store.database import Database
from kiro_lsp.store.encoding import dump, load
from kiro_lsp.store.model import Journal, JournalFile, JournalState

Decisions = Mapping[str, Mapping[str, Decision]]
"""Path → hunk id → decision; a hunk that is not named is pending."""

_STAGING: Final = ("queued", "running", "waiting")
_OPEN: Final = ("PREPARED", "APPLYING")


class Contents(Database):
    """The part of the store that keeps file contents."""

    def stage(self, run_id: str, change: FileChange) -> Future[None]:
        """Keep a staged file; a second call for the same path replaces what is proposed. Durable.

        Only while the run works: after that its change set is what people review, and stays. Raises RunRefused then.
        """

        return self.stage_together(run_id, (change,))

    def stage_together(self, run_id: str, changes: Sequence[FileChange]) -> Future[None]:
        """As `stage` for several files: all of them are kept or none. Durable."""

        def job(db: sqlite3.Connection) -> None:
            for change in changes:
                before = _forget(db, run_id, change.path)
                db.execute(
                    "INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        run_id,
                        change.path,
                        change.action,
                        _keep(db, change.base),
                        _keep(db, change.proposed),
                        change.base_mode,
                        change.mode,
                        change.to,
                    ),
                )
                drop_unused(db, before)

        return self.submit(job)

    def amend(self, run_id: str, change: FileChange, revision: int, mine: Collection[str] = ()) -> Future[None]:
        """Replace what is proposed for a staged file by what the person made of it, and move the review to `revision`.

        `mine` are the hunks of it that are the person's. Durable. Raises StaleRevision when the review is already there or
        further, RunRefused when the file is not staged.
        """

        def job(db: sqlite3.Connection) -> None:
            if db.execute("SELECT 1 FROM changes WHERE run_id=? AND path=?", (run_id, change.path)).fetchone() is None:
                raise RunRefused(f"{change.path!r} is not in this review.", code="unknown-file")
            _must_be_before(db, run_id, revision)
            _decide(db, run_id, {}, revision)
            db.execute(
                "UPDATE changes SET action=?, base=?, proposed=? WHERE run_id=? AND path=?",
                (change.action, _keep(db, change.base), _keep(db, change.proposed), run_id, change.path),
            )
            db.execute("DELETE FROM mine WHERE run_id=? AND path=?", (run_id, change.path))
            db.executemany("INSERT INTO mine VALUES (?, ?, ?)", [(run_id, change.path, hunk) for hunk in sorted(mine)])

        return self.submit(job)

    def unstage(self, run_id: str, path: str) -> Future[None]:
        """Forget a staged file that is again as it was. Raises RunRefused as `stage` does."""
        return self.submit(lambda db: drop_unused(db, _forget(db, run_id, path)))

    def unstage_all(self, run_id: str) -> Future[None]:
        """Forget everything that a run staged: none of it may be accepted. Durable. Raises RunRefused as `stage` does."""

        def job(db: sqlite3.Connection) -> None:
            for (path,) in db.execute("SELECT path FROM changes WHERE run_id=?", (run_id,)).fetchall():
                drop_unused(db, _forget(db, run_id, path))

        return self.submit(job)

    def changes(self, run_id: str) -> ChangeSet:
        """The change set as it was staged, in path order. Raises StoreError when a content was damaged."""

        def query(db: sqlite3.Connection) -> ChangeSet:
            rows = db.execute(
                "SELECT path, action, base, proposed, base_mode, mode, renamed_to FROM changes WHERE run_id=? ORDER BY path",
                (run_id,),
            ).fetchall()
            return ChangeSet(
                tuple(
                    FileChange(path, action, _content(db, base), _content(db, proposed), base_mode, mode, to)
                    for path, action, base, proposed, base_mode, mode, to in rows
                )
            )

        return self.read(query)

    def decide(self, run_id: str, decisions: Decisions, revision: int) -> Future[None]:
        """Record what was decided and move the review to `revision`. Durable. Raises StaleRevision (in the Future) when

        somebody else has moved it that far already.
        """

        def job(db: sqlite3.Connection) -> None:
            _must_be_before(db, run_id, revision)
            _decide(db, run_id, decisions, revision)

        return self.submit(job)

    def decisions(self, run_id: str) -> tuple[Decisions, int]:
        """What was decided so far, and the revision of the review."""

        def query(db: sqlite3.Connection) -> tuple[Decisions, int]:
            found: dict[str, dict[str, Decision]] = {}
            for path, hunk, decision in db.execute(
                "SELECT path, hunk, decision FROM decisions WHERE run_id=?", (run_id,)
            ):
                found.setdefault(path, {})[hunk] = decision
            row = db.execute("SELECT revision FROM runs WHERE run_id=?", (run_id,)).fetchone()
            return found, row[0] if row else 1

        return self.read(query)

    def mine(self, run_id: str) -> Mapping[str, frozenset[str]]:
        """Path → hunks that the person made by changing the proposed side."""

        def query(db: sqlite3.Connection) -> Mapping[str, frozenset[str]]:
            found: dict[str, set[str]] = {}
            for path, hunk in db.execute("SELECT path, hunk FROM mine WHERE run_id=?", (run_id,)):
                found.setdefault(path, set()).add(hunk)
            return {path: frozenset(hunks) for path, hunks in found.items()}

        return self.read(query)

    # The journal

    def journal_prepare(self, journal: Journal) -> Future[int]:
        """Write down what is about to be done, with both contents of every file. Durable; gives the journal's id."""

        def job(db: sqlite3.Connection) -> int:
            cursor = db.execute(
                "INSERT INTO journals (run_id, kind, state, decisions, revision, created_at) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    journal.run_id,
                    journal.kind,
                    journal.state,
                    dump(_plain(journal.decisions)),
                    journal.revision,
                    journal.created_at or datetime.now(UTC).isoformat(timespec="milliseconds"),
                ),
            )
            identifier = cursor.lastrowid
            assert identifier is not None
            for position, file in enumerate(journal.files):
                db.execute(
                    "INSERT INTO journal_files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        identifier,
                        position,
                        file.path,
                        file.where,
                        _keep(db, file.before),
                        _keep(db, file.after),
                        file.before_mode,
                        file.after_mode,
                        dump(list(file.made_dirs)),
                    ),
                )
            return identifier

        return self.submit(job)

    def journal_state(self, identifier: int, state: JournalState) -> Future[None]:
        """Move a journal on. VERIFIED records its decisions in the same transaction. Durable.

        Saying the same twice is no harm; leaving VERIFIED, ROLLED_BACK or CONFLICT is a StoreError.
        """

        def job(db: sqlite3.Connection) -> None:
            row = db.execute(
                "SELECT run_id, state, decisions, revision FROM journals WHERE id=?", (identifier,)
            ).fetchone()
            if row is None:
                raise StoreError(f"There is no journal {identifier}.")
            run_id, now, decisions, revision = row
            if now == state:
                return
            if now not in _OPEN:
                raise StoreError(f"Journal {identifier} of run {run_id} is {now} already: it cannot become {state}.")
            db.execute("UPDATE journals SET state=? WHERE id=?", (state, identifier))
            if state == "VERIFIED" and revision:
                _decide(db, run_id, load(decisions), revision)

        return self.submit(job)

    def journals(self, run_id: str | None = None, states: Collection[JournalState] | None = None) -> list[Journal]:
        """Oldest first. Raises StoreError when a content was damaged."""

        def query(db: sqlite3.Connection) -> list[Journal]:
            where, values = [], []
            if run_id is not None:
                where.append("run_id=?")
                values.append(run_id)
            if states is not None:
                where.append(f"state IN ({', '.join('?' for _ in states)})")
                values.extend(states)
            condition = f" WHERE {' AND '.join(where)}" if where else ""
            rows = db.execute(f"SELECT * FROM journals{condition} ORDER BY id", values).fetchall()
            return [_journal(db, row) for row in rows]

        return self.read(query)


def _journal(db: sqlite3.Connection, row: Sequence[Any]) -> Journal:
    identifier, run_id, kind, state, decisions, revision, created_at = row
    files = db.execute(
        "SELECT path, place, before, after, before_mode, after_mode, made_dirs FROM journal_files WHERE journal=?"
        " ORDER BY position",
        (identifier,),
    ).fetchall()
    return Journal(
        run_id,
        kind,
        tuple(
            JournalFile(
                path,
                where,
                _content(db, before),
                _content(db, after),
                before_mode,
                after_mode,
                tuple(load(dirs)),
            )
            for path, where, before, after, before_mode, after_mode, dirs in files
        ),
        state,
        load(decisions),
        revision,
        identifier,
        created_at,
    )


def _forget(db: sqlite3.Connection, run_id: str, path: str) -> list[str]:
    """Take a path out of a working run's change set; returns the contents that it named."""
    row = db.execute("SELECT state FROM runs WHERE run_id=?", (run_id,)).fetchone()
    if row is None or row[0] not in _STAGING:
        state = "not known" if row is None else row[0]
        raise RunRefused(f"Run {run_id} is {state}: its changes are what they are.", code="not-live")
    named = db.execute("SELECT base, proposed FROM changes WHERE run_id=? AND path=?", (run_id, path)).fetchone()
    db.execute("DELETE FROM changes WHERE run_id=? AND path=?", (run_id, path))
    return [digest for digest in named or () if digest is not None]


def drop_unused(db: sqlite3.Connection, digests: Collection[str]) -> None:
    """Delete those contents that no change set and no journal names any more."""
    db.executemany(
        "DELETE FROM blobs WHERE hash=?1 AND NOT EXISTS (SELECT 1 FROM changes WHERE base=?1)"
        " AND NOT EXISTS (SELECT 1 FROM changes WHERE proposed=?1)"
        " AND NOT EXISTS (SELECT 1 FROM journal_files WHERE before=?1)"
        " AND NOT EXISTS (SELECT 1 FROM journal_files WHERE after=?1)",
        [(digest,) for digest in digests],
    )


def _must_be_before(db: sqlite3.Connection, run_id: str, revision: int) -> None:
    row = db.execute("SELECT revision FROM runs WHERE run_id=?", (run_id,)).fetchone()
    if row is None or row[0] >= revision:
        raise StaleRevision(
            f"The review of run {run_id} has moved on; nothing was decided.",
            hint="Look again and decide on what is there now.",
        )


def _decide(db: sqlite3.Connection, run_id: str, decisions: Decisions, revision: int) -> None:
    for path, hunks in decisions.items():
        for hunk, decision in hunks.items():
            db.execute("INSERT OR REPLACE INTO decisions VALUES (?, ?, ?, ?)", (run_id, path, hunk, decision))
    db.execute("UPDATE runs SET revision=? WHERE run_id=?", (revision, run_id))


def _plain(decisions: Decisions) -> dict[str, dict[str, str]]:
    return {path: dict(hunks) for path, hunks in decisions.items()}


def _keep(db: sqlite3.Connection, data: bytes | None) -> str | None:
    """The address of a content; None stays None (no file)."""
    if data is None:
        return None
    digest = hashlib.sha256(data).hexdigest()
    db.execute(
        "INSERT INTO blobs (hash, data) VALUES (?, ?)"
        # A stored content that was damaged is mended by the same content coming again.
        " ON CONFLICT (hash) DO UPDATE SET data=excluded.data WHERE data IS NOT excluded.data",
        (digest, data),
    )
    return digest


def _content(db: sqlite3.Connection, digest: str | None) -> bytes | None:
    if digest is None:
        return None
    row = db.execute("SELECT data FROM blobs WHERE hash=?", (digest,)).fetchone()
    if row is None or hashlib.sha256(row[0]).hexdigest() != digest:
        raise StoreError(
            f"A stored file content ({digest[:10]}…) is {'missing' if row is None else 'damaged'}: it is not used.",
            hint="Retry the run; what it staged cannot be trusted any more.",
        )
    data: bytes = row[0]
    return data
