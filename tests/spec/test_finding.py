"""Tasks are found by key, id or line, and again in a file that was edited; in doubt, not at all."""

from __future__ import annotations

import pytest

from kiro_lsp.errors import AmbiguousTask, UnknownTask
from kiro_lsp.spec.keys import keys_for
from kiro_lsp.spec.tasks import anchor_of, find, parse, relocate, selector_of, selector_of_key

LIST = """\
# Plan

- [ ] 1. One
- [ ] 2. Two
- [ ] 2.1 Two and a half
- [ ] no id
- [ ] 2. Two again
- [ ] no id
- [ ] T010-T012 Several
"""


@pytest.mark.parametrize(
    ("selector", "line"),
    [
        ("1", 3),
        (" 1 ", 3),
        ("2.1", 5),
        ("2~1", 4),
        ("2~2", 7),
        (":4", 4),
        ("7", 7),
        (":7", 7),
        ("T011", 9),
        ("T010-T012", 9),
        ("t010-t012", 9),
    ],
)
def test_a_selector_names_one_task(selector: str, line: int) -> None:
    assert find(parse(LIST), selector).line == line - 1


def test_an_id_that_two_tasks_carry_is_refused_with_both() -> None:
    with pytest.raises(AmbiguousTask) as refusal:
        find(parse(LIST), "2")
    assert [(candidate.key, candidate.line, candidate.title) for candidate in refusal.value.candidates] == [
        ("2", 4, "Two"),
        ("2~2", 7, "Two again"),
    ]
    assert ":4" in str(refusal.value)
    assert ":7" in str(refusal.value)


@pytest.mark.parametrize("selector", ["9", ":1", ":99", "3", "", "T013", "nonsense", "0", "99999999999999999999"])
def test_an_unknown_task_is_refused_with_those_that_exist(selector: str) -> None:
    tasks = parse("# Plan\n\n- [ ] 1. One\n- [ ] 2. Two\n")
    if selector == "3":
        assert find(tasks, selector).id == "1"
        return
    with pytest.raises(UnknownTask) as refusal:
        find(tasks, selector)
    assert "1 (line 3), 2 (line 4)" in str(refusal.value)


def test_an_id_comes_before_a_line_number() -> None:
    assert find(parse("- [ ] 2. First\n- [ ] 1. Second\n"), "1").line == 1


def test_every_task_has_a_selector_that_finds_it() -> None:
    tasks = parse(LIST)
    assert [find(tasks, selector_of(tasks, task)) for task in tasks.tasks] == list(tasks.tasks)
    assert [find(tasks, selector_of_key(task.key)) for task in tasks.tasks] == list(tasks.tasks)


def test_keys_are_ids_or_hashes_of_titles_and_never_repeat() -> None:
    keys = keys_for(
        [("1", "a"), (None, "b  c"), ("1", "d"), (None, "b c"), (None, "e\u0301"), (None, "\u00e9"), ("1", "f")]
    )
    assert keys == ["1", "#47d8a4a8", "1~2", "#47d8a4a8~2", "#4a99557e", "#4a99557e~2", "1~3"]


BEFORE = """\
## A

- [ ] 1. One
- [ ] 2. Two
- [ ] Write tests

## B

- [ ] 3. Three
- [ ] Write tests
- [ ] Ship
"""


@pytest.mark.parametrize(
    ("at", "after", "found"),
    [
        (3, BEFORE, 3),
        (3, BEFORE.replace("- [ ] 3.", "- [x] 3."), 3),
        (3, "New first line\n\n" + BEFORE, 3),
        (3, BEFORE.replace("- [ ] 2. Two\n", ""), 2),
        (3, BEFORE.replace("3. Three", "4. Three"), 3),
        (3, BEFORE.replace("3. Three", "3. Three, but better"), 3),
        (3, BEFORE.replace("3. Three", "4. Four"), None),
        (3, BEFORE.replace("- [ ] 3. Three\n", ""), None),
        (3, BEFORE.replace("3. Three\n", "3. Three, better\n- [ ] 3. Three, worse\n"), None),
        (3, "- [ ] 3. Something else\n", None),
        (4, BEFORE, 4),
        (2, BEFORE, 2),
        (4, BEFORE.replace("- [ ] Write tests\n\n## B", "\n## B"), 3),
        (2, "## B\n\n- [ ] 3. Three\n- [ ] Write tests\n- [ ] Ship\n", None),
        (2, BEFORE.replace("## B", "## A"), 2),
        (5, BEFORE.replace("Ship", "Ship  "), 5),
        (5, BEFORE.replace("Ship", "Sail"), None),
        (0, "", None),
    ],
)
def test_a_task_is_found_again_or_not_at_all(at: int, after: str, found: int | None) -> None:
    before = parse(BEFORE)
    task = relocate(parse(after), anchor_of(before, before.tasks[at]))
    assert (task and parse(after).tasks.index(task)) == found


def test_twins_that_nothing_tells_apart_are_not_guessed() -> None:
    before = parse("- [ ] 1. Same\n- [ ] 2. Other\n")
    anchor = anchor_of(before, before.tasks[0])
    assert relocate(parse("- [ ] 1. Same\n- [ ] 2. Other\n\n- [ ] 1. Same\n- [ ] 2. Other\n"), anchor) is not None
    assert relocate(parse("- [ ] x\n- [ ] 1. Same\n- [ ] y\n- [ ] 1. Same\n- [ ] z\n"), anchor) is None
