"""An editor's open documents as the engine sees them, with the faults that editors have.

Each way of behaving is one that some editor or proxy was seen to have; what the engine must make of it is the tests' part.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from kiro_lsp.changes.textedits import apply_edits, minimal_edits

Way = Literal[
    "honest",
    "refuses",
    "lies",
    "says no but does it",
    "one file of several",
    "first place of each file",
    "gone before",
    "gone after",
    "late",
    "typed meanwhile",
    "stale",
    "saves and closes",
    "own line ends",
]


@dataclass
class Documents:
    """Open documents by path. `ways` are used up one per edit, the last one for good."""

    texts: dict[Path, str] = field(default_factory=dict)
    ways: list[Way] = field(default_factory=lambda: ["honest"])
    unsaved: set[Path] = field(default_factory=set)
    asked: list[dict[Path, tuple[str, str]]] = field(default_factory=list)
    answer: asyncio.Event = field(default_factory=asyncio.Event)
    typed: str = "typed\n"

    def text(self, path: Path) -> str | None:
        return self.texts.get(path)

    def dirty(self, path: Path) -> bool:
        return path in self.unsaved

    def paths(self) -> list[Path]:
        return list(self.texts)

    async def save(self, paths: Sequence[Path]) -> Sequence[Path]:
        for path in paths:
            path.write_text(self.texts[path], "utf-8", newline="")
            self.unsaved.discard(path)
        return paths

    async def edit(self, files: Mapping[Path, tuple[str, str]]) -> bool:
        self.asked.append(dict(files))
        way = self.ways.pop(0) if len(self.ways) > 1 else self.ways[0]
        match way:
            case "refuses":
                return False
            case "lies":
                return True
            case "gone before":
                raise ConnectionResetError("the editor is gone")
            case "stale":
                self._type(files)
                return False
            case "late":
                await self.answer.wait()
        for path in list(files)[:1] if way == "one file of several" else list(files):
            old, new = files[path]
            assert self.texts.get(path) == old, "an edit is made for the text that the editor has"
            edits = minimal_edits(old, new)
            self.texts[path] = apply_edits(old, edits[:1] if way == "first place of each file" else edits)
            self.unsaved.add(path)
        match way:
            case "gone after":
                raise ConnectionResetError("the editor is gone")
            case "typed meanwhile":
                self._type(files)
            case "saves and closes":
                await self.save(list(files))
                for path in files:
                    del self.texts[path]
            case "own line ends":
                for path in files:
                    self.texts[path] = re.sub(r"\r\n|\r|\n", "\r\n", self.texts[path])
        return way != "says no but does it"

    def _type(self, files: Mapping[Path, tuple[str, str]]) -> None:
        for path in files:
            self.texts[path] += self.typed
            self.unsaved.add(path)
