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

import os
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kiro_lsp.engine.faults import point
from kiro_lsp.engine.place import PERMISSIONS, Changed, Place, Seen, difference, folder_of
from kiro_lsp.sandbox.files import TEMPORARY

__all__ = ["Change", "Changed", "Disk", "Seen"]


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
        return data is None or not sets_mode or os.name == "nt" or seen.mode == (mode or 0) & PERMISSIONS


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
            with folder_of(self.root, path) as place:
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
                with folder_of(self.root, "/".join(parts[: depth + 1])) as place:
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
        self._make_folders(change.folders)
        name = self._temporary(number)
        with folder_of(self.root, change.path) as place:
            with suppress(FileNotFoundError):
                place.unlink(f"{name}.new")
            point("disk.temporary")
            # Only a complete content gets the name that recovery takes for a version of the file.
            place.write(
                f"{name}.new",
                change.after,
                like=_name(change.path),
                mode=change.after_mode,
                exact=change.exact_mode,
            )
            place.rename(f"{name}.new", name)
        point("disk.laid")

    def swap(self, change: Change, number: int) -> None:
        """Bring the file from `before` to `after` in one step. Raises Changed (the file is as it was), OSError."""
        point("disk.swap")
        name, temporary = _name(change.path), self._temporary(number)
        with folder_of(self.root, change.path) as place:
            if change.is_mode_only:
                seen = place.look(name)
                _expect(change, seen)
                place.change_mode(name, change.after_mode or 0)
            elif change.after is None:
                self._take_away(place, name, temporary, change)
            elif change.before is None:
                _arrive(place, temporary, name)
            else:
                self._replace(place, temporary, name, change)
            point("disk.swapped")

    def sync(self, changes: Iterable[Change]) -> None:
        """Make the new names of these changes durable: each folder once. Raises OSError."""
        names = {name for change in changes for name in (change.path, *change.folders)}
        for name in sorted({name.rpartition("/")[0]: name for name in names}.values()):
            with suppress(FileNotFoundError, NotADirectoryError), folder_of(self.root, name) as place:
                place.sync()
            point("disk.synced")

    def sweep(self, change: Change, number: int) -> None:
        """Remove what the steps left beside the file, and folders that only a removed file had. Raises OSError."""
        try:
            with folder_of(self.root, change.path) as place:
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
                raise Changed(difference(seen))
            if not self._back_by_displaced(change, number):
                backwards = change.reversed()
                self.lay(backwards, number)
                self.swap(backwards, number)
                self.sync([backwards])
        self.sweep(change.reversed(), number)

    # Inside

    def _replace(self, place: Place, temporary: str, name: str, change: Change) -> None:
        if self.exchange and place.exchange(temporary, name):
            seen = place.look(temporary)
            if not change.is_undone(seen):
                place.exchange(temporary, name)
                raise Changed(difference(seen))
            return
        kept = f"{temporary}~"
        with suppress(FileNotFoundError):
            place.unlink(kept)
        _expect(change, place.look(name))
        try:
            linked = place.link(name, kept)
        except FileNotFoundError:
            raise Changed(difference(Seen())) from None
        if linked:
            seen = place.look(kept)
            if not change.is_undone(seen):
                place.unlink(kept)
            _expect(change, seen)
        place.rename(temporary, name)
        if linked:
            # Somebody may have written into the old file while it was replaced.
            seen = place.look(kept)
            place.rename(kept, temporary if change.is_undone(seen) else name)
            _expect(change, seen)

    def _take_away(self, place: Place, name: str, temporary: str, change: Change) -> None:
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
        _expect(change, seen)

    def _back_by_displaced(self, change: Change, number: int) -> bool:
        """Put the very file back that was displaced, time stamps and all; False when it is not there any more."""
        if change.before is None or change.is_mode_only:
            return False
        temporary, name = self._temporary(number), _name(change.path)
        try:
            with folder_of(self.root, change.path) as place:
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
            with folder_of(self.root, change.path) as place:
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

    def _make_folders(self, folders: tuple[str, ...]) -> None:
        for folder in folders:
            with folder_of(self.root, folder) as place, suppress(FileExistsError):
                place.mkdir(_name(folder))
                point("disk.folder")

    def _remove_folders(self, folders: tuple[str, ...]) -> None:
        for folder in reversed(folders):
            try:
                with folder_of(self.root, folder) as place:
                    place.rmdir(_name(folder))
            except FileNotFoundError:
                continue
            except OSError:
                return  # not empty, or no folder any more: it belongs to somebody else now


def _expect(change: Change, seen: Seen) -> None:
    if not change.is_undone(seen):
        raise Changed(difference(seen))


def _arrive(place: Place, temporary: str, name: str) -> None:
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
        raise Changed(difference(place.look(name))) from None


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())
