"""A plain copy of the workspace for commands to run in, and what they changed there.

The copy has every file that is not ignored, uncommitted ones included, with the unsaved documents of the editor and the
run's staged changes on top. It is isolation of files by place only: a program that writes to an absolute path writes
there. Whoever uses it says so ("copy", "not sandboxed").

Files are cloned where the file system can share blocks, else copied inside the kernel; never hard-linked, since a write
in place would reach the original. A manifest (mode, size, times, inode) tells what changed, and only that is read. A
copy belongs to one process, which holds a lock in it; what dead processes left is removed by `clean_leftovers`.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kiro_lsp.changes.model import FileChange
from kiro_lsp.errors import PathRefused, RunRefused, UnreadableFile
from kiro_lsp.sandbox import files, git, listing, paths
from kiro_lsp.sandbox.cloning import Cloner
from kiro_lsp.sandbox.ownership import OwnedFolder

CHANGED_FILE_LIMIT: Final = 50 * 1024 * 1024
"""Bytes; a larger file that a command made or changed is named and not taken over."""

_BY_TESTS: Final = frozenset(
    {".hypothesis", ".coverage", ".tox", ".nox", ".pytest_cache", ".mypy_cache", ".ruff_cache"}
)
"""What test runs leave behind in projects that do not ignore it; never a change that somebody wants to review."""

_CLOCK_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that is not in the copy, or a change in it that is not taken over, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Stamp:
    """What cannot stay the same when a file is written to: the change time is not a program's to set."""

    kind: int
    mode: int
    size: int
    modified: int
    changed: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> _Stamp:
        mode = status.st_mode
        return cls(
            stat.S_IFMT(mode), stat.S_IMODE(mode), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
        )


def materialise(
    root: Path | str,
    staged: Iterable[FileChange],
    buffers: Mapping[str, bytes],
    folder: Path | str,
    *,
    trusted: bool,
) -> Copy:
    """Lay the workspace out below `folder`, which is made for it (0700) and must not hold anything.

    `buffers` are the bytes of open documents, `staged` the run's changes; they win over the disk in that order.
    `trusted`: whether git may be asked which files count. Raises RunRefused when there is no room, OSError when
    `folder` cannot be made.
    """
    owned = OwnedFolder.make(Path(folder))
    name = os.path.basename(os.path.realpath(root)) or "project"
    copy = Copy(Path(root), owned.path / name, trusted, owned)
    try:
        copy.path.mkdir()
        copy.lay_out(buffers)
        copy.update(staged)
    except OSError as error:
        copy.remove()
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RunRefused(
                f"There is no room for a copy of the project in {folder}.",
                code="copy",
                hint="Commands run in a copy. Make room, or set KIRO_LSP_STATE_DIR to a larger disk.",
            ) from error
        raise
    except BaseException:
        copy.remove()
        raise
    return copy


def clean_leftovers(folder: Path | str) -> int:
    """Remove the copies below `folder` whose process is gone; returns how many."""
    removed = 0
    with suppress(OSError):
        for entry in sorted(os.listdir(folder)):
            owned = OwnedFolder.abandoned(Path(folder) / entry)
            if owned is not None:
                owned.remove()
                removed += 1
    return removed


