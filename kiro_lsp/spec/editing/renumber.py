"""New ids for tasks, with every reference to them: a level in order, all levels, ids where they are missing, one id renamed.

References follow their tasks. Where several tasks have one id a reference means the first of them, as everywhere else. A range
(`T002-T012`) stays a range where it still means the same tasks, else it becomes a list. The result is read again before it is
given away: if a title, a status or a reference would come out otherwise, there are no edits.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kiro_lsp.spec.assemble import Parsed
from kiro_lsp.spec.details import ids_between
from kiro_lsp.spec.editing.edits import Refused, TextEdit, applied, replace
from kiro_lsp.spec.editing.places import Place, mentions, own_place, references
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
    missed: tuple[str, ...] = ()


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
    refs = meanings(parsed.task_list, new)
    known = {task.id: None for task in parsed.task_list.tasks if task.id is not None}
    then_known = {new.get(task.key, task.id): None for task in parsed.task_list.tasks if task.id is not None}
    edits += _followed(references(parsed), refs, known, then_known)
    change = Change(
        tuple(sorted(edits)),
        {
            where: tuple(found)
            for where, text in documents.items()
            if (found := _followed(mentions(split_lines(text), known), refs, known, then_known))
        },
    )
    return refused_as_read(parsed, path, change.edits, new, refs, keep_parents=keep_parents) or change


def meanings(task_list: TaskList, new: Ids) -> dict[str, str]:
    """Old id → new id as a reference means it: of several tasks with one id the first."""
    refs: dict[str, str] = {}
    for task in task_list.tasks:
        if task.id is not None:
            refs.setdefault(task.id, new.get(task.key, task.id))
    return refs


def _followed(
    places: Sequence[Place], refs: Mapping[str, str], known: Mapping[str, None], then_known: Mapping[str, None]
) -> list[TextEdit]:
    edits = []
    for place in places:
        if place.to is None:
            new = refs.get(place.id, place.id)
            if new != place.id:
                quoted = f'"{new}"' if place.bare and not re.fullmatch(r"\d+(?:\.\d*[1-9])?", new) else new
                edits.append(replace(place.line, place.start, place.end, quoted))
            continue
        members = [refs.get(member, member) for member in ids_between(place.id, place.to, known)]
        first, last = refs.get(place.id, place.id), refs.get(place.to, place.to)
        if (first, last) == (place.id, place.to) and members == ids_between(place.id, place.to, then_known):
            continue
        if set(members) == set(ids_between(first, last, then_known)):
            edits.append(replace(place.line, place.start, place.first_end, first))
            edits.append(replace(place.line, place.end - len(place.to), place.end, last))
        elif members:
            edits.append(replace(place.line, place.start, place.end, ", ".join(members)))
    return edits


def refused_as_read(
    parsed: Parsed,
    path: str,
    edits: Sequence[TextEdit],
    new: Ids,
    refs: Mapping[str, str],
    *,
    keep_parents: bool = True,
) -> Refused | None:
    """Why these edits must not be made, judged by reading their result; None when all is well."""
    try:
        text = applied(parsed.lines, edits)
    except ValueError:
        return Refused("Two of the ids that would change stand in each other.")
    before, after = parsed.task_list, parse(text, path).task_list
    if len(before.tasks) != len(after.tasks) or before.dialect != after.dialect:
        return Refused("With the new ids the file would be read otherwise: nothing is changed.")
    keys = {old.key: now.key for old, now in zip(before.tasks, after.tasks, strict=True)}
    for old, now in zip(before.tasks, after.tasks, strict=True):
        same = (old.status, old.mark, old.optional, old.parallel, old.story, old.criterion, old.withdrawn)
        expected = tuple(dict.fromkeys(refs.get(needed, needed) for needed in old.depends_on))
        if (
            (now.status, now.mark, now.optional, now.parallel, now.story, now.criterion, now.withdrawn) != same
            or now.id != new.get(old.key, old.id)
            or _worded(now.title) != _worded(old.title)
            or (now.requirements, now.files) != (old.requirements, old.files)
            or set(now.depends_on) - {now.id} != set(expected) - {now.id}
            or (keep_parents and now.parent != keys.get(old.parent or "", old.parent))
        ):
            return Refused(f"With the new ids line {old.line + 1} would be read otherwise: nothing is changed.")
    if tuple(tuple(refs.get(member, member) for member in wave) for wave in before.waves) != after.waves:
        return Refused("With the new ids the task dependency graph would be read otherwise: nothing is changed.")
    held, holds = Counter(task.id for task in before.tasks), Counter(task.id for task in after.tasks)
    if sum(count > 1 for key, count in holds.items() if key) > sum(count > 1 for key, count in held.items() if key):
        return Refused("With the new ids two tasks would have the same one: nothing is changed.")
    return None


def _worded(title: str) -> str:
    return _WORDS_WITH_NUMBERS.sub("#", title)
