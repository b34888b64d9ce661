"""What can run next: waves, rings and reasons."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiro_lsp.spec.assemble import drafted
from kiro_lsp.spec.incremental import updated
from kiro_lsp.spec.lines import Edit, split_lines
from kiro_lsp.spec.model import TaskList
from kiro_lsp.spec.order import _Ordering, order_of
from kiro_lsp.spec.tasks import parse
from tests.support.edits import edits_of, text_of

GRAPH = """\
- [x] 1. Set up
  - [x] 1.1 Model
- [ ] 2. Build
  - [ ] 2.1 Parser
  - [ ] 2.2 Printer
  - [ ]* 2.3 Property test
- [ ] 3. Checkpoint
- [ ] 4. Ship

```json
{"waves": [{"id": 0, "tasks": ["2.2", "2.3"]}, {"id": 1, "tasks": ["2.1", "4"]}]}
```
"""

CASES = {
    "one at a time": ("- [ ] 1. a\n- [ ] 2. b\n- [ ] 3. c\n", [["1"], ["2"], ["3"]]),
    "done tasks are over": ("- [x] 1. a\n- [ ] 2. b\n", [["2"]]),
    "neighbours marked parallel": (
        "- [ ] T001 a\n- [ ] T002 [P] b\n- [ ] T003 [P] c\n- [ ] T004 d\n",
        [["T001"], ["T002", "T003"], ["T004"]],
    ),
    "(P)": ("- [ ] 1. a\n  - [ ] 1.1 (P) b\n  - [ ] 1.2 (P) c\n", [["1.1", "1.2"]]),
    "a phase ends before the next": ("## A\n- [ ] T001 [P] a\n## B\n- [ ] T002 [P] b\n", [["T001"], ["T002"]]),
    "a checkpoint stands alone": (
        "- [ ] T001 [P] a\n- [ ] T002 [P] Checkpoint: look\n- [ ] T003 [P] c\n",
        [["T001"], ["T002"], ["T003"]],
    ),
    "one file, one after the other": (
        "- [ ] T001 [P] a in `src/a.py`\n- [ ] T002 [P] b in `src/a.py`\n- [ ] T003 [P] c in `src/c.py`\n",
        [["T001"], ["T002", "T003"]],
    ),
    "what is named comes before": ("- [ ] 1. a (depends on 3)\n- [ ] 2. b\n- [ ] 3. c\n", [["3"], ["1"], ["2"]]),
    "in the same run of parallel tasks too": (
        "- [ ] T001 [P] a\n- [ ] T002 [P] b (depends on T001)\n",
        [["T001"], ["T002"]],
    ),
    "a parent stands for what is in it": (
        "- [ ] 1. a\n  - [ ] 1.1 b\n  - [ ] 1.2 c\n- [ ] 2. d\n  - _Depends: 1_\n",
        [["1.1"], ["1.2"], ["2"]],
    ),
    "what a parent needs comes before its sub-tasks": (
        "- [ ] 1. a\n  - _Depends: 2_\n  - [ ] 1.1 b\n- [ ] 2. c\n",
        [["2"], ["1.1"]],
    ),
    "blocked, and what needs it, are in none": (
        "- [!] T001 [P] a\n- [ ] T002 b (depends on T001)\n- [ ] T003 [P] c\n",
        [["T003"]],
    ),
    "withdrawn and criteria are in none": (
        "- [ ] ~~1. a~~\n- [ ] 2. b\n\n  Acceptance criteria:\n\n  - [ ] fast\n",
        [["2"]],
    ),
    "a ring is cut where it closes": ("- [ ] 1. a (depends on 2)\n- [ ] 2. b (depends on 1)\n", [["2"], ["1"]]),
    "the file's own graph": (GRAPH, [["2.2", "2.3"], ["2.1", "4"], ["3"]]),
}


def order(text: str) -> list[list[str]]:
    return [list(wave) for wave in order_of(parse(text, "specs/001-x/tasks.md")).waves]


@pytest.mark.parametrize("name", CASES)
def test_waves(name: str) -> None:
    text, expected = CASES[name]
    assert order(text) == expected


def test_a_task_that_no_wave_names_comes_behind_what_stands_above_it() -> None:
    text = GRAPH.replace(', "4"', "")
    assert order(text) == [["2.2", "2.3"], ["2.1"], ["3"], ["4"]]


REASONS = [
    ("- [ ] 1. a\n- [ ] 2. b\n", "1", ""),
    ("- [ ] 1. a\n- [ ] 2. b\n", "2", "Task 1 (a) comes before it and is not done."),
    ("- [x] 1. a\n- [ ] 2. b\n", "2", ""),
    ("- [ ]* 1. a\n- [ ] 2. b\n", "2", ""),
    ("- [ ] 1. a\n- [ ] 2. b (depends on 3)\n- [ ] 3. c\n", "2", "It depends on task 3 (c), which is not done."),
    ("- [!] T001 a\n- [ ] T002 b (depends on T001)\n", "T002", "It depends on task T001 (a), which is blocked."),
    ("## One\n- [ ] T001 a\n## Two\n- [ ] T002 b\n", "T002", "“One” comes before it: task T001 (a) is not done."),
    (
        "- [ ] T001 [P] a in `src/a.py`\n- [ ] T002 [P] b in `src/a.py`\n",
        "T002",
        "It names src/a.py, as task T001 (a in `src/a.py`) does, which comes first and is not done.",
    ),
    (GRAPH, "2.1", "The task dependency graph has task 2.2 (Printer) before it, which is not done."),
    (GRAPH, "2", ""),
    ("- [ ] T001 a\n  - [ ] T002 b\n    - [ ] T003 c (depends on T009)\n  - [ ] T004 d\n- [!] T009 e\n", "T001", ""),
    ("- [ ] 1. a\n- [ ] 2. b\n  - [ ] 2.1 c\n", "2", "Task 1 (a) comes before it and is not done."),
]


@pytest.mark.parametrize(("text", "key", "reason"), REASONS)
def test_why_not_yet(text: str, key: str, reason: str) -> None:
    task_list = parse(text, "specs/001-x/tasks.md")
    task = next(task for task in task_list.tasks if task.key == key)
    assert order_of(task_list).why_not_yet(task) == reason


def test_a_ring_is_named_from_its_first_task_on() -> None:
    text = "- [ ] T001 a (depends on T003)\n- [ ] T002 b (depends on T001)\n- [ ] T003 c (depends on T002)\n"
    assert order_of(parse(text)).cycles == (("T001", "T003", "T002"),)


@st.composite
def files(draw: st.DrawFn) -> str:
    """Files with phases, parents, tags, shared files and dependencies in every direction."""
    count = draw(st.integers(1, 14))
    lines = []
    for number in range(1, count + 1):
        if draw(st.integers(0, 5)) == 0:
            lines.append(f"## Phase {number}\n")
        indent = "  " if lines and lines[-1].lstrip().startswith("- [") and draw(st.booleans()) else ""
        mark = draw(st.sampled_from("   x!-"))
        tag = draw(st.sampled_from(["", "[P] "]))
        path = draw(st.sampled_from(["", " in `src/a.py`", " in `src/b.py`"]))
        needs = draw(st.lists(st.integers(1, count), max_size=2, unique=True))
        said = f" (depends on {', '.join(f'T{need:03d}' for need in needs)})" if needs else ""
        lines.append(f"{indent}- [{mark}] T{number:03d} {tag}do{path}{said}\n")
    return "".join(lines)


def left_inside(task_list: TaskList) -> set[str]:
    """Keys of tasks with something left to do inside."""
    return {
        task.parent
        for task in task_list.tasks
        if task.parent and task.status != "done" and not task.criterion and not task.withdrawn
    }


@given(files())
def test_waves_are_a_partition_in_which_what_is_needed_comes_first(text: str) -> None:
    task_list = parse(text, "specs/001-x/tasks.md")
    found = order_of(task_list)
    place = {key: number for number, wave in enumerate(found.waves) for key in wave}
    tasks = {task.key: task for task in task_list.tasks}
    assert sum(map(len, found.waves)) == len(place)
    assert all(wave for wave in found.waves)
    groups = left_inside(task_list) | {tasks[key].parent for key in left_inside(task_list)}
    for key, task in tasks.items():
        can_run = task.status in ("open", "in-progress") and not task.criterion and not task.withdrawn
        assert key not in place or (can_run and key not in left_inside(task_list))
        if can_run and key not in groups and not any(other.status == "blocked" for other in task_list.tasks):
            assert key in place
    for wave in found.waves:
        named = [path for key in wave for path in tasks[key].files]
        assert len(named) == len(set(named))
    if not found.cycles:
        for key, at in place.items():
            for needed in tasks[key].depends_on:
                assert place.get(needed, -1) < at


@given(files())
def test_some_task_can_run_when_any_is_left(text: str) -> None:
    task_list = parse(text, "specs/001-x/tasks.md")
    found = order_of(task_list)
    tasks = {task.key: task for task in task_list.tasks}
    if found.waves:
        assert any(not found.why_not_yet(tasks[key]) for key in found.waves[0])


@given(files(), st.text(st.characters(codec="ascii", categories=["L"]), max_size=8))
def test_words_below_the_tasks_do_not_change_the_order(text: str, words: str) -> None:
    assert order(text + f"\n## Notes\n\n{words}\n") == order(text)


def test_long_chains_and_deep_nesting_are_ordered() -> None:
    chain = "".join(f"- [ ] T{number:05d} a (depends on T{number + 1:05d})\n" for number in range(5000))
    assert order(chain)[0] == ["T04999"]
    deep = "".join(f"{'  ' * depth}- [ ] {'.'.join(['1'] * (depth + 1))} a\n" for depth in range(13))
    assert len(order(deep)) == 1


@pytest.mark.parametrize("seed", range(40))
def test_the_order_of_an_edited_file_is_that_of_the_whole_text(seed: int) -> None:
    """Also where it is taken over from the version before, with other words in its reasons."""
    random = Random(seed)
    text = text_of(random)
    draft = drafted(split_lines(text), "")
    order_of(draft.task_list)
    for lines, edit in edits_of(random, text, 12):
        draft = updated(draft, lines, edit)
        found, whole = order_of(draft.task_list), _Ordering(drafted(lines, "").task_list).made()
        assert found == whole
        for task in draft.task_list.tasks:
            assert found.why_not_yet(task) == whole.why_not_yet(task)


@pytest.mark.parametrize(
    ("new", "is_the_same"), [("- [ ] 1. Other words", True), ("- [x] 1. One", False), ("- [ ] 1. Checkpoint", False)]
)
def test_only_an_edit_of_words_keeps_the_order(new: str, *, is_the_same: bool) -> None:
    lines = ["- [ ] 1. One\n", "- [ ] 2. Two\n"]
    before = drafted(lines, "")
    waves = order_of(before.task_list).waves
    edited = updated(before, [f"{new}\n", lines[1]], Edit(0, 1, 1))
    assert (order_of(edited.task_list).waves is waves) == is_the_same
