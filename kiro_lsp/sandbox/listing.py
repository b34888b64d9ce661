"""Which files a project has: those that git or an ignore file does not ignore, and never what belongs to git itself.

In a trusted git repository git says it (it knows what is tracked); elsewhere the folders are walked with the rules of
`.gitignore`, `.git/info/exclude`, `.ignore` and `.rgignore`. The last two can only hide more. Outside git, folders that
tools fill by themselves (caches, virtual environments, node_modules) are left out even when nothing ignores them.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from kiro_lsp.errors import PathRefused
from kiro_lsp.sandbox import git, paths

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

MOST_FILES: Final = 500_000
_IGNORE_FILE_LIMIT: Final = 1024 * 1024
METADATA: Final = frozenset({".git", ".hg", ".svn", ".jj"})
GENERATED: Final = frozenset({"__pycache__", "node_modules", ".DS_Store"})
MARKERS: Final = frozenset({"pyvenv.cfg", "CACHEDIR.TAG"})
"""A folder that holds one of these was made by a tool: a virtual environment, or a cache by the cache directory
standard.
"""

EntryKind = Literal["file", "link", "folder", "special"]


@dataclass(frozen=True, slots=True)
class Entry:
    """`path` is root-relative with `/`. A link is named as itself, wherever it points."""

    path: str
    kind: EntryKind


def list_files(root: Path | str, *, trusted: bool) -> list[str]:
    """Root-relative POSIX paths of the files that are not ignored, sorted; links only when they lead to a file inside.

    `trusted`: whether git may be started in this root. A name that `paths` would refuse is left out: nothing could use
    it.
    """
    return [entry.path for entry in scan(root, trusted=trusted) if entry.kind == "file" or _leads_to_file(root, entry)]


def scan(root: Path | str, *, trusted: bool) -> list[Entry]:
    """As `list_files`, but links are in as what they are; for those who lay the tree out elsewhere."""
    listed = _listed_by_git(root) if trusted else None
    return sorted(list(walk(root)) if listed is None else listed, key=lambda entry: entry.path)


def _leads_to_file(root: Path | str, entry: Entry) -> bool:
    if entry.kind != "link":
        return False
    try:
        resolved = paths.resolve(root, entry.path)
        return stat.S_ISREG(os.lstat(os.path.join(os.path.realpath(root), *resolved.split("/"))).st_mode)
    except (PathRefused, OSError):
        return False


def _listed_by_git(root: Path | str) -> list[Entry] | None:
    """None when this is no repository, or git cannot or will not answer."""
    listed = git.tracked_and_untracked(root)
    if listed is None:
        return None
    found: dict[str, EntryKind] = {}
    nested: list[str] = []
    real = os.path.realpath(root)
    for path in listed:
        plain = path.rstrip("/")
        if plain in found or not usable(plain):
            continue
        kind = _kind(os.path.join(real, *plain.split("/")))
        if kind == "folder":
            nested.append(plain)
        elif kind in ("file", "link"):
            found[plain] = kind
    for folder in nested:
        # A submodule, or a repository inside this one: git names it and does not look in.
        found.update((entry.path, entry.kind) for entry in walk(root, folder))
    rules = _Rules.collect(real, found)
    return [Entry(path, kind) for path, kind in found.items() if not rules.hides(path)]


def _kind(full: str) -> EntryKind | None:
    try:
        mode = os.lstat(full).st_mode
    except OSError:
        return None
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "folder"
    return "link" if stat.S_ISLNK(mode) else "special"


def usable(path: str) -> bool:
    return all(paths.component_problem(part) is None for part in path.split("/"))


# Walking


def walk(root: Path | str, under: str = "", left_out: list[tuple[str, str]] | None = None) -> Iterator[Entry]:
    """Files and links below `under` that no ignore file hides, folder by folder; links to folders are not followed.

    `left_out` gets (path, reason) of what is not ignored but cannot be used: special files, names that `paths` refuses.
    """
    real = os.path.realpath(root)
    rules = _Rules()
    rules.load_excludes(real)
    for depth in range(under.count("/") + 1 if under else 0):
        rules.load(real, "/".join(under.split("/")[:depth]))
    todo = [under]
    count = 0
    while todo:
        folder = todo.pop()
        found = entries(os.path.join(real, *folder.split("/")))
        if folder and folder != under and not MARKERS.isdisjoint(name for name, _ in found):
            continue
        rules.load(real, folder, (name for name, _ in found))
        for name, kind in found:
            path = f"{folder}/{name}" if folder else name
            if name in METADATA or name in GENERATED or rules.ignores(path, is_folder=kind == "folder"):
                continue
            problem = paths.component_problem(name) or ("it is a device, pipe or socket" if kind == "special" else None)
            if problem is not None:
                if left_out is not None:
                    left_out.append((path, problem))
            elif kind == "folder":
                todo.append(path)
            else:
                count += 1
                yield Entry(path, kind)
        if count > MOST_FILES:
            return


def entries(folder: str) -> list[tuple[str, EntryKind]]:
    """Names and kinds in a folder; an unreadable or vanished one is empty."""
    found: list[tuple[str, EntryKind]] = []
    try:
        with os.scandir(folder) as scanned:
            for entry in scanned:
                if entry.is_symlink() or (sys.platform == "win32" and paths.is_link(entry.stat(follow_symlinks=False))):
                    found.append((entry.name, "link"))
                elif entry.is_dir(follow_symlinks=False):
                    found.append((entry.name, "folder"))
                else:
                    found.append((entry.name, "file" if entry.is_file(follow_symlinks=False) else "special"))
    except OSError:
        return found
    return found


def unignored(root: Path | str, layer: Path | str, candidates: Iterable[str]) -> list[str]:
    """Those of `candidates` that no ignore file hides; one in `layer`, which lies over the root, wins over the root's."""
    real, above = os.path.realpath(root), os.path.realpath(layer)
    rules = _Rules()
    rules.load_excludes(real)
    known: dict[str, bool] = {"": False}

    def hidden(folder: str) -> bool:
        if folder not in known:
            parent, _, name = folder.rpartition("/")
            known[folder] = hidden(parent) or name in GENERATED or rules.ignores(folder, is_folder=True)
            known[folder] = known[folder] or any(
                os.path.lexists(os.path.join(place, *folder.split("/"), marker))
                for place in (above, real)
                for marker in MARKERS
            )
            rules.load_over(real, above, folder)
        return known[folder]

    rules.load_over(real, above, "")
    found = []
    for path in candidates:
        folder, _, name = path.rpartition("/")
        if not hidden(folder) and name not in GENERATED and not rules.ignores(path, is_folder=False):
            found.append(path)
    return found


