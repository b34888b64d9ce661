"""One SQLite file: opening it, one writer thread, read connections. Knows rows, not what they mean.

All writes of a process go through one thread that groups what is waiting into one transaction; a Future is resolved only
after its commit, so what was acknowledged survives a crash. WAL lets everybody read meanwhile. A transaction with a durable
job is synced to disk (synchronous=FULL), one with text chunks only is not (NORMAL: it survives a killed process, and may be
lost in a power cut). A failure is told to those who asked and to nobody else, and the next transaction starts afresh: when
there is room, rights or a folder again, work goes on.
"""

from __future__ import annotations

import os
import queue
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from kiro_lsp.errors import StoreError
from kiro_lsp.store import damage, locks, schema

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]

BUSY_SECONDS: Final = 10
CHECKED_AT_OPENING: Final = 1024 * 1024
"""Files up to this size are checked whenever they are opened (a few milliseconds); larger ones show damage when they are read."""
_GROUP_AT_MOST: Final = 256
_FILE: Final = "kiro-lsp.db"
_LOCK: Final = "opening.lock"
_WAL_KEPT: Final = 16 * 1024 * 1024


def state_dir(environ: Mapping[str, str]) -> Path:
    """Where this person's runs are kept: KIRO_LSP_STATE_DIR, else the platform's state folder. Never inside a workspace."""
    named = environ.get("KIRO_LSP_STATE_DIR")
    if named:
        return Path(named)
    import platformdirs

    return platformdirs.user_state_path("kiro-lsp")


@dataclass(slots=True)
class _Request:
    """A job on its way to the writer thread."""

    job: Job[Any]
    durable: bool
    future: Future[Any]


@dataclass(slots=True)
class _Mend:
    """A reader met damage in this generation of the file; the writer thread deals with it."""

    generation: int
    error: sqlite3.Error
    future: Future[Any] = field(default_factory=Future)


