"""One SQLite file: schema, one writer thread, read connections. Knows rows, not what they mean.

All writes of a process go through one thread that groups what is waiting into one transaction; a Future is resolved only
after its commit, so what was acknowledged survives a crash. WAL lets everybody read meanwhile. A transaction with a durable
job is synced to disk (synchronous=FULL), one with text chunks only is not (NORMAL: it survives a killed process, and may be
lost in a power cut).
"""

from __future__ import annotations

import os
import queue
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, TypeVar

from kiro_lsp.errors import StoreError

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]

SCHEMA_VERSION: Final = 1
BUSY_SECONDS: Final = 10
_GROUP_AT_MOST: Final = 256
_FILE: Final = "kiro-lsp.db"

_SCHEMA: Final = """
CREATE TABLE runs (
    run_id TEXT PRIMARY KEY, root TEXT NOT NULL, path TEXT NOT NULL, task_key TEXT NOT NULL, title TEXT NOT NULL,
    task_id TEXT, agent TEXT NOT NULL, way TEXT NOT NULL, model TEXT NOT NULL, billing TEXT NOT NULL,
    state TEXT NOT NULL, started_at TEXT NOT NULL, ended_at TEXT, anchor TEXT NOT NULL, owner TEXT,
    replay INTEGER NOT NULL, reason TEXT NOT NULL, note TEXT, cost TEXT, input_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0, cached_tokens INTEGER NOT NULL DEFAULT 0,
    revision INTEGER NOT NULL DEFAULT 1, intent TEXT
);
CREATE INDEX runs_by_root ON runs(root, started_at);
CREATE TABLE events (
    row INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, seq INTEGER NOT NULL, at TEXT NOT NULL,
    type TEXT NOT NULL, body TEXT NOT NULL, UNIQUE(run_id, seq)
);
CREATE TABLE blobs (hash TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE changes (
    run_id TEXT NOT NULL, path TEXT NOT NULL, action TEXT NOT NULL, base TEXT, proposed TEXT, base_mode INTEGER,
    mode INTEGER, renamed_to TEXT, PRIMARY KEY(run_id, path)
) WITHOUT ROWID;
CREATE TABLE decisions (
    run_id TEXT NOT NULL, path TEXT NOT NULL, hunk TEXT NOT NULL, decision TEXT NOT NULL,
    PRIMARY KEY(run_id, path, hunk)
) WITHOUT ROWID;
CREATE TABLE journals (
    id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL,
    decisions TEXT NOT NULL, revision INTEGER NOT NULL, created_at TEXT NOT NULL
);
CREATE INDEX journals_by_run ON journals(run_id);
CREATE TABLE journal_files (
    journal INTEGER NOT NULL, position INTEGER NOT NULL, path TEXT NOT NULL, place TEXT NOT NULL, before TEXT,
    after TEXT, before_mode INTEGER, after_mode INTEGER, made_dirs TEXT NOT NULL, PRIMARY KEY(journal, position)
) WITHOUT ROWID;
CREATE TABLE control (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, run_id TEXT, args TEXT NOT NULL, addressee TEXT,
    by TEXT NOT NULL, taken_by TEXT, result TEXT, created_at TEXT NOT NULL
);
CREATE TABLE holders (root TEXT PRIMARY KEY, owner TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE trust (root TEXT PRIMARY KEY, digest TEXT NOT NULL, at TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE consents (root TEXT PRIMARY KEY, at TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE allowed_argv (
    root TEXT NOT NULL, digest TEXT NOT NULL, argv TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY(root, digest)
) WITHOUT ROWID;
CREATE TABLE ledger (
    id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, root TEXT NOT NULL, agent TEXT NOT NULL,
    day TEXT NOT NULL, reserved INTEGER NOT NULL, charged INTEGER, unknown INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX ledger_by_day ON ledger(day);
CREATE INDEX ledger_by_run ON ledger(run_id);
"""


def state_dir(environ: Mapping[str, str]) -> Path:
    """Where this person's runs are kept: KIRO_LSP_STATE_DIR, else the platform's state folder. Never inside a workspace."""
    named = environ.get("KIRO_LSP_STATE_DIR")
    if named:
        return Path(named)
    import platformdirs

    return platformdirs.user_state_path("kiro-lsp")


