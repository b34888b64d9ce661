"""What can run next: the open tasks of a file in waves, and why a task has to wait.

By default one task at a time, in the order of the file. Side by side run only tasks that the file says may: neighbours under one
heading and one parent that carry `[P]` or `(P)`, and tasks of one wave of the file's own graph. Tasks that name the same file never
share a wave, and a checkpoint has one to itself. What a task says it depends on comes before it, whatever the file's order;
a ring of dependencies is cut where it closes, in the order of the file, and reported.

Done tasks wait for nothing and keep nobody waiting. Optional tasks keep only those waiting that name them. A task that is blocked,
or whose mark has no known meaning, is in no wave, and neither is what depends on it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from itertools import compress
from operator import is_not
from typing import Final

from kiro_lsp.spec.carriers import Carriers
from kiro_lsp.spec.model import Task, TaskList

_CHECKPOINT: Final = re.compile(
    r"\W*(?:check-?point|final checkpoint|gate)\b|\W*(?:检查点|チェックポイント|체크포인트)",
    re.IGNORECASE,
)
_CYCLES_AT_MOST: Final = 50
_LOOKED_AT: Final = 100
"""Of two versions in which more tasks differ, the order is found anew."""


@dataclass(frozen=True, slots=True)
class Order:
    """The order of a file's open tasks, by their keys."""

    waves: tuple[tuple[str, ...], ...]
    """First to last; the tasks of one wave may run side by side."""
    cycles: tuple[tuple[str, ...], ...]
    """Rings of dependencies: each task needs the next one, the last one the first."""
    _explain: Callable[[str], str] = field(repr=False, compare=False)
    _needed: Callable[[str], Task | None] = field(repr=False, compare=False)

    def why_not_yet(self, task: Task) -> str:
        """Why a task cannot run yet, as a sentence; "" where nothing keeps it."""
        return self._explain(task.key)

    def waits_for(self, task: Task) -> Task | None:
        """The open task that one depends on by what the file says of it; None where only its place in the file keeps it."""
        return self._needed(task.key)


def order_of(task_list: TaskList) -> Order:
    """The order of a file's tasks. Linear in tasks and dependencies."""
    for known, order in _last:
        if known.tasks is task_list.tasks:
            return order
    for known, order in _last:
        if _stays(known.task_list, task_list):
            now = copy(known)
            now.tasks, now.task_list = task_list.tasks, task_list
            return _kept(now, replace(order, _explain=now.why_not_yet))
    ordering = _Ordering(task_list)
    return _kept(ordering, ordering.made())


_last: list[tuple[_Ordering, Order]] = []
"""What was found last: several features ask about one version of a file, and most edits change words only."""
_KEPT_AT_MOST: Final = 4


def _kept(ordering: _Ordering, order: Order) -> Order:
    _last[:] = [(ordering, order), *_last[: _KEPT_AT_MOST - 1]]
    return order


def _stays(before: TaskList, task_list: TaskList) -> bool:
    """Whether the order of one version of a file is that of another: nothing differs that it depends on."""
    old, new = before.tasks, task_list.tasks
    if len(old) != len(new) or (before.waves, before.dialect) != (task_list.waves, task_list.dialect):
        return False
    changed = list(compress(range(len(new)), map(is_not, old, new)))
    return len(changed) <= _LOOKED_AT and all(_in_order(old[number]) == _in_order(new[number]) for number in changed)


def _in_order(task: Task) -> tuple[object, ...]:
    """All of a task that its place in the order depends on."""
    return (
        task.key,
        task.id,
        task.parent,
        task.status,
        task.mark,
        task.depends_on,
        task.files,
        task.heading_path,
        task.parallel,
        task.optional,
        task.criterion,
        task.withdrawn,
        is_checkpoint(task),
    )


def is_checkpoint(task: Task) -> bool:
    """Whether a task is there to look at what is done so far, so that nothing runs beside it."""
    return _CHECKPOINT.match(task.title) is not None


