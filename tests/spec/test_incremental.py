"""An edited text is read as the whole of it would be, whichever way was taken."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiro_lsp.spec.assemble import Draft, drafted
from kiro_lsp.spec.incremental import updated, within
from kiro_lsp.spec.lines import Edit, split_lines
from tests.support.edits import edits_of, text_of

PATHS = [
    "",
    ".kiro/specs/a/tasks.md",
    "specs/001-x/tasks.md",
    ".spec-workflow/specs/a/tasks.md",
    "openspec/changes/a/tasks.md",
]


def same(found: Draft, whole: Draft) -> None:
    """Everything that a later edit goes on from is the same, too."""
    assert found.task_list == whole.task_list
    assert (found.rows, found.dialect) == (whole.rows, whole.dialect)
    assert found.blocks == whole.blocks
    assert vars(found.reading) == vars(whole.reading)
    assert list(found.metadata) == list(whole.metadata)
    assert (found.whole().needs, found.waves, found.known) == (whole.whole().needs, whole.waves, whole.known)
    assert (found.keys, found.parents) == (whole.keys, whole.parents)
    assert (found.depths, found.criteria) == (whole.depths, whole.criteria)
    assert found.whole().structural == whole.whole().structural
    assert found.may_go_on == whole.may_go_on


def check(seed: Random, edits: int) -> None:
    """Some versions are asked for their tasks and some only for their rows, as in an editor."""
    path = seed.choice(PATHS)
    text = text_of(seed)
    draft = drafted(split_lines(text), path)
    for lines, edit in edits_of(seed, text, edits):
        before, was_asked = draft, draft.finished is not None
        draft = updated(draft, lines, edit)
        whole = drafted(lines, path)
        assert (draft.rows, draft.dialect) == (whole.rows, whole.dialect)
        if draft.base == before.serial:
            old, new = list(zip(*before.rows, strict=True)), list(zip(*draft.rows, strict=True))
            assert {at for at in range(len(new)) if new[at] != old[at]} <= set(draft.touched)
            if was_asked:
                tasks, others = before.task_list.tasks, draft.task_list.tasks
                assert {at for at in range(len(new)) if others[at] is not tasks[at]} == set(draft.touched)
        if seed.random() < 0.6:
            same(draft, whole)
    same(draft, drafted(draft.lines, path))


PLAIN = """# Plan

## 1. Phase

- [ ] 1. Set up
  - detail
  - _Requirements: 1.1_
- [ ] 2. Second
  - [ ] 2.1 Inner
  - [x] 2.2 Other

Some prose.

- [x] 3. Third
"""


@pytest.mark.parametrize(
    ("line", "new", "touched"),
    [
        (4, ["- [ ] 1. Set it up\n"], (0,)),
        (4, ["- [x] 1. Set up\n"], (0,)),
        (5, ["  - more detail\n"], (0,)),
        (6, ["  - _Requirements: 1.1, 1.2_\n"], (0,)),
        (9, ["  - [ ] 2.2 Other `src/a.py`\n"], (3,)),
        (11, ["Other prose.\n"], ()),
        (4, ["- [ ] 9. Set up\n"], None),
        (5, ["  - detail\n", "  - another\n"], None),
        (5, ["  - [ ] 1.1 A task now\n"], None),
        (11, ["```\n"], None),
        (11, ["## 2. Heading\n"], None),
        (11, ["1 → 3\n"], None),
        (11, ["**Success criteria:**\n"], None),
    ],
)
def test_only_what_an_edit_touches_is_made_again(line: int, new: list[str], touched: tuple[int, ...] | None) -> None:
    lines = split_lines(PLAIN)
    draft = drafted(lines, "")
    edited = [*lines[:line], *new, *lines[line + 1 :]]
    found = within(draft, edited, Edit(line, line + 1, line + len(new)))
    assert (None if found is None else found.touched) == touched
    same(updated(draft, edited, Edit(line, line + 1, line + len(new))), drafted(edited, ""))


def test_two_edits_are_one() -> None:
    lines = split_lines(PLAIN)
    draft = drafted(lines, "")
    once = [*lines[:4], "- [ ] 1. A\n", "- [ ] 1.1 B\n", *lines[5:]]
    twice = [*once[:2], *once[3:10], "- [ ] C\n", *once[11:]]
    edit = Edit(4, 5, 6).then(Edit(2, 3, 2)).then(Edit(9, 10, 10))
    assert edit == Edit(2, 10, 10)
    same(updated(draft, twice, edit), drafted(twice, ""))


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False))
def test_random_edits_one_after_another(random: Random) -> None:
    check(random, 8)


@pytest.mark.parametrize("seed", range(60))
def test_a_fixed_share_of_random_edits(seed: int) -> None:
    check(Random(seed), 12)
