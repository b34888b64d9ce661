"""What the parser noticed is said once for each cause, and not where the file itself explains it."""

from __future__ import annotations

import pytest

from kiro_lsp.spec.checks import findings, fixes
from kiro_lsp.spec.editing.edits import applied
from kiro_lsp.spec.facts import facts_of

KIRO = ".kiro/specs/login/tasks.md"
SPEC_KIT = "specs/001-login/tasks.md"


def said(text: str, code: str, path: str = KIRO) -> list[tuple[int, str]]:
    """(1-based line, message) of what is said under a code."""
    return [(found.line + 1, found.message) for found in findings(facts_of(text, path)) if found.code == code]


def lines_of(text: str, code: str, path: str = KIRO) -> list[int]:
    return [line for line, _ in said(text, code, path)]


def test_tasks_that_are_headings_are_told_of_once_with_their_number() -> None:
    text = "# Plan\n\n### Task 1: a ✅\nx\n\n### Task 2: b\ny\n\n### Task 3: c\nz\n"
    ((line, message),) = said(text, "heading-task")
    assert line == 3
    assert message.startswith("3 tasks of this file, from here on, are headings")
    assert "can be run" in message
    ((_, done),) = said(text.replace("b\n", "b ✅\n").replace("c\n", "c ✅\n"), "heading-task")
    assert "can be run" not in done, "all of them are done"
    ((_, one),) = said("### Task 1: a\nx\n", "heading-task")
    assert one.startswith("This task is a heading")
    ((_, boxed),) = said("### - [ ] 1. a\n\n### - [x] 2. b\n", "heading-task")
    assert "with boxes that are in no list: the 1 that is not marked done can be run" in boxed


def test_rows_of_a_table_are_told_of_once() -> None:
    text = "| ID | Task | Status |\n|--|--|--|\n| T001 | A | done |\n| T002 | B | |\n"
    ((line, message),) = said(text, "table-task")
    assert (line, message[:7]) == (3, "2 tasks")


@pytest.mark.parametrize("key", ["work_package_id: WP01", "subtasks: [T001, T002]"])
def test_the_prompt_of_a_work_package_has_its_boxes_elsewhere(key: str) -> None:
    text = "### T001: a\nx\n\n### T002: b\ny\n"
    assert lines_of(f"---\ntitle: x\n{key}\n---\n{text}", "heading-task", SPEC_KIT) == []
    assert lines_of(f"---\ntitle: x\n---\n{text}", "heading-task", SPEC_KIT) == [4]


def test_boxes_in_raw_html_are_told_of_once_for_what_one_empty_line_mends() -> None:
    text = "<details>\n- [ ] a\n- [x] b\n- [ ] c\n</details>\n\n<details>\n- [ ] d\n</details>\n"
    (many, one) = said(text, "details-box")
    assert (many[0], "this box and 2 more" in many[1]) == (2, True)
    assert (one[0], "this box for raw HTML" in one[1]) == (8, True)
    (fix,) = fixes(facts_of(text, KIRO), "details-box", 1)
    assert lines_of(applied(text, fix.edits), "details-box") == [9]


def test_boxes_without_a_bullet_in_a_row_are_mended_at_once() -> None:
    text = "text\n\n[ ] a\n[x] b\n\nmore\n\n  [ ] c\n"
    (first, second) = said(text, "box-without-bullet")
    assert (first[0], "1 more right below" in first[1]) == (3, True)
    assert (second[0], second[1][:23]) == (8, "This box is no list ite")
    (fix,) = fixes(facts_of(text, KIRO), "box-without-bullet", 2)
    assert fix.title == "Make them 2 list items"
    assert applied(text, fix.edits) == "text\n\n- [ ] a\n- [x] b\n\nmore\n\n  [ ] c\n"


def test_what_nobody_shall_take_up_is_nothing_to_be_run() -> None:
    text = "# Planning\n\nIdeas. {}\n\n[ ] a\n\n## Tasks\n\n[ ] b\n"
    assert lines_of(text.format("Do not pick up these tasks."), "box-without-bullet") == [9]
    assert lines_of(text.format("Soon."), "box-without-bullet") == [5, 9]


