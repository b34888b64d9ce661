"""Edits that leave lines out: an ellipsis between two parts, or a second hunk that forgot its `@@`.

The parts are found one by one. Each must be the only one of its kind in the file, they must follow one another, and
between two context lines only may something be missing. Where a forgotten jump could be in several places, all readings
must make the same changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kiro_lsp.changes.edits.answer import Line, LinesEdit
from kiro_lsp.changes.edits.keys import RUNS, key_of, significant
from kiro_lsp.changes.edits.search import starts
from kiro_lsp.changes.edits.snapshot import Snapshot

_FEWEST = 12
"""Significant characters that a part must have to be looked for on its own."""
_MOST_PARTS = 6
_MOST_LINES = 2_000
_MOST_SEARCHES = 4_000
"""Parts that may be looked for before a reading is given up."""

Places = tuple[int | None, ...]


def across_jumps(file: Snapshot, edit: LinesEdit) -> Iterator[Places]:
    """The places of all old lines (declared jumps as None), when exactly one reading remains; else nothing."""
    if len(edit.lines) > _MOST_LINES:
        return
    declared = any(line.mark == "~" for line in edit.lines)
    found = _declared(file, edit.lines) if declared else _forgotten(file, edit.lines)
    if found is not None:
        yield found


def _declared(file: Snapshot, lines: Sequence[Line]) -> Places | None:
    """Every part between jumps at its only place, in order. A line that the file has too may be no jump."""
    marked = [index for index, line in enumerate(lines) if line.mark == "~"]
    if len(marked) > _MOST_PARTS:
        return None
    known = file.positions(RUNS)
    open_ones = [index for index in marked if key_of(lines[index].text, RUNS) in known]
    readings: list[Places] = []
    for chosen in range(1 << len(open_ones)):
        literal = {index for bit, index in enumerate(open_ones) if chosen >> bit & 1}
        if len(literal) < len(marked) and (places := _split(file, lines, set(marked) - literal)) is not None:
            readings.append(places)
    changed = {_touched(lines, reading) for reading in readings}
    return readings[0] if len(changed) == 1 else None


def _split(file: Snapshot, lines: Sequence[Line], jumps: set[int]) -> Places | None:
    """The reading in which just these lines are jumps."""
    found: list[int | None] = []
    floor = 0
    part: list[Line] = []
    for index in range(len(lines) + 1):
        if index < len(lines) and index not in jumps:
            part.append(lines[index])
            continue
        old = [line for line in part if line.mark != "+"]
        lead, tail = _blank_ends(part, old, first=not found, last=index == len(lines))
        inner = old[lead : len(old) - tail]
        beside = [*([part[:1]] if found else []), *([part[-1:]] if index < len(lines) else [])]
        if any(not line or line[0].mark != " " for line in beside):
            return None
        start = _only(file, inner)
        if start is None or start < floor:
            return None
        found += [None] * lead + list(range(start, start + len(inner))) + [None] * tail
        floor = start + len(inner)
        if index < len(lines):
            found.append(None)
        part = []
    return tuple(found)


def _blank_ends(part: Sequence[Line], old: Sequence[Line], *, first: bool, last: bool) -> tuple[int, int]:
    """How many blank context lines of a part stand beside a jump: models put them around an ellipsis."""
    lead = tail = 0
    if not first:
        lead = next((n for n, line in enumerate(part) if line.mark != " " or line.text.strip()), len(part))
    if not last:
        tail = next((n for n, line in enumerate(reversed(part)) if line.mark != " " or line.text.strip()), len(part))
    return (lead, tail) if lead + tail < len(old) else (0, 0)


def _only(file: Snapshot, old: Sequence[Line]) -> int | None:
    if not old or significant([line.text for line in old]) < _FEWEST:
        return None
    found = starts(file, old, RUNS, both=True)
    return found[0] if len(found) == 1 else None


def _forgotten(file: Snapshot, lines: Sequence[Line]) -> Places | None:
    """The reading with the fewest jumps; None when two such readings change different lines."""
    cuts = [index for index in range(1, len(lines)) if lines[index - 1].mark == " " and lines[index].mark == " "]
    if not cuts or len(cuts) > 400:
        return None
    reader = _Reader(file, lines, cuts)
    for jumps in range(1, _MOST_PARTS):
        readings = reader.readings(0, 0, jumps)
        if readings:
            changed = {_touched(lines, reading) for reading in readings}
            return readings[0] if len(changed) == 1 else None
        if reader.exhausted:
            break
    return None


class _Reader:
    """Readings of the rest of an edit from a cut on, remembered: parts are looked for once."""

    def __init__(self, file: Snapshot, lines: Sequence[Line], cuts: Sequence[int]) -> None:
        self._file, self._lines, self._cuts = file, lines, cuts
        self._parts: dict[tuple[int, int], list[int]] = {}

    @property
    def exhausted(self) -> bool:
        return len(self._parts) >= _MOST_SEARCHES

    def readings(self, start: int, floor: int, jumps: int) -> list[Places]:
        """The ways to place the lines from `start` on, at or after line `floor` of the file, with that many jumps."""
        if jumps == 0:
            placed = self._place(start, len(self._lines), floor)
            return [placed] if placed is not None else []
        found: list[Places] = []
        for cut in self._cuts:
            if cut <= start:
                continue
            placed = self._place(start, cut, floor)
            if placed is None:
                if not self._find(start, cut):
                    # What occurs nowhere occurs nowhere with one more line.
                    break
                continue
            last = placed[-1]
            assert last is not None  # a part has places only
            found += [placed + rest for rest in self.readings(cut, last + 1, jumps - 1)]
        return found

    def _place(self, start: int, end: int, floor: int) -> Places | None:
        part = self._lines[start:end]
        old = [line for line in part if line.mark != "+"]
        if len(old) == len(part) and all(line.mark == " " for line in part):
            return None
        found = self._find(start, end)
        if len(found) != 1 or found[0] < floor or significant([line.text for line in old]) < _FEWEST:
            return None
        return tuple(range(found[0], found[0] + len(old)))

    def _find(self, start: int, end: int) -> list[int]:
        """Every place of a part; an empty list, too, when there were too many searches."""
        if (start, end) not in self._parts:
            if self.exhausted:
                return []
            old = [line for line in self._lines[start:end] if line.mark != "+"]
            self._parts[start, end] = starts(self._file, old, RUNS, both=True)
        return self._parts[start, end]


def _touched(lines: Sequence[Line], places: Places) -> tuple[tuple[int, str], ...]:
    """What a reading changes: the file line and the text of every change, in order."""
    found: list[tuple[int, str]] = []
    boundary = -1
    index = -1
    for line in lines:
        if line.mark == "+":
            found.append((boundary, f"+{line.text}"))
            continue
        index += 1
        at = places[index]
        boundary = at + 1 if at is not None else boundary
        if line.mark == "-":
            found.append((boundary, "-"))
    return tuple(found)
