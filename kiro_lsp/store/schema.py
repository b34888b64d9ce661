"""The tables, and how an older file becomes a current one. Knows no rows.

`PRAGMA user_version` counts the steps that a file has been taken through. A step is never edited after a release: a change
of the tables is a new step at the end.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from kiro_lsp.errors import StoreError

_FIRST: Final = """
CREATE TABLE runs (
    run_id TEXT PRIMARY KEY, root TEXT NOT NULL, path TEXT NOT NULL, task_key TEXT NOT NULL, title TEXT NOT NULL,
    task_id TEXT, agent TEXT NOT NULL, way TEXT NOT NULL, model TEXT NOT NULL, billing TEXT NOT NULL,
    state TEXT NOT NULL, started_at TEXT NOT NULL, ended_at TEXT, anchor TEXT NOT NULL, owner TEXT,
    replay INTEGER NOT NULL, reason TEXT NOT NULL, note TEXT, cost TEXT, input_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0, cached_tokens INTEGER NOT NULL DEFAULT 0,
    revision INTEGER NOT NULL DEFAULT 1, intent TEXT
);
CREATE INDEX runs_by_root ON runs(root, started_at);
CREATE INDEX runs_by_state ON runs(state, started_at);
CREATE TABLE events (
    row INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, seq INTEGER NOT NULL, at TEXT NOT NULL,
    type TEXT NOT NULL, body TEXT NOT NULL, UNIQUE(run_id, seq)
);
CREATE TABLE blobs (hash TEXT PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE changes (
    run_id TEXT NOT NULL, path TEXT NOT NULL, action TEXT NOT NULL, base TEXT, proposed TEXT, base_mode INTEGER,
    mode INTEGER, renamed_to TEXT, PRIMARY KEY(run_id, path)
) WITHOUT ROWID;
CREATE INDEX changes_by_base ON changes(base);
CREATE INDEX changes_by_proposed ON changes(proposed);
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
CREATE INDEX journal_files_by_before ON journal_files(before);
CREATE INDEX journal_files_by_after ON journal_files(after);
CREATE TABLE control (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, run_id TEXT, args TEXT NOT NULL, addressee TEXT,
    by TEXT NOT NULL, taken_by TEXT, result TEXT, created_at TEXT NOT NULL
);
CREATE INDEX control_by_addressee ON control(addressee, taken_by);
CREATE TABLE holders (
    number INTEGER PRIMARY KEY AUTOINCREMENT, root TEXT NOT NULL, owner TEXT NOT NULL, UNIQUE(root, owner)
);
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

_WARNED_AND_TURNS: Final = """
CREATE TABLE warned (day TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
ALTER TABLE runs ADD COLUMN turns INTEGER NOT NULL DEFAULT 0
"""

_RESUMED: Final = """
ALTER TABLE runs ADD COLUMN session TEXT;
ALTER TABLE runs ADD COLUMN continues TEXT;
CREATE INDEX runs_by_continued ON runs(continues)
"""

_KEPT: Final = """
CREATE TABLE kept (
    root TEXT NOT NULL, name TEXT NOT NULL, text TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY(root, name)
) WITHOUT ROWID
"""

_MINE: Final = """
CREATE TABLE mine (
    run_id TEXT NOT NULL, path TEXT NOT NULL, hunk TEXT NOT NULL, PRIMARY KEY(run_id, path, hunk)
) WITHOUT ROWID
"""

MIGRATIONS: tuple[str, ...] = (_FIRST, _WARNED_AND_TURNS, _RESUMED, _KEPT, _MINE)
"""Step n takes a file from version n to n + 1. Statements are separated by `;` and hold none inside."""

TABLES: Final = (
    "ledger",
    "warned",
    "trust",
    "consents",
    "allowed_argv",
    "kept",
    "runs",
    "blobs",
    "changes",
    "decisions",
    "mine",
    "journals",
    "journal_files",
    "events",
)
"""What is worth carrying over from a damaged file, the most valuable first. Rows between processes are not."""


def version_of(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def refuse_newer(version: int, path: Path) -> None:
    """Raises StoreError for a file that a newer kiro-lsp has written: guessing at it could lose something."""
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{path} was written by a newer kiro-lsp (schema {version}, this one knows {len(MIGRATIONS)}).",
            hint="Update kiro-lsp, or name another folder in KIRO_LSP_STATE_DIR.",
        )


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the file up to date, all steps or none. Raises StoreError for a newer file."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = version_of(connection)
        refuse_newer(version, path)
        for step in MIGRATIONS[version:]:
            for statement in step.split(";"):
                if statement.strip():
                    connection.execute(statement)
        connection.execute(f"PRAGMA user_version={len(MIGRATIONS)}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
