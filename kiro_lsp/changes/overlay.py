"""Overlay: what a run sees (its own writes, else the base) and what it staged.

The base is whatever the caller reads: open documents, else the disk. What a path held when the run last looked, before
its first write there, is remembered: a change is always one of the content that the run saw, so that a file that
changed meanwhile is noticed when the change is applied. It resolves no paths and writes no files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from kiro_lsp.changes.model import FileAction, FileChange


@dataclass(frozen=True, slots=True)
class _File:
    data: bytes | None
    mode: int | None


@dataclass(slots=True)
class Overlay:
    """Paths are root-relative with `/`, already normalised: one file has one spelling here.

    `read_base` returns a file's bytes or None when there is none; what it raises passes through, and nothing is
    remembered then. `mode_of_base` returns permission bits or None when they are unknown.
    """

    read_base: Callable[[str], bytes | None]
    mode_of_base: Callable[[str], int | None] = lambda _path: None
    _base: dict[str, _File] = field(default_factory=dict)
    _staged: dict[str, _File] = field(default_factory=dict)

    def read(self, path: str) -> bytes | None:
        """The content as this run sees it, None when there is no such file. A file that is not staged is looked at
        again.
        """
        staged = self._staged.get(path)
        return staged.data if staged is not None else self._look(path).data

    def exists(self, path: str) -> bool:
        return self.read(path) is not None

    def write(self, path: str, data: bytes, mode: int | None = None) -> None:
        """Stage a whole content. `mode` None keeps what the file has."""
        before = self._touched(path)
        if mode is None:
            mode = (self._staged.get(path) or before).mode
        self._staged[path] = _File(data, mode)

    def delete(self, path: str) -> None:
        """Stage a deletion; a file that the run itself created just disappears."""
        self._touched(path)
        self._staged[path] = _File(None, None)

    def take(self, change: FileChange) -> None:
        """Stage a change that was made elsewhere on the content it names as its base, which is what the run saw then."""
        if change.path not in self._staged:
            self._base[change.path] = _File(change.base, change.base_mode)
        self._staged[change.path] = _File(change.proposed, change.mode)

    def change(self, path: str) -> FileChange | None:
        """What is staged for a path, None when that is nothing or equals the base."""
        staged, base = self._staged.get(path), self._base.get(path)
        if staged is None or base is None:
            return None
        mode = staged.mode if staged.mode is not None else base.mode
        if staged.data == base.data and (staged.data is None or mode == base.mode or base.mode is None):
            return None
        action: FileAction = "create" if base.data is None else "delete" if staged.data is None else "modify"
        if action == "delete":
            return FileChange(path, action, base.data, None, base.mode, None)
        return FileChange(path, action, base.data, staged.data, base.mode, mode)

    def staged(self) -> tuple[FileChange, ...]:
        """Every real change, in path order."""
        found = (self.change(path) for path in sorted(self._staged))
        return tuple(change for change in found if change is not None)

    def _touched(self, path: str) -> _File:
        return self._base[path] if path in self._base else self._look(path)

    def _look(self, path: str) -> _File:
        data = self.read_base(path)
        self._base[path] = _File(data, None if data is None else self.mode_of_base(path))
        return self._base[path]
