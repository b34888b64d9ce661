"""What a hover says of a place, and that nothing from a file becomes markup in it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiro_lsp.spec.facts import AgentFact, RunFact, facts_of
from kiro_lsp.spec.navigation.hover import Hovers, escaped, fenced

TASKS = """# Plan

- [ ] 1. Implement login
  - [x] 1.1 Create the form
    - _Requirements: 1.1_
  - [ ] 1.2 Fix the crash
    - _Requirements: 1, 9.9_
- [ ] 2. Colours
  - _Depends: 1.2_

Words between.
"""
REQUIREMENTS = """# Requirements

### Requirement 1: Login

**User Story:** As a user, I want to log in.

#### Acceptance Criteria

1. WHEN a user logs in THEN the system SHALL greet them
2. WHEN a user fails THEN the system SHALL say so

### Requirement 2: Logout

Nobody does this.
"""
FACTS = facts_of(
    TASKS,
    documents={"requirements.md": REQUIREMENTS},
    runs={"1.2": RunFact("r1", "1.2", "Claude", "failed", cost="0.125", files=3)},
    agents=[AgentFact("a", "Claude", False, "no key"), AgentFact("b", "Codex", True, "signed in", recommended=True)],
)
HOVERS = Hovers(FACTS)


@pytest.mark.parametrize(
    ("line", "column", "expected", "missing"),
    [
        (
            3,
            8,
            ["1.1 Create the form — done", "1.1 of Requirement 1: Login\n", "greet them"],
            ["Agent", "Kind of work", "Last run"],
        ),
        (
            5,
            0,
            [
                "1.2 Fix the crash — open",
                "Kind of work: bug-fix (title says 'Fix'), simple",
                "Agent: Codex, available (signed in)",
                "Last run: failed, Claude, $0.12, 3 files",
                "As a user, I want to log in.",
                "Not defined: 9.9",
            ],
            ["Not yet", "a guess"],
        ),
        (
            7,
            3,
            [
                "Not yet: It depends on task 1.2 (Fix the crash), which is not done.",
                "Kind of work: code-generation, a guess (nothing in its words tells), simple",
                "Depends on:\n- 1.2 Fix the crash (open)",
            ],
            ["Last run"],
        ),
        (
            4,
            22,
            [
                "1.1 of Requirement 1: Login",
                "greet them",
                "Covered by:\n- 1.1 Create the form (done)\n- 1.2 Fix the crash (open)",
            ],
            [],
        ),
        (6, 22, ["Login", "As a user", "1.1 Create the form (done)", "1.2 Fix the crash (open)"], ["Agent"]),
    ],
)
def test_a_place_in_a_task_file(line: int, column: int, expected: list[str], missing: list[str]) -> None:
    found = HOVERS.in_tasks(line, column, markdown=False)
    assert found is not None
    assert found.line == line
    assert 0 <= found.start < found.end <= len(TASKS.split("\n")[line])
    for part in expected:
        assert part in found.text, found.text
    for part in missing:
        assert part not in found.text, found.text


@pytest.mark.parametrize("line", [0, 1, 9, 10, 11, 12, 10_000])
def test_elsewhere_there_is_nothing(line: int) -> None:
    assert HOVERS.in_tasks(line, 0, markdown=True) is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (0, None),
        (2, "1.1 Create the form"),
        (4, None),
        (8, "1.1 Create the form"),
        (9, "1.2 Fix the crash"),
        (11, "No task refers to it."),
        (13, None),
        (99, None),
    ],
)
def test_a_line_of_the_requirements(line: int, expected: str | None) -> None:
    found = HOVERS.in_document("requirements.md", REQUIREMENTS.splitlines(keepends=True), line, markdown=False)
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        assert expected in found.text


def test_long_texts_and_long_lists_are_bounded() -> None:
    lines = "".join(f"{number}. WHEN it happens THEN {'x' * 3000}\n" for number in range(1, 41))
    documents = {"requirements.md": f"### Requirement 1: A\n\n#### Acceptance Criteria\n\n{lines}"}
    names = ", ".join(f"1.{number}" for number in range(1, 41))
    tasks = "".join(f"- [ ] {number}. T\n  - _Requirements: {names}_\n" for number in range(1, 31))
    hovers = Hovers(facts_of(tasks, documents=documents))
    task, requirement = hovers.in_tasks(0, 0, markdown=True), hovers.in_tasks(1, 22, markdown=True)
    assert task is not None
    assert requirement is not None
    assert len(task.text) < 8000
    assert "and 32 more requirements" in task.text
    assert "- and 22 more" in requirement.text


HOSTILE = st.text(st.sampled_from("`~<>[]()!*_\\#&:|$ \nab/\u202e\u200b\x1b")) | st.sampled_from(
    ["[x](command:run)", "<img src=x>", "<javascript:alert(1)>", "![a](http://b)", "&lt;", "```\n# x"]
)


@given(HOSTILE)
def test_words_are_escaped_and_on_one_line(text: str) -> None:
    found = escaped(text)
    assert re.search(r"(?<!\\)(?:\\\\)*[`*_\[\]<>&~|!#$]", found) is None
    assert not {"\n", "\r", "\x1b", "\u202e"} & set(found)


@given(HOSTILE)
def test_nothing_ends_a_fence_from_inside(text: str) -> None:
    first, *inner, last = fenced(text).split("\n")
    assert first == f"{last}text"
    assert set(last) == {"`"}
    assert all(last not in line for line in inner)


@given(HOSTILE, st.integers(0, 12), st.integers(0, 90), st.booleans())
def test_any_place_of_any_text_has_an_answer_or_none(text: str, line: int, column: int, markdown: bool) -> None:
    hovers = Hovers(
        facts_of(f"- [ ] 1. {text}\n  - _Requirements: 1.1, {text}_\n", documents={"requirements.md": text})
    )
    found = hovers.in_tasks(line, column, markdown=markdown)
    lines = hovers.facts.lines
    assert found is None or 0 <= found.start <= found.end <= len(lines[found.line])


PRICED = AgentFact("c", "Claude", True, "a guess", way="api", model="m", ceiling="$2 a run, $10 a day")


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (
            replace(PRICED, price=lambda usage: 10_000 * usage.output_tokens),
            "Estimate: about $0.03, a guess; at most $2 a run, $10 a day",
        ),
        (replace(PRICED, price=lambda _usage: 5), "Estimate: under $0.01, a guess; at most $2 a run, $10 a day"),
        (
            replace(PRICED, price=lambda _usage: None),
            "Estimate: the price of m is not known; at most $2 a run, $10 a day",
        ),
        (PRICED, None),
    ],
)
def test_what_a_task_may_cost_is_said_before(chosen: AgentFact, said: str | None) -> None:
    found = Hovers(replace(facts_of(TASKS), chosen_for=lambda _task: chosen)).in_tasks(5, 0, markdown=False)
    assert found is not None
    estimates = [part for part in found.text.split("\n\n") if part.startswith("Estimate")]
    assert estimates == ([said] if said else [])


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (RunFact("r", "1.2", "Claude", "review", cost="0.125", used="$0.12"), "Last run: review, Claude, $0.12"),
        (
            RunFact("r", "1.2", "Claude", "interrupted", used="cost unknown, charged as $0.42"),
            "Last run: interrupted, Claude, cost unknown, charged as $0.42",
        ),
        (
            RunFact("r", "1.2", "Qwen", "review", cost="0", files=1, used="12k tokens, 8 turns"),
            "Last run: review, Qwen, 12k tokens, 8 turns, 1 file",
        ),
        (RunFact("r", "1.2", "Recorded", "review", cost="0"), "Last run: review, Recorded"),
        (RunFact("r", "1.2", "Claude", "failed"), "Last run: failed, Claude, cost unknown"),
    ],
)
def test_what_a_run_has_cost_is_said_after(run: RunFact, said: str) -> None:
    found = Hovers(facts_of(TASKS, runs={"1.2": run})).in_tasks(5, 0, markdown=False)
    assert found is not None
    assert said in found.text.split("\n\n")
