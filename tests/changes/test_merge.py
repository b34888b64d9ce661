"""Three-way merge: what both sides did is in it once, what cannot be both is a conflict, and git agrees."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiro_lsp.changes.merge import Conflict, Merge, merge, merge_into, with_markers
from kiro_lsp.spec.lines import split_lines
from tests.changes.strategies import edited, texts

ABC = "a\nb\nc\nd\ne\n"

CLEAN: dict[str, tuple[str, str, str, str]] = {
    "apart": (ABC, "A\nb\nc\nd\ne\n", "a\nb\nc\nd\nE\n", "A\nb\nc\nd\nE\n"),
    "one line between": (ABC, "a\nB\nc\nd\ne\n", "a\nb\nc\nD\ne\n", "a\nB\nc\nD\ne\n"),
    "the same change": (ABC, "a\nX\nc\nd\ne\n", "a\nX\nc\nd\ne\n", "a\nX\nc\nd\ne\n"),
    "the same change and another": (ABC, "a\nX\nc\nd\ne\n", "a\nX\nc\nd\nE\n", "a\nX\nc\nd\nE\n"),
    "the same line added": (ABC, ABC + "f\n", ABC + "f\n", ABC + "f\n"),
    "added at both ends": (ABC, "0\n" + ABC, ABC + "f\n", "0\n" + ABC + "f\n"),
    "deleted and added": (ABC, "a\nc\nd\ne\n", ABC + "f\n", "a\nc\nd\ne\nf\n"),
    "from nothing, one side": ("", "", "a\n", "a\n"),
    "the final newline of ours": ("a\nb\nc", "a\nb\nc\n", "A\nb\nc", "A\nb\nc\n"),
    "the mark of ours": ("a\nb\nc\n", "\ufeffa\nb\nc\n", "a\nb\nC\n", "\ufeffa\nb\nC\n"),
    "a mark that theirs took": ("\ufeffa\nb\n", "\ufeffa\nb\n", "a\nb\n", "a\nb\n"),
    "mixed line ends": ("a\r\nb\nc\rd\n", "a\r\nb\nc\rD\n", "A\r\nb\nc\rd\n", "A\r\nb\nc\rD\n"),
    "line ends of ours": ("a\nb\nc\n", "a\r\nb\nc\n", "a\nb\nC\n", "a\r\nb\nC\n"),
    "words far apart": ("x = one two three\n", "y = one two three\n", "x = one two four\n", "y = one two four\n"),
    "a word and the indentation": ("if a: go on\n", "    if a: go on\n", "if a: go off\n", "    if a: go off\n"),
    "the same word and another": (
        "one two three four five\n",
        "1 two three four five\n",
        "1 two three four 5\n",
        "1 two three four 5\n",
    ),
    "words of neighbouring lines": ("a = 1\nb = 2\n", "a = 9\nb = 2\n", "a = 1\nb = 7\n", "a = 9\nb = 7\n"),
}


@pytest.mark.parametrize("name", CLEAN)
def test_changes_that_do_not_meet_are_both_in_the_merged_text(name: str) -> None:
    base, ours, theirs, expected = CLEAN[name]
    assert merge(base, ours, theirs).text == expected
    assert merge(base, theirs, ours).text == expected


CONFLICTS: dict[str, tuple[str, str, str]] = {
    "the same line": (ABC, "a\nB\nc\nd\ne\n", "a\nbb\nc\nd\ne\n"),
    "touching lines": (ABC, "a\nB\nc\nd\ne\n", "a\nb\nC\nd\ne\n"),
    "changed and deleted": (ABC, "a\nB\nc\nd\ne\n", "a\nc\nd\ne\n"),
    "different lines added at one place": (ABC, ABC + "f\n", ABC + "g\n"),
    "added beside a change": (ABC, "a\nB\nc\nd\ne\n", "a\nb\nnew\nc\nd\ne\n"),
    "two first contents": ("", "a\n", "b\n"),
    "the same word": ("one two three\n", "one 2 three\n", "one zwei three\n"),
    "neighbouring words": ("one two three four\n", "1 two three four\n", "one 2 three four\n"),
    "only signs between": ("a = 1 and so on\n", "b = 1 and so on\n", "a = 2 and so on\n"),
    "parts of one word": ("version is 2.0.1 now\n", "version is 3.0.1 now\n", "version is 2.0.2 now\n"),
    "a line that became another": ("one two three four\n", "1 2 3 four\n", "one two three 4\n"),
    "a line more on one side": ("one two three\nx\n", "1 two three\nx\ny\n", "one two 3\nX\n"),
    "the line end and the last word": ("one two three\nb\n", "one two three\r\nb\n", "one two 3\nb\n"),
    "no blanks between words": ("一二三\n", "四二三\n", "一二五\n"),
    "too many words": ("w " * 300 + "\n", "v " + "w " * 299 + "\n", "w " * 299 + "v \n"),
}


@pytest.mark.parametrize("name", CONFLICTS)
def test_changes_that_meet_are_a_conflict_with_both_versions(name: str) -> None:
    base, ours, theirs = CONFLICTS[name]
    merged = merge(base, ours, theirs)
    assert merged.text is None
    check_spans(merged, base, ours, theirs)
    assert swapped(merge(base, theirs, ours)) == merged


def check_spans(merged: Merge, base: str, ours: str, theirs: str) -> None:
    lines = [split_lines(text.removeprefix("\ufeff")) for text in (base, ours, theirs)]
    for conflict in merged.conflicts:
        spans = (conflict.base, conflict.ours, conflict.theirs)
        held = tuple("".join(side[start:end]) for side, (start, end) in zip(lines, spans, strict=True))
        assert held == (conflict.base_text, conflict.ours_text, conflict.theirs_text)


def swapped(merged: Merge) -> Merge:
    def turned(piece: str | Conflict) -> str | Conflict:
        if isinstance(piece, str):
            return piece
        return replace(
            piece,
            ours=piece.theirs,
            theirs=piece.ours,
            ours_text=piece.theirs_text,
            theirs_text=piece.ours_text,
        )

    return replace(merged, pieces=tuple(turned(piece) for piece in merged.pieces))


def test_a_conflict_names_the_lines_of_all_three_texts() -> None:
    merged = merge("a\nb\nc\n", "new\na\nB\nc\n", "a\nbb\nbb\nc\n")
    assert merged.pieces == ("new\na\n", Conflict((1, 2), (2, 3), (1, 3), "b\n", "B\n", "bb\nbb\n"), "c\n")


def test_markers_come_only_when_asked_for() -> None:
    merged = merge("a\r\nb", "a\r\nB", "a\r\nbb\r\n")
    expected = "a\r\n<<<<<<< mine\r\nB\r\n||||||| then\r\nb\r\n=======\r\nbb\r\n>>>>>>> run\r\n"
    assert with_markers(merged, ("mine", "then", "run")) == expected
    assert with_markers(merge(ABC, ABC, "x\n")) == "x\n"


INTO: dict[str, tuple[str, str, str, str]] = {
    "an editor with other line ends": ("A\r\nb\r\nc\r\n", "a\nb\nc\n", "a\nb\nC\n", "A\r\nb\r\nC\r\n"),
    "an editor that made mixed ends one": ("A\nb\nc\n", "a\r\nb\nc\n", "a\r\nb\nC\n", "A\nb\nC\n"),
    "a file with a mark": ("\ufeffA\nb\nc\n", "a\nb\nc\n", "a\nb\nC\n", "\ufeffA\nb\nC\n"),
    "a document without the mark": ("A\nb\nc\n", "\ufeffa\nb\nc\n", "\ufeffa\nb\nC\n", "A\nb\nC\n"),
    "line ends that theirs changed": ("a\nb\n", "a\nb\n", "a\r\nb\r\n", "a\r\nb\r\n"),
}


@pytest.mark.parametrize("name", INTO)
def test_a_file_keeps_its_mark_and_its_line_ends(name: str) -> None:
    ours, base, theirs, expected = INTO[name]
    assert merge_into(ours, base, theirs).text == expected


# All texts


@st.composite
def triples(draw: st.DrawFn) -> tuple[str, str, str]:
    base, ours = draw(edited())
    rows = split_lines(base)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(rows)))
        rows[at : at + draw(st.integers(0, 2))] = draw(st.lists(st.sampled_from(["new\n", "a\n", "}\r\n"]), max_size=2))
    return base, ours, "".join(rows)


@given(texts(), texts())
def test_what_only_one_side_changed_is_taken_as_it_is(base: str, other: str) -> None:
    assert merge(base, base, other).text == other
    assert merge(base, other, base).text == other
    assert merge(base, other, other).text == other
    assert merge_into(base, base, base).text == base


@given(triples())
def test_the_sides_are_equal_and_no_line_is_lost_or_invented(triple: tuple[str, str, str]) -> None:
    base, ours, theirs = triple
    merged = merge(base, ours, theirs)
    assert swapped(merge(base, theirs, ours)) == merged
    check_spans(merged, base, ours, theirs)
    if merged.text is not None and not merged.refined:
        known = set(split_lines(ours)) | set(split_lines(theirs))
        marks = {line.removeprefix("\ufeff") for line in known}
        assert {line.removeprefix("\ufeff") for line in split_lines(merged.text)} <= marks


Edit = tuple[int, int, list[str]]


@st.composite
def separate_edits(draw: st.DrawFn) -> tuple[list[str], list[Edit], list[Edit], list[Edit]]:
    """Lines that all differ, and edits of one side, of the other and of both, an unchanged line between any two."""
    lines = [f"line {number} {draw(st.sampled_from(['', 'x', '😀', 'é']))}\n" for number in range(24)]
    sides: tuple[list[Edit], list[Edit], list[Edit]] = ([], [], [])
    at = draw(st.integers(0, 3))
    while at < len(lines):
        end = min(len(lines), at + draw(st.integers(0, 3)))
        new = [f"new {at}.{number}\n" for number in range(draw(st.integers(0 if end > at else 1, 3)))]
        sides[draw(st.integers(0, 2))].append((at, end, new))
        at = end + draw(st.integers(1, 5))
    return lines, *sides


def with_edits(lines: list[str], edits: list[Edit]) -> str:
    result = list(lines)
    for start, end, new in sorted(edits, reverse=True):
        result[start:end] = new
    return "".join(result)


@given(separate_edits())
def test_edits_that_are_a_line_apart_are_all_in_it_and_nothing_else(
    case: tuple[list[str], list[Edit], list[Edit], list[Edit]],
) -> None:
    lines, mine, other, both = case
    merged = merge("".join(lines), with_edits(lines, mine + both), with_edits(lines, other + both))
    assert merged.text == with_edits(lines, mine + other + both)
    assert merged.refined == ()


# git


@st.composite
def any_edits(draw: st.DrawFn) -> tuple[str, str, str]:
    """The same lines edited by both sides wherever they like, in new words and in words of a line."""
    lines = [f"line number {number} of many words\n" for number in range(12)]
    sides = []
    for side in ("our", "their"):
        edits: list[Edit] = []
        at = draw(st.integers(0, 6))
        while at < len(lines):
            end = min(len(lines), at + draw(st.integers(0, 2)))
            text = draw(st.sampled_from([f"{side} text\n", "common\n", f"line number {at} of {side} words\n"]))
            edits.append((at, end, [text]))
            at = end + draw(st.integers(1, 9))
        sides.append(with_edits(lines, edits))
    return "".join(lines), sides[0], sides[1]


def by_git(base: str, ours: str, theirs: str) -> str | None:
    """What `git merge-file` makes of it; None for a conflict."""
    with TemporaryDirectory() as folder:
        for name, text in (("base", base), ("ours", ours), ("theirs", theirs)):
            Path(folder, name).write_bytes(text.encode())
        argv = ["git", "merge-file", "-p", "-q", "ours", "base", "theirs"]
        done = subprocess.run(argv, cwd=folder, capture_output=True, check=False)
    assert 0 <= done.returncode < 128
    return None if done.returncode else done.stdout.decode()


@given(separate_edits())
@settings(max_examples=40)
def test_git_merges_separate_edits_to_the_same_text(
    case: tuple[list[str], list[Edit], list[Edit], list[Edit]],
) -> None:
    lines, mine, other, both = case
    sides = "".join(lines), with_edits(lines, mine + both), with_edits(lines, other + both)
    assert merge(*sides).text == by_git(*sides)


@given(any_edits())
@settings(max_examples=150)
def test_what_git_merges_is_merged_alike_and_more_only_by_words(sides: tuple[str, str, str]) -> None:
    merged, theirs = merge(*sides), by_git(*sides)
    if theirs is not None or not merged.refined:
        assert merged.text == theirs
        assert merged.refined == ()


def test_the_work_grows_with_the_texts_and_not_with_their_product() -> None:
    """Texts without a line in common, and with one line over and over: both must come to an end."""
    many = 20_000
    base = "".join(f"{number}\n" for number in range(many))
    assert len(merge(base, "x\n" * many, "y\n" * many).conflicts) == 1
    merged = merge("a\nb\n" * many, "b\na\n" * many, "a\nb\n" * many)
    assert merged.text == "b\na\n" * many
