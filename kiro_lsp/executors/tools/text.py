"""File contents as a model sees them: UTF-8 text with `\\n` line ends, and the way back to the file's own bytes.

A model writes `\\n` and no byte order mark; the file keeps what it has. Lines end at `\\n` or `\\r\\n` only, as in a
search result, so that a line number means the same everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from kiro_lsp.errors import UnreadableFile

_BOM = "\ufeff"
SHOWN = 8_000
"""Characters of a call's output that its event holds."""


@dataclass(frozen=True, slots=True)
class FileText:
    """`raw` is the decoded file without its byte order mark; `text` is the same with `\\n` for every `\\r\\n`."""

    raw: str
    text: str
    bom: bool

    @classmethod
    def of(cls, data: bytes, path: str) -> FileText:
        """Raises UnreadableFile when the bytes are not UTF-8 text."""
        if b"\0" in data:
            raise UnreadableFile(f"{path} is a binary file ({len(data)} bytes): it has no text to read or edit.")
        try:
            raw = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UnreadableFile(
                f"{path} is not UTF-8 text: byte {error.start} is 0x{data[error.start]:02x}. It cannot be read or "
                "edited as text."
            ) from error
        bom = raw.startswith(_BOM)
        raw = raw[1:] if bom else raw
        return cls(raw, raw.replace("\r\n", "\n"), bom)

    @property
    def lines(self) -> list[str]:
        """Without their ends. A final line end opens no further line; an empty file has no line."""
        lines = self.text.split("\n")
        return lines[:-1] if lines[-1] == "" else lines

    def rewritten(self, new: str) -> bytes:
        """The bytes of a whole new content in this file's own style: `\\r\\n` if it has no other end, and its mark."""
        only_crlf = "\r\n" in self.raw and self.raw.count("\n") == self.raw.count("\r\n")
        return self.encoded(_with_ends(new, "\r\n") if only_crlf else new)

    def encoded(self, raw: str) -> bytes:
        return ((_BOM if self.bom and not raw.startswith(_BOM) else "") + raw).encode("utf-8")


def _with_ends(text: str, eol: str) -> str:
    text = text.replace("\r\n", "\n")
    return text if eol == "\n" else text.replace("\n", eol)


def numbered(lines: list[str], first: int, *, widest: int = 2000) -> str:
    """Lines with their 1-based numbers, starting at `first`; a line over `widest` characters is cut and says so."""
    shown = []
    for number, line in enumerate(lines, first):
        cut = line if len(line) <= widest else f"{line[:widest]}… [{len(line) - widest} more characters]"
        shown.append(f"{number:>6}\t{cut}")
    return "\n".join(shown)


def shortened(output: str, limit: int) -> tuple[str, bool]:
    """Beginning and end of a long output, and whether it was cut: what ran and how it ended are there, errors come last."""
    if len(output) <= limit:
        return output, False
    head, tail = limit // 4, limit - limit // 4
    left_out = len(output) - head - tail
    return f"{output[:head]}\n[… {left_out} characters left out …]\n{output[-tail:]}", True


def shown(output: str) -> str | None:
    """The same as people are shown it with a tool call; None for nothing."""
    return shortened(output.strip("\r\n"), SHOWN)[0] or None
