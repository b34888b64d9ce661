"""Where a verb finds its project and the store: the terminal's half of the composition root.

A verb that works on a file belongs to the project around that file, one without a file to the project around the
current folder. The store is opened for one call and closed after it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from kiro_lsp.engine.engine import Engine
from kiro_lsp.engine.workspace import TaskFile, Workspace, root_of, user_config_path
from kiro_lsp.errors import UnreadableFile
from kiro_lsp.store import Store, state_dir

BY = "terminal"
"""Who this face is in answers and control rows."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Project:
    """A project opened for looking: nothing is started in it."""

    workspace: Workspace
    store: Store

    def read_tasks(self, path: str) -> TaskFile:
        """The task file at a path as the person gave it. Raises UnreadableFile also when it is not text."""
        file = self.workspace.read_tasks(os.path.abspath(path))
        if file.text is None:
            reason = file.problem.message if file.problem else "it is not text"
            raise UnreadableFile(f"{path!r} cannot be read as a task file: {reason}", hint="Save it as UTF-8 text.")
        return file


@contextmanager
def open_store() -> Iterator[Store]:
    store = Store.open(state_dir(os.environ))
    try:
        yield store
    finally:
        store.close()


@contextmanager
def open_project(path: str | None = None) -> Iterator[Project]:
    """The project around `path`, or around the current folder."""
    with open_store() as store:
        root = project_root(path)
        yield Project(Workspace(root, store, dict(os.environ), user_config_path(os.environ)), store)


def project_root(path: str | None = None) -> Path:
    """The absolute root of the project around a path. Raises UnreadableFile when there is nothing at that path."""
    if path is not None and not os.path.exists(path):
        raise UnreadableFile(f"There is nothing at {path!r}.", hint="Check the path.")
    return root_of(Path(path) if path is not None else Path.cwd())


@asynccontextmanager
async def engine_of(store: Store) -> AsyncIterator[Engine]:
    """The engine of this process, for as long as the verb works."""
    async with Engine(store, face=BY, environ=dict(os.environ)) as engine:
        yield engine


def with_engine(work: Callable[[Engine], Coroutine[object, object, T]]) -> T:
    """Run `work` on a loop of its own with an engine. SIGTERM, and a terminal that goes away, end it as
    Ctrl-C does: nothing is left behind.
    """

    async def main() -> T:
        _end_on_signals(asyncio.get_running_loop(), asyncio.current_task())
        async with engine_of(store) as engine:
            return await work(engine)

    with open_store() as store:
        return asyncio.run(main())


def _end_on_signals(loop: asyncio.AbstractEventLoop, work: asyncio.Task[object] | None) -> None:
    # Windows has no such signals, and only the main thread may have them.
    with suppress(NotImplementedError, RuntimeError, ValueError):
        if work is not None:
            loop.add_signal_handler(signal.SIGTERM, work.cancel)
            if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # not under nohup
                loop.add_signal_handler(signal.SIGHUP, work.cancel)
