"""Where ids and paths of a spec stand, and what they mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiro_lsp.spec.facts import facts_of
from kiro_lsp.spec.lines import split_lines
from kiro_lsp.spec.navigation.targets import (
    Named,
    definition_in,
    mentions_of_tasks,
    named_at,
    own_at,
    path_places,
    paths_in_line,
    requirement_in_line,
    requirements_at,
    task_places,
    tasks_by_requirement,
)
from kiro_lsp.spec.tasks import parsed

REQUIREMENTS = """# Requirements

### Requirement 1: Login \U0001f600

#### Acceptance Criteria

1. WHEN a user logs in THEN greet
2. WHEN a user fails THEN say so

### Requirement 2: Logout

- **FR-007**: Bye
"""


def shown(text: str, named: tuple[Named, ...]) -> list[tuple[str, str]]:
    """(What is written, key) of each reference."""
    lines = split_lines(text)
    return [(lines[one.spot.line][one.spot.start : one.spot.end], one.key) for one in named]


@pytest.mark.parametrize(
    ("text", "own", "named"),
    [
        ("", [], []),
        ("- [ ] 1. a\r\n- [ ] 2. \U0001f600 after task 1\r\n", ["1", "2"], [("1", "1")]),
        ("- [ ] 1. a\n- [ ] 1. b\n- [ ] 2. after task 1\n", ["1", "1~2", "2"], [("1", "1")]),
        (
            "- [ ] T001 a\n- [ ] T002 b\n- [ ] T003 c\n- [ ] T004 d (depends on T001-T003)\n",
            ["T001", "T002", "T003", "T004"],
            [("T001", "T001"), ("T001-T003", "T002"), ("T003", "T003")],
        ),
        ("- [ ] 1. a\n  - _Depends: 9_\n", ["1"], []),
    ],
)
def test_places_of_tasks(text: str, own: list[str], named: list[tuple[str, str]]) -> None:
    found = task_places(parsed(text, "tasks.md"))
    assert list(found.own) == own
    assert shown(text, found.named) == named


def test_another_document_means_the_tasks_that_it_names_as_such() -> None:
    places = task_places(parsed("- [ ] 3. a\n- [ ] 4. b\n", "tasks.md"))
    text = "\U0001f600 Task 3, release 3.\n```\ntask 4\n```\nTasks 3 and 4.\n"
    assert shown(text, mentions_of_tasks(split_lines(text), places)) == [("3", "3"), ("3", "3"), ("4", "4")]


@pytest.mark.parametrize(
    ("line", "column", "expected"),
    [(3, 26, "T001"), (3, 30, "T001"), (3, 31, "T003"), (3, 35, "T003"), (3, 36, None), (3, 0, None), (99, 0, None)],
)
def test_a_range_is_a_reference_at_each_of_its_ends(line: int, column: int, expected: str | None) -> None:
    text = "- [ ] T001 a\n- [ ] T002 b\n- [ ] T003 c\n- [ ] T004 d (depends on   T001-T003)\n"
    text = text.replace("on   ", "on ").replace("T004 d", "T004 dd")
    found = named_at(task_places(parsed(text, "tasks.md")).named, line, column)
    assert (found and found.key) == expected


@pytest.mark.parametrize(
    ("line", "at", "expected"),
    [
        ("  - _Requirements: 1.1, 2_", "1.1", ["1.1"]),
        ("  - _Requirements: 1.1, 2_", "2_", ["2"]),
        ("  - _Requirements: 1.1-1.2_", "1.2", ["1.2"]),
        ("  - _Requirements: 2.9_", "2.9", ["2"]),
        ("  - _Requirements: Logout_", "gout", ["2"]),
        ("  - see FR-007 \U0001f600", "FR", ["FR-007"]),
        ("  - _Requirements: 7_", "7", []),
        ("  - _Requirements: 1.1_", "- _", []),
        ("  - version 1.1", "1.1", []),
    ],
)
def test_requirement_at_a_place(line: str, at: str, expected: list[str]) -> None:
    facts = facts_of(f"- [ ] 1. a\n{line}\n", documents={"requirements.md": REQUIREMENTS})
    found = requirements_at(facts.lines, facts.requirements, facts.path, 1, line.index(at), tasks=True)
    assert [entry.ref for entry in (found[1] if found else ())] == expected


@pytest.mark.parametrize(
    ("ref", "expected"),
    [("1", "1"), ("2", "2"), ("FR-007", "FR-007"), ("1.2", "2. WHEN a user fails THEN say so")],
)
def test_definition_of_a_requirement(ref: str, expected: str) -> None:
    index = facts_of("", documents={"requirements.md": REQUIREMENTS}).requirements
    ((entry,), _) = index.resolve([ref])
    lines = split_lines(REQUIREMENTS)
    spot = definition_in(lines, entry)
    assert lines[spot.line][spot.start : spot.end] == expected
    assert requirement_in_line(index, "requirements.md", spot.line) == entry
    assert definition_in([], entry).end == 0


def test_tasks_that_cover_a_requirement() -> None:
    text = "- [ ] 1. a\n  - _Requirements: 1.1_\n- [ ] 2. b\n  - _Requirements: 1_\n- [ ] 3. c (FR-007)\n"
    facts = facts_of(text, documents={"requirements.md": REQUIREMENTS})
    covering = tasks_by_requirement(facts.tasks.tasks, facts.requirements)
    lines = {
        entry.ref: [task.key for task in covering.get((entry.path, entry.line), [])]
        for entry in facts.requirements.entries.values()
    }
    assert lines == {"1": ["1", "2"], "1.1": ["1", "2"], "1.2": ["2"], "2": [], "FR-007": ["3"]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\U0001f600 `src/app.py`", [("src/app.py", "src/app.py", None)]),
        (
            "see src/app.py:12, and (docs/a.md).",
            [("src/app.py:12", "src/app.py", 11), ("docs/a.md", "docs/a.md", None)],
        ),
        ("`src/app.py#L3-L9`", [("src/app.py#L3-L9", "src/app.py", 2)]),
        ("`pytest tests/test_a.py -q`", [("tests/test_a.py", "tests/test_a.py", None)]),
        ("[it](../a%20b.md#L4)", [("../a%20b.md#L4", "../a b.md", 3)]),
        ("[it](https://www.example.org/a.md) https://www.example.org/src/a.md", []),
        ("#[[file:api/open.yaml]]", [("api/open.yaml", "api/open.yaml", None)]),
        ("version 1.2, e.g. this", []),
        ("```\nsrc/app.py\n```", []),
    ],
)
def test_paths(text: str, expected: list[tuple[str, str, int | None]]) -> None:
    found = path_places(parsed(text, "design.md"))
    lines = split_lines(text)
    assert [(lines[p.spot.line][p.spot.start : p.spot.end], p.path, p.at) for p in found] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("`src/app.py`", ["src/app.py", ".kiro/specs/a/src/app.py"]),
        ("[x](src/app.py)", [".kiro/specs/a/src/app.py", "src/app.py"]),
        ("[x](../b/tasks.md)", [".kiro/specs/b/tasks.md"]),
        ("[x](../../../../secret.md)", []),
        ("[x](/src/app.py)", ["src/app.py", ".kiro/specs/a/src/app.py"]),
        ("[x](..)", [".kiro/specs"]),
    ],
)
def test_no_candidate_leaves_the_project(text: str, expected: list[str]) -> None:
    (place,) = path_places(parsed(text, "design.md"))
    assert list(place.candidates(".kiro/specs/a")) == expected


WORDS = [
    "task 1",
    " ",
    "`",
    "src/a.py",
    ":3",
    "[",
    "](",
    ")",
    "_Requirements: 1-2_",
    "\U0001f600",
    "T1-T3",
    "\r\n",
    "- [ ] 1. ",
    "- [ ] T1 ",
]


@given(st.lists(st.sampled_from(WORDS), max_size=25).map("".join), st.integers(0, 8), st.integers(0, 80))
def test_every_place_lies_in_its_line(text: str, line: int, column: int) -> None:
    facts = facts_of(text, documents={"requirements.md": REQUIREMENTS})
    places = task_places(facts.parsed)
    spots = [*places.own.values(), *(one.spot for one in places.named), *(p.spot for p in path_places(facts.parsed))]
    for spot in spots:
        assert 0 <= spot.start < spot.end <= len(facts.lines[spot.line].rstrip("\r\n"))
    keys = {task.key for task in facts.tasks.tasks}
    here = [own_at(places, line, column), named_at(places.named, line, column)]
    assert {one.key for one in here if one is not None} <= keys
    assert all(p.spot.line == line for p in paths_in_line(facts.parsed, line))
    found = requirements_at(facts.lines, facts.requirements, facts.path, line, column, tasks=True)
    assert found is None or (found[0].holds(line, column) and found[1])
