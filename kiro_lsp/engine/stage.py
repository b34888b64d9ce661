"""What a run sees and stages: disk < editor buffers < its own writes.

Every staged file is in the store before the write is acknowledged, so a killed server loses none. The workspace itself
is only read here. It knows nothing of agents, events or reviews beyond the `File` fact it reports.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kiro_lsp.changes.model import ChangeSet, FileChange
from kiro_lsp.changes.overlay import Overlay
from kiro_lsp.engine import faults
from kiro_lsp.errors import PathRefused
from kiro_lsp.events import File, RunEvent, Thought
from kiro_lsp.executors.workplace import ALL_LEVELS, RunCopy
from kiro_lsp.sandbox import files, listing, paths
from kiro_lsp.sandbox.search import Match, search_files
from kiro_lsp.store import Store

if TYPE_CHECKING:
    from kiro_lsp.sandbox.isolation import Level

COPIES = "copies"
"""Folder below the state folder where the copies for commands lie."""
READ_LIMIT = 50 * 1024 * 1024
SEARCH_LIMIT = 2000


@dataclass(slots=True)
class Stage:
    """The staged view of one run. Paths are root-relative with `/` after `paths.resolve`."""

    run_id: str
    root: Path
    store: Store
    buffer_bytes: Callable[[str], bytes | None]
    """The bytes that an open document stands for, None when it is not open."""
    open_documents: Callable[[], Sequence[str]]
    emit: Callable[[RunEvent], None]
    task_file: str
    """Only the tool writes statuses: an agent that edits the task file is refused."""
    trusted: bool
    """Whether git may be asked for the list of files."""
    environ: Mapping[str, str] = field(default_factory=dict)
    """What commands may see of the environment."""
    levels: frozenset[Level] = ALL_LEVELS
    """What kinds of isolation its copy may have."""
    overlay: Overlay = field(init=False)
    _copy: RunCopy | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.overlay = Overlay(self._base, self._mode)

    async def read(self, path: str) -> bytes:
        relative = self._resolve(path)
        async with self._lock:
            data = await asyncio.to_thread(self.overlay.read, relative)
        if data is None:
            raise FileNotFoundError(f"there is no file {relative!r}")
        return data

    async def write(self, path: str, data: bytes) -> None:
        relative = self._resolve(path)
        if relative == self.task_file:
            raise PathRefused(
                f"{relative} is the task file: its boxes are ticked by the tool after the review.",
                hint="Leave it as it is and end your turn when the work is done.",
            )
        async with self._lock:
            await asyncio.to_thread(self.overlay.write, relative, data)
            await self._persist(relative)

    async def delete(self, path: str) -> None:
        relative = self._resolve(path)
        if relative == self.task_file:
            raise PathRefused(f"{relative} is the task file: it cannot be deleted by a task.")
        async with self._lock:
            if await asyncio.to_thread(self.overlay.read, relative) is None:
                raise FileNotFoundError(f"there is no file {relative!r}")
            await asyncio.to_thread(self.overlay.delete, relative)
            await self._persist(relative)

    async def lay(self, changes: Sequence[FileChange]) -> None:
        """Begin with what an earlier run had staged: the same contents, as changes of what that one saw."""
        async with self._lock:
            for change in changes:
                self.overlay.take(change)
            await asyncio.wrap_future(self.store.stage_together(self.run_id, changes))
        for change in changes:
            self.emit(File(change.action, change.path, change.to))

    async def list(self, under: str = "") -> list[str]:
        return list(await self._listed(under))

    async def search(self, pattern: str, *, under: str = "", limit: int = 200) -> Sequence[Match]:
        """As RunContext.search. Staged and open files are searched as this run sees them, the rest on disk."""
        listed = await self._listed(under)
        changed = ({change.path for change in self.overlay.staged()} | set(self.open_documents())) & set(listed)

        def contents() -> dict[str, bytes]:
            return {path: self.overlay.read(path) or b"" for path in changed}

        async with self._lock:
            seen = await asyncio.to_thread(contents)
        return await search_files(self.root, listed, pattern, min(limit, SEARCH_LIMIT), seen)

    # What its copy is kept in step with

    @property
    def copy(self) -> RunCopy:
        """The copy of the project that commands and agents' programs of this run work in."""
        if self._copy is None:
            self._copy = RunCopy(
                self.root,
                lambda: self.store.directory / COPIES / self.run_id,
                self,
                self.environ,
                self.trusted,
                hidden=(str(self.store.directory),),
                levels=self.levels,
                kept=self.store.directory / COPIES / f"kept-{_digest(self.root)}",
                copied=lambda: faults.point("run.copied"),
                worked=lambda: faults.point("run.commanded"),
            )
        return self._copy

    def saved(self, paths_: Iterable[str]) -> None:
        """As `RunCopy.saved`."""
        if self._copy is not None:
            self._copy.saved(paths_)

    def must_be_clean(self) -> None:
        """Raises ExecutorError once a program of this run wrote outside of its copy."""
        if self._copy is not None:
            self._copy.must_be_clean()

    def staged(self) -> Sequence[FileChange]:
        return self.overlay.staged()

    def buffers(self) -> Mapping[str, bytes]:
        return {path: data for path in self.open_documents() if (data := self.buffer_bytes(path)) is not None}

    async def take(self, changes: Sequence[FileChange]) -> Sequence[FileChange]:
        taken = []
        async with self._lock:
            for change in changes:
                if change.path == self.task_file:
                    self.emit(
                        Thought(
                            f"The command changed {change.path}; that is left out: statuses are written by the tool.\n"
                        )
                    )
                    continue
                self.overlay.take(change)
                await self._persist(change.path)
                taken.append(change)
        return taken

    async def spoil(self) -> None:
        async with self._lock:
            self.overlay = Overlay(self._base, self._mode)
            await asyncio.wrap_future(self.store.unstage_all(self.run_id))

    async def close(self) -> None:
        if self._copy is not None:
            await self._copy.close()

    def changes(self) -> ChangeSet:
        """What differs from what the run first saw, in path order."""
        return ChangeSet(tuple(sorted(self.overlay.staged(), key=lambda change: change.path)))

    async def _listed(self, under: str) -> Sequence[str]:
        prefix = self._folder(under)
        found = set(await asyncio.to_thread(listing.list_files, self.root, trusted=self.trusted))
        for change in self.overlay.staged():
            if change.proposed is None:
                found.discard(change.path)
            else:
                found.add(change.path)
        return sorted(path for path in found if not prefix or path == prefix or path.startswith(f"{prefix}/"))

    async def _persist(self, path: str) -> None:
        self.must_be_clean()
        change = self.overlay.change(path)
        if change is None:
            await asyncio.wrap_future(self.store.unstage(self.run_id, path))
            return
        faults.point("run.staging")
        await asyncio.wrap_future(self.store.stage(self.run_id, change))
        faults.point("run.staged")
        self.emit(File(change.action, change.path, change.to))

    def _folder(self, path: str) -> str:
        return "" if path in ("", ".", "./") else paths.resolve_folder(self.root, path)

    def _resolve(self, path: str) -> str:
        return paths.resolve(self.root, path)

    def _base(self, path: str) -> bytes | None:
        data = self.buffer_bytes(path)
        return data if data is not None else files.safe_read(self.root, path, limit=READ_LIMIT)

    def _mode(self, path: str) -> int | None:
        return files.mode_of(self.root, path)


def _digest(root: Path) -> str:
    return hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:16]
