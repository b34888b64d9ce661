"""The tree oracle: everything about a folder that must not change, taken before and compared after.

A snapshot has type, mode, size, time of modification, sha256 and link target of every path, and for a git repository its
refs and the hash of its index. Two snapshots are compared with `==`; `differences` says it in words.
"""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Entry:
    kind: str
    mode: int
    size: int = 0
    sha256: str = ""
    link: str = ""
    mtime_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Tree:
    entries: Mapping[str, Entry]
    refs: str = ""
    index: str = ""

    def contents(self) -> dict[str, tuple[str, int]]:
        """Path → (sha256, mode) of the files: what counts where times may differ."""
        return {path: (entry.sha256, entry.mode) for path, entry in self.entries.items() if entry.kind == "file"}

    def shape(self) -> dict[str, tuple[str, int, str, str]]:
        """Everything but times and sizes of folders."""
        return {path: (entry.kind, entry.mode, entry.sha256, entry.link) for path, entry in self.entries.items()}


def snapshot(root: Path, *, times: bool = True) -> Tree:
    """What is below `root`. `.git` is summed up by its refs and index, which is what a person can lose."""
    entries: dict[str, Entry] = {}
    for folder, folders, names in os.walk(root):
        for name in [*folders, *names]:
            path = Path(folder) / name
            relative = path.relative_to(root).as_posix()
            if relative != ".git":
                entries[relative] = _entry(path, times=times)
        folders[:] = [name for name in folders if name != ".git" and not (Path(folder) / name).is_symlink()]
    refs, index = _git(root)
    return Tree(entries, refs, index)


def differences(before: Tree, after: Tree) -> list[str]:
    """One line a difference; empty when nothing differs."""
    found = [f"{path}: gone" for path in before.entries if path not in after.entries]
    found += [f"{path}: new" for path in after.entries if path not in before.entries]
    for path, entry in before.entries.items():
        other = after.entries.get(path)
        if other is not None and other != entry:
            found.append(f"{path}: {entry} became {other}")
    if before.refs != after.refs:
        found.append(f"refs: {before.refs!r} became {after.refs!r}")
    if before.index != after.index:
        found.append("the index changed")
    return sorted(found)


def _entry(path: Path, *, times: bool) -> Entry:
    status = path.lstat()
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return Entry("link", mode, link=os.readlink(path))
    if stat.S_ISDIR(status.st_mode):
        return Entry("folder", mode)
    if not stat.S_ISREG(status.st_mode):
        return Entry("special", mode)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Entry("file", mode, status.st_size, digest, mtime_ns=status.st_mtime_ns if times else None)


def _git(root: Path) -> tuple[str, str]:
    if not (root / ".git").exists():
        return "", ""
    refs = subprocess.run(["git", "for-each-ref"], cwd=root, capture_output=True, text=True, check=True).stdout
    head = subprocess.run(
        ["git", "rev-parse", "-q", "--verify", "HEAD"], cwd=root, capture_output=True, text=True, check=False
    )
    place = subprocess.run(
        ["git", "rev-parse", "--git-path", "index"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.strip()
    index = root / place
    stashes = subprocess.run(["git", "stash", "list"], cwd=root, capture_output=True, text=True, check=False).stdout
    return refs + head.stdout + stashes, hashlib.sha256(index.read_bytes()).hexdigest() if index.exists() else ""
