"""The lenses of tasks with which nothing is going on, filled into a template: as much of lenses as needs no engine.

What stands above such a task depends on its line, its selector and what the project offers. So the template of a project
can be kept from one session to the next (`first_lenses.py`), and is filled before anything that makes one is imported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from kiro_lsp.spec.assemble import Rows

LINE: Final = 0
SELECTOR: Final = 1
"""Quoted."""
URI: Final = 2
"""Quoted."""
NUMBER: Final = 3
"""What names the document in lenses that are resolved later."""
COMPLETE_TASKS: Final = 300
"""Up to so many tasks every client gets complete lenses."""
CHOSEN_AT_MOST: Final = 500
"""Tasks of a file for which an agent is chosen before they are asked for; each takes about a tenth of a millisecond."""
_OVER: Final = frozenset({"done", "blocked"})


class Filler(NamedTuple):
    """The template of one document."""

    text: bytes
    """For the operator %, empty where nothing stands above a task."""
    gaps: tuple[int, ...]
    """What goes into each gap: LINE or SELECTOR."""

    def filled(self, line: int, selector: bytes) -> bytes:
        parts = (b"%d" % line, selector)
        return self.text % tuple([parts[gap] for gap in self.gaps])


class Template(NamedTuple):
    """Bytes of JSON, and between them the number of a gap."""

    parts: tuple[bytes | int, ...]

    def of(self, uri: bytes, number: int) -> Filler:
        """For the document with this quoted URI and this number."""
        text, gaps = b"", []
        for part in self.parts:
            if isinstance(part, bytes):
                text += part.replace(b"%", b"%%")
            elif part in (LINE, SELECTOR):
                text += b"%b"
                gaps.append(part)
            else:
                text += (uri if part == URI else b"%d" % number).replace(b"%", b"%%")
        return Filler(text, tuple(gaps))


def repeated(ids: Sequence[str | None]) -> frozenset[str]:
    """Ids of more than one task."""
    if len(set(ids)) == len(ids):
        return frozenset()
    carriers = Counter(identifier for identifier in ids if identifier is not None)
    return frozenset(identifier for identifier, count in carriers.items() if count > 1)


def has_lenses(rows: Rows, number: int) -> bool:
    """Whether a task can be run, so that something stands above it."""
    return not (rows.criteria[number] or rows.withdrawn[number] or rows.statuses[number] in _OVER)


def selector(key: str, among: frozenset[str]) -> str:
    """As `tasks.selectors` has it; `among` are the ids of more than one task."""
    return f"{key}~1" if key in among else key


def pieces(rows: Rows, filler: Filler, quoted: Callable[[Sequence[str]], Sequence[bytes]]) -> list[bytes]:
    """What stands above each task, empty where nothing does. `quoted` encodes texts."""
    if not filler.text:
        return [b""] * len(rows.keys)
    among = repeated(rows.ids)
    selectors = quoted([selector(key, among) for key in rows.keys])
    return [
        filler.filled(rows.lines[number], each) if has_lenses(rows, number) else b""
        for number, each in enumerate(selectors)
    ]
