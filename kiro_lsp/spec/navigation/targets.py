"""What stands at a place of a spec and where it leads: ids of tasks, ids of requirements, paths of files."""

from __future__ import annotations

import posixpath
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Final
from urllib.parse import unquote

from kiro_lsp.spec import details
from kiro_lsp.spec.assemble import Parsed
from kiro_lsp.spec.blocks import CODE as CODE_LINE
from kiro_lsp.spec.editing import requirement_ids
from kiro_lsp.spec.editing.edits import without_end
from kiro_lsp.spec.editing.places import Place, mentions, own_place, references
from kiro_lsp.spec.model import Task
from kiro_lsp.spec.references import CODE
from kiro_lsp.spec.requirements import Requirement, RequirementIndex

PATHS_AT_MOST: Final = 1000
"""How many paths of one document are looked for."""
_RANGES_AT_MOST: Final = 200
"""Of how many ranges (`T002-T012`) the ids between their ends are found."""
_LONGEST_LINE: Final = 5000
_LINK: Final = re.compile(r"\]\([ \t]*<?(?P<to>[^()<>\s]+)>?(?:[ \t]+\"[^\"]*\")?[ \t]*\)")
_FILE_REFERENCE: Final = re.compile(r"#\[\[file:(?P<to>[^\[\]\r\n]+)\]\]")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?!\d)")
_PIECE: Final = re.compile(r"[^,\s]+")
_REQUIREMENT: Final = re.compile(rf"(?<![\w.])(?:{CODE}|\d+(?:\.\d+)*[a-z]?)(?![^\W_]|\.\d)")
_LIST_MEMBER: Final = re.compile(r"[^,;，；、]+")


@dataclass(frozen=True, slots=True, order=True)
class Spot:
    """From `start` to `end` of a line, in characters."""

    line: int
    start: int
    end: int

    def holds(self, line: int, column: int) -> bool:
        """Whether a cursor stands in it or at one of its ends."""
        return self.line == line and self.start <= column <= self.end


# Tasks


@dataclass(frozen=True, slots=True, order=True)
class Named:
    """A place that names a task."""

    spot: Spot
    key: str
    between: bool = False
    """Whether it is a range of ids that only spans the task."""


@dataclass(frozen=True, slots=True)
class TaskPlaces:
    own: Mapping[str, Spot]
    """Task key → its id where it is defined."""
    named: tuple[Named, ...]
    """Every reference in the task file, in order."""
    first: Mapping[str, str]
    """Id → key of the first task that has it, which is the one that references mean."""


def task_places(parsed: Parsed) -> TaskPlaces:
    """Where a task file defines and names its tasks."""
    first: dict[str, str] = {}
    own: dict[str, Spot] = {}
    for task in parsed.task_list.tasks:
        place = own_place(parsed, task)
        if place is not None:
            own[task.key] = Spot(place.line, place.start, place.end)
        if task.id is not None:
            first.setdefault(task.id, task.key)
    return TaskPlaces(own, _named(references(parsed), first), first)


def mentions_of_tasks(lines: Sequence[str], places: TaskPlaces) -> tuple[Named, ...]:
    """The places of another document of the spec that clearly name tasks, in order."""
    return _named(mentions(lines, dict.fromkeys(places.first)), places.first)


def _named(places: Sequence[Place], first: Mapping[str, str]) -> tuple[Named, ...]:
    found: set[Named] = set()
    ranges = 0
    for place in places:
        if place.to is None:
            found.add(Named(Spot(place.line, place.start, place.end), first[place.id]))
            continue
        ends = {
            place.id: Spot(place.line, place.start, place.first_end),
            place.to: Spot(place.line, place.end - len(place.to), place.end),
        }
        found.update(Named(spot, first[identifier]) for identifier, spot in ends.items() if identifier in first)
        ranges += 1
        if ranges <= _RANGES_AT_MOST:
            whole = Spot(place.line, place.start, place.end)
            inner = (other for other in details.ids_between(place.id, place.to, first) if other not in ends)
            found.update(Named(whole, first[identifier], between=True) for identifier in inner)
    return tuple(sorted(found))