# Ignore files

_GIT_RULES: Final = (".gitignore",)
_SEARCH_RULES: Final = (".ignore", ".rgignore")


@dataclass(slots=True)
class _Rules:
    """Ignore files met so far, per kind and folder. The deepest one with an opinion wins, as in git."""

    _git: dict[str, GitIgnoreSpec] = field(default_factory=dict)
    _search: dict[str, GitIgnoreSpec] = field(default_factory=dict)
    _excludes: GitIgnoreSpec | None = None

    @classmethod
    def collect(cls, real: str, listed: Iterable[str]) -> _Rules:
        """Only the rules that git does not know, from the ignore files among `listed`."""
        rules = cls()
        folders = {path.rpartition("/")[0] for path in listed if path.rpartition("/")[2] in _SEARCH_RULES}
        for folder in folders:
            rules._load_into(rules._search, real, folder, _SEARCH_RULES)
        return rules

    def load_excludes(self, real: str) -> None:
        self._excludes = _spec(os.path.join(real, ".git", "info"), ("exclude",))

    def load(self, real: str, folder: str, names: Iterable[str] | None = None) -> None:
        present = None if names is None else frozenset(names)
        for into, wanted in ((self._git, _GIT_RULES), (self._search, _SEARCH_RULES)):
            if present is None or not present.isdisjoint(wanted):
                self._load_into(into, real, folder, wanted)

    def load_over(self, real: str, above: str, folder: str) -> None:
        for into, wanted in ((self._git, _GIT_RULES), (self._search, _SEARCH_RULES)):
            wins = any(os.path.lexists(os.path.join(above, *folder.split("/"), name)) for name in wanted)
            self._load_into(into, above if wins else real, folder, wanted)

    def _load_into(self, into: dict[str, GitIgnoreSpec], real: str, folder: str, names: Sequence[str]) -> None:
        spec = _spec(os.path.join(real, *folder.split("/")), names)
        if spec is not None:
            into[folder] = spec

    def ignores(self, path: str, *, is_folder: bool) -> bool:
        """For a path whose folder is not ignored."""
        shown = f"{path}/" if is_folder else path
        verdict = _verdict(self._git, shown)
        if verdict is None and self._excludes is not None:
            verdict = self._excludes.check_file(shown).include
        return bool(verdict) or bool(_verdict(self._search, shown))

    def hides(self, path: str) -> bool:
        """By the rules of `collect`, also through any folder above."""
        if not self._search:
            return False
        parts = path.split("/")
        folders = ("/".join(parts[:depth]) for depth in range(1, len(parts)))
        return any(_verdict(self._search, f"{folder}/") for folder in folders) or bool(_verdict(self._search, path))


def _verdict(specs: dict[str, GitIgnoreSpec], path: str) -> bool | None:
    """True: ignored, False: taken back by a `!` rule, None: no rule says anything."""
    if not specs:
        return None
    folder = path.rstrip("/").rpartition("/")[0]
    while True:
        spec = specs.get(folder)
        if spec is not None:
            verdict = spec.check_file(path[len(folder) + 1 :] if folder else path).include
            if verdict is not None:
                return verdict
        if not folder:
            return None
        folder = folder.rpartition("/")[0]


def _spec(folder: str, names: Sequence[str]) -> GitIgnoreSpec | None:
    """The rules of the files `names` in a folder, later ones stronger; None when there are none."""
    from pathspec import GitIgnoreSpec

    lines: list[str] = []
    for name in names:
        lines += _ignore_lines(os.path.join(folder, name))
    if not lines:
        return None
    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError:
        return GitIgnoreSpec.from_lines(line for line in lines if _is_pattern(line))


def _is_pattern(line: str) -> bool:
    from pathspec import GitIgnoreSpec

    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True


def _ignore_lines(path: str) -> list[str]:
    """A link is not read (git does not either), nor anything but a regular file of reasonable size."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(path, flags)
    except OSError:
        return []
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _IGNORE_FILE_LIMIT:
            return []
        return (
            file.read(_IGNORE_FILE_LIMIT).removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").splitlines()
        )