class Database:
    """An open store file. Thread-safe; `close` waits for what was submitted."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.notices: list[str] = []
        """What went wrong with the file and was mended, for the person to hear once."""
        self._path = directory / _FILE
        self._identity = (0, 0)
        self._generation = 0
        self._readers: list[tuple[int, sqlite3.Connection]] = []
        self._watcher: tuple[int, sqlite3.Connection] | None = None
        self._watching = threading.Lock()
        self._submitting = threading.Lock()
        self._requests: queue.SimpleQueue[_Request | _Mend | None] = queue.SimpleQueue()
        self._closed = False
        self._waits_for_disk = True
        self._connection: sqlite3.Connection | None = self._open()
        self._writer = threading.Thread(target=self._write_forever, name="store writer", daemon=True)
        self._writer.start()

    def submit(self, job: Job[T], *, durable: bool = True) -> Future[T]:
        """Run `job` in the writer thread, inside a transaction. The Future is resolved after the commit.

        A job that raises is rolled back alone; it may be run twice when another one in its group failed, so it does nothing
        but SQL. Failures of the file arrive as StoreError. What was submitted is written, also when nobody waits for it any
        more: the Future cannot be cancelled.
        """
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        with self._submitting:
            if not self._closed:
                self._requests.put(_Request(job, durable, future))
                return future
        future.set_exception(StoreError("the store is closed"))
        return future

    def read(self, query: Job[T]) -> T:
        """Run a short query in this thread; all that it reads is of one moment. Raises StoreError."""
        try:
            with self._reader() as connection:
                connection.execute("BEGIN")
                result = query(connection)
                connection.execute("COMMIT")
                return result
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def data_version(self) -> int:
        """Changes whenever something was committed, here or elsewhere; cheap enough to ask ten times a second."""
        with self._watching:
            try:
                generation = self._current_generation()
                if self._watcher is None or self._watcher[0] != generation:
                    if self._watcher is not None:
                        self._watcher[1].close()
                    self._watcher = generation, self._connect()
                version: int = self._watcher[1].execute("PRAGMA data_version").fetchone()[0]
            except sqlite3.Error as error:
                raise self._failure(error) from error
            return generation << 40 | version

    def close(self) -> None:
        """Write what was submitted, then let go of the file."""
        with self._submitting:
            if self._closed:
                return
            self._closed = True
            self._requests.put(None)
        self._writer.join()
        with self._watching:
            if self._watcher is not None:
                self._watcher[1].close()
                self._watcher = None
        while self._readers:
            self._readers.pop()[1].close()

    # Opening

    def _open(self) -> sqlite3.Connection:
        """The writer's connection to a whole file of the current schema. Raises StoreError."""
        self._prepare_folder()
        try:
            with suppress(sqlite3.Error, FileNotFoundError):
                return self._open_file(alone=False)
            # There is something to create, to migrate or to mend: one process at a time looks again and does it.
            with locks.opening(self.directory / _LOCK):
                if not self._path.exists():
                    self._create()
                try:
                    return self._open_file(alone=True)
                except sqlite3.Error as error:
                    if not damage.is_damaged(error):
                        raise
                    self._begin_anew(error)
                return self._open_file(alone=True)
        except sqlite3.Error as error:
            raise damage.store_error(error, self._path) from error
        except OSError as error:
            raise self._folder_error(error) from error

    def _prepare_folder(self) -> None:
        try:
            if not self.directory.is_dir():
                self.directory.mkdir(parents=True, exist_ok=True)
                if sys.platform != "win32":
                    os.chmod(self.directory, 0o700)
        except OSError as error:
            raise self._folder_error(error) from error

    def _folder_error(self, error: OSError) -> StoreError:
        return StoreError(
            f"The state folder {self.directory} cannot be used: {error.strerror or error}.",
            hint="Free the place, or name another one in KIRO_LSP_STATE_DIR.",
        )

    def _create(self) -> None:
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))

    def _open_file(self, *, alone: bool) -> sqlite3.Connection:
        """Open the file that is there. Raises sqlite3.Error, also when it has to be set up and others may be about it."""
        identity = self._identity_on_disk()
        connection = self._connect(writes=True)
        try:
            version = schema.version_of(connection)
            schema.refuse_newer(version, self._path)
            mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
            if version < len(schema.MIGRATIONS) or mode != "wal":
                if not alone:
                    raise sqlite3.OperationalError("not set up yet")
                mode = self._set_up(connection)
            connection.execute(f"PRAGMA journal_size_limit={_WAL_KEPT}")
            self._waits_for_disk = mode != "wal"
            self._check(connection)
        except BaseException:
            connection.close()
            raise
        self._identity = identity
        return connection

    def _set_up(self, connection: sqlite3.Connection) -> str:
        if schema.version_of(connection) == 0:
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        mode: str = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        schema.migrate(connection, self._path)
        if mode != "wal":
            self.notices.append(f"{self.directory} has no write-ahead log (a network folder?): saving is slower there.")
        return mode

    def _check(self, connection: sqlite3.Connection) -> None:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if self._path.stat().st_size <= CHECKED_AT_OPENING:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise damage.Damaged(found)

    def _connect(self, *, writes: bool = False) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        if not writes:
            connection.execute("PRAGMA query_only=ON")
        return connection

    # A file that is gone, replaced or damaged

    def _identity_on_disk(self) -> tuple[int, int]:
        status = os.stat(self._path)
        return status.st_dev, status.st_ino

    def _current_generation(self) -> int:
        """Counts the files that this store has had. Raises StoreError when the one in use was removed or replaced."""
        with suppress(OSError):
            if self._identity_on_disk() == self._identity:
                return self._generation
        if threading.current_thread() is not self._writer:
            # The writer thread opens the new file; readers come after it.
            self.submit(lambda _db: None).result()
            return self._generation
        return -1

    def _failure(self, error: sqlite3.Error) -> StoreError:
        """What a reader's error means; a damaged file is set aside before this returns."""
        if not damage.is_damaged(error):
            return damage.store_error(error, self._path)
        mend = _Mend(self._generation, error)
        with self._submitting:
            if self._closed:
                return damage.store_error(error, self._path)
            self._requests.put(mend)
        failure: StoreError = mend.future.result()
        return failure

    def _mend(self, generation: int, error: sqlite3.Error) -> StoreError:
        """In the writer thread: begin a new file, unless somebody did already. Returns what to tell those who waited."""
        if generation == self._generation:
            self._let_go()
            try:
                self._replace_damaged(error)
                self._reopen()
            except StoreError as failure:
                return failure
            except (sqlite3.Error, OSError) as failure:
                return StoreError(f"The record of runs {self._path} is damaged: {failure}.")
        said = self.notices[-1] if self.notices else f"The record of runs {self._path} was damaged and begun anew."
        return StoreError(said, hint="Try again; work goes on with the new one.")

    def _same_file(self) -> bool:
        try:
            return self._identity_on_disk() == self._identity
        except OSError:
            return False

    def _replace_damaged(self, error: sqlite3.Error) -> None:
        """Begin a new file, unless another process has done so meanwhile."""
        with locks.opening(self.directory / _LOCK):
            if self._same_file():
                self._begin_anew(error)

    def _begin_anew(self, error: sqlite3.Error) -> None:
        """Keep the damaged file under another name and carry over what is readable. The caller holds the opening lock."""
        kept = damage.set_aside(self._path)
        self._create()
        connection = self._connect(writes=True)
        try:
            self._set_up(connection)
            carried = damage.carry_over(kept, connection)
        finally:
            connection.close()
        self.notices.append(
            f"The record of runs was damaged ({error}). It was kept as {kept} and a new one was begun;"
            f" {carried['runs']} runs and {carried['ledger']} charges could be carried over."
        )

    def _let_go(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _reopen(self) -> sqlite3.Connection:
        self._connection = self._open()
        self._generation += 1
        return self._connection

    # The writer thread

    def _write_forever(self) -> None:
        more = True
        while more:
            group: list[_Request] = []
            item = self._requests.get()
            while isinstance(item, _Request):
                group.append(item)
                if len(group) == _GROUP_AT_MOST:
                    break
                try:
                    item = self._requests.get_nowait()
                except queue.Empty:
                    break
            if group:
                self._write(group)
            if isinstance(item, _Mend):
                item.future.set_result(self._mend(item.generation, item.error))
            more = item is not None
        self._let_go()

    def _write(self, group: list[_Request]) -> None:
        try:
            outcomes = self._transaction(group)
        except sqlite3.Error as error:
            generation = self._generation
            self._let_go()
            if damage.is_damaged(error):
                failure = self._mend(generation, error)
            elif len(group) > 1 and not damage.is_busy(error):
                # A job too large for the disk must not take down the small ones that happened to wait beside it.
                for request in group:
                    self._write([request])
                return
            else:
                failure = damage.store_error(error, self._path)
        except StoreError as refused:
            failure = refused
        else:
            for request, (result, failed) in zip(group, outcomes, strict=True):
                if failed is None:
                    request.future.set_result(result)
                else:
                    request.future.set_exception(failed)
            return
        for request in group:
            request.future.set_exception(failure)

    def _transaction(self, group: list[_Request]) -> list[tuple[Any, BaseException | None]]:
        """Each job's result or failure, all committed. Raises sqlite3.Error or StoreError with nothing committed."""
        connection = self._connection
        if connection is None:
            connection = self._reopen()
        elif not self._same_file():
            self._let_go()
            self._reopen()
            self.notices.append(f"{self._path} was removed or replaced while it was in use; a new one was begun.")
            raise StoreError(self.notices[-1], hint="Try again; what was kept only there is lost.")
        durable = self._waits_for_disk or any(request.durable for request in group)
        connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        connection.execute("BEGIN IMMEDIATE")
        try:
            outcomes = [self._run_alone(connection, request.job) for request in group]
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
        return outcomes

    def _run_alone(self, connection: sqlite3.Connection, job: Job[Any]) -> tuple[Any, BaseException | None]:
        """The job's result, or what it raised after its own writes were taken back. Raises when the file itself failed."""
        connection.execute("SAVEPOINT job")
        failure: BaseException
        try:
            result = job(connection)
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError, sqlite3.InterfaceError) as error:
            failure = damage.store_error(error, self._path)
        except sqlite3.Error:
            raise
        except UnicodeEncodeError as error:
            failure = StoreError(f"{error.object!r} is not text that can be stored.", hint="Rename it.")
        except BaseException as error:  # noqa: BLE001  # a job's failure belongs to its caller, not to the writer thread
            failure = error
        else:
            connection.execute("RELEASE job")
            return result, None
        connection.execute("ROLLBACK TO job")
        connection.execute("RELEASE job")
        return None, failure

    # Readers

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        """A connection of the current file; it goes back to the others unless something failed."""
        if self._closed:
            raise StoreError("the store is closed")
        generation = self._current_generation()
        connection = self._idle(generation) or self._connect()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        if self._closed:
            connection.close()
        else:
            self._readers.append((generation, connection))

    def _idle(self, generation: int) -> sqlite3.Connection | None:
        while True:
            try:
                found, connection = self._readers.pop()
            except IndexError:
                return None
            if found == generation:
                return connection
            connection.close()
