"""What is glimpsed of a file is what reading all of it says: the tasks, what they wait for, and every hover."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiro_lsp.spec.facts import Facts, RunFact, requirements_in
from kiro_lsp.spec.glance import glimpse
from kiro_lsp.spec.lines import split_lines
from kiro_lsp.spec.navigation.hover import Hovers
from kiro_lsp.spec.order import order_of
from kiro_lsp.spec.skim import skim
from kiro_lsp.spec.tasks import parsed
from tests.spec.test_skim import PATHS, PLAIN
from tests.support.edits import text_of

SIMPLE = [
    "# Plan\n",
    "## Phase 1\n",
    "## Phase 2\n",
    "\n",
    "- [ ] 1. Set up the project\n",
    "- [x] 2. Write it\n",
    "- [ ] 2. Write it\r\n",
    "  - [ ] 2.1 Inner\n",
    "  - [x] 2.1 Inner\n",
    "  - [ ]* 2.2 With a star\n",
    "    - [x] 2.2.1 Deep\n",
    "- [ ]* 3. Optional\n",
    "- [ ] 3.1 `src/a.py` by <!-- agent: codex -->\n",
    "- [-] 4. Begun\n",
    "- [ ] 9. Do `it` after the README\n",
    "    - a detail\n",
    "  - a detail of it\n",
    "    - _Requirements: 1.1, 2_\n",
    "  - **File**: src/c.py\n",
    "Some prose.\n",
    "---\n",
    "```\n",
    "    - needs care\n",
    "  - do it after the tests\n",
]
RELATING = [
    "  - _Depends: 1_\n",
    "  - _Depends on\n",
    "  : 1_\n",
    "  - depends on 1\n",
    "- [ ] 5. Late (after 1)\n",
    "- [ ] 6. Late → 1\n",
    "- [ ] T007 [P] Beside\n",
    "1 → 2\n",
    "2 BLOC\u212aS 1\n",
    "  - _Parallel Key: a_\n",
    "  - _Prerequ\u0131s\u0131tes: 2_\n",
    '```json\n{"waves": [{"id": 0, "tasks": ["2", "1"]}]}\n```\n',
    "- [ ] 8. REMOVED\n",
    "- [ ] Without a number\n",
    "## Acceptance criteria\n",
]
DOCUMENTS = {"requirements.md": "# R\n\n### Requirement 1: Login\n\n#### Acceptance Criteria\n\n1. WHEN a THEN b\n"}


def check(text: str, path: str) -> int:
    """At how many of its lines a text is glimpsed; it says there what the whole text says."""
    lines = split_lines(text)
    found = skim(lines, path)
    if found is None:
        return 0
    count, whole = 0, parsed(text, path)
    runs = {"1": RunFact("r", "1", "Claude", "failed")}
    hovers = Hovers(Facts(path, whole, DOCUMENTS, requirements_in(DOCUMENTS), runs=runs))
    order = order_of(whole.task_list)
    by_line = {task.line: task for task in whole.task_list.tasks}
    for line in range(len(lines)):
        seen = glimpse(found, line)
        if seen is None:
            continue
        count += 1
        assert [by_line[task.line] for task in seen.task_list.tasks] == list(seen.task_list.tasks)
        few = Hovers(Facts(path, seen, DOCUMENTS, requirements_in(DOCUMENTS), runs=runs))
        at = seen.task_list.tasks[[task.line <= line for task in seen.task_list.tasks].count(True) - 1]
        assert order_of(seen.task_list).why_not_yet(at) == order.why_not_yet(by_line[at.line])
        for column in (0, 8, 20):
            if not few.takes_all(line, column):
                assert few.in_tasks(line, column, markdown=True) == hovers.in_tasks(line, column, markdown=True)
    return count


@given(st.lists(st.sampled_from(SIMPLE), min_size=1, max_size=30).map("".join), st.sampled_from(PATHS))
def test_a_glimpse_says_what_the_whole_says(text: str, path: str) -> None:
    check(text, path)


@given(st.lists(st.sampled_from(SIMPLE), max_size=15), st.sampled_from(RELATING), st.integers(0, 15))
def test_a_word_that_relates_tasks_changes_nothing_about_that(lines: list[str], word: str, place: int) -> None:
    check("".join([*lines[:place], word, *lines[place:]]), "tasks.md")


@given(st.lists(st.sampled_from(PLAIN), max_size=20).map("".join), st.sampled_from(PATHS))
def test_plain_files_are_glimpsed_as_they_are_read(text: str, path: str) -> None:
    check(text, path)


@given(st.randoms(use_true_random=False), st.sampled_from(PATHS))
def test_odd_files_are_glimpsed_as_they_are_read(random: Random, path: str) -> None:
    check(text_of(random), path)


@pytest.mark.parametrize(
    ("text", "glimpsed"),
    [
        ("# A\n\n- [ ] 1. A\n  - [ ] 1.1 B\n    - a detail\n", 3),
        ("- [ ] 1. A\n- [ ] 2. Do it after that\n  - before the tests\n", 3),
        ("- [ ] 1. A\n- [ ] 2. Do it after 1\n", 0),
        ("- [ ] 1. A\n- [ ] 2. B\n  - _After: 1_\n", 0),
        ("- [ ] 1. A\n- [ ] 2. B\n\n1 => 2\n", 0),
        ("- [ ] 1. A\n- [ ] 2. B\n  - **DEPENDS ON**\n: 1\n", 0),
        ("- [ ] T001 [P] A\n- [ ] T002 B\n", 0),
        ("- [ ] 1. A\n- [ ] B\n", 0),
    ],
)
def test_what_is_glimpsed(text: str, glimpsed: int) -> None:
    assert check(text, "tasks.md") == glimpsed
