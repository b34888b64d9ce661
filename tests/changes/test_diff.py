"""Ranges of lines: they rebuild the new text, they are few, and no input makes them slow."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiro_lsp.changes import diff
from kiro_lsp.changes.diff import _Comparison, hunk_ranges


def check(old: Sequence[object], new: Sequence[object]) -> list[diff.Range]:
    """The ranges of a comparison, after checking all that is promised of them."""
    ranges = hunk_ranges(old, new)
    rebuilt: list[object] = []
    at_old = at_new = 0
    for index, (a0, a1, b0, b1) in enumerate(ranges):
        assert a0 < a1 or b0 < b1, "a range is never empty on both sides"
        assert index == 0 or (a0 > at_old and b0 > at_new), "two ranges never touch"
        assert list(old[at_old:a0]) == list(new[at_new:b0]), "what lies between ranges is equal"
        rebuilt += [*old[at_old:a0], *new[b0:b1]]
        at_old, at_new = a1, b1
    rebuilt += old[at_old:]
    assert rebuilt == list(new)
    return ranges


@given(st.lists(st.integers(0, 5), max_size=25), st.lists(st.integers(0, 5), max_size=25))
@settings(max_examples=400, deadline=None)
def test_the_ranges_turn_the_old_lines_into_the_new_ones(old: list[int], new: list[int]) -> None:
    check(old, new)


CASES: dict[str, tuple[str, str, list[diff.Range]]] = {
    "equal": ("abc", "abc", []),
    "from nothing": ("", "ab", [(0, 0, 0, 2)]),
    "to nothing": ("ab", "", [(0, 2, 0, 0)]),
    "one line": ("abc", "axc", [(1, 2, 1, 2)]),
    "two places": ("abcde", "xbcdy", [(0, 1, 0, 1), (4, 5, 4, 5)]),
    "a repeated line is added once": ("a}b}c}", "a}b}x}c}", [(4, 4, 4, 6)]),
    "a moved block is a deletion and an insertion": ("12345678", "45678123", [(0, 3, 0, 0), (8, 8, 5, 8)]),
    "only repeated lines": ("}}a}}", "}}}a}}", [(2, 2, 2, 3)]),
    "nothing in common": ("abc", "xyz", [(0, 3, 0, 3)]),
}


@pytest.mark.parametrize("name", CASES)
def test_ranges_are_those_that_a_person_would_draw(name: str) -> None:
    old, new, expected = CASES[name]
    assert check(old, new) == expected


@given(st.lists(st.integers(0, 2), max_size=14), st.lists(st.integers(0, 2), max_size=14))
@settings(max_examples=200, deadline=None)
def test_between_anchors_the_edit_is_the_shortest_there_is(old: list[int], new: list[int]) -> None:
    ranges = _Comparison(old, new)._shortest(0, len(old), 0, len(new))
    changed = sum(a1 - a0 + b1 - b0 for a0, a1, b0, b1 in ranges)
    assert changed == len(old) + len(new) - 2 * _longest_common(old, new)


def _longest_common(old: Sequence[object], new: Sequence[object]) -> int:
    row = [0] * (len(new) + 1)
    for item in old:
        above = row
        row = [0]
        for index, other in enumerate(new):
            row.append(above[index] + 1 if item == other else max(above[index + 1], row[index]))
    return row[-1]


def _large(size: int) -> dict[str, tuple[list[str], list[str]]]:
    chance = random.Random(7)
    usual = [
        f"line {n} {chance.randrange(9)}" if chance.random() < 0.6 else chance.choice(["", "}", "  return"])
        for n in range(size)
    ]
    return {
        "one line": (usual, [*usual[: size // 2], "changed", *usual[size // 2 + 1 :]]),
        "a third changed": (usual, [f"new {n}" if chance.random() < 0.3 else line for n, line in enumerate(usual)]),
        "a moved block": (usual, [*usual[500:], *usual[:500]]),
        "reversed": (usual, usual[::-1]),
        "equal lines": (["x"] * size, ["x"] * (size // 2) + ["y"] + ["x"] * (size // 2)),
        "two symbols at random": (
            [chance.choice("ab") for _ in range(size)],
            [chance.choice("ab") for _ in range(size)],
        ),
        "nothing in common": (usual, [f"q{n}" for n in range(size)]),
        "unique lines, one at a time": (
            [f"{n // 2}" for n in range(size)],
            [f"{n // 2}" for n in range(1, size + 1)],
        ),
    }


@pytest.mark.parametrize("name", _large(4))
def test_the_work_grows_no_faster_than_the_number_of_lines(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in steps instead of seconds: every look at a line goes through a list that counts."""
    spent: list[int] = []

    class Counting(list[Any]):
        looks = 0

        def __getitem__(self, index: Any) -> Any:
            Counting.looks += 1 if isinstance(index, int) else len(range(*index.indices(len(self))))
            return super().__getitem__(index)

    original = diff._Comparison.__init__

    def counted(self: diff._Comparison, a: list[int], b: list[int]) -> None:
        Counting.looks = 0
        original(self, Counting(a), Counting(b))

    monkeypatch.setattr(diff._Comparison, "__init__", counted)
    for size in (20_000, 100_000):
        check(*_large(size)[name])
        spent.append(Counting.looks)
    allowance = 4 * diff._STEPS
    assert spent[1] <= 6 * spent[0] + allowance
    assert spent[1] <= 60 * 100_000 + allowance
