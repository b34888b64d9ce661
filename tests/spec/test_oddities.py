"""What is odd in a task file is said, with its place; and bytes that are no text are a problem, never a failure."""

from __future__ import annotations

import pytest

from kiro_lsp.spec.tasks import decode, parse

KIRO = ".kiro/specs/login/tasks.md"


@pytest.mark.parametrize(
    ("text", "path", "line", "code"),
    [
        ("", "", 0, "empty-file"),
        ("\ufeff \n\n", "", 0, "empty-file"),
        ("just words\n", KIRO, 0, "no-tasks"),
        ("- [ ] T1 a\n- [ ] T1 b\n", "", 1, "duplicate-id"),
        ("- [ ] a\n\n```\n- [ ] b\n", "", 2, "unclosed-fence"),
        ("- [ ] a\n\n<!--\n- [ ] b\n", "", 2, "unclosed-comment"),
        ("- [ ] a\n- [✅] b\n", "", 1, "unwritable-mark"),
        ("- [ ] a\n- [?] b\n", "", 1, "unknown-mark"),
        ("- [ ] - [X] a\n", "", 0, "doubled-box"),
        ("<details>\n- [ ] a\n</details>\n", "", 1, "details-box"),
        ("- [ ] a\n- [x ] b\n", "", 1, "malformed-box"),
        ("- [ ] a\n- [  ] b\n", "", 1, "malformed-box"),
        ("- [ ] a\n\n[ ] b\n", "", 2, "box-without-bullet"),
        ("- **Subtasks**: - [x] T001 · - [x] T002\n", "", 0, "several-boxes"),
        ("- [x] 1. a\n  - [ ] 1.1 b\n", "", 1, "open-below-done"),
        ("- [X] 1. a\n", ".spec-workflow/specs/a/tasks.md", 0, "lost-mark"),
        ('- [ ] 1. a\n\n```json\n{"waves": [1,\n```\n', "", 2, "waves"),
        ('- [ ] 1. a\n\n```json\n{"waves": "none"}\n```\n', "", 2, "waves"),
    ],
)
def test_what_is_odd_is_said(text: str, path: str, line: int, code: str) -> None:
    problems = [problem for problem in parse(text, path).problems if problem.code == code]
    assert [problem.line for problem in problems] == [line]
    assert problems[0].message.endswith((".", "!"))


@pytest.mark.parametrize(
    "text",
    [
        "- **Validation:** [ ] green; [ ] was red\n  first; [ ] identical;\n  [ ] tests pass; [ ] clean.\n",
        "Checks: [ ] green,\n[ ] clean.\n",
    ],
)
def test_boxes_in_a_sentence_are_no_list_where_the_line_ends_before_one(text: str) -> None:
    found = [problem.code for problem in parse(f"- [ ] 1. a\n\n{text}", "").problems]
    assert "box-without-bullet" not in found


def test_a_broken_file_does_not_repeat_itself_without_end() -> None:
    assert len(parse("- [ ] T1 a\n" * 1000).problems) <= 60


def test_a_doubled_box_counts_once_and_its_first_mark() -> None:
    (found,) = parse("- [ ] - [X] T002 Build\n").tasks
    assert (found.id, found.title, found.status) == ("T002", "Build", "open")


@pytest.mark.parametrize(
    ("data", "code", "line", "column"),
    [
        (b"\x00\x01", "binary", 0, 0),
        (b"text\nab\x00", "binary", 1, 2),
        (b"- [ ] Caf\xe9\n", "not-utf8", 0, 9),
        ("- [ ] é\r\n- [ ] ".encode() + b"\xff", "not-utf8", 1, 6),
        ("- [ ] a".encode("utf-16"), "not-utf8", 0, 0),
    ],
)
def test_bytes_that_are_no_utf8_are_a_problem(data: bytes, code: str, line: int, column: int) -> None:
    decoded = decode(data)
    assert decoded.text is None
    assert decoded.problem is not None
    assert (decoded.problem.code, decoded.problem.line, decoded.problem.column) == (code, line, column)


def test_a_byte_order_mark_is_no_text() -> None:
    decoded = decode(b"\xef\xbb\xbf- [ ] a\n")
    assert (decoded.text, decoded.bom, decoded.problem) == ("- [ ] a\n", True, None)
    assert decode(b"") == type(decoded)("", None, False)


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("- [~] 1. a\n", KIRO, "is what Kiro gives a task that is queued"),
        ("- [?] 1. a\n", KIRO, "has no fixed meaning in kiro files"),
        ("- [~] T001 a\n", "specs/001-x/tasks.md", "has no fixed meaning in spec-kit files"),
        ("- [~] a (**superseded by b**)\n- [x] b\n", "TODO.md", ""),
        (
            "### Legend\n\n- [ ] Not started\n- [x] Completed\n- [-] Deprecated (can go)\n\n### A\n\n- [-] a\n",
            "TODO.md",
            "",
        ),
    ],
)
def test_what_is_said_of_a_mark_without_a_meaning(text: str, path: str, expected: str) -> None:
    said = [problem.message for problem in parse(text, path).problems if problem.code == "unknown-mark"]
    assert len(said) == bool(expected)
    assert all(expected in message for message in said)
