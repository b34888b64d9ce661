"""Where two lists of lines differ, as few and as small ranges as a person would draw.

Common ends are trimmed, lines that occur once on both sides anchor the rest (longest increasing chain, as patience diff
does), and what lies between two anchors goes to Myers' greedy algorithm, which is minimal. Its work is bounded: a gap
that would cost more is replaced as a whole, so that no input is slower than linear by more than a constant. `difflib`
is not used because it is quadratic on real files; nothing here knows text encodings or files.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Hashable, Sequence

Range = tuple[int, int, int, int]
"""Old start, old end, new start, new end: 0-based, half-open."""

_END = re.compile(r"\r\n|\r")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")

_STEPS = 400_000
"""Inner steps of Myers' algorithm that one comparison may take in all: about a fifth of a second."""
_DEPTH = 12
"""How often a gap is searched for anchors of its own before it goes to Myers' algorithm."""


def hunk_ranges(old: Sequence[Hashable], new: Sequence[Hashable]) -> list[Range]:
    """The ranges of `old` to replace by ranges of `new`, in order, never empty on both sides, never touching.

    Replacing any subset of them leaves the others valid. Equal inputs give an empty list.
    """
    numbers: dict[Hashable, int] = {}
    a = [numbers.setdefault(line, len(numbers)) for line in old]
    b = [numbers.setdefault(line, len(numbers)) for line in new]
    return _merged(_Comparison(a, b).ranges())


class _Comparison:
    """One comparison of two lists of numbers, with what is left of its allowance."""

    def __init__(self, a: list[int], b: list[int]) -> None:
        self._a, self._b = a, b
        self._steps = _STEPS

    def ranges(self) -> list[Range]:
        found: list[Range] = []
        # A stack instead of recursion: the depth is bounded, the number of gaps is not.
        gaps = [(0, len(self._a), 0, len(self._b), 0)]
        while gaps:
            *gap, depth = gaps.pop()
            a0, a1, b0, b1 = self._trimmed(*gap)
            if a0 == a1 or b0 == b1:
                if a0 != a1 or b0 != b1:
                    found.append((a0, a1, b0, b1))
                continue
            anchors = self._anchors(a0, a1, b0, b1) if depth < _DEPTH else []
            if anchors:
                for x, y in anchors:
                    gaps.append((a0, x, b0, y, depth + 1))
                    a0, b0 = x + 1, y + 1
                gaps.append((a0, a1, b0, b1, depth + 1))
            else:
                found += self._shortest(a0, a1, b0, b1)
        return sorted(found)

    def _trimmed(self, a0: int, a1: int, b0: int, b1: int) -> Range:
        a, b = self._a, self._b
        while a0 < a1 and b0 < b1 and a[a0] == b[b0]:
            a0 += 1
            b0 += 1
        while a0 < a1 and b0 < b1 and a[a1 - 1] == b[b1 - 1]:
            a1 -= 1
            b1 -= 1
        return a0, a1, b0, b1

    def _anchors(self, a0: int, a1: int, b0: int, b1: int) -> list[tuple[int, int]]:
        """The longest chain of lines that occur exactly once on both sides, in the same order."""
        in_a, in_b = _once(self._a, a0, a1), _once(self._b, b0, b1)
        pairs = [(x, in_b[line]) for line, x in in_a.items() if x >= 0 and in_b.get(line, -1) >= 0]
        pairs.sort()
        tails: list[int] = []
        ends: list[int] = []
        before = [-1] * len(pairs)
        for index, (_x, y) in enumerate(pairs):
            at = bisect_left(tails, y)
            if at == len(tails):
                tails.append(y)
                ends.append(index)
            else:
                tails[at] = y
                ends[at] = index
            before[index] = ends[at - 1] if at else -1
        chain: list[tuple[int, int]] = []
        index = ends[-1] if ends else -1
        while index >= 0:
            chain.append(pairs[index])
            index = before[index]
        chain.reverse()
        return chain

    def _shortest(self, a0: int, a1: int, b0: int, b1: int) -> list[Range]:
        """Myers' shortest edit script of one gap; the gap as one range when that would cost too much."""
        a, b = self._a, self._b
        n, m = a1 - a0, b1 - b0
        if set(a[a0:a1]).isdisjoint(b[b0:b1]):
            return [(a0, a1, b0, b1)]
        # levels[d][i] is the furthest position in `a` on diagonal k = 2i - d that d steps reach.
        levels: list[list[int]] = []
        for d in range(n + m + 1):
            before = levels[-1] if levels else []
            level: list[int] = []
            levels.append(level)
            for i in range(d + 1):
                k = 2 * i - d
                x = _step(before, i, d)
                start = x
                while x < n and x - k < m and a[a0 + x] == b[b0 + x - k]:
                    x += 1
                level.append(x)
                self._steps -= x - start + 1
                if x >= n and x - k >= m:
                    return _script(levels, n, m, a0, b0)
            if self._steps < 0:
                return [(a0, a1, b0, b1)]
        raise AssertionError("an edit script of n + m steps always exists")


