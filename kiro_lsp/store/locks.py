"""Who is alive: an advisory lock on a file per process, and a lock around opening the store.

A process is known by its number, its start time, the boot and a random serial, and holds a lock on a file of its own for
as long as it lives. The kernel drops the lock with the process, however that ended, so nobody is ever waited for in vain
and a number that is used again is never mistaken. Where the file system has no locks, the process table is asked.
"""

from __future__ import annotations

import errno
import os
import secrets
import sys
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Literal

from kiro_lsp.errors import StoreError
from kiro_lsp.store.model import Owner

Locked = Literal["ours", "theirs", "unsupported"]

_UNSUPPORTED = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}
_STALE_SECONDS = 60
_OPEN_SECONDS = 10

if sys.platform == "win32":  # pragma: no cover  # the branch for Windows
    import msvcrt

    def _lock(file: IO[bytes]) -> Locked:
        try:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return "theirs"
        return "ours"

else:
    import fcntl

    def _lock(file: IO[bytes]) -> Locked:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return "unsupported" if error.errno in _UNSUPPORTED else "theirs"
        return "ours"


def current_owner() -> Owner:
    """A new identity for this process, so that no other with the same number can be taken for it."""
    return Owner(os.getpid(), start_ticks(os.getpid()) or 0, boot_id(), secrets.token_hex(4))


def start_ticks(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat (proc(5)); None when there is no such process, or no /proc."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return None
    # The name of the program stands in parentheses and may itself hold some.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else int(fields[19])


def boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "this-boot"


def process_exists(owner: Owner) -> bool:
    """What the process table says: the answer where the lock cannot be asked."""
    if owner.boot_id != boot_id():
        return False
    ticks = start_ticks(owner.pid)
    if ticks is not None or Path("/proc/self/stat").exists():
        return ticks == owner.start_ticks
    if sys.platform == "win32":
        return True
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class OwnerLock:
    """Held for the life of the process. `release` is for an orderly end; a killed process releases by dying."""

    def __init__(self, owner: Owner, folder: Path) -> None:
        self.owner = owner
        self._path = lock_path(folder, owner)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Closed by `release`: the open file is the lock.
            self._file: IO[bytes] | None = open(self._path, "a+b", opener=_private)  # noqa: SIM115
        except OSError as error:
            raise StoreError(
                f"{folder} cannot be written: {error.strerror or error}.", hint="Check its rights."
            ) from error
        if _lock(self._file) == "theirs":
            self._file.close()
            raise StoreError(
                f"Another process holds {self._path}.", hint="This should not happen: two owners with one identity."
            )
        _HELD.add(self)

    def release(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # Windows does not remove an open file; it is swept away later
                self._path.unlink(missing_ok=True)
            self.drop()

    def drop(self) -> None:
        """Let go of the file without a word: what a forked child does, which must not keep its parent alive."""
        if self._file is not None:
            self._file.close()
            self._file = None


_HELD: weakref.WeakSet[OwnerLock] = weakref.WeakSet()


def _forget_locks_of_the_parent() -> None:
    for lock in list(_HELD):
        lock.drop()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks_of_the_parent)


def lock_path(folder: Path, owner: Owner) -> Path:
    return folder / f"{owner.key}.lock"


def is_alive(folder: Path, owner: Owner) -> bool:
    """Whether that very process still holds its lock. Never waits."""
    path = lock_path(folder, owner)
    try:
        with path.open("r+b") as file:
            locked = _lock(file)
    except FileNotFoundError:
        return False
    except OSError:
        return process_exists(owner)
    if locked == "ours":
        with suppress(OSError):
            path.unlink(missing_ok=True)
    return locked == "theirs" or (locked == "unsupported" and process_exists(owner))


def sweep(folder: Path) -> None:
    """Remove the lock files of dead processes. Young ones stay: their owner may be about to lock them."""
    before = time.time() - _STALE_SECONDS
    with suppress(OSError):
        for path in folder.glob("*.lock"):
            if path.stat().st_mtime < before:
                with path.open("r+b") as file:
                    dead = _lock(file) == "ours"
                if dead:
                    path.unlink(missing_ok=True)


@contextmanager
def opening(path: Path) -> Iterator[None]:
    """Held while a file is created, migrated or set aside, so that two processes do not do it at once.

    Raises StoreError after ten seconds. Without locks on this file system it is held by nobody.
    """
    deadline = time.monotonic() + _OPEN_SECONDS
    with open(path, "a+b", opener=_private) as file:
        while _lock(file) == "theirs":
            if time.monotonic() > deadline:
                raise StoreError(f"Another process holds {path}.", hint="Try again in a moment.")
            time.sleep(0.005)
        yield


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
