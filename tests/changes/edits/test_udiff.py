"""Unified diffs and patches of apply_patch, read into edits: what they say, not what they count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiro_lsp.changes.edits.answer import FileEdit, FormatProblem, LinesEdit
from kiro_lsp.changes.edits.formats import apply_patch, udiff
from kiro_lsp.changes.edits.formats.reading import Region
from kiro_lsp.changes.edits.hunks import Header, _Reader, _strictly, read_body, read_header

Parts = list[FileEdit | FormatProblem]


def read(text: str, *, fenced: bool = False, language: str = "", patch: bool = False) -> Parts:
    """Everything the format finds in a text."""
    format = apply_patch if patch else udiff
    lines = text.split("\n")
    region = Region(lines, 0, len(lines), True, None, fenced, None, language)
    found: Parts = []
    at = 0
    while at < len(lines):
        if format.begins(region, at):
            reading = format.read(region, at)
            assert reading is not None
            files, problems, following = reading
            assert following > at
            found += [*files, *problems]
            at = following
        else:
            at += 1
    return found


def shown(part: FileEdit | FormatProblem) -> tuple[object, ...]:
    """An edit in short: action, first name, the hunks' lines, content, target."""
    if isinstance(part, FormatProblem):
        return ("problem", part.message)
    hunks = [
        "".join(f"{line.mark}{line.text}|" for line in edit.lines) for edit in part.edits if isinstance(edit, LinesEdit)
    ]
    more = tuple(value for value in (part.content, part.to) if value is not None)
    return (part.action, part.names[0] if part.names else None, *hunks, *more)


def check(text: str, expected: list[tuple[object, ...]], **region: object) -> None:
    assert [shown(part) for part in read(text, **region)] == expected  # type: ignore[arg-type]


HEAD = "--- a/f\n+++ b/f\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{HEAD}@@ -1,2 +1,2 @@\n a\n-b\n+c", [("edit", "f", " a|-b|+c|")]),
        # Counts say less than there is, more than there is, nothing.
        (f"{HEAD}@@ -1,1 +1,1 @@\n a\n-b\n+c", [("edit", "f", " a|-b|+c|")]),
        (f"{HEAD}@@ -1,9 +1,9 @@\n a\n-b\n+c", [("edit", "f", " a|-b|+c|")]),
        (f"{HEAD}@@ ... @@\n a\n-b\n+c", [("edit", "f", " a|-b|+c|")]),
        (f"{HEAD}@@\n a\n-b\n+c\n@@\n d\n-e", [("edit", "f", " a|-b|+c|", " d|-e|")]),
        # Context without its marker, empty context, empty lines between hunks.
        (f"{HEAD}@@ -1,3 +1,3 @@\na\n\n-b\n+c", [("edit", "f", " a| |-b|+c|")]),
        (f"{HEAD}@@ -1 +1 @@\n-b\n+c\n\n@@ -9 +9 @@\n-d\n+e\n", [("edit", "f", "-b|+c|", "-d|+e|")]),
        # Text behind a complete hunk is none of it.
        (f"{HEAD}@@ -1 +1 @@\n-b\n+c\n\nThat is all.\n\n- a list", [("edit", "f", "-b|+c|")]),
        (f"{HEAD}@@ -1 +1 @@\n-b\n+c\n-- \n2.39.0\n", [("edit", "f", "-b|+c|")]),
        # Removed and added lines that look like headers.
        (
            f"{HEAD}@@ -1,2 +1,2 @@\n--- old comment\n+++ new comment\n a",
            [("edit", "f", "--- old comment|+++ new comment| a|")],
        ),
        # Two files, without and with git's line.
        (
            f"{HEAD}@@ -1 +1 @@\n-a\n+b\n--- a/g\n+++ b/g\n@@ -1 +1 @@\n-c\n+d",
            [("edit", "f", "-a|+b|"), ("edit", "g", "-c|+d|")],
        ),
        (
            "diff --git a/f b/f\nindex 1..2 100644\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n"
            "diff --git a/g b/g\nold mode 100644\nnew mode 100755\n",
            [("edit", "f", "-a|+b|"), ("edit", "g")],
        ),
        ("--- /dev/null\n+++ b/n\n@@ -0,0 +1,2 @@\n+x\n+y", [("create", "n", "x\ny\n")]),
        ("--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\n\\ No newline at end of file", [("create", "n", "x")]),
        (
            "--- n\t1970-01-01 00:00:00 +0000\n+++ n\t2020-01-01 00:00:00 +0000\n@@ -0,0 +1 @@\n+x",
            [("create", "n", "x\n")],
        ),
        ("diff --git a/n b/n\nnew file mode 100755\nindex 0..0", [("create", "n", "")]),
        ("--- a/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-x", [("delete", "f", "-x|")]),
        ("diff --git a/f b/f\ndeleted file mode 100644\nindex 1..0", [("delete", "f")]),
        ("diff --git a/f b/g\nsimilarity index 100%\nrename from f\nrename to g\n", [("rename", "f", "g")]),
        (
            "diff --git a/f b/g\ncopy from f\ncopy to g\n--- a/f\n+++ b/g\n@@ -1 +1 @@\n-a\n+b",
            [("copy", "f", "-a|+b|", "g")],
        ),
        ("Index: f\n====\n--- f\t(revision 1)\n+++ f\t(working copy)\n@@ -1 +1 @@\n-a\n+b", [("edit", "f", "-a|+b|")]),
        ("+++ b/f\n@@ -1 +1 @@\n-a\n+b", [("edit", "f", "-a|+b|")]),
        ("@@ -1 +1 @@\n-a\n+b", [("edit", None, "-a|+b|")]),
        # A jump inside, and jumps at the ends, which say nothing.
        (f"{HEAD}@@ @@\n a\n-b\n c\n...\n d\n-e", [("edit", "f", " a|-b| c|~...| d|-e|")]),
        (f"{HEAD}@@ @@\n ...\n a\n-b\n # ... rest of the file ...", [("edit", "f", " a|-b|")]),
        (f"{HEAD}@@ -1 +1 @@ def run(self):\n-a\n+b", [("edit", "f", "-a|+b|")]),
        # Prose is no diff.
        ("- one\n+ two\n--- \n---\n\n@@ nobody", []),
    ],
)
def test_a_diff_is_read_for_its_lines(text: str, expected: list[tuple[object, ...]]) -> None:
    check(text, expected)


