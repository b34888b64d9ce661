"""New lines in the file's own indentation, learnt from the lines that matched."""

from __future__ import annotations

import pytest

from kiro_lsp.changes.edits.indent import Indents


def check(
    pairs: list[tuple[str, str]], line: str, expected: str, *, after: int = 99, file: list[str] | None = None
) -> None:
    """`pairs` are matched lines as sent and as in the file; the new line follows old line `after`."""
    numbered = [(number, sent, found) for number, (sent, found) in enumerate(pairs)]
    indents = Indents(numbered, file or [found for _sent, found in pairs], [*(sent for sent, _found in pairs), line])
    assert indents.of(line, after) == expected


@pytest.mark.parametrize(
    ("pairs", "line", "expected"),
    [
        # All shifted by one amount.
        ([("a", "    a")], "b", "    b"),
        ([("a", "    a")], "    b", "        b"),
        ([("    a", "a")], "    b", "b"),
        ([("    a", "a")], "        b", "    b"),
        ([("        a", "    a")], "    b", "b"),
        # Tabs for blanks and back.
        ([("    a", "\ta"), ("        b", "\t\tb")], "            c", "\t\t\tc"),
        ([("\ta", "    a")], "\t\tb", "        b"),
        ([("\ta", "  a")], "\t\t\tb", "      b"),
        ([("\t\t a", "         a")], "\t\t b", "         b"),
        ([("    a", "\ta"), ("      b", "\t  b")], "        c", "\t\tc"),
        # Two kinds in one file: the nearest matched line with the same indentation says it.
        ([("  a", "\ta"), ("  b", "    b")], "  c", "    c"),
        ([("a", "    a")], "", ""),
        ([("a", "    a")], "   ", "   "),
    ],
)
def test_a_new_line_is_mapped_as_the_matched_ones_are(pairs: list[tuple[str, str]], line: str, expected: str) -> None:
    check(pairs, line, expected)


def test_the_file_says_its_step_where_matched_lines_have_no_indentation() -> None:
    check([("x:", "x:")], "\ty", "  y", file=["x:", "a", "  b", "    c", "  d"])
    check([("x:", "x:")], "    y", "\ty", file=["x:", "a", "\tb", "\t\tc"])


def test_lines_that_were_quoted_as_they_are_say_that_nothing_changes() -> None:
    assert Indents([(0, "  a", "  a"), (1, "b", "b")], [], []).identical
    assert not Indents([(0, "  a", "    a")], [], []).identical
