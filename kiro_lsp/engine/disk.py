"""How bytes reach the disk: one file at a time, atomically, never over a version that nobody has looked at.

A new content is laid beside the file under a known name, synced, and exchanged with it in one step; what was displaced
is then compared with what was expected there and goes back when it is something else. So a file holds its old or its
new content at every instant, and what somebody wrote a moment ago is never lost. Folders are walked by descriptors that
follow no link. Which files belong together, and what is recorded about them, is apply.py's business.

Linux exchanges with renameat2. Elsewhere the old file is kept by a hard link and replaced by a rename, which leaves a
gap of microseconds in which a version that another program renames into place is overwritten. Windows has no
descriptors of folders and no fsync of them: whole paths are used there.
"""

from __future__ import annotations

import errno
import functools
import os
import stat
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kiro_lsp.engine.faults import point
from kiro_lsp.sandbox.files import TEMPORARY

_BY_DESCRIPTOR: Final = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
_FLAGS: Final = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_FOLDER: Final = os.O_RDONLY | _FLAGS | getattr(os, "O_DIRECTORY", 0)
_READ: Final = os.O_RDONLY | _FLAGS | getattr(os, "O_NONBLOCK", 0)
_NOREPLACE, _EXCHANGE = 1, 2
_UNSUPPORTED: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK})
_PERMISSIONS: Final = 0o7777


