"""Where the old lines of an edit stand in a file: rung after rung, and never a guess.

The first rung on which anything matches decides, and there all places are counted. Several places and nothing that
clearly tells them apart is an answer of its own. Never used: edit distance, anchors without what lies between them, case
folding, or any tolerance on removed lines beyond white space and look-alike characters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from kiro_lsp.changes.edits.answer import Line, LinesEdit
from kiro_lsp.changes.edits.jumps import across_jumps
from kiro_lsp.changes.edits.keys import EXACT, INDENT, LOOK_ALIKE, RUNS, TRAILING, key_of, significant
from kiro_lsp.changes.edits.search import starts
from kiro_lsp.changes.edits.snapshot import Snapshot

MARKER, RUNS_RUNG, OUTER = 3, 5, 8
TIERS = (
    "exact",
    "trailing blanks aside",
    "look-alike characters",
    "lost context marker",
    "indentation aside",
    "inner white space aside",
    "blank lines aside",
    "lines left out",
    "outermost context line aside",
)
"""What each rung tolerates, by its number; on every rung all that came before is tolerated too."""

_KEY_OF_RUNG = (EXACT, TRAILING, LOOK_ALIKE, LOOK_ALIKE, INDENT, RUNS)
_FEWEST_FOR_RUNS = 12
"""Significant characters that a text must have before its inner white space may differ."""
_FEWEST_FOR_BLANKS = (2, 20)
_FEWEST_FOR_OUTER = (3, 30)
_OUTER_REACH = 20
_HINT_REACH, _HINT_LEAD = 10, 3


@dataclass(frozen=True, slots=True)
class Place:
    """Per old line of the edit (jumps left out) the 0-based line of the file it is, None where it has none there."""

    rung: int
    at: tuple[int | None, ...]

    @property
    def first(self) -> int:
        return next(line for line in self.at if line is not None)

    @property
    def last(self) -> int:
        return next(line for line in reversed(self.at) if line is not None)


@dataclass(frozen=True, slots=True)
class Search:
    """What a search found: one place; several (`places`, and the rung they share); or none.

    `outside` is the only place of the lines when it stands before everything that the edit's anchor could mean.
    """

    places: tuple[Place, ...] = ()
    outside: Place | None = None

    @property
    def place(self) -> Place | None:
        return self.places[0] if len(self.places) == 1 else None


_At = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class _Query:
    file: Snapshot
    edit: LinesEdit
    old: Sequence[Line]


def locate(file: Snapshot, edit: LinesEdit, highest: int = OUTER) -> Search:
    """Find the old lines of `edit`; `highest` is the last rung that may be climbed."""
    old = [line for line in edit.lines if line.mark != "+"]
    if not any(line.mark != "~" for line in old):
        return Search()
    query = _Query(file, edit, old)
    for rung, find in enumerate(_RUNGS[: highest + 1]):
        places = tuple(Place(rung, at) for at in find(query))
        if places and significant([line.text for line in old]) == 0:
            # Blank lines are everywhere: a number alone does not say which are meant.
            return Search(places)
        if places:
            found = _clear(file, edit, places) if len(places) > 1 else places
            if len(found) == 1 and _precedes_anchor(file, found[0], edit.anchors):
                return Search(outside=found[0])
            return Search(found)
    return Search()


def _plain(query: _Query, rung: int) -> Iterator[_At]:
    old = query.old
    if rung == RUNS_RUNG and significant([line.text for line in old]) < _FEWEST_FOR_RUNS:
        return
    for start in starts(query.file, old, _KEY_OF_RUNG[rung], both=rung >= MARKER):
        yield tuple(range(start, start + len(old)))


def _without_blank_lines(query: _Query) -> Iterator[_At]:
    """Blank lines count on neither side, as long as every change has one possible place."""
    file, old = query.file, query.old
    kept = [index for index, line in enumerate(old) if line.text.strip()]
    lines, characters = _FEWEST_FOR_BLANKS
    if len(kept) < lines or significant([line.text for line in old]) < characters:
        return
    filled = [number for number, key in enumerate(file.keys(RUNS)) if key]
    reduced = Snapshot([file.lines[number] for number in filled], ["\n"] * len(filled))
    for start in starts(reduced, [old[index] for index in kept], RUNS, both=True):
        matched = dict(zip(kept, filled[start : start + len(kept)], strict=True))
        at = _with_blanks(file, query.edit, matched)
        if at is not None:
            yield at


def _with_blanks(file: Snapshot, edit: LinesEdit, matched: dict[int, int]) -> tuple[int | None, ...] | None:
    """The old lines with their places when the filled ones stand at `matched`; None when a change could stand at more
    than one place between blank lines, or removes blank lines that are not there.
    """
    gap = _Gap(file)
    at: dict[int, int | None] = {}
    index = -1
    for line in edit.lines:
        if line.mark == "+":
            gap.insert()
            continue
        index += 1
        if index not in matched:
            gap.blank(index, line)
            continue
        places = gap.close(matched[index], line)
        if places is None:
            return None
        at |= places
        at[index] = matched[index]
        gap = _Gap(file, matched[index], line)
    places = gap.at_the_end()
    return None if places is None else tuple((at | places)[number] for number in range(index + 1))


class _Gap:
    """What an edit has between two filled old lines: blank lines and perhaps an insertion."""

    def __init__(self, file: Snapshot, line: int | None = None, opening: Line | None = None) -> None:
        self._file, self._line, self._opening = file, line, opening
        self._before: list[int] = []
        self._after: list[int] = []
        self._inserts = self._removes = False

    def insert(self) -> None:
        self._inserts = True

    def blank(self, index: int, line: Line) -> None:
        (self._after if self._inserts else self._before).append(index)
        self._removes |= line.mark == "-"

    def close(self, here: int, closing: Line) -> dict[int, int | None] | None:
        """The places of the blank lines when the next filled old line stands at `here`; None when that is not clear."""
        blanks = [*self._before, *self._after]
        there = list(range(self._line + 1, here)) if self._line is not None else self._blank_above(here, len(blanks))
        if len(there) == len(blanks):
            return dict(zip(blanks, there, strict=True))
        if self._removes:
            return None
        if self._line is None and self._inserts:
            return None
        places: dict[int, int | None] = dict.fromkeys(blanks)
        beside_change = closing.mark == "-" or (self._opening is not None and self._opening.mark == "-")
        if not self._inserts or not there or beside_change or (self._after and not self._before):
            return places
        if self._before and not self._after:
            places[self._before[-1]] = here - 1
            return places
        return None

    def at_the_end(self) -> dict[int, int | None] | None:
        """The places of the blank lines behind the last filled one; None when what is added hangs on missing ones."""
        if self._removes or self._line is None:
            return None
        lines = self._file.lines[self._line + 1 : self._line + 1 + len(self._before)]
        if self._inserts and self._before and (len(lines) < len(self._before) or any(line.strip() for line in lines)):
            return None
        there = range(self._line + 1, self._line + 1 + len(self._before)) if self._inserts else ()
        places: dict[int, int | None] = dict.fromkeys([*self._before, *self._after])
        return places | dict(zip(self._before, there, strict=False))

    def _blank_above(self, line: int, count: int) -> list[int]:
        found = list(range(max(0, line - count), line))
        return found if len(found) == count and not any(self._file.lines[n].strip() for n in found) else []


def _across_jumps(query: _Query) -> Iterator[_At]:
    return across_jumps(query.file, query.edit)


def _without_an_outer_line(query: _Query) -> Iterator[_At]:
    """The first or the last context line may be another one, when the rest says enough and the hint agrees."""
    file, edit, old = query.file, query.edit, query.old
    lines, characters = _FEWEST_FOR_OUTER
    if edit.line_hint is None or any(line.mark == "~" for line in old):
        return
    for cut in (0, len(old) - 1):
        rest = old[1:] if cut == 0 else old[:-1]
        if not rest or old[cut].mark != " " or rest[0 if cut == 0 else -1].mark != " ":
            continue
        if _changes_beside(edit, first=cut == 0):
            continue
        if len(rest) < lines or significant([line.text for line in rest]) < characters:
            continue
        for start in starts(file, rest, RUNS, both=True):
            said = edit.line_hint - 1 + (1 if cut == 0 else 0)
            if abs(start - said) <= _OUTER_REACH:
                places = tuple(range(start, start + len(rest)))
                yield (None, *places) if cut == 0 else (*places, None)


def _changes_beside(edit: LinesEdit, *, first: bool) -> bool:
    """Whether something is added right beside the outermost line: its place would hang on that line alone."""
    lines = edit.lines if first else edit.lines[::-1]
    return lines[0].mark == "+" or (len(lines) > 1 and lines[1].mark == "+")


_RUNGS: tuple[Callable[[_Query], Iterator[_At]], ...] = (
    *(partial(_plain, rung=rung) for rung in range(RUNS_RUNG + 1)),
    _without_blank_lines,
    _across_jumps,
    _without_an_outer_line,
)


def _clear(file: Snapshot, edit: LinesEdit, places: tuple[Place, ...]) -> tuple[Place, ...]:
    """The one of several places that the edit's own hints clearly mean; else all of them."""
    if edit.at_end:
        ending = [place for place in places if place.last == _last_filled(file)]
        if len(ending) == 1:
            return (ending[0],)
    if edit.anchors:
        under = [place for place in places if _is_under(file, place.first, edit.anchors)]
        if len(under) == 1:
            return (under[0],)
        places = tuple(under) or places
    if edit.line_hint is not None:
        said = edit.line_hint - 1
        nearest, second = sorted(places, key=lambda place: abs(place.first - said))[:2]
        distance, other = abs(nearest.first - said), abs(second.first - said)
        if distance <= _HINT_REACH and other >= _HINT_LEAD * distance and other > distance:
            return (nearest,)
    return places


