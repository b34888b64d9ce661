"""Lines as editors and CommonMark count them: only `\\n`, `\\r\\n` and a lone `\\r` end one.

`str.splitlines` also cuts at form feeds, U+2028 and others, which shifts every position behind them; nothing in this
project uses it on text whose lines are counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

Item = TypeVar("Item")

_END = re.compile(r"\r\n|\n|\r")
_END_BYTES = re.compile(rb"\r\n|\n|\r")
_OTHER_ENDS = "\v\f\x1c\x1d\x1e\x85\u2028\u2029"
"""What `str.splitlines` cuts at, and editors do not."""
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")


class Edit(NamedTuple):
    """Lines `start` to `old_end` of a text became lines `start` to `new_end` of the next."""

    start: int
    old_end: int
    new_end: int

    @property
    def moved(self) -> int:
        """How far the lines behind it moved."""
        return self.new_end - self.old_end

    def then(self, later: Edit) -> Edit:
        """This edit and one of its result as one."""
        return Edit(
            min(self.start, later.start),
            self.old_end + max(0, later.old_end - self.new_end),
            max(self.new_end, later.old_end) + later.moved,
        )


def split_lines(text: str) -> list[str]:
    """The lines with their ends; joined they are `text` again. No empty line after a final line end."""
    # Twenty times as fast where nothing ends a line for it that ends none for us.
    return _LINE.findall(text) if any(sign in text for sign in _OTHER_ENDS) else text.splitlines(keepends=True)


def line_at(text: str, number: int) -> str:
    """The line with this 0-based number without its end, "" behind the last one."""
    start = 0
    if number:
        before = next(islice(_END.finditer(text), number - 1, None), None)
        if before is None:
            return ""
        start = before.end()
    end = _END.search(text, start)
    return text[start : end.start() if end else len(text)]


def line_span(data: bytes, number: int) -> tuple[int, int]:
    """Where the line with this 0-based number lies in UTF-8 text, without its end; empty behind the last line."""
    start = 0
    if number:
        before = next(islice(_END_BYTES.finditer(data), number - 1, None), None)
        if before is None:
            return len(data), len(data)
        start = before.end()
    end = _END_BYTES.search(data, start)
    return start, end.start() if end else len(data)


def spliced(old: list[Item], start: int, end: int, new: Iterable[Item]) -> list[Item]:
    """A list with `new` in place of what stands from `start` to `end`, with one copy of the rest."""
    found = old.copy()
    found[start:end] = new
    return found


def difference(old: Sequence[str], new: Sequence[str]) -> Edit:
    """The one edit, as small as it can be, that makes the new lines of the old ones."""
    shorter = min(len(old), len(new))
    start = 0
    while start < shorter and old[start] == new[start]:
        start += 1
    same = 0
    while same < shorter - start and old[-1 - same] == new[-1 - same]:
        same += 1
    return Edit(start, len(old) - same, len(new) - same)
