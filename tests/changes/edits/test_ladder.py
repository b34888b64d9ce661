"""Where old lines are found: one table a rung, and what never counts as found."""

from __future__ import annotations

import pytest

from kiro_lsp.changes.edits.answer import Line, LinesEdit
from kiro_lsp.changes.edits.hunks import Header, edit_of, read_body
from kiro_lsp.changes.edits.ladder import OUTER, RUNS_RUNG, locate
from kiro_lsp.changes.edits.snapshot import Snapshot

FILE = "\n".join(
    [
        "import os",
        "",
        "class One:",
        "    def run(self):",
        "        value = compute(self)",
        "        return value",
        "",
        "class Two:",
        "    def run(self):",
        "        value = compute(self)",
        "        return value",
        "",
        "def last(items):",
        "    return items[-1]  ",
        "",
    ]
)


def edit(body: str, *, hint: int | None = None, anchors: tuple[str, ...] = (), at_end: bool = False) -> LinesEdit:
    """A hunk's lines as a model writes them."""
    lines = body.split("\n")
    read = edit_of(read_body(lines, 0, len(lines), Header(), fenced=True), Header(), 1)
    return LinesEdit(read.lines, hint, anchors, at_end)


def check(body: str, expected: list[int], rung: int | None = None, text: str = FILE, **hints: object) -> None:
    """`expected` are the 1-based first lines of all places that remain; `rung` the one that finds them."""
    found = locate(Snapshot.of_text(text), edit(body, **hints))  # type: ignore[arg-type]
    assert [place.first + 1 for place in found.places] == expected
    if rung is not None:
        assert {place.rung for place in found.places} == {rung}


@pytest.mark.parametrize(
    ("body", "line", "rung"),
    [
        (" import os\n \n-class One:", 1, 0),
        ("-    return items[-1]", 14, 1),
        (" def last(items):\n-    return items[\u20131]", 13, 2),
        ("-    return\u00a0items[-1]", 14, 2),
        (" def last(items):\n     return items[-1]\n+x", 13, 1),
        ("def last(items):\n    return items[-1]\n+x", 13, 3),
        (" class Two:\n     def run(self):\n        value = compute(self)\n+x", 8, 3),
        (" import os\n \n class One:\n-  def run(self):", 1, 4),
        ("-    return  items[-1]", 14, 5),
        (" import os\n class One:\n     def run(self):\n-        value = compute(self)", 1, 6),
    ],
)
def test_each_rung_tolerates_one_thing_more(body: str, line: int, rung: int) -> None:
    check(body, [line], rung)


@pytest.mark.parametrize(
    "body",
    [
        "-    return items[-2]",
        "-    RETURN items[-1]",
        " class One:\n-        return value",
        "-        value = compute(self, other)",
        " import os\n \n-\n class One:",
        "-x =  1",
    ],
)
def test_another_text_has_no_place(body: str) -> None:
    check(body, [])


@pytest.mark.parametrize(
    ("hints", "expected"),
    [
        ({}, [4, 9]),
        ({"hint": 4}, [4]),
        ({"hint": 9}, [9]),
        ({"hint": 5}, [4]),
        # In the middle nothing is clear; far away neither.
        ({"hint": 6}, [4, 9]),
        ({"hint": 7}, [4, 9]),
        ({"hint": 60}, [4, 9]),
        ({"anchors": ("class Two:",)}, [9]),
        ({"anchors": ("class One:",)}, [4]),
        ({"anchors": ("class Three:",)}, [4, 9]),
        ({"anchors": ("class One:",), "hint": 9}, [4]),
    ],
)
def test_of_equal_places_only_a_clear_hint_chooses(hints: dict[str, object], expected: list[int]) -> None:
    check("     def run(self):\n-        value = compute(self)", expected, 0, **hints)  # type: ignore[arg-type]


def test_the_end_of_the_file_chooses_among_equal_places() -> None:
    check("-same", [3], 0, "same\nother\nsame\n", at_end=True)
    check("-same", [1, 3], 0, "same\nother\nsame\nlast\n", at_end=True)


