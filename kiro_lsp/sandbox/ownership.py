"""A folder that belongs to one living process: it holds a lock on a file in it, and the system lets go when it dies."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_LOCK: Final = "owner.lock"


@dataclass(slots=True)
class OwnedFolder:
    path: Path
    _lock: int | None

    @classmethod
    def make(cls, path: Path, *, keep: bool = False) -> OwnedFolder:
        """Make the folder (0700) and own it, empty, or with `keep` as an earlier owner left it.

        Raises FileExistsError when somebody living has it, OSError otherwise.
        """
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        while True:
            with suppress(FileExistsError):
                path.mkdir(mode=0o700)
            descriptor = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
            if not _locked(descriptor):
                os.close(descriptor)
                raise FileExistsError(f"{path} is in use by another process.")
            if _same(descriptor, path / _LOCK):
                owned = cls(path, descriptor)
                if not keep:
                    owned.empty()
                return owned
            # A cleaner removed the folder between our making and our locking it.
            os.close(descriptor)

    @classmethod
    def abandoned(cls, path: Path) -> OwnedFolder | None:
        """The folder, now ours, when the process that made it is gone; None when it lives or this is no such folder."""
        try:
            descriptor = os.open(path / _LOCK, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
        except OSError:
            return None
        if _locked(descriptor):
            return cls(path, descriptor)
        os.close(descriptor)
        return None

    def empty(self) -> None:
        """Remove what a dead owner left."""
        for entry in os.listdir(self.path):
            if entry != _LOCK:
                delete(self.path / entry)

    def remove(self) -> None:
        """Delete everything, the lock last, and let go. Doing it twice is harmless."""
        if self._lock is None:
            return
        with suppress(FileNotFoundError):
            self.empty()
        if sys.platform == "win32":
            self.release()
        with suppress(OSError):
            os.unlink(self.path / _LOCK)
        with suppress(OSError):
            os.rmdir(self.path)
        self.release()

    def release(self) -> None:
        """Let go of the folder and leave it as it is."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _locked(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def delete(path: Path) -> None:
    """Also what a command made unreadable or read-only. Links are removed, never followed."""
    if path.is_symlink() or not path.is_dir():
        with suppress(OSError):
            path.unlink()
        return
    open_up(str(path))
    for folder, names, _files in os.walk(path):
        for name in names:
            open_up(os.path.join(folder, name))
    shutil.rmtree(path, ignore_errors=True)


def open_up(folder: str) -> bool:
    """Make a folder one that its owner can look into and change; False when it is none, or not ours."""
    try:
        mode = os.lstat(folder).st_mode
        if stat.S_ISDIR(mode) and mode & stat.S_IRWXU != stat.S_IRWXU:
            os.chmod(folder, stat.S_IMODE(mode) | stat.S_IRWXU)
        return stat.S_ISDIR(mode)
    except OSError:
        return False
