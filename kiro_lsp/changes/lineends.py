"""Text as editors keep it: without a byte order mark, with line ends of their own choosing.

An editor hides the mark of a file, and some give every line of a document the same end. Both are the editor's right, so
a text that differs from another only in these is the same text here, and a wanted text is put into the form of the
actual one.
"""

from __future__ import annotations

import re

BOM = "\ufeff"
_END = re.compile(r"\r\n|\r|\n")


def text_of(data: bytes | None) -> str | None:
    """The text of a file without its mark, None when there is no file or it is not UTF-8."""
    if data is None:
        return None
    try:
        return data.decode("utf-8").removeprefix(BOM)
    except UnicodeDecodeError:
        return None


def same_text(one: str, other: str) -> bool:
    """Whether two texts differ at most in their line ends."""
    return one == other or _END.sub("\n", one) == _END.sub("\n", other)


def in_form_of(wanted: str, expected: str, actual: str) -> str | None:
    """`wanted`, which was made from `expected`, as it would be had it been made from `actual`.

    None when `actual` is another text, or has line ends of several kinds that are not those of `expected`.
    """
    if actual == expected:
        return wanted
    if not same_text(actual, expected):
        return None
    ends = set(_END.findall(actual))
    return _END.sub(ends.pop(), wanted) if len(ends) == 1 else None


def with_ends_of(text: str, expected: str, actual: str) -> str:
    """`text` with the one line end of `actual`, where `actual` has one only and `expected` has others."""
    ends = set(_END.findall(actual))
    return text if len(ends) != 1 or set(_END.findall(expected)) <= ends else _END.sub(ends.pop(), text)


def bytes_in_form_of(wanted: bytes, expected: bytes, actual: bytes) -> bytes | None:
    """As `in_form_of` for contents of a file: the mark of `actual` is kept. None for anything that is not text."""
    if actual == expected:
        return wanted
    texts = [text_of(data) for data in (wanted, expected, actual)]
    if texts[0] is None or texts[1] is None or texts[2] is None:
        return None
    formed = in_form_of(texts[0], texts[1], texts[2])
    if formed is None:
        return None
    mark = BOM if actual.startswith(BOM.encode()) else ""
    return (mark + formed).encode("utf-8")
