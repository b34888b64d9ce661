"""Tokens, selections and coverage as functions of a text."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiro_lsp.spec.facts import facts_of
from kiro_lsp.spec.navigation.coverage import coverage_of
from kiro_lsp.spec.navigation.selection import grown
from kiro_lsp.spec.navigation.targets import tasks_by_requirement
from kiro_lsp.spec.navigation.tokens import tokens_of
from kiro_lsp.spec.navigation.tree import tree_of
from kiro_lsp.spec.tasks import parsed

REQUIREMENTS = """# Requirements

### Requirement 1: In

#### Acceptance Criteria

1. WHEN in THEN greet

### Requirement 2: Out

#### Acceptance Criteria

1. WHEN out THEN say so
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("- [x] 1. A\n", [("x", "mark"), ("1", "id")]),
        ("- [ ] T001 [P] [US1] A 😀\n", [("T001", "id"), ("[P]", "tag"), ("[US1]", "tag")]),
        (
            "- [ ] 1. A\r\n  - _Requirements: 1.1, 2_\r\n",
            [("1", "id"), ("Requirements", "key"), ("1.1", "requirement"), ("2", "requirement")],
        ),
        ("- [ ] 1. A\n- [ ] 2. B (depends on 1)\n", [("1", "id"), ("2", "id"), ("1", "dependency")]),
        ("```\n- [ ] 1. A\n```\n", []),
    ],
)
def test_tokens(text: str, expected: list[tuple[str, str]]) -> None:
    read = parsed(text, "tasks.md")
    found = [(read.lines[line][start:end], meaning) for line, start, end, meaning in tokens_of(read)]
    assert found == expected


PIECES = st.sampled_from(
    [
        "# A\n",
        "- [ ] 1. A\n",
        "  - [x] 1.1 B 😀 [P]\r\n",
        "  - _Requirements: 1.1_\n",
        "\n",
        "```\n",
        "- [ ] T001 (P) C, after task 1\n",
        "  - _Depends: 1, 1.1_\n",
        "x😀",
    ]
)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_tokens_never_overlap_and_stay_in_their_line(text: str) -> None:
    read = parsed(text, "tasks.md")
    found = tokens_of(read)
    assert all(0 <= one.start < one.end <= len(read.lines[one.line].rstrip("\r\n")) for one in found)
    pairs = itertools.pairwise(found)
    assert all((one.line, one.end) <= (other.line, other.start) for one, other in pairs)


@given(st.lists(PIECES, max_size=12).map("".join), st.integers(0, 20), st.integers(0, 40))
def test_selections_only_grow(text: str, line: int, column: int) -> None:
    read = parsed(text, "tasks.md")
    found = grown(read, tree_of(read), line, column)
    assert found
    for (start, end), (outer_start, outer_end) in itertools.pairwise(found):
        assert outer_start <= start <= end <= outer_end
        assert (start, end) != (outer_start, outer_end)


def test_a_selection_grows_from_word_to_file() -> None:
    read = parsed("# Plan\n\n## Phase\n\n- [ ] 1. Two words\n  - body\n  - [ ] 1.1 Below\n\n## Next\n", "tasks.md")
    assert grown(read, tree_of(read), 4, 12) == [
        ((4, 9), (4, 12)),
        ((4, 6), (4, 18)),
        ((4, 0), (4, 18)),
        ((4, 0), (5, 8)),
        ((4, 0), (6, 17)),
        ((2, 0), (6, 17)),
        ((0, 0), (8, 7)),
    ]


def test_what_tasks_do_for_requirements() -> None:
    text = "- [x] 1. A\n  - _Requirements: 1.1_\n- [ ] 2. B\n  - _Requirements: 1_\n"
    facts = facts_of(text, documents={"requirements.md": REQUIREMENTS})
    covering = tasks_by_requirement(facts.tasks.tasks, facts.requirements)
    found = coverage_of(covering, facts.requirements, "requirements.md")
    assert [(one.line, one.ref, one.title) for one in found] == [(2, "1", "2 tasks · 1 done"), (8, "2", "no task")]
