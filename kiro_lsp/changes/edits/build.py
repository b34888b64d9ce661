"""Placed edits become spans of lines, spans become the new text.

Context is never rewritten. A new line takes the line end of the line it replaces, else that of its neighbour; its
indentation is touched only where the file's own differed from what the answer quoted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kiro_lsp.changes.edits.answer import Line, LinesEdit
from kiro_lsp.changes.edits.indent import Indents, indent_of
from kiro_lsp.changes.edits.keys import LOOK_ALIKE, key_of
from kiro_lsp.changes.edits.ladder import MARKER, Place
from kiro_lsp.changes.edits.snapshot import Snapshot, joined
from kiro_lsp.changes.lineends import BOM


@dataclass(frozen=True, slots=True)
class Span:
    """Replace the lines `start:end` (0-based, half-open; empty: insert before `start`) by `new`."""

    start: int
    end: int
    new: tuple[str, ...]

    def touches(self, other: Span) -> bool:
        """Whether two spans say something about the same line, or put lines in at the same point."""
        if self.start == self.end and other.start == other.end:
            return self.start == other.start
        return self.start < other.end and other.start < self.end


def spans_of(file: Snapshot, edit: LinesEdit, place: Place) -> list[Span]:
    """What a placed edit changes, in the order of the file; neighbouring changes are one span.

    New lines stand where the lines they replace stood, else behind the last old line before them, else before the next.
    """
    indents = _indents(file, edit, place)
    found: list[Span] = []
    removed: list[int] = []
    removed_old: list[int] = []
    added: list[str] = []
    previous: int | None = None

    def close(following: int | None) -> None:
        if removed or added:
            start = removed[0] if removed else previous + 1 if previous is not None else following
            if start is None:
                raise ValueError("new lines need an old one to stand beside")
            found.append(Span(start, removed[-1] + 1 if removed else start, tuple(added)))
        removed.clear()
        removed_old.clear()
        added.clear()

    index = -1
    for line in edit.lines:
        if line.mark == "+":
            beside = removed_old[min(len(added), len(removed_old) - 1)] if removed_old else index + 0.5
            added.append(indents.of(line.text, beside) if indents else line.text)
            continue
        index += 1
        at = place.at[index]
        if line.mark == "-" and at is not None:
            if removed and at != removed[-1] + 1:
                close(at)
            removed.append(at)
            removed_old.append(index)
        else:
            close(at)
        previous = at if at is not None else previous
    close(None)
    return found


def _indents(file: Snapshot, edit: LinesEdit, place: Place) -> Indents | None:
    """How new lines are re-indented; None when they stay as they were sent."""
    if place.rung < MARKER:
        return None
    old = [line for line in edit.lines if line.mark != "+"]
    pairs: list[tuple[int, str, str]] = []
    indented_removals: list[bool] = []
    for index, (line, at) in enumerate(zip(old, place.at, strict=True)):
        if at is None or not line.text.strip():
            continue
        found = file.lines[at]
        sent = line.text
        if line.unmarked is not None and key_of(line.unmarked, LOOK_ALIKE) == key_of(found, LOOK_ALIKE):
            sent = line.unmarked
        pairs.append((index, sent, found))
        if line.mark == "-" and (indent_of(sent) or indent_of(found)):
            indented_removals.append(key_of(sent, LOOK_ALIKE) == key_of(found, LOOK_ALIKE))
    # An answer that quotes what it removes just as it is means its new lines just as they are.
    if not pairs or (indented_removals and all(indented_removals)) or _is_written_for_the_file(edit, old, pairs):
        return None
    indents = Indents(pairs, file.lines, [line.text for line in edit.lines])
    return None if indents.identical else indents


def _is_written_for_the_file(edit: LinesEdit, old: Sequence[Line], pairs: Sequence[tuple[int, str, str]]) -> bool:
    """Whether the first new line has the file's indentation already, although the line it replaces was quoted without."""
    new = next((line.text for line in edit.lines if line.mark == "+" and line.text.strip()), None)
    first = next(((sent, found) for index, sent, found in pairs if old[index].mark == "-"), None)
    if new is None or first is None:
        return False
    sent, found = first
    return indent_of(sent) == "" and indent_of(new) == indent_of(found) != ""


def conflicts(spans: Sequence[tuple[int, Span]]) -> set[int]:
    """The numbers of the edits whose spans touch those of another edit. `spans` are (edit number, span)."""
    ordered = sorted(spans, key=lambda item: (item[1].start, item[1].end))
    found: set[int] = set()
    reach: list[tuple[int, Span]] = []
    for number, span in ordered:
        reach = [(other, one) for other, one in reach if one.end >= span.start]
        for other, one in reach:
            if other != number and one.touches(span):
                found |= {other, number}
        reach.append((number, span))
    return found


def rebuilt(file: Snapshot, spans: Iterable[Span], final_newline: bool | None = None) -> str:
    """The file with all spans replaced; they must not touch each other.

    `final_newline` says what the last line of the result has; None keeps what the file had.
    """
    lines: list[str] = []
    ends: list[str] = []
    position = 0
    for span in sorted(spans, key=lambda span: (span.start, span.end)):
        lines += file.lines[position : span.start]
        ends += file.ends[position : span.start]
        replaced = file.ends[span.start : span.end]
        for index, text in enumerate(span.new):
            beside = replaced[index] if index < len(replaced) else replaced[-1] if replaced else _neighbour(file, span)
            lines.append(text)
            ends.append(beside)
        position = span.end
    lines += file.lines[position:]
    ends += file.ends[position:]
    if not lines:
        return file.mark
    if file.mark:
        # An answer that shows the byte order mark as part of the first line means the mark that the file has.
        lines[0] = lines[0].removeprefix(BOM)
    for index, end in enumerate(ends):
        # What had no end, because it was the last line or there was none, gets that of the line above.
        ends[index] = end or (ends[index - 1] if index else file.end)
        if index and not lines[index] and ends[index] == "\n" and ends[index - 1] == "\r":
            # Side by side the two would be one line end.
            ends[index - 1] = "\r\n"
    had = not file.ends or bool(file.ends[-1])
    wanted = had if final_newline is None else final_newline
    ends[-1] = ends[-1] if wanted else ""
    return joined(lines, ends, file.mark)


def _neighbour(file: Snapshot, span: Span) -> str:
    before = file.ends[span.start - 1] if 0 < span.start <= len(file.ends) else ""
    after = file.ends[span.end] if span.end < len(file.ends) else ""
    return before or after
