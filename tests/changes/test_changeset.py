"""A change taken apart: hunks and their ids, the diff that git and unidiff read, counts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import unidiff
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kiro_lsp.changes.changeset import counts, hunks_of, is_binary, unified_diff
from kiro_lsp.changes.model import ChangeSet, FileChange
from tests.changes.strategies import edited, file_changes


def modify(base: str, proposed: str, path: str = "f.txt") -> FileChange:
    return FileChange(path, "modify", base.encode(), proposed.encode())


# Hunks


def test_a_hunk_has_its_lines_and_its_places() -> None:
    (hunk,) = hunks_of(modify("a\r\nb\r\nc", "a\r\nB\r\nB2\r\nc"))
    assert (hunk.base, hunk.proposed) == ((1, 2), (1, 3))
    assert (hunk.old, hunk.new) == (("b\r\n",), ("B\r\n", "B2\r\n"))
    assert hunk.operation == "edit"
    assert len(hunk.id) == 10
    assert set(hunk.id) <= set("0123456789abcdef")


def test_an_id_does_not_depend_on_where_the_hunk_is() -> None:
    (alone,) = hunks_of(modify("a\nb\n", "a\nB\n"))
    further_down = hunks_of(modify("1\n2\n3\na\nb\n", "0\n1\n2\n3\na\nB\n"))
    assert alone.id in {hunk.id for hunk in further_down}


def test_equal_hunks_of_a_file_are_numbered() -> None:
    first, second, third = hunks_of(modify("x\n1\nx\n2\nx\n", "y\n1\ny\n2\ny\n"))
    assert (second.id, third.id) == (f"{first.id}~2", f"{first.id}~3")


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (modify("a\n", "b\n"), modify("a\n", "b\n", "g.txt")),
        (modify("a\n", "b\n"), modify("b\n", "a\n")),
        (modify("ab\n", "c\n"), modify("a\nb\n", "c\n")),
        (FileChange("f.txt", "create", None, b""), FileChange("f.txt", "delete", b"", None)),
        (FileChange("f", "modify", b"\0", b"\1\0"), FileChange("f", "modify", b"\0", b"\2\0")),
        (FileChange("f", "modify", b"", b"", 0o644, 0o755), FileChange("f", "modify", b"", b"", 0o644, 0o600)),
        (FileChange("f", "rename", b"", b"", to="g"), FileChange("f", "rename", b"", b"", to="h")),
    ],
)
def test_different_hunks_have_different_ids(left: FileChange, right: FileChange) -> None:
    assert {hunk.id for hunk in hunks_of(left)}.isdisjoint(hunk.id for hunk in hunks_of(right))


WHOLE = {
    "create": FileChange("n", "create", None, b"a\nb\n"),
    "delete": FileChange("n", "delete", b"a\nb\n", None),
    "binary": FileChange("n", "modify", b"a\0", b"b\n"),
    "rename": FileChange("n", "rename", b"a\n", b"b\n", to="m"),
    "mode": FileChange("n", "modify", b"a\n", b"a\n", 0o644, 0o755),
}


@pytest.mark.parametrize("operation", WHOLE)
def test_an_operation_on_a_whole_file_is_one_hunk(operation: str) -> None:
    (hunk,) = hunks_of(WHOLE[operation])
    assert hunk.operation == operation
    assert len(hunk.id) == 10


def test_an_empty_new_file_is_a_hunk_too() -> None:
    assert [hunk.operation for hunk in hunks_of(FileChange("n", "create", None, b""))] == ["create"]


def test_a_mode_that_changes_with_the_text_is_a_hunk_of_its_own() -> None:
    assert [hunk.operation for hunk in hunks_of(FileChange("n", "modify", b"a\n", b"b\n", 0o644, 0o755))] == [
        "edit",
        "mode",
    ]


def test_an_unknown_mode_is_never_a_change() -> None:
    assert hunks_of(FileChange("n", "modify", b"a\n", b"a\n", None, 0o755)) == ()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", False),
        (b"text\n", False),
        ("\ufeffé😀".encode(), False),
        (b"\0", True),
        (b"\xff\xfea\0", True),
        (b"caf\xe9", True),
    ],
)
def test_binary_is_what_is_not_utf_8_or_holds_a_nul(data: bytes, expected: bool) -> None:
    assert is_binary(data) is expected


# Unified diff


@given(pair=edited())
@settings(max_examples=150, deadline=None)
def test_the_diff_is_read_back_by_unidiff(pair: tuple[str, str]) -> None:
    base, proposed = pair
    text = unified_diff(modify(base, proposed))
    if base == proposed:
        assert text == ""
        return
    (patched,) = _parsed(text)
    assert patched.path == "f.txt"
    assert _applied(base, patched) == proposed


def _parsed(text: str) -> unidiff.PatchSet:
    lines = [line + "\n" for line in text.split("\n")[:-1]]
    return unidiff.PatchSet(lines)


def _applied(base: str, patched: unidiff.PatchedFile) -> str:
    """The new text by what unidiff understood, and nothing else."""
    rows = [row + "\n" for row in base.split("\n")]
    rows[-1] = rows[-1][:-1]
    if not rows[-1]:
        rows.pop()
    result: list[str] = []
    position = 0
    for hunk in patched:
        start = hunk.source_start - 1 if hunk.source_length else hunk.source_start
        result += rows[position:start]
        kept: list[str] = []
        last = None
        for line in hunk:
            if line.line_type == "\\":
                if kept and last is not None and last.line_type != "-":
                    kept[-1] = kept[-1][:-1]
                continue
            if line.line_type in (" ", "+"):
                kept.append(line.value)
            last = line
        result += kept
        position = start + hunk.source_length
    return "".join(result + rows[position:])


@given(change=file_changes("dir/with blank.txt"))
@example(change=FileChange('q"uote\ttab', "modify", b"a\n", b"b\n"))
@example(change=FileChange("-dash/é😀.txt", "modify", b"a", b"a\n"))
@example(change=FileChange("new empty", "create", None, b""))
@example(change=FileChange("secret", "modify", b"a\n", b"a\n", 0o644, 0o600))
@example(change=FileChange("x", "rename", b"1\n2\n3\n4\n", b"1\n2\n3\n5\n", to="y z"))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_git_applies_the_diff(change: FileChange | None, tmp_path_factory: pytest.TempPathFactory) -> None:
    if change is None or any(data is not None and is_binary(data) for data in (change.base, change.proposed)):
        return
    root = tmp_path_factory.mktemp("tree")
    if change.base is not None:
        file = root / change.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(change.base)
        file.chmod(0o755 if (change.base_mode or 0) & 0o111 else 0o644)
    text = unified_diff(change)
    if text:
        git(root, "apply", "--unidiff-zero", "-", given=text.encode())
    target = root / (change.to or change.path)
    assert (target.read_bytes() if target.exists() else None) == change.proposed
    if change.proposed is not None and change.base_mode is not None and change.mode is not None:
        assert bool(target.stat().st_mode & 0o111) == bool(change.mode & 0o111)


def git(root: Path, *args: str, given: bytes) -> None:
    subprocess.run(
        ["git", "-c", "core.autocrlf=false", "-c", "apply.whitespace=nowarn", *args], cwd=root, input=given, check=True
    )


def test_the_diff_reads_as_git_writes_it() -> None:
    base = "".join(f"{n}\n" for n in range(1, 21))
    proposed = base.replace("2\n", "two\n", 1).replace("18\n", "18\n18b\n").removesuffix("\n")
    assert unified_diff(modify(base, proposed)) == (
        "diff --git a/f.txt b/f.txt\n--- a/f.txt\n+++ b/f.txt\n"
        "@@ -1,5 +1,5 @@\n 1\n-2\n+two\n 3\n 4\n 5\n"
        "@@ -16,5 +16,6 @@\n 16\n 17\n 18\n+18b\n 19\n-20\n+20\n\\ No newline at end of file\n"
    )


def test_a_binary_change_is_named_and_not_shown() -> None:
    text = unified_diff(FileChange("logo.png", "create", None, b"\x89PNG\0"))
    assert (
        text == "diff --git a/logo.png b/logo.png\nnew file mode 100644\nBinary files /dev/null and b/logo.png differ\n"
    )


# Counts


def test_actions_and_added_tests_are_counted() -> None:
    changes = ChangeSet(
        (
            FileChange("src/app.py", "modify", b"x = 1\n", b"def test_not_a_test_file(): ...\n"),
            FileChange(
                "tests/test_app.py", "modify", b"def test_a(): ...\n", b"def test_a(): ...\n\nasync def test_b(): ...\n"
            ),
            FileChange("tests/conftest.py", "create", None, b"def fixture(): ...\n"),
            FileChange(
                "web/app.spec.ts",
                "create",
                None,
                b"describe('x', () => {\n  it('works', () => {})\n  it.each([1])('n', f)\n})\n",
            ),
            FileChange("pkg/a_test.go", "create", None, b"func TestA(t *testing.T) {}\nfunc helper() {}\n"),
            FileChange("src/lib.rs", "modify", b"", b"#[test]\nfn a() {}\n"),
            FileChange("src/FooTest.java", "create", None, b"  @Test\n  void a() {}\n"),
            FileChange("tests/run.sh", "create", None, b"exit 0\n"),
            FileChange("old.py", "delete", b"x\n", None),
            FileChange("a.py", "rename", b"x\n", b"x\n", to="b.py"),
        )
    )
    found = counts(changes)
    assert (found.created, found.modified, found.deleted) == (5, 4, 1)
    assert found.tests_added == 1 + 2 + 1 + 1 + 1 + 1


def test_moved_tests_are_not_added_ones() -> None:
    test = b"def test_a(): ...\n"
    moved = ChangeSet(
        (FileChange("tests/test_a.py", "delete", test, None), FileChange("tests/test_b.py", "create", None, test))
    )
    assert counts(moved).tests_added == 0


@given(st.lists(file_changes("tests/test_x.py"), max_size=3))
@settings(max_examples=50, deadline=None)
def test_counting_never_fails(found: list[FileChange | None]) -> None:
    assert counts(ChangeSet(tuple(change for change in found if change is not None))).tests_added >= 0
