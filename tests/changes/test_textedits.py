"""Edits for editors: applied they give the new text in every position encoding, and they are small."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings

from kiro_lsp.changes.textedits import PositionEncoding, TextEdit, apply_edits, minimal_edits, to_units
from tests.changes.strategies import edited

CODECS: dict[PositionEncoding, tuple[str, int]] = {
    "utf-8": ("utf-8", 1),
    "utf-16": ("utf-16-le", 2),
    "utf-32": ("utf-32-le", 4),
}


def as_an_editor_would(text: str, edits: tuple[TextEdit, ...], encoding: PositionEncoding) -> str:
    """Apply edits the way a client does: lines by LSP's rule, columns in code units, in bytes of that encoding."""
    codec, width = CODECS[encoding]
    rows = lsp_lines(text)
    spans = []
    for edit in edits:
        ends = []
        for line, column in ((edit.start_line, edit.start_col), (edit.end_line, edit.end_col)):
            units = to_units(rows[line], column, encoding)
            without_end = rows[line].rstrip("\r\n") if line < len(rows) - 1 else rows[line]
            assert units * width <= len(without_end.encode(codec)), "a position behind the end of its line"
            before = sum(len(row.encode(codec)) for row in rows[:line])
            ends.append(before + units * width)
        spans.append((ends[0], ends[1], edit.new_text.encode(codec)))
    data = text.encode(codec)
    for start, end, new in reversed(spans):
        data = data[:start] + new + data[end:]
    return data.decode(codec)


def lsp_lines(text: str) -> list[str]:
    rows = [""]
    position = 0
    while position < len(text):
        end = 2 if text.startswith("\r\n", position) else 1
        rows[-1] += text[position : position + end]
        if text[position] in "\r\n":
            rows.append("")
        position += end
    return rows


@pytest.mark.parametrize("encoding", CODECS)
@given(pair=edited())
@example(pair=("a\r\n", "a\n"))
@example(pair=("a\n", "a\r\n"))
@example(pair=("a\rb", "a\r\nb"))
@example(pair=("😀x", "😁x"))
@example(pair=("", "x"))
@example(pair=("x", ""))
@example(pair=("x\n", "x"))
@settings(max_examples=250, deadline=None)
def test_applied_in_any_encoding_the_edits_give_the_new_text(encoding: PositionEncoding, pair: tuple[str, str]) -> None:
    old, new = pair
    edits = minimal_edits(old, new)
    assert as_an_editor_would(old, edits, encoding) == new
    assert apply_edits(old, edits) == new


@given(edited())
@settings(max_examples=200, deadline=None)
def test_edits_come_in_order_and_never_overlap(pair: tuple[str, str]) -> None:
    position = (-1, 0)
    for edit in minimal_edits(*pair):
        assert position <= (edit.start_line, edit.start_col) <= (edit.end_line, edit.end_col)
        position = (edit.end_line, edit.end_col)


EDITS: dict[str, tuple[str, str, tuple[TextEdit, ...]]] = {
    "equal texts need none": ("a\n", "a\n", ()),
    "a tick is one character": ("- [ ] 1. x\r\n", "- [x] 1. x\r\n", (TextEdit(0, 3, 0, 4, "x"),)),
    "a word in the middle": ("one two three\n", "one 2 three\n", (TextEdit(0, 4, 0, 7, "2"),)),
    "a new last line after a missing line end": ("a", "a\nb", (TextEdit(0, 1, 0, 1, "\nb"),)),
    "a line end is replaced whole": ("a\r\nb", "a\nb", (TextEdit(0, 1, 1, 0, "\n"),)),
    "columns count code points": ("😀a\n", "😀b\n", (TextEdit(0, 1, 0, 2, "b"),)),
    "two places, two edits": ("a\nb\nc\n", "x\nb\ny\n", (TextEdit(0, 0, 0, 1, "x"), TextEdit(2, 0, 2, 1, "y"))),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_is_cut_to_what_differs(name: str) -> None:
    old, new, expected = EDITS[name]
    assert minimal_edits(old, new) == expected


@pytest.mark.parametrize(
    ("encoding", "expected"), [("utf-8", [0, 1, 3, 7, 8]), ("utf-16", [0, 1, 2, 4, 5]), ("utf-32", [0, 1, 2, 3, 4])]
)
def test_columns_are_counted_in_the_units_of_the_editor(encoding: PositionEncoding, expected: list[int]) -> None:
    assert [to_units("aé😀b", column, encoding) for column in range(5)] == expected


def test_a_lone_surrogate_counts_as_one_unit_of_utf_16_and_three_of_utf_8() -> None:
    assert to_units("\ud83dx", 1, "utf-16") == 1
    assert to_units("\ud83dx", 1, "utf-8") == 3


def test_overlapping_edits_are_refused() -> None:
    with pytest.raises(ValueError, match="overlap"):
        apply_edits("abc", [TextEdit(0, 0, 0, 2, "x"), TextEdit(0, 1, 0, 3, "y")])
