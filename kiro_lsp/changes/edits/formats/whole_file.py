"""Whole files: a fenced block with a file name, in its info string or on the line before it.

A block without a name never overwrites anything, unless the caller said which file is meant.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from kiro_lsp.changes.edits.answer import FileEdit, FormatProblem
from kiro_lsp.changes.edits.filenames import closes, fence_opening
from kiro_lsp.changes.edits.formats.reading import Reading, Region

NAME = "whole-file"
_MARKER = re.compile(r"[ \t]*(?:[<-]{5,9} SEARCH\b|[>+]{5,9} REPLACE\b|\*\*\* (?:Begin Patch|End Patch|Update File: ))")
ORDER = 90


def begins(region: Region, at: int) -> bool:
    """Whether a fence opens here whose body may be a file; asked for fences in which no other format begins."""
    return fence_opening(region.lines[at]) is not None


def read(region: Region, at: int) -> Reading | None:
    """The fence that opens at a line. `region.name` is the file that it or the line before it names."""
    opening = fence_opening(region.lines[at])
    marks = opening[0] if opening else "```"
    end = body_end(region.lines, at + 1, region.end, marks)
    name = region.name or region.default
    if end is None:
        if not region.closed:
            return None
        problem = FormatProblem(
            f"The block at line {at + 1} of the answer has no end: it may have been cut off.", at + 1
        )
        return [], [problem] if name else [], region.end
    if name is None:
        return [], [], end + 1
    body = region.lines[at + 1 : end]
    trouble = _trouble(region, opening[1] if opening else "", name, end, marks)
    if trouble:
        return [], [FormatProblem(f"The block at line {at + 1} of the answer {trouble}", at + 1, (name,))], end + 1
    content = "".join(f"{line}\n" for line in body)
    return [FileEdit((name,), "whole", content=content, format=NAME, answer_line=at + 1)], [], end + 1


def _trouble(region: Region, info: str, name: str, end: int, marks: str) -> str:
    """Why a block is no file; "" when it can be one."""
    body = region.lines[region.first + 1 : end]
    if region.wanted != NAME and any(_MARKER.match(line) for line in body):
        return "holds the markers of another format: they are not the content of a file. Send the edit outside of the block."
    markdown = name.lower().endswith((".md", ".mdx", ".markdown")) or info.split(" ", maxsplit=1)[0] in (
        "markdown",
        "md",
    )
    following = next((line for line in region.lines[end + 1 : region.end] if fence_opening(line)), "")
    opening = fence_opening(following)
    if markdown and opening is not None and not opening[1] and opening[0][0] == marks[0]:
        return "is Markdown and may hold fences of its own: open and close it with more backticks than they have."
    return ""


def body_end(lines: Sequence[str], at: int, end: int, marks: str) -> int | None:
    """The line that closes a fence whose body may hold fences of its own; None when there is none."""
    inner: list[str] = []
    for number in range(at, end):
        if inner:
            if closes(lines[number], inner[-1]):
                inner.pop()
            continue
        if closes(lines[number], marks):
            return number
        opening = fence_opening(lines[number])
        if opening is not None and opening[1] and len(opening[0]) >= len(marks) and opening[0][0] == marks[0]:
            inner.append(opening[0])
    return None