def test_what_is_not_counted_to_its_end_is_said_to_be_more() -> None:
    row = "- **Subtasks**: [ ] T001 a [ ] T002 b\n"
    assert said(row * 60, "several-boxes")[0][1].startswith("at least 50 lines")
    ((_, message),) = said("- [?] a\n" * 60, "unknown-mark", "notes.md")
    assert "in 59 more boxes" in message


def test_several_boxes_on_a_line_are_told_of_once_and_no_checks_behind_a_label() -> None:
    row = "- **Subtasks**: [ ] T001 a [ ] T002 b\n"
    assert lines_of(row + "- [ ] 1. x\n" + row, "several-boxes") == [1]
    assert "2 lines from here on" in said(row + row, "several-boxes")[0][1]
    assert lines_of("- [ ] 1. x\n- **Validation:** [ ] green [ ] clean\n", "several-boxes") == []


@pytest.mark.parametrize("text", ["text\n\n[ ] a\n", "- **Subtasks**: [ ] T001 a [ ] T002 b\n", "- [x ] a\n"])
def test_that_there_are_no_tasks_is_not_said_beside_the_reason(text: str) -> None:
    assert lines_of(text, "no-tasks") == []
    assert lines_of("just words\n", "no-tasks") == [1]


def test_boxes_in_headings_are_told_of_once() -> None:
    ((line, message),) = said("- [ ] 1. a\n\n## [ ] B\n\n## [x] C\n", "heading-box")
    assert (line, message[:33]) == (3, "The boxes in headings, 2 from her")


# Marks


def test_a_mark_that_the_tool_itself_writes_is_none_to_wonder_at() -> None:
    assert lines_of("- [~] 1. a\n", "unknown-mark") == []
    assert lines_of("- [~] 1. a\n", "unknown-mark", "notes.md") == [1]
    assert lines_of("- [?] 1. a\n", "unknown-mark") == [1]


@pytest.mark.parametrize("words", ["PARTIAL: x is wired", "**deferred** to May", "部分完成"])
def test_a_mark_that_the_words_beside_it_explain(words: str) -> None:
    assert lines_of(f"- [?] 1. a {words}\n- [ ] 2. b\n", "unknown-mark") == []
    assert lines_of(f"- [?] 1. a\n  - {words}\n- [ ] 2. b\n", "unknown-mark") == []
    assert lines_of(f"- [?] 1. a\n- [?] 2. b {words}\n- [;] 3. c\n", "unknown-mark", "notes.md") == [3]


@pytest.mark.parametrize(("mark", "code"), [("?", "unknown-mark"), ("✅", "unwritable-mark")])
def test_a_mark_is_told_of_once_with_how_often_it_stands_there(mark: str, code: str) -> None:
    other = ";" if mark == "?" else "❌"
    text = f"- [{mark}] 1. a\n- [{mark}] 2. b\n- [{mark}] 3. c\n"
    ((line, message),) = said(text, code, "notes.md")
    assert (line, message.endswith("It stands in 2 more boxes below.")) == (1, True)
    assert lines_of(text + f"- [{other}] 4. d\n", code, "notes.md") == [1, 4]


def test_a_cross_is_no_riddle() -> None:
    ((_, message),) = said("- [❌] 1. a\n", "unwritable-mark")
    assert "counts as not done" in message


# Ids


def test_a_criterion_that_names_its_task_is_no_second_one() -> None:
    text = "## Work\n- [x] **T001** split\n- [ ] **T002** join\n\n## {}\n- [ ] **T001** the parts are split\n"
    assert lines_of(text.format("Definition of Done"), "duplicate-id", SPEC_KIT) == []
    assert lines_of(text.format("Definition of Done\n\n### Phase 1"), "duplicate-id", SPEC_KIT) == []
    assert lines_of(text.format("Phase 2"), "duplicate-id", SPEC_KIT) == [6]


def test_a_number_without_the_point_of_the_others_is_no_id() -> None:
    text = "- [x] 1. a\n- [x] 2. b\n- [ ] 3. c\n\n## Status\n- [x] 1 legacy baseline{}\n"
    assert lines_of(text.format(""), "duplicate-id") == []
    assert lines_of(text.format("").replace("1 legacy", "1. legacy"), "duplicate-id") == [6]