class _Ordering:
    """Tasks by their index in the file. A task with open sub-tasks is done with the last of them and is in no wave itself."""

    def __init__(self, task_list: TaskList) -> None:
        self.tasks: Sequence[Task] = task_list.tasks
        self.task_list = task_list
        index = self.index = {task.key: number for number, task in enumerate(self.tasks)}
        self.parents = [index.get(task.parent or "", -1) for task in self.tasks]
        self.carriers = Carriers(task.id for task in self.tasks)
        self.is_left = [not task.criterion and not task.withdrawn and task.status != "done" for task in self.tasks]
        self.is_open = [left and not self._is_stuck(task) for left, task in zip(self.is_left, self.tasks, strict=True)]
        self.inside: list[list[int]] = [[] for _ in self.tasks]
        """What is left directly inside a task."""
        self._find_groups()
        self.before = self._before(self._needs())
        """What has to come before a task: what stands in it, what it names, and what those around it name."""
        self.levels = self._levels()
        self.cycles: list[tuple[str, ...]] = []
        self.placed: dict[int, int] = {}
        """Task → the last wave in which something of it runs, -1 if nothing of it is placed yet."""
        self.kept: dict[int, int] = {}
        """Tasks that cannot run → the one that they wait for, themselves if none."""
        self.first: tuple[int, int] | None = None
        """(wave, task) of the first task that everything in later waves waits for."""

    def _is_stuck(self, task: Task) -> bool:
        """Blocked, or with a mark that has no known meaning; Kiro's own `[~]` means that the task is queued."""
        unclear = task.status == "unknown" and not (self.task_list.dialect == "kiro" and task.mark == "~")
        return unclear or task.status == "blocked"

    def _find_groups(self) -> None:
        """What is left inside of what: from every task that is left upwards, each task once."""
        entered = bytearray(len(self.tasks))
        for start, left in enumerate(self.is_left):
            number = start
            while left and not entered[number]:
                entered[number] = 1
                parent = self.parents[number]
                if parent < 0:
                    break
                self.inside[parent].append(number)
                number = parent

    # What comes before what

    def _needs(self) -> list[list[int]]:
        """For each task those that it names, or that a task around it names."""
        found: list[list[int]] = []
        for number, task in enumerate(self.tasks):
            named = [other for name in task.depends_on if (other := self.carriers.meant(name, number)) >= 0]
            found.append([other for other in named if not self._inside_each_other(number, other)])
        return found

    def _inside_each_other(self, one: int, other: int) -> bool:
        if self.parents[one] < 0 and self.parents[other] < 0:
            return one == other
        return self._around(one, other) or self._around(other, one)

    def _around(self, outer: int, inner: int) -> bool:
        while inner >= 0:
            if inner == outer:
                return True
            inner = self.parents[inner]
        return False

    def _before(self, needs: Sequence[Sequence[int]]) -> list[Sequence[int]]:
        chains: list[Sequence[int] | None] = [None] * len(self.tasks)
        for start in range(len(self.tasks)):
            trail = []
            number = start
            while number >= 0 and chains[number] is None:
                trail.append(number)
                number = self.parents[number]
            chain: Sequence[int] = (chains[number] or ()) if number >= 0 else ()
            for inner in reversed(trail):
                chain = (*needs[inner], *chain) if needs[inner] else chain
                chains[inner] = chain
        return [
            (*inside, *(chain or ())) if inside else chain or ()
            for inside, chain in zip(self.inside, chains, strict=True)
        ]

    # One sequence

    def _base(self) -> list[int]:
        """The tasks as they stand in the file, or by the waves of its own graph; groups last, since what is inside counts."""
        numbers = range(len(self.tasks))
        if not self.levels:
            return sorted(numbers, key=lambda number: bool(self.inside[number]))
        return sorted(numbers, key=lambda number: (bool(self.inside[number]), self.levels[number], number))

    def _levels(self) -> list[tuple[int, int]]:
        """(wave, whether it is in none) of each task; a task that no wave names comes after all that stand above it."""
        if not self.task_list.waves:
            return []
        wave_of_id: dict[str, int] = {}
        for at, names in enumerate(self.task_list.waves):
            for name in names:
                wave_of_id.setdefault(name, at)
        found: list[tuple[int, int]] = []
        highest = 0
        for number, task in enumerate(self.tasks):
            wave = wave_of_id.get(task.id or "")
            around = self.parents[number]
            while wave is None and around >= 0:
                wave = wave_of_id.get(self.tasks[around].id or "")
                around = self.parents[around]
            found.append((highest, 1) if wave is None else (wave, 0))
            highest = max(highest, found[-1][0])
        return found

    def _sequence(self) -> list[int]:
        """All tasks, each behind what it needs. Where needs run in a ring, the one that closes it is passed over."""
        state = bytearray(len(self.tasks))
        found: list[int] = []
        before = self.before
        for root in self._base():
            if state[root]:
                continue
            state[root] = 1
            trail = [root]
            left = [iter(before[root])]
            while trail:
                other = next(left[-1], None)
                if other is None:
                    number = trail.pop()
                    left.pop()
                    state[number] = 2
                    found.append(number)
                elif state[other] == 0:
                    state[other] = 1
                    trail.append(other)
                    left.append(iter(before[other]))
                elif state[other] == 1:
                    self._report(trail[trail.index(other) :])
        return found

    def _report(self, ring: list[int]) -> None:
        if len(self.cycles) < _CYCLES_AT_MOST:
            start = ring.index(min(ring))
            keys = tuple(self.tasks[number].key for number in (*ring[start:], *ring[:start]))
            if keys not in self.cycles:
                self.cycles.append(keys)

    # Waves

    def made(self) -> Order:
        waves: list[list[int]] = []
        names: set[str] = set()
        placed = self.placed
        for number in self._sequence():
            task, before = self.tasks[number], self.before[number]
            if self._is_kept(number, before):
                continue
            if self.inside[number]:
                placed[number] = max(placed.get(inner, -1) for inner in self.inside[number])
            elif self.is_open[number]:
                after = max([placed.get(other, -1) for other in before], default=-1)
                beside = after < len(waves) - 1 and self._goes_with(number, waves[-1])
                if not beside or not names.isdisjoint(task.files):
                    waves.append([])
                    names = set()
                waves[-1].append(number)
                names.update(task.files)
                placed[number] = len(waves) - 1
        required = ((at, number) for at, wave in enumerate(waves) for number in wave if not self.tasks[number].optional)
        self.first = next(required, None)
        ordered = tuple(tuple(self.tasks[number].key for number in sorted(wave)) for wave in waves)
        return Order(ordered, tuple(self.cycles), self.why_not_yet, self.waits_for)

    def _is_kept(self, number: int, before: Sequence[int]) -> bool:
        """Whether a task cannot run, or waits for one that cannot."""
        if self.kept:
            for other in before:
                if other in self.kept:
                    self.kept[number] = other
                    return True
        if self.is_left[number] and not self.is_open[number] and not self.inside[number]:
            self.kept[number] = number
            return True
        return False

    def _goes_with(self, number: int, wave: list[int]) -> bool:
        """Whether a task may run beside those of a wave, by what the file says of parallel tasks."""
        task, other = self.tasks[number], self.tasks[wave[-1]]
        if self.levels:
            together = self.levels[number] == self.levels[wave[-1]] and self.levels[number][1] == 0
        else:
            together = (
                task.parallel
                and other.parallel
                and task.parent == other.parent
                and task.heading_path == other.heading_path
            )
        return together and not is_checkpoint(task) and not is_checkpoint(other)

    # Reasons

    def why_not_yet(self, key: str) -> str:
        number = self.index.get(key, -1)
        if number < 0 or not self.is_left[number]:
            return ""
        reasons = map(self._reason, self._leaves(number))
        first = next(reasons, "")
        return first if first and all(reasons) else ""  # a group can begin when something in it can

    def waits_for(self, key: str) -> Task | None:
        if not self.why_not_yet(key):
            return None
        other = self._needed(next(self._leaves(self.index[key])))
        return None if other is None else self.tasks[other]

    def _leaves(self, number: int) -> Iterator[int]:
        """What is left in a task and has nothing left inside, in the order of the file; the task itself if that is it."""
        trail = [number]
        while trail:
            number = trail.pop()
            if self.inside[number]:
                trail.extend(reversed(self.inside[number]))
            elif self.is_open[number]:
                yield number

    def _reason(self, number: int) -> str:
        """The same for an open task with nothing left inside."""
        other = self._needed(number)
        if other is not None:
            return self._depends(other)
        if self.first is None or self.first[0] >= self.placed[number]:
            return ""
        return self._comes_later(self.tasks[number], number, self.first[1])

    def _needed(self, number: int) -> int | None:
        """The task that such a task depends on and that is still to come."""
        if number in self.kept:
            return self.kept[number]
        wave = self.placed[number]
        needed = (other for other in self.before[number] if 0 <= self.placed.get(other, -1) < wave)
        return next(needed, None)

    def _depends(self, other: int) -> str:
        task = self.tasks[other]
        return f"It depends on {_called(task)}, which {_state(task)}."

    def _comes_later(self, task: Task, number: int, first: int) -> str:
        other = self.tasks[first]
        if self.levels and self.levels[number] > self.levels[first]:
            return f"The task dependency graph has {_called(other)} before it, which {_state(other)}."
        shared = next((path for path in task.files if path in other.files), None)
        if shared is not None and task.parallel and other.parallel:
            return f"It names {shared}, as {_called(other)} does, which comes first and {_state(other)}."
        if task.heading_path != other.heading_path and other.section:
            return f"“{other.section}” comes before it: {_called(other)} {_state(other)}."
        return f"{_called(other, capital=True)} comes before it and {_state(other)}."


def _called(task: Task, *, capital: bool = False) -> str:
    title = task.title if len(task.title) <= 40 else f"{task.title[:39]}…"
    name = f"task {task.id} ({title})" if task.id is not None else f"“{title}”"
    return name[:1].upper() + name[1:] if capital else name


def _state(task: Task) -> str:
    return {"in-progress": "is in progress", "blocked": "is blocked"}.get(task.status, "is not done")
