"""Bytes of a task file as text, or the reason why not: only UTF-8, with or without a byte order mark.

Guessing another encoding would be easy and wrong: a tick must be able to write the file back byte for byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kiro_lsp.spec.model import Problem

BOM: Final = b"\xef\xbb\xbf"
_BINARY_PROBE: Final = 8192


@dataclass(frozen=True, slots=True)
class Decoded:
    """`text` is without the byte order mark; None when the file is no UTF-8 text, and `problem` then says why."""

    text: str | None
    problem: Problem | None
    bom: bool


def decode(data: bytes) -> Decoded:
    """The text of a file. Never raises."""
    bom = data.startswith(BOM)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Decoded(None, _refusal(0, 0, "not-utf8", "This file is UTF-16, not UTF-8."), False)
    if b"\0" in data[:_BINARY_PROBE]:
        at = data.index(b"\0")
        line, column = _position(data, at)
        return Decoded(None, _refusal(line, column, "binary", f"This is not a text file: byte {at} is zero."), bom)
    try:
        return Decoded(data[len(BOM) :].decode() if bom else data.decode(), None, bom)
    except UnicodeDecodeError as error:
        at = error.start + (len(BOM) if bom else 0)
        line, column = _position(data, at)
        message = f"This file is not UTF-8: byte {at} is 0x{data[at]:02x}."
        return Decoded(None, _refusal(line, column, "not-utf8", message), bom)


def _refusal(line: int, column: int, code: str, message: str) -> Problem:
    hint = "Save it as UTF-8 text to have its tasks read; until then nothing is run from it and nothing is written."
    return Problem(line, column, code, "error", f"{message} {hint}")


def _position(data: bytes, at: int) -> tuple[int, int]:
    """0-based line and column of a byte; what is before it counts as characters where it can be read."""
    head = data[:at].removeprefix(BOM).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    start = head.rfind(b"\n") + 1
    return head.count(b"\n"), len(head[start:].decode("utf-8", "replace"))
