"""The block structure, checked against markdown-it-py, and beyond CommonMark where we say so."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from kiro_lsp.spec.blocks import CODE, FRONT_MATTER, HEADING, HTML, scan
from kiro_lsp.spec.lines import split_lines

BOX = re.compile(r"\[([^\r\n\]]|)\](?![(\[:])")
MARKDOWN = MarkdownIt("commonmark", {"maxNesting": 200})


def boxes_by_markdown_it(text: str) -> list[tuple[int, str, int]]:
    """(line, mark, list depth) of every list item whose first block is a paragraph that begins with a box."""
    tokens = MARKDOWN.parse(text)
    found = []
    depth = -1
    for number, token in enumerate(tokens):
        if token.type == "list_item_open":
            depth += 1
            first = tokens[number + 1]
            if first.type == "paragraph_open" or (first.type == "heading_open" and first.markup in "=-"):
                inline = tokens[number + 2]
                box = BOX.match(inline.content)
                if box and inline.map and (box[1] in "xX" or not box[1].isalnum()):
                    found.append((inline.map[0], box[1], depth))
        elif token.type == "list_item_close":
            depth -= 1
    return found


MARKER = re.compile(r"[ \t>]*?(?=(?:[-+*]|\d+[.)])(?:\s|$))(?:[-+*]|\d+[.)])[ \t]*")


def differs_from_the_specification(text: str) -> bool:
    """Whether markdown-it-py may judge a line by the wrong container.

    It measures a line that falls short of a list item from that item's content, so a line four or more columns in, which
    for the specification can only continue a paragraph, begins a block there. Items of five columns or more have room for
    such a line, and so have block quotes.
    """
    starts = {0}
    wide = False
    for line in text.split("\n"):
        plain = line.expandtabs(4)
        indent = len(plain) - len(plain.lstrip(" "))
        if wide and indent >= 4:
            return True
        wide = wide or ">" in plain
        at = 0
        while found := MARKER.match(plain, at):
            column = found.end() - len(found[0].lstrip(" >"))
            wide = wide or any(found.end() - start >= 5 and column - start <= 3 for start in starts if start <= column)
            starts.add(found.end())
            at = found.end()
    return False


def check(text: str) -> None:
    ours = [(box.line, box.mark, box.depth) for box in scan(split_lines(text)).boxes]
    assert ours == boxes_by_markdown_it(text), text


CONTENT = st.sampled_from(
    [
        *[
            "- [ ] a",
            "- [x] b",
            "* [X] c",
            "+ [-] d",
            "1. [ ] e",
            "2) [~] f",
            "10. [ ] g",
            "- [] h",
            "- plain",
            "- ",
            "-",
            "1.",
        ],
        *[
            "- - [ ] i",
            "1. - [x] j",
            "- * 1. [ ] k",
            "-   [ ] l",
            "-     [ ] code",
            "- [P] tag",
            "- [a](b)",
            "- [ ]* opt",
        ],
        *[
            "text",
            "[ ] no bullet",
            "**bold**",
            "# heading",
            "## [ ] heading",
            "#nohash",
            "===",
            "---",
            "***",
            "* * *",
            "- - -",
        ],
        *[
            "```",
            "````",
            "```js",
            "~~~",
            "~~~~ x",
            "``` ```",
            "`` ` ``",
            "<!-- c",
            "-->",
            "<!-- c -->",
            "<!-- a --> - [ ] b",
        ],
        *[
            "<div>",
            "</div>",
            "<div",
            "<b>",
            "<b>x",
            "<script>",
            "</script>",
            "<?php",
            "?>",
            "<!DOCTYPE x",
            "<a href='x'>",
        ],
        *[
            "> - [ ] q",
            "> text",
            ">",
            ">- [x] r",
            "> > - [ ] s",
            "> ```",
            "> 1. [ ] t",
            "- > - [ ] u",
            "- ```",
            "- <!-- v",
        ],
        *["", "", "", "  ", "\t"],
    ]
)
INDENT = st.sampled_from(
    ["", "", "", " ", "  ", "  ", "   ", "    ", "     ", "      ", "        ", "\t", " \t", "\t\t", "  \t"]
)
QUOTE_TOO_DEEP = re.compile(r"(?: {4,}| *\t[ \t]*)(>.*)")
"""markdown-it-py goes on with a block quote however far its sign is indented; the specification allows three columns."""
LINE = st.tuples(INDENT, CONTENT).map(lambda parts: QUOTE_TOO_DEEP.sub(r"\1", "".join(parts)))
DOCUMENT = st.lists(LINE, max_size=14).map(lambda lines: "\n".join([*lines, ""]))


@settings(max_examples=1500, deadline=None)
@given(DOCUMENT)
@example("- a\n\n  ```\n  - [ ] in\n - [ ] out\n")
@example("- [ ] a\nlazy\n- [x] b\n")
@example("-\n  [ ] second line\n")
@example("-\n\n  [ ] too late\n")
@example("text\n2. [ ] no interruption\n")
@example("text\n1. [ ] interrupts\n")
@example("````\n```\n- [ ] in\n````\n- [ ] out\n")
@example("~~~\n```\n- [ ] in\n~~~\n- [ ] out\n")
@example("- x\n\n      - [ ] indented code\n")
@example("<!-- a\n- [ ] in\n-->\n- [ ] out\n")
@example("<div>\n- [ ] in\n\n- [ ] out\n")
@example("> - [ ] a\nlazy\n> - [ ] b\n")
@example("- \t[ ] tab after the bullet\n\t- [x] below\n")
@example("```\n``` ```\n- [ ] a\n")
@example("Title\n- [ ] a\n---\n- [ ] b\n")
def test_boxes_are_those_that_commonmark_sees(text: str) -> None:
    assume(not differs_from_the_specification(text))
    check(text)


LINE_ENDS = st.sampled_from(["\n", "\r\n", "\r"])


@settings(max_examples=200, deadline=None)
@given(DOCUMENT, LINE_ENDS)
def test_the_kind_of_line_end_changes_nothing(text: str, end: str) -> None:
    expected = [(box.line, box.mark, box.depth) for box in scan(split_lines(text)).boxes]
    other = text.replace("\n", end)
    assert [(box.line, box.mark, box.depth) for box in scan(split_lines(other)).boxes] == expected


def lines_with_boxes(text: str) -> list[int]:
    return [box.line for box in scan(split_lines(text)).boxes]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("---\nkey: v\n- [ ] no\n---\n- [ ] yes\n", [4]),
        ("---\n\nkey: v\nlist:\n  - [ ] no\n---\n- [ ] yes\n", [6]),
        ("---\n# comment\nkey: v\n...\n- [ ] yes\n", [4]),
        ("\ufeff---\nkey: v\n- [ ] no\n---\n- [ ] yes\n", [4]),
        ("---\nkey: never closed\n- [ ] yes\n", [2]),
        ("---\n- [ ] two breaks are no front matter\n---\n", [1]),
        ("---\n---\n- [ ] yes\n", [2]),
        ("\n---\nkey: v\n- [ ] yes\n---\n", [3]),
    ],
)
def test_front_matter_holds_no_tasks(text: str, expected: list[int]) -> None:
    assert lines_with_boxes(text) == expected


@pytest.mark.parametrize(
    "tag", ["<details>", "<details open>", "<details><summary>x</summary>", "<summary>x</summary>"]
)
def test_a_list_directly_below_details_counts_and_is_flagged(tag: str) -> None:
    found = scan(split_lines(f"{tag}\n- [ ] a\n  - [x] b\n- [ ] c\n</details>\n\n- [ ] after\n")).boxes
    assert [(box.line, box.depth, box.folded) for box in found] == [
        (1, 0, True),
        (2, 1, True),
        (3, 0, True),
        (6, 0, False),
    ]


def test_other_raw_html_hides_its_boxes() -> None:
    assert lines_with_boxes("<div>\n- [ ] a\n</div>\n\n- [ ] b\n") == [4]


def test_a_mark_is_one_character_that_is_no_letter() -> None:
    marks = " xX-~/!>?*+✅❌☑"
    text = "".join(f"- [{mark}] t\n" for mark in marks) + "- [✔\ufe0f] t\n- [] t\n"
    assert [box.mark for box in scan(split_lines(text)).boxes] == [*marks, "✔\ufe0f", ""]


@pytest.mark.parametrize(
    "line",
    [
        "- [P] t",
        "- [S] t",
        "- [1] t",
        "- [é] t",
        "- [字] t",
        "- [ab] t",
        "- [ ](x)",
        "- [x]: y",
        "- [ ][a]",
        "- (x) t",
        "- [GATE] t",
    ],
)
def test_tags_links_and_definitions_are_no_boxes(line: str) -> None:
    assert lines_with_boxes(line) == []


def test_kinds_and_owners_tell_what_each_line_is() -> None:
    text = "# T\n- [ ] a\n  ```\n  x\n  ```\n  - [ ] b\n    text\n\n<!-- c -->\nend\n"
    blocks = scan(split_lines(text))
    assert blocks.kinds[0] == HEADING
    assert list(blocks.kinds[2:5]) == [CODE] * 3
    assert blocks.kinds[8] == HTML
    assert blocks.owners == [-1, 0, 0, 0, 0, 1, 1, 1, -1, -1]
    assert [(fence.start, fence.end, fence.closed) for fence in blocks.fences] == [(2, 5, True)]


def test_an_unclosed_fence_and_comment_are_told() -> None:
    assert [fence.closed for fence in scan(split_lines("```\n- [ ] a\n")).fences] == [False]
    assert scan(split_lines("a\n\n<!-- b\n- [ ] c\n")).unclosed_html == 2
    assert scan(split_lines("<div>\n")).unclosed_html is None


def test_headings_have_their_text_without_closing_signs() -> None:
    text = "# One #\n## Two ##\n### Three#\n####\nSetext\nmore\n---\n- # inside an item\n"
    assert [(found.level, found.text) for found in scan(split_lines(text)).headings] == [
        (1, "One"),
        (2, "Two"),
        (3, "Three#"),
        (4, ""),
        (2, "Setext more"),
    ]
    assert scan(split_lines("---\na: b\n---\n")).kinds == bytes([FRONT_MATTER] * 3)


def test_fifty_levels_are_read_and_a_million_are_no_harm() -> None:
    deep = "".join(f"{'  ' * level}- [ ] {level}\n" for level in range(50))
    assert [box.depth for box in scan(split_lines(deep)).boxes] == list(range(50))
    for hostile in (
        "- " * 200_000 + "x",
        "> " * 200_000,
        "* - " * 100_000 + "\n" * 1000,
        "\t" * 200_000 + "- [ ] x",
        "#" * 300_000,
    ):
        scan(split_lines(hostile))