def named_at(named: Sequence[Named], line: int, column: int) -> Named | None:
    """The reference at a place; a range of ids has one at each of its ends."""
    begin = bisect_left(named, Spot(line, 0, 0), key=lambda one: one.spot)
    here = takewhile(lambda one: one.spot.line == line, islice(named, begin, None))
    return next((one for one in here if not one.between and one.spot.holds(line, column)), None)


def own_at(places: TaskPlaces, line: int, column: int) -> Named | None:
    """The task whose own id stands at a place."""
    return next((Named(spot, key) for key, spot in places.own.items() if spot.holds(line, column)), None)


# Requirements


def requirements_at(
    lines: Sequence[str], index: RequirementIndex, path: str, line: int, column: int, *, tasks: bool
) -> tuple[Spot, tuple[Requirement, ...]] | None:
    """The requirements that an id, a range or a name at a place means. `tasks`: the document is a task file."""
    if line >= len(lines) or len(lines[line]) > _LONGEST_LINE:
        return None
    target = requirement_ids.requirement_target(lines, index, path, line, column, tasks=tasks)
    if target is not None:
        entry = requirement_ids.entry_of(index, target.name)
        if entry is not None:
            return Spot(line, target.start, target.end), (entry,)
    text = without_end(lines[line])
    for start, end in requirement_ids.reference_spans(text, tasks=tasks):
        if not start <= column <= end:
            continue
        for pattern in (_REQUIREMENT, _LIST_MEMBER):
            for match in pattern.finditer(text, start, end):
                spot = Spot(line, *_stripped(text, *match.span()))
                found = index.resolve((match[0],))[0] if spot.holds(line, column) else ()
                if found:
                    return spot, found
    return None


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """A stretch of a line without the blanks and marks at its ends."""
    while start < end and text[start] in " \t_*`":
        start += 1
    while end > start and text[end - 1] in " \t_*`":
        end -= 1
    return start, end


def requirement_in_line(index: RequirementIndex, path: str, line: int) -> Requirement | None:
    """The requirement or criterion that a line of its document begins."""
    for entries in (index.entries, index.names):
        for entry in entries.values():
            if (entry.path, entry.line) == (path, line):
                return entry
    return None


def definition_in(lines: Sequence[str], entry: Requirement) -> Spot:
    """The id of a requirement in its document, else the line in which it begins."""
    text = without_end(lines[entry.line]) if entry.line < len(lines) else ""
    for start, end in requirement_ids.definition_spans(text, entry.line, entry, entry.path):
        return Spot(entry.line, start, end)
    return Spot(entry.line, len(text) - len(text.lstrip()), len(text.rstrip()) or len(text))


def tasks_by_requirement(tasks: Iterable[Task], index: RequirementIndex) -> dict[tuple[str, int], list[Task]]:
    """(Path, line) of a requirement → the tasks that cover it, in their order.

    A task that refers to a criterion covers its requirement too, one that refers to a requirement each of its criteria.
    """
    owners = {(entry.path, entry.ref): entry for entry in index.entries.values() if not entry.owner}
    criteria: dict[tuple[str, str], list[Requirement]] = {}
    for entry in index.entries.values():
        if entry.owner:
            criteria.setdefault((entry.path, entry.owner), []).append(entry)

    def reached(ref: str) -> Iterator[tuple[str, int]]:
        for entry in index.resolve([ref])[0]:
            owner = owners.get((entry.path, entry.owner)) if entry.owner else None
            below = () if entry.owner else criteria.get((entry.path, entry.ref), ())
            for other in (entry, *below, *(() if owner is None else (owner,))):
                yield other.path, other.line

    known: dict[str, tuple[tuple[str, int], ...]] = {}
    found: dict[tuple[str, int], list[Task]] = {}
    for task in tasks:
        covered: dict[tuple[str, int], None] = {}
        for ref in task.requirements:
            if ref not in known:
                known[ref] = tuple(reached(ref))
            covered |= dict.fromkeys(known[ref])
        for place in covered:
            found.setdefault(place, []).append(task)
    return found


