"""Python files that no longer parse are said; others, and those that never did, are not."""

from __future__ import annotations

import pytest

from kiro_lsp.changes.edits.syntax import broken
from kiro_lsp.changes.model import FileChange


@pytest.mark.parametrize(
    ("path", "before", "after", "said"),
    [
        ("a.py", b"x = 1\n", b"x = 2\n", False),
        ("a.py", b"x = 1\n", b"x = (\n", True),
        ("a.py", b"x = (\n", b"x = ((\n", False),
        ("a.py", b"x = 1\n", b"x = '\\d'\n", False),
        ("a.py", b"x = 1\n", b"x = \0\n", True),
        ("a.py", b"x = 1\n", b"(" * 5000, True),
        ("a.txt", b"x = 1\n", b"x = (\n", False),
        ("a.py", None, b"x = (\n", False),
        ("a.py", b"x = 1\n", None, False),
        ("a.py", b"x = 1\n" * 60_000, b"x = (\n" * 60_000, False),
    ],
)
def test_a_file_that_stops_parsing_is_named(path: str, before: bytes | None, after: bytes | None, said: bool) -> None:
    found = broken([FileChange(path, "modify", before, after)])
    assert bool(found) is said
    assert all(sentence.startswith(f"{path} parsed before") for sentence in found)
