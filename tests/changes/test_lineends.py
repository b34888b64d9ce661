"""Texts that differ only in what an editor chooses for itself, and mixtures of an old and a new text."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiro_lsp.changes.diff import is_mixture
from kiro_lsp.changes.lineends import bytes_in_form_of, in_form_of, same_text, text_of
from kiro_lsp.changes.model import ChangeSet, FileChange
from kiro_lsp.changes.review import Review
from tests.changes.strategies import edited, texts


@pytest.mark.parametrize(
    ("data", "expected"),
    [(None, None), (b"", ""), ("\ufeffä".encode(), "ä"), (b"\xff", None), ("a\ufeff".encode(), "a\ufeff")],
)
def test_the_text_of_a_file_has_no_mark(data: bytes | None, expected: str | None) -> None:
    assert text_of(data) == expected


FORMS: dict[str, tuple[str, str, str, str | None]] = {
    "the same text": ("x\ny\r\n", "a\r\nb\n", "a\r\nb\n", "x\ny\r\n"),
    "an editor with one kind of line end": ("x\ny\r\n", "a\r\nb\n", "a\r\nb\r\n", "x\r\ny\r\n"),
    "another text": ("x\n", "a\n", "b\n", None),
    "other line ends of several kinds": ("x\ny\n", "a\nb\n", "a\r\nb\n", None),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_wanted_text_takes_the_form_of_the_actual_one(name: str) -> None:
    wanted, expected, actual, result = FORMS[name]
    assert in_form_of(wanted, expected, actual) == result


def test_the_mark_of_the_actual_file_is_kept() -> None:
    assert bytes_in_form_of(b"x\n", b"a\n", b"\xef\xbb\xbfa\r\n") == b"\xef\xbb\xbfx\r\n"
    assert bytes_in_form_of(b"x\n", b"a\n", b"\xff") is None


@given(texts())
def test_a_text_is_the_same_with_any_line_ends(text: str) -> None:
    assert same_text(text, text.replace("\r\n", "\n").replace("\r", "\n"))


@given(edited(), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_some_of_the_changes_are_a_mixture_and_anything_else_is_not(
    pair: tuple[str, str], chance: random.Random
) -> None:
    old, new = (text.replace("\r\n", "\n").replace("\r", "\n") for text in pair)
    assert is_mixture(old, old, new)
    assert is_mixture(new, old, new)
    review = Review(ChangeSet((FileChange("f", "modify", old.encode(), new.encode()),)))
    some = [hunk.id for hunk in review.hunks("f") if chance.random() < 0.5]
    mixed = (review.decide("accepted", hunks=some).current("f") or b"").decode()
    assert is_mixture(mixed, old, new)
    assert is_mixture(mixed.replace("\n", "\r\n"), old, new)
    assert not is_mixture(mixed + "typed by the person", old, new)
    assert not is_mixture("typed by the person" + mixed, old, new)
