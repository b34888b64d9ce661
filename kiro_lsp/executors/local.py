"""LocalRun: a run context without engine, store or editor, for planners that call an executor by themselves.

    result = await executor.execute(ExecutorRequest(root_dir=root, ticket_markdown=text), LocalRun(root))

Nothing is written to the root: what the executor did is in `changes()`. Questions are denied unless there is somebody
to answer, spending is counted and not limited, nothing survives the process. Once a program has written outside of its
copy there are no changes any more.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import shlex
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from kiro_lsp.budget import Usage
from kiro_lsp.changes.model import ChangeSet, FileChange
from kiro_lsp.changes.overlay import Overlay
from kiro_lsp.errors import PathRefused
from kiro_lsp.events import Billing, Chunk, File, OptionKind, RunEvent, UsageReport
from kiro_lsp.executors.protocol import CommandResult, Kept, Match, Needs, Question, Reply, Spend, Workplace
from kiro_lsp.executors.workplace import ALL_LEVELS, RunCopy
from kiro_lsp.sandbox import files, paths, search

if TYPE_CHECKING:
    from kiro_lsp.sandbox.isolation import Level

READ_LIMIT = 50 * 1024 * 1024
Answer = Callable[[Question], str | Awaitable[str]]

COMMAND_OPTIONS: Final[tuple[tuple[str, str, OptionKind], ...]] = (
    ("once", "Allow once", "allow-once"),
    ("deny", "Deny", "deny"),
)


class LocalRun:
    """A `RunContext` over a folder.

    `staged` are changes to start with; `answer` gets every question and returns the id of an option; `trusted` says
    whether git may be asked which files count; `guarded` are root-relative paths that cannot be changed; `levels` are the
    kinds of isolation that may be used. Use it as an asynchronous context manager, or call `close`, when programs may have
    run: they leave a copy of the folder behind.
    """

    def __init__(
        self,
        root: Path | str,
        staged: Iterable[FileChange] = (),
        *,
        answer: Answer | None = None,
        trusted: bool = False,
        guarded: Iterable[str] = (),
        environ: Mapping[str, str] | None = None,
        billing: Billing = "metered",
        levels: frozenset[Level] = ALL_LEVELS,
    ) -> None:
        self.events: list[RunEvent] = []
        self._kept: dict[str, str] = {}
        self.usage = Usage(0, 0, 0)
        self._run_id = uuid4().hex
        self._root = Path(root)
        self._answer = answer
        self._trusted = trusted
        self._guarded = frozenset(guarded)
        self._environ = os.environ if environ is None else environ
        self._billing = billing
        self._overlay = Overlay(self._base, self._mode)
        for change in staged:
            self._overlay.take(change)
        self._lock = asyncio.Lock()
        self._copies: str | None = None
        self._copy = RunCopy(self._root, self._folder, self, self._environ, trusted, levels=levels)

    @property
    def run_id(self) -> str:
        return self._run_id

    @property
    def root(self) -> Path:
        return self._root

    def changes(self) -> ChangeSet:
        """What differs from what the run first saw, in path order."""
        return ChangeSet(self._overlay.staged())

    # Files

    async def read(self, path: str) -> bytes:
        relative = paths.resolve(self._root, path)
        async with self._lock:
            data = await asyncio.to_thread(self._overlay.read, relative)
        if data is None:
            raise FileNotFoundError(f"There is no file {relative}.")
        return data

    async def write(self, path: str, data: bytes) -> None:
        relative = self._changeable(path)
        async with self._lock:
            await asyncio.to_thread(self._overlay.write, relative, data)
        self._report(relative)

    async def delete(self, path: str) -> None:
        relative = self._changeable(path)
        async with self._lock:
            if await asyncio.to_thread(self._overlay.read, relative) is None:
                raise FileNotFoundError(f"There is no file {relative}.")
            await asyncio.to_thread(self._overlay.delete, relative)
        self._report(relative)

    async def list(self, under: str = "") -> list[str]:
        prefix = paths.resolve_folder(self._root, under)
        found = set(await asyncio.to_thread(files.list_files, self._root, trusted=self._trusted))
        for change in self._overlay.staged():
            if change.proposed is None:
                found.discard(change.path)
            else:
                found.add(change.path)
        return sorted(path for path in found if not prefix or path == prefix or path.startswith(f"{prefix}/"))

    async def search(self, pattern: str, *, under: str = "", limit: int = 200) -> Sequence[Match]:
        listed = await self.list(under)
        staged = {change.path: change.proposed for change in self._overlay.staged() if change.proposed is not None}
        contents = {path: staged[path] for path in listed if path in staged}
        return await search.search_files(self._root, listed, pattern, limit, contents)

    # Commands

    async def run_command(self, argv: Sequence[str], *, cwd: str = "", timeout: float | None = None) -> CommandResult:
        if not await self._copy.needs_no_question():
            await self.allow_command(argv, cwd=cwd)
        ended = await self._copy.command(argv, cwd, timeout=timeout, on_output=lambda text: self.emit(Chunk(text)))
        return CommandResult(ended.exit_code, ended.output, ended.truncated, ended.seconds)

    async def allow_command(
        self,
        argv: Sequence[str],
        *,
        cwd: str = "",  # noqa: ARG002
        env: Mapping[str, str] | None = None,  # noqa: ARG002
        where: str = "not sandboxed",
    ) -> None:
        title = f"Run in a copy of the project ({where}): {shlex.join(argv)}"
        if await self.ask(Question("command", title, COMMAND_OPTIONS)) != "once":
            raise PermissionError(f"The person did not allow the command {shlex.join(argv)}.")

    async def allow_tool(self, name: str, digest: str, title: str) -> None:  # noqa: ARG002  # nothing is remembered
        if await self.ask(Question("tool", title, COMMAND_OPTIONS)) != "once":
            raise PermissionError(f"The person did not allow the tool {name}.")

    async def recall(self, name: str) -> Kept | None:
        text = self._kept.get(name)
        return None if text is None else Kept(text, 0)

    async def keep(self, name: str, text: str) -> None:
        self._kept[name] = text

    def workplace(self, needs: Needs) -> AbstractAsyncContextManager[Workplace]:
        return self._copy.place(needs)

    async def close(self) -> None:
        """Remove the copy that programs worked in."""
        await self._copy.close()
        if self._copies is not None:
            await asyncio.to_thread(shutil.rmtree, self._copies, ignore_errors=True)
            self._copies = None

    async def __aenter__(self) -> LocalRun:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # Events, questions, money

    def emit(self, event: RunEvent) -> None:
        self.events.append(event)

    async def ask(self, question: Question) -> str:
        """The answer, if it is one of the options; else the option that denies, or the last one."""
        options = [identifier for identifier, _label, _kind in question.options]
        if self._answer is not None:
            given = self._answer(question)
            option = await given if inspect.isawaitable(given) else given
            if option in options:
                return option
        return next((identifier for identifier, _label, kind in question.options if kind == "deny"), options[-1])

    async def ask_in_words(self, question: Question) -> Reply:
        return Reply(await self.ask(question))

    def spend(self, model: str, at_most: Usage) -> AbstractAsyncContextManager[Spend]:  # noqa: ARG002  # no price is looked up
        """Counts into `usage`; unknown usage counts as reserved. There is no cap, and no price."""
        return self._spending(at_most)

    @asynccontextmanager
    async def _spending(self, at_most: Usage) -> AsyncIterator[Spend]:
        request = _Request()
        try:
            yield request
        finally:
            self.usage += at_most if request.usage is None else request.usage
            total = self.usage
            self.emit(UsageReport(total.input_tokens, total.output_tokens, total.cached_tokens, None, self._billing))

    # Staging

    def staged(self) -> Sequence[FileChange]:
        return self._overlay.staged()

    def buffers(self) -> Mapping[str, bytes]:
        return {}

    async def take(self, changes: Sequence[FileChange]) -> Sequence[FileChange]:
        taken = [change for change in changes if change.path not in self._guarded]
        async with self._lock:
            for change in taken:
                self._overlay.take(change)
        for change in taken:
            self._report(change.path)
        return taken

    async def spoil(self) -> None:
        async with self._lock:
            self._overlay = Overlay(self._base, self._mode)

    def _folder(self) -> Path:
        """Where a copy goes: a new folder, that nobody else can look into."""
        self._copies = self._copies or tempfile.mkdtemp(prefix="kiro-lsp-")
        return Path(self._copies) / self._run_id

    def _changeable(self, path: str) -> str:
        self._copy.must_be_clean()
        relative = paths.resolve(self._root, path)
        if relative in self._guarded:
            raise PathRefused(f"{relative} is guarded: it cannot be changed by this run.")
        return relative

    def _report(self, path: str) -> None:
        change = self._overlay.change(path)
        if change is not None:
            self.emit(File(change.action, change.path, change.to))

    def _base(self, path: str) -> bytes | None:
        return files.safe_read(self._root, path, READ_LIMIT)

    def _mode(self, path: str) -> int | None:
        return files.mode_of(self._root, path)


class _Request:
    """One counted request."""

    def __init__(self) -> None:
        self.usage: Usage | None = None

    async def used(self, usage: Usage) -> None:
        self.usage = usage