class Changed(Exception):
    """A file is not what was expected; it was left as it is. `args[0]` says how, for a person."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is at a path: the bytes and permission bits of a regular file, or nothing, or what is in the way."""

    data: bytes | None = None
    mode: int | None = None
    obstacle: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One file to bring from one content to another. Modes None: the mode stays, or is the usual one for a new file.

    `folders` exist only for the sake of the file: they are made with it and removed with it when they are empty.
    """

    path: str
    before: bytes | None
    after: bytes | None
    before_mode: int | None = None
    after_mode: int | None = None
    folders: tuple[str, ...] = ()
    exact_mode: bool = False
    """A file that comes back gets exactly its mode; a new one gets what the umask leaves of it."""

    @property
    def is_mode_only(self) -> bool:
        return self.before is not None and self.before == self.after

    def reversed(self) -> Change:
        return Change(self.path, self.after, self.before, self.after_mode, self.before_mode, self.folders, True)

    def is_done(self, seen: Seen) -> bool:
        return self._holds(seen, self.after, self.after_mode)

    def is_undone(self, seen: Seen) -> bool:
        return self._holds(seen, self.before, self.before_mode)

    def _holds(self, seen: Seen, data: bytes | None, mode: int | None) -> bool:
        if seen.obstacle is not None or seen.data != data:
            return False
        sets_mode = self.before_mode is not None and self.after_mode is not None and self.before_mode != self.after_mode
        return data is None or not sets_mode or os.name == "nt" or seen.mode == (mode or 0) & _PERMISSIONS


@dataclass(frozen=True, slots=True)
class Disk:
    """The files below `root`. `token` makes the names of temporary files known to whoever recovers from a crash."""

    root: Path
    token: str
    exchange: bool = True
    """Whether to use the system's atomic exchange where it has one."""

    def look(self, path: str) -> Seen:
        """What is there now. Never raises for what it finds; OSError only when the disk itself fails."""
        try:
            with self._folder(path) as place:
                return place.look(_name(path))
        except FileNotFoundError:
            return Seen()
        except NotADirectoryError as error:
            return Seen(obstacle=f"{error.filename or 'a part of its path'} is not a folder")

    def collision(self, path: str) -> str | None:
        """An existing path that differs from `path` in case or Unicode form only: some systems take both for one
        file.
        """
        parts = path.split("/")
        for depth, part in enumerate(parts):
            try:
                with self._folder("/".join(parts[: depth + 1])) as place:
                    names = place.names()
            except (FileNotFoundError, NotADirectoryError):
                return None
            if part not in names:
                twin = next((name for name in names if _folded(name) == _folded(part)), None)
                return None if twin is None else "/".join([*parts[:depth], twin])
        return None

    def missing_folders(self, path: str) -> tuple[str, ...]:
        """The folders that would have to be made for `path`, outermost first."""
        parts = path.split("/")[:-1]
        above = ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
        return tuple(folder for folder in above if not os.path.lexists(self.root.joinpath(*folder.split("/"))))

    # The steps of a change, in this order; each may be repeated.

    def lay(self, change: Change, number: int) -> None:
        """Put the new content beside the file. Nothing that anybody looks at has changed yet. Raises OSError."""
        if change.after is None or change.is_mode_only:
            return
        self._make_folders(change.path)
        name = self._temporary(number)
        with self._folder(change.path) as place:
            with suppress(FileNotFoundError):
                place.unlink(f"{name}.new")
            point("disk.temporary")
            # Only a complete content gets the name that recovery takes for a version of the file.
            place.write(f"{name}.new", change)
            place.rename(f"{name}.new", name)
        point("disk.laid")

    def swap(self, change: Change, number: int) -> None:
        """Bring the file from `before` to `after` in one step. Raises Changed (the file is as it was), OSError."""
        point("disk.swap")
        name, temporary = _name(change.path), self._temporary(number)
        with self._folder(change.path) as place:
            if change.is_mode_only:
                place.change_mode(name, change)
            elif change.after is None:
                self._take_away(place, name, temporary, change)
            elif change.before is None:
                _arrive(place, temporary, name)
            else:
                self._replace(place, temporary, name, change)
            point("disk.swapped")
            place.sync()
        point("disk.synced")

    def sweep(self, change: Change, number: int) -> None:
        """Remove what the steps left beside the file, and folders that only a removed file had. Raises OSError."""
        try:
            with self._folder(change.path) as place:
                for name in (*self._displaced(number), f"{self._temporary(number)}.new"):
                    with suppress(FileNotFoundError):
                        place.unlink(name)
                        point("disk.sweep")
        except (FileNotFoundError, NotADirectoryError):
            pass
        if change.after is None:
            self._remove_folders(change.folders)

    def back(self, change: Change, number: int) -> None:
        """Undo `lay` and `swap` as far as they came. Raises Changed when the file is neither before nor after,
        OSError.
        """
        point("disk.back")
        self._return_foreign(change, number)
        seen = self.look(change.path)
        if not change.is_undone(seen):
            if not change.is_done(seen):
                raise Changed(_difference(seen))
            if not self._back_by_displaced(change, number):
                backwards = change.reversed()
                self.lay(backwards, number)
                self.swap(backwards, number)
        self.sweep(change.reversed(), number)

    # Inside

    def _replace(self, place: _Place, temporary: str, name: str, change: Change) -> None:
        if self.exchange and place.exchange(temporary, name):
            seen = place.look(temporary)
            if not change.is_undone(seen):
                place.exchange(temporary, name)
                raise Changed(_difference(seen))
            return
        kept = f"{temporary}~"
        with suppress(FileNotFoundError):
            place.unlink(kept)
        linked = place.link(name, kept)
        seen = place.look(kept if linked else name)
        if not change.is_undone(seen):
            if linked:
                place.unlink(kept)
            raise Changed(_difference(seen))
        place.rename(temporary, name)
        if linked:
            # Somebody may have written into the old file while it was replaced.
            seen = place.look(kept)
            place.rename(kept, name if not change.is_undone(seen) else temporary)
            if not change.is_undone(seen):
                raise Changed(_difference(seen))

    def _take_away(self, place: _Place, name: str, temporary: str, change: Change) -> None:
        with suppress(FileNotFoundError):
            place.unlink(temporary)
        try:
            seen = place.look(name)
            if change.is_undone(seen):
                place.rename(name, temporary)
                seen = place.look(temporary)
                if not change.is_undone(seen):
                    _arrive(place, temporary, name)
        except FileNotFoundError:
            seen = Seen()
        if not change.is_undone(seen):
            raise Changed(_difference(seen))

    def _back_by_displaced(self, change: Change, number: int) -> bool:
        """Put the very file back that was displaced, time stamps and all; False when it is not there any more."""
        if change.before is None or change.is_mode_only:
            return False
        temporary, name = self._temporary(number), _name(change.path)
        try:
            with self._folder(change.path) as place:
                if not change.is_undone(place.look(temporary)):
                    return False
                if change.after is None:
                    _arrive(place, temporary, name)
                else:
                    self._replace(place, temporary, name, change.reversed())
                place.sync()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def _return_foreign(self, change: Change, number: int) -> None:
        """A crash may have come between displacing a version that nobody expected and putting it back: do that now."""
        if change.before is None or change.after is None or change.is_mode_only:
            return
        try:
            with self._folder(change.path) as place:
                seen = place.look(_name(change.path))
                for beside in self._displaced(number):
                    found = place.look(beside)
                    known = found.data is None or change.is_undone(found) or change.is_done(found)
                    if change.is_done(seen) and not known:
                        place.rename(beside, _name(change.path))
                        return
        except (FileNotFoundError, NotADirectoryError):
            return

    def _temporary(self, number: int) -> str:
        return f"{TEMPORARY}{self.token}-{number}.tmp"

    def _displaced(self, number: int) -> tuple[str, str]:
        """The names under which a version of the file may lie beside it."""
        name = self._temporary(number)
        return name, f"{name}~"

    def _make_folders(self, path: str) -> None:
        parts = path.split("/")[:-1]
        for depth in range(len(parts)):
            with self._folder("/".join(parts[: depth + 1])) as place, suppress(FileExistsError):
                place.mkdir(parts[depth])
                point("disk.folder")

    def _remove_folders(self, folders: tuple[str, ...]) -> None:
        for folder in reversed(folders):
            try:
                with self._folder(folder) as place:
                    place.rmdir(_name(folder))
            except OSError:
                return  # not empty, or gone: it belongs to somebody else now

    @contextmanager
    def _folder(self, path: str) -> Iterator[_Place]:
        """The folder that holds `path`. Raises FileNotFoundError, NotADirectoryError (also for a link in the way)."""
        parents = path.split("/")[:-1]
        root = os.path.realpath(self.root)
        if not _BY_DESCRIPTOR:
            yield _path_place(root, parents)
            return
        opened = [os.open(root, _FOLDER)]
        try:
            for depth, parent in enumerate(parents):
                try:
                    opened.append(os.open(parent, _FOLDER, dir_fd=opened[-1]))
                except OSError as error:
                    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
                        raise NotADirectoryError(error.errno, "not a folder", "/".join(parents[: depth + 1])) from error
                    raise
            yield _Place(opened[-1], "")
        finally:
            for descriptor in reversed(opened):
                os.close(descriptor)


