"""Random answers never raise, hang or do half of something; a cut-off answer does nothing that was not complete.

The seeded share of a longer run: `python -m benchmarks.edit_fuzz` does a million.
"""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from kiro_lsp.changes.edits import AnswerReader, apply_answer, read_answer
from kiro_lsp.changes.edits.answer import Outcome
from tests.changes.edits.grading import applied
from tests.support import edit_fuzz, renderings
from tests.support.edit_fuzz import Execution, Report

SHARE = 3_000
PATH = "src/a.py"
BEFORE = "".join(f"def step_{number}(x):\n    return x + {number}\n\n" for number in range(12))
AFTER = BEFORE.replace("return x + 2\n", "value = x + 2\n    return value\n").replace("x + 9", "x - 9")


def check(report: Report) -> None:
    assert report.faults == {}


@pytest.mark.parametrize("seed", [1, 2])
def test_a_seeded_share_of_random_answers_raises_nothing_and_ends(seed: int) -> None:
    report = edit_fuzz.run([f"{seed}/{number}" for number in range(SHARE)])
    check(report)
    assert report.executions == SHARE
    reached = {"applied", "not-found", "ambiguous", "already-applied", "conflict", "format", "placeholder", "path"}
    assert reached <= set(report.ends), report.ends


def test_random_answers_that_nobody_saw_before_raise_nothing_and_end() -> None:
    seed = random.SystemRandom().randrange(10**9)
    check(edit_fuzz.run([f"{seed}/{number}" for number in range(2_000)]))


def test_an_exception_is_reported_with_a_small_reproducer() -> None:
    def fails(execution: Execution) -> Outcome:
        if "@@" in execution.reply:
            raise KeyError("seeded")
        return edit_fuzz.engine(execution)

    report = edit_fuzz.run([f"3/{number}" for number in range(60)], run_one=fails)
    (fault,) = report.faults.values()
    assert fault.kind == "exception"
    assert fault.where == "KeyError in test_fuzz.py:fails"
    assert fault.execution.reply == "@@"
    assert fault.execution.files == ()
    assert edit_fuzz.execution(fault.seed).reply != "@@"


def test_an_execution_that_does_not_end_is_counted_as_a_hang() -> None:
    def hangs(execution: Execution) -> Outcome:
        while execution.format:
            pass
        raise AssertionError

    report = edit_fuzz.run(["4/1"], limit=0.02, run_one=hangs)
    assert [fault.kind for fault in report.faults.values()] == ["hang"]


def test_a_broken_promise_is_reported() -> None:
    def partial(execution: Execution) -> Outcome:
        raise edit_fuzz.Broken("changes and failures at once, or neither")

    report = edit_fuzz.run(["5/1", "5/2"], run_one=partial)
    assert list(report.faults) == ["changes and failures at once, or neither"]


# An answer that was cut off

FENCED = {
    "udiff": f"```diff\n{renderings.as_diff(PATH, BEFORE, AFTER)}```\n",
    "apply-patch": renderings.as_apply_patch(PATH, BEFORE, AFTER),
    "search-replace": renderings.as_search_replace(PATH, BEFORE, AFTER),
    "str-replace": renderings.as_string_replacements(PATH, BEFORE, AFTER),
    "whole-file": renderings.as_whole_file(PATH, BEFORE, AFTER),
}


def complete_results() -> set[bytes]:
    """What the text may be after some of the places were changed, each of them whole; at least one."""
    found = set()
    blocks = renderings.hunks(BEFORE, AFTER)
    for count in range(1, len(blocks) + 1):
        for chosen in combinations(blocks, count):
            lines = renderings.lines_of(BEFORE)
            for at, block in sorted(chosen, key=lambda one: -one[0]):
                old = sum(mark != "+" for mark, _line in block)
                lines[at : at + old] = [line for mark, line in block if mark != "-"]
            found.add("".join(f"{line}\n" for line in lines).encode())
    return found


@pytest.mark.parametrize("format", FENCED)
def test_an_answer_cut_off_anywhere_does_nothing_that_was_not_complete(format: str) -> None:
    whole = FENCED[format]
    files = {PATH: BEFORE.encode()}
    allowed = complete_results()
    ended = set()
    for cut in range(len(whole) + 1):
        for named in ("auto", format):
            if format == "str-replace" and named != "auto":
                continue
            outcome = apply_answer(read_answer(whole[:cut], named), files)
            ended.add(outcome.ok)
            if outcome.ok:
                assert applied(files, outcome.changes)[PATH] in allowed, whole[:cut]
            else:
                assert outcome.changes == ()
    assert ended == {True, False}


@pytest.mark.parametrize("format", FENCED)
def test_an_answer_in_pieces_is_read_as_the_whole_one(format: str) -> None:
    whole = f"I change two places.\n\n{FENCED[format]}\nThat is all.\n" if format != "str-replace" else FENCED[format]
    expected = read_answer(whole)
    assert expected.files
    for size in (1, 2, 3, 7, 50):
        reader = AnswerReader()
        seen = []
        for at in range(0, len(whole), size):
            seen += reader.feed(whole[at : at + size])
        assert reader.close() == expected
        assert seen == list(expected.files)[: len(seen)]