@dataclass(slots=True)
class Copy:
    """One copy. Blocking: call its methods in a thread, one at a time, while no command runs in it."""

    root: Path
    path: Path
    """Where the tree is: the working folder for commands."""
    trusted: bool
    _owned: OwnedFolder
    skipped: list[LeftOut] = field(default_factory=list)
    """What could not be laid out."""
    refused: list[LeftOut] = field(default_factory=list)
    """What the last `absorb` found changed and did not take over."""
    stale: list[str] = field(default_factory=list)
    """Paths of the last `absorb` whose original on disk changed since it was copied."""
    _sources: dict[str, _Stamp] = field(default_factory=dict)
    _manifest: dict[str, _Stamp] = field(default_factory=dict)
    _laid: dict[str, bytes | None] = field(default_factory=dict)
    """Contents that did not come from the disk: documents, staged and absorbed changes. None: deleted."""
    _modes: dict[str, int] = field(default_factory=dict)
    """Permission bits of the originals; the copy's own are writable always."""
    _links: set[str] = field(default_factory=set)
    """Links that were laid out, or that an earlier `absorb` refused: each is named once."""
    _staged: set[str] = field(default_factory=set)
    _folders: set[Path] = field(default_factory=set)
    _exact_clock: bool = True

    # Laying out

    def lay_out(self, buffers: Mapping[str, bytes]) -> None:
        cloner = Cloner()
        listed = listing.scan(self.root, trusted=self.trusted)
        descriptor = files.open_root(self.root) if os.open in os.supports_dir_fd else None
        try:
            for entry in listed:
                try:
                    if paths.holds_secrets(entry.path):
                        raise PathRefused("it may hold secrets, which no command is given")
                    if entry.kind == "link":
                        self._link(entry.path)
                    elif entry.path not in buffers:
                        self._clone(cloner, descriptor, entry.path)
                except (PathRefused, UnreadableFile) as problem:
                    self.skipped.append(LeftOut(entry.path, problem.message))
        finally:
            if descriptor is not None:
                os.close(descriptor)
        counted = {entry.path for entry in listed}
        for path, data in buffers.items():
            mode = files.mode_of(self.root, path)
            # An open document that is ignored on disk stays out like any ignored file; a new one is in.
            if (path in counted or mode is None) and not paths.holds_secrets(path):
                self._put(path, data, mode)
        self._settle()

    def update(self, staged: Iterable[FileChange]) -> None:
        """Bring the copy to what is staged now; what is staged no longer is as on disk again."""
        wanted: dict[str, tuple[bytes | None, int | None]] = {}
        for change in staged:
            wanted[change.path] = (None, None) if change.to else (change.proposed, change.mode)
            if change.to:
                wanted[change.to] = (change.proposed, change.mode)
        before, self._staged = self._staged, set(wanted)
        for path in before - self._staged:
            wanted[path] = (files.safe_read(self.root, path, CHANGED_FILE_LIMIT), files.mode_of(self.root, path))
        changed = False
        for path in sorted(wanted, key=lambda path: (wanted[path][0] is not None, path)):
            data, mode = wanted[path]
            try:
                changed = self._put(path, data, mode) or changed
            except PathRefused as problem:
                self.skipped.append(LeftOut(path, problem.message))
        if changed:
            self._settle()

    def _clone(self, cloner: Cloner, descriptor: int | None, path: str) -> None:
        source = files.open_source(self.root, descriptor, path)
        if source is None:
            return
        try:
            status = os.fstat(source)
            cloner.clone(source, status, self._made_room(path))
            self._sources[path] = _Stamp.of(status)
            self._modes[path] = stat.S_IMODE(status.st_mode)
        except PermissionError as error:
            raise UnreadableFile(f"it cannot be read: {error.strerror}") from error
        finally:
            os.close(source)

    def _link(self, path: str) -> None:
        """The same link, as long as it leads to something inside; an absolute one becomes relative, so that it stays
        inside.
        """
        resolved = paths.resolve(self.root, path)
        target = os.readlink(Path(self.root) / path)
        if os.path.isabs(target):
            target = os.path.relpath(resolved, os.path.dirname(path) or ".")
        os.symlink(target, self._made_room(path), target_is_directory=(Path(self.root) / resolved).is_dir())
        self._links.add(path)

    def _made_room(self, path: str) -> Path:
        """Where a new file goes, its folder made; while laying out only, since no command ran here yet."""
        target = self.path / path
        if target.parent not in self._folders:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._folders.add(target.parent)
        return target

    def _put(self, path: str, data: bytes | None, mode: int | None) -> bool:
        """Write or delete one file; False when it is so already."""
        known = path in self._laid and self._laid[path] == data
        if known and (mode is None or mode == self._modes.get(path)):
            return False
        if data is None:
            with suppress(FileNotFoundError):
                files.remove(self.path, path)
        else:
            writable = None if mode is None else mode | stat.S_IRUSR | stat.S_IWUSR
            files.write_atomic(self.path, path, data, writable, durable=False)
        self._laid[path] = data
        if mode is not None:
            self._modes[path] = mode
        return True

    def _settle(self) -> None:
        """Take the manifest, and let the clock of the file system move on.

        A write in the same tick of the clock as the manifest would leave the times as they are; a system whose clock is
        too coarse to wait for has its files compared by content instead.
        """
        self._manifest = {}
        newest = 0
        for path in {**self._sources, **self._laid, **dict.fromkeys(self._links)}:
            with suppress(OSError):
                stamp = _Stamp.of(os.lstat(self.path / path))
                self._manifest[path] = stamp
                newest = max(newest, stamp.changed)
        probe = self._owned.path / "clock"
        deadline = time.monotonic() + _CLOCK_SECONDS
        while True:
            probe.write_bytes(b"")
            os.utime(probe)
            if sys.platform != "win32" and probe.stat().st_ctime_ns > newest:
                self._exact_clock = True
                return
            if time.monotonic() > deadline:
                self._exact_clock = False
                return
            time.sleep(0.001)

    # Taking over

    def absorb(self) -> list[FileChange]:
        """What differs from what was laid out, or from the last call, in path order; also fills `refused` and `stale`.

        `base` is the content as it was laid out. Where the original changed on disk meanwhile that content is gone: the
        change is then a creation without base, which an accept refuses as a conflict instead of overwriting what is
        there.
        """
        self.refused, self.stale = [], []
        unusable: list[tuple[str, str]] = []
        found = {entry.path: entry.kind for entry in listing.walk(self.path, left_out=unusable)}
        self.refused += [LeftOut(path, reason) for path, reason in unusable]
        changes = [change for path in sorted(self._manifest) if (change := self._changed(path)) is not None]
        created = [path for path in found if path not in self._manifest and _BY_TESTS.isdisjoint(path.split("/"))]
        created = [path for path in created if not path.endswith((".pyc", ".pyo"))]
        hidden = git.ignored(self.root, created) if self.trusted else frozenset()
        for path in created:
            if path in hidden:
                continue
            if found[path] == "link":
                self.refused.append(LeftOut(path, "a command made a symbolic link, which cannot be part of a change"))
                self._links.add(path)
            elif (change := self._created(path)) is not None:
                changes.append(change)
        for change in changes:
            self._laid[change.path] = change.proposed
            if change.mode is not None:
                self._modes[change.path] = change.mode
            self._staged.add(change.path)
        self.refused.sort(key=lambda left_out: left_out.path)
        if changes or self.refused:
            self._settle()
        return sorted(changes, key=lambda change: change.path)

    def _changed(self, path: str) -> FileChange | None:
        before = self._manifest[path]
        try:
            now: _Stamp | None = _Stamp.of(os.lstat(self.path / path))
        except (FileNotFoundError, NotADirectoryError):
            now = None
        if now == before and (self._exact_clock or before.kind == stat.S_IFLNK):
            return None
        if before.kind == stat.S_IFLNK:
            self.refused.append(LeftOut(path, "a command changed a symbolic link, which cannot be part of a change"))
            return None
        if now is None or now.kind == stat.S_IFDIR:
            return self._deleted(path)
        data = self._content(path)
        if data is None:
            return None
        mode_before = self._modes.get(path, before.mode)
        mode = _with_execution(mode_before, now.mode) if _runs(now.mode) != _runs(before.mode) else mode_before
        base = self._base(path)
        if base is None:
            return FileChange(path, "create", None, data, None, mode)
        if base == data and mode == mode_before:
            return None
        return FileChange(path, "modify", base, data, mode_before, mode)

    def _deleted(self, path: str) -> FileChange | None:
        base = self._base(path)
        if base is None:
            self.refused.append(LeftOut(path, "a command deleted it, but it changed on disk meanwhile"))
            return None
        return FileChange(path, "delete", base, None, self._modes.get(path), None)

    def _created(self, path: str) -> FileChange | None:
        data = self._content(path)
        if data is None:
            return None
        mode = _with_execution(0o644, os.lstat(self.path / path).st_mode)
        return FileChange(path, "create", None, data, None, mode)

    def _content(self, path: str) -> bytes | None:
        """The bytes in the copy; None with a refusal noted when they are not a plain file's own."""
        try:
            if paths.resolve(self.path, path) != path:
                raise PathRefused(f"{path} lies behind a symbolic link that a command made.")
            return files.safe_read(self.path, path, CHANGED_FILE_LIMIT, single_link=True)
        except (PathRefused, UnreadableFile) as problem:
            self.refused.append(LeftOut(path, problem.message))
            return None

    def _base(self, path: str) -> bytes | None:
        """What was laid out; None (and `stale`) when that came from the disk and is there no longer."""
        if path in self._laid:
            return self._laid[path]
        with suppress(PathRefused, UnreadableFile, OSError):
            data = files.safe_read(self.root, path, CHANGED_FILE_LIMIT)
            if data is not None and _Stamp.of(os.lstat(Path(self.root) / path)) == self._sources.get(path):
                return data
        self.stale.append(path)
        return None

    def remove(self) -> None:
        """Delete the copy with everything in it."""
        self._owned.remove()


def _runs(mode: int) -> bool:
    return bool(mode & stat.S_IXUSR)


def _with_execution(mode: int, like: int) -> int:
    """`mode`, executable for all who may read when the owner may execute `like`, for nobody otherwise."""
    return mode | (mode & 0o444) >> 2 if _runs(like) else mode & ~0o111