@dataclass(frozen=True, slots=True)
class _Place:
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

    def write(self, name: str, change: Change) -> None:
        """A new file with the owner, mode and extended attributes of the one it is for, or fresh ones without one."""
        mode = change.after_mode
        descriptor = os.open(
            self._at(name),
            os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS,
            0o666 if mode is None else mode & _PERMISSIONS,
            dir_fd=self.descriptor,
        )
        with os.fdopen(descriptor, "wb") as file:
            self._dress(file.fileno(), _name(change.path), change)
            file.write(change.after or b"")
            file.flush()
            point("disk.written")
            os.fsync(file.fileno())

    def _dress(self, descriptor: int, like: str, change: Change) -> None:
        mode = change.after_mode
        if not hasattr(os, "fchmod"):
            return
        try:
            old = os.stat(self._at(like), dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            if change.exact_mode and mode is not None:
                os.fchmod(descriptor, mode & _PERMISSIONS)
            return
        new = os.fstat(descriptor)
        if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
            with suppress(PermissionError):
                os.fchown(descriptor, old.st_uid, old.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(old.st_mode) if mode is None else mode & _PERMISSIONS)
        if hasattr(os, "listxattr"):
            with suppress(OSError):  # not every file system has them, and not all of them are ours to set
                source = os.open(self._at(like), _READ, dir_fd=self.descriptor)
                try:
                    for attribute in os.listxattr(source):
                        os.setxattr(descriptor, attribute, os.getxattr(source, attribute))
                finally:
                    os.close(source)

    def change_mode(self, name: str, change: Change) -> None:
        seen = self.look(name)
        if not change.is_undone(seen):
            raise Changed(_difference(seen))
        if not hasattr(os, "fchmod"):
            return  # Windows keeps no permission bits
        file = os.open(self._at(name), _READ, dir_fd=self.descriptor)
        try:
            os.fchmod(file, (change.after_mode or 0) & _PERMISSIONS)
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


def _arrive(place: _Place, temporary: str, name: str) -> None:
    """Give a file its name, unless something has that name by now. Raises Changed, OSError."""
    try:
        if place.move_if_free(temporary, name):
            return
        if place.link(temporary, name):
            place.unlink(temporary)
            return
        if place.look(name) != Seen():
            raise FileExistsError
        place.rename(temporary, name)
    except FileExistsError:
        raise Changed(_difference(place.look(name))) from None


def _path_place(root: str, parents: list[str]) -> _Place:
    current = root
    for parent in parents:
        current = os.path.join(current, parent)
        status = os.lstat(current)
        reparse = getattr(status, "st_file_attributes", 0) & getattr(stat, "FILE_ATTRIBUTE_REPARSE_POINT", 0)
        if not stat.S_ISDIR(status.st_mode) or reparse:
            raise NotADirectoryError(errno.ENOTDIR, "not a folder", os.path.relpath(current, root))
    return _Place(None, current)


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


def _difference(seen: Seen) -> str:
    if seen.obstacle is not None:
        return f"it {seen.obstacle}" if seen.obstacle.startswith("cannot") else f"it is {seen.obstacle} now"
    return "it is not there any more" if seen.data is None else "it changed in the meantime"


def _what(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    return "a folder" if stat.S_ISDIR(mode) else "a device, pipe or socket"


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())
