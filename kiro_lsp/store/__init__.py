"""The store: everything that must survive a crash, in one SQLite file in the person's state folder.

Runs, events, staged contents, decisions, the apply journal, the ledger, what was granted, and who is alive. It takes and
gives values; it starts nothing and knows no editor, agent or workspace file.
"""

from __future__ import annotations

import sqlite3
from concurrent.futures import Future
from pathlib import Path

from kiro_lsp.events import LIVE_STATES
from kiro_lsp.store.consent import Consents
from kiro_lsp.store.contents import Contents, Decisions
from kiro_lsp.store.database import state_dir
from kiro_lsp.store.ledger import By, Ledger
from kiro_lsp.store.model import (
    ControlRow,
    CostRow,
    Journal,
    JournalFile,
    JournalKind,
    JournalState,
    Owner,
    Refusal,
    Reservation,
    RunRecord,
    Spent,
)
from kiro_lsp.store.owners import OwnerLock, Owners, current_owner

__all__ = [
    "By",
    "ControlRow",
    "CostRow",
    "Decisions",
    "Journal",
    "JournalFile",
    "JournalKind",
    "JournalState",
    "Owner",
    "OwnerLock",
    "Refusal",
    "Reservation",
    "RunRecord",
    "Spent",
    "Store",
    "current_owner",
    "state_dir",
]

SETTLED_KEPT = 1000
"""Settled runs that are kept; pending ones are never pruned."""


class Store(Owners, Contents, Consents, Ledger):
    """All of it, on one file."""

    @classmethod
    def open(cls, directory: Path) -> Store:
        """Open or create the store of a state folder. Raises StoreError when the folder or file cannot be used."""
        return cls(directory)

    def prune(self, keep: int = SETTLED_KEPT) -> Future[int]:
        """Forget the oldest settled runs beyond `keep`, with contents that nothing needs any more; gives their number.

        The ledger keeps its rows: what was spent stays spent.
        """
        pending = sorted({*LIVE_STATES, "review", "conflict", "interrupted", "failed", "cancelled", "budget"})

        def job(db: sqlite3.Connection) -> int:
            marks = ", ".join("?" for _ in pending)
            old = [
                row[0]
                for row in db.execute(
                    f"SELECT run_id FROM runs WHERE state NOT IN ({marks})"
                    " OR NOT EXISTS (SELECT 1 FROM changes WHERE changes.run_id = runs.run_id) AND ended_at IS NOT NULL"
                    " ORDER BY started_at DESC LIMIT -1 OFFSET ?",
                    (*pending, keep),
                )
            ]
            for run_id in old:
                db.execute(
                    "DELETE FROM journal_files WHERE journal IN (SELECT id FROM journals WHERE run_id=?)", (run_id,)
                )
                for table in ("events", "changes", "decisions", "journals", "runs"):
                    db.execute(f"DELETE FROM {table} WHERE run_id=?", (run_id,))
            if old:
                db.execute(
                    "DELETE FROM blobs WHERE hash NOT IN (SELECT base FROM changes WHERE base IS NOT NULL"
                    " UNION SELECT proposed FROM changes WHERE proposed IS NOT NULL"
                    " UNION SELECT before FROM journal_files WHERE before IS NOT NULL"
                    " UNION SELECT after FROM journal_files WHERE after IS NOT NULL)"
                )
            return len(old)

        return self.submit(job)
