"""Edits of a text in domain positions, and the one way to apply them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kiro_lsp.spec.lines import split_lines

Point = tuple[int, int]
"""(line, column in characters), both from 0."""


@dataclass(frozen=True, slots=True, order=True)
class TextEdit:
    """Replace what stands from `start` to `end` by `new`."""

    start: Point
    end: Point
    new: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Why there are no edits, as a sentence for people."""

    message: str


def replace(line: int, start: int, end: int, new: str) -> TextEdit:
    """An edit inside one line."""
    return TextEdit((line, start), (line, end), new)


def applied(text: str | Sequence[str], edits: Iterable[TextEdit]) -> str:
    """The text after all edits, which are positions of the text before. Raises ValueError for edits that overlap.

    Takes a text or its lines as `split_lines` gives them. Of insertions at one place the first given comes first.
    """
    lines = split_lines(text) if isinstance(text, str) else text
    whole = "".join(lines)
    offsets = [0]
    for line in lines:
        offsets.append(offsets[-1] + len(line))
    parts: list[str] = []
    at = 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        start, end = (offsets[min(line, len(lines))] + column for line, column in (edit.start, edit.end))
        if start < at or end < start:
            raise ValueError(f"edits overlap at line {edit.start[0] + 1}")
        parts += whole[at:start], edit.new
        at = end
    return "".join((*parts, whole[at:]))


def without_end(line: str) -> str:
    """A line without its end."""
    return line.rstrip("\r\n")


def line_end(lines: Sequence[str]) -> str:
    """How lines end in this text, for lines that are added: as the first one does."""
    for line in lines[:1]:
        for end in ("\r\n", "\n", "\r"):
            if line.endswith(end):
                return end
    return "\n"
