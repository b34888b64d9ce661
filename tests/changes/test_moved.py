"""What an accept would make of a file that somebody went on writing, and where its hunks are then."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kiro_lsp.changes.merge import merge
from kiro_lsp.changes.model import ChangeSet, FileChange
from kiro_lsp.changes.moved import Moved, moved
from kiro_lsp.changes.review import Review

ROWS = [f"line {number}\n" for number in range(12)]


def review(base: str, proposed: str, path: str = "f.txt") -> Review:
    return Review(ChangeSet((FileChange(path, "modify", base.encode(), proposed.encode()),)))


def look(base: str, proposed: str, now: str) -> Moved:
    found = moved(review(base, proposed), "f.txt", now)
    assert found is not None
    return found


def shown(found: Moved) -> list[tuple[str, str, bool]]:
    """Each hunk by its lines on both sides."""
    sides = found.now.splitlines(keepends=True), found.result.splitlines(keepends=True)
    return [
        ("".join(sides[0][slice(*one.base)]), "".join(sides[1][slice(*one.proposed)]), one.conflict)
        for one in found.hunks.values()
    ]


def replaced(rows: list[str], at: set[int], word: str) -> str:
    return "".join(f"{word} {number}\n" if number in at else row for number, row in enumerate(rows))


def test_lines_above_move_the_places_and_stay_in_the_result() -> None:
    base, proposed = "".join(ROWS), replaced(ROWS, {3, 9}, "new")
    found = look(base, proposed, "mine\nand mine\n" + replaced(ROWS, {6}, "mine"))
    assert found.result == "mine\nand mine\n" + "".join(
        f"new {number}\n" if number in (3, 9) else f"mine {number}\n" if number == 6 else row
        for number, row in enumerate(ROWS)
    )
    assert shown(found) == [("line 3\n", "new 3\n", False), ("line 9\n", "new 9\n", False)]


def test_the_same_lines_changed_by_both_are_a_conflict_that_shows_the_proposal() -> None:
    base, proposed = "".join(ROWS), replaced(ROWS, {3, 9}, "new")
    found = look(base, proposed, replaced(ROWS, {3}, "mine"))
    assert shown(found) == [("mine 3\n", "new 3\n", True), ("line 9\n", "new 9\n", False)]
    assert found.result == proposed


def test_what_somebody_did_already_is_no_change_any_more() -> None:
    base, proposed = "".join(ROWS), replaced(ROWS, {3, 9}, "new")
    found = look(base, proposed, replaced(ROWS, {3}, "new"))
    assert shown(found) == [("new 3\n", "new 3\n", False), ("line 9\n", "new 9\n", False)]


def test_a_file_as_the_run_read_it_and_one_that_is_never_merged_have_nothing_to_show() -> None:
    base, proposed = "one\ntwo\n", "one\n2\n"
    assert moved(review(base, proposed), "f.txt", base.replace("\n", "\r\n")) is None
    assert moved(review(base, proposed, ".vscode/tasks.json"), ".vscode/tasks.json", "other\n") is None
    assert moved(review(base, "\0"), "f.txt", "other\n") is None


def test_what_was_accepted_is_in_the_file_and_the_rest_is_still_a_change_of_it() -> None:
    base, proposed = "".join(ROWS), replaced(ROWS, {3, 9}, "new")
    start = review(base, proposed)
    after = start.decide("accepted", hunks=[start.hunks("f.txt")[0].id])
    found = moved(after, "f.txt", "mine\n" + replaced(ROWS, {3}, "new"))
    assert found is not None
    assert found.result == "mine\n" + proposed
    assert shown(found)[1] == ("line 9\n", "new 9\n", False)


@given(st.sets(st.integers(0, 11)), st.sets(st.integers(0, 11), min_size=1))
def test_the_result_is_what_a_merge_makes_and_differs_from_now_in_the_places_of_hunks_only(
    theirs: set[int], mine: set[int]
) -> None:
    base, proposed, now = "".join(ROWS), replaced(ROWS, theirs, "new"), replaced(ROWS, mine, "mine")
    found = look(base, proposed, now)
    merged = merge(base, now, proposed)
    assert any(one.conflict for one in found.hunks.values()) is bool(merged.conflicts)
    if merged.text is not None:
        assert found.result == merged.text
    rest = [found.now.splitlines(keepends=True), found.result.splitlines(keepends=True)]
    for one in reversed(list(found.hunks.values())):
        for side, span in zip(rest, (one.base, one.proposed), strict=True):
            del side[slice(*span)]
    touched = {number for number in mine if number - 1 in theirs or number + 1 in theirs}
    if not touched:
        assert rest[0] == rest[1]
