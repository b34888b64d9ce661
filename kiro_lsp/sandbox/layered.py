"""A project with an overlay over it: made in milliseconds whatever its size, and what was changed in it is in one folder.

The kernel lays an upper folder over the project at the project's own path, in namespaces that only commands enter
(`namespace.py`); the person's tree is the layer below and is never written to. Everything in the project is there,
ignored build output too, all of it writable without an effect. What may hold secrets is taken out by whiteouts.

What commands changed is read from the upper folder: files there are new contents, character devices 0:0 say that
something is gone, a folder with the attribute `user.overlay.opaque` replaces what was below.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kiro_lsp.changes.model import FileChange
from kiro_lsp.errors import PathRefused, UnreadableFile
from kiro_lsp.sandbox import files, git, gitdir, listing, masks, namespace, paths
from kiro_lsp.sandbox.copy import CHANGED_FILE_LIMIT, LeftOut, contents_of, left_by_tools, runs, with_execution
from kiro_lsp.sandbox.ownership import OwnedFolder, open_up
from kiro_lsp.sandbox.programs import reduced_environ
from kiro_lsp.sandbox.stamps import clock

_ATTRIBUTES: Final = ("user.overlay.redirect", "user.overlay.metacopy")
"""What would make the upper folder mean something that is not read here; the kernel does not write them as we mount."""


class CannotOverlay(Exception):
    """The system does not do it here; the message says what it refused."""


@dataclass(slots=True)
class Mount:
    """Descriptors that keep an overlay mounted: of its user and mount namespace, and of the tree in it."""

    namespaces: tuple[int, int]
    tree: int

    @property
    def place(self) -> str:
        """A path to the tree for this process, which does not see the mount. Not for anything that resolves links."""
        return f"/proc/self/fd/{self.tree}"

    def close(self) -> None:
        for descriptor in (*self.namespaces, self.tree):
            os.close(descriptor)


@dataclass(slots=True)
class Mounting:
    """The helper that mounts; it starts while its caller prepares the upper folder."""

    helper: subprocess.Popen[bytes]

    @classmethod
    def begin(cls) -> Mounting:
        """Raises CannotOverlay."""
        if not sys.platform.startswith("linux"):
            raise CannotOverlay("this system has no overlay mounts")
        try:
            helper = subprocess.Popen(
                [sys.executable, "-I", "-S", namespace.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=reduced_environ(os.environ),
                start_new_session=True,
            )
        except OSError as error:
            raise CannotOverlay(str(error)) from error
        return cls(helper)

    def finish(
        self, root: Path, upper: Path, work: Path, *, closed: bool, writable: Iterable[str], readable: Iterable[str]
    ) -> Mount:
        """Lay `upper` over `root`, all real paths. Raises CannotOverlay.

        `closed` makes the rest of the file system read-only, but for `writable`, and temporary folders fresh, but for what
        is `readable`.
        """
        repository = gitdir.find(root)
        objects = [str(repository.common / "objects")] if repository is not None and repository.linked else []
        order: dict[str, object] = {"root": str(root), "upper": str(upper), "work": str(work)}
        order |= {"closed": closed, "writable": list(writable), "readable": [*readable, *objects]}
        assert self.helper.stdin is not None
        assert self.helper.stdout is not None
        with suppress(BrokenPipeError):
            self.helper.stdin.write(json.dumps(order).encode() + b"\n")
            self.helper.stdin.flush()
        answer = self.helper.stdout.readline()
        if answer != b"{}\n":
            raise CannotOverlay(json.loads(answer)["error"] if answer else "the helper that mounts died")
        opened: list[int] = []
        try:
            for name in ("ns/user", "ns/mnt", f"root{root}"):
                flags = os.O_RDONLY | os.O_CLOEXEC | (os.O_DIRECTORY if name.startswith("root") else 0)
                opened.append(os.open(f"/proc/{self.helper.pid}/{name}", flags))
        except OSError as error:
            for descriptor in opened:
                os.close(descriptor)
            raise CannotOverlay(f"the namespaces cannot be opened: {error.strerror}") from error
        return Mount((opened[0], opened[1]), opened[2])

    def end(self) -> None:
        """Doing it twice is harmless."""
        with self.helper:
            self.helper.kill()


@dataclass(slots=True)
class Layered:
    """One overlay. Blocking: call its methods in a thread, one at a time, while no command runs in it."""

    root: Path
    trusted: bool
    mounted: Mount
    _owned: OwnedFolder
    skipped: list[LeftOut] = field(default_factory=list)
    """What commands do not see."""
    refused: list[LeftOut] = field(default_factory=list)
    """What the last `absorb` found changed and did not take over."""
    stale: list[str] = field(default_factory=list)
    """Paths of the last `absorb` whose original changed on disk since the run could see it."""
    _laid: dict[str, bytes | None] = field(default_factory=dict)
    """Contents that are not the disk's: documents, staged and absorbed changes. None: deleted."""
    _shown: dict[str, bytes] = field(default_factory=dict)
    """Of documents."""
    _modes: dict[str, int | None] = field(default_factory=dict)
    _staged: set[str] = field(default_factory=set)
    _erased: frozenset[str] = frozenset()
    _named: set[str] = field(default_factory=set)
    """What was refused already: each is named once."""
    _since: int = 0
    """Originals whose change time is later may not be what the run saw."""

    @property
    def path(self) -> Path:
        """Where commands see the tree: where it really is."""
        return self.root

    @property
    def _upper(self) -> Path:
        return self._owned.path / "upper"

    # Laying out

    def show(self, buffers: Mapping[str, bytes]) -> None:
        """Put the bytes of open documents over those of the disk."""
        for path, data in buffers.items():
            try:
                plain = paths.resolve(self.root, path)
                if masks.hidden(plain, trusted=self.trusted):
                    continue
                if files.safe_read(self.root, plain, CHANGED_FILE_LIMIT) != data:
                    self._put(plain, data, files.mode_of(self.root, plain))
                    self._shown[plain] = data
            except (PathRefused, UnreadableFile) as problem:
                self.skipped.append(LeftOut(path, problem.message))

    def update(self, staged: Iterable[FileChange]) -> None:
        """Bring the tree to what is staged now; what is staged no longer is as it was laid out."""
        wanted, self._staged = contents_of(staged, self._staged, self.root, self._shown)
        for path, (data, mode) in wanted.items():
            try:
                self._put(path, data, mode)
            except PathRefused as problem:
                self.skipped.append(LeftOut(path, problem.message))

    def _put(self, path: str, data: bytes | None, mode: int | None) -> None:
        if path in self._laid and self._laid[path] == data and mode in (None, self._modes.get(path)):
            return
        if data is None:
            with suppress(FileNotFoundError):
                files.remove_plain(self.mounted.place, path)
        else:
            writable = None if mode is None else mode | stat.S_IRUSR | stat.S_IWUSR
            files.write_plain(self.mounted.place, path, data, writable, durable=False)
        self._laid[path] = data
        self._modes[path] = mode

    # Taking over

    def absorb(self) -> list[FileChange]:
        """What differs from what was laid out, or from the last call, in path order; also fills `refused` and `stale`.

        `base` is the content as the run saw it. Where the original changed on disk meanwhile that content is gone: the
        change is then a creation without base, which an accept refuses as a conflict instead of overwriting what is
        there.
        """
        self.refused, self.stale = [], []
        found = {path: kind for path, kind in self._differing() if not left_by_tools(path)}
        # What was laid out and is not in the upper folder any more was made here and deleted again.
        gone = [path for path, data in self._laid.items() if data is not None and path not in found]
        found.update((path, "gone") for path in gone if not os.path.lexists(self._upper / path))
        changes = [change for path in self._counted(found) if (change := self._change(path, found[path])) is not None]
        for change in changes:
            self._laid[change.path] = change.proposed
            self._modes[change.path] = change.mode
            self._staged.add(change.path)
        self.refused = sorted((each for each in self.refused if each.path not in self._named), key=lambda one: one.path)
        self._named.update(each.path for each in self.refused)
        self._since = clock(self._owned.path)
        return changes

    def _differing(self, folder: str = "", *, replaced: bool = False) -> Iterator[tuple[str, str]]:
        """(path, "file" | "link" | "gone" | "special") of all that the upper folder says about files."""
        upper = os.path.join(self._upper, *folder.split("/"))
        below = os.path.join(self.root, *folder.split("/"))
        open_up(upper)
        replaced = replaced or _is_opaque(upper)
        names = set()
        for entry in sorted(os.scandir(upper), key=lambda entry: entry.name):
            path = f"{folder}/{entry.name}" if folder else entry.name
            names.add(entry.name)
            status = entry.stat(follow_symlinks=False)
            if entry.name in listing.METADATA or (path in self._erased and _is_whiteout(status)):
                continue
            if stat.S_ISDIR(status.st_mode):
                yield from self._differing(path, replaced=replaced)
                if stat.S_ISREG(_mode_of(os.path.join(below, entry.name))):
                    yield path, "gone"
                continue
            yield from ((each, "gone") for each in self._files_below(path))
            if not _is_whiteout(status):
                yield path, _kind(status.st_mode)
            elif not replaced and stat.S_IFMT(_mode_of(os.path.join(below, entry.name))) in (
                stat.S_IFREG,
                stat.S_IFLNK,
            ):
                yield path, "gone"
        if replaced:
            gone = (each for each in self._files_below(folder) if each[len(folder) + 1 :].split("/")[0] not in names)
            yield from ((each, "gone") for each in gone)

    def _files_below(self, folder: str) -> Iterator[str]:
        """Regular files of the layer below in a folder of it; none when it is no folder."""
        start = os.path.join(self.root, *folder.split("/"))
        if not stat.S_ISDIR(_mode_of(start)):
            return
        for place, folders, names in os.walk(start):
            folders[:] = [name for name in folders if name not in listing.METADATA]
            for name in names:
                full = os.path.join(place, name)
                if stat.S_ISREG(_mode_of(full)):
                    yield os.path.relpath(full, self.root).replace(os.sep, "/")

    def _counted(self, found: Mapping[str, str]) -> list[str]:
        """Those that are part of the project: not ignored, or tracked although they are."""
        candidates = sorted(path for path in found if self._usable(path, found[path]))
        always = {path for path in candidates if path in self._laid}
        others = [path for path in candidates if path not in always]
        hidden = git.ignored(self.root, others, tracked_too=False) if self.trusted else None
        shown = set(listing.unignored(self.root, self._upper, others))
        if hidden is not None:
            # Git has the last word on what was there; what is new may also be hidden by rules that git does not know.
            shown = {path for path in others if path not in hidden and (path in shown or _exists(self.root, path))}
        return sorted(always | shown)

    def _usable(self, path: str, kind: str) -> bool:
        for part in path.split("/"):
            problem = paths.component_problem(part)
            if problem is not None:
                self.refused.append(LeftOut(path, problem))
                return False
        return kind != "gone" or not self._is_erased(path)

    def _is_erased(self, path: str) -> bool:
        parts = path.split("/")
        return any("/".join(parts[:depth]) in self._erased for depth in range(1, len(parts) + 1))

    def _change(self, path: str, kind: str) -> FileChange | None:
        if kind in ("link", "special"):
            what = "a symbolic link" if kind == "link" else "a device, pipe or socket"
            self.refused.append(LeftOut(path, f"a command made {what}, which cannot be part of a change"))
            return None
        below = _mode_of(os.path.join(self.root, path))
        if stat.S_ISLNK(below) and path not in self._laid:
            self.refused.append(LeftOut(path, "a command changed a symbolic link, which cannot be part of a change"))
            return None
        known, base, base_mode = self._base(path)
        if kind == "gone":
            if base is None:
                if not known:
                    self.refused.append(LeftOut(path, "a command deleted it, but it changed on disk meanwhile"))
                return None
            return FileChange(path, "delete", base, None, base_mode, None)
        data = self._content(path)
        if data is None:
            return None
        now = os.lstat(self._upper / path).st_mode
        if base is None:
            return FileChange(path, "create", None, data, None, with_execution(0o644, now))
        mode = base_mode if base_mode is None or runs(now) == runs(base_mode) else with_execution(base_mode, now)
        if (base, base_mode) == (data, mode):
            return None
        return FileChange(path, "modify", base, data, base_mode, mode)

    def _content(self, path: str) -> bytes | None:
        try:
            full = self._upper / path
            if any(name in os.listxattr(full, follow_symlinks=False) for name in _ATTRIBUTES):
                raise PathRefused(f"{path} is stored in a way that cannot be read.")
            return files.safe_read(self._upper, path, CHANGED_FILE_LIMIT)
        except (PathRefused, UnreadableFile) as problem:
            self.refused.append(LeftOut(path, problem.message))
            return None

    def _base(self, path: str) -> tuple[bool, bytes | None, int | None]:
        """(whether it is known, content, mode) of what the run saw at a path."""
        if path in self._laid:
            mode = self._modes.get(path)
            return True, self._laid[path], mode if mode is not None else files.mode_of(self.root, path)
        if self._is_erased(path):
            # It was not there for the run, and its content is nobody's business: an accept finds the file in the way.
            return True, None, None
        try:
            if paths.resolve(self.root, path) != path:
                raise PathRefused(f"{path} lies behind a symbolic link.")
            data, mode = files.safe_read(self.root, path, CHANGED_FILE_LIMIT), files.mode_of(self.root, path)
            if data is None or os.lstat(self.root / path).st_ctime_ns <= self._since:
                return True, data, mode
        except (PathRefused, UnreadableFile, OSError):
            pass
        self.stale.append(path)
        return False, None, None

    def remove(self) -> None:
        """Unmount, and delete what was changed."""
        if self.mounted.tree >= 0:
            self.mounted.close()
            self.mounted = Mount((-1, -1), -1)
        self._owned.remove()


