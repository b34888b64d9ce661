"""From an old text to a new one in the smallest edits an editor can take.

Positions count lines as LSP does (`\\n`, `\\r\\n`, lone `\\r`) and columns in code points; only `to_units` knows what
an editor counts. No edit begins or ends between the two characters of a `\\r\\n`: no editor has a position there.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from kiro_lsp.changes.diff import hunk_ranges
from kiro_lsp.spec.lines import split_lines

PositionEncoding = Literal["utf-8", "utf-16", "utf-32"]


@dataclass(frozen=True, slots=True)
class TextEdit:
    """Replace what lies between two positions of the old text. Lines are 0-based, columns code points in their line."""

    start_line: int
    start_col: int
    end_line: int
    end_col: int
    new_text: str


def minimal_edits(old: str, new: str) -> tuple[TextEdit, ...]:
    """Edits that turn `old` into `new`: one a hunk, cut to the characters that differ, in order, never overlapping."""
    old_lines, new_lines = split_lines(old), split_lines(new)
    old_starts = [0, *accumulate(map(len, old_lines))]
    new_starts = [0, *accumulate(map(len, new_lines))]
    edits: list[TextEdit] = []
    for a0, a1, b0, b1 in hunk_ranges(old_lines, new_lines):
        start, end, new_start, new_end = _trimmed(
            old, new, (old_starts[a0], old_starts[a1]), (new_starts[b0], new_starts[b1])
        )
        first, last = _position(start, old_lines, old_starts), _position(end, old_lines, old_starts)
        edits.append(TextEdit(*first, *last, new[new_start:new_end]))
    return tuple(edits)


def apply_edits(text: str, edits: Iterable[TextEdit]) -> str:
    """`text` after the edits, all of which name positions of the original. Raises ValueError when two overlap."""
    lines = split_lines(text)
    starts = [0, *accumulate(map(len, lines))]
    spans = [
        (starts[edit.start_line] + edit.start_col, starts[edit.end_line] + edit.end_col, edit.new_text)
        for edit in edits
    ]
    pieces: list[str] = []
    position = 0
    for start, end, new_text in sorted(spans, key=lambda span: span[:2]):
        if start < position:
            raise ValueError("two edits overlap")
        pieces += [text[position:start], new_text]
        position = end
    return "".join([*pieces, text[position:]])


def to_units(line: str, column: int, encoding: PositionEncoding) -> int:
    """How many code units of `encoding` the first `column` characters of a line take. A lone surrogate counts as one
    character.
    """
    head = line[:column]
    if encoding == "utf-32" or head.isascii():
        return len(head)
    if encoding == "utf-16":
        return len(head) + sum(character > "\uffff" for character in head)
    return sum(1 + (character > "\x7f") + (character > "\u07ff") + (character > "\uffff") for character in head)


def _trimmed(old: str, new: str, span: tuple[int, int], new_span: tuple[int, int]) -> tuple[int, int, int, int]:
    """The same replacement without the characters that both sides share at its ends."""
    (start, end), (new_start, new_end) = span, new_span
    while start < end and new_start < new_end and old[start] == new[new_start]:
        start += 1
        new_start += 1
    while _inside_line_end(old, start) or _inside_line_end(new, new_start):
        start -= 1
        new_start -= 1
    while start < end and new_start < new_end and old[end - 1] == new[new_end - 1]:
        end -= 1
        new_end -= 1
    while _inside_line_end(old, end) or _inside_line_end(new, new_end):
        end += 1
        new_end += 1
    return start, end, new_start, new_end


def _inside_line_end(text: str, offset: int) -> bool:
    return 0 < offset < len(text) and text[offset - 1] == "\r" and text[offset] == "\n"


def _position(offset: int, lines: list[str], starts: list[int]) -> tuple[int, int]:
    """(line, column). A text that ends with a line end has an empty last line, where its end is."""
    line = bisect_right(starts, offset) - 1
    if line == len(lines) and lines and not lines[-1].endswith(("\n", "\r")):
        line -= 1
    return line, offset - starts[line]
