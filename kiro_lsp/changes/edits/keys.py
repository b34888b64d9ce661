"""How two lines are compared on each rung of the ladder, strictest first.

Every key is computed from the one before, so that lines which are equal on a rung stay equal on all later ones: a rung
finds whatever an earlier one finds. Keys are for finding only; no text is ever made from them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

BLANKS = " \t\f\v\r\u00a0\u3000"

_SINGLE = "\u2018\u2019\u201a\u201b\u2032\u02bc\uff07"
_DOUBLE = "\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb\uff02"
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
_SPACES = "\u00a0\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_NOTHING = "\u200b\u200c\u200d\u2060\ufeff\u00ad"
_LOOK_ALIKE = str.maketrans(
    {
        **dict.fromkeys(_SINGLE, "'"),
        **dict.fromkeys(_DOUBLE, '"'),
        **dict.fromkeys(_DASHES, "-"),
        **dict.fromkeys(_SPACES, " "),
        **dict.fromkeys(_NOTHING, ""),
        "\u2026": "...",
    }
)
_RUN = re.compile(r"\s+")

EXACT, TRAILING, LOOK_ALIKE, INDENT, RUNS = range(5)


def _same(line: str) -> str:
    return line


def _without_trailing_blanks(line: str) -> str:
    return line.rstrip(BLANKS)


def _folded(line: str) -> str:
    """Quotes, dashes, blanks and the like that models and editors exchange for ASCII; one composition of accents."""
    if line.isascii():
        return line
    return unicodedata.normalize("NFC", line.translate(_LOOK_ALIKE)).rstrip(BLANKS)


def _without_indent(line: str) -> str:
    return line.strip(BLANKS)


def _single_blanks(line: str) -> str:
    return _RUN.sub(" ", line)


KEYS: tuple[Callable[[str], str], ...] = (_same, _without_trailing_blanks, _folded, _without_indent, _single_blanks)


def key_of(line: str, rung: int) -> str:
    """The key of one line on a rung (an index of `KEYS`)."""
    for step in KEYS[1 : rung + 1]:
        line = step(line)
    return line


def significant(lines: list[str]) -> int:
    """How many characters of the lines are not blank."""
    return sum(len(_RUN.sub("", line)) for line in lines)
