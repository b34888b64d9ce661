"""An answer while it arrives: edits become visible as soon as they are complete."""

from __future__ import annotations

import re

from kiro_lsp.changes.edits.answer import Answer, FileEdit
from kiro_lsp.changes.edits.formats import AUTO, Driver, read_answer

_BOUNDARY = re.compile(r"(?:>{3,}|\+{3,} REPLACE|\*\*\*|```|~~~|diff |\}|\])")
"""How lines begin that can end an edit; only behind such a line is an unfinished part looked at again."""
_LEAST_GROWTH = 1.25


class AnswerReader:
    """`feed` pieces of text as they come, `close` at the end.

    What `feed` returns is a preview, each edit once; the answer that counts is the one of `close`, which is that of
    `read_answer` for the whole text.
    """

    def __init__(self, format: str = AUTO, *, file: str | None = None) -> None:
        self._format, self._file = format, file
        self._pieces: list[str] = []
        self._rest = ""
        self._driver = Driver(format, file)
        self._looked_at = 0
        self.lines_read = 0
        """Lines that were looked at, again and again ones included."""

    def feed(self, piece: str) -> list[FileEdit]:
        """The edits that this piece completed."""
        self._pieces.append(piece)
        *lines, self._rest = (self._rest + piece).split("\n")
        boundary = False
        for line in lines:
            # The first hunk of the next file shows that the one before is over.
            begins = line.startswith("@@") and bool(self._driver.lines) and self._driver.lines[-1].startswith("+++ ")
            self._driver.lines.append(line.removesuffix("\r"))
            boundary = boundary or begins or bool(_BOUNDARY.match(line.lstrip()))
        total = len(self._driver.lines)
        if not boundary and total < self._looked_at * _LEAST_GROWTH:
            return []
        known, start = len(self._driver.files), self._driver.position
        self._driver.advance(closed=False)
        self.lines_read += total - start
        self._looked_at = total
        return self._driver.files[known:]

    def close(self) -> Answer:
        """The whole answer, read with the knowledge that nothing follows."""
        return read_answer("".join(self._pieces), self._format, file=self._file)
