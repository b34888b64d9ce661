"""What was changed in the person's own tree while commands ran in a copy of it without a sandbox.

Without namespaces nothing stops a program that writes to an absolute path. It can only be found out afterwards, by the
change times that no program can set, and named. What tools ignore (build output, caches) is not looked at.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from kiro_lsp.sandbox import gitdir, listing, masks

Seen = dict[str, tuple[object, ...]]

_GIT_FILES: Final = ("HEAD", "config", "config.worktree", "info/attributes", "info/exclude")
_REFS: Final = ("refs/heads/", "refs/tags/", "refs/stash")
"""Editors fetch by themselves: what follows a remote is nobody's trespass."""


def look(root: Path | str, *, trusted: bool) -> Seen:
    """What the tree is like: every file that counts, what is hidden from commands, and git's refs, index and hooks."""
    real = os.path.realpath(root)
    seen: Seen = {}
    for entry in listing.scan(real, trusted=trusted):
        _stamp(seen, real, entry.path)
    for path, _reason in masks.find(real, trusted=False):
        hidden: Seen = {}
        stamp_all(hidden, os.path.join(real, path))
        seen.update((os.path.relpath(place, real), stamp) for place, stamp in hidden.items())
    repository = gitdir.find(real)
    if repository is not None:
        seen.update((f".git/{name}", value) for name, value in _git(repository))
    return seen


def stamp_all(seen: Seen, path: str) -> None:
    """Add a file, or all files below a folder, by absolute path."""
    _stamp(seen, "", path)
    for folder, _folders, names in os.walk(path):
        for name in names:
            _stamp(seen, folder, os.path.join(folder, name))


def differences(before: Seen, after: Seen) -> list[str]:
    """Paths, sorted, each with what became of it."""
    found = []
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            what = "was created" if path not in before else "was deleted" if path not in after else "was changed"
            found.append(f"{path} {what}")
    return found


def _stamp(seen: Seen, root: str, path: str) -> None:
    with suppress(OSError):
        status = os.lstat(os.path.join(root, path))
        # A folder's times change with every file in it, and those are looked at by themselves.
        if not stat.S_ISDIR(status.st_mode):
            times = (status.st_mtime_ns, status.st_ctime_ns)
            seen[path] = (status.st_mode, status.st_size, status.st_ino, *times)


def _git(repository: gitdir.Repository) -> Iterator[tuple[str, tuple[object, ...]]]:
    for name in _GIT_FILES:
        for folder in {repository.folder, repository.common}:
            with suppress(OSError):
                yield f"{folder.name}/{name}" if folder != repository.common else name, ((folder / name).read_bytes(),)
    for name, value in _refs(repository.common).items():
        yield name, (value,)
    with suppress(OSError):
        for entry in os.scandir(repository.common / "hooks"):
            status = entry.stat(follow_symlinks=False)
            yield f"hooks/{entry.name}", (status.st_mode, status.st_size, status.st_ino, status.st_ctime_ns)
    with suppress(OSError):
        yield "index", (_staged((repository.folder / "index").read_bytes()),)


def _refs(common: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with suppress(OSError):
        for line in (common / "packed-refs").read_bytes().split(b"\n"):
            value, _, name = line.partition(b" ")
            if not line.startswith((b"#", b"^")) and name:
                found[os.fsdecode(name)] = value
    for top, _folders, files in os.walk(common / "refs"):
        for file in files:
            place = Path(top) / file
            with suppress(OSError):
                found[place.relative_to(common).as_posix()] = place.read_bytes().strip()
    return {name: value for name, value in found.items() if name.startswith(_REFS)}


def _staged(index: bytes) -> object:
    """What is staged, without the times that a plain `git status` refreshes; None for forms of the index not known."""
    if len(index) < 12 or index[:4] != b"DIRC":
        return None
    version, count = struct.unpack(">II", index[4:12])
    if version not in (2, 3):
        return None
    found, at = [], 12
    for _ in range(count):
        flags = int.from_bytes(index[at + 60 : at + 62], "big")
        start = at + (64 if flags & 0x4000 else 62)
        end = index.find(b"\0", start)
        if end < 0:
            return None
        found.append((index[at + 24 : at + 28], index[at + 40 : at + 62], index[start:end]))
        at += (end - at + 8) // 8 * 8
    return tuple(found)
