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
import json
import os
import stat
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kiro_lsp.changes.model import FileChange
from kiro_lsp.errors import PathRefused, RunRefused, UnreadableFile
from kiro_lsp.sandbox import files, git, gitdir, listing, masks, paths, stamps
from kiro_lsp.sandbox.cloning import Cloner
from kiro_lsp.sandbox.listing import Entry
from kiro_lsp.sandbox.ownership import OwnedFolder, open_up
from kiro_lsp.sandbox.stamps import Stamp

CHANGED_FILE_LIMIT: Final = 50 * 1024 * 1024
"""Bytes; a larger file that a command made or changed is named and not taken over."""

_BY_TESTS: Final = frozenset(
    {".hypothesis", ".coverage", ".tox", ".nox", ".pytest_cache", ".mypy_cache", ".ruff_cache"}
)
"""What test runs leave behind in projects that do not ignore it; never a change that somebody wants to review."""

_CLOCK_SECONDS: Final = 0.1
_THREADS: Final = 2
_KEPT_SECONDS: Final = 7 * 24 * 3600
_MEMORY: Final = "copy.json"
"""Beside the copy: what of it the next run may keep."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that is not in the copy, or a change in it that is not taken over, and why."""

    path: str
    reason: str


def materialise(
    root: Path | str,
    staged: Iterable[FileChange],
    buffers: Mapping[str, bytes],
    folder: Path | str,
    *,
    trusted: bool,
    reuse: bool = False,
    objects: Path | None = None,
) -> Copy:
    """Lay the workspace out below `folder`, which is made for it (0700) and holds nothing, or with `reuse` what an
    earlier copy left there.

    `buffers` are the bytes of open documents, `staged` the run's changes; they win over the disk in that order.
    `trusted`: whether git may be asked which files count. `objects` is where commands find the project's commits: with
    it the copy gets a git folder of its own. Raises RunRefused when there is no room, OSError when
    `folder` cannot be made.
    """
    owned = OwnedFolder.make(Path(folder), keep=reuse)
    name = os.path.basename(os.path.realpath(root)) or "project"
    copy = Copy(Path(root), owned.path / name, trusted, owned)
    try:
        copy.path.mkdir(exist_ok=reuse)
        copy.lay_out(buffers)
        repository = gitdir.find(root) if objects is not None else None
        if objects is not None and repository is not None:
            gitdir.seed(repository, copy.path / ".git", objects)
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
    """Remove the copies below `folder` whose process is gone; returns how many. Those that were put away stay for a week."""
    removed = 0
    with suppress(OSError):
        for entry in sorted(os.listdir(folder)):
            if stamps.is_younger(Path(folder) / entry / _MEMORY, _KEPT_SECONDS):
                continue
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
    _sources: dict[str, Stamp] = field(default_factory=dict)
    _manifest: dict[str, Stamp] = field(default_factory=dict)
    _laid: dict[str, bytes | None] = field(default_factory=dict)
    """Contents that did not come from the disk: documents, staged and absorbed changes. None: deleted."""
    _shown: dict[str, bytes] = field(default_factory=dict)
    """Of documents."""
    _modes: dict[str, int] = field(default_factory=dict)
    """Permission bits of the originals; the copy's own are writable always."""
    _links: set[str] = field(default_factory=set)
    """Links that were laid out, or that an earlier `absorb` refused: each is named once."""
    _made_links: set[str] = field(default_factory=set)
    """Those of them that commands made: nobody misses one that is deleted again."""
    _staged: set[str] = field(default_factory=set)
    _seen: dict[str, Stamp] = field(default_factory=dict)
    """Of the files that the last `absorb` read, from before it did."""
    _exact_clock: bool = True
    _begun: int = 0
    """By the clock of the file system, before the first file was copied."""

    # Laying out

    def lay_out(self, buffers: Mapping[str, bytes]) -> None:
        """Everything that counts. What an earlier run left here and is still the same stays; the rest goes."""
        self._begun = stamps.clock(self._owned.path)
        listed = []
        for entry in listing.scan(self.root, trusted=self.trusted):
            reason = masks.hidden(entry.path, trusted=self.trusted)
            if reason is None:
                listed.append(entry)
            else:
                self.skipped.append(LeftOut(entry.path, reason))
        kept = self._kept(listed, buffers)
        wanted: list[str] = []
        for entry in listed:
            if entry.kind == "link":
                try:
                    self._link(entry.path)
                except (PathRefused, UnreadableFile) as problem:
                    self.skipped.append(LeftOut(entry.path, problem.message))
            elif entry.path not in buffers and entry.path not in kept:
                wanted.append(entry.path)
        self._clone(wanted)
        counted = {entry.path for entry in listed}
        for path, data in buffers.items():
            mode = files.mode_of(self.root, path)
            # An open document that is ignored on disk stays out like any ignored file; a new one is in.
            if (path in counted or mode is None) and not masks.hidden(path, trusted=self.trusted):
                self._put(path, data, mode)
                self._shown[path] = data
        self._settle([*self._laid, *self._links])

    def update(self, staged: Iterable[FileChange]) -> None:
        """Bring the copy to what is staged now; what is staged no longer is as it was laid out."""
        wanted, self._staged = contents_of(staged, self._staged, self.root, self._shown)
        changed = False
        for path, (data, mode) in wanted.items():
            try:
                changed = self._put(path, data, mode) or changed
            except PathRefused as problem:
                self.skipped.append(LeftOut(path, problem.message))
        if changed:
            self._settle(wanted)

    def _kept(self, listed: Sequence[Entry], buffers: Mapping[str, bytes]) -> set[str]:
        """Files of an earlier run that are as they were laid out, and whose originals are as they were copied.

        Everything else in the folder is deleted, links too: they are cheap to make.
        """
        before = stamps.remembered(self._owned.path / _MEMORY, self.root)
        usable = {
            entry.path: before[entry.path][1]
            for entry in listed
            if entry.path in before and entry.kind == "file" and entry.path not in buffers
        }
        kept: set[str] = set()
        real = os.path.realpath(self.root)
        for path, stamp in stamps.clear(self.path, usable):
            with suppress(OSError):
                source = Stamp.of(os.lstat(f"{real}/{path}"))
                if list(source) == before[path][0]:
                    kept.add(path)
                    self._sources[path], self._manifest[path] = source, stamp
                    self._modes[path] = stat.S_IMODE(source.mode)
                    continue
            os.unlink(self.path / path)
        return kept

    def _clone(self, wanted: Sequence[str]) -> None:
        """Copy files, folder by folder, several at a time: making a file waits for the file system most of all."""
        cloner = Cloner()
        folders: dict[str, list[str]] = {}
        for path in wanted:
            folder, _, name = path.rpartition("/")
            folders.setdefault(folder, []).append(name)
        for folder in folders:
            (self.path / folder).mkdir(parents=True, exist_ok=True)
        by_descriptor = os.open in os.supports_dir_fd
        opened = [files.open_root(place) if by_descriptor else None for place in (self.root, self.path)]
        try:
            with ThreadPoolExecutor(_THREADS, "kiro-lsp-copy") as pool:
                for cloned, left_out in pool.map(lambda one: self._clone_folder(cloner, opened, *one), folders.items()):
                    for path, (source, made) in cloned.items():
                        self._sources[path], self._manifest[path] = Stamp.of(source), Stamp.of(made)
                        self._modes[path] = stat.S_IMODE(source.st_mode)
                    self.skipped += left_out
        finally:
            for descriptor in opened:
                if descriptor is not None:
                    os.close(descriptor)

    def _clone_folder(
        self, cloner: Cloner, opened: Sequence[int | None], folder: str, names: Sequence[str]
    ) -> tuple[dict[str, tuple[os.stat_result, os.stat_result]], list[LeftOut]]:
        cloned: dict[str, tuple[os.stat_result, os.stat_result]] = {}
        left_out: list[LeftOut] = []
        with files.open_folder(opened[0], folder) as place, files.open_folder(opened[1], folder) as target:
            for name in names:
                path = f"{folder}/{name}" if folder else name
                try:
                    source = self._source(place, path)
                    if source is None:
                        continue
                    try:
                        status = os.fstat(source)
                        if not stat.S_ISREG(status.st_mode):
                            raise UnreadableFile("it is not a regular file any more")
                        where = str(self.path / path) if target is None else name
                        cloned[path] = (status, cloner.clone(source, status, where, target))
                    finally:
                        os.close(source)
                except (PathRefused, UnreadableFile) as problem:
                    left_out.append(LeftOut(path, problem.message))
                except PermissionError as error:
                    left_out.append(LeftOut(path, f"it cannot be read: {error.strerror}"))
        return cloned, left_out

    def _source(self, folder: int | None, path: str) -> int | None:
        if folder is None:
            return files.open_source(self.root, None, path)
        return files.open_listed(folder, path.rpartition("/")[2])

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
        target.parent.mkdir(parents=True, exist_ok=True)
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

    def _settle(self, touched: Iterable[str], seen: Mapping[str, Stamp] | None = None) -> None:
        """Bring the manifest up to date for what was touched, and let the clock of the file system move on.

        `seen` are stamps from before a file was read: what a command writes while it is read is found the next time.

        A write in the same tick of the clock as the manifest would leave the times as they are; a system whose clock is
        too coarse to wait for has its files compared by content instead.
        """
        for path in touched:
            self._manifest.pop(path, None)
            if seen is not None and path in seen:
                self._manifest[path] = seen[path]
                continue
            with suppress(OSError):
                status = os.lstat(self.path / path)
                if not stat.S_ISDIR(status.st_mode):  # a folder stands there now: the file is gone
                    self._manifest[path] = Stamp.of(status)
        newest = max((stamp.changed for stamp in self._manifest.values()), default=0)
        deadline = time.monotonic() + _CLOCK_SECONDS
        while True:
            if stamps.clock(self._owned.path) > newest and sys.platform != "win32":
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
        self._seen.clear()
        folders = {"": True}
        changes = [change for path in sorted(self._manifest) if (change := self._changed(path, folders)) is not None]
        unusable: list[tuple[str, str]] = []
        found = {entry.path: entry.kind for entry in listing.walk(self.path, left_out=unusable)}
        self.refused += [LeftOut(path, reason) for path, reason in unusable]
        created = [path for path in found if path not in self._manifest and not left_by_tools(path)]
        hidden = (git.ignored(self.root, created) if self.trusted else None) or frozenset()
        for path in created:
            if path in hidden:
                continue
            if found[path] == "link":
                self.refused.append(LeftOut(path, "a command made a symbolic link, which cannot be part of a change"))
                self._links.add(path)
                self._made_links.add(path)
            elif (change := self._created(path)) is not None:
                changes.append(change)
        for change in changes:
            self._laid[change.path] = change.proposed
            if change.mode is not None:
                self._modes[change.path] = change.mode
            self._staged.add(change.path)
        self.refused.sort(key=lambda left_out: left_out.path)
        touched = {change.path for change in changes} | {
            each.path for each in self.refused if each.path in self._manifest
        }
        if touched or self.refused:
            self._settle(touched | (self._links - self._manifest.keys()), self._seen)
        return sorted(changes, key=lambda change: change.path)

    def _changed(self, path: str, folders: dict[str, bool]) -> FileChange | None:
        before = self._manifest[path]
        now: Stamp | None = None
        if self._is_folder(path.rpartition("/")[0], folders):
            with suppress(OSError):
                now = Stamp.of(os.lstat(self.path / path))
        if now == before and (self._exact_clock or stat.S_ISLNK(before.mode)):
            return None
        if stat.S_ISLNK(before.mode) and path in self._links:
            if path in self._made_links:  # it was named when it was made; what stands there instead now is new
                if now is None or not stat.S_ISLNK(now.mode):
                    del self._manifest[path]
                    self._links.discard(path)
                    self._made_links.discard(path)
                return None
            self.refused.append(LeftOut(path, "a command changed a symbolic link, which cannot be part of a change"))
            return None
        if now is None or stat.S_ISDIR(now.mode):
            return self._deleted(path)
        self._seen[path] = now
        data = self._content(path)
        if data is None:
            return None
        mode_before = self._modes.get(path, stat.S_IMODE(before.mode))
        mode = with_execution(mode_before, now.mode) if runs(now.mode) != runs(mode_before) else mode_before
        base = self._base(path)
        if base is None:
            return FileChange(path, "create", None, data, None, mode)
        if base == data and mode == mode_before:
            return None
        return FileChange(path, "modify", base, data, mode_before, mode)

    def _is_folder(self, folder: str, known: dict[str, bool]) -> bool:
        """Whether a folder of the copy is one, and so are those above: not links, through which other files are seen.

        One that a command has closed is opened: what is in it was not deleted.
        """
        if folder not in known:
            above = self._is_folder(folder.rpartition("/")[0], known)
            known[folder] = above and open_up(str(self.path / folder))
        return known[folder]

    def _deleted(self, path: str) -> FileChange | None:
        base = self._base(path)
        if base is None:
            self.refused.append(LeftOut(path, "a command deleted it, but it changed on disk meanwhile"))
            return None
        return FileChange(path, "delete", base, None, self._modes.get(path), None)

    def _created(self, path: str) -> FileChange | None:
        now = Stamp.of(os.lstat(self.path / path))
        data = self._content(path)
        if data is None:
            return None
        self._seen[path] = now
        mode = with_execution(0o644, now.mode)
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
            if data is not None and Stamp.of(os.lstat(Path(self.root) / path)) == self._sources.get(path):
                return data
        self.stale.append(path)
        return None

    def remove(self) -> None:
        """Delete the copy with everything in it."""
        self._owned.remove()

    def put_away(self) -> None:
        """Let go of the copy and leave it for the next run, which takes what did not change here or in the project."""
        usable = self._exact_clock and sys.platform != "win32"
        known = {
            path: (source, self._manifest[path])
            for path, source in self._sources.items()
            # A write in the tick of the clock in which it was copied does not show in an original's times.
            if usable and path not in self._laid and path in self._manifest and source.changed < self._begun
        }
        memory = {"root": os.path.realpath(self.root), "files": known}
        (self._owned.path / _MEMORY).write_text(json.dumps(memory), encoding="utf-8")
        self._owned.release()


