"""Staged changes, decisions and the apply journal: contents as content-addressed blobs, verified whenever they are read."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any

import orjson

from kiro_lsp.changes.model import ChangeSet, Decision, FileChange
from kiro_lsp.errors import StoreError
from kiro_lsp.store.database import Database
from kiro_lsp.store.model import Journal, JournalFile, JournalState

Decisions = Mapping[str, Mapping[str, Decision]]
"""Path → hunk id → decision; a hunk that is not named is pending."""


class Contents(Database):
    """The part of the store that keeps file contents."""

    def stage(self, run_id: str, change: FileChange) -> Future[None]:
        """Keep a staged file; a second call for the same path replaces what is proposed. Durable."""

        def job(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT OR REPLACE INTO changes VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
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

        return self.submit(job)

    def unstage(self, run_id: str, path: str) -> Future[None]:
        """Forget a staged file that is again as it was."""

        def job(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM changes WHERE run_id=? AND path=?", (run_id, path))

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
        """Record what was decided and move the review to `revision`. Durable."""
        return self.submit(lambda db: _decide(db, run_id, decisions, revision))

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
                    orjson.dumps(_plain(journal.decisions)).decode(),
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
                        orjson.dumps(list(file.made_dirs)).decode(),
                    ),
                )
            return identifier

        return self.submit(job)

    def journal_state(self, identifier: int, state: JournalState) -> Future[None]:
        """Move a journal on. VERIFIED records its decisions in the same transaction. Durable."""

        def job(db: sqlite3.Connection) -> None:
            db.execute("UPDATE journals SET state=? WHERE id=?", (state, identifier))
            if state == "VERIFIED":
                run_id, decisions, revision = db.execute(
                    "SELECT run_id, decisions, revision FROM journals WHERE id=?", (identifier,)
                ).fetchone()
                if revision:
                    _decide(db, run_id, orjson.loads(decisions), revision)

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
                tuple(orjson.loads(dirs)),
            )
            for path, where, before, after, before_mode, after_mode, dirs in files
        ),
        state,
        orjson.loads(decisions),
        revision,
        identifier,
        created_at,
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
    db.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?)", (digest, data))
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
