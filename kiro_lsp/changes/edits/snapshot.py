"""A file's text as the ladder sees it: lines without their ends, the ends beside them, and the byte order mark apart.

Lines end at `\\r\\n`, `\\n` and a lone `\\r` only. Joined again a snapshot is the file, byte for byte; whatever an edit
does not touch is therefore kept without anybody having to think of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from kiro_lsp.changes.edits.keys import KEYS
from kiro_lsp.changes.lineends import BOM
from kiro_lsp.spec.lines import split_lines

Positions = dict[str, list[int]]


@dataclass(slots=True)
class Snapshot:
    """`ends[i]` is the end of `lines[i]`; only the last one may be "". An empty file has no line."""

    lines: list[str]
    ends: list[str]
    mark: str = ""
    _keys: dict[int, list[str]] = field(default_factory=dict, repr=False)
    _positions: dict[int, Positions] = field(default_factory=dict, repr=False)

    @classmethod
    def of_text(cls, text: str) -> Snapshot:
        mark = BOM if text.startswith(BOM) else ""
        lines, ends = [], []
        for line in split_lines(text[len(mark) :]):
            bare = line[:-2] if line.endswith("\r\n") else line[:-1] if line[-1] in "\r\n" else line
            lines.append(bare)
            ends.append(line[len(bare) :])
        return cls(lines, ends, mark)

    @classmethod
    def of(cls, data: bytes) -> Snapshot:
        """Raises ValueError for bytes that are no UTF-8 text (NUL counts as none)."""
        if b"\0" in data:
            raise ValueError("it holds a NUL byte")
        return cls.of_text(data.decode("utf-8"))

    @property
    def text(self) -> str:
        return self.mark + "".join(line + end for line, end in zip(self.lines, self.ends, strict=True))

    @property
    def unified(self) -> str:
        """The text with `\\n` for every line end and without the mark: what an exact search looks at."""
        ended = "".join(f"{line}\n" for line in self.lines)
        return ended[:-1] if self.ends and not self.ends[-1] else ended

    @property
    def end(self) -> str:
        """The end that most lines have; "\\n" for a file without any."""
        counted = Counter(end for end in self.ends if end)
        return counted.most_common(1)[0][0] if counted else "\n"

    def keys(self, rung: int) -> list[str]:
        """Every line as rung `rung` of the ladder compares it."""
        if rung not in self._keys:
            self._keys[rung] = list(map(KEYS[rung], self.lines if rung < 2 else self.keys(rung - 1)))
        return self._keys[rung]

    def positions(self, rung: int) -> Positions:
        """Key → the 0-based lines that have it, in order."""
        if rung not in self._positions:
            found: Positions = {}
            for number, key in enumerate(self.keys(rung)):
                found.setdefault(key, []).append(number)
            self._positions[rung] = found
        return self._positions[rung]


def joined(lines: Sequence[str], ends: Sequence[str], mark: str = "") -> str:
    return mark + "".join(line + end for line, end in zip(lines, ends, strict=True))