def test_a_fence_of_marked_lines_needs_no_header() -> None:
    check(" a\n-b\n+c", [("edit", None, " a|-b|+c|")], fenced=True, language="diff")
    check(" a\n-b\n+c", [], fenced=True, language="python")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (f"{HEAD}@@ -1 +1 @@\n a\n", "no hunk with a + or - line"),
        ("--- a/f\n@@ -1 +1 @@\n-a\n+b", "without a +++ line"),
        ("diff --git a/f b/f\n--- a/g\n+++ b/g\n@@ -1 +1 @@\n-a\n+b", "name different files"),
        ("diff --git a/f b/f\nindex 1..2\nGIT binary patch\nliteral 1\nx", "binary patch"),
        ("diff --git a/f b/f\nnew file mode 120000\n--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+x", "link"),
        ("diff --git a/f b/g\nrename from f\n", "both a `from` and a `to`"),
        ("--- /dev/null\n+++ b/f\n@@ -1 +1,2 @@\n a\n+b", "quotes old lines"),
        ("--- a/f\n+++ /dev/null\n@@ -1 +1 @@\n-a\n+b", "adds lines"),
        ("@@@ -1 -1 +1 @@@\n--a\n++b", "combined diff"),
    ],
)
def test_a_diff_that_cannot_be_used_says_why(text: str, part: str) -> None:
    found = read(text)
    assert len(found) == 1
    assert isinstance(found[0], FormatProblem)
    assert part in found[0].message


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("@@ -3,4 +5,6 @@", Header(3, 4, 6)),
        ("@@ -3 +5 @@ class A:", Header(3, 1, 1, "class A:")),
        ("@@ ... @@", Header()),
        ("@@", Header()),
        ("@@ @@", Header()),
        ("@@ def f(x) @@", Header(anchor="def f(x)")),
        ("@@ def f(x):", Header(anchor="def f(x):")),
    ],
)
def test_a_hunk_header_is_numbers_and_an_anchor(line: str, expected: Header) -> None:
    assert read_header(line) == expected


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        ("-a\n\\ No newline at end of file\n+a", False, True),
        ("-a\n+a\n\\ No newline at end of file", True, False),
        (" a\n-b\n\\ No newline at end of file\n+c\n\\ No newline at end of file", False, False),
        ("-a\n+a", None, None),
    ],
)
def test_the_end_of_the_file_is_said_for_both_sides(text: str, old: bool | None, new: bool | None) -> None:
    lines = text.split("\n")
    body = read_body(lines, 0, len(lines), Header(), fenced=True)
    assert (body.old_newline, body.new_newline) == (old, new)


