"""Where keys of a TOML text stand, and what a `.env` file says."""

from __future__ import annotations

from typing import Any

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from kiro_lsp.settings.dotenv import parse_dotenv
from kiro_lsp.settings.toml_lines import key_places

TOML = """\
# comment [not] = "a table"
[a."b.c".'d e']  # [x]
x = 1
"y\\u00e9" = '''
[z]
q = 1'''
i.j = {k = [1, {l = "]"}], 'm n' = "}", o = {p = 2}}
[[list]]
r = [
  "a", # , ]
  ["b", 'c'],
]
date = 1979-05-27T07:32:00Z
[[list]]
r = 2
[a]
text = \"\"\"one "two" \\\"\"\" three\"\"\"\"
last = true
"""


@pytest.mark.parametrize(
    ("path", "line", "column"),
    [
        (("a",), 1, 1),
        (("a", "b.c"), 1, 3),
        (("a", "b.c", "d e"), 1, 9),
        (("a", "b.c", "d e", "x"), 2, 0),
        (("a", "b.c", "d e", "yé"), 3, 0),
        (("a", "b.c", "d e", "i", "j", "k", "l"), 6, 16),
        (("a", "b.c", "d e", "i", "j", "m n"), 6, 27),
        (("a", "b.c", "d e", "i", "j", "o", "p"), 6, 45),
        (("list", "r"), 8, 0),
        (("list", "date"), 12, 0),
        (("a", "text"), 16, 0),
        (("a", "last"), 17, 0),
    ],
)
def test_a_key_is_found_where_it_stands(path: tuple[str, ...], line: int, column: int) -> None:
    tomli.loads(TOML)
    place = key_places(TOML)[path]
    assert (place.line, place.column) == (line, column)


def _paths(value: Any, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    if isinstance(value, dict):
        return {path, *(inner for key, item in value.items() for inner in _paths(item, (*path, key)))}
    if isinstance(value, list):
        return {path, *(inner for item in value for inner in _paths(item, path))}
    return {path}


keys = st.text(st.sampled_from("ab.'\" é-_1"), min_size=1, max_size=4)
values = st.recursive(
    st.integers() | st.booleans() | st.text(st.sampled_from("a]}#\n'\"\\,="), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


def _write(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value) if -(2**63) <= value < 2**63 else "0"
    if isinstance(value, list):
        return "[ # ]\n" + ",\n".join(map(_write, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(key)} = {_write(item)}" for key, item in value.items()) + "}"
    return _quoted(value)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


@given(st.dictionaries(keys, values, max_size=4))
def test_every_key_that_the_parser_finds_has_a_place(tree: dict[str, Any]) -> None:
    text = "".join(f"{_quoted(key)} = {_write(value)} # x\n" for key, value in tree.items())
    parsed = tomli.loads(text)
    assert _paths(parsed) - {()} == set(key_places(text))


@given(st.text(max_size=100))
def test_any_text_gives_places_or_none(text: str) -> None:
    for place in key_places(text).values():
        assert place.column < place.end_column


DOTENV = """\
\ufeff# a comment
ANTHROPIC_API_KEY=sk-ant-1 # the key
export OPENAI_API_KEY = "sk 2 # inside" # outside
A='single $HOME "x"'
B=${ANTHROPIC_API_KEY}/x
C=
not a line
D="two
lines"
E=a=b#c
1F=no
G="a\\nb\\"c"
CRLF=yes\r
"""


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("ANTHROPIC_API_KEY", "sk-ant-1", 1),
        ("OPENAI_API_KEY", "sk 2 # inside", 2),
        ("A", 'single $HOME "x"', 3),
        ("B", "${ANTHROPIC_API_KEY}/x", 4),
        ("C", "", 5),
        ("D", "two\nlines", 7),
        ("E", "a=b#c", 9),
        ("G", 'a\nb"c', 11),
        ("CRLF", "yes", 12),
    ],
)
def test_a_dotenv_line_is_read_without_expanding_anything(name: str, value: str, line: int) -> None:
    entry = next(entry for entry in parse_dotenv(DOTENV) if entry.name == name)
    assert (entry.value, entry.line) == (value, line)


def test_what_is_no_assignment_is_passed_over() -> None:
    assert [entry.name for entry in parse_dotenv(DOTENV)] == [
        "ANTHROPIC_API_KEY", "OPENAI_API_KEY", "A", "B", "C", "D", "E", "G", "CRLF",
    ]  # fmt: skip


@given(st.text(max_size=300))
def test_any_text_is_a_dotenv_file(text: str) -> None:
    for entry in parse_dotenv(text):
        assert entry.name.isidentifier()