def lay_over(
    root: Path | str,
    staged: Iterable[FileChange],
    buffers: Mapping[str, bytes],
    folder: Path | str,
    *,
    trusted: bool,
    closed: bool = False,
    writable: Iterable[str] = (),
    readable: Iterable[str] = (),
    objects: Path | None = None,
) -> Layered:
    """An overlay over the project whose upper folder is below `folder`, which is made for it (0700).

    `buffers` are the bytes of open documents, `staged` the run's changes; they win over the disk in that order. `closed`,
    `writable` and `readable` as in `Mounting.finish`; `objects` is where commands find the commits of a linked worktree. Raises
    CannotOverlay, and OSError when `folder` cannot be made.
    """
    real = Path(os.path.realpath(root))
    mounting = Mounting.begin()
    try:
        owned = OwnedFolder.make(Path(folder))
        try:
            erased = _prepare(real, owned.path, trusted=trusted, objects=objects)
            seen = clock(owned.path)
            upper, work = owned.path / "upper", owned.path / "work"
            mounted = mounting.finish(real, upper, work, closed=closed, writable=writable, readable=readable)
        except BaseException:
            owned.remove()
            raise
    finally:
        mounting.end()
    skipped = [LeftOut(path, reason) for path, reason in erased.items()]
    layered = Layered(real, trusted, mounted, owned, skipped, _erased=frozenset(erased), _since=seen)
    try:
        layered.show(buffers)
        layered.update(staged)
    except BaseException:
        layered.remove()
        raise
    return layered