@given(
    st.lists(
        st.tuples(st.sampled_from(" +-"), st.sampled_from(["", "a", "- x", "...", "\u2028", "x\x0cy"])),
        min_size=1,
        max_size=12,
    )
)
def test_the_strict_reading_is_the_tolerant_one(lines: list[tuple[str, str]]) -> None:
    text = [mark + rest for mark, rest in lines]
    header = Header(1, sum(mark != "+" for mark, _ in lines), sum(mark != "-" for mark, _ in lines))
    strict = _strictly(text, 0, len(text), header, fenced=True)
    if strict is not None:
        assert strict == _Reader(text, len(text), header, fenced=True).read(0)


BEGIN, END = "*** Begin Patch\n", "\n*** End Patch"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{BEGIN}*** Add File: n\n+x\n+{END}", [("whole", "n", "x\n\n")]),
        (f"{BEGIN}*** Delete File: f{END}", [("delete", "f")]),
        (f"{BEGIN}*** Update File: f\n@@\n a\n-b\n+c{END}", [("edit", "f", " a|-b|+c|")]),
        (f"{BEGIN}*** Update File: f\n a\n-b\n+c{END}", [("edit", "f", " a|-b|+c|")]),
        (f"{BEGIN}*** Update File: f\n*** Move to: g\n@@\n-b\n+c{END}", [("rename", "f", "-b|+c|", "g")]),
        (f"{BEGIN}*** Update File: f\n*** Move to: g\n@@\n b{END}", [("rename", "f", "g")]),
        (
            f"{BEGIN}*** Update File: f\n@@ class A:\n@@ def f():\n-b\n+c\n*** End of File{END}",
            [("edit", "f", "-b|+c|")],
        ),
        ("*** Update File: f\n@@\n-b\n+c", [("edit", "f", "-b|+c|")]),
        (
            f" {BEGIN}*** Update File: f\n@@\n-b\n+c\n*** Add File: n\n+x\n *** End Patch ",
            [("edit", "f", "-b|+c|"), ("whole", "n", "x\n")],
        ),
    ],
)
def test_a_patch_is_read_with_or_without_its_sentinels(text: str, expected: list[tuple[object, ...]]) -> None:
    check(text, expected, patch=True)


def test_anchors_and_the_end_of_the_file_are_kept() -> None:
    found = read(f"{BEGIN}*** Update File: f\n@@ class A:\n@@ def f():\n-b\n+c\n*** End of File{END}", patch=True)[0]
    assert isinstance(found, FileEdit)
    edit = found.edits[0]
    assert isinstance(edit, LinesEdit)
    assert (edit.anchors, edit.at_end) == (("class A:", "def f():"), True)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (f"{BEGIN}*** Update File: f\n@@\n-b\n+c", "may have been cut off"),
        (f"{BEGIN}*** Update File: f{END}", "has no hunk"),
        (f"{BEGIN}*** Update File: f\n*** Move to: g{END}", "has no hunk"),
        (f"{BEGIN}*** Add File: n\nx{END}", "starts with '+'"),
        (f"{BEGIN}*** Delete File: n\n+x{END}", "has no lines"),
        ("*** Begin Patch\n*** End Patch", "empty"),
        ("*** Begin Patch\n*** Frobnicate: x\n*** End Patch", "Expected a file header"),
        (f"{BEGIN}*** Update File:\n@@\n-a\n+b{END}", "names no file"),
        (f"{BEGIN}*** Update File: f\n@@\n a{END}", "no line that starts with"),
        ("*** Begin Patch", "has no file"),
    ],
)
def test_a_patch_that_cannot_be_used_says_why(text: str, part: str) -> None:
    problems = [found for found in read(text, patch=True) if isinstance(found, FormatProblem)]
    assert any(part in problem.message for problem in problems), problems
    assert not [found for found in read(text, patch=True) if isinstance(found, FileEdit)]


@pytest.mark.parametrize("text", [f"{HEAD}@@ -1 +1 @@\n-a\n+b", "diff --git a/f b/f\nnew file mode 100644"])
def test_an_open_region_is_not_read_to_its_end(text: str) -> None:
    lines = text.split("\n")
    assert udiff.read(Region(lines, 0, len(lines), closed=False), 0) is None
