"""A folder of a root, held by its descriptor: looking, writing and renaming by name, never through a link.

Windows has no descriptors of folders and no fsync of them: whole paths are used there, and each folder on the way is
checked not to lead elsewhere. What a change of a file consists of is disk.py's business.
"""

from __future__ import annotations

import errno
import functools
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kiro_lsp.engine.faults import point

_BY_DESCRIPTOR: Final = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
_FLAGS: Final = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_FOLDER: Final = os.O_RDONLY | _FLAGS | getattr(os, "O_DIRECTORY", 0)
_READ: Final = os.O_RDONLY | _FLAGS | getattr(os, "O_NONBLOCK", 0)
_NOREPLACE, _EXCHANGE = 1, 2
_UNSUPPORTED: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK})
PERMISSIONS: Final = 0o7777


class Changed(Exception):
    """A file is not what was expected; it was left as it is. `args[0]` says how, for a person."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is at a path: the bytes and permission bits of a regular file, or nothing, or what is in the way."""

    data: bytes | None = None
    mode: int | None = None
    obstacle: str | None = None


@contextmanager
def folder_of(root: Path, path: str) -> Iterator[Place]:
    """The folder that holds `path`. Raises FileNotFoundError, NotADirectoryError (also for a link in the way)."""
    parents = path.split("/")[:-1]
    real = os.path.realpath(root)
    if not _BY_DESCRIPTOR:
        yield _path_place(real, parents)
        return
    opened = [os.open(real, _FOLDER)]
    try:
        for depth, parent in enumerate(parents):
            try:
                opened.append(os.open(parent, _FOLDER, dir_fd=opened[-1]))
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
                    raise NotADirectoryError(error.errno, "not a folder", "/".join(parents[: depth + 1])) from error
                raise
        yield Place(opened[-1], "")
    finally:
        for descriptor in reversed(opened):
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Place:
    """A folder by its descriptor, or by its whole path where there are no such descriptors."""

    descriptor: int | None
    prefix: str

    def look(self, name: str) -> Seen:
        try:
            status = os.stat(self._at(name), dir_fd=self.descriptor, follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode):
                return Seen(obstacle=_what(status.st_mode))
            file = os.open(self._at(name), _READ, dir_fd=self.descriptor)
        except FileNotFoundError:
            return Seen()
        except PermissionError as error:
            return Seen(obstacle=f"cannot be read ({error.strerror})")
        with os.fdopen(file, "rb") as opened:
            status = os.fstat(opened.fileno())
            if not stat.S_ISREG(status.st_mode):
                return Seen(obstacle=_what(status.st_mode))
            return Seen(opened.read(), stat.S_IMODE(status.st_mode))

    def names(self) -> list[str]:
        return os.listdir(self.prefix if self.descriptor is None else self.descriptor)

    def write(self, name: str, data: bytes, *, like: str, mode: int | None, exact: bool) -> None:
        """A new file with the owner, mode and extended attributes of the one it is for, or fresh ones without one."""
        descriptor = os.open(
            self._at(name),
            os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS,
            0o666 if mode is None else mode & PERMISSIONS,
            dir_fd=self.descriptor,
        )
        with os.fdopen(descriptor, "wb") as file:
            self._dress(file.fileno(), like, mode, exact=exact)
            file.write(data)
            file.flush()
            point("disk.written")
            os.fsync(file.fileno())

    def _dress(self, descriptor: int, like: str, mode: int | None, *, exact: bool) -> None:
        if not hasattr(os, "fchmod"):
            return
        try:
            old = os.stat(self._at(like), dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            if exact and mode is not None:
                os.fchmod(descriptor, mode & PERMISSIONS)
            return
        new = os.fstat(descriptor)
        if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
            with suppress(PermissionError):
                os.fchown(descriptor, old.st_uid, old.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(old.st_mode) if mode is None else mode & PERMISSIONS)
        if hasattr(os, "listxattr"):
            with suppress(OSError):  # not every file system has them, and not all of them are ours to set
                source = os.open(self._at(like), _READ, dir_fd=self.descriptor)
                try:
                    for attribute in os.listxattr(source):
                        os.setxattr(descriptor, attribute, os.getxattr(source, attribute))
                finally:
                    os.close(source)

    def change_mode(self, name: str, mode: int) -> None:
        if not hasattr(os, "fchmod"):
            return  # Windows keeps no permission bits
        file = os.open(self._at(name), _READ, dir_fd=self.descriptor)
        try:
            os.fchmod(file, mode & PERMISSIONS)
            os.fsync(file)
        finally:
            os.close(file)

    def exchange(self, one: str, other: str) -> bool:
        """Exchange two names at once; False where the system or the file system cannot. Raises Changed, OSError."""
        return self._rename2(one, other, _EXCHANGE)

    def move_if_free(self, source: str, target: str) -> bool:
        """Rename only when nothing has the new name; False where the system cannot. Raises FileExistsError, OSError."""
        return self._rename2(source, target, _NOREPLACE)

    def _rename2(self, source: str, target: str, flags: int) -> bool:
        renameat2 = _renameat2()
        if renameat2 is None or self.descriptor is None:
            return False
        number = renameat2(self.descriptor, os.fsencode(source), self.descriptor, os.fsencode(target), flags)
        if number == 0:
            return True
        if number in _UNSUPPORTED:
            return False
        if number == errno.ENOENT and flags == _EXCHANGE:
            raise Changed("it is not there any more")
        raise OSError(number, os.strerror(number), target)

    def link(self, source: str, target: str) -> bool:
        try:
            os.link(
                self._at(source),
                self._at(target),
                src_dir_fd=self.descriptor,
                dst_dir_fd=self.descriptor,
                follow_symlinks=False,
            )
        except FileExistsError:
            raise
        except (OSError, NotImplementedError) as error:
            if isinstance(error, OSError) and error.errno not in _UNSUPPORTED:
                raise
            return False
        return True

    def rename(self, source: str, target: str) -> None:
        os.replace(self._at(source), self._at(target), src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def unlink(self, name: str) -> None:
        os.unlink(self._at(name), dir_fd=self.descriptor)

    def mkdir(self, name: str) -> None:
        os.mkdir(self._at(name), dir_fd=self.descriptor)

    def rmdir(self, name: str) -> None:
        os.rmdir(self._at(name), dir_fd=self.descriptor)

    def sync(self) -> None:
        """Make renames durable. Some file systems cannot sync a folder and say so; Windows has no such call."""
        if self.descriptor is not None:
            try:
                os.fsync(self.descriptor)
            except OSError as error:
                if error.errno not in _UNSUPPORTED:
                    raise

    def _at(self, name: str) -> str:
        return name if self.descriptor is not None else os.path.join(self.prefix, name)


def _path_place(root: str, parents: list[str]) -> Place:
    current = root
    for parent in parents:
        current = os.path.join(current, parent)
        status = os.lstat(current)
        reparse = getattr(status, "st_file_attributes", 0) & getattr(stat, "FILE_ATTRIBUTE_REPARSE_POINT", 0)
        if not stat.S_ISDIR(status.st_mode) or reparse:
            raise NotADirectoryError(errno.ENOTDIR, "not a folder", os.path.relpath(current, root))
    return Place(None, current)


@functools.cache
def _renameat2() -> Callable[[int, bytes, int, bytes, int], int] | None:
    """The Linux call as a function that returns 0 or an errno; None where there is none."""
    if os.name != "posix":
        return None
    import ctypes

    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    call.restype = ctypes.c_int

    def renameat2(old_folder: int, old: bytes, new_folder: int, new: bytes, flags: int) -> int:
        return 0 if call(old_folder, old, new_folder, new, flags) == 0 else ctypes.get_errno()

    return renameat2


def _what(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    return "a folder" if stat.S_ISDIR(mode) else "a device, pipe or socket"


def difference(seen: Seen) -> str:
    if seen.obstacle is not None:
        return f"it {seen.obstacle}" if seen.obstacle.startswith("cannot") else f"it is {seen.obstacle} now"
    return "it is not there any more" if seen.data is None else "it changed in the meantime"
