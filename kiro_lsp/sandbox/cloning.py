"""Copying an open file as cheaply as the system allows: shared blocks, else inside the kernel, else by reading."""

from __future__ import annotations

import errno
import os
import sys
from typing import Final

_CHUNK: Final = 1 << 24
_FICLONE: Final = 0x40049409
"""The Linux request that makes a file share the blocks of another, as XFS and btrfs can."""

_NEW: Final = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
)
_BY_DESCRIPTOR: Final = os.utime in os.supports_fd and hasattr(os, "fchmod")

_UNSUPPORTED: Final = frozenset(
    {errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTTY, errno.EPERM, errno.EBADF}
)


class Cloner:
    """Remembers which way works, so that a tree of many files asks once."""

    def __init__(self) -> None:
        self._shares_blocks = sys.platform.startswith("linux") or sys.platform == "darwin"
        self._in_kernel = hasattr(os, "copy_file_range")

    def clone(self, source: int, status: os.stat_result, target: str, folder: int | None = None) -> os.stat_result:
        """Make `target`, which must not exist, with the content, permission bits and modification time of `source`.

        `target` is relative to the descriptor `folder`, if there is one. The owner can always read and write the copy.
        Returns what the copy is like. Raises OSError.
        """
        if sys.platform == "darwin" and self._shares_blocks and self._clonefile(source, target, folder):
            os.chmod(target, _mode(status), dir_fd=folder)
            return os.stat(target, dir_fd=folder, follow_symlinks=False)
        mode = _mode(status)
        descriptor = os.open(target, _NEW, mode, dir_fd=folder)
        try:
            if not (self._shares_blocks and self._ficlone(source, descriptor)):
                self._copy(source, descriptor, status.st_size)
            if _BY_DESCRIPTOR:
                os.utime(descriptor, ns=(status.st_atime_ns, status.st_mtime_ns))
                made = os.fstat(descriptor)
                if made.st_mode & 0o7777 != mode:
                    os.fchmod(descriptor, mode)
                    made = os.fstat(descriptor)
                return made
        finally:
            os.close(descriptor)
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
        return os.stat(target)

    def _ficlone(self, source: int, target: int) -> bool:
        if sys.platform == "win32":
            return False
        import fcntl

        try:
            fcntl.ioctl(target, _FICLONE, source)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            self._shares_blocks = False
            return False
        return True

    def _clonefile(self, source: int, target: str, folder: int | None) -> bool:
        """macOS: fclonefileat shares blocks on APFS; an error means another file system."""
        import ctypes

        library = ctypes.CDLL(None, use_errno=True)
        at_current_folder, no_owner_copy = -2, 2
        place = at_current_folder if folder is None else folder
        if library.fclonefileat(source, place, os.fsencode(target), no_owner_copy) == 0:
            return True
        self._shares_blocks = False
        return False

    def _copy(self, source: int, target: int, size: int) -> None:
        done = 0
        while self._in_kernel and (done < size or size == 0):
            try:
                copied = os.copy_file_range(source, target, _CHUNK)
                done += copied
                if copied == 0 or done == size:
                    return
            except OSError as error:
                if error.errno not in _UNSUPPORTED:
                    raise
                # Nothing was copied by a refused call; what earlier ones copied moved both offsets along.
                self._in_kernel = False
        while data := os.read(source, _CHUNK):
            view = memoryview(data)
            while view:
                view = view[os.write(target, view) :]


def _mode(status: os.stat_result) -> int:
    return status.st_mode & 0o777 | 0o600
