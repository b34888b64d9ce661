"""Console: where a verb prints. Results go to standard output, messages to standard error.

It makes any text safe for the stream: what a model or a task file wrote must not move the cursor, recolour a prompt or
hide its tail, and a character that the stream cannot encode must not end the program. It decides nothing about what is
printed and knows no verb.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any, TextIO

from kiro_lsp.errors import AmbiguousTask, KiroError, Untrusted

_SHOWN_AS_THEY_ARE = "\n\t"


def visible(text: str) -> str:
    """The text with every character that a terminal obeys, or that nobody sees, spelled out as `\\u{…}`.

    That covers control characters, bidirectional overrides, zero-width characters outside emoji and the tag block. Line
    ends and tabs stay, and so does the zero-width joiner, which emoji and several scripts need.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(f"\\u{{{ord(char):x}}}" if _hidden(char) else char for char in text)


def _hidden(char: str) -> bool:
    code = ord(char)
    return (
        (code < 0x20 and char not in _SHOWN_AS_THEY_ARE)
        or 0x7F <= code <= 0x9F
        or code in (0xAD, 0x61C, 0x180E, 0x200B, 0x200E, 0x200F, 0x2028, 0x2029, 0x2060, 0xFEFF)
        or 0x202A <= code <= 0x202E
        or 0x2066 <= code <= 0x2069
        or 0xE0000 <= code <= 0xE007F
    )


class Console:
    """Printing for one call of a verb. `json` is set when the verb was asked for JSON on standard output."""

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None, environ: Mapping[str, str] | None = None):
        self.out = out if out is not None else sys.stdout
        self.err = err if err is not None else sys.stderr
        self.environ: Mapping[str, str] = os.environ if environ is None else environ
        self.json = False
        for stream in (self.out, self.err):
            _speak_utf8(stream)

    @property
    def is_terminal(self) -> bool:
        """Someone looks at standard output."""
        return _isatty(self.out)

    @property
    def is_interactive(self) -> bool:
        """Someone looks at standard output and can type an answer there."""
        return self.is_terminal and not self.json and _isatty(sys.stdin)

    @property
    def colour(self) -> bool:
        """Colours are wanted: a terminal that knows them, and no NO_COLOR."""
        return self.is_terminal and not self.environ.get("NO_COLOR") and self.environ.get("TERM") != "dumb"

    def raw(self, text: str) -> None:
        """Exactly this text on standard output, however odd; for what other programs read."""
        _write(self.out, text)

    def line(self, text: str = "") -> None:
        """One line of a result, safe to look at."""
        _write(self.out, visible(text) + "\n")

    def styled(self, text: str, *codes: int) -> str:
        """`text` in ANSI colours where they are wanted. The text must be safe already."""
        return f"\x1b[{';'.join(map(str, codes))}m{text}\x1b[0m" if self.colour and codes else text

    def print(self, text: str) -> None:
        """A line that may hold our own colour codes; what came from elsewhere in it went through `visible`."""
        _write(self.out, text + "\n")

    def value(self, value: object) -> None:
        """One JSON value on one line of standard output, flushed, so that a reader of a stream sees it now."""
        _write(self.out, encode_json(value, self.out.encoding or "utf-8") + "\n")
        self.out.flush()

    def say(self, text: str) -> None:
        """A message for the person, on standard error."""
        self.out.flush()
        _write(self.err, visible(text) + "\n")

    def refuse(self, error: KiroError, **more: object) -> None:
        """Say what went wrong and what to do next; with `--json` also as a value on standard output."""
        self.say(f"kiro-lsp: {error.message}")
        if isinstance(error, AmbiguousTask):
            for candidate in error.candidates:
                self.say(f"  {candidate.key}  line {candidate.line}  {candidate.title}")
        if error.hint:
            self.say(f"  {error.hint}")
        if self.json:
            self.value({**more, "refused": refused_json(error)})


def refused_json(error: KiroError) -> dict[str, object]:
    """The `refused` object: code, message, hint, and what the error carries beyond them."""
    body: dict[str, object] = {"code": error.code, "message": error.message, "hint": error.hint}
    if isinstance(error, AmbiguousTask):
        body["candidates"] = [{"key": c.key, "line": c.line, "title": c.title} for c in error.candidates]
    if isinstance(error, Untrusted) and error.digest:
        body["digest"] = error.digest
    return body


def encode_json(value: object, encoding: str = "utf-8") -> str:
    """JSON text on one line. What the stream's encoding cannot carry, such as a lone surrogate, is escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(", ", ": "), default=_json_default)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(", ", ": "), default=_json_default)
    return text


def _json_default(value: Any) -> object:
    if isinstance(value, tuple | frozenset | set):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


def _isatty(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # a closed stream
        return False


def _speak_utf8(stream: TextIO) -> None:
    """Windows consoles and pipes start in a code page that has no ▶; everything we print is UTF-8.

    `surrogateescape` gives back the bytes of a path that was not UTF-8, so that paths are printed as they were given.
    """
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None and (stream.encoding or "").lower().replace("_", "-") in ("utf-8", "utf8"):
        reconfigure(errors="surrogateescape")
    elif reconfigure is not None and sys.platform == "win32":
        reconfigure(encoding="utf-8", errors="surrogateescape")


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
