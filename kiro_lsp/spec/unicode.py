"""Characters that a person does not see and a model reads: found, named and taken out.

Tag characters, bidirectional controls, zero-width characters, smuggled variation selectors and control characters can
hide instructions in a spec. What ordinary text needs stays: joiners in emoji and in scripts that write with them, one
variation selector after a character that has variants, flag sequences, marks and isolates in right-to-left lines.
Letters that merely look like others are not judged here.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

FindingCode = Literal["tag", "bidi", "zero-width", "variation", "control"]

_TAGS = range(0xE0000, 0xE0080)
_MARKS = frozenset("\u200e\u200f\u061c")
_OPENING = frozenset("\u202a\u202b\u2066\u2067\u2068")
_CLOSING = frozenset("\u202c\u2069")
_OVERRIDES = frozenset("\u202d\u202e")
_BIDI = _MARKS | _OPENING | _CLOSING | _OVERRIDES
_JOINERS = frozenset("\u200c\u200d")
_ZERO_WIDTH = frozenset(
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180e\u180f\u200b\u2060\u2061\u2062\u2063\u2064\u2065"
    "\u206a\u206b\u206c\u206d\u206e\u206f\u3164\ufeff\uffa0\ufff9\ufffa\ufffb"
)
_SUSPECT = re.compile(
    "[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb"
    "\U000e0000-\U000e007f\U000e0080-\U000e0fff]"
)
_JOINING_SCRIPTS = (
    *("ARABIC", "SYRIAC", "MONGOLIAN", "DEVANAGARI", "BENGALI", "GURMUKHI", "GUJARATI", "ORIYA", "TAMIL", "TELUGU"),
    *("KANNADA", "MALAYALAM", "SINHALA", "KHMER", "MYANMAR", "TIBETAN", "THAI", "LAO", "NKO", "MANDAIC", "HEBREW"),
)
_VARIANT_SCRIPTS = ("CJK", "MONGOLIAN", "MYANMAR", "PHAGS-PA", "MANICHAEAN", "EGYPTIAN", "KATAKANA", "HIRAGANA")


@dataclass(frozen=True, slots=True)
class Finding:
    """Hidden characters at one place: 0-based line and column (code points), `length` of them in a row."""

    line: int
    column: int
    length: int
    code: FindingCode
    message: str


def scan(text: str) -> tuple[Finding, ...]:
    """Every run of hidden characters that ordinary text does not need, in order."""
    findings = []
    line = counted = line_start = 0
    for start, end, code in _runs(text):
        line, counted = line + text.count("\n", counted, start), start
        line_start = text.rfind("\n", line_start, start) + 1 or line_start
        findings.append(Finding(line, start - line_start, end - start, code, _message(text[start:end], code)))
    return tuple(findings)


def strip(text: str) -> str:
    """The text without what `scan` finds. A text without hidden characters comes back as it is."""
    if _SUSPECT.search(text) is None:
        return text
    parts, at = [], 0
    for start, end, _ in _runs(text):
        parts.append(text[at:start])
        at = end
    parts.append(text[at:])
    return "".join(parts)


def visible(text: str) -> str:
    """The text with hidden characters shown as `<U+202E>`, for a person who has to judge it."""
    parts, at = [], 0
    for start, end, _ in _runs(text):
        parts.append(text[at:start])
        parts.extend(f"<U+{ord(sign):04X}>" for sign in text[start:end])
        at = end
    return "".join((*parts, text[at:]))


def _runs(text: str) -> list[tuple[int, int, FindingCode]]:
    runs: list[tuple[int, int, FindingCode]] = []
    balanced: dict[int, bool] = {}
    for match in _SUSPECT.finditer(text):
        at = match.start()
        code = _judge(text, at, balanced)
        if code is None:
            continue
        if runs and runs[-1][1] == at and runs[-1][2] == code:
            runs[-1] = (runs[-1][0], at + 1, code)
        else:
            runs.append((at, at + 1, code))
    return runs


def _judge(text: str, at: int, balanced: dict[int, bool]) -> FindingCode | None:
    sign = text[at]
    point = ord(sign)
    if point in _TAGS:
        return None if _in_flag(text, at) else "tag"
    if 0xFE00 <= point <= 0xFE0F or 0xE0100 <= point <= 0xE01EF:
        return None if _has_variants(text, at) else "variation"
    if point >= 0xE0080:
        return "tag"
    if sign in _BIDI:
        return None if _bidi_needed(text, at, balanced) else "bidi"
    if sign in _JOINERS:
        return None if _joins(text, at) else "zero-width"
    if sign == "\ufeff" and at == 0:
        return None
    if sign == "\u200b" and _script(text, at - 1, ("THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN", "JAVANESE")):
        return None
    if "\u180b" <= sign <= "\u180f" and _script(text, at - 1, ("MONGOLIAN",)):
        return None
    return "zero-width" if sign in _ZERO_WIDTH else "control"


def _in_flag(text: str, at: int) -> bool:
    """Whether a tag character belongs to a subdivision flag: black flag, up to six tags, cancel tag."""
    start = at
    while start > 0 and ord(text[start - 1]) in _TAGS and at - start < 8:
        start -= 1
    end = at
    while end < len(text) and ord(text[end]) in _TAGS and end - at < 8:
        end += 1
    run = text[start:end]
    if start == 0 or text[start - 1] != "\U0001f3f4" or not run.endswith("\U000e007f"):
        return False
    letters = [chr(ord(sign) - 0xE0000) for sign in run[:-1]]
    return 3 <= len(letters) <= 6 and all(sign.isalnum() and sign.isascii() for sign in letters)


def _has_variants(text: str, at: int) -> bool:
    if at == 0:
        return False
    base = text[at - 1]
    if base in "0123456789#*":
        return text[at] in "\ufe0e\ufe0f"
    if base.isascii() or _SUSPECT.match(base):
        return False
    return not base.isalpha() or _script(text, at - 1, _VARIANT_SCRIPTS) or unicodedata.category(base) == "So"


def _bidi_needed(text: str, at: int, balanced: dict[int, bool]) -> bool:
    sign = text[at]
    if sign in _OVERRIDES:
        return False
    start = text.rfind("\n", 0, at) + 1
    if start not in balanced:
        end = text.find("\n", at)
        line = text[start : end if end >= 0 else len(text)]
        has_rtl = any(unicodedata.bidirectional(letter) in ("R", "AL", "AN") for letter in line if letter not in _BIDI)
        balanced[start] = has_rtl and _is_balanced(line)
    return balanced[start]


def _is_balanced(line: str) -> bool:
    stack = []
    for sign in line:
        if sign in _OVERRIDES:
            return False
        if sign in _OPENING:
            stack.append("\u202c" if sign in "\u202a\u202b" else "\u2069")
        elif sign in _CLOSING and (not stack or stack.pop() != sign):
            return False
    return not stack


def _joins(text: str, at: int) -> bool:
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    if not before:
        return False
    if text[at] == "\u200d" and after and _pictures(before) and _pictures(after):
        return True
    return _script(text, at - 1, _JOINING_SCRIPTS)


def _pictures(sign: str) -> bool:
    return unicodedata.category(sign) in ("So", "Sk", "Sm", "Mn") or sign in "\ufe0f\u20e3" or ord(sign) >= 0x1F000


def _script(text: str, at: int, names: tuple[str, ...]) -> bool:
    return at >= 0 and unicodedata.name(text[at], "").startswith(names)


def _message(run: str, code: FindingCode) -> str:
    if code == "tag":
        hidden = "".join(chr(ord(sign) - 0xE0000) for sign in run if 0xE0020 <= ord(sign) <= 0xE007E)
        return f"{len(run)} invisible tag characters" + (f" that read {hidden!r}" if hidden else "")
    names = {
        "bidi": "character that changes the direction of the text",
        "zero-width": "invisible character",
        "variation": "variation selector where there is nothing to vary",
        "control": "control character",
    }
    kinds = ", ".join(f"U+{point:04X}" for point in sorted({ord(sign) for sign in run})[:4])
    return f"{len(run)} × {names[code]} ({kinds})"
