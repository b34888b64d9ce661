"""Where each key of a TOML text stands, so that a problem can be shown on its line.

The TOML parser gives values without positions. This reads a text that the parser has already accepted, so it checks
nothing: it follows keys, table headers, inline tables and the ends of values, and remembers the first place of each
key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

KeyPath = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """0-based line and column, `end_column` half-open on the same line."""

    line: int
    column: int
    end_column: int


_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_LITERAL = re.compile(r"'[^'\n]*'")
_MULTI_BASIC = re.compile(r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}', re.DOTALL)
_MULTI_LITERAL = re.compile(r"'''(?:[^']|'{1,2}(?!'))*'{3,5}", re.DOTALL)
_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SCALAR = re.compile(r"[^,\]}#\r\n]*")


def key_places(text: str) -> dict[KeyPath, Place]:
    """Path of every key and table of a valid TOML text → the place of its last segment. Never raises."""
    reader = _Reader(text)
    try:
        reader.document()
    except (IndexError, ValueError, RecursionError):
        # A text that the parser refuses ends up here at most; what was found so far is still right.
        return reader.places
    return reader.places


def unfinished_place(text: str) -> Place | None:
    """Where a text stops making sense to this reader, for parsers that only say "end of document". None: nowhere."""
    reader = _Reader(text)
    try:
        reader.document()
    except IndexError:
        return reader.place(len(text.rstrip()), len(text.rstrip()) + 1)
    except (ValueError, RecursionError):
        return reader.place(reader.at, reader.at + 1)
    return None


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.places: dict[KeyPath, Place] = {}
        self.line_starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def document(self) -> None:
        table: KeyPath = ()
        while True:
            self._skip(_BLANK)
            if self.at >= len(self.text):
                return
            if self.text[self.at] == "[":
                self.at += 2 if self.text.startswith("[[", self.at) else 1
                self._skip(_SPACE)
                table = self._key(())
                self._skip(_SPACE)
                while self.text.startswith("]", self.at):
                    self.at += 1
            else:
                self._pair(table)

    def _pair(self, table: KeyPath) -> None:
        path = self._key(table)
        self._skip(_SPACE)
        if self.text[self.at] != "=":
            raise ValueError
        self.at += 1
        self._skip(_SPACE)
        self._value(path)

    def _key(self, path: KeyPath) -> KeyPath:
        """Read a dotted key; every segment's first place is kept."""
        while True:
            start = self.at
            match = _BARE.match(self.text, start) or _BASIC.match(self.text, start) or _LITERAL.match(self.text, start)
            if match is None:
                raise ValueError
            self.at = match.end()
            path = (*path, _segment(match[0]))
            self.places.setdefault(path, self.place(start, self.at))
            self._skip(_SPACE)
            if not self.text.startswith(".", self.at):
                return path
            self.at += 1
            self._skip(_SPACE)

    def _value(self, path: KeyPath) -> None:
        sign = self.text[self.at]
        if sign in "\"'":
            several = self.text.startswith(sign * 3, self.at)
            pattern = {'"': (_BASIC, _MULTI_BASIC), "'": (_LITERAL, _MULTI_LITERAL)}[sign][several]
            match = pattern.match(self.text, self.at)
            if match is None:
                raise ValueError
            self.at = match.end()
            return
        if sign == "[":
            self.at += 1
            self._items("]", path)
        elif sign == "{":
            self.at += 1
            self._items("}", path)
        else:
            self._skip(_SCALAR)

    def _items(self, end: str, path: KeyPath) -> None:
        while True:
            self._skip(_BLANK)
            if self.text[self.at] == end:
                self.at += 1
                return
            if self.text[self.at] == ",":
                self.at += 1
            elif end == "}":
                self._pair(path)
            else:
                self._value(path)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self.text, self.at)
        if match is not None:
            self.at = match.end()

    def place(self, start: int, end: int) -> Place:
        low, high = 0, len(self.line_starts)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.line_starts[middle] <= start else (low, middle)
        column = start - self.line_starts[low]
        return Place(low, column, column + end - start)


_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|x([0-9a-fA-F]{2})|(.))")
_ESCAPED = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b"}


def _segment(written: str) -> str:
    if written[0] == "'":
        return written[1:-1]
    if written[0] != '"':
        return written
    return _ESCAPE.sub(
        lambda m: chr(int(m[1] or m[2] or m[3], 16)) if not m[4] else _ESCAPED.get(m[4], m[4]), written[1:-1]
    )
