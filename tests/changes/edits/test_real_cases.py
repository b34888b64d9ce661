"""Edits from public projects' own tests and from recorded replies of real models, judged against their right answers.

The cases lie beside a development checkout (`../shared/edit_cases`) and are not ours to ship; a plain clone tests the
same rules on its own fixtures in the other modules of this folder.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from kiro_lsp.changes.edits import apply_answer, read_answer
from kiro_lsp.changes.edits.answer import Answer, LinesEdit
from tests.changes.edits.grading import FORMATS, NOT_PORTABLE, Case, by_us, graded, outcome_of, real_cases

REFUSED_ON_PURPOSE = {
    "gnu-patch-copy-rename~3": "the file to rename is not there; that another one looks like it afterwards may be chance",
}
"""Case → why we refuse what its source applies; counted as not right."""


@pytest.fixture(scope="module")
def cases(shared: Path) -> list[Case]:
    found = real_cases(shared)
    assert len(found) > 450
    assert set(NOT_PORTABLE) <= {case.id for case in found}, "a reason for a case that does not exist"
    return found


@pytest.fixture(scope="module")
def portable(cases: list[Case]) -> list[Case]:
    return [case for case in cases if case.id not in NOT_PORTABLE]


@pytest.mark.parametrize("detected", [False, True], ids=["named", "detected"])
def test_no_case_is_applied_wrong_and_99_of_100_are_right(portable: list[Case], detected: bool) -> None:
    tally = graded(portable, lambda case: by_us(case, "auto" if detected else FORMATS[case.format]))
    assert [name for name, found in tally.cases.items() if found in ("wrong", "partial")] == []
    assert {name for name, found in tally.cases.items() if found == "refused"} <= set(REFUSED_ON_PURPOSE)
    assert tally.right >= 0.99 * tally.graded, tally.cases


def test_a_refusal_changes_nothing_and_says_why(cases: list[Case]) -> None:
    for case in cases:
        found = outcome_of(case)
        if not found.ok:
            assert found.changes == (), case.id
            assert all(failure.hint and failure.reason for failure in found.failures), case.id


def test_named_and_detected_formats_never_disagree_on_the_result(portable: list[Case]) -> None:
    different = []
    for case in portable:
        named, detected = by_us(case, FORMATS[case.format]), by_us(case)
        if named.ok and detected.ok and named.files != detected.files:
            different.append(case.id)
    assert different == []


def test_few_cases_are_left_out_and_none_without_a_reason(cases: list[Case]) -> None:
    assert len(NOT_PORTABLE) <= 0.06 * len(cases)
    assert all(reason for reason in NOT_PORTABLE.values())


# Samples of two parsers: not one line that they count is lost

OTHER_COUNTS = {
    "unidiff-git_cr": "a lone carriage return ends a line here, and what it ends counts on its own",
    "unidiff-git_submodule": "links and submodules are refused by name",
    "unidiff-git_symlink": "links and submodules are refused by name",
    "wtp-git-bin.patch": "binary parts are refused by name",
    "wtp-diff-unified-blah.diff": "marked lines behind a counted hunk are kept with it, so that none can be lost unseen",
}
"""Sample → why our count of added and removed lines is another one."""

_MARKED = re.compile(r"^(?:\+(?!\+\+ )|-(?!-- ))", re.MULTILINE)


def test_no_added_or_removed_line_of_the_parsers_samples_is_lost(shared: Path) -> None:
    different = {}
    for sample in samples(shared):
        answer = read_answer(sample["text"], "udiff")
        wanted = counted_by_others(sample)
        if wanted is not None and (found := tally(answer)) != wanted:
            different[sample["id"]] = (wanted, found, [problem.message for problem in answer.problems])
    assert set(different) == set(OTHER_COUNTS), different


def samples(shared: Path) -> list[dict[str, Any]]:
    return rows(shared / "edit_cases" / "parse_cases.jsonl")


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(row) for row in path.read_text("utf-8").split("\n") if row]


def tally(answer: Answer) -> tuple[int, int]:
    """Lines added and removed, as the answer was read."""
    added = removed = 0
    for file in answer.files:
        for edit in file.edits:
            assert isinstance(edit, LinesEdit)
            added += sum(line.mark == "+" for line in edit.lines)
            removed += sum(line.mark == "-" for line in edit.lines)
        if file.content:
            added += len(file.content.removesuffix("\n").split("\n"))
    return added, removed


def counted_by_others(sample: dict[str, Any]) -> tuple[int, int] | None:
    """What the better of the two parsers counts, or where it gives up a plain count of marked lines. None for formats
    that are no unified diff.
    """
    expect, text = sample["expect"], sample["text"]
    if "@@ -" not in text or "\n*** " in text:
        return None
    if expect.get("parses", False):
        return expect["added"], expect["removed"]
    if "diffs" in expect:
        return sum(one["added"] for one in expect["diffs"]), sum(one["removed"] for one in expect["diffs"])
    marks = _MARKED.findall(text)
    return marks.count("+"), marks.count("-")


# Places that other projects' searches name

_BLANK = re.compile(r"\s+")


def test_a_text_is_found_at_a_place_that_its_source_names_or_not_at_all(shared: Path) -> None:
    found = set()
    for fact in rows(shared / "edit_cases" / "locate_cases.jsonl"):
        for reply in (as_tool_call(fact), as_hunk(fact)):
            outcome = apply_answer(read_answer(reply), {"file": fact["text"].encode()})
            if outcome.ok:
                (change,) = outcome.changes
                assert change.proposed is not None
                assert _BLANK.sub("", change.proposed.decode()) in expected_texts(fact), fact["id"]
                assert fact["text"].count(fact["search"]) <= 1 or fact.get("line_hint"), fact["id"]
                found.add(fact["id"])
        if fact["search"].strip() and fact["text"].count(fact["search"]) == 1:
            assert fact["id"] in found, fact["id"]
    assert len(found) >= 12


def as_tool_call(fact: dict[str, Any]) -> str:
    return json.dumps({"path": "file", "old_str": fact["search"], "new_str": MARK})


def as_hunk(fact: dict[str, Any]) -> str:
    """The same search as removed lines, with the line number that some facts have (0-based there)."""
    lines = fact["search"].removesuffix("\n").split("\n")
    hint = fact.get("line_hint")
    header = "@@ ... @@" if hint is None else f"@@ -{hint + 1},{len(lines)} +{hint + 1},1 @@"
    return "\n".join(["--- a/file", "+++ b/file", header, *(f"-{line}" for line in lines), f"+{MARK}", ""])


MARK = "(here)"


def expected_texts(fact: dict[str, Any]) -> set[str]:
    """The text with each of its named places replaced, without white space."""
    text = fact["text"]
    return {_BLANK.sub("", text[:start] + MARK + text[end:]) for start, end in fact["spans"]}
