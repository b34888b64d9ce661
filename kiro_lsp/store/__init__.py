"""The store: everything that must survive a crash, in one SQLite file in the person's state folder.

Runs, events, staged contents, decisions, the apply journal, the ledger, what was granted, and who is alive. It takes and
gives values; it starts nothing and knows no editor, agent or workspace file.
"""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

from kiro_lsp.store.consent import Consents
from kiro_lsp.store.contents import Contents, Decisions
from kiro_lsp.store.database import state_dir
from kiro_lsp.store.ledger import By, Ledger, local_day
from kiro_lsp.store.locks import OwnerLock, current_owner
from kiro_lsp.store.model import (
    ControlRow,
    CostRow,
    Journal,
    JournalFile,
    JournalKind,
    JournalState,
    Kept,
    Owner,
    Refusal,
    Reservation,
    RunRecord,
    Spent,
    Warn,
)
from kiro_lsp.store.owners import Owners
from kiro_lsp.store.retention import Retention

__all__ = [
    "By",
    "ControlRow",
    "CostRow",
    "Decisions",
    "Journal",
    "JournalFile",
    "JournalKind",
    "JournalState",
    "Kept",
    "Owner",
    "OwnerLock",
    "Refusal",
    "Reservation",
    "RunRecord",
    "Spent",
    "Store",
    "Warn",
    "current_owner",
    "local_day",
    "state_dir",
]


class Store(Owners, Contents, Consents, Ledger, Retention):
    """All of it, on one file."""

    @classmethod
    def open(cls, directory: Path) -> Store:
        """Open or create the store of a state folder. Raises StoreError when the folder or file cannot be used.

        `notices` holds what the person should be told: a damaged file that was set aside, a folder without a log.
        """
        return cls(directory)

    def create_run(self, run: RunRecord) -> Future[bool]:
        """As Runs.create_run; the oldest settled runs make room for it."""
        created = super().create_run(run)
        self.prune()
        return created
