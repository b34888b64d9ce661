"""A tick changes one byte of the right task, or nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiro_lsp.spec.model import MarkEdit, Problem, TaskStatus
from kiro_lsp.spec.tasks import apply_mark, decode, mark_edit, mark_for, parse, split_lines

KIRO = ".kiro/specs/a/tasks.md"
SPEC_KIT = "specs/001-a/tasks.md"
WORKFLOW = ".spec-workflow/specs/a/tasks.md"
OPENSPEC = "openspec/changes/a/tasks.md"


def written(text: str, status: TaskStatus, path: str = "notes.md", *, at: int = 0) -> str | Problem:
    """The text with the status of its task number `at` written, or why it was not."""
    tasks = parse(text, path)
    edit = mark_edit(tasks, text, tasks.tasks[at], status, path)
    return edit if isinstance(edit, Problem) else apply_mark(text.encode(), edit).decode()


@pytest.mark.parametrize(
    ("text", "path", "status", "expected"),
    [
        ("- [ ] 1. a\n", KIRO, "done", "- [x] 1. a\n"),
        ("- [x] 1. a\n", KIRO, "open", "- [ ] 1. a\n"),
        ("- [ ]* 1.1 a\n", KIRO, "done", "- [x]* 1.1 a\n"),
        ("- [ ]\\* 1.1 a\n", KIRO, "done", "- [x]\\* 1.1 a\n"),
        ("- [ ] 1. a\n", KIRO, "in-progress", "- [-] 1. a\n"),
        ("- [ ] 1. a\n", WORKFLOW, "in-progress", "- [-] 1. a\n"),
        ("- [ ] 1. a\n", WORKFLOW, "blocked", "- [~] 1. a\n"),
        ("- [ ] 1. a\n- [X] 2. b\n", WORKFLOW, "done", "- [x] 1. a\n- [X] 2. b\n"),
        ("- [ ] T001 a\n", SPEC_KIT, "done", "- [X] T001 a\n"),
        ("- [ ] T001 a\n- [x] T002 b\n", SPEC_KIT, "done", "- [x] T001 a\n- [x] T002 b\n"),
        ("- [ ] a\n- [X] b\n- [X] c\n- [x] d\n", "notes.md", "done", "- [X] a\n- [X] b\n- [X] c\n- [x] d\n"),
        ("- [ ] 1.1 a\n", OPENSPEC, "done", "- [x] 1.1 a\n"),
        ("- [] a\n", "notes.md", "done", "- [x] a\n"),
        ("- [] a\n", "notes.md", "open", "- [] a\n"),
        ("- [X] a\n- [x] b\n- [x] c\n", "notes.md", "done", "- [X] a\n- [x] b\n- [x] c\n"),
        ("1. [ ] a\n", "notes.md", "done", "1. [x] a\n"),
        ("> - [ ] a\n", "notes.md", "done", "> - [x] a\n"),
        ("\t- [ ] code\n\n- [ ] a\n", "notes.md", "done", "\t- [ ] code\n\n- [x] a\n"),
        ("- [ ] 中文 [ ] a", "notes.md", "done", "- [x] 中文 [ ] a"),
        ("legend: `[ ] open`, `[~] in progress`, `[x] done`\n\n- [ ] a\n", "notes.md", "in-progress", None),
        ("- [/] T001 a\n- [ ] T002 b\n", SPEC_KIT, "in-progress", "- [/] T001 a\n- [ ] T002 b\n"),
    ],
)
def test_what_a_tick_writes(text: str, path: str, status: TaskStatus, expected: str | None) -> None:
    if expected is None:
        expected = text.replace("- [ ] a", "- [~] a")
    assert written(text, status, path) == expected


def test_the_mark_of_a_used_status_is_used_again() -> None:
    text = "- [/] T001 a\n- [ ] T002 b\n"
    assert written(text, "in-progress", SPEC_KIT, at=1) == "- [/] T001 a\n- [/] T002 b\n"


@pytest.mark.parametrize(
    ("text", "path", "status", "code"),
    [
        ("- [✅] a\n", "notes.md", "open", "unwritable-mark"),
        ("- [✔\ufe0f] a\n", "notes.md", "open", "unwritable-mark"),
        ("- [\u3000] a\n", "notes.md", "done", "unwritable-mark"),
        ("### [ ] a\n", "notes.md", "done", "unwritable-mark"),
        ("### Task 1: a\n", "notes.md", "done", "unwritable-mark"),
        ("| ID | Task | Status |\n|--|--|--|\n| 1 | a | open |\n", "notes.md", "done", "unwritable-mark"),
        ("- [ ] 1.1 a\n", OPENSPEC, "in-progress", "no-mark"),
        ("- [ ] T001 a\n", SPEC_KIT, "blocked", "no-mark"),
        ("- [ ] 1. a\n", KIRO, "unknown", "no-mark"),
    ],
)
def test_other_forms_are_refused(text: str, path: str, status: TaskStatus, code: str) -> None:
    refusal = written(text, status, path)
    assert isinstance(refusal, Problem)
    assert refusal.code == code
    assert refusal.message


def test_a_text_that_was_not_parsed_is_refused() -> None:
    text = "- [ ] a\n- [ ] b\n"
    tasks = parse(text)
    for other in ("- [x] b\n", "", "text\n", "  - [ ] a\n"):
        refusal = mark_edit(tasks, other, tasks.tasks[0], "done", "")
        assert isinstance(refusal, Problem)
        assert refusal.code == "stale"


def test_an_edit_outside_a_box_is_refused() -> None:
    for edit in (
        MarkEdit(0, 0, 1, "x"),
        MarkEdit(5, 3, 4, "x"),
        MarkEdit(0, 3, 4, "xx"),
        MarkEdit(0, 3, 4, "✅"),
        MarkEdit(0, 3, 4, ""),
    ):
        with pytest.raises(ValueError, match=r"box|mark"):
            apply_mark(b"- [ ] a\n", edit)


@pytest.mark.parametrize("path", ["a/.spec-workflow/specs/x/tasks.md", "C:\\p\\.spec-workflow\\specs\\x\\tasks.md"])
def test_spec_workflow_never_gets_a_capital(path: str) -> None:
    tasks = parse("- [X] 1. a\n- [X] 2. b\n- [ ] 3. c\n", path)
    assert mark_for(tasks, "done", path) == "x"


def test_positions_hold_for_a_text_that_keeps_its_byte_order_mark() -> None:
    text = "\ufeff- [ ] a\n"
    tasks = parse(text)
    edit = mark_edit(tasks, text, tasks.tasks[0], "done", "")
    assert edit == MarkEdit(0, 4, 5, "x")
    assert decode(text.encode()).text == "- [ ] a\n"


TASK_LINE = st.tuples(
    st.sampled_from(["", "  ", "> "]),
    st.sampled_from(["-", "*", "+", "1.", "2)"]),
    st.sampled_from([" ", "x", "X", "-", "~", "/", "!", ">", "", "✅", "❌"]),
    st.sampled_from(["", "*", "\\*"]),
    st.sampled_from(["1. one", "T001 [P] zwei", "三 [ ] x", "", "`[x]` code", "**2.1 a**"]),
).map(lambda parts: f"{parts[0]}{parts[1]} [{parts[2]}]{parts[3]} {parts[4]}")
OTHER_LINE = st.sampled_from(
    ["", "# Head", "text", "  - detail", "  _Requirements: 1.1_", "---", "\u2028", "é\f", "```", "<!-- [ ] -->"]
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(TASK_LINE | OTHER_LINE, max_size=8),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["open", "in-progress", "done", "blocked"]),
    st.sampled_from([KIRO, SPEC_KIT, WORKFLOW, OPENSPEC, "notes.md"]),
)
def test_a_tick_changes_one_byte_or_nothing(
    lines: list[str], end: str, bom: bool, final: bool, status: TaskStatus, path: str
) -> None:
    data = (b"\xef\xbb\xbf" if bom else b"") + (end.join(lines) + (end if final else "")).encode()
    text = decode(data).text
    assert text is not None
    tasks = parse(text, path)
    for task in tasks.tasks:
        edit = mark_edit(tasks, text, task, status, path)
        if isinstance(edit, Problem):
            continue
        changed = apply_mark(data, edit)
        again = parse(decode(changed).text or "", path)
        assert len(again.tasks) == len(tasks.tasks)
        found = next(other for other in again.tasks if other.line == task.line)
        assert found.status == status or edit.new == task.mark
        assert (found.id, found.title, found.optional) == (task.id, task.title, task.optional)
        expected = 0 if edit.new == task.mark else 1
        if task.mark:
            assert sum(one != other for one, other in zip(data, changed, strict=True)) == expected
        else:
            assert len(changed) == len(data) + expected
        before, after = split_lines(text), split_lines(decode(changed).text or "")
        assert [line for number, line in enumerate(before) if number != task.line] == [
            line for number, line in enumerate(after) if number != task.line
        ]
