"""One apply at a time per project, over all processes that share a state folder.

The lock is the kernel's, on a file named after the real path of the root, and is gone with its holder. Whoever has it
may take every unfinished journal of that project for one whose process died.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO

POLL_SECONDS = 0.02

if sys.platform == "win32":  # pragma: no cover  # the branch for Windows
    import msvcrt

    def _lock(file: IO[bytes], *, wait: bool) -> bool:
        while True:
            try:
                # LK_LOCK tries ten times, once a second, and then gives up.
                msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
            except OSError:
                if wait:
                    continue
                return False
            return True

else:
    import fcntl

    def _lock(file: IO[bytes], *, wait: bool) -> bool:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@asynccontextmanager
async def held(state: Path, root: Path) -> AsyncIterator[None]:
    """Hold the lock of a project. Waits without a thread, so that no holder is ever kept from getting one.

    Raises OSError when the state folder cannot be written.
    """
    with _open(state, root) as file:
        while not _lock(file, wait=False):  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)  # the holder may be another process: there is no event to wait for
        yield


@contextmanager
def held_blocking(state: Path, root: Path) -> Iterator[None]:
    """The same for a thread of one's own."""
    with _open(state, root) as file:
        _lock(file, wait=True)
        yield


@contextmanager
def _open(state: Path, root: Path) -> Iterator[IO[bytes]]:
    folder = state / "roots"
    folder.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(os.path.realpath(root).encode("utf-8", "surrogateescape")).hexdigest()[:20]
    # Closing the file releases the lock. The file stays: removing it would let two processes hold two of one name.
    with (folder / f"{name}.lock").open("a+b") as file:
        yield file
