"""An answer while it arrives: edits become visible as soon as they are complete."""

from __future__ import annotations

from kiro_lsp.changes.edits.answer import Answer, FileEdit
from kiro_lsp.changes.edits.formats import AUTO, Driver, read_answer

_GROWTH = 1.25
"""An answer that has grown by so much is looked at again, whatever its lines are."""


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
        self._hopeful = True
        self.lines_read = 0
        """Lines that were looked at, again and again ones included."""

    def feed(self, piece: str) -> list[FileEdit]:
        """The edits that this piece completed."""
        self._pieces.append(piece)
        *lines, self._rest = (self._rest + piece).split("\n")
        if lines and not self._driver.lines:
            lines[0] = lines[0].removeprefix("\ufeff")
        awaited = self._driver.awaits
        self._hopeful = self._hopeful or any(awaited is None or awaited.match(line) for line in lines)
        self._driver.lines += (line.removesuffix("\r") for line in lines)
        total = len(self._driver.lines)
        if not lines or not (self._hopeful or total >= self._looked_at * _GROWTH):
            return []
        known, start = len(self._driver.files), self._driver.position
        self._driver.advance(closed=False)
        self.lines_read += total - start
        self._looked_at = total
        # What comes last cannot be read yet; it is looked at again with what follows.
        self._hopeful = self._driver.awaits is None and self._driver.position < total
        return [edit for edit in self._driver.files[known:] if not self._may_be_taken_back(edit)]

    def _may_be_taken_back(self, edit: FileEdit) -> bool:
        """A nameless block is the caller's file only if no other one comes."""
        return edit.format == "whole-file" and edit.names == (self._file,)

    def close(self) -> Answer:
        """The whole answer, read with the knowledge that nothing follows."""
        return read_answer("".join(self._pieces), self._format, file=self._file)
