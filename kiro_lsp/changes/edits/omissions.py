"""Places where a model left code out and said so: "... rest of the code" instead of the code."""

from __future__ import annotations

import re

_WORDS = (
    "rest of|remaining|existing|unchanged|omitted|previous|other (?:methods|functions|code|imports|fields|cases|tests)"
    "|same as|as before|keep (?:the|all|existing)|no changes?|code (?:here|above|below)|implementation|truncated|snip"
)
_DOTS = r"(?:\.\.\.|\u2026)"
_OPENERS = r"//|#|--|;+|%|<!--|/\*+|\*|\{/\*|\"\"\"|'''"
_CLOSERS = r"-->|\*/\}?|\"\"\"|'''"
_COMMENT = re.compile(rf"\s*(?:{_OPENERS})\s*(.*?)\s*(?:{_CLOSERS})?\s*")
_BARE = re.compile(r"\s*[(\[<{]?\s*(.*?)\s*[)\]>}]?\s*")
_SAYS = re.compile(rf"{_DOTS}\s*\(?\s*(?:the\s+)?(?:{_WORDS})|(?:the\s+)?(?:{_WORDS})[^\n]*{_DOTS}\W*", re.IGNORECASE)
_STAYS = re.compile(
    r"(?:the )?(?:rest|remainder|remaining) [^\n]*(?:unchanged|(?:remains?|stays?|is) (?:the )?same|as before|omitted)\W*",
    re.IGNORECASE,
)
_COMMENT_STARTS = "/#-;%<*{\"'"
_ONLY_WORDS = re.compile(r"[\w\s.,'()\u2026:-]*")
_LONGEST = 200


def omissions(text: str) -> list[tuple[int, str]]:
    """The 0-based lines of a text that stand for left-out code, with the lines.

    Only a line that says nothing else counts: a comment, or words in no language. A bare `...` is code in Python and
    speech in prose, and a string that holds such words is a string.
    """
    found: list[tuple[int, str]] = []
    for number, line in enumerate(text.split("\n")):
        if len(line) > _LONGEST:
            continue
        comment = _COMMENT.fullmatch(line) if line.strip()[:1] in _COMMENT_STARTS else None
        if comment is not None and _STAYS.fullmatch(comment.group(1)):
            found.append((number, line))
            continue
        if "..." not in line and "\u2026" not in line:
            continue
        said = comment.group(1) if comment else _bare(line)
        if said and _SAYS.match(said) and _ONLY_WORDS.fullmatch(said):
            found.append((number, line))
    return found


def _bare(line: str) -> str:
    """What a line says in words without quotes, operators or calls; "" for anything that could be code."""
    inner = _BARE.fullmatch(line)
    said = inner.group(1) if inner else ""
    return said if _ONLY_WORDS.fullmatch(said) else ""
