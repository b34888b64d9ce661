"""Open documents as lists of lines, changed in place, and equal to the client's text or said not to be.

Lines end at \\n, \\r\\n and \\r only (LSP 3.18, "Text Documents"). Positions come in the units that were agreed on; inside,
offsets are characters. A change that cannot be right (an older version, a range that is none) makes the document unsynced:
nothing is written to it until the client sends its whole text again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from kiro_lsp.spec.lines import Edit, difference, spliced, split_lines

Encoding = Literal["utf-8", "utf-16", "utf-32"]
DOCUMENT_LIMIT = 64 * 1024 * 1024
"""Characters; a larger document is kept unsynced and not parsed."""

_HALVES = re.compile("[\ud800-\udfff]{2}")
_HISTORY = 1000
"""Edits that are kept while nobody asks for the tasks; after more the next parse is a whole one."""


@dataclass(slots=True)
class History:
    """What was last parsed of a document, and how its lines were edited since."""

    base: Any = None
    """Made of the lines before those edits; None if there is nothing to go on from."""
    edits: list[Edit] = field(default_factory=list)

    def add(self, edit: Edit) -> None:
        if self.base is not None:
            self.edits.append(edit)
            if len(self.edits) > _HISTORY:
                self.forget()

    def forget(self) -> None:
        self.base, self.edits = None, []

    def since(self) -> Edit | None:
        """All edits as one."""
        whole = None
        for edit in self.edits:
            whole = edit if whole is None else whole.then(edit)
        return whole

    def parsed(self, base: Any, made_of: Any, count: int, *, is_current: bool) -> None:
        """Go on from `base`, which was made of the text as it is now, or of `made_of` and the first `count` edits since."""
        if is_current:
            self.base, self.edits = base, []
        elif made_of is not None and self.base is made_of:
            self.base, self.edits = base, self.edits[count:]


@dataclass(slots=True)
class Document:
    uri: str
    language: str
    version: int
    lines: list[str]
    """With their ends; the last one may lack it. Never changed in place: whoever holds them holds that version."""
    synced: bool = True
    why: str = ""
    """What made it unsynced."""
    edited: bool = False
    """Whether it changed since it was opened."""
    saved_text: str | None = None
    """The text at the last open or save: what is on disk as far as the client said."""
    cache: dict[str, Any] = field(default_factory=dict)
    """What features derived from this very text; emptied by every change."""
    history: History = field(default_factory=History)
    kept: dict[str, Any] = field(default_factory=dict)
    """What features carry from version to version, with what it was made of."""

    @property
    def text(self) -> str:
        return "".join(self.lines)

    @property
    def dirty(self) -> bool:
        return self.text != self.saved_text

    def change(self, version: int, changes: Sequence[Mapping[str, Any]], encoding: Encoding) -> None:
        """Apply one didChange; sets `synced` instead of raising."""
        self.cache.clear()
        self.edited = True
        if not isinstance(changes, list) or not all(isinstance(change, Mapping) for change in changes):
            self._lost("its changes are not a list of changes")
            return
        whole = any("range" not in change for change in changes)
        if version <= self.version and not whole:
            self._lost(f"version {version} came after {self.version}")
        self.version = max(version, self.version)
        for change in changes:
            text = change.get("text")
            if not isinstance(text, str):
                self._lost("a change has no text")
            elif "range" not in change or change["range"] is None:
                self._replace(text)
            elif self.synced:
                self._edit(change["range"], text, encoding)

    def _replace(self, text: str) -> None:
        if len(text) > DOCUMENT_LIMIT:
            self._lost(f"it is larger than {DOCUMENT_LIMIT} characters")
            return
        lines = split_lines(whole(text))
        self.history.add(difference(self.lines, lines))
        self.lines = lines
        self.synced, self.why = True, ""

    def _edit(self, range_: Mapping[str, Any], text: str, encoding: Encoding) -> None:
        try:
            start, end = _point(range_["start"]), _point(range_["end"])
        except (KeyError, TypeError):
            self._lost("a range is not a range")
            return
        if start > end:
            self._lost(f"a range ends at {end} before it starts at {start}")
            return
        if end[0] > len(self.lines):
            self._lost(f"a range ends at line {end[0]}, the document has {len(self.lines)}")
            return
        first, last = self._line(start[0]), self._line(end[0])
        head = cut(first, start[1], encoding)[0]
        tail = cut(last, end[1], encoding)[1]
        begin, stop = start[0], end[0] + 1
        # At the seams lines can grow together: behind a line without an end, and behind "\\r" when "\\n" follows.
        if begin and not head and begin <= len(self.lines) and not self.lines[begin - 1].endswith("\n"):
            begin -= 1
            head = self.lines[begin]
        if not tail and stop < len(self.lines):
            tail = self.lines[stop]
            stop += 1
        new = split_lines(whole(head + text + tail))
        self.history.add(Edit(begin, min(stop, len(self.lines)), begin + len(new)))
        self.lines = spliced(self.lines, begin, stop, new)

    def _line(self, number: int) -> str:
        return self.lines[number] if number < len(self.lines) else ""

    def _lost(self, why: str) -> None:
        self.synced, self.why = False, why


def opened(uri: str, language: str, version: int, text: str) -> Document:
    document = Document(uri, language, version, split_lines(text := whole(text)), saved_text=text)
    if len(text) > DOCUMENT_LIMIT:
        document.synced, document.why, document.lines = False, f"it is larger than {DOCUMENT_LIMIT} characters", []
    return document


def _point(value: Mapping[str, Any]) -> tuple[int, int]:
    line, character = value["line"], value["character"]
    if not isinstance(line, int) or not isinstance(character, int) or line < 0 or character < 0:
        raise TypeError("not a position")
    return line, character


def whole(text: str) -> str:
    """Halves of a character that met are that character, as in an editor that counts in UTF-16; a lone half stays."""
    if text.isascii() or _HALVES.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def cut(line: str, units: int, encoding: Encoding) -> tuple[str, str]:
    """A line before and behind a position; past the end it is cut before the line's end mark.

    In UTF-16 a position may lie inside a character: the client then has half of it on each side, and so have we.
    """
    if encoding != "utf-16" or line.isascii():
        offset = offset_in(line, units, encoding)
        return line[:offset], line[offset:]
    content = line.rstrip("\r\n") if line.endswith(("\n", "\r")) else line
    data = content.encode("utf-16-le", "surrogatepass")
    before, behind = (half.decode("utf-16-le", "surrogatepass") for half in (data[: 2 * units], data[2 * units :]))
    return before, behind + line[len(content) :]


def offset_in(line: str, units: int, encoding: Encoding) -> int:
    """The character offset of a position in a line; past the end (before the line's end mark) it is the end.

    A position inside a character counts as before it (LSP leaves it open).
    """
    content = line.rstrip("\r\n") if line.endswith(("\n", "\r")) else line
    if encoding == "utf-32" or content.isascii():
        return min(units, len(content))
    seen = 0
    for offset, character in enumerate(content):
        width = width_of(character, encoding)
        if seen + width > units:
            return offset
        seen += width
    return len(content)


def units_in(line: str, offset: int, encoding: Encoding) -> int:
    """The position, in units, of a character offset in a line."""
    before = line[:offset]
    if encoding == "utf-32" or before.isascii():
        return len(before)
    return sum(width_of(character, encoding) for character in before)


def width_of(character: str, encoding: Encoding) -> int:
    point = ord(character)
    if encoding == "utf-16":
        return 2 if point > 0xFFFF else 1
    return 1 if point < 0x80 else 2 if point < 0x800 else 3 if point < 0x10000 else 4
