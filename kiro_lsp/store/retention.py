"""Forgetting: the oldest settled runs go when there are too many or the file grows too large. Pending ones never go."""

from __future__ import annotations

import sqlite3
from concurrent.futures import Future
from typing import Final

from kiro_lsp.store.contents import drop_unused
from kiro_lsp.store.database import Database

RUNS_KEPT: Final = 1000
BYTES_KEPT: Final = 512 * 1024 * 1024
_AT_A_TIME: Final = 200
_PAGES_AT_A_TIME: Final = 20_000

# A run is pending as long as somebody may still decide on it: its changes wait for a review, or it waits for its tick.
# Ends without a change (failed, cancelled, …) leave nothing to decide, nor does what a later run took over that was applied.
_SETTLED: Final = (
    "(state IN ('applied', 'rejected', 'undone')"
    " OR state IN ('failed', 'cancelled', 'budget', 'interrupted')"
    " AND NOT EXISTS (SELECT 1 FROM changes WHERE changes.run_id = runs.run_id)"
    " OR state IN ('review', 'conflict', 'failed', 'cancelled', 'budget', 'interrupted')"
    " AND EXISTS (SELECT 1 FROM runs AS newer WHERE newer.continues = runs.run_id AND newer.state = 'applied'))"
    " AND NOT EXISTS (SELECT 1 FROM journals WHERE journals.run_id = runs.run_id AND journals.state IN ('PREPARED', 'APPLYING'))"
)


class Retention(Database):
    """The part of the store that forgets."""

    def prune(self, *, runs: int = RUNS_KEPT, size: int = BYTES_KEPT) -> Future[int]:
        """Forget the oldest settled runs beyond `runs` in all, or while the file is larger than `size` bytes.

        Gives the number of runs that went, at most 200 at a time. The ledger keeps its rows: what was spent stays spent.
        """

        def job(db: sqlite3.Connection) -> int:
            (kept,) = db.execute("SELECT count(*) FROM runs").fetchone()
            if kept <= runs and _bytes_used(db) <= size:
                return 0
            settled = db.execute(
                f"SELECT run_id FROM runs WHERE {_SETTLED} ORDER BY started_at, rowid LIMIT {_AT_A_TIME}"
            ).fetchall()
            gone = 0
            for (run_id,) in settled:
                if kept - gone <= runs and _bytes_used(db) <= size:
                    break
                _forget(db, run_id)
                gone += 1
            if gone:
                _give_back(db)
            return gone

        return self.submit(job, durable=False)


def _give_back(db: sqlite3.Connection) -> None:
    """Return free pages to the file system. One call of the pragma through this module frees one page."""
    (free,) = db.execute("PRAGMA freelist_count").fetchone()
    for _ in range(min(free, _PAGES_AT_A_TIME)):
        db.execute("PRAGMA incremental_vacuum(1)").fetchall()


def _bytes_used(db: sqlite3.Connection) -> int:
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    (free,) = db.execute("PRAGMA freelist_count").fetchone()
    (page_size,) = db.execute("PRAGMA page_size").fetchone()
    used: int = (pages - free) * page_size
    return used


def _forget(db: sqlite3.Connection, run_id: str) -> None:
    named = db.execute(
        "SELECT base, proposed FROM changes WHERE run_id=?1 UNION ALL SELECT before, after FROM journal_files"
        " WHERE journal IN (SELECT id FROM journals WHERE run_id=?1)",
        (run_id,),
    ).fetchall()
    db.execute("DELETE FROM journal_files WHERE journal IN (SELECT id FROM journals WHERE run_id=?)", (run_id,))
    for table in ("events", "changes", "decisions", "mine", "journals", "runs"):
        db.execute(f"DELETE FROM {table} WHERE run_id=?", (run_id,))
    drop_unused(db, {digest for pair in named for digest in pair if digest is not None})
