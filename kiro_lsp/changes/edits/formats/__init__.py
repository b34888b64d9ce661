"""Reading answers: every module of this package that defines NAME, ORDER, `begins` and `read` is a format.

The driver walks the lines once. Blocks whose markers are their own (apply_patch, SEARCH/REPLACE) are read wherever they
begin, also over fences, because their content may hold fences; everything else is read inside its fence. A fence that
begins no format and has a file name is a whole file.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Protocol, cast

from kiro_lsp.changes.edits.answer import Answer, FileEdit, FormatProblem
from kiro_lsp.changes.edits.blocks import answer_lines
from kiro_lsp.changes.edits.filenames import closes, fence_opening, language_and_name, name_above, names_a_file
from kiro_lsp.changes.edits.formats.reading import Reading, Region

AUTO = "auto"
_WHOLE = 90
"""From this order on a format is for fences in which no other one begins."""
_PATIENCE = 2_000_000
"""Lines that a format may look at in vain, again and again ones counted each time."""
_AHEAD = 4
_TERMINAL = (
    "bash",
    "sh",
    "shell",
    "console",
    "zsh",
    "fish",
    "powershell",
    "ps1",
    "cmd",
    "bat",
    "output",
    "log",
    "stdout",
)
"""Languages of blocks that show what to type or what was printed: without a name they are no file."""
_DIFFS = ("diff", "patch", "udiff", "git-diff", "")
_HEREDOC = re.compile(r"(?:^|[;&|\s])(?:apply_patch|git apply|patch|cat)\b[^<\n]*<<-?\s*['\"]?(\w+)['\"]?")


class Format(Protocol):
    """A module of this package. `begins` looks at one line; `read` returns None when the answer may still go on."""

    NAME: str
    ORDER: int

    def begins(self, region: Region, at: int) -> bool: ...

    def read(self, region: Region, at: int) -> Reading | None: ...


@cache
def _all_formats() -> tuple[Format, ...]:
    modules = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    found = [cast("Format", module) for module in modules if hasattr(module, "ORDER")]
    return tuple(sorted(found, key=lambda format: format.ORDER))


def _names(format: Format) -> tuple[str, ...]:
    return getattr(format, "NAMES", (format.NAME,))


@cache
def format_names() -> tuple[str, ...]:
    """What `read_answer` takes as a format: `auto` first, then every format by the order in which it is looked for."""
    return (AUTO, *(name for format in _all_formats() for name in _names(format)))


def read_answer(text: str, format: str = AUTO, *, file: str | None = None) -> Answer:
    """The edits of an answer, in the order in which they stand in it.

    `format` is one of `format_names`; `file` is the root-relative file that is meant where the answer names none.
    Raises ValueError for an unknown format; whatever the text holds is an answer, if one of problems only.
    """
    if format not in format_names():
        raise ValueError(f"unknown format {format!r}: one of {', '.join(format_names())}")
    driver = Driver(format, file)
    driver.lines = _unwrapped(answer_lines(text.removeprefix("\ufeff")), text)
    driver.advance(closed=True)
    return driver.answer()


def _unwrapped(lines: list[str], text: str) -> list[str]:
    """The lines of the answer; where all of it is JSON that carries one, of that."""
    if not text.lstrip().startswith(("{", "[")):
        return lines
    from kiro_lsp.changes.edits.formats.calls import answer_inside

    inside = answer_inside(text)
    return lines if inside is None else answer_lines(inside)


@dataclass(slots=True)
class Driver:
    """The walk over an answer's lines; `advance` may be called again when lines were added at the end."""

    format: str
    default: str | None
    lines: list[str] = field(default_factory=list)
    files: list[FileEdit] = field(default_factory=list)
    problems: list[FormatProblem] = field(default_factory=list)
    _at: int = 0
    _fence: Region | None = None
    _marks: str = ""
    _last_named: tuple[str, ...] = ()
    _heredocs: list[str] = field(default_factory=list)
    _outside_end: int = 0
    _stretch: Region | None = None
    awaits: re.Pattern[str] | None = None
    """How a line begins that can complete what `advance` stopped before; None: any may."""
    _unnamed: int = 0
    """Fenced blocks that hold no edits and have no name."""
    _fruitless: Counter[str] = field(default_factory=Counter)

    @property
    def position(self) -> int:
        """The 0-based line up to which everything is read."""
        return self._at

    def advance(self, *, closed: bool) -> None:
        """Read on; unless `closed`, stop before what may still go on."""
        formats = [format for format in _all_formats() if self.format in (AUTO, *_names(format))]
        # What a line begins can hang on the few that follow it.
        ahead = 0 if closed else _AHEAD
        while self._at < len(self.lines) - ahead:
            self.awaits = None
            if not self._step(formats, closed=closed):
                return

    def _step(self, formats: Sequence[Format], *, closed: bool) -> bool:
        """One line or one edit further; False when more lines are needed."""
        line = self.lines[self._at]
        self._look_for_the_end(closed=closed)
        if self._fence is not None and self._at >= self._fence.end:
            # A block may have gone on behind the fence it began in.
            self._at += self._at == self._fence.end
            self._fence = None
            return True
        region = self._fence or self._outside(closed=closed)
        for format in formats:
            if format.ORDER >= _WHOLE or self._fruitless[format.NAME] > _PATIENCE:  # said once, below
                continue
            if not format.begins(region, self._at):
                continue
            bounded = self._region_for(format, region, closed=closed)
            reading = format.read(bounded, self._at)
            if reading is None:
                self.awaits = getattr(format, "ENDS", None)
                return False
            if not reading[0] and not reading[1]:
                self._count_fruitless(format, bounded.end - self._at)
            self._keep(reading)
            return True
        if self._fence is None and fence_opening(line) is not None:
            return self._open(formats, closed=closed)
        if "<<" in line and (heredoc := _HEREDOC.search(line)):
            self._heredocs.append(heredoc.group(1))
        self._at += 1
        return True

    def _count_fruitless(self, format: Format, lines: int) -> None:
        """A format that began and found nothing has looked at these lines for it; there is an end to that."""
        self._fruitless[format.NAME] += lines
        if self._fruitless[format.NAME] > _PATIENCE:
            message = f"The answer has too many parts that begin like {format.NAME} and are none; the rest was not read as such."
            self.problems.append(FormatProblem(message, self._at + 1))

    def _region_for(self, format: Format, region: Region, *, closed: bool) -> Region:
        if getattr(format, "IGNORES_FENCES", False):
            return replace(region, end=len(self.lines), closed=closed)
        return region

    def _outside(self, *, closed: bool) -> Region:
        """The stretch up to the next fence that holds this line."""
        known = self._stretch
        if known is not None and known.closed and self._at < known.end:
            return known
        end = max(self._outside_end, self._at + 1)
        while end < len(self.lines) and not self._ends_outside(self.lines[end]):
            end += 1
        self._outside_end = end
        ended = closed or end < len(self.lines)
        self._stretch = Region(self.lines, self._at, end, ended, None, False, self.default, "", self.format)
        return self._stretch

    def _ends_outside(self, line: str) -> bool:
        return fence_opening(line) is not None or (bool(self._heredocs) and line.strip() in self._heredocs)

    def _keep(self, reading: Reading) -> None:
        files, problems, following = reading
        self.files += map(self._named, files)
        self.problems += problems
        self._at = max(following, self._at + 1)

    def _named(self, edit: FileEdit) -> FileEdit:
        """The edit with the file it is about; a block without a name is about that of the block before it."""
        inherited = self._last_named if edit.format == "search-replace" else ()
        default = (self.default,) if self.default is not None else ()
        names = edit.names or inherited or default
        if edit.action == "edit":
            # A line above a block is easily taken for a name; lines to find decide by themselves where they can be.
            names = tuple(dict.fromkeys((*names, *default)))
        named = replace(edit, names=names)
        if edit.format == "search-replace":
            self._last_named = named.names
        return named

    # Fences

    def _open(self, formats: Sequence[Format], *, closed: bool) -> bool:
        """A fence opens here: its body is edits, a whole file, or nothing of ours."""
        marks, info = fence_opening(self.lines[self._at]) or ("```", "")
        language, name = language_and_name(info)
        said = name or name_above(self.lines, self._at)
        name = name or name_above(self.lines, self._at, alone=True)
        end = self._fence_end(marks)
        if end is None and not closed:
            self.awaits = re.compile(rf"[ ]*{re.escape(marks)}")
            return self._may_begin(formats, said, language)
        self._dedent(len(self.lines) if end is None else end)
        stop = len(self.lines) if end is None else end
        body = Region(
            self.lines, self._at + 1, stop, True, name, True, self.default, language, self.format, end is None
        )
        if self._holds_edits(formats, body):
            self._fence = replace(body, name=said)
            self._at += 1
            return True
        whole = next((format for format in formats if format.ORDER >= _WHOLE), None)
        if whole is None:
            self._at = stop + 1
            return True
        if name is not None and not names_a_file(name):
            name = None  # prose above a block, such as "Run:", must not become a new file
        default = self._sole_default(name) if language not in _TERMINAL else None
        region = Region(self.lines, self._at, len(self.lines), closed, name, True, default, language, self.format)
        reading = whole.read(region, self._at)
        if reading is None:
            return False
        self._keep(reading)
        return True

    def _fence_end(self, marks: str) -> int | None:
        """The line that closes the fence which opens here."""
        line = self.lines[self._at]
        indent = len(line) - len(line.lstrip(" "))
        following = range(self._at + 1, len(self.lines))
        return next((number for number in following if closes(self.lines[number], marks, indent)), None)

    def _dedent(self, end: int) -> None:
        """Take the indentation of a fence in a list from its lines, as CommonMark does."""
        line = self.lines[self._at]
        indent = len(line) - len(line.lstrip(" "))
        for number in range(self._at, min(end + 1, len(self.lines))) if indent else ():
            bare = self.lines[number].lstrip(" ")
            self.lines[number] = self.lines[number][min(indent, len(self.lines[number]) - len(bare)) :]

    def _may_begin(self, formats: Sequence[Format], name: str | None, language: str) -> bool:
        """An open fence: its body is walked as it arrives when it begins like edits; else it is waited for."""
        body = Region(self.lines, self._at + 1, len(self.lines), False, name, True, self.default, language, self.format)
        if body.first >= body.end or not self._holds_edits(formats, body):
            return False
        self._fence = body
        self._marks = (fence_opening(self.lines[self._at]) or ("```", ""))[0]
        self._at += 1
        return True

    def _look_for_the_end(self, *, closed: bool) -> None:
        """Bound a fence that was entered before its end had arrived."""
        fence = self._fence
        if fence is None or fence.closed:
            return
        end = next((n for n in range(fence.end, len(self.lines)) if closes(self.lines[n], self._marks)), None)
        stop = len(self.lines) if end is None else end
        self._fence = replace(fence, end=stop, closed=closed or end is not None, cut=closed and end is None)

    def _holds_edits(self, formats: Sequence[Format], body: Region) -> bool:
        """Whether a body is edits: it begins as one, or it has no name that could make it a file."""
        begin = [format for format in formats if format.ORDER < _WHOLE]
        filled = [n for n in range(body.first, body.end) if self.lines[n].strip()][:2]
        # A SEARCH/REPLACE block may have its file's name above it inside the fence; everything else begins the body.
        for format in begin:
            lines = filled if getattr(format, "IGNORES_FENCES", False) else filled[:1]
            if any(format.begins(replace(body, first=filled[0]), at) for at in lines):
                return True
        if body.language not in _DIFFS and (body.name is not None or body.default is not None):
            return False
        if body.name is not None and body.language == "":
            return False
        return any(format.begins(body, at) for format in begin for at in range(body.first, body.end))

    def _sole_default(self, name: str | None) -> str | None:
        """The caller's file, for the first unnamed block of an answer."""
        if name is not None:
            return None
        self._unnamed += 1
        return None if self._unnamed > 1 or self.files else self.default

    def answer(self) -> Answer:
        nameless = [edit for edit in self.files if edit.format == "whole-file" and edit.names == (self.default,)]
        if self._unnamed > 1 and nameless:
            self.files = [edit for edit in self.files if edit not in nameless]
            message = f"Several blocks have no file name: which of them is {self.default}? Put the name above the one that is."
            self.problems.append(FormatProblem(message, 1, (self.default,) if self.default else ()))
        if not self.files and not self.problems:
            self.problems.append(FormatProblem(self._nothing(), 1))
        return Answer(self.files[0].format if self.files else "", tuple(self.files), tuple(self.problems))

    def _nothing(self) -> str:
        wanted = "no edit in any known format" if self.format == AUTO else f"no edit in the format {self.format}"
        return (
            f"The answer holds {wanted}. Known are unified diffs, SEARCH/REPLACE blocks, apply_patch, JSON of edit calls, "
            "and whole files in fenced blocks with a file name."
        )
