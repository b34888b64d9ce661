"""Which file a name in an answer means, and which it never means."""

from __future__ import annotations

import pytest

from kiro_lsp.changes.edits.gitnames import git_pair, header_name, unquoted, without_prefix
from kiro_lsp.changes.edits.paths import PathTrouble, created, existing, inside

FILES = dict.fromkeys(
    [
        "README.md",
        "src/app.py",
        "src/util/text.py",
        "lib/util/text.py",
        "a/real.py",
        "post\\image.txt",
        "x y.txt",
        "only/deep.py",
    ],
    b"",
)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("src/app.py",), "src/app.py"),
        (("./src/app.py",), "src/app.py"),
        (("src/./util/../app.py",), "src/app.py"),
        (("a/src/app.py",), "src/app.py"),
        (("b/src/app.py",), "src/app.py"),
        (("old/src/app.py", "new/src/app.py"), "src/app.py"),
        (("src\\app.py",), "src/app.py"),
        (("a\\src\\app.py",), "src/app.py"),
        (("post\\image.txt",), "post\\image.txt"),
        (("a/real.py",), "a/real.py"),
        (("app.py",), "src/app.py"),
        (("deep.py",), "only/deep.py"),
        (("project/src/app.py",), "src/app.py"),
        (("/home/me/project/src/app.py",), "src/app.py"),
        (("C:\\project\\src\\app.py",), "src/app.py"),
        (("project/README.md",), "README.md"),
        (("gone.py", "src/app.py"), "src/app.py"),
        (("x y.txt",), "x y.txt"),
    ],
)
def test_a_name_means_the_one_file_it_can_mean(names: tuple[str, ...], expected: str) -> None:
    assert existing(names, FILES) == expected


@pytest.mark.parametrize(
    ("names", "part"),
    [
        (("util/text.py",), "lib/util/text.py, src/util/text.py"),
        (("text.py",), "could be"),
        (("gone.py",), "There is no file 'gone.py'"),
        (("/etc/README.md",), "outside the project"),
        (("../src/app.py",), "outside the project"),
        (("src/../../src/app.py",), "outside the project"),
        (("p.py",), "There is no file"),
        ((), "names no file"),
    ],
)
def test_a_name_that_means_no_file_or_several_is_refused(names: tuple[str, ...], part: str) -> None:
    with pytest.raises(PathTrouble) as trouble:
        existing(names, FILES)
    assert part in str(trouble.value)


@pytest.mark.parametrize(
    "name",
    [
        "/abs.py",
        "\\abs.py",
        "C:/x.py",
        "c:x.py",
        "../x",
        "a/../../x",
        "",
        ".",
        "dir/",
        "x\0y",
        ".git/config",
        "sub/.GIT/x",
    ],
)
def test_no_new_file_is_outside_the_project_or_in_gits_folder(name: str) -> None:
    with pytest.raises(PathTrouble):
        created((name,))


def test_a_new_file_gets_the_first_name() -> None:
    assert created(("./new/./x.py", "b/new/x.py")) == "new/x.py"
    assert inside("a//b") == "a/b"


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("a/x.py", ("a/x.py", False, False)),
        ("a/x.py\t2024-01-01 00:00:00.000000000 +0000", ("a/x.py", False, False)),
        ("a/x y.py 2024-01-01 00:00:00", ("a/x y.py", False, False)),
        ("x\t1970-01-01 00:00:00.000000000 +0000", ("x", False, True)),
        ("x\t1970-01-01 09:00:00.000000000 +0900", ("x", False, True)),
        ("x\t1970-01-01 09:00:00.000000000 +0000", ("x", False, False)),
        ("x\tThu Jan  1 00:00:00 1970", ("x", False, False)),
        ("x\t(revision 12)", ("x", False, False)),
        ('"a/caf\\303\\251.py"', ("a/café.py", True, False)),
        ('"a/tab\\there"', ("a/tab\there", True, False)),
        ("/dev/null", ("/dev/null", False, False)),
        ("post\timage.txt", ("post\timage.txt", False, False)),
        ("x\t2024-13-99 00:00:00 +0000", ("x", False, False)),
    ],
)
def test_a_header_line_is_a_name_and_perhaps_a_time(rest: str, expected: tuple[str, bool, bool]) -> None:
    assert header_name(rest) == expected


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("a/x.py b/x.py", ("a/x.py", "b/x.py")),
        ("a/x y.py b/x y.py", ("a/x y.py", "b/x y.py")),
        ("x.py x.py", ("x.py", "x.py")),
        ('"a/t\\tx" "b/t\\tx"', ("a/t\tx", "b/t\tx")),
        ('a/x "b/\\303\\251"', ("a/x", "b/é")),
        ("a/old.py b/new.py", ("a/old.py", "b/new.py")),
        ("a/o l.py b/n w.py", None),
    ],
)
def test_the_two_names_of_a_git_header(rest: str, expected: tuple[str, str] | None) -> None:
    assert git_pair(rest) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("a/x.py", "b/x.py", ("x.py", "b/x.py", "a/x.py")),
        ("tree-1/x.py", "tree-2/x.py", ("x.py", "tree-2/x.py", "tree-1/x.py")),
        ("/dev/null", "b/x.py", ("x.py", "b/x.py")),
        ("a/x.py", "/dev/null", ("x.py", "a/x.py")),
        ("x.py.orig", "x.py", ("x.py", "x.py.orig")),
        ("src/x.py", "src/x.py", ("src/x.py",)),
        ("", "", ()),
    ],
)
def test_what_diff_programs_put_in_front_is_left_out(old: str, new: str, expected: tuple[str, ...]) -> None:
    assert without_prefix(old, new) == expected


def test_a_quote_that_is_none_is_part_of_the_name() -> None:
    assert unquoted('"half') == ('"half', False)
    assert unquoted('"a"b') == ('"a"b', False)