def _step(before: list[int], i: int, d: int) -> int:
    """Where step `d` enters the i-th diagonal: an inserted line keeps the position in `a`, a deleted one moves it."""
    if d == 0:
        return 0
    if i == 0 or (i != d and before[i - 1] < before[i]):
        return before[i]
    return before[i - 1] + 1


def _script(levels: list[list[int]], n: int, m: int, a0: int, b0: int) -> list[Range]:
    """Walk the levels back from the end and collect the single-line steps; `_merged` joins them."""
    steps: list[Range] = []
    x, y = n, m
    for d in range(len(levels) - 1, 0, -1):
        before = levels[d - 1]
        i = (x - y + d) // 2
        inserted = i == 0 or (i != d and before[i - 1] < before[i])
        x = before[i] if inserted else before[i - 1]
        y = x - (2 * (i if inserted else i - 1) - (d - 1))
        steps.append((a0 + x, a0 + x, b0 + y, b0 + y + 1) if inserted else (a0 + x, a0 + x + 1, b0 + y, b0 + y))
    steps.reverse()
    return steps


def _once(lines: list[int], start: int, end: int) -> dict[int, int]:
    """Line → its only position in `start:end`, or -1 when it occurs more than once."""
    found: dict[int, int] = {}
    for position in range(start, end):
        line = lines[position]
        found[line] = -1 if line in found else position
    return found


def _merged(ranges: list[Range]) -> list[Range]:
    """Neighbours that touch on both sides become one."""
    merged: list[Range] = []
    for a0, a1, b0, b1 in ranges:
        if merged and merged[-1][1] == a0 and merged[-1][3] == b0:
            merged[-1] = (merged[-1][0], a1, merged[-1][2], b1)
        else:
            merged.append((a0, a1, b0, b1))
    return merged


def is_mixture(actual: str, old: str, new: str) -> bool:
    """Whether `actual` is `old` with some of the changes towards `new` made, and nothing else.

    Line ends do not count: editors have their own. The two extremes are mixtures too.
    """
    mixed, *sides = (_END.sub("\n", text) for text in (actual, old, new))
    before, after = (_LINE.findall(side) for side in sides)
    # Where a reading of `actual` can stand after each range, taken in its old or in its new form.
    places = {0}
    position = 0
    for a0, a1, b0, b1 in [*hunk_ranges(before, after), (len(before), len(before), len(after), len(after))]:
        kept = "".join(before[position:a0])
        places = {place + len(kept) for place in places if mixed.startswith(kept, place)}
        forms = ("".join(before[a0:a1]), "".join(after[b0:b1]))
        places = {place + len(form) for place in places for form in forms if mixed.startswith(form, place)}
        position = a1
    return len(mixed) in places
