"""A document changed in place is the text that the client has, in every encoding; what cannot be right is noticed."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiro_lsp.lsp import convert
from kiro_lsp.lsp.documents import Encoding, offset_in, opened, units_in
from kiro_lsp.spec.lines import split_lines

ENCODINGS: tuple[Encoding, ...] = ("utf-8", "utf-16", "utf-32")
TEXTS = st.text(st.sampled_from(list("ab\n\r\u2028\f\x85é漢😀 \t\ud83d")), max_size=30)
"""With the first half of a character that never has a second one; pairs have a test of their own."""


def units(text: str, encoding: Encoding) -> int:
    return (
        len(text)
        if encoding == "utf-32"
        else len(text.encode(encoding + "-le" if encoding == "utf-16" else encoding, "surrogatepass"))
        // (2 if encoding == "utf-16" else 1)
    )


def position(text: str, offset: int, encoding: Encoding) -> dict[str, int]:
    """Where an offset is, by the specification's words and none of our code."""
    before = re.split(r"\r\n|\n|\r", text[:offset])
    if text[:offset].endswith("\r") and text[offset : offset + 1] == "\n":
        before = re.split(r"\r\n|\n|\r", text[: offset - 1])  # inside a line end: before it
    return {"line": len(before) - 1, "character": units(before[-1], encoding)}


def real_offset(text: str, offset: int) -> int:
    inside = text[:offset].endswith("\r") and text[offset : offset + 1] == "\n"
    return offset - 1 if inside else offset


@settings(max_examples=400)
@given(st.data(), TEXTS, st.sampled_from(ENCODINGS))
def test_incremental_edits_give_the_text_that_the_client_has(
    data: st.DataObject, text: str, encoding: Encoding
) -> None:
    document = opened("file:///t.md", "markdown", 1, text)
    for version in range(2, 6):
        start, end = sorted(data.draw(st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))))
        start, end = real_offset(text, start), real_offset(text, end)
        new = data.draw(TEXTS)
        range_ = {"start": position(text, start, encoding), "end": position(text, end, encoding)}
        document.change(version, [{"range": range_, "text": new}], encoding)
        text = text[:start] + new + text[end:]
        assert document.synced
        assert document.text == text
        assert document.lines == split_lines(text)


@settings(max_examples=300)
@given(st.data())
def test_halves_of_characters_are_kept_as_an_editor_keeps_them(data: st.DataObject) -> None:
    """The client's text as its UTF-16 units, cut anywhere; halves that meet are one character again."""
    pieces = st.lists(
        st.sampled_from(["a", "\n", "\r\n", "é", "😀", "\ud83d", "\ude00", "\u2028", "\f"]), max_size=8
    ).map("".join)
    client = data.draw(pieces).encode("utf-16-le", "surrogatepass")
    document = opened("file:///t.md", "markdown", 1, client.decode("utf-16-le", "surrogatepass"))
    for version in range(2, 6):
        text = client.decode("utf-16-le", "surrogatepass")
        lines = split_lines(text) or [""]
        number = data.draw(st.integers(0, len(lines) - 1))
        size = len(lines[number].rstrip("\r\n").encode("utf-16-le", "surrogatepass")) // 2
        start, end = sorted(data.draw(st.tuples(st.integers(0, size), st.integers(0, size))))
        before = len("".join(lines[:number]).encode("utf-16-le", "surrogatepass")) // 2
        new = data.draw(pieces)
        range_ = {"start": {"line": number, "character": start}, "end": {"line": number, "character": end}}
        document.change(version, [{"range": range_, "text": new}], "utf-16")
        added = new.encode("utf-16-le", "surrogatepass")
        client = client[: 2 * (before + start)] + added + client[2 * (before + end) :]
        assert document.synced
        assert document.text == client.decode("utf-16-le", "surrogatepass")
        assert document.lines == split_lines(document.text)


def change(range_: Any, version: int = 2) -> Any:
    document = opened("file:///t.md", "markdown", 1, "one\ntwo\n")
    document.change(version, [{"range": range_, "text": "x"}], "utf-16")
    return document


def span(a: int, b: int, c: int, d: int) -> dict[str, Any]:
    return {"start": {"line": a, "character": b}, "end": {"line": c, "character": d}}


@pytest.mark.parametrize(
    ("range_", "version"),
    [
        (span(0, 0, 0, 1), 1),
        (span(0, 0, 0, 1), 0),
        (span(1, 0, 0, 0), 2),
        (span(0, 2, 0, 1), 2),
        (span(0, 0, 9, 0), 2),
        (span(-1, 0, 0, 0), 2),
        ({"start": 3}, 2),
        ("nonsense", 2),
    ],
)
def test_a_change_that_cannot_be_right_makes_the_document_unsynced(range_: Any, version: int) -> None:
    document = change(range_, version)
    assert not document.synced
    assert document.why
    document.change(9, [{"text": "all of it\n"}], "utf-16")
    assert document.synced
    assert document.text == "all of it\n"


def test_a_position_behind_the_end_of_a_line_is_its_end() -> None:
    assert change(span(0, 99, 0, 99)).text == "onex\ntwo\n"
    assert change(span(2, 0, 2, 0)).text == "one\ntwo\nx"


@given(TEXTS, st.sampled_from(ENCODINGS), st.integers(0, 30))
def test_units_and_offsets_are_inverse(line: str, encoding: Encoding, offset: int) -> None:
    line = re.split(r"[\r\n]", line)[0]
    offset = min(offset, len(line))
    assert offset_in(line, units_in(line, offset, encoding), encoding) == offset


@settings(max_examples=200)
@given(TEXTS, TEXTS, st.sampled_from(ENCODINGS))
def test_edits_that_are_sent_give_the_new_text(old: str, new: str, encoding: Encoding) -> None:
    document = opened("file:///t.md", "markdown", 1, old)
    for edit in sorted(
        convert.text_edits(old, new, encoding),
        key=lambda edit: (edit["range"]["start"]["line"], edit["range"]["start"]["character"]),
        reverse=True,
    ):
        document.change(document.version + 1, [{"range": edit["range"], "text": edit["newText"]}], encoding)
    assert document.text == new


@pytest.mark.parametrize(
    ("uri", "windows", "path"),
    [
        ("file:///home/a%20b/t.md", False, "/home/a b/t.md"),
        ("file://localhost/x", False, "/x"),
        ("file://server/share/x", False, None),
        ("file:///c%3A/Users/x.md", True, r"C:\Users\x.md"),
        ("file:///C:/Users/x.md", True, r"C:\Users\x.md"),
        ("file://server/share/x", True, r"\\server\share\x"),
        ("untitled:Untitled-1", False, None),
        ("vscode-vfs://github/a/b", False, None),
        ("file:///a%00b", False, None),
        ("nonsense", False, None),
        ("file://[x/t.md", False, None),
        ("file:t.md", False, None),
    ],
)
def test_uris_are_read_by_the_rules_of_their_system(uri: str, windows: bool, path: str | None) -> None:
    found = convert.path_of(uri, windows=windows)
    assert (None if found is None else str(found)) == path


@pytest.mark.parametrize("changes", [None, "x", {}, [3], [None], [{"text": "a"}, 3]])
def test_changes_that_are_none_make_the_document_unsynced(changes: Any) -> None:
    document = opened("file:///t.md", "markdown", 1, "one\n")
    document.change(2, changes, "utf-16")
    assert not document.synced
    document.change(3, [{"text": "two\n"}], "utf-16")
    assert document.synced