def test_nested_anchors_choose_the_region_of_the_inner_one() -> None:
    text = "class A:\n    def f(self):\n        pass\n    def g(self):\n        pass\nclass B:\n    def f(self):\n        pass\n"
    check("-        pass", [3], 0, text, anchors=("class A:", "def f(self):"))
    check("-        pass", [8], 0, text, anchors=("class B:", "def f(self):"))


LONG = "\n".join(f"line number {number} of a long file" for number in range(1, 61)) + "\n"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            " line number 3 of a long file\n-line number 4 of a long file\n line number 5 of a long file\n ...\n"
            " line number 40 of a long file\n-line number 41 of a long file",
            [3],
        ),
        # A second hunk without its header.
        (
            " line number 3 of a long file\n-line number 4 of a long file\n line number 5 of a long file\n"
            " line number 40 of a long file\n-line number 41 of a long file\n line number 42 of a long file",
            [3],
        ),
        # The parts stand the other way round.
        (
            " line number 40 of a long file\n-line number 41 of a long file\n line number 42 of a long file\n ...\n"
            " line number 3 of a long file\n-line number 4 of a long file",
            [],
        ),
        # Nothing may be missing beside a change.
        (
            " line number 3 of a long file\n-line number 4 of a long file\n ...\n+new\n line number 40 of a long file",
            [],
        ),
    ],
)
def test_lines_are_left_out_between_two_context_lines_only(body: str, expected: list[int]) -> None:
    check(body, expected, 7 if expected else None, LONG)


def test_a_jump_between_parts_that_stand_twice_is_no_place() -> None:
    first, second = " line number 3 of a long file\n-line number 4 of a long file", "-line number 41 of a long file"
    check(f"{first}\n ...\n line number 40 of a long file\n{second}", [], None, LONG + LONG)


def test_a_line_of_dots_that_the_file_has_is_no_jump() -> None:
    text = "class Stub:\n    def one(self):\n        ...\n    def two(self):\n        ...\n"
    check("     def one(self):\n         ...\n-    def two(self):", [2], 0, text)


@pytest.mark.parametrize(
    ("first", "hint", "expected"),
    [
        (" something the model remembered wrongly", 3, [4]),
        # Without a hint, or far from it, one line is one too many.
        (" something the model remembered wrongly", None, []),
        (" something the model remembered wrongly", 40, []),
        ("-something the model remembered wrongly", 3, []),
    ],
)
def test_one_outer_context_line_may_be_wrong(first: str, hint: int | None, expected: list[int]) -> None:
    body = f"{first}\n line number 4 of a long file\n line number 5 of a long file\n-line number 6 of a long file"
    check(body, expected, OUTER if expected else None, LONG, hint=hint)


def test_blank_lines_beside_an_insertion_leave_its_place_open() -> None:
    text = "def first(argument):\n    return argument\n\n\ndef second(argument):\n    return argument * 2\n"
    check(" def first(argument):\n     return argument\n+new = 1\n def second(argument):", [], None, text)
    check(" def first(argument):\n     return argument\n+    # new\n \n def second(argument):", [1], 6, text)


def test_fewer_rungs_find_no_other_place() -> None:
    file = Snapshot.of_text(FILE)
    for body in (" import os\n class One:\n-    def run(self):", "-    return  items[-1]", "-def last(items):"):
        places = [locate(file, edit(body), highest).places for highest in range(OUTER + 1)]
        found = {place.at for some in places for place in some}
        assert len(found) <= 1


def test_a_place_before_everything_that_the_anchor_means_is_not_taken() -> None:
    body = " import os\n \n-class One:"
    check(body, [], anchors=("class Two:",))
    found = locate(Snapshot.of_text(FILE), edit(body, anchors=("class Two:",)))
    assert found.outside is not None
    assert found.outside.first == 0
    # An anchor that the file does not have says nothing, and one inside the quoted lines is theirs.
    check(body, [1], anchors=("class Three:",))
    check(body, [1], anchors=("class One:",))


def test_an_edit_without_old_lines_has_no_place() -> None:
    assert locate(Snapshot.of_text(FILE), LinesEdit((Line("+", "x"),)), RUNS_RUNG).places == ()
