"""Rules about ids: only where a file clearly numbers its tasks, and numbers them one way."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final

from kiro_lsp.spec.checks.rule import (
    Family,
    Finding,
    Fix,
    at_task,
    family_of,
    fix,
    is_work,
    name_of,
    of_task,
    rule,
    title_column,
)
from kiro_lsp.spec.editing.edits import replace as replaced
from kiro_lsp.spec.facts import Facts
from kiro_lsp.spec.model import Task

_NUMBER: Final = re.compile(r"(?P<prefix>[A-Za-z-]*?)(?P<number>\d+(?:\.\d+)*)(?P<letter>[A-Za-z]?)\Z")
_LIKE_ID: Final = re.compile(
    r"[*_`\[(~]{0,4}(?=[^\s\d]{0,12}\d)[A-Za-z0-9]+(?:[._/-][A-Za-z0-9]+){1,5}[*_`\])~:.]{0,4}(?:\s|$)"
)
"""What a person takes for an id, though it has none of the shapes that are read as one: `T010_real`, `P1-1.T2`."""
_ENOUGH: Final = 4
"""Neighbours from which on a custom can be seen."""

Place = tuple[str, tuple[int, ...], str]


@lru_cache(maxsize=1 << 17)
def place_of(identifier: str | None) -> Place | None:
    """(letters before, numbers, letter behind) of an id, in which ids of one kind are in order; None for other shapes."""
    match = _NUMBER.match(identifier or "")
    if match is None or len(match["number"]) > 60:
        return None
    return match["prefix"].upper(), tuple(int(part) for part in match["number"].split(".")), match["letter"].lower()


@rule("missing-id", "information")
def missing_id(facts: Facts) -> Iterator[Finding]:
    """A task has no id, though all its neighbours have one."""
    for tasks in family_of(facts).neighbours:
        without = [task for task in tasks if task.id is None and task.mark_column is not None]
        if without and len(tasks) > _ENOUGH and len(without) * 5 <= len(tasks) - len(without):
            for task in without:
                if not _LIKE_ID.match(task.title):
                    yield of_task(
                        facts,
                        task,
                        "This task has no id, though the tasks beside it have one. Give it the next free one.",
                    )


@fix("missing-id")
def give_id(facts: Facts, finding: Finding) -> Iterable[Fix]:
    """The number between its neighbours', or the one behind the last, where no other task has it."""
    family = family_of(facts)
    task = family.by_key.get(finding.key or "")
    tasks = next((tasks for tasks in family.neighbours if task in tasks), [])
    if task is None or len(tasks) < _ENOUGH:
        return
    at = tasks.index(task)
    before = tasks[at - 1].id if at else None
    identifier = _next_id(before)
    if before is None or identifier is None or identifier in family.by_id:
        return
    column = title_column(facts, task)
    line = facts.lines[tasks[at - 1].line]
    start = line.find(before, title_column(facts, tasks[at - 1]))
    behind = re.match(r"[.:)]?[ \t]+", line[start + len(before) :])
    if start == title_column(facts, tasks[at - 1]) and behind is not None:
        yield Fix(f"Give it the id {identifier}", (replaced(task.line, column, column, identifier + behind[0]),))


def _next_id(identifier: str | None) -> str | None:
    match = re.fullmatch(r"(.*?)(\d{1,9})", identifier or "")
    return None if match is None else f"{match[1]}{int(match[2]) + 1:0{len(match[2])}}"


@rule("id-order", "hint")
def out_of_order(facts: Facts) -> Iterator[Finding]:
    """A task's id is out of order, in a list that otherwise counts up."""
    family = family_of(facts)
    reported = {problem.line for problem in facts.tasks.problems if problem.code == "duplicate-id"}
    for tasks in family.neighbours:
        placed = [(task, place) for task in tasks if (place := place_of(task.id)) is not None]
        if len(placed) < _ENOUGH or len({place[0] for _, place in placed}) > 1:
            continue
        if all(before[1] <= after[1] for before, after in pairwise(placed)):
            continue
        kept = _rising([place for _, place in placed])
        odd = [number for number in range(len(placed)) if number not in kept]
        if not odd or len(odd) * 4 > len(placed):
            continue
        for number in odd:
            task, place = placed[number]
            above = next((other for other, at in reversed(placed[:number]) if at > place), None)
            other = above or next((other for other, at in placed[number + 1 :] if at < place), None)
            if other is not None and task.line not in reported:
                where = "behind" if above is not None else "before"
                message = f"{task.id} stands {where} {other.id}. Where the file's order is the order of work, move or renumber it."
                yield of_task(facts, task, message, at_task(other, f"{other.id} stands here"))


def _rising(places: Sequence[Place]) -> set[int]:
    """Indices of a longest run of places that never goes down, so that what is left out is what is out of order."""
    ends: list[Place] = []
    tails: list[int] = []
    before: list[int] = []
    for number, place in enumerate(places):
        at = bisect_left(ends, place)
        while at < len(ends) and ends[at] == place:
            at += 1
        before.append(tails[at - 1] if at else -1)
        if at == len(ends):
            ends.append(place)
            tails.append(number)
        else:
            ends[at], tails[at] = place, number
    kept: set[int] = set()
    number = tails[-1] if tails else -1
    while number >= 0:
        kept.add(number)
        number = before[number]
    return kept


@rule("id-parent", "warning")
def other_parent(facts: Facts) -> Iterator[Finding]:
    """A numbered task stands inside a task whose number it does not extend."""
    family = family_of(facts)
    by_line, boxes = family.by_line, facts.blocks.boxes
    follows = strays = 0
    found = []
    for box in boxes:
        if box.parent < 0:
            continue
        task, outer = by_line.get(box.line), by_line.get(boxes[box.parent].line)
        if task is None or outer is None or task.id is None or outer.id is None or not is_work(task):
            continue
        own, above = place_of(task.id), place_of(outer.id)
        if own is None or above is None or own[0] or above[0]:
            continue
        if task.id.startswith(outer.id) or (own[1][: len(above[1])] == above[1] and len(own[1]) > len(above[1])):
            follows += 1
        elif len(own[1]) > 1:
            strays += 1
            found.append((task, outer))
    if follows <= 2 * strays:
        return
    for task, outer in found:
        owner = (task.id or "").rpartition(".")[0]
        belongs, other = f"task {owner}", "move it where it belongs"
        if owner not in family.by_id:
            belongs, other = f"a task {owner}, which is not there", "write that task above it"
        message = (
            f"{task.id} stands inside {name_of(outer)}, but its number belongs to {belongs}. "
            f"Renumber it {_free_below(family, outer)}, or {other}."
        )
        yield of_task(facts, task, message, at_task(outer, f"It stands inside {name_of(outer)}"))


def _free_below(family: Family, task: Task) -> str:
    """The number behind those that extend a task's."""
    own = place_of(task.id)
    depth = len(own[1]) if own is not None else 0
    below = (
        place[1] for known in family.by_id if known.startswith(f"{task.id}.") and (place := place_of(known)) is not None
    )
    return f"{task.id}.{max((numbers[depth] for numbers in below), default=0) + 1}"
