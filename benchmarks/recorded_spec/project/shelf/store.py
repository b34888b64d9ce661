"""The database of a shelf."""

from __future__ import annotations

import sqlite3
from pathlib import Path

FORMAT = 2


class Store:
    """One file, opened for one command."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, timeout=2.0)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA foreign_keys=ON")

    def close(self) -> None:
        """Close the file."""
        self._db.close()
