"""A pattern for ripgrep that matches wherever a Python pattern does, and perhaps elsewhere too.

ripgrep says fast which of many files can hold a match; Python decides. That is only right if ripgrep misses nothing,
and the two differ: in what a word character is, in what a dot does with bytes that are not UTF-8, in spelling. So each
piece of the pattern is translated to one that is as wide or wider, and a pattern with a piece that has no such
translation gets none.
"""

from __future__ import annotations

import re
from typing import Final

_ANY: Final = r"(?:.|(?-u:[\x80-\xff]){1,3})"
"""Any character; or the bytes that decoding would replace by one."""

_NOT_ASCII: Final = r"\x{80}-\x{10FFFF}"
_WIDER: Final = {"d": f"0-9{_NOT_ASCII}", "w": f"0-9A-Za-z_{_NOT_ASCII}", "s": rf"\s\x1c-\x1f{_NOT_ASCII}"}
_CONTROLS: Final = {"t": r"\t", "r": r"\r", "f": r"\x0c", "v": r"\x0b"}
_SPECIAL: Final = frozenset(r"\.+*?()|[]{}^$#&-~")
_QUANTIFIER: Final = re.compile(r"(?:[*+?]|\{[0-9]{1,3}(?:,[0-9]{0,3})?\})\??(?![*+?{])")
_GROUP: Final = re.compile(r"\((?:\?:|\?P<[A-Za-z_][A-Za-z0-9_]*>|(?!\?))")


class _NoTranslation(Exception):
    pass


def superset(pattern: str) -> str | None:
    """The ripgrep pattern, or None. `pattern` must be a valid Python one that is applied to single lines."""
    folded = pattern.startswith("(?i)")
    body = pattern[4:] if folded else pattern
    if "\n" in body or "\ufffd" in body or (folded and not body.isascii()):
        return None
    try:
        return ("(?i)" if folded else "") + _translated(body, folded)
    except _NoTranslation:
        return None


def _translated(body: str, folded: bool) -> str:
    pieces: list[str] = []
    index = 0
    repeatable = False
    while index < len(body):
        character = body[index]
        if character in "*+?{":
            quantifier = _QUANTIFIER.match(body, index)
            if not (repeatable and quantifier):
                raise _NoTranslation
            pieces.append(quantifier.group())
            index, repeatable = quantifier.end(), False
            continue
        piece, index, repeatable = _piece(body, index, folded)
        pieces.append(piece)
    return "".join(pieces)


def _piece(body: str, index: int, folded: bool) -> tuple[str, int, bool]:
    """(translation, index after the piece, whether it can be repeated)."""
    character = body[index]
    if character == "\\":
        return _escape(body, index, folded)
    if character == "[":
        return *_class(body, index + 1, folded), True
    if character == "(":
        group = _GROUP.match(body, index)
        if group is None:
            raise _NoTranslation
        return "(?:", group.end(), False
    if character in "^|":
        return character, index + 1, False
    if character == "$":
        return r"\r?$", index + 1, False
    if character == ")":
        return ")", index + 1, True
    return (_ANY if character == "." else _literal(character, folded)), index + 1, True


def _escape(body: str, index: int, folded: bool) -> tuple[str, int, bool]:
    character = body[index + 1]
    after = index + 2
    if character in "bB":
        return "", after, False
    if character in "DWS":
        return _ANY, after, True
    if character in _WIDER:
        return f"[{_WIDER[character]}]", after, True
    return _escaped_character(character, folded), after, True


def _escaped_character(character: str, folded: bool) -> str:
    if character in _CONTROLS:
        return _CONTROLS[character]
    if character.isalnum() or character == "\n":
        raise _NoTranslation
    return _literal(character, folded)


def _literal(character: str, folded: bool) -> str:
    if folded and character in "iI":
        # To Python, but not to ripgrep, the dotted capital and the dotless small one are the same letter.
        return "[iI\u0130\u0131]"
    return f"\\{character}" if character in _SPECIAL else character


def _class(body: str, index: int, folded: bool) -> tuple[str, int]:
    """A character class from after its bracket: (translation, index after the closing one)."""
    negated = body.startswith("^", index)
    index += negated
    start = index
    items: list[str] = []
    wide = negated
    while index < len(body) and (body[index] != "]" or index == start):
        if body[index] == "[" or body[index : index + 2] in ("--", "&&", "~~", "||"):
            raise _NoTranslation
        if body[index] == "\\":
            character = body[index + 1]
            wide = wide or character in "DWS"
            items.append(_class_escape(character))
            index += 2
        else:
            items.append("-" if _between(body, index, start) else _in_class(body[index]))
            index += 1
    if wide:
        return _ANY, index + 1
    return f"[{''.join(items)}{chr(0x130) + chr(0x131) if folded else ''}]", index + 1


def _between(body: str, index: int, start: int) -> bool:
    """Whether a hyphen makes a range of plain ASCII letters or digits; any other range gets no translation."""
    if body[index] != "-" or index == start or body[index + 1 : index + 2] in ("]", ""):
        return False
    if not (_plain(body[index - 1]) and _plain(body[index + 1])) or body[index - 2 : index - 1] == "\\":
        raise _NoTranslation
    return True


def _plain(character: str) -> bool:
    return character.isascii() and character.isalnum()


def _class_escape(character: str) -> str:
    if character in "DWS":
        return ""
    return _WIDER.get(character) or (r"\x08" if character == "b" else _escaped_character(character, folded=False))


def _in_class(character: str) -> str:
    return f"\\{character}" if character in _SPECIAL else character
