"""What is skimmed of a file is what is read of it; what is not plain is not skimmed."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiro_lsp.spec.assemble import drafted
from kiro_lsp.spec.lines import split_lines
from kiro_lsp.spec.skim import skim
from tests.support.edits import text_of

PATHS = [
    "tasks.md",
    ".kiro/specs/a/tasks.md",
    "specs/001-x/tasks.md",
    ".spec-workflow/specs/a/tasks.md",
    "openspec/changes/a/tasks.md",
]
PLAIN = [
    "# Plan\n",
    "## Phase 1\n",
    "## 2. Phase ##\n",
    "\n",
    "\n",
    "- [ ] 1. Set up the project\n",
    "- [x] 2. Write it\n",
    "  - [ ] 2.1 Inner\n",
    "  - [ ]* 2.2 With a star\n",
    "  - [-] 2.3 Begun\r\n",
    "    - a detail\n",
    "    - _Requirements: 1.1_\n",
    "- a bullet\n",
    "- [ ] Without a number\n",
    "- [ ] T001 [P] [US1] Add `src/a.py`\n",
    "- [X] 3.1 Call `run()` and [see](x.md) it, REMOVED\n",
    "- [ ] 1.5 hours of work\n",
    "- [ ] 4. Call the API of `it` (optional)\n",
    "- [ ] 5. Write a README, then A, B, C\r\n",
    "- [ ] 6. Ends with blanks  \n",
    "- [ ] 7. Größe\n",
    "- [ ] 8. CANCELLED\n",
    "Some prose.\n",
    "**Bold** prose with a [link](x).\n",
    "---\n",
    "```json\n",
    "```\n",
    '{"waves": []}\n',
    "  indented prose\n",
]


def outline(lines: list[str], path: str) -> tuple[object, ...]:
    draft = drafted(lines, path)
    rows = draft.rows
    columns = (rows.lines, rows.ids, rows.titles, rows.statuses, rows.parents)
    return [list(column) for column in columns], draft.headings


def check(lines: list[str], path: str) -> bool:
    """Whether the text is skimmed; it is then what is read."""
    found = skim(lines, path)
    if found is None:
        return False
    assert ([list(column) for column in found.rows], found.headings) == outline(lines, path)
    assert found.lines is lines
    return True


@given(st.lists(st.sampled_from(PLAIN), max_size=30), st.sampled_from(PATHS))
def test_plain_lines_in_any_order_are_skimmed_as_they_are_read(lines: list[str], path: str) -> None:
    check(lines, path)


@given(st.lists(st.sampled_from(PLAIN), max_size=12), st.text(" -*+[]x1.2#`~<>=_|\ta\u2003é\r"), st.sampled_from(PATHS))
def test_an_odd_line_among_plain_ones_changes_nothing_about_that(lines: list[str], odd: str, path: str) -> None:
    place = len(lines) // 2
    check(split_lines("".join([*lines[:place], odd, "\n", *lines[place:]])), path)


@given(st.randoms(use_true_random=False), st.sampled_from(PATHS))
def test_odd_files_are_skimmed_as_they_are_read(random: Random, path: str) -> None:
    check(split_lines(text_of(random)), path)


@pytest.mark.parametrize(
    ("text", "skimmed"),
    [
        ("".join(PLAIN[:13]), True),
        ("- [ ] 1. A\n", True),
        ("- [ ] 1. A", True),
        ("- [ ] 1. A\n\n```\n- [ ] 2. B\n```\n", True),
        ("- [ ] 1. A\n    - [ ] 1.1 B\n", True),
        ("- [ ] 1. A\n      - [ ] 1.1 B\n", False),  # a further line of the paragraph
        ("", False),
        ("- [ ] A\n", False),  # criteria and tasks without numbers are told apart by reading
        ("- [ ] 1. A, REMOVED\n", False),
        ("- [ ] 1. A\n- [ ] 2. B, REMOVED \n", True),
        ("- [ ] 1. A\n  goes on\n", False),
        ("- [ ] 1. A\n---\n", False),
        ("- [ ] 1. A\n```\n", False),
        ("1. [ ] 1. A\n", False),
        ("\t- [ ] 1. A\n", False),
        ("> - [ ] 1. A\n", False),
        ("- [~] 1. A\n", False),
        ("- [-] 1. A\n", False),  # what a dash means depends on the dialect, which nothing here tells
        ("- [ ] 6 hours\n", False),
        ("- [ ] 1 Set up\n", False),
        ("## Legend\n- [ ] 1. A\n", False),
        ("`[ ]` = done, `[x]` = open\n\n- [ ] 1. A\n", False),
        ("---\ntitle: x\n---\n- [ ] 1. A\n", False),
        ("\ufeff- [ ] 1. A\n", False),
        ("- [x] - [ ] 1. A\n", False),
    ],
)
def test_what_is_plain(text: str, skimmed: bool) -> None:
    assert check(split_lines(text), "tasks.md") is skimmed
