"""Where the old lines of an edit stand in a file: rung after rung, and never a guess.

The first rung on which anything matches decides, and there all places are counted. Several places and nothing that
clearly tells them apart is an answer of its own. Never used: edit distance, anchors without what lies between them, case
folding, or any tolerance on removed lines beyond white space and look-alike characters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

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
    """What a search found: one place; several (`places`, and the rung they share); or none."""

    places: tuple[Place, ...] = ()

    @property
    def place(self) -> Place | None:
        return self.places[0] if len(self.places) == 1 else None


def locate(file: Snapshot, edit: LinesEdit, highest: int = OUTER) -> Search:
    """Find the old lines of `edit`; `highest` is the last rung that may be climbed."""
    old = [line for line in edit.lines if line.mark != "+"]
    if not any(line.mark != "~" for line in old):
        return Search()
    for rung, find in enumerate(_RUNGS[: highest + 1]):
        places = tuple(Place(rung, at) for at in find(file, edit, old, rung))
        if places:
            return Search(_clear(file, edit, places) if len(places) > 1 else places)
    return Search()


def _plain(file: Snapshot, edit: LinesEdit, old: Sequence[Line], rung: int) -> Iterator[tuple[int | None, ...]]:
    if rung == RUNS_RUNG and significant([line.text for line in old]) < _FEWEST_FOR_RUNS:
        return
    for start in starts(file, old, _KEY_OF_RUNG[rung], both=rung >= MARKER):
        yield tuple(range(start, start + len(old)))


def _without_blank_lines(
    file: Snapshot, edit: LinesEdit, old: Sequence[Line], rung: int
) -> Iterator[tuple[int | None, ...]]:
    """Blank lines count on neither side, as long as every change has one possible place."""
    kept = [index for index, line in enumerate(old) if line.text.strip()]
    lines, characters = _FEWEST_FOR_BLANKS
    if len(kept) < lines or significant([line.text for line in old]) < characters:
        return
    filled = [number for number, key in enumerate(file.keys(RUNS)) if key]
    reduced = Snapshot([file.lines[number] for number in filled], ["\n"] * len(filled))
    for start in starts(reduced, [old[index] for index in kept], RUNS, both=True):
        matched = dict(zip(kept, filled[start : start + len(kept)], strict=True))
        at = _with_blanks(file, edit, matched)
        if at is not None:
            yield at


def _with_blanks(file: Snapshot, edit: LinesEdit, matched: dict[int, int]) -> tuple[int | None, ...] | None:
    """The old lines with their places when the filled ones stand at `matched`; None when a change could stand at more
    than one place between blank lines, or removes blank lines that are not there.
    """
    at: list[int | None] = []
    pending: list[tuple[int, Line]] = []
    inserts = False
    before: int | None = None
    before_removed = False
    index = -1
    for line in edit.lines:
        if line.mark == "+":
            inserts = True
            continue
        index += 1
        at.append(None)
        if index not in matched:
            pending.append((index, line))
            continue
        here = matched[index]
        at[index] = here
        gap = here - before - 1 if before is not None else len(pending)
        blank = list(range(here - gap, here)) if before is not None else _blanks_before(file, here, len(pending))
        if len(blank) == len(pending):
            for (position, _line), number in zip(pending, blank, strict=True):
                at[position] = number
        elif any(one.mark == "-" for _position, one in pending):
            return None
        elif inserts and blank and not (before_removed or line.mark == "-"):
            return None
        pending, inserts, before, before_removed = [], False, here, line.mark == "-"
    if any(one.mark == "-" for _position, one in pending):
        return None
    return tuple(at)


def _blanks_before(file: Snapshot, line: int, count: int) -> list[int]:
    found = list(range(max(0, line - count), line))
    return found if len(found) == count and not any(file.lines[number].strip() for number in found) else []


def _across_jumps(file: Snapshot, edit: LinesEdit, old: Sequence[Line], rung: int) -> Iterator[tuple[int | None, ...]]:
    return across_jumps(file, edit)


def _without_an_outer_line(
    file: Snapshot, edit: LinesEdit, old: Sequence[Line], rung: int
) -> Iterator[tuple[int | None, ...]]:
    """The first or the last context line may be another one, when the rest says enough and the hint agrees."""
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


_Find = Callable[[Snapshot, LinesEdit, Sequence[Line], int], Iterator[tuple[int | None, ...]]]
_RUNGS: tuple[_Find, ...] = (*[_plain] * 6, _without_blank_lines, _across_jumps, _without_an_outer_line)


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
