"""Finding tasks and headings by a few typed letters, over many files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from kiro_lsp.spec.model import TaskStatus
from kiro_lsp.spec.navigation.tree import tree_of
from kiro_lsp.spec.tasks import Parsed


@dataclass(frozen=True)
class Entry:
    """A task or heading with what it stands in."""

    line: int
    name: str
    inside: str
    status: TaskStatus | None
    """None for a heading."""

    @cached_property
    def folded(self) -> str:
        return self.name.casefold()


def entries(parsed: Parsed) -> list[Entry]:
    """The tasks and headings of a file, in its order."""
    tree, statuses = tree_of(parsed), parsed.rows.statuses
    return [
        Entry(line, name, tree.names[above] if above >= 0 else "", statuses[row] if row >= 0 else None)
        for line, name, row, above in zip(tree.lines, tree.names, tree.rows, tree.above, strict=True)
    ]


def matching(query: str, files: Sequence[Sequence[Entry]], most: int) -> list[tuple[int, Entry]]:
    """(file number, entry) for names that have the letters of `query` in their order, as LSP asks for: those that have
    the whole of it come first, those that begin with it before them. An empty query finds everything. At most `most`.
    """
    wanted = query.casefold().strip()
    loose = re.compile(".*?".join(map(re.escape, wanted.replace(" ", ""))), re.DOTALL)
    ranked: list[tuple[int, int, Entry]] = []
    for number, entry in _all(files):
        at = entry.folded.find(wanted)
        if at >= 0:
            ranked.append((0 if at == 0 else 1, number, entry))
        elif loose.search(entry.folded):
            ranked.append((2, number, entry))
    ranked.sort(key=lambda item: item[0])
    return [(number, entry) for _rank, number, entry in ranked[:most]]


def _all(files: Sequence[Sequence[Entry]]) -> Iterable[tuple[int, Entry]]:
    return ((number, entry) for number, found in enumerate(files) for entry in found)
