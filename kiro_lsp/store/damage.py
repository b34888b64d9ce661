"""What can be wrong with the file: which failure means what to a person, and what is done with a damaged file.

A damaged file is never deleted and never written again. It is kept under another name, what can still be read is carried
over into a new one (money first: a damaged disk gives no new budget), and the person is told.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

from kiro_lsp.errors import StoreError
from kiro_lsp.store.schema import TABLES

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_NO_RIGHTS = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}


class Damaged(sqlite3.DatabaseError):
    """The check at opening found that the file is not whole."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


def _code(error: sqlite3.Error) -> int:
    """The primary result code; extended codes carry more in their upper bits."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def is_damaged(error: sqlite3.Error) -> bool:
    return _code(error) in _DAMAGED


def is_busy(error: sqlite3.Error) -> bool:
    return _code(error) in _BUSY


def store_error(error: sqlite3.Error, path: Path) -> StoreError:
    """The failure in words, with what to do."""
    code = _code(error)
    if code in _BUSY:
        hint = "Another kiro-lsp is writing for a long time; try again in a moment."
    elif code == sqlite3.SQLITE_FULL:
        hint = "Free some disk space; work goes on when there is room again."
    elif code in _NO_RIGHTS:
        hint = "Check the rights of that folder, or name another one in KIRO_LSP_STATE_DIR."
    elif code == sqlite3.SQLITE_IOERR:
        hint = "The disk could not be read or written; check that it is there and has room."
    else:
        hint = "`kiro-lsp doctor` says more."
    return StoreError(f"The record of runs {path} cannot be used: {error}.", hint=hint)


def set_aside(path: Path) -> Path:
    """Give a damaged file, with its write-ahead log, another name; returns that. Raises StoreError when it cannot move."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    kept = path.with_name(f"{path.name}.damaged-{stamp}")
    number = 1
    while kept.exists():
        number += 1
        kept = path.with_name(f"{path.name}.damaged-{stamp}-{number}")
    try:
        path.replace(kept)
        with suppress(FileNotFoundError):
            path.with_name(f"{path.name}-wal").replace(kept.with_name(f"{kept.name}-wal"))
        path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"The record of runs {path} is damaged and cannot be moved away: {error.strerror or error}.",
            hint="Close other editors that use it, then try again.",
        ) from error
    return kept


def carry_over(kept: Path, connection: sqlite3.Connection) -> dict[str, int]:
    """Copy what is readable of a damaged file into a new one: table → number of rows. A table ends at its first damage."""
    carried = dict.fromkeys(TABLES, 0)
    connection.execute("BEGIN IMMEDIATE")
    try:
        with closing(sqlite3.connect(kept, isolation_level=None)) as damaged:
            for table in TABLES:
                with suppress(sqlite3.Error):
                    # An older file may lack a column that this version has.
                    there = {row[1] for row in damaged.execute(f"PRAGMA table_info({table})")}
                    named = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[1] in there]
                    columns, marks = ", ".join(named), ", ".join("?" for _ in named)
                    for row in damaged.execute(f"SELECT {columns} FROM {table}"):
                        connection.execute(f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})", row)
                        carried[table] += 1
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return carried