def _precedes_anchor(file: Snapshot, place: Place, anchors: Sequence[str]) -> bool:
    """Whether the file has an anchor, and only behind the place: then other lines are meant."""
    for anchor in anchors:
        found = [number for number, line in enumerate(file.lines) if _opens(line, anchor)]
        if found and found[0] > place.last:
            return True
    return False


def _last_filled(file: Snapshot) -> int:
    return next((n for n in range(len(file.lines) - 1, -1, -1) if file.lines[n].strip()), -1)


def _is_under(file: Snapshot, line: int, anchors: Sequence[str]) -> bool:
    """Whether a line lies in the region that the innermost anchor opens, that one in the region of the next, and so on."""
    for anchor in reversed(anchors):
        found = next((n for n in range(line, -1, -1) if _opens(file.lines[n], anchor)), None)
        if found is None or not _in_region(file, found, line):
            return False
        line = found
    return True


def _opens(line: str, anchor: str) -> bool:
    line, anchor = key_of(line, RUNS), key_of(anchor, RUNS)
    # git cuts the text behind the second @@ at 80 columns, and people leave out what follows a name.
    return bool(anchor) and (line == anchor or (len(anchor) >= 8 and line.startswith(anchor)))


def _in_region(file: Snapshot, anchor: int, line: int) -> bool:
    """Whether nothing at the anchor's own depth stands between it and the line; closing brackets do not count."""
    depth = _indent(file.lines[anchor])
    between = [text for text in file.lines[anchor + 1 : line] if text.strip()]
    if between and _indent(between[0]) <= depth:
        return not any(_opens(text, file.lines[anchor]) for text in between)
    return all(_indent(text) > depth or text.strip()[0] in ")]}" for text in between)


def _indent(line: str) -> int:
    expanded = line.expandtabs(8)
    return len(expanded) - len(expanded.lstrip())
