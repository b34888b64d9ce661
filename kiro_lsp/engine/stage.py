"""What a run sees and stages: disk < editor buffers < its own writes.

Every staged file is in the store before the write is acknowledged, so a killed server loses none. The workspace itself is
only read here. It knows nothing of agents, events or reviews beyond the `File` fact it reports.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kiro_lsp.changes.model import ChangeSet, FileChange
from kiro_lsp.changes.overlay import Overlay
from kiro_lsp.errors import PathRefused
from kiro_lsp.events import File, RunEvent
from kiro_lsp.executors.protocol import CommandResult, Match
from kiro_lsp.sandbox import copy, files, paths, processes, search
from kiro_lsp.store import Store

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
        self.overlay = Overlay(self._base)

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
            await asyncio.to_thread(self.overlay.write, relative, data, self._mode(relative))
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
        prefix = self._resolve(under) if under not in ("", ".", "./") else ""
        found = set(await asyncio.to_thread(files.list_files, self.root, trusted=self.trusted))
        for change in self.overlay.staged():
            if change.proposed is None:
                found.discard(change.path)
            else:
                found.add(change.path)
        return sorted(path for path in found if not prefix or path == prefix or path.startswith(f"{prefix}/"))

    async def search(self, pattern: str, *, under: str = "", limit: int = 200) -> list[Match]:
        """As RunContext.search. Staged and open files are searched as this run sees them, the rest on disk."""
        expression = _compiled(pattern)
        listed = await self.list(under)
        changed = {change.path for change in self.overlay.staged()} | set(self.open_documents())
        on_disk = [path for path in listed if path not in changed]
        limit = min(limit, SEARCH_LIMIT)
        matches = await asyncio.to_thread(search.search_files, self.root, on_disk, pattern, limit)
        for path in sorted(changed & set(listed)):
            data = await asyncio.to_thread(self.overlay.read, path)
            matches += _lines_matching(path, data or b"", expression)
        return sorted(matches, key=lambda match: (match.path, match.line))[:limit]

    async def run_command(
        self, argv: Sequence[str], cwd: str, timeout: float | None, environ: Mapping[str, str], on_output: Callable[[str], None]
    ) -> CommandResult:
        """Run argv in the copy of the workspace and take over what it changed there. Permission is the caller's job."""
        relative = self._resolve(cwd) if cwd not in ("", ".", "./") else ""
        async with self._lock:
            await self._lay_out()
            assert self._copy is not None
            finished = await processes.run(
                argv,
                cwd=self._copy.path / relative,
                env=environ,
                timeout=timeout,
                on_output=on_output,
                outside=(self.root, self._copy.path),
            )
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
                copy.materialise, self.root, list(self.overlay.staged()), buffers, self._copy_folder(), trusted=self.trusted
            )
        else:
            await asyncio.to_thread(self._copy.update, list(self.overlay.staged()))

    async def _absorb(self) -> None:
        assert self._copy is not None
        for change in await asyncio.to_thread(self._copy.absorb):
            if change.path == self.task_file:
                continue
            if change.proposed is None:
                await asyncio.to_thread(self.overlay.delete, change.path)
            else:
                await asyncio.to_thread(self.overlay.write, change.path, change.proposed, change.mode)
            await self._persist(change.path)

    async def _persist(self, path: str) -> None:
        change = self.overlay.change(path)
        if change is None:
            await asyncio.wrap_future(self.store.unstage(self.run_id, path))
            return
        await asyncio.wrap_future(self.store.stage(self.run_id, change))
        self.emit(File(change.action, change.path, change.to))

    def _resolve(self, path: str) -> str:
        return paths.resolve(self.root, path)

    def _base(self, path: str) -> bytes | None:
        data = self.buffer_bytes(path)
        return data if data is not None else files.safe_read(self.root, path, limit=READ_LIMIT)

    def _mode(self, path: str) -> int | None:
        return files.mode_of(self.root, path)

    def _copy_folder(self) -> Path:
        return self.store.directory / "copies" / self.run_id


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"the pattern {pattern!r} is not a regular expression: {error}") from error


def _lines_matching(path: str, data: bytes, expression: re.Pattern[str]) -> list[Match]:
    if b"\0" in data:
        return []
    lines = data.decode("utf-8", "replace").splitlines()
    return [Match(path, number, line) for number, line in enumerate(lines, 1) if expression.search(line)]
