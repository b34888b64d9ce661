"""What a run sees and stages: disk < editor buffers < its own writes.

Every staged file is in the store before the write is acknowledged, so a killed server loses none. The workspace itself
is only read here. It knows nothing of agents, events or reviews beyond the `File` fact it reports.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kiro_lsp.changes.model import ChangeSet
from kiro_lsp.changes.overlay import Overlay
from kiro_lsp.engine import faults
from kiro_lsp.errors import PathRefused
from kiro_lsp.events import File, RunEvent, Thought
from kiro_lsp.executors.protocol import CommandResult
from kiro_lsp.sandbox import copy, files, listing, paths, processes
from kiro_lsp.sandbox.search import Match, search_files
from kiro_lsp.store import Store

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
    overlay: Overlay = field(init=False)
    _copy: copy.Copy | None = None
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

    async def run_command(
        self,
        argv: Sequence[str],
        cwd: str,
        timeout: float | None,
        environ: Mapping[str, str],
        on_output: Callable[[str], None],
    ) -> CommandResult:
        """Run argv in the copy of the workspace and take over what it changed there. Permission is the caller's job."""
        relative = self._folder(cwd)
        async with self._lock:
            await self._lay_out()
            faults.point("run.copied")
            assert self._copy is not None
            try:
                finished = await processes.run(
                    argv,
                    cwd=self._copy.path / relative,
                    env=environ,
                    timeout=timeout,
                    on_output=on_output,
                    outside=(self.root, self._copy.path),
                )
            finally:  # what a command did before it was stopped is staged work too
                faults.point("run.commanded")
                await self._absorb()
        return CommandResult(finished.exit_code, finished.output, finished.truncated, finished.seconds)

    async def close(self) -> None:
        if self._copy is not None:
            await asyncio.to_thread(self._copy.remove)
            self._copy = None

    def changes(self) -> ChangeSet:
        """What differs from what the run first saw, in path order."""
        return ChangeSet(tuple(sorted(self.overlay.staged(), key=lambda change: change.path)))

    async def _lay_out(self) -> None:
        """Make the copy, or bring it up to what was staged since."""
        if self._copy is None:
            buffers = {path: data for path in self.open_documents() if (data := self.buffer_bytes(path)) is not None}
            self._copy = await asyncio.to_thread(
                copy.materialise,
                self.root,
                list(self.overlay.staged()),
                buffers,
                self._copy_folder(),
                trusted=self.trusted,
            )
        else:
            await asyncio.to_thread(self._copy.update, list(self.overlay.staged()))

    async def _absorb(self) -> None:
        assert self._copy is not None
        for change in await asyncio.to_thread(self._copy.absorb):
            if change.path == self.task_file:
                self.emit(
                    Thought(f"The command changed {change.path}; that is left out: statuses are written by the tool.\n")
                )
                continue
            self.overlay.take(change)
            await self._persist(change.path)
        for left_out in self._copy.refused:
            self.emit(Thought(f"Not taken over: {left_out.path}: {left_out.reason}.\n"))

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

    def _copy_folder(self) -> Path:
        return self.store.directory / COPIES / self.run_id
