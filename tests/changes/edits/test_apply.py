"""What an answer makes of files: every operation, every refusal, all or nothing."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from kiro_lsp.changes.edits.answer import (
    Answer,
    Edit,
    FileEdit,
    FormatProblem,
    InsertEdit,
    Line,
    LinesEdit,
    Outcome,
    StringEdit,
)
from kiro_lsp.changes.edits.apply import apply_answer

FILES = {"a.txt": b"one\ntwo\nthree\n", "dir/b.txt": b"\xef\xbb\xbfalpha\r\nbeta\r\n", "empty.txt": b"", "bin": b"\0\1"}


def lines(old: str, new: str, **more: object) -> LinesEdit:
    """An edit that replaces whole lines; `|` separates them."""
    found = [Line("-", text) for text in old.split("|") if old] + [Line("+", text) for text in new.split("|") if new]
    return LinesEdit(tuple(found), **more)  # type: ignore[arg-type]


def edits(path: str, *wanted: Edit, **more: object) -> FileEdit:
    return FileEdit((path,) if path else (), "edit", tuple(wanted), **more)  # type: ignore[arg-type]


def outcome(
    *sections: FileEdit, problems: tuple[FormatProblem, ...] = (), files: Mapping[str, bytes] = FILES
) -> Outcome:
    return apply_answer(Answer("test", sections, problems), files)


def result(found: Outcome, files: Mapping[str, bytes]) -> dict[str, bytes]:
    after = dict(files)
    for change in found.changes:
        assert change.base == files.get(change.path)
        if change.action in ("delete", "rename"):
            del after[change.path]
        if change.proposed is not None:
            after[change.to or change.path] = change.proposed
    return after


def check(sections: list[FileEdit], expected: dict[str, bytes | None], files: Mapping[str, bytes] = FILES) -> Outcome:
    """`expected` names the files that differ afterwards; None: gone."""
    found = outcome(*sections, files=files)
    assert found.failures == ()
    after = result(found, files)
    assert {path: after.get(path) for path in {*after, *files} if after.get(path) != files.get(path)} == expected
    return found


def refused(sections: list[FileEdit], reason: str, *parts: str, files: Mapping[str, bytes] = FILES) -> Outcome:
    found = outcome(*sections, files=files)
    assert [failure.reason for failure in found.failures] == [reason], found
    assert found.changes == ()
    assert found.placed == ()
    for part in parts:
        assert part in found.failures[0].hint
    return found


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (edits("a.txt", lines("two", "2")), {"a.txt": b"one\n2\nthree\n"}),
        (edits("dir/b.txt", lines("alpha", "1|2")), {"dir/b.txt": b"\xef\xbb\xbf1\r\n2\r\nbeta\r\n"}),
        (edits("b.txt", lines("beta", "")), {"dir/b.txt": b"\xef\xbb\xbfalpha\r\n"}),
        (edits("a.txt", StringEdit("o", "0", every=True)), {"a.txt": b"0ne\ntw0\nthree\n"}),
        (edits("a.txt", StringEdit("ne\ntw", "NE\nTW")), {"a.txt": b"oNE\nTWo\nthree\n"}),
        (edits("a.txt", StringEdit("three\n", "")), {"a.txt": b"one\ntwo\n"}),
        (edits("a.txt", StringEdit("three\n", "end")), {"a.txt": b"one\ntwo\nend"}),
        (edits("dir/b.txt", StringEdit("alpha\nbeta", "x\ny\nz")), {"dir/b.txt": b"\xef\xbb\xbfx\r\ny\r\nz\r\n"}),
        (edits("a.txt", StringEdit("n", "N"), StringEdit("o", "O", every=True)), {"a.txt": b"ONe\ntwO\nthree\n"}),
        (edits("a.txt", InsertEdit(0, "zero")), {"a.txt": b"zero\none\ntwo\nthree\n"}),
        (edits("a.txt", InsertEdit(3, "four\nfive\n")), {"a.txt": b"one\ntwo\nthree\nfour\nfive\n"}),
        (edits("empty.txt", StringEdit("", "x\ny")), {"empty.txt": b"x\ny"}),
        (edits("empty.txt", lines("", "x")), {"empty.txt": b"x\n"}),
        (edits("a.txt", lines("", "four", at_end=True)), {"a.txt": b"one\ntwo\nthree\nfour\n"}),
        (edits("a.txt", lines("three", "three", new_newline=False)), {"a.txt": b"one\ntwo\nthree"}),
        (FileEdit(("new/c.txt",), "create", content="x\n"), {"new/c.txt": b"x\n"}),
        (FileEdit(("a.txt",), "whole", content="x\n"), {"a.txt": b"x\n"}),
        (FileEdit(("dir/b.txt",), "whole", content="x\ny\n"), {"dir/b.txt": b"\xef\xbb\xbfx\r\ny\r\n"}),
        (FileEdit(("c.txt",), "whole", content="x"), {"c.txt": b"x"}),
        (FileEdit(("a.txt",), "delete"), {"a.txt": None}),
        (FileEdit(("a.txt",), "delete", (lines("one|two|three", ""),)), {"a.txt": None}),
        (FileEdit(("a.txt",), "rename", to="b/c.txt"), {"a.txt": None, "b/c.txt": FILES["a.txt"]}),
        (
            FileEdit(("a.txt",), "rename", (lines("one", "1"),), to="c.txt"),
            {"a.txt": None, "c.txt": b"1\ntwo\nthree\n"},
        ),
        (FileEdit(("a.txt",), "copy", to="c.txt"), {"c.txt": FILES["a.txt"]}),
    ],
)
def test_one_section_of_an_answer(section: FileEdit, expected: dict[str, bytes | None]) -> None:
    check([section], expected)


@pytest.mark.parametrize(
    ("section", "reason", "part"),
    [
        (edits("a.txt", lines("four", "4")), "not-found", "closest place is line"),
        (edits("a.txt", lines("two", "2"), lines("two", "zwei")), "conflict", ""),
        (edits("a.txt", lines("", "x")), "ambiguous", "does not say where"),
        (edits("a.txt", InsertEdit(4, "x")), "not-found", "has 3 lines"),
        (edits("a.txt", StringEdit("", "x")), "ambiguous", "not"),
        (edits("a.txt", StringEdit("o", "0")), "ambiguous", "lines 1, 2"),
        (edits("a.txt", StringEdit("2", "two")), "already-applied", "line 2"),
        (edits("a.txt", StringEdit("two", "two\nthree")), "already-applied", "line 2"),
        (edits("none.txt", lines("a", "b")), "path", "There is no file"),
        (edits("../a.txt", lines("one", "b")), "path", "outside the project"),
        (edits("/etc/a.txt", lines("one", "b")), "path", "outside the project"),
        (edits("C:\\a.txt", lines("one", "b")), "path", "outside the project"),
        (edits("bin", StringEdit("x", "y")), "format", "no text"),
        (FileEdit(("../c.txt",), "create", content="x"), "path", "outside the project"),
        (FileEdit((".git/hooks/x",), "create", content="x"), "path", "git"),
        (FileEdit(("a.txt",), "create", content="x"), "conflict", "exists already"),
        (FileEdit(("a.txt",), "create", content="one\ntwo\nthree\n"), "already-applied", "just this content"),
        (FileEdit(("a.txt",), "delete", (lines("one|two", ""),)), "not-found", "3 lines"),
        (FileEdit(("a.txt",), "rename", to="dir/b.txt"), "conflict", "exists already"),
        (FileEdit(("a.txt",), "rename", to="../b.txt"), "path", "outside the project"),
        (FileEdit(("a.txt",), "whole", content="one\ntwo\nthree\n"), "already-applied", "changes nothing"),
        (FileEdit(("c.txt",), "whole", content="\ud800"), "format", "half a character"),
    ],
)
def test_a_refusal_says_why_and_changes_nothing(section: FileEdit, reason: str, part: str) -> None:
    found = outcome(section)
    assert {failure.reason for failure in found.failures} == {reason}
    assert found.changes == ()
    assert part in found.failures[0].hint


def test_one_refused_edit_leaves_every_file_alone() -> None:
    refused([edits("a.txt", lines("two", "2")), edits("dir/b.txt", lines("gamma", "c"))], "not-found")
    found = outcome(edits("a.txt", lines("two", "2")), problems=(FormatProblem("cut off", 9),))
    assert [(failure.edit, failure.reason) for failure in found.failures] == [(1, "format")]
    assert found.changes == ()


def test_failures_count_all_edits_of_the_answer() -> None:
    found = outcome(
        edits("a.txt", lines("one", "1"), lines("nine", "9"), answer_line=1),
        FileEdit(("gone",), "delete", answer_line=5),
        edits("dir/b.txt", lines("zeta", "z"), answer_line=9),
    )
    assert [(failure.edit, failure.path) for failure in found.failures] == [(1, "a.txt"), (2, "gone"), (3, "dir/b.txt")]


def test_edits_of_one_file_quote_the_text_as_it_was_in_any_order() -> None:
    forward = [edits("a.txt", lines("one", "1")), edits("a.txt", lines("three", "3"))]
    check(forward, {"a.txt": b"1\ntwo\n3\n"})
    check(forward[::-1], {"a.txt": b"1\ntwo\n3\n"})


def test_an_edit_may_quote_what_an_earlier_one_wrote() -> None:
    found = check([edits("a.txt", lines("one", "first"), lines("first", "1st"))], {"a.txt": b"1st\ntwo\nthree\n"})
    assert found.placed[1].note == "found in what an earlier edit of the answer wrote"
    # The other way round it would quote the future.
    refused([edits("a.txt", lines("first", "1st"), lines("one", "first"))], "not-found")


def test_the_same_edit_twice_counts_once() -> None:
    check([edits("a.txt", lines("one", "1"), lines("one", "1"))], {"a.txt": b"1\ntwo\nthree\n"})


def test_two_things_with_one_file_contradict_each_other() -> None:
    refused(
        [edits("a.txt", lines("one", "1")), FileEdit(("a.txt",), "delete", answer_line=2)], "conflict", "two things"
    )
    refused([FileEdit(("a.txt",), "whole", content="x"), edits("a.txt", lines("one", "1"), answer_line=2)], "conflict")


def test_gits_sections_follow_each_other() -> None:
    sections = [
        edits("a.txt", lines("one", "1"), sequential=True, answer_line=1),
        edits("a.txt", lines("1", "first"), sequential=True, answer_line=2),
        FileEdit(("dir/b.txt",), "delete", sequential=True, answer_line=3),
        FileEdit(("dir/b.txt",), "create", content="again\n", sequential=True, answer_line=4),
    ]
    check(sections, {"a.txt": b"first\ntwo\nthree\n", "dir/b.txt": b"again\n"})


def test_an_unnamed_edit_means_the_only_file() -> None:
    only = {"x.txt": b"one\n"}
    check([edits("", lines("one", "1"))], {"x.txt": b"1\n"}, only)
    refused([edits("", lines("one", "1"))], "path", "names no file")


def test_a_file_that_changed_since_it_was_read_is_stale() -> None:
    answer = Answer("test", (edits("a.txt", lines("zwei", "2")),))
    found = apply_answer(answer, FILES, seen={"a.txt": b"one\nzwei\nthree\n"})
    assert [failure.reason for failure in found.failures] == ["stale"]
    assert "has changed since it was read" in found.failures[0].hint
    unchanged = apply_answer(answer, FILES, seen={"a.txt": FILES["a.txt"]})
    assert [failure.reason for failure in unchanged.failures] == ["not-found"]


def test_a_missing_line_is_named_as_sent_and_as_it_is() -> None:
    wanted = LinesEdit((Line(" ", "one"), Line("-", "too"), Line("+", "2")))
    failure = outcome(edits("a.txt", wanted)).failures[0]
    assert failure.candidates[0] == 1
    assert failure.difference is not None
    assert (failure.difference.line, failure.difference.sent, failure.difference.found) == (2, "too", "two")
    assert "sent 'too', the file has 'two'" in failure.hint


def test_modes_are_changed_with_and_without_text() -> None:
    answer = Answer("test", (FileEdit(("a.txt",), "edit", (lines("one", "1"),), mode=0o755),))
    change = apply_answer(answer, FILES, modes=lambda _path: 0o644).changes[0]
    assert (change.base_mode, change.mode, change.proposed) == (0o644, 0o755, b"1\ntwo\nthree\n")
    only = Answer("test", (FileEdit(("a.txt",), "edit", mode=0o755),))
    change = apply_answer(only, FILES, modes=lambda _path: 0o644).changes[0]
    assert (change.mode, change.proposed) == (0o755, FILES["a.txt"])


def test_a_file_that_would_shrink_is_said() -> None:
    files = {"long.txt": b"line\n" * 40}
    found = check([FileEdit(("long.txt",), "whole", content="x\n")], {"long.txt": b"x\n"}, files)
    assert found.warnings == ("long.txt would shrink from 40 to 1 lines.",)
