"""How a client applies what a server sends: edits in code units of the agreed encoding, and operations on files.

Written from the protocol's text and sharing nothing with the server: lines are cut and units counted in bytes here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

_CODECS: Final = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}


def apply_text_edits(text: str, edits: Sequence[Mapping[str, Any]], encoding: str) -> str:
    """Raises AssertionError for a position that no editor has, and for edits that overlap."""
    codec, width = _CODECS[encoding]
    data = text.encode(codec)
    spans = sorted(
        (
            _offset(text, edit["range"]["start"], codec, width),
            _offset(text, edit["range"]["end"], codec, width),
            edit["newText"].encode(codec),
        )
        for edit in edits
    )
    pieces, position = [], 0
    for start, end, new in spans:
        assert position <= start <= end, "edits overlap or run backwards"
        pieces += [data[position:start], new]
        position = end
    return b"".join([*pieces, data[position:]]).decode(codec)


def _offset(text: str, position: Mapping[str, int], codec: str, width: int) -> int:
    """Where a position is in the encoded text: at a character, and not behind the visible end of its line."""
    start, line = 0, 0
    while line < position["line"]:
        ends = [at for at in (text.find("\n", start), text.find("\r", start)) if at >= 0]
        assert ends, f"there is no line {position['line']}"
        end = min(ends)
        start = end + (2 if text.startswith("\r\n", end) else 1)
        line += 1
    ends = [at for at in (text.find("\n", start), text.find("\r", start)) if at >= 0]
    visible = text[start : min(ends, default=len(text))].encode(codec)
    units = position["character"] * width
    assert units <= len(visible), "a position behind the end of its line, or inside a line end"
    visible[:units].decode(codec)  # raises inside a character
    return len(text[:start].encode(codec)) + units


def apply_document_changes(files: dict[str, str], changes: Sequence[Mapping[str, Any]], encoding: str) -> None:
    """`files` by URI, changed in place. Raises AssertionError where a client would refuse."""
    for change in changes:
        match change.get("kind"):
            case "create":
                assert change["uri"] not in files, "it is there already"
                files[change["uri"]] = ""
            case "rename":
                assert change["newUri"] not in files, "it is there already"
                files[change["newUri"]] = files.pop(change["oldUri"])
            case "delete":
                del files[change["uri"]]
            case _:
                uri = change["textDocument"]["uri"]
                files[uri] = apply_text_edits(files[uri], change["edits"], encoding)
