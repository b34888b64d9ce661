"""The one isolated copy of a run: commands and an agent's program work in it, and what they change is staged.

    copy = RunCopy(root, folder, staging, environ=…, trusted=…)
    finished = await copy.command(["pytest", "-q"], "src", timeout=60)
    async with copy.place(needs) as place:
        ...
    await copy.close()

What makes copies is imported when the first one is made: most runs need none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from kiro_lsp.changes.model import FileChange
from kiro_lsp.errors import ExecutorError, RunRefused
from kiro_lsp.events import Isolation, Phase, RunEvent, Thought
from kiro_lsp.executors.protocol import Needs, Workplace
from kiro_lsp.executors.unhurried import to_its_end

if TYPE_CHECKING:
    from kiro_lsp.sandbox.isolation import IsolatedCopy, Level, Policy
    from kiro_lsp.sandbox.processes import Conversation, Finished

log = logging.getLogger(__name__)

ALL_LEVELS: Final[frozenset[Level]] = frozenset({"bubblewrap", "overlay", "copy"})
LATE_SAVE_SECONDS: Final = 0.5


class Staging(Protocol):
    """The staged files of a run, as a copy is kept in step with them."""

    def staged(self) -> Sequence[FileChange]: ...

    def buffers(self) -> Mapping[str, bytes]:
        """Root-relative path → the bytes that an open document stands for."""
        ...

    async def take(self, changes: Sequence[FileChange]) -> Sequence[FileChange]:
        """Stage changes that were made in the copy; returns those that count. Durable, with `file` events."""
        ...

    async def spoil(self) -> None:
        """A program wrote outside its copy: nothing that the run staged can be accepted, now or later."""
        ...

    def emit(self, event: RunEvent) -> None: ...


@dataclass(slots=True)
class RunCopy:
    """Belongs to one event loop. `folder` is made for the copy when the first one is needed."""

    root: Path
    folder: Callable[[], Path]
    staging: Staging
    environ: Mapping[str, str]
    """What programs in it may see, to be reduced further."""
    trusted: bool
    hidden: tuple[str, ...] = ()
    levels: frozenset[Level] = ALL_LEVELS
    kept: Path | None = None
    """Where the files of a copy may stay for the next run of the project, if they have to be copied."""
    copied: Callable[[], None] = lambda: None
    worked: Callable[[], None] = lambda: None
    """These are called before and after each program's work, so that tests can stop the run there."""
    spoiled: ExecutorError | None = None
    """Why nothing of this run can be accepted."""
    _copy: IsolatedCopy | None = None
    _needs: Needs | None = None
    _places: int = 0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def needs_no_question(self) -> bool:
        """Whether a command in the copy is in a real sandbox without network."""
        if self._needs is not None and self._needs.shared:
            return False
        from kiro_lsp.sandbox import isolation

        return await asyncio.to_thread(isolation.sandboxed, self.root, self.levels)

    def must_be_clean(self) -> None:
        """Raises ExecutorError once a program has written outside of the copy."""
        if self.spoiled is not None:
            raise self.spoiled

    def saved(self, paths: Iterable[str]) -> None:
        """These root-relative files are written by the person's editor, or by us at their wish: no program did."""
        if self._copy is not None:
            self._copy.saved(paths)

    # Commands

    async def command(
        self,
        argv: Sequence[str],
        cwd: str = "",
        *,
        timeout: float | None = None,
        on_output: Callable[[str], None] | None = None,
    ) -> Finished:
        """Run a command without network, and stage what it changed, also when it was stopped. As `processes.run`."""
        copy = await self._open(None)
        self.staging.emit(Phase("running", " ".join(argv)))
        async with self._absorbing():
            return await copy.run(argv, cwd=cwd, timeout=timeout, on_output=on_output, alone=True)

    # Agents' programs

    @asynccontextmanager
    async def place(self, needs: Needs) -> AsyncIterator[Workplace]:
        """As `RunContext.workplace`."""
        copy = await self._open(needs)
        self._places += 1
        try:
            async with self._absorbing():
                yield _Place(self, copy)
        finally:
            self._places -= 1

    @asynccontextmanager
    async def _absorbing(self) -> AsyncIterator[None]:
        """Take over what is left when a program has ended. How it ended counts more than what goes wrong here, but for a
        trespass.
        """
        await self.refresh()
        self.copied()
        try:
            yield
        except BaseException:
            self.worked()
            try:
                await self.absorb()
            except Exception as problem:
                if problem is self.spoiled:
                    raise
                log.warning("what a program left in its copy could not be taken over: %s", problem)
            raise
        self.worked()
        await self.absorb()

    async def refresh(self) -> None:
        async with self._lock:
            if self._copy is not None:
                await asyncio.to_thread(self._copy.update, list(self.staging.staged()))

    async def absorb(self) -> Sequence[FileChange]:
        """As `Workplace.absorb`."""
        return await to_its_end(self._absorb())

    async def _absorb(self) -> Sequence[FileChange]:
        async with self._lock:
            self.must_be_clean()
            if self._copy is None:
                return ()
            try:
                changes = await self._changes(self._copy)
            except ExecutorError as trespassed:
                self.spoiled = trespassed
                await self.staging.spoil()
                raise
            taken = await self.staging.take(changes)
            for left_out in self._copy.refused:
                self.staging.emit(Thought(f"Not taken over: {left_out.path}: {left_out.reason}.\n"))
            return taken

    async def _changes(self, copy: IsolatedCopy) -> Sequence[FileChange]:
        try:
            return await asyncio.to_thread(copy.changes)
        except ExecutorError:
            if copy.level != "copy":
                raise
        # An editor tells of what it saved a moment after it wrote it.
        await asyncio.sleep(LATE_SAVE_SECONDS)
        return await asyncio.to_thread(copy.changes)

    # The copy

    async def _open(self, needs: Needs | None) -> IsolatedCopy:
        """The run's copy, made, or made again where it does not fit the needs. None: any copy will do."""
        async with self._opening:
            return await self._opened(needs)

    async def _opened(self, needs: Needs | None) -> IsolatedCopy:
        self.must_be_clean()
        if self._copy is not None and needs not in (None, self._needs):
            if self._places:
                raise ExecutorError("internal", "An agent's program asked for two different places at once.")
            await self.absorb()
            await self._remove()
        if self._copy is None:
            self.staging.emit(Phase("copying"))
            self._copy = await to_its_end(self._make(needs or Needs()))
            said = self._copy.network if self._copy.level != "copy" else f"{self._copy.network}; not sandboxed"
            self.staging.emit(Isolation(self._copy.level, said))
        return self._copy

    async def _make(self, needs: Needs) -> IsolatedCopy:
        # Kept before anybody can be cancelled: a copy that nobody knows would stay.
        self._copy, self._needs = await asyncio.to_thread(self._made, needs), needs
        return self._copy

    def _made(self, needs: Needs) -> IsolatedCopy:
        from kiro_lsp.sandbox import isolation

        try:
            return isolation.open_copy(
                self.root,
                self._policy(needs),
                self.folder(),
                buffers=self.staging.buffers(),
                staged=list(self.staging.staged()),
                kept=self.kept,
            )
        except OSError as error:
            raise RunRefused(
                f"No copy of the project can be made: {error.strerror or error}.",
                code="copy",
                hint="Agents and commands work in a copy. Make room, or set KIRO_LSP_STATE_DIR to a place you can write to.",
            ) from error

    def _policy(self, needs: Needs) -> Policy:
        from kiro_lsp.sandbox import isolation

        return isolation.Policy(
            trusted=self.trusted,
            network=needs.network,
            hosts=needs.hosts,
            homes=needs.homes,
            hidden=self.hidden,
            levels=self.levels & {"copy"} if needs.shared else self.levels,
            environ=self.environ,
            programs=needs.programs,
        )

    async def close(self) -> None:
        """Remove the copy with what was not absorbed."""
        async with self._lock:
            await to_its_end(self._remove())

    async def _remove(self) -> None:
        copy, self._copy, self._needs = self._copy, None, None
        if copy is not None:
            await asyncio.to_thread(copy.close)


@dataclass(frozen=True, slots=True)
class _Place:
    """A `Workplace`."""

    _run: RunCopy
    _copy: IsolatedCopy

    @property
    def path(self) -> Path:
        return self._copy.path

    @property
    def level(self) -> str:
        return self._copy.level

    @property
    def network(self) -> str:
        return self._copy.network

    async def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str = "",
        extra_env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        on_output: Callable[[str], None] | None = None,
    ) -> Finished:
        return await self._copy.run(argv, cwd=cwd, extra_env=extra_env, timeout=timeout, on_output=on_output)

    def talk(
        self, argv: Sequence[str], *, cwd: str = "", extra_env: Mapping[str, str] | None = None
    ) -> AbstractAsyncContextManager[Conversation]:
        return self._copy.talk(argv, cwd=cwd, extra_env=extra_env)

    def relative(self, path: str) -> str:
        return self._copy.relative(path)

    async def refresh(self) -> None:
        await self._run.refresh()

    async def absorb(self) -> Sequence[FileChange]:
        return await self._run.absorb()
