"""The value that is kept, and how two addresses are compared."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Link:
    """One link as it is kept."""

    address: str
    compared: str
    title: str
    tags: frozenset[str]
    note: str
    added: datetime
    changed: datetime | None = None
    fetched: bool = True
