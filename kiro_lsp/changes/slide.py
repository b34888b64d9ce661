"""Where an added or removed block may stand at several places, the place that a person would draw.

A block whose first line equals the line after it (or its last one the line before) can be shown one line further down
(or up) and means the same. git chooses by blank lines and indentation; so do we, by the same weights, so that a hunk is
a whole function and not the end of one and the head of the next. Texts are not changed by it, nor is any other range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kiro_lsp.changes.diff import Range

_FURTHEST: Final = 100
"""How many places are tried for one block, and how many blank lines are looked at: the work stays linear."""
_BLANKS: Final = 20
_WIDEST: Final = 200

# git's weights (xdiff/xdiffi.c), found there by trying them on many repositories.
_START_OF_FILE, _END_OF_FILE = 1, 21
_TOTAL_BLANK, _POST_BLANK = -30, 6
_INDENT, _INDENT_WITH_BLANK = -4, 10
_OUTDENT, _OUTDENT_WITH_BLANK = 24, 17
_DEDENT, _DEDENT_WITH_BLANK = 23, 17
_INDENT_WEIGHT = 60


def readable(ranges: Sequence[Range], old: Sequence[str], new: Sequence[str]) -> list[Range]:
    """The ranges with every pure insertion and deletion at its best place. They never touch, as before."""
    placed: list[Range] = []
    for index, (a0, a1, b0, b1) in enumerate(ranges):
        # One equal line has to stay on either side.
        above = a0 - (placed[-1][1] + 1) if placed else a0
        below = (ranges[index + 1][0] - 1 if index + 1 < len(ranges) else len(old)) - a1
        if a0 == a1:
            shift = _shift(new, b0, b1, above, below)
        elif b0 == b1:
            shift = _shift(old, a0, a1, above, below)
        else:
            shift = 0
        placed.append((a0 + shift, a1 + shift, b0 + shift, b1 + shift))
    return placed


def _shift(lines: Sequence[str], start: int, end: int, above: int, below: int) -> int:
    """How many lines the block `start:end` moves down (up when negative)."""
    up = down = 0
    while up < min(above, _FURTHEST) and lines[start - up - 1] == lines[end - up - 1]:
        up += 1
    while down < min(below, _FURTHEST) and lines[start + down] == lines[end + down]:
        down += 1
    if up == down == 0:
        return 0
    # As git: not further up from the lowest place than the block is long, for that would only repeat it.
    first = max(-up, down - (end - start) - 1, down - _FURTHEST)
    best, best_score = down, _Score()
    for shift in range(first, down + 1):
        score = _Score()
        score.add(lines, end + shift)
        score.add(lines, start + shift)
        if shift == first or score.against(best_score) <= 0:
            best, best_score = shift, score
    return best


@dataclass(slots=True)
class _Score:
    """How bad it is to cut a text at the two ends of a block: less indentation is better, then less penalty."""

    indent: int = 0
    penalty: int = 0

    def against(self, other: _Score) -> int:
        return _INDENT_WEIGHT * ((self.indent > other.indent) - (self.indent < other.indent)) + (
            self.penalty - other.penalty
        )

    def add(self, lines: Sequence[str], at: int) -> None:
        """Count a cut before the line `at`."""
        here = _indentation(lines[at]) if at < len(lines) else None
        blanks_before, before = _nearest(lines, range(at - 1, -1, -1))
        blanks_after, after = _nearest(lines, range(at + 1, len(lines)))
        if before is None and blanks_before == 0:
            self.penalty += _START_OF_FILE
        if at >= len(lines):
            self.penalty += _END_OF_FILE
        following = 1 + blanks_after if here is None else 0
        blanks = blanks_before + following
        self.penalty += _TOTAL_BLANK * blanks + _POST_BLANK * following
        indent = here if here is not None else after
        self.indent += -1 if indent is None else indent
        if indent is None or before is None or indent == before:
            return
        if indent > before:
            self.penalty += _INDENT_WITH_BLANK if blanks else _INDENT
        elif after is not None and after > indent:
            self.penalty += _OUTDENT_WITH_BLANK if blanks else _OUTDENT
        else:
            self.penalty += _DEDENT_WITH_BLANK if blanks else _DEDENT


def _nearest(lines: Sequence[str], positions: range) -> tuple[int, int | None]:
    """(blank lines on the way, indentation of the first line that is not blank; None without one)."""
    blanks = 0
    for position in positions:
        indent = _indentation(lines[position])
        if indent is not None:
            return blanks, indent
        blanks += 1
        if blanks == _BLANKS:
            return blanks, 0
    return blanks, None


def _indentation(line: str) -> int | None:
    """The column of the first character, None for a blank line."""
    column = 0
    for character in line:
        if character == " ":
            column += 1
        elif character == "\t":
            column += 8 - column % 8
        elif character not in "\n\v\f\r":
            return column
        if column >= _WIDEST:
            return _WIDEST
    return None
