"""What a person took of an edit is read off the text, exactly or not at all."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from kiro_lsp.changes.model import ChangeSet, FileChange
from kiro_lsp.changes.review import Review
from kiro_lsp.changes.taken import taken_hunks

LINES = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "\n"]), max_size=10)


def review_of(base: str, proposed: str) -> Review:
    return Review(ChangeSet((FileChange("f.txt", "modify", base.encode(), proposed.encode(), 0o644, 0o644),)))


def text(review: Review) -> str:
    return (review.current("f.txt") or b"").decode()


@settings(max_examples=300)
@given(LINES, LINES, st.data(), st.sampled_from(["\n", "\r\n"]))
def test_any_choice_of_hunks_is_recognised_by_its_text(
    base: list[str], proposed: list[str], data: st.DataObject, end: str
) -> None:
    review = review_of("".join(base), "".join(proposed))
    identifiers = [hunk.id for hunk in review.hunks("f.txt") if hunk.operation == "edit"]
    chosen = {identifier for identifier in identifiers if data.draw(st.booleans())}
    after = text(review.decide("accepted", "f.txt", chosen)) if chosen else text(review)
    found = taken_hunks(review, "f.txt", after.replace("\n", end))
    assert found is not None
    again = text(review.decide("accepted", "f.txt", found)) if found else text(review)
    assert again == after, "two choices may give one text; the one that is named gives it"


def test_hunks_with_equal_lines_are_told_apart_by_their_place() -> None:
    review = review_of("x\n1\n2\n3\n4\nx\n", "y\n1\n2\n3\n4\ny\n")
    first, second = (hunk.id for hunk in review.hunks("f.txt"))
    assert taken_hunks(review, "f.txt", "x\n1\n2\n3\n4\ny\n") == frozenset({second})
    assert taken_hunks(review, "f.txt", "y\n1\n2\n3\n4\nx\n") == frozenset({first})


def test_somebodys_own_change_is_no_choice_of_hunks() -> None:
    review = review_of("a\nb\nc\n", "A\nb\nC\n")
    assert taken_hunks(review, "f.txt", "A\nb\nmine\n") is None
    assert taken_hunks(review, "f.txt", "A\nb\nc\nmore\n") is None
    assert taken_hunks(review, "f.txt", "A\nb\nc\n") == frozenset({review.hunks("f.txt")[0].id})


def test_what_was_accepted_before_is_the_ground_to_stand_on() -> None:
    review = review_of("a\nb\nc\n", "A\nb\nC\n")
    first, second = (hunk.id for hunk in review.hunks("f.txt"))
    review = review.decide("accepted", "f.txt", [first])
    assert taken_hunks(review, "f.txt", "A\nb\nc\n") == frozenset()
    assert taken_hunks(review, "f.txt", "A\nb\nC\n") == frozenset({second})


def test_a_file_that_is_not_there_holds_no_choice() -> None:
    change = FileChange("f.txt", "create", None, b"new\n", None, 0o644)
    assert taken_hunks(Review(ChangeSet((change,))), "f.txt", "new\n") is None
