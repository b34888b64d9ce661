"""An old and a new run of lines as one edit: what both sides share is context."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from kiro_lsp.changes.diff import hunk_ranges
from kiro_lsp.changes.edits.answer import Line, LinesEdit
from kiro_lsp.changes.edits.keys import significant
from kiro_lsp.spec.lines import split_lines


def answer_lines(text: str) -> list[str]:
    """The lines of an answer. A lone carriage return is text in it, unless it has no other line ends."""
    if "\n" not in text:
        return lines_of(text)
    lines = text.split("\n")
    return [line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]


def single_lines(lines: Iterable[str]) -> list[str]:
    """Lines as a file has them, where a lone carriage return ends one; a diff shows them as one."""
    return [part for line in lines for part in line.split("\r")]


def lines_of(text: str) -> list[str]:
    """The lines of a text without their ends. A final line end opens no further line; an empty text has none."""
    return [line.rstrip("\r\n") for line in split_lines(text)]


def block_of(
    old: Sequence[str], new: Sequence[str], *, line_hint: int | None = None, answer_line: int = 1
) -> LinesEdit:
    """The edit that finds `old` and leaves `new` there; lines that both sides share are never rewritten."""
    old, new = single_lines(old), single_lines(new)
    lines: list[Line] = []
    position = 0
    for a0, a1, b0, b1 in hunk_ranges(old, new):
        lines += [Line(" ", text) for text in old[position:a0]]
        lines += [Line("-", text) for text in old[a0:a1]]
        lines += [Line("+", text) for text in new[b0:b1]]
        position = a1
    lines += [Line(" ", text) for text in old[position:]]
    return LinesEdit(tuple(lines), line_hint=line_hint, block=True, answer_line=answer_line)


_ENOUGH = 8
"""Significant characters that must be left when blank lines at the ends are dropped."""


def without_blank_ends(edit: LinesEdit) -> LinesEdit | None:
    """A block without the blank old lines that it begins and ends with, which models add unasked.

    None when there are none to drop, when little would be left, or when something is added between such a line and the
    first filled one: then the blank line says where.
    """
    old = [index for index, line in enumerate(edit.lines) if line.mark != "+"]
    filled = [index for index in old if edit.lines[index].text.strip()]
    if not edit.block or not filled:
        return None
    added = [index for index, line in enumerate(edit.lines) if line.mark == "+"]
    lead = {index for index in old if index < filled[0]} if not any(index < filled[0] for index in added) else set()
    tail = {index for index in old if index > filled[-1]} if not any(index > filled[-1] for index in added) else set()
    if not lead | tail or significant([edit.lines[index].text for index in filled]) < _ENOUGH:
        return None
    return replace(edit, lines=tuple(line for index, line in enumerate(edit.lines) if index not in lead | tail))
