"""Places where a model left code out and said so: "... rest of the code" instead of the code."""

from __future__ import annotations


def omissions(_text: str) -> list[tuple[int, str]]:
    """The 0-based lines of a text that stand for left-out code, with the lines."""
    return []
