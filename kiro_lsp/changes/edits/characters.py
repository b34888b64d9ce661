"""Replacements of pieces of text, as spans of whole lines.

Offsets count in the text with `\\n` for every line end and without the byte order mark (`Snapshot.unified`). Several
replacements in one line become one span, so that line ends and final newline are one matter for all edits.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from kiro_lsp.changes.diff import hunk_ranges
from kiro_lsp.changes.edits.build import Span
from kiro_lsp.changes.edits.snapshot import Snapshot


@dataclass(frozen=True, slots=True, order=True)
class Piece:
    """Replace the characters `start:end` by `new`; `edit` is the 0-based number of the edit that says so."""

    start: int
    end: int
    new: str
    edit: int


def occurrences(text: str, wanted: str) -> list[int]:
    """Every offset where `wanted` stands, overlapping ones too: "aa" has two places in "aaa"."""
    found, at = [], text.find(wanted)
    while at >= 0:
        found.append(at)
        at = text.find(wanted, at + 1)
    return found


def disjoint(offsets: Sequence[int], length: int) -> list[int]:
    """The offsets that a replacement from left to right takes."""
    found: list[int] = []
    for at in offsets:
        if not found or at >= found[-1] + length:
            found.append(at)
    return found


def doubles(text: str, at: int, old: str, new: str) -> bool:
    """Whether `old` at offset `at` is a part of `new` that stands there already: replacing it would double the rest."""
    return any(text.startswith(new, at - within) for within in occurrences(new, old) if within <= at and new != old)


def clashes(pieces: Sequence[Piece]) -> set[int]:
    """The edits that replace the same characters, or put text in at the same offset, as another one."""
    found: set[int] = set()
    ordered = sorted(pieces)
    for one, other in pairwise(ordered):
        if one.edit != other.edit and (other.start < one.end or other.start == one.start):
            found |= {one.edit, other.edit}
    return found


def line_spans(file: Snapshot, pieces: Sequence[Piece]) -> tuple[list[tuple[int, Span]], bool | None]:
    """The pieces as (edit, span), and what they say of the final newline: None when nothing. Pieces do not overlap."""
    text = file.unified
    starts = [0, *accumulate(len(line) + 1 for line in text.split("\n"))][:-1]
    spans: list[tuple[int, Span]] = []
    newline: bool | None = None
    for group in _by_lines(starts, sorted(pieces)):
        first = bisect_right(starts, group[0].start) - 1
        last = bisect_right(starts, group[-1].end) - 1
        stop = starts[last + 1] - 1 if last + 1 < len(starts) else len(text)
        lines = _replaced(text, starts[first], stop, group).split("\n")
        if last == len(file.lines):
            # Behind the last line end stands an empty line that is none of the file's: not empty, the end is gone.
            last -= 1
            newline = lines[-1] == ""
            lines = lines[:-1] if newline else lines
        elif last == len(file.lines) - 1 and not file.ends[-1] and lines[-1] == "" and len(lines) > 1:
            newline = True
            lines.pop()
        # Lines that both sides share are no part of the change: they keep their own ends.
        for a0, a1, b0, b1 in hunk_ranges(file.lines[first : last + 1], lines):
            spans.append((group[0].edit, Span(first + a0, first + a1, tuple(lines[b0:b1]))))
    return spans, newline


def _by_lines(starts: Sequence[int], pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Pieces that share a line together."""
    group: list[Piece] = []
    for piece in pieces:
        if group and bisect_right(starts, piece.start) > bisect_right(starts, group[-1].end):
            yield group
            group = []
        group.append(piece)
    if group:
        yield group


def _replaced(text: str, start: int, stop: int, pieces: Sequence[Piece]) -> str:
    parts: list[str] = []
    position = start
    for piece in pieces:
        parts += [text[position : piece.start], piece.new]
        position = piece.end
    return "".join([*parts, text[position:stop]])
