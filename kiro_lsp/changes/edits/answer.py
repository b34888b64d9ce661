"""What a model's answer asks for, and what became of it: the values between the formats and the ladder.

A format reads text into `FileEdit`s and knows nothing of files; the ladder places their edits in files and knows
nothing of formats. Texts here have no line ends: a line is what stands between two of them, and which end a new line
gets is the file's affair. Numbers of lines are 1-based where a person or a model wrote them (`line_hint`,
`answer_line`, `Failure.candidates`), 0-based nowhere in this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kiro_lsp.changes.model import FileChange

Mark = Literal[" ", "-", "+", "~"]
"""Context, removed, added, and a jump over lines that the answer left out (`...`)."""

Action = Literal["edit", "create", "delete", "rename", "copy", "whole"]
"""What is done with a file. `whole` writes a complete content over whatever is there, or creates it."""

Reason = Literal["not-found", "ambiguous", "already-applied", "conflict", "stale", "format", "placeholder", "path"]


@dataclass(frozen=True, slots=True)
class Line:
    """`text` is the line without its marker. `unmarked` is the other reading of a context line, when there is one: the
    line as it was sent, for a model that forgot the marker.
    """

    mark: Mark
    text: str
    unmarked: str | None = None


@dataclass(frozen=True, slots=True)
class LinesEdit:
    """Lines to find and what to make of them: a hunk of a diff, or a SEARCH/REPLACE block.

    `anchors` are the texts of `@@` lines (outermost first), `line_hint` is where the first old line is said to be.
    `at_end` says that the last old line is the last of the file. `old_newline` and `new_newline` are what a
    "\\ No newline at end of file" line says of the last line of either side: False; None when nothing was said.
    `block` is an edit that was sent as an old and a new text: blank lines at its ends may be the model's own.
    """

    lines: tuple[Line, ...]
    line_hint: int | None = None
    anchors: tuple[str, ...] = ()
    at_end: bool = False
    old_newline: bool | None = None
    new_newline: bool | None = None
    block: bool = False
    answer_line: int = 1


@dataclass(frozen=True, slots=True)
class StringEdit:
    """An exact piece of text and what to put there; `every` replaces each occurrence, of which there must be `expected`
    when that is given. An empty `old` is only right for a file that is empty or not there.
    """

    old: str
    new: str
    every: bool = False
    expected: int | None = None
    answer_line: int = 1


@dataclass(frozen=True, slots=True)
class InsertEdit:
    """Whole lines put in after line `after`; 0 is the top of the file."""

    after: int
    text: str
    answer_line: int = 1


Edit = LinesEdit | StringEdit | InsertEdit


@dataclass(frozen=True, slots=True)
class FileEdit:
    """Everything that one section of an answer asks of one file.

    `names` are the names as sent, the likeliest first; none when the answer names no file. `content` is the text of
    `create` and `whole`, with `\\n` as line end. `to` is the new name of `rename` and `copy`, as sent. `mode` is the
    permission bits wanted. `sequential` says that a later section may touch the same file again, as git allows.
    """

    names: tuple[str, ...]
    action: Action
    edits: tuple[Edit, ...] = ()
    content: str | None = None
    to: str | None = None
    mode: int | None = None
    sequential: bool = False
    format: str = ""
    answer_line: int = 1


@dataclass(frozen=True, slots=True)
class FormatProblem:
    """A part of the answer that begins like an edit and cannot be read as one. `message` names marker and line."""

    message: str
    answer_line: int
    names: tuple[str, ...] = ()
    reason: Reason = "format"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as read. `format` is the contract's name of its first edit's format, "" when there is none."""

    format: str
    files: tuple[FileEdit, ...]
    problems: tuple[FormatProblem, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """The first line of an edit that is not in the file as sent: `line` (1-based) is where it was looked for."""

    line: int
    sent: str
    found: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one edit was refused. `edit` counts all edits of the answer from 0; `hint` is written for the model.

    `candidates` are 1-based lines of the file: every place of an ambiguous edit, the nearest ones of an absent one.
    """

    path: str
    edit: int
    reason: Reason
    hint: str
    candidates: tuple[int, ...] = ()
    difference: Difference | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """Where an edit landed: `line` is 1-based in the file as it was, `tier` the rung of the ladder that found it."""

    path: str
    edit: int
    line: int
    tier: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an answer makes of the files: `changes`, or `failures` and no change at all."""

    format: str
    changes: tuple[FileChange, ...]
    placed: tuple[Placed, ...] = ()
    failures: tuple[Failure, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.failures
