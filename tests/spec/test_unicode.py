"""Hidden characters are found and taken out; what ordinary writing needs stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiro_lsp.spec.unicode import scan, strip, visible


def tags(text: str) -> str:
    return "".join(chr(0xE0000 + ord(sign)) for sign in text)


@pytest.mark.parametrize(
    ("text", "code", "stripped"),
    [
        (f"do it{tags('rm -rf')}.", "tag", "do it."),
        ("\U0001f3f4" + tags("evil message") + "\U000e007f", "tag", "\U0001f3f4"),
        ("admin\u202e nimda", "bidi", "admin nimda"),
        ("if x: \u2066# comment\u2069 run()", "bidi", "if x: # comment run()"),
        ("שלום \u202e abc", "bidi", "שלום  abc"),
        ("שלום \u2067 abc", "bidi", "שלום  abc"),
        ("pass\u200bword", "zero-width", "password"),
        ("a\u200db", "zero-width", "ab"),
        ("x\u2060y\u00adz", "zero-width", "xyz"),
        ("a\ufeffb", "zero-width", "ab"),
        ("\u3164", "zero-width", ""),
        ("a\ufe00\ufe01\ufe02", "variation", "a"),
        ("😀\ufe0f\ufe0e\ufe0f", "variation", "😀\ufe0f"),
        ("x\U000e0101\U000e0154", "variation", "x"),
        ("\x1b[2Kdone", "control", "[2Kdone"),
        ("a\x00b\x9bc", "control", "abc"),
    ],
)
def test_a_hidden_character_is_named_and_taken_out(text: str, code: str, stripped: str) -> None:
    assert code in {finding.code for finding in scan(text)}
    assert strip(text) == stripped
    assert scan(strip(text)) == ()


@pytest.mark.parametrize(
    "text",
    [
        "plain text\twith a tab\r\nand a line",
        "👩‍👩‍👧‍👦 👨🏽‍🌾 ❤️‍🔥 🏳️‍🌈 ✔️ ☝🏽 1️⃣ #️⃣ ©️",
        "🏴󠁧󠁢󠁥󠁮󠁧󠁿 🏴󠁧󠁢󠁳󠁣󠁴󠁿 🇩🇪",
        "می‌خواهم کتاب‌ها",
        "क्‍ष श्रीलंका ക്‍",
        "\u200fשלום\u200f עולם 123",
        "قال \u2067«نعم»\u2069 ثم ذهب",
        "葛\U000e0100城市 辻\U000e0101",
        "한국어 日本語 Ελληνικά",
        "\ufeffa byte order mark at the start",
        "ภาษา\u200bไทย",
    ],
)
def test_ordinary_writing_is_left_alone(text: str) -> None:
    assert scan(text) == ()
    assert strip(text) == text


def test_a_finding_has_its_place_and_says_what_tags_spell() -> None:
    [first, second] = scan(f"one\nab\u200b\u200b\ntwo {tags('hi')}")
    assert (first.line, first.column, first.length) == (1, 2, 2)
    assert (second.line, second.column, second.length) == (2, 4, 2)
    assert "'hi'" in second.message
    assert visible("a\u202eb") == "a<U+202E>b"


@given(st.text(max_size=60))
def test_stripping_is_stable_and_loses_only_what_was_found(text: str) -> None:
    stripped = strip(text)
    assert len(text) - len(stripped) == sum(finding.length for finding in scan(text))
    lines = text.split("\n")
    for finding in scan(text):
        assert finding.column + finding.length <= len(lines[finding.line])


def test_a_long_text_of_hidden_characters_takes_linear_work() -> None:
    text = "a\u200b" * 50_000 + "\n" * 1000
    assert strip(text) == "a" * 50_000 + "\n" * 1000
    assert len(scan(text)) == 50_000