def _prepare(root: Path, folder: Path, *, trusted: bool, objects: Path | None) -> dict[str, str]:
    """Make the upper folder; returns what it hides, with the reasons."""
    upper = folder / "upper"
    upper.mkdir(mode=stat.S_IMODE(root.stat().st_mode))
    (folder / "work").mkdir()
    erased = dict(masks.find(root, trusted=trusted))
    hidden: list[str] = []
    repository = gitdir.find(root)
    if repository is not None and repository.linked:
        gitdir.seed(repository, upper / ".git", objects or repository.common / "objects")
    elif repository is not None:
        gitdir.shield(repository, upper, hidden)
    for path in (*erased, *hidden):
        _erase(root, upper, path)
    return erased


def _erase(root: Path, upper: Path, path: str) -> None:
    """A whiteout in the upper folder; the folders above it are as those of the project."""
    place, below = upper, root
    for name in path.split("/")[:-1]:
        place, below = place / name, below / name
        with suppress(FileExistsError):
            place.mkdir(mode=stat.S_IMODE(below.stat().st_mode))
    try:
        os.mknod(place / path.rpartition("/")[2], stat.S_IFCHR, os.makedev(0, 0))
    except OSError as error:
        raise CannotOverlay(f"whiteouts: {error.strerror}") from error


def _is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _is_opaque(folder: str) -> bool:
    try:
        return os.getxattr(folder, "user.overlay.opaque", follow_symlinks=False) == b"y"
    except OSError:
        return False


def _mode_of(path: str) -> int:
    """As lstat says; 0 when there is nothing."""
    try:
        return os.lstat(path).st_mode
    except OSError:
        return 0


def _exists(root: Path, path: str) -> bool:
    return _mode_of(os.path.join(root, path)) != 0


def _kind(mode: int) -> str:
    if stat.S_ISREG(mode):
        return "file"
    return "link" if stat.S_ISLNK(mode) else "special"
