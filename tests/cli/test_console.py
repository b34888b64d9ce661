"""What is printed can be looked at: nothing that a model or a file wrote moves the cursor or hides."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiro_lsp.errors import AmbiguousTask, Candidate, Untrusted
from kiro_lsp.terminal.console import Console, encode_json, refused_json, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("Straße 日本 👩‍💻", "Straße 日本 👩‍💻"),
        ("\x1b[2Jgone", "\\u{1b}[2Jgone"),
        ("rm -rf /\rls", "rm -rf /\\u{d}ls"),
        ("admin\u202enimda", "admin\\u{202e}nimda"),
        ("a\u200bb\u2066c", "a\\u{200b}b\\u{2066}c"),
        ("tag\U000e0041", "tag\\u{e0041}"),
        ("\x9b31m", "\\u{9b}31m"),
    ],
)
def test_what_a_terminal_would_obey_is_spelled_out(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text())
def test_visible_text_holds_nothing_that_a_terminal_obeys(text: str) -> None:
    shown = visible(text)
    assert not any(ord(char) < 32 and char not in "\n\t" for char in shown)
    assert "\x1b" not in shown
    assert visible(shown) == shown


@given(st.recursive(st.text() | st.integers() | st.none() | st.booleans(), st.lists, max_leaves=5))
def test_json_is_one_line_of_utf8_and_reads_back(value: object) -> None:
    text = encode_json(value)
    assert "\n" not in text
    assert json.loads(text.encode()) == value


def test_json_of_a_lone_surrogate_is_escaped() -> None:
    assert encode_json("\ud800") == '"\\ud800"'


def test_a_refusal_carries_its_candidates_and_its_digest() -> None:
    ambiguous = AmbiguousTask("Two.", (Candidate("1", 3, "One"), Candidate("1~2", 9, "Other")), hint="Use the key.")
    assert refused_json(ambiguous) == {
        "code": "ambiguous-task",
        "message": "Two.",
        "hint": "Use the key.",
        "candidates": [{"key": "1", "line": 3, "title": "One"}, {"key": "1~2", "line": 9, "title": "Other"}],
    }
    assert refused_json(Untrusted("No.", digest="abc"))["digest"] == "abc"


def test_a_refusal_goes_to_stderr_and_with_json_to_stdout_too() -> None:
    out, err = io.StringIO(), io.StringIO()
    console = Console(out, err, {})
    error = AmbiguousTask("Two tasks are called 1.", (Candidate("1", 3, "One\x1b[0m"),), hint="Use the key.")
    console.refuse(error)
    assert out.getvalue() == ""
    assert err.getvalue() == "kiro-lsp: Two tasks are called 1.\n  1  line 3  One\\u{1b}[0m\n  Use the key.\n"
    console.json = True
    console.refuse(error, runId=None)
    assert json.loads(out.getvalue()) == {"runId": None, "refused": refused_json(error)}


@pytest.mark.parametrize(
    ("environ", "terminal", "wanted"),
    [
        ({}, True, True),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, True, False),
        ({}, False, False),
    ],
)
def test_colours_need_a_terminal_that_wants_them(environ: dict[str, str], terminal: bool, wanted: bool) -> None:
    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    console = Console(Stream(), io.StringIO(), environ)
    assert console.colour is wanted
    assert (console.styled("x", 1) == "x") is not wanted