# Paths


@dataclass(frozen=True, slots=True)
class PathPlace:
    """A path as a document writes it."""

    spot: Spot
    """With the line number behind it."""
    path: str
    at: int | None = None
    """The line behind the path, 0-based."""
    beside: bool = False
    """Whether it is the target of a link, which is looked for beside the document first."""

    def candidates(self, folder: str) -> tuple[str, ...]:
        """Root-relative paths that it may mean in a document of a folder, the likeliest first; none leaves the root."""
        plain = self.path.lstrip("/")
        places = [plain, posixpath.join(folder, plain)]
        if self.beside and not self.path.startswith("/"):
            places.reverse()
        inside = (posixpath.normpath(place) for place in places)
        return tuple(dict.fromkeys(place for place in inside if place.partition("/")[0] not in ("..", ".", "")))


def path_places(parsed: Parsed) -> list[PathPlace]:
    """The paths of a document outside its code blocks, at most `PATHS_AT_MOST`."""
    found: list[PathPlace] = []
    for number in range(len(parsed.lines)):
        found += paths_in_line(parsed, number)
        if len(found) >= PATHS_AT_MOST:
            break
    return found[:PATHS_AT_MOST]


def paths_in_line(parsed: Parsed, line: int) -> list[PathPlace]:
    """The paths of one line, in order; none where there is no such line."""
    if line >= len(parsed.lines) or parsed.blocks.kinds[line] == CODE_LINE:
        return []
    text = without_end(parsed.lines[line])
    if len(text) > _LONGEST_LINE or ("." not in text and "/" not in text):
        return []
    return sorted(_paths(text, line), key=lambda place: place.spot)


def _paths(text: str, line: int) -> Iterator[PathPlace]:
    for match in _FILE_REFERENCE.finditer(text):
        yield PathPlace(Spot(line, *match.span("to")), match["to"])
    rest = _FILE_REFERENCE.sub(_blanks, text)
    for match in details._BACKTICKED.finditer(rest):
        for piece in _PIECE.finditer(rest, *match.span(1)):
            yield from _path(piece[0], piece.start(), line, quoted=True)
    rest = details._BACKTICKED.sub(_blanks, rest)
    for match in _LINK.finditer(rest):
        to, _, fragment = match["to"].partition("#")
        if to and not _SCHEME.match(to) and "\0" not in unquote(to):
            number = re.match(r"L(\d{1,9})", fragment)
            yield PathPlace(Spot(line, *match.span("to")), unquote(to), _line_of(number), beside=True)
    rest = _LINK.sub(_blanks, rest)
    for match in details._BARE.finditer(rest):
        if len(match[0]) < 400 and ("." in match[0] or "/" in match[0]):
            word = details._unwrapped(match[0])
            yield from _path(word, match.start() + match[0].find(word), line, quoted=False)


def _blanks(match: re.Match[str]) -> str:
    return " " * len(match[0])


def _path(word: str, start: int, line: int, *, quoted: bool) -> Iterator[PathPlace]:
    path = details._path(word, quoted=quoted)
    at = -1 if path is None else word.find(path)
    if path is None or at < 0:
        return
    suffix = details._LINE_SUFFIX.match(word, at + len(path))
    end = at + len(path) if suffix is None else suffix.end()
    number = re.match(r"\D+(\d{1,9})", suffix[0]) if suffix is not None else None
    yield PathPlace(Spot(line, start + at, start + end), path, _line_of(number))


def _line_of(number: re.Match[str] | None) -> int | None:
    return max(0, int(number[1]) - 1) if number is not None else None
