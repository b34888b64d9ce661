"""What can go wrong and is the person's to know."""

from __future__ import annotations


class ShelfError(Exception):
    """A failure with a kind, a message and what to do."""

    def __init__(self, kind: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.hint = hint
