"""New ids for tasks, with every reference to them: a level in order, all levels, ids where they are missing, one id renamed.

References follow their tasks. Where several tasks have one id a reference means what the order of work takes it for: in a task the
nearest above, else the first, in a wave all of them, which are then all named. In another document it means the first. A range
(`T002-T012`) stays a range where it still means the same tasks, else it becomes a list. The result is read again before it is
given away: if a title, a status or a reference would come out otherwise, there are no edits. A reference that means no task stays
one, unless a person gives the id that it names.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kiro_lsp.spec.assemble import Parsed
from kiro_lsp.spec.carriers import Carriers
from kiro_lsp.spec.details import ids_between
from kiro_lsp.spec.editing.edits import Refused, TextEdit, applied, replace
from kiro_lsp.spec.editing.places import Place, mentions, own_place, references, wave_places
from kiro_lsp.spec.lines import split_lines
from kiro_lsp.spec.model import Task, TaskList
from kiro_lsp.spec.tasks import parsed as parse

_NUMBERED: Final = re.compile(r"(?P<prefix>.*?)(?P<last>\d+)(?P<letter>[A-Za-z]?)\Z")
_WORDS_WITH_NUMBERS: Final = re.compile(r"[A-Za-z]*-?\d[\w.\-–]*(?:\s*(?:,|–|-|and)\s*[A-Za-z]*\d[\w.]*)*")

Ids = Mapping[str, str]
"""Task key → new id."""


@dataclass(frozen=True, slots=True)
class Level:
    """Tasks that are numbered in one row."""

    prefix: str
    """What their ids begin with: `1.`, `T`, or nothing."""
    tasks: tuple[Task, ...]
    start: int
    width: int
    """Digits that a number has at least: `T007`."""


def _width(prefix: str, row: Sequence[Task]) -> int:
    lasts = [number_of(task.id or "")[1] for task in row]
    padded = max((len(last) for last in lasts if last.startswith("0") and len(last) > 1), default=0)
    return padded or (min(len(last) for last in lasts) if prefix[:1].isalpha() else 0)


def number_of(identifier: str) -> tuple[str, str, str]:
    """What stands before the last number of an id, the number, and a letter behind it."""
    match = _NUMBERED.fullmatch(identifier)
    return (match["prefix"], match["last"], match["letter"]) if match else (identifier, "", "")


def _countable(task: Task) -> bool:
    return task.id is not None and bool(number_of(task.id)[1]) and not re.search(r"\d-\w", task.id)


_last: list[tuple[tuple[Task, ...], list[Level], dict[str, str]]] = []


def levels(task_list: TaskList) -> list[Level]:
    """The rows of a file, in the order of their first tasks. Numbers that begin again in each section make rows of their own."""
    return _rows(task_list)[0]


def all_in_order(task_list: TaskList) -> dict[str, str]:
    """New ids that number all rows of a file."""
    return _rows(task_list)[1]


def _rows(task_list: TaskList) -> tuple[list[Level], dict[str, str]]:
    """Kept for the file that was asked about last: menus ask whenever the cursor moves."""
    for known, rows, new in _last:
        if known is task_list.tasks:
            return rows, new
    rows = _levels(task_list)
    new = in_order(task_list, rows)
    _last[:] = [(task_list.tasks, rows, new)]
    return rows, new


def _levels(task_list: TaskList) -> list[Level]:
    groups: dict[tuple[str | None, str], list[Task]] = defaultdict(list)
    for task in task_list.tasks:
        if _countable(task):
            groups[task.parent, number_of(task.id or "")[0]].append(task)
    found = []
    for (parent, prefix), members in groups.items():
        rows = _by_section(members)
        for row in rows:
            lowest = min(int(number_of(task.id or "")[1]) for task in row)
            kept = parent is None and (len(rows) > 1 or prefix[:1].isalpha())
            found.append(Level(prefix, tuple(row), lowest if kept else min(lowest, 1), _width(prefix, row)))
    return found


def _by_section(members: Sequence[Task]) -> list[list[Task]]:
    sections: dict[tuple[str, ...], list[Task]] = defaultdict(list)
    for task in members:
        sections[task.heading_path].append(task)
    holders = Counter(task.id for task in members)
    repeated = [task for task in members if holders[task.id] > 1]
    apart = len({(task.id, task.heading_path) for task in repeated}) == len(repeated) > 0
    return list(sections.values()) if apart else [list(members)]


def level_of(task_list: TaskList, task: Task) -> Level | None:
    return next((level for level in levels(task_list) if any(other is task for other in level.tasks)), None)


def in_order(task_list: TaskList, rows: Sequence[Level]) -> dict[str, str]:
    """New ids that number these rows one after the other; ids that begin with an id that changed follow it."""
    new: dict[str, str] = {}
    wanted = {task.key: (level, at) for level in rows for at, task in enumerate(level.tasks)}
    by_key = {task.key: task for task in task_list.tasks}
    done: dict[str, str] = {}

    def of(task: Task) -> str:
        """Its new id, which may be the old one."""
        if task.key in done:
            return done[task.key]
        identifier = done[task.key] = task.id or ""  # stands in for itself should parents make a ring
        parent = by_key.get(task.parent or "")
        prefix, last, _ = number_of(identifier)
        if parent is not None and parent.id and identifier.startswith(f"{parent.id}."):
            moved = of(parent)
            identifier = moved + identifier[len(parent.id) :]
            prefix = number_of(identifier)[0] if last else prefix
        if task.key in wanted:
            level, at = wanted[task.key]
            identifier = f"{prefix}{level.start + at:0{level.width}d}"
        done[task.key] = identifier
        return identifier

    for task in task_list.tasks:
        if task.id is not None and of(task) != task.id:
            new[task.key] = of(task)
    return new


def extended(task_list: TaskList, task: Task, identifier: str) -> dict[str, str]:
    """The new ids when one task gets `identifier`: its own, and those of its sub-tasks that begin with it."""
    new = {task.key: identifier}
    by_key = {other.key: other for other in task_list.tasks}
    for other in task_list.tasks:
        above, seen = other, {other.key}
        while above.parent in by_key and above.parent not in seen:
            above = by_key[above.parent]
            seen.add(above.key)
            if above.key == task.key:
                if task.id and other.id and other.id.startswith(f"{task.id}."):
                    new[other.key] = identifier + other.id[len(task.id) :]
                break
    return new


@dataclass(frozen=True, slots=True)
class Change:
    """New ids as edits: of the task file, and of the documents beside it by their paths."""

    edits: tuple[TextEdit, ...]
    documents: Mapping[str, tuple[TextEdit, ...]]


def change_of(
    parsed: Parsed, path: str, new: Ids, documents: Mapping[str, str], *, keep_parents: bool = True
) -> Change | Refused:
    """The edits that give tasks new ids, and their references with them.

    `path` is the one the file was parsed under, `documents` the texts beside it.
    """
    by_key = {task.key: task for task in parsed.task_list.tasks}
    edits = []
    for key, identifier in new.items():
        place = own_place(parsed, by_key[key])
        if place is None:
            return Refused(
                f"The id of task {by_key[key].id} in line {by_key[key].line + 1} cannot be told from its title."
            )
        edits.append(replace(place.line, place.start, place.end, identifier))
    naming = _Naming(parsed, new, capture=not keep_parents)
    in_file = naming.followed(references(parsed))
    if isinstance(in_file, Refused):
        return in_file
    edits += in_file
    beside: dict[str, tuple[TextEdit, ...]] = {}
    for where, text in documents.items():
        found = naming.elsewhere(mentions(split_lines(text), naming.known))
        if isinstance(found, Refused):
            return found
        if found:
            beside[where] = tuple(found)
    change = Change(tuple(sorted(edits)), beside)
    return refused_as_read(parsed, path, change.edits, new, keep_parents=keep_parents) or change


class _Unsure(Exception):
    """A reference that would mean another task than it does; the argument is its id."""


class _Naming:
    """What references to tasks are to be, so that each means the same tasks before and after their ids change."""

    def __init__(self, parsed: Parsed, new: Ids, *, capture: bool) -> None:
        tasks = parsed.task_list.tasks
        self._ids = [new.get(task.key, task.id) for task in tasks]
        self._was, self._now = Carriers(task.id for task in tasks), Carriers(self._ids)
        self._capture = capture
        self.known = {task.id: None for task in tasks if task.id is not None}
        self._then_known = {identifier: None for identifier in self._ids if identifier is not None}
        self._inside: dict[int, int] = {}
        """Line → the innermost task that it belongs to."""
        for number, task in enumerate(tasks):
            self._inside.update(dict.fromkeys(range(task.line, max(task.end_line, task.line + 1)), number))
        fences = parsed.blocks.fences
        self._in_waves = {place for fence in fences for place in wave_places(parsed.lines, fence)}

    def followed(self, places: Sequence[Place]) -> list[TextEdit] | Refused:
        """The edits of references in the file, as the order of work reads them."""
        return self._each(places, self._inside, self._in_waves)

    def elsewhere(self, places: Sequence[Place]) -> list[TextEdit] | Refused:
        """The edits of references in another document: of several tasks with one id the first is meant."""
        return self._each(places, {}, ())

    def _each(
        self, places: Sequence[Place], inside: Mapping[int, int], in_waves: Container[Place]
    ) -> list[TextEdit] | Refused:
        edits: list[TextEdit] = []
        for place in places:
            try:
                edits += self._at(place, inside.get(place.line, 0), in_wave=place in in_waves)
            except _Unsure as error:
                return Refused(
                    f"Line {place.line + 1} names task {error}, which would be another one with the new ids: nothing is changed."
                )
        return edits

    def _at(self, place: Place, number: int, *, in_wave: bool) -> list[TextEdit]:
        if place.to is not None:
            return self._range(place, place.to, number)
        new = self._all(place.id) if in_wave else [self._named(place.id, number)]
        if new == [place.id]:
            return []
        if place.bare:
            written = ", ".join(one if re.fullmatch(r"\d+(?:\.\d*[1-9])?", one) else f'"{one}"' for one in new)
        else:
            written = '", "'.join(new)
        return [replace(place.line, place.start, place.end, written)]

    def _range(self, place: Place, to: str, number: int) -> list[TextEdit]:
        before = ids_between(place.id, to, self.known)
        members = [self._named(member, number) for member in before]
        first, last = self._named(place.id, number), self._named(to, number)
        if (first, last) == (place.id, to) and members == ids_between(place.id, to, self._then_known):
            return []
        if set(members) == set(ids_between(first, last, self._then_known)):
            return [
                replace(place.line, place.start, place.first_end, first),
                replace(place.line, place.end - len(to), place.end, last),
            ]
        return [replace(place.line, place.start, place.end, ", ".join(members))] if members else []

    def _named(self, name: str, number: int) -> str:
        """The name that means in task `number` what `name` does now."""
        meant = self._was.meant(name, number)
        new = (self._ids[meant] if meant >= 0 else name) or name
        if self._now.meant(new, number) != meant and not (meant < 0 and self._capture):
            raise _Unsure(name)
        return new

    def _all(self, name: str) -> list[str]:
        """The names that mean in a wave what `name` does now."""
        meant = self._was.all(name)
        new = list(dict.fromkeys(self._ids[number] or name for number in meant)) or [name]
        if sorted(number for one in new for number in self._now.all(one)) != [*meant] and (meant or not self._capture):
            raise _Unsure(name)
        return new


def refused_as_read(
    parsed: Parsed, path: str, edits: Sequence[TextEdit], new: Ids, *, keep_parents: bool = True
) -> Refused | None:
    """Why these edits must not be made, judged by reading their result; None when all is well."""
    try:
        text = applied(parsed.lines, edits)
    except ValueError:
        return Refused("Two of the ids that would change stand in each other.")
    before, after = parsed.task_list, parse(text, path).task_list
    if len(before.tasks) != len(after.tasks) or before.dialect != after.dialect:
        return Refused("With the new ids the file would be read otherwise: nothing is changed.")
    was, is_now = Carriers(task.id for task in before.tasks), Carriers(task.id for task in after.tasks)
    keys = {old.key: now.key for old, now in zip(before.tasks, after.tasks, strict=True)}
    for number, (old, now) in enumerate(zip(before.tasks, after.tasks, strict=True)):
        same = (old.status, old.mark, old.optional, old.parallel, old.story, old.criterion, old.withdrawn)
        unknown = {name for name in old.depends_on if was.meant(name, number) < 0}
        if (
            (now.status, now.mark, now.optional, now.parallel, now.story, now.criterion, now.withdrawn) != same
            or now.id != new.get(old.key, old.id)
            or _worded(now.title) != _worded(old.title)
            or (now.requirements, now.files) != (old.requirements, old.files)
            or _needed(now, number, is_now, unknown) != _needed(old, number, was, unknown)
            or (keep_parents and now.parent != keys.get(old.parent or "", old.parent))
        ):
            return Refused(f"With the new ids line {old.line + 1} would be read otherwise: nothing is changed.")
    unknown = {name for wave in before.waves for name in wave if not was.all(name)}
    if _members(before.waves, was, unknown) != _members(after.waves, is_now, unknown):
        return Refused("With the new ids the task dependency graph would be read otherwise: nothing is changed.")
    held, holds = Counter(task.id for task in before.tasks), Counter(task.id for task in after.tasks)
    if sum(count > 1 for key, count in holds.items() if key) > sum(count > 1 for key, count in held.items() if key):
        return Refused("With the new ids two tasks would have the same one: nothing is changed.")
    return None


def _needed(task: Task, number: int, carriers: Carriers, unknown: Collection[str]) -> set[int | str]:
    """The tasks that one depends on, and the names that meant none before any id changed."""
    named = {name if name in unknown else carriers.meant(name, number) for name in task.depends_on}
    return named - {number}


def _members(waves: Sequence[Sequence[str]], carriers: Carriers, unknown: Collection[str]) -> list[set[int | str]]:
    """The tasks of each wave, and the names that meant none before any id changed."""
    return [{one for name in wave for one in ([name] if name in unknown else carriers.all(name))} for wave in waves]


def _worded(title: str) -> str:
    return _WORDS_WITH_NUMBERS.sub("#", title)
