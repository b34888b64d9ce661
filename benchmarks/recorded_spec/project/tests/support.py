"""Shared helpers of the tests."""

from __future__ import annotations

from datetime import UTC, datetime

from shelf.links import Link


def link(address: str = "https://example.com/", **changes: object) -> Link:
    """A link of which only what matters is stated."""
    values = {
        "compared": address,
        "title": "Title",
        "tags": frozenset(),
        "note": "",
        "added": datetime(2026, 1, 31, tzinfo=UTC),
    }
    return Link(address, **(values | changes))  # type: ignore[arg-type]
