"""Processes of one person: who lives, who holds a project, and the rows by which they ask each other for something."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from kiro_lsp.store import locks
from kiro_lsp.store.encoding import dump, load
from kiro_lsp.store.locks import OwnerLock
from kiro_lsp.store.model import ControlRow, Owner, RunRecord
from kiro_lsp.store.runs import Runs, dump_owner, load_owner

_ANSWERS_KEPT: Final = timedelta(days=1)


class Owners(Runs):
    """The part of the store that knows processes."""

    def register_owner(self) -> OwnerLock:
        """Make this process known as alive. Raises StoreError when its folder cannot be written."""
        locks.sweep(self.owners_folder)
        return OwnerLock(locks.current_owner(), self.owners_folder)

    def owner_alive(self, owner: Owner) -> bool:
        """Whether that very process still runs. Asks the lock, and never waits."""
        return locks.is_alive(self.owners_folder, owner)

    def orphans(self) -> list[RunRecord]:
        """Runs that claim to be live although their process is gone."""
        return [run for run in self.live_runs() if run.owner is None or not self.owner_alive(run.owner)]

    def claim(self, run_id: str, owner: Owner) -> Future[bool]:
        """Take over an orphan; False when it is none any more, so that only one process recovers it. Durable."""

        def job(db: sqlite3.Connection) -> bool:
            row = db.execute("SELECT owner FROM runs WHERE run_id=?", (run_id,)).fetchone()
            if row is None or self._runs_still(row[0]):
                return False
            db.execute("UPDATE runs SET owner=? WHERE run_id=?", (dump_owner(owner), run_id))
            return True

        return self.submit(job)

    def hold_root(self, root: str, owner: Owner) -> Future[None]:
        """A language server takes a project: settling its runs is the job of the first that lives."""

        def job(db: sqlite3.Connection) -> None:
            for number, holder in db.execute("SELECT number, owner FROM holders WHERE root=?", (root,)).fetchall():
                if not self._runs_still(holder):
                    db.execute("DELETE FROM holders WHERE number=?", (number,))
            db.execute("INSERT OR IGNORE INTO holders (root, owner) VALUES (?, ?)", (root, dump_owner(owner)))

        return self.submit(job)

    def release_root(self, root: str, owner: Owner) -> Future[None]:
        def job(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM holders WHERE root=? AND owner=?", (root, dump_owner(owner)))

        return self.submit(job)

    def holder_of(self, root: str, preferred: Owner | None = None) -> Owner | None:
        """The living language server that has the project open: `preferred` if it is one, else the one that opened it
        first.
        """
        rows = self.read(
            lambda db: db.execute("SELECT owner FROM holders WHERE root=? ORDER BY number", (root,)).fetchall()
        )
        holders = sorted((load_owner(row[0]) for row in rows), key=lambda owner: owner != preferred)
        return next((owner for owner in holders if self.owner_alive(owner)), None)

    # Requests between processes

    def post(self, kind: str, run_id: str | None, args: Mapping[str, Any], *, to: Owner, by: str) -> int:
        """Ask another process for something; returns the number under which `result` will have its answer."""

        def job(db: sqlite3.Connection) -> int:
            now = datetime.now(UTC)
            db.execute("DELETE FROM control WHERE created_at < ?", ((now - _ANSWERS_KEPT).isoformat(),))
            cursor = db.execute(
                "INSERT INTO control (kind, run_id, args, addressee, by, created_at) VALUES (?, ?, ?, ?, ?, ?)",
                (kind, run_id, dump(dict(args)), dump_owner(to), by, now.isoformat()),
            )
            assert cursor.lastrowid is not None
            return cursor.lastrowid

        return self.submit(job).result()

    def take(self, owner: Owner) -> list[ControlRow]:
        """What others ask of this process; each request is given out once."""
        key = dump_owner(owner)
        waiting = self.read(
            lambda db: db.execute(
                "SELECT 1 FROM control WHERE addressee=? AND taken_by IS NULL LIMIT 1", (key,)
            ).fetchone()
        )
        if waiting is None:
            return []

        def job(db: sqlite3.Connection) -> list[ControlRow]:
            rows = db.execute(
                "SELECT id, kind, run_id, args, by FROM control WHERE addressee=? AND taken_by IS NULL ORDER BY id",
                (key,),
            ).fetchall()
            db.execute("UPDATE control SET taken_by=? WHERE addressee=? AND taken_by IS NULL", (key, key))
            return [ControlRow(row[0], row[1], row[2], load(row[3]), row[4]) for row in rows]

        return self.submit(job).result()

    def finish(self, identifier: int, result: Mapping[str, Any]) -> Future[None]:
        """Answer a request."""

        def job(db: sqlite3.Connection) -> None:
            db.execute("UPDATE control SET result=? WHERE id=?", (dump(dict(result)), identifier))

        return self.submit(job)

    def result(self, identifier: int) -> dict[str, Any] | None:
        """The answer to a request, None while there is none."""
        row = self.read(lambda db: db.execute("SELECT result FROM control WHERE id=?", (identifier,)).fetchone())
        return None if row is None or row[0] is None else load(row[0])

    def was_taken(self, identifier: int) -> bool:
        row = self.read(lambda db: db.execute("SELECT taken_by FROM control WHERE id=?", (identifier,)).fetchone())
        return row is not None and row[0] is not None
