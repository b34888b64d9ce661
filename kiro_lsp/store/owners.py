"""Who is alive: an advisory lock per process, and the rows by which processes ask each other for something.

A process is known by its number, its start time and the boot, and holds a lock on a file of its own for as long as it
lives. The kernel drops the lock with the process, however that ended, so nobody is ever waited for in vain.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import sys
from collections.abc import Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import orjson

from kiro_lsp.errors import StoreError
from kiro_lsp.store.model import ControlRow, Owner, RunRecord
from kiro_lsp.store.runs import Runs, dump_owner, load_owner

if sys.platform == "win32":  # pragma: no cover  # the branch for Windows; its pure parts are tested everywhere
    import msvcrt

    def _lock(file: IO[bytes]) -> bool:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


def current_owner() -> Owner:
    """A new identity for this process, so that no other with the same number can be taken for it."""
    return Owner(os.getpid(), _start_ticks(os.getpid()), _boot_id(), secrets.token_hex(4))


def _start_ticks(pid: int) -> int:
    """Field 22 of /proc/PID/stat (proc(5)); 0 on systems without it, where the lock alone decides."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[19])


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "this-boot"


class OwnerLock:
    """Held for the life of the process. `release` is for an orderly end; a killed process releases by dying."""

    def __init__(self, owner: Owner, path: Path) -> None:
        self.owner = owner
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] | None = path.open("a+b")
        if not _lock(self._file):
            raise StoreError(
                f"Another process holds {path}.", hint="This should not happen: two owners with one identity."
            )

    def release(self) -> None:
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            self._file.close()
            self._file = None


class Owners(Runs):
    """The part of the store that knows processes."""

    def register_owner(self) -> OwnerLock:
        """Make this process known as alive. Raises StoreError when its folder cannot be written."""
        owner = current_owner()
        try:
            return OwnerLock(owner, self._lock_path(owner))
        except OSError as error:
            raise StoreError(
                f"{self.directory} cannot be written: {error.strerror}.", hint="Check its rights."
            ) from error

    def owner_alive(self, owner: Owner) -> bool:
        """Whether that very process still runs. Asks the lock, and never waits."""
        path = self._lock_path(owner)
        try:
            with path.open("r+b") as file:
                free = _lock(file)
        except FileNotFoundError:
            return False
        except OSError:
            return True  # it cannot be opened: on the safe side, somebody holds it
        if free:
            path.unlink(missing_ok=True)
        return not free

    def orphans(self) -> list[RunRecord]:
        """Runs that claim to be live although their process is gone."""
        return [run for run in self.live_runs() if run.owner is None or not self.owner_alive(run.owner)]

    def hold_root(self, root: str, owner: Owner) -> Future[None]:
        """A language server takes a project: settling its runs is its job while it lives."""

        def job(db: sqlite3.Connection) -> None:
            row = db.execute("SELECT owner FROM holders WHERE root=?", (root,)).fetchone()
            if row is None or not self.owner_alive(load_owner(row[0])):
                db.execute("INSERT OR REPLACE INTO holders VALUES (?, ?)", (root, dump_owner(owner)))

        return self.submit(job)

    def release_root(self, root: str, owner: Owner) -> Future[None]:
        def job(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM holders WHERE root=? AND owner=?", (root, dump_owner(owner)))

        return self.submit(job)

    def holder_of(self, root: str) -> Owner | None:
        """The living language server that has the project open."""
        row = self.read(lambda db: db.execute("SELECT owner FROM holders WHERE root=?", (root,)).fetchone())
        owner = None if row is None else load_owner(row[0])
        return owner if owner is not None and self.owner_alive(owner) else None

    # Requests between processes

    def post(self, kind: str, run_id: str | None, args: Mapping[str, Any], *, to: Owner, by: str) -> int:
        """Ask another process for something; returns the number under which `result` will have its answer."""

        def job(db: sqlite3.Connection) -> int:
            cursor = db.execute(
                "INSERT INTO control (kind, run_id, args, addressee, by, created_at) VALUES (?, ?, ?, ?, ?, ?)",
                (kind, run_id, orjson.dumps(dict(args)).decode(), dump_owner(to), by, datetime.now(UTC).isoformat()),
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
            return [ControlRow(row[0], row[1], row[2], orjson.loads(row[3]), row[4]) for row in rows]

        return self.submit(job).result()

    def finish(self, identifier: int, result: Mapping[str, Any]) -> Future[None]:
        """Answer a request."""

        def job(db: sqlite3.Connection) -> None:
            db.execute("UPDATE control SET result=? WHERE id=?", (orjson.dumps(dict(result)).decode(), identifier))

        return self.submit(job)

    def result(self, identifier: int) -> dict[str, Any] | None:
        """The answer to a request, None while there is none."""
        row = self.read(lambda db: db.execute("SELECT result FROM control WHERE id=?", (identifier,)).fetchone())
        return None if row is None or row[0] is None else orjson.loads(row[0])

    def was_taken(self, identifier: int) -> bool:
        row = self.read(lambda db: db.execute("SELECT taken_by FROM control WHERE id=?", (identifier,)).fetchone())
        return row is not None and row[0] is not None

    def _lock_path(self, owner: Owner) -> Path:
        return self.directory / "owners" / f"{owner.key}.lock"