def contents_of(
    staged: Iterable[FileChange], before: set[str], root: Path, shown: Mapping[str, bytes]
) -> tuple[dict[str, tuple[bytes | None, int | None]], set[str]]:
    """(content, mode) by path as a copy should have them, deletions first, and the paths that are staged.

    What was staged `before` and is not any more is as in the root, or in a document that is `shown`.
    """
    wanted: dict[str, tuple[bytes | None, int | None]] = {}
    for change in staged:
        wanted[change.path] = (None, None) if change.to else (change.proposed, change.mode)
        if change.to:
            wanted[change.to] = (change.proposed, change.mode)
    paths_of_staged = set(wanted)
    for path in before - paths_of_staged:
        data = shown[path] if path in shown else files.safe_read(root, path, CHANGED_FILE_LIMIT)
        wanted[path] = (data, files.mode_of(root, path))
    in_order = sorted(wanted, key=lambda path: (wanted[path][0] is not None, path))
    return {path: wanted[path] for path in in_order}, paths_of_staged


def left_by_tools(path: str) -> bool:
    """Whether a path is what interpreters and test runs leave behind, which nobody wants to review."""
    return path.endswith((".pyc", ".pyo")) or not _BY_TESTS.isdisjoint(path.split("/"))


def runs(mode: int) -> bool:
    return bool(mode & stat.S_IXUSR)


def with_execution(mode: int, like: int) -> int:
    """`mode`, executable for all who may read when the owner may execute `like`, for nobody otherwise."""
    return mode | (mode & 0o444) >> 2 if runs(like) else mode & ~0o111
