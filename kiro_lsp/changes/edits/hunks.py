"""The bodies of hunks, in a unified diff and in an apply_patch, read for what they say and not for what they count.

The numbers of a header are hints. A line without a marker is context whose marker was lost, an empty line is empty
context, and a line that only says `...` is a jump over lines that were left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice, takewhile

from unidiff.errors import UnidiffParseError
from unidiff.patch import PatchSet

from kiro_lsp.changes.edits.answer import Line, LinesEdit, Mark

_NUMBERS = re.compile(r"-(\d{1,9})(?:,(\d{1,9}))?\s+\+(\d{1,9})(?:,(\d{1,9}))?")
_HEADER = re.compile(r"@@(?!@)")
_ELISION_WORDS = (
    "existing|rest|remaining|other|previous|same|unchanged|omitted|code|lines?|content|implementation|as before|snip"
)
_OPENERS, _CLOSERS = r"//|#|--|;|%|<!--|/\*|\*|\{/\*", r"-->|\*/\}?"
_ELISION = re.compile(
    rf"\s*(?:(?:{_OPENERS})\s*)?(?:\.\.\.|\u2026)(?:[^\n]*\b(?:{_ELISION_WORDS})\b[^\n]*)?\s*(?:{_CLOSERS})?\s*",
    re.IGNORECASE,
)
_NO_NEWLINE = re.compile(r"\\ (?:No newline|[^ ]+ .*(?:newline|file))", re.IGNORECASE)
_ITEM = re.compile(r"[-+] \S|-{2,}\s*$")
_SECTIONS = ("diff --git ", "*** ", "Index: ", "diff -")


def _is_elision(text: str) -> bool:
    """Whether a line only says that lines were left out. Nobody says that in a long line."""
    return len(text) <= 200 and _ELISION.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Header:
    """A `@@` line. Without numbers `start`, `old` and `new` are None; `anchor` is the text behind it, "" for none."""

    start: int | None = None
    old: int | None = None
    new: int | None = None
    anchor: str = ""


def is_header(line: str) -> bool:
    return bool(_HEADER.match(line))


def read_header(line: str) -> Header:
    """A line for which `is_header` holds."""
    rest = line[2:].strip()
    numbers = _NUMBERS.match(rest)
    if numbers is not None:
        rest = rest[numbers.end() :].strip()
    rest = rest.removeprefix("@@").removesuffix("@@").strip()
    anchor = "" if _is_elision(rest) else rest
    if numbers is None:
        return Header(anchor=anchor)
    start, old, _to, new = numbers.groups()
    return Header(int(start), int(old or 1), int(new or 1), anchor)


@dataclass(frozen=True, slots=True)
class Body:
    """The lines of a hunk and the index of the line after it."""

    lines: tuple[Line, ...]
    end: int
    old_newline: bool | None = None
    new_newline: bool | None = None

    @property
    def changes(self) -> bool:
        return any(line.mark in "+-" for line in self.lines)


def read_body(lines: Sequence[str], start: int, end: int, header: Header, *, fenced: bool) -> Body:
    """The hunk body from `start` on. What stands behind a hunk whose counts are met belongs to it as long as it has
    markers; without markers it is text again.
    """
    strict = _strictly(lines, start, end, header, fenced=fenced)
    return strict if strict is not None else _Reader(lines, end, header, fenced=fenced).read(start)


def _strictly(lines: Sequence[str], start: int, end: int, header: Header, *, fenced: bool) -> Body | None:
    """The body as `unidiff` reads it; None when it refuses, or when lines with markers are left behind it."""
    if header.old is None or header.new is None:
        return None
    stop = start
    old = new = 0
    while stop < end and (old < header.old or new < header.new):
        mark = lines[stop][:1]
        if mark not in ("+", "-", " ", "\\"):
            return None
        old += mark in ("-", " ")
        new += mark in ("+", " ")
        stop += 1
    if old != header.old or new != header.new or stop == start:
        return None
    while stop < end and lines[stop].startswith("\\ "):
        stop += 1
    if _goes_on_at(lines, stop, end, fenced=fenced) is not None:
        return None
    text = "".join(f"{line}\n" for line in lines[start:stop])
    head = f"--- a\n+++ b\n@@ -{header.start},{header.old} +1,{header.new} @@\n"
    try:
        found = PatchSet(head + text)[0][0]
    except (UnidiffParseError, IndexError, ValueError):
        return None
    body = [line for line in found if line.line_type != "\\"]
    tally = sum(line[:1] in ("+", "-") for line in lines[start:stop])
    if found.added + found.removed != tally or any("\n" in line.value[:-1] for line in body):
        return None
    ends = [index for index, line in enumerate(lines[start:stop]) if line.startswith("\\")]
    old_newline, new_newline = _newlines([line[:1] for line in lines[start:stop]], ends)
    read = tuple(line_of(line.line_type, line.value.removesuffix("\n")) for line in body)
    return Body(read, stop, old_newline, new_newline)


def _newlines(marks: Sequence[str], ends: Sequence[int]) -> tuple[bool | None, bool | None]:
    """What "no newline" lines at `ends` say of the old and the new side; a side with lines and no such line has one."""
    said = {"old": False, "new": False}
    for at in ends:
        mark = marks[at - 1] if at else ""
        said["old"] |= mark in ("-", " ")
        said["new"] |= mark in ("+", " ")
    if not ends:
        return None, None
    has_new = any(mark in ("+", " ") for mark in marks)
    has_old = any(mark in ("-", " ") for mark in marks)
    # Without a new line the last one of the file becomes a line that had an end, and keeps it.
    return (not said["old"] if has_old else None), (not said["new"] if has_new else said["old"] or None)


def line_of(mark: str, text: str) -> Line:
    """A marked line; context that only says `...` is a jump, unless the file has such a line."""
    if mark == "+":
        return Line("+", text)
    if mark == "-":
        return Line("-", text)
    read: Mark = "~" if _is_elision(text) else " "
    return Line(read, text, f" {text}")


def _goes_on_at(lines: Sequence[str], at: int, end: int, *, fenced: bool) -> int | None:
    """The line which shows that a hunk that could be over before line `at` goes on; None when it is over.

    It is over when up to the next header no line has a marker, or when prose begins, which is a paragraph without one. In a
    fence there is no prose.
    """
    blank = text = False
    for number in range(at, end):
        line = lines[number]
        if line.startswith(_SECTIONS) or _is_file_header(lines, number, end):
            return None
        if is_header(line):
            # Between two hunks of one file there is no text.
            return number if text else None
        if line[:1] in ("+", "-", "\\") or (line[:1] == " " and line.strip()):
            if not _is_rule(lines, number, end):
                return number
            continue
        if line.strip() and blank and not fenced:
            paragraph = takewhile(lambda n: lines[n].strip() and not _is_file_header(lines, n, end), range(number, end))
            over = not any(lines[n][:1] in ("+", "-", " ") for n in paragraph)
            over = over and _only_lists_follow(lines, number, end)
            return None if over else number
        blank, text = blank or not line, text or bool(line.strip())
    return None


def _only_lists_follow(lines: Sequence[str], at: int, end: int) -> bool:
    """Whether the marked lines up to the next file, if any, read as items of lists, and no further hunk follows."""
    for number in range(at, end):
        line = lines[number]
        if line.startswith(_SECTIONS) or _is_file_header(lines, number, end):
            return True
        if is_header(line) or (line[:1] in ("+", "-") and not _ITEM.match(line)):
            return False
    return True


def _is_rule(lines: Sequence[str], at: int, end: int) -> bool:
    """Whether a line of dashes stands alone: a thematic break, or the signature of a mail with nothing but a version."""
    if lines[at].strip("-").strip() or len(lines[at].rstrip()) < 2:
        return False
    if at + 1 >= end or not lines[at + 1].strip():
        return True
    filled = list(islice((lines[n] for n in range(at + 1, end) if lines[n].strip()), 2))
    return lines[at].rstrip() == "--" and len(filled) == 1 and filled[0][:1] not in "+-@ "


def _is_file_header(lines: Sequence[str], at: int, end: int) -> bool:
    """Whether a new file begins: only an `@@` line behind it tells a file's name from a removed and an added line."""
    pair = lines[at].startswith("--- ") and at + 1 < end and lines[at + 1].startswith("+++ ")
    return pair and at + 2 < end and is_header(lines[at + 2])


