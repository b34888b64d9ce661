"""What a format is given to read, and what it gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kiro_lsp.changes.edits.answer import FileEdit, FormatProblem

Reading = tuple[list[FileEdit], list[FormatProblem], int]
"""The edits and the problems of one part of an answer, and the 0-based index of the first line that is not part of it."""


@dataclass(frozen=True, slots=True)
class Region:
    """A stretch of an answer in which edits are looked for: the body of a fence, or what stands outside of fences.

    `lines` are those of the whole answer, without ends; indices are 0-based, `first` and `end` (exclusive) bound the
    region. `closed` is False while the answer may still go on inside it. `name` is the file said by the fence or the
    line before it, `language` the fence's first word, `default` the file that the caller wants where none is said,
    `wanted` the format that the caller named. `cut` says that the fence never ends: what is open at its end was cut off.
    """

    lines: Sequence[str]
    first: int
    end: int
    closed: bool = True
    name: str | None = None
    fenced: bool = False
    default: str | None = None
    language: str = ""
    wanted: str = "auto"
    cut: bool = False

    def blank_before(self, at: int) -> bool:
        """Whether only empty lines stand between the start of the region and a line, or right before it."""
        return at == self.first or not self.lines[at - 1].strip()
