"""Where a task stands: the headings above it, and the task above it by number or by indentation."""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from operator import lt
from typing import Final

from kiro_lsp.spec.blocks import Heading
from kiro_lsp.spec.patterns import pattern

_NUMBERED: Final = pattern(r"(?:\*\*)?(\d+)(?:[.)、：:](?!\d)|\s)")


class Sections:
    """The headings of a file, asked by line."""

    def __init__(self, headings: Sequence[Heading]) -> None:
        self._starts = [heading.line for heading in headings]
        self._paths: list[tuple[str, ...]] = []
        stack: list[tuple[int, str]] = []
        for heading in headings:
            while stack and stack[-1][0] >= heading.level:
                stack.pop()
            stack.append((heading.level, heading.text))
            self._paths.append(tuple(text for _, text in stack))

    def path(self, line: int) -> tuple[str, ...]:
        """The texts of the headings above a line, outermost first."""
        at = bisect_right(self._starts, line) - 1
        return self._paths[at] if at >= 0 else ()

    def numbered(self, items: Iterable[tuple[int, str | None]]) -> int:
        """How many tasks `N.M` stand under a heading `N. …`, as OpenSpec groups them; `items`: (line, id) in their order."""
        numbers = [_NUMBERED.match(path[-1]) for path in self._paths]
        if not any(numbers):
            return 0
        starts, at, count = [*self._starts, sys.maxsize], -1, 0
        for line, identifier in items:
            while starts[at + 1] <= line:
                at += 1
            if at >= 0 and identifier is not None and (match := numbers[at]):
                count += identifier.startswith(f"{match[1]}.")
        return count


def parents_of(ids: Sequence[str | None], around: Sequence[int]) -> list[int]:
    """For each task the index of its parent, -1 without one: `2` for `2.1` wherever that stands, else the item around it.

    Of several tasks with the parent's id the nearest one above is meant, else the first one below.
    """
    first: dict[str, int] | None = None
    latest: dict[str, int] = {}
    parents: list[int] = []
    for number, identifier in enumerate(ids):
        if identifier is None:
            parents.append(around[number])
            continue
        prefix = identifier.rpartition(".")[0]
        parent = latest.get(prefix, -1) if prefix else -1
        while prefix and parent < 0:
            first = _first_of(ids) if first is None else first
            parent = first.get(prefix, -1)  # it may stand below
            if parent < 0:
                prefix = prefix.rpartition(".")[0]
                parent = latest.get(prefix, -1)
        latest[identifier] = number
        parents.append(around[number] if parent < 0 or parent == number else parent)
    return _without_cycles(parents, around)


def _first_of(ids: Sequence[str | None]) -> dict[str, int]:
    """Where each id stands first."""
    return {identifier: number for number, identifier in reversed([*enumerate(ids)]) if identifier is not None}


def _without_cycles(parents: list[int], around: Sequence[int]) -> list[int]:
    """The same without rings: a task inside its own sub-task (`1.` below `1.1`) is not that one's child."""
    if all(map(lt, parents, range(len(parents)))):
        return parents  # everyone's parent is above: nothing can go round
    done = bytearray(len(parents))
    for start in range(len(parents)):
        trail: list[int] = []
        number = start
        while number >= 0 and not done[number]:
            done[number] = 1
            trail.append(number)
            number = parents[number]
        if number in trail:
            ring = trail[trail.index(number) :]
            loose = next((member for member in ring if parents[member] == around[member]), ring[0])
            parents[loose] = -1
    return parents


def depths_of(parents: Sequence[int]) -> list[int]:
    """How many tasks are above each one."""
    depths = [-1] * len(parents)
    if all(map(lt, parents, range(len(parents)))):
        for number, parent in enumerate(parents):
            depths[number] = depths[parent] + 1 if parent >= 0 else 0
        return depths
    for start in range(len(parents)):
        trail = []
        number = start
        while number >= 0 and depths[number] < 0:
            trail.append(number)
            number = parents[number]
        depth = depths[number] if number >= 0 else -1
        for passed in reversed(trail):
            depth += 1
            depths[passed] = depth
    return depths