class _Reader:
    """The tolerant reading, line by line."""

    def __init__(self, lines: Sequence[str], end: int, header: Header, *, fenced: bool) -> None:
        self._lines, self._end, self._header, self._fenced = lines, end, header, fenced
        self._found: list[Line] = []
        self._bare: list[bool] = []
        self._marks: list[str] = []
        self._ends: list[int] = []
        self._old = self._new = 0
        self._goes_on = -1
        """The line up to which the hunk is known to go on."""

    def read(self, at: int) -> Body:
        while at < self._end and not self._is_over(at):
            self._take(self._lines[at])
            at += 1
        self._drop_trailing_blanks()
        old_newline, new_newline = _newlines(self._marks, self._ends)
        return Body(tuple(self._found), at, old_newline, new_newline)

    @property
    def _counted(self) -> bool:
        header = self._header
        return header.old is not None and header.new is not None and self._old >= header.old and self._new >= header.new

    def _is_over(self, at: int) -> bool:
        line = self._lines[at]
        if is_header(line) or line.startswith(_SECTIONS):
            return True
        if _is_file_header(self._lines, at, self._end):
            return True
        if self._counted:
            return self._text_follows(at)
        after_blank = bool(self._bare and self._bare[-1])
        unmarked = bool(line) and line[:1] not in ("+", "-", " ", "\\")
        return self._header.old is None and not self._fenced and after_blank and unmarked and self._text_follows(at - 1)

    def _text_follows(self, at: int) -> bool:
        if at <= self._goes_on:
            return False
        goes_on = _goes_on_at(self._lines, at, self._end, fenced=self._fenced)
        self._goes_on = -1 if goes_on is None else goes_on
        return goes_on is None

    def _take(self, line: str) -> None:
        mark = line[:1]
        if mark == "\\" and _NO_NEWLINE.match(line):
            self._marks.append("\\")
            self._ends.append(len(self._marks) - 1)
            return
        if mark in ("+", "-"):
            self._add(line_of(mark, line[1:]))
        elif mark == " ":
            self._add(line_of(" ", line[1:]))
        else:
            self._add(Line("~" if _is_elision(line) else " ", line), bare=line == "")

    def _add(self, line: Line, *, bare: bool = False) -> None:
        self._found.append(line)
        self._bare.append(bare)
        self._marks.append("" if line.mark == "~" else line.mark)
        self._old += line.mark in (" ", "-")
        self._new += line.mark in (" ", "+")

    def _drop_trailing_blanks(self) -> None:
        """Empty lines at the end separate what follows, unless the header counts them."""
        while self._bare and self._bare[-1] and (self._header.old is None or self._old > self._header.old):
            self._found.pop()
            self._bare.pop()
            self._old -= 1


def edit_of(body: Body, header: Header, answer_line: int) -> LinesEdit:
    """A hunk as an edit. A header that starts at line 0 has no hint, unless it has no old lines either: then it says that
    the file is empty or new.
    """
    lines = tuple(replace(line, text=text) for line in body.lines for text in line.text.split("\r"))
    # Context beyond a jump at either end is none: there is nothing to be found behind it.
    while lines and lines[0].mark == "~":
        lines = lines[1:]
    while lines and lines[-1].mark == "~":
        lines = lines[:-1]
    old_newline, new_newline = body.old_newline, body.new_newline
    if lines and lines[-1].mark == " " and not lines[-1].text and new_newline is False:
        # An empty last line without a line end is no line at all.
        lines, old_newline, new_newline = lines[:-1], None, None
    only_new = all(line.mark == "+" for line in lines)
    hint = header.start if header.start or only_new else None
    return LinesEdit(
        lines,
        line_hint=hint,
        anchors=(header.anchor,) if header.anchor else (),
        old_newline=old_newline,
        new_newline=new_newline,
        answer_line=answer_line,
    )