class Database:
    """An open store file. Thread-safe; `close` waits for what was submitted."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.notices: list[str] = []
        """What went wrong with the file and was mended, for the person to hear once."""
        self._path = directory / _FILE
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._readers_lock = threading.Lock()
        self._jobs: queue.SimpleQueue[tuple[Job[Any], bool, Future[Any]] | None] = queue.SimpleQueue()
        self._closed = False
        self._prepare_folder()
        self._writer_connection = self._open_writer()
        self._writer = threading.Thread(target=self._write_forever, name="store writer", daemon=True)
        self._writer.start()

    def submit(self, job: Job[T], *, durable: bool = True) -> Future[T]:
        """Run `job` in the writer thread, inside a transaction. The Future is resolved after the commit.

        A job that raises is rolled back alone. Failures of the file itself arrive as StoreError.
        """
        future: Future[T] = Future()
        if self._closed:
            future.set_exception(StoreError("the store is closed"))
            return future
        self._jobs.put((job, durable, future))
        return future

    def read(self, query: Job[T]) -> T:
        """Run a short query on this thread's read connection. Raises StoreError."""
        try:
            return query(self._reader())
        except sqlite3.Error as error:
            raise _store_error(error, self._path) from error

    def data_version(self) -> int:
        """Changes whenever another connection has committed; cheap enough to ask ten times a second."""
        version: int = self.read(lambda db: db.execute("PRAGMA data_version").fetchone()[0])
        return version

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._jobs.put(None)
        self._writer.join()
        with self._readers_lock:
            for connection in self._readers:
                connection.close()
            self._readers.clear()

    # Opening

    def _prepare_folder(self) -> None:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            if sys.platform != "win32":
                os.chmod(self.directory, 0o700)
        except OSError as error:
            raise StoreError(
                f"The state folder {self.directory} cannot be used: {error.strerror or error}.",
                hint="Free the place, or name another one in KIRO_LSP_STATE_DIR.",
            ) from error

    def _open_writer(self) -> sqlite3.Connection:
        try:
            return self._connect_writer()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and not _is_corrupt(error):
                raise _store_error(error, self._path) from error
            self._set_aside(error)
            return self._connect_writer()

    def _connect_writer(self) -> sqlite3.Connection:
        created = not self._path.exists()
        if created and sys.platform != "win32":
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            connection.execute("ROLLBACK")
            raise StoreError(
                f"{self._path} was written by a newer kiro-lsp (schema {version}, this one knows {SCHEMA_VERSION}).",
                hint="Update kiro-lsp, or name another folder in KIRO_LSP_STATE_DIR.",
            )
        if version == 0:
            for statement in _SCHEMA.split(";"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        connection.execute("COMMIT")
        connection.execute("SELECT count(*) FROM runs").fetchone()

    def _set_aside(self, error: sqlite3.DatabaseError) -> None:
        """A damaged file is kept under another name, and work goes on with an empty one."""
        kept = self._path.with_name(f"{_FILE}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
        for suffix in ("", "-wal", "-shm"):
            part = self._path.with_name(_FILE + suffix)
            if part.exists():
                part.replace(kept.with_name(kept.name + suffix))
        self.notices.append(
            f"The record of runs was damaged ({error}); it was kept as {kept}, and a new one was begun."
        )

    # The writer thread

    def _write_forever(self) -> None:
        while True:
            first = self._jobs.get()
            if first is None:
                break
            group, last = [first], False
            while len(group) < _GROUP_AT_MOST:
                try:
                    item = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if item is None:
                    last = True
                    break
                group.append(item)
            self._write(group)
            if last:
                break
        self._writer_connection.close()

    def _write(self, group: list[tuple[Job[Any], bool, Future[Any]]]) -> None:
        connection = self._writer_connection
        outcomes: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            durable = any(durable for _job, durable, _future in group)
            connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            for job, _durable, future in group:
                if future.set_running_or_notify_cancel():
                    outcomes.append((future, *self._run_alone(job)))
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            failure = _store_error(error, self._path)
            for _job, _durable, future in group:
                if not future.done():
                    if not future.running():
                        future.set_running_or_notify_cancel()
                    if not future.cancelled():
                        future.set_exception(failure)
            return
        for future, result, failed in outcomes:
            if failed is not None:
                future.set_exception(failed)
            else:
                future.set_result(result)

    def _run_alone(self, job: Job[Any]) -> tuple[Any, BaseException | None]:
        """The job's result, or what it raised after its own writes were taken back."""
        connection = self._writer_connection
        connection.execute("SAVEPOINT job")
        try:
            result = job(connection)
        except sqlite3.OperationalError:
            raise  # the file itself failed: the whole transaction is lost
        except Exception as error:  # noqa: BLE001  # a job's failure belongs to its caller, not to the writer thread
            connection.execute("ROLLBACK TO job")
            connection.execute("RELEASE job")
            return None, error
        connection.execute("RELEASE job")
        return result, None

    def _reader(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            if self._closed:
                raise StoreError("the store is closed")
            connection = sqlite3.connect(
                self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA query_only=ON")
            self._local.connection = connection
            with self._readers_lock:
                self._readers.append(connection)
        return connection


def _is_corrupt(error: sqlite3.Error) -> bool:
    return any(word in str(error) for word in ("malformed", "not a database", "disk image", "no such table"))


def _store_error(error: sqlite3.Error, path: Path) -> StoreError:
    text = str(error)
    if "locked" in text or "busy" in text:
        hint = "Another kiro-lsp is writing for a long time; try again in a moment."
    elif "full" in text:
        hint = "Free some disk space; work goes on when there is room again."
    elif "readonly" in text or "unable to open" in text:
        hint = "Check the rights of that folder, or name another one in KIRO_LSP_STATE_DIR."
    else:
        hint = "`kiro-lsp doctor` says more."
    return StoreError(f"The record of runs {path} cannot be used: {text}.", hint=hint)
