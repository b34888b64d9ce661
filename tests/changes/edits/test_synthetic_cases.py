"""Malformed diffs of 24 kinds with a known right answer, by a generator that stands beside a development checkout.

Three seeds: the one with figures of other tools, one that is new at every run of the suite, and one under mutation,
where every place has a second one like it.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from tests.changes.edits.grading import Case, Tally, by_us, graded, outcome_of, synthetic_cases, verdict

RECORDED = 20251
MUTATED = 77
_HEADER = re.compile(r"^@@.*$", re.MULTILINE)


@pytest.fixture(scope="module")
def made(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    return synthetic_cases(shared, RECORDED, tmp_path_factory.mktemp("cases"))


def check(tally: Tally, of: int, seed: int) -> None:
    bad = {name: found for name, found in tally.cases.items() if found in ("wrong", "partial")}
    assert bad == {}, f"seed {seed}"
    assert tally.graded == of
    assert tally.right >= of * 595 // 600, (seed, tally.cases)


@pytest.mark.parametrize("format", ["auto", "udiff"])
def test_the_recorded_seed_is_right_and_never_wrong(made: list[Case], format: str) -> None:
    check(graded(made, by_us, format=format), 600, RECORDED)


def test_a_seed_that_nobody_used_before_is_right_and_never_wrong(shared: Path, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6, 10**9)
    check(graded(synthetic_cases(shared, seed, tmp_path), by_us), 600, seed)


def test_a_reply_cut_off_anywhere_is_never_half_of_a_line(made: list[Case]) -> None:
    """Cut inside a fence a reply is refused, whatever already stands there."""
    dice = random.Random(RECORDED)
    fenced = [case for case in made if case.kind == "fenced" and "\n@@" in case.response]
    assert len(fenced) > 20
    for case in fenced:
        opened = case.response.index("@@")
        closed = max(case.response.rfind("\n```"), case.response.rfind("\n~~~"))
        for _ in range(10):
            cut = dice.randrange(opened, closed)
            found = outcome_of(Case(case.id, case.format, case.kind, case.before, case.response[:cut], "reject", None))
            assert not found.ok, (case.id, cut)
            assert found.changes == ()


def doubled(case: Case, dice: random.Random) -> Case | None:
    """The case with the lines around its first change once more somewhere else, and no number that tells them apart."""
    (path,) = [path for path in case.before if case.after is not None and case.before[path] != case.after.get(path)]
    assert case.after is not None
    old = case.before[path].decode().split("\n")
    new = case.after[path].decode().split("\n")
    first = next(number for number, (a, b) in enumerate(zip(old, new, strict=False)) if a != b)
    start, end = max(0, first - 12), min(len(old) - 1, first + 16)
    at = dice.choice([*range(start), *range(end, len(old))] or [0])
    lines = [*old[:at], *old[start:end], *old[at:]]
    reply = _HEADER.sub("@@ ... @@", case.response)
    return Case(case.id, case.format, case.kind, case.before | {path: "\n".join(lines).encode()}, reply, "reject", None)


def test_a_second_place_like_the_first_is_never_chosen(shared: Path, tmp_path: Path) -> None:
    dice = random.Random(MUTATED)
    chosen = []
    cases = [
        case
        for case in synthetic_cases(shared, MUTATED, tmp_path)
        if case.kind
        in ("clean", "wrong_line_numbers", "no_hunk_numbers", "indent_shift", "tabs_vs_spaces", "wrong_counts")
        and case.response.count("\n@@") == 1
    ]
    assert len(cases) > 40
    for case in cases:
        mutated = doubled(case, dice)
        if mutated is not None and verdict(mutated, by_us(mutated)) != "good":
            chosen.append(case.id)
    assert chosen == []
