"""Opening, reading and replacing files of a root without ever following a link.

A path that `paths.resolve` returned was inside the root when it was looked at. Between that look and the use somebody
may put a symbolic link in its place, so files are opened component by component from a descriptor of the root with
O_NOFOLLOW: what is opened is inside, or nothing is opened. Only regular files are read; FIFOs, devices and sockets are
never opened at all.

Systems without descriptor-relative calls (Windows) open the whole path, ask the system for the real path of the open
handle, and refuse it when that lies outside.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from kiro_lsp.errors import PathRefused, UnreadableFile
from kiro_lsp.sandbox import paths
from kiro_lsp.sandbox.listing import list_files

__all__ = [
    "TEMPORARY",
    "list_files",
    "mode_of",
    "open_folder",
    "open_listed",
    "open_root",
    "open_source",
    "remove",
    "remove_plain",
    "safe_read",
    "write_atomic",
    "write_plain",
]

TEMPORARY: Final = ".kiro-lsp-"
"""How the name of a half-written file starts; what a crash left behind is found by it."""

_BY_DESCRIPTOR: Final = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
_FLAGS: Final = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_FOLDER: Final = os.O_RDONLY | _FLAGS | getattr(os, "O_DIRECTORY", 0)
_FILE: Final = os.O_RDONLY | _FLAGS | getattr(os, "O_NONBLOCK", 0)
_LINK_IN_THE_WAY: Final = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EMLINK})
_TRIES: Final = 8


def safe_read(root: Path | str, relative: str, limit: int, *, single_link: bool = False) -> bytes | None:
    """The bytes of a regular file inside the root, None when there is none.

    `limit` is in bytes. With `single_link` a file with a second hard link is refused: in a tree that a stranger filled,
    its bytes may be those of a file outside. Raises PathRefused when the path leaves the root, UnreadableFile when it
    is not a regular file, too large or not readable for this user.
    """
    descriptor = _open(root, relative)
    if descriptor is None:
        return None
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        status = os.fstat(descriptor)
        if single_link and status.st_nlink > 1:
            raise PathRefused(
                f"{relative} has {status.st_nlink} hard links: its content may belong to a file elsewhere."
            )
        if status.st_size > limit:
            raise UnreadableFile(f"{relative} is too large: {status.st_size} bytes, at most {limit} are read.")
        return _read_all(file.fileno(), relative, limit, status.st_size)


def _read_all(descriptor: int, relative: str, limit: int, expected: int) -> bytes:
    """Until the end of the file, which may have moved since its size was asked for."""
    chunks: list[bytes] = []
    size = 0
    try:
        while chunk := os.read(descriptor, max(min(expected + 1 - size, 1 << 24), 1 << 16)):
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                raise UnreadableFile(f"{relative} is too large: more than {limit} bytes.")
    except OSError as error:
        raise UnreadableFile(f"{relative} cannot be read: {error.strerror}.") from error
    return b"".join(chunks)


def mode_of(root: Path | str, relative: str) -> int | None:
    """The permission bits of a regular file inside the root, None when there is none."""
    descriptor = _open(root, relative)
    if descriptor is None:
        return None
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)


def write_atomic(
    root: Path | str, relative: str, data: bytes, mode: int | None = None, *, durable: bool = True
) -> tuple[str, ...]:
    """Replace or create a file: temporary file in the same folder, fsync, rename, fsync of the folder.

    `mode` is permission bits; without it those of the file that is replaced, else 0o666 less the umask. Returns the
    folders that had to be made, outermost first. Raises PathRefused, and OSError as the system gave it, with nothing
    left behind.
    """
    return write_plain(root, paths.resolve(root, relative), data, mode, durable=durable)


def write_plain(
    root: Path | str, relative: str, data: bytes, mode: int | None = None, *, durable: bool = True
) -> tuple[str, ...]:
    """As `write_atomic` for a path that is normal already and is refused when any part of it is a link.

    `root` may be a descriptor's place below /proc, which `paths.resolve` would read in the wrong namespace.
    """
    folder, _, name = relative.rpartition("/")
    made: list[str] = []
    with _folder(root, folder, made) as place:
        if mode is None:
            mode = _mode_in(place, name)
        temporary = f"{TEMPORARY}{secrets.token_hex(8)}.tmp"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS
        descriptor = os.open(place.name(temporary), flags, 0o666, dir_fd=place.descriptor)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                if mode is not None and hasattr(os, "fchmod"):
                    os.fchmod(file.fileno(), mode)
                if durable:
                    os.fsync(file.fileno())
            _refuse_special(place, name, relative)
            os.replace(
                place.name(temporary), place.name(name), src_dir_fd=place.descriptor, dst_dir_fd=place.descriptor
            )
        except BaseException:
            with suppress(OSError):
                os.unlink(place.name(temporary), dir_fd=place.descriptor)
            raise
        if durable:
            place.sync()
    return tuple(made)


def remove(root: Path | str, relative: str) -> None:
    """Delete a file (not a folder, and never what a link points to). Raises FileNotFoundError, PathRefused, OSError."""
    remove_plain(root, paths.resolve(root, relative))


def remove_plain(root: Path | str, relative: str) -> None:
    """As `remove`, for a path as in `write_plain`."""
    folder, _, name = relative.rpartition("/")
    with _folder(root, folder, None) as place:
        _refuse_special(place, name, relative)
        os.unlink(place.name(name), dir_fd=place.descriptor)
        place.sync()


# Descriptors


def open_root(root: Path | str) -> int:
    """A descriptor of the root itself, for `open_source`. The caller closes it. Raises OSError."""
    return os.open(root, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0))


def open_source(root: Path | str, descriptor: int | None, relative: str) -> int | None:
    """A descriptor of a regular file that is already resolved, opened without following any link; None when it is not
    there.

    `descriptor` is of the root, None where the system opens by whole paths only. A link or special file raises
    PathRefused.
    """
    if descriptor is None:
        return _open_by_path(root, relative)
    *folders, name = relative.split("/")
    current, opened = descriptor, []
    try:
        for folder in folders:
            current = os.open(folder, _FOLDER, dir_fd=current)
            opened.append(current)
        if not stat.S_ISREG(os.stat(name, dir_fd=current, follow_symlinks=False).st_mode):
            raise _special(relative, os.stat(name, dir_fd=current, follow_symlinks=False).st_mode)
        file = os.open(name, _FILE, dir_fd=current)
    except FileNotFoundError:
        return None
    finally:
        for each in opened:
            os.close(each)
    if not stat.S_ISREG(mode := os.fstat(file).st_mode):
        os.close(file)
        raise _special(relative, mode)
    return file


def open_listed(folder: int, name: str) -> int | None:
    """A descriptor of what a listing has just called a file, in an open folder; None when it is not there any more.

    The caller looks at what it opened. A link raises PathRefused, what cannot be opened PermissionError or OSError.
    """
    try:
        return os.open(name, _FILE, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in _LINK_IN_THE_WAY:
            raise _LinkFound(f"{name} is refused: it became a symbolic link.") from error
        raise


@contextmanager
def open_folder(descriptor: int | None, relative: str) -> Iterator[int | None]:
    """A descriptor of a folder below that of a root, "" for the root itself, opened without following any link.

    None where the system opens by whole paths only. Raises OSError.
    """
    if descriptor is None:
        yield None
        return
    opened: list[int] = []
    try:
        for name in relative.split("/") if relative else ():
            opened.append(os.open(name, _FOLDER, dir_fd=opened[-1] if opened else descriptor))
        yield opened[-1] if opened else descriptor
    finally:
        for each in opened:
            os.close(each)


def _open(root: Path | str, relative: str) -> int | None:
    """Resolve and open; again when somebody exchanged a component in between."""
    for _ in range(_TRIES):
        resolved = paths.resolve(root, relative)
        try:
            if not _BY_DESCRIPTOR:
                return _open_by_path(root, resolved)
            descriptor = open_root(root)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return open_source(root, descriptor, resolved)
        except _LinkFound:
            continue
        except PermissionError as error:
            raise UnreadableFile(f"{relative} cannot be read: {error.strerror}.") from error
        except OSError as error:
            if error.errno not in _LINK_IN_THE_WAY:
                raise UnreadableFile(f"{relative} cannot be opened: {error.strerror}.") from error
        finally:
            os.close(descriptor)
    raise PathRefused(f"{relative} is refused: it is exchanged for a symbolic link while it is read.")


class _LinkFound(PathRefused):
    """A link stands where none was a moment ago."""


def _special(relative: str, mode: int) -> Exception:
    if stat.S_ISLNK(mode):
        return _LinkFound(f"{relative} is refused: it became a symbolic link.")
    what = "a folder" if stat.S_ISDIR(mode) else "a device, pipe or socket"
    return UnreadableFile(f"{relative} is {what}, not a regular file.")


def _open_by_path(root: Path | str, resolved: str) -> int | None:
    """The Windows way: open, then ask where the handle really is."""
    full = os.path.join(os.path.realpath(root), *resolved.split("/"))
    try:
        mode = os.lstat(full).st_mode
        if not stat.S_ISREG(mode):
            raise _special(resolved, mode)
        descriptor = os.open(full, _FILE)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UnreadableFile(f"{resolved} cannot be opened: {error.strerror}.") from error
    if not is_beneath(_final_path(descriptor, full), os.path.realpath(root)):
        os.close(descriptor)
        raise PathRefused(f"{resolved} is refused: it leaves the project.")
    return descriptor


def _final_path(descriptor: int, full: str) -> str:
    if sys.platform == "win32":
        import ctypes
        import msvcrt

        buffer = ctypes.create_unicode_buffer(32768)
        handle = msvcrt.get_osfhandle(descriptor)
        if not ctypes.windll.kernel32.GetFinalPathNameByHandleW(ctypes.c_void_p(handle), buffer, len(buffer), 0):
            return ""
        return buffer.value
    return os.path.realpath(full)


def is_beneath(final: str, root: str) -> bool:
    """Whether a final path, with or without the `\\\\?\\` prefix, lies below the root; compared by components, without
    case.
    """

    def plain(path: str) -> str:
        path = path.replace("\\", "/")
        if path.startswith("//?/UNC/"):
            path = f"//{path[8:]}"
        return path.removeprefix("//?/").rstrip("/").casefold()

    return plain(final).startswith(plain(root) + "/")


# Folders


class _Place:
    """A folder inside the root that is being written to: names relative to a descriptor, or whole paths without one."""

    def __init__(self, descriptor: int | None, path: str) -> None:
        self.descriptor = descriptor
        self._path = path

    def name(self, name: str) -> str:
        return name if self.descriptor is not None else os.path.join(self._path, name)

    def sync(self) -> None:
        """Make a rename durable. File systems that cannot sync a folder say EINVAL; Windows has no such call."""
        if self.descriptor is not None:
            with suppress(OSError):
                os.fsync(self.descriptor)


@contextmanager
def _folder(root: Path | str, relative: str, made: list[str] | None) -> Iterator[_Place]:
    """The folder `relative` (resolved; "" is the root). With `made`, missing ones are made and added to it."""
    if not _BY_DESCRIPTOR:
        path = os.path.join(os.path.realpath(root), *relative.split("/"))
        if made is not None:
            _make_folders(os.path.realpath(root), relative, made)
        yield _Place(None, path)
        return
    opened = [open_root(root)]
    try:
        done: list[str] = []
        for name in relative.split("/") if relative else ():
            done.append(name)
            if made is not None:
                with suppress(FileExistsError):
                    os.mkdir(name, dir_fd=opened[-1])
                    made.append("/".join(done))
            try:
                opened.append(os.open(name, _FOLDER, dir_fd=opened[-1]))
            except OSError as error:
                if error.errno in _LINK_IN_THE_WAY:
                    raise PathRefused(f"{'/'.join(done)} is refused: it is not a folder any more.") from error
                raise
        yield _Place(opened[-1], relative)
    finally:
        for descriptor in reversed(opened):
            os.close(descriptor)


def _make_folders(root: str, relative: str, made: list[str]) -> None:
    done: list[str] = []
    for name in relative.split("/") if relative else ():
        done.append(name)
        with suppress(FileExistsError):
            os.mkdir(os.path.join(root, *done))
            made.append("/".join(done))


def _mode_in(place: _Place, name: str) -> int | None:
    try:
        return stat.S_IMODE(os.stat(place.name(name), dir_fd=place.descriptor, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return None


def _refuse_special(place: _Place, name: str, relative: str) -> None:
    """A rename would replace a link, a pipe or a socket by a file, and fail on a folder: none of them is ours to
    replace.
    """
    try:
        mode = os.stat(place.name(name), dir_fd=place.descriptor, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise PathRefused(f"{relative} is refused: it is not a regular file any more.")
