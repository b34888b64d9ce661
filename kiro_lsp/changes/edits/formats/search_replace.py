"""SEARCH/REPLACE blocks, as aider, Cline and Roo Code write them.

A block is read whole or refused: its first marker, one divider, its last marker. Which of several dividers is meant is
never guessed. Lines that begin with a backslash before a marker are content (Roo Code's escape).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from kiro_lsp.changes.edits.answer import FileEdit, FormatProblem, Line, LinesEdit
from kiro_lsp.changes.edits.blocks import block_of
from kiro_lsp.changes.edits.filenames import name_above
from kiro_lsp.changes.edits.formats.reading import Reading, Region

NAME = "search-replace"
ORDER = 20
IGNORES_FENCES = True

_HEAD = re.compile(r"(<{3,}|-{3,})[ ]SEARCH>?(?:[ \t]+(\S.*))?")
_TAIL = re.compile(r"(?:>{3,}|\+{3,})[ ](?:REPLACE|UPDATED)\b.*")
_DIVIDER = re.compile(r"={3,}[ \t]*")
_ESCAPED = re.compile(r"\\(?=<{3,}|>{3,}|={3,}|-{3,}|\+{3,}|:(?:start|end)_line:)")
_START_LINE = re.compile(r":start_line:[ \t]*(\d{1,9})[ \t]*")
_END_LINE = re.compile(r":end_line:[ \t]*\d{1,9}[ \t]*")
_NUMBERED = re.compile(r"[ \t]*\d{1,9}[ \t]*\|(?!\|)[ ]?(.*)")
_USUAL = 5


ENDS = re.compile(r"[ \t]*(?:>{3,}|\+{3,})[ ](?:REPLACE|UPDATED)\b")
"""What a line begins with that can end a block."""


def begins(region: Region, at: int) -> bool:
    return is_head(region.lines[at])


def is_head(line: str) -> bool:
    """Whether a line is the first marker of a block, indented or not."""
    return _HEAD.fullmatch(line.strip()) is not None


def read(region: Region, at: int) -> Reading | None:
    """One block."""
    lines = region.lines
    tail = _find_tail(lines, at + 1, region.end)
    if tail is None:
        if not region.closed:
            return None
        following = next((n for n in range(at + 1, region.end) if is_head(lines[n])), region.end)
        return [], [_problem(at, "has no '>>>>>>> REPLACE' line: it may have been cut off.", region)], following
    lines = _dedented(lines, at, tail)
    head = _HEAD.fullmatch(lines[at].strip())
    begin, hint = _options(lines, at + 1, tail)
    dividers = _dividers(lines, begin, tail, len(head.group(1)) if head else 7)
    if len(dividers) != 1:
        named = ", ".join(str(number + 1) for number in dividers)
        why = (
            f"has {len(dividers)} lines of '=' (lines {named}): escape those that are text as '\\======='."
            if dividers
            else ("has no '=======' line between what to search and what to put there.")
        )
        return [], [_problem(at, why, region)], tail + 1
    old, new = _sides(lines, begin, dividers[0], tail)
    edit = _edit(old, new, hint, at + 1)
    said = head.group(2) if head else None
    name = said or name_above(lines, at) or region.name
    return [FileEdit((name,) if name else (), "edit", (edit,), format=NAME, answer_line=at + 1)], [], tail + 1


def _find_tail(lines: Sequence[str], at: int, end: int) -> int | None:
    """The last marker of a block; None when another block begins before it, or the text ends."""
    for number in range(at, end):
        if _TAIL.fullmatch(lines[number].strip()):
            return number
        if is_head(lines[number]):
            return None
    return None


def _dedented(lines: Sequence[str], at: int, tail: int) -> Sequence[str]:
    """The lines with the block's own indentation taken away: a block may stand in a list."""
    indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
    if not indent or any(line.strip() and not line.startswith(indent) for line in lines[at : tail + 1]):
        return lines
    return [*lines[:at], *(line.removeprefix(indent) for line in lines[at : tail + 1]), *lines[tail + 1 :]]


def _options(lines: Sequence[str], at: int, end: int) -> tuple[int, int | None]:
    """Roo Code's lines behind the first marker: the first line of content, and the line number said (0: none)."""
    hint: int | None = None
    if at < end and (said := _START_LINE.fullmatch(lines[at])):
        hint = int(said.group(1)) or None
        at += 1
        if at < end and _END_LINE.fullmatch(lines[at]):
            at += 1
        if at < end and lines[at].strip() == "-------":
            at += 1
    return at, hint


def _dividers(lines: Sequence[str], start: int, end: int, length: int) -> list[int]:
    """The lines that can be the divider: of the first marker's length if there is one such, else of five or more."""
    found = [number for number in range(start, end) if _DIVIDER.fullmatch(lines[number])]
    for choice in (
        [number for number in found if len(lines[number].strip()) == length],
        [number for number in found if len(lines[number].strip()) >= _USUAL],
    ):
        if len(choice) == 1:
            return choice
    return [number for number in found if len(lines[number].strip()) >= _USUAL] or found


def _sides(lines: Sequence[str], start: int, divider: int, tail: int) -> tuple[list[str], list[str]]:
    old = [_ESCAPED.sub("", line, count=1) for line in lines[start:divider]]
    new = [_ESCAPED.sub("", line, count=1) for line in lines[divider + 1 : tail]]
    if old and all(_NUMBERED.fullmatch(line) for line in old):
        old = [_NUMBERED.sub(r"\1", line) for line in old]
        if new and all(_NUMBERED.fullmatch(line) for line in new):
            new = [_NUMBERED.sub(r"\1", line) for line in new]
    return old, new


def _edit(old: Sequence[str], new: Sequence[str], hint: int | None, answer_line: int) -> LinesEdit:
    """The block as an edit; lines of dots on both sides are jumps."""
    edit = block_of(old, new, line_hint=hint, answer_line=answer_line)
    dots = [line.text.strip() in ("...", "\u2026") for line in edit.lines]
    if not any(dots):
        return edit
    jumps = tuple(
        Line("~", line.text) if dotted and line.mark == " " else line
        for line, dotted in zip(edit.lines, dots, strict=True)
    )
    return replace(edit, lines=jumps)


def _problem(at: int, why: str, region: Region) -> FormatProblem:
    name = name_above(region.lines, at) or region.name
    return FormatProblem(
        f"The SEARCH/REPLACE block at line {at + 1} of the answer {why}", at + 1, (name,) if name else ()
    )