def test_a_file_in_two_languages_is_told_so_once() -> None:
    pairs = "".join(f"- [ ] {number}.1 word\n- [ ] {number}.1 Wort\n" for number in range(1, 7))
    ((line, message),) = said(pairs, "duplicate-id")
    assert (line, message[:26]) == (2, "Tasks of this file stand i")
    assert [one.severity for one in findings(facts_of(pairs, KIRO)) if one.code == "duplicate-id"] == ["information"]
    few = "- [ ] 1. a\n- [ ] 1. b\n" + "".join(f"- [ ] {number}. a\n" for number in range(2, 20))
    assert [one.severity for one in findings(facts_of(few, KIRO)) if one.code == "duplicate-id"] == ["warning"]


def test_the_same_task_twice_is_to_be_removed_once() -> None:
    text = "## A\n- [x] T001 Parse the arguments\n\n## B\n- [ ] T001 parse **the** arguments\n- [ ] T002 Other\n"
    assert said(text, "duplicate-id") == [
        (5, "The same task stands on line 2, where it is marked done. Remove one of the two.")
    ]
    assert [one.severity for one in findings(facts_of(text, KIRO)) if one.code == "duplicate-id"] == ["warning"]
    draft = "## A\n- [x] T001 Parse in `src/a.py`\n\n## B\n- [ ] T001 Read `src/a.py` anew\n"
    assert "The same task" in said(draft, "duplicate-id")[0][1]
    assert "The same task" not in said(draft.replace("a.py` anew", "b.py` anew"), "duplicate-id")[0][1]
    ((_, anew),) = said(text.replace("T00", ""), "duplicate-id")
    assert "Remove" not in anew, "each section may have its own"


def test_a_section_that_counts_anew_is_told_of_once() -> None:
    part = "".join(f"- [ ] {number}. a\n" for number in range(1, 6))
    found = said(f"## A\n{part}\n## B\n{part}\n## C\n{part}", "duplicate-id")
    assert [line for line, _ in found] == [9, 16]
    assert all(message.endswith("The same holds for 4 more of this section.") for _, message in found)
    assert lines_of("- [ ] 1. a\n- [ ] 1. b\n- [ ] 1. c\n", "duplicate-id") == [2, 3], (
        "in one list it is a slip each time"
    )


# Done, and not done


def test_what_is_open_below_a_done_task_is_told_of_once() -> None:
    text = "- [x] 3. a\n  - [ ] 3.1 b\n  - [x] 3.2 c\n  - [ ] 3.3 d\n  - [-] 3.4 e\n  - [ ] 3.5 f\n  - [ ] 3.6 g\n"
    assert said(text, "open-below-done") == [
        (
            2,
            "Task 3 on line 1 is marked done, but this sub-task of it is not. Nor are tasks 3.3, 3.4, 3.5 and 1 more.",
        )
    ]


@pytest.mark.parametrize(
    "child", ["[ ] 3.1 b (OPTIONAL, 88 %)", "[ ] 3.1 b (skipped: no budget)", "[ ] 3.1 DEFERRED b", "[?] 3.1 b"]
)
def test_what_was_left_out_on_purpose_is_not_open_below_a_done_task(child: str) -> None:
    assert lines_of(f"- [x] 3. a\n  - {child}\n", "open-below-done") == []
    assert lines_of("- [x] 3. a\n  - [ ] 3.1 b\n", "open-below-done") == [2]


def test_what_waits_for_a_withdrawn_task_is_not_open_below_a_done_one() -> None:
    text = "- [ ] ~~2. a~~\n  - [ ] 2.2 b\n- [x] 4. c\n  - [ ] 4.1 d\n    - _Depends: {}_\n- [ ] 5. e\n"
    assert lines_of(text.format("2.2"), "open-below-done") == []
    assert lines_of(text.format("5"), "open-below-done") == [4]


def test_a_number_of_another_task_is_not_below_this_one() -> None:
    text = "- [x] 17. a\n  - [x] 17.1 b\n  - [x] 17.2 c\n  - [x] 17.3 d\n  - [ ] 18.3 e\n"
    assert lines_of(text, "open-below-done") == []
    ((line, message),) = said(text, "id-parent")
    assert line == 5
    assert (
        "its number belongs to a task 18, which is not there. Renumber it 17.4, or write that task above it." in message
    )
    assert "belongs to task 18. Renumber" in said(f"{text}- [ ] 18. f\n", "id-parent")[0][1]
