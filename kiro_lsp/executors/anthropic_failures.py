"""What the Messages API says in its own way: two cases that it answers with 400 and tells apart by its words only."""

from __future__ import annotations


def meaning_of(status: int, _type: str, said: str) -> int:
    """The status that an error means (see provider_failures.py)."""
    lowered = said.lower()
    if status == 400 and ("credit balance" in lowered or "usage limit" in lowered):
        return 402
    if status == 400 and ("prompt is too long" in lowered or "context window" in lowered or "context limit" in lowered):
        return 413
    return status
