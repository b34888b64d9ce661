"""Which file a name in an answer means.

Models write names with prefixes of diffs, from other folders, with backslashes. A name is taken as it stands when there
is such a file; what is dropped or added in front of it must leave exactly one file it can mean. Nothing here looks at a
disk, and no result leaves the project: whether a link does is for whoever writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

_DRIVE = re.compile(r"^[A-Za-z]:")
_PREFIXES = frozenset({"a", "b", "c", "i", "w", "o", "old", "new", "1", "2"})
"""First parts that diff programs put before names; c, i, w, o, 1 and 2 are git's mnemonic ones."""


class PathTrouble(Exception):
    """A name that means no file, or several; the message is for the model."""

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


def existing(names: Sequence[str], files: Mapping[str, bytes], *, only: str | None = None) -> str:
    """The one file of `files` that the names mean, the likeliest name first. Raises PathTrouble.

    `only` is the file to take when there are no names; without it a single file in play is meant.
    """
    if not names:
        return only if only is not None else _single(files)
    for name in names:
        found = _as_written(name, files)
        if found is not None:
            return found
    for name in names:
        found = _by_end(name, files)
        if found is not None:
            return found
    for name in names:
        inside(name)
    raise PathTrouble(f"There is no file {names[0]!r}.", names[0])


def created(names: Sequence[str]) -> str:
    """The path that a new file gets. Raises PathTrouble when the name leaves the project or is none."""
    if not names:
        raise PathTrouble("The answer names no file for this part.", "")
    return inside(names[0])


def inside(name: str) -> str:
    """A name as a root-relative path with `/`. Raises PathTrouble when it is absolute or leaves the root."""
    if "\\0" in name or "\0" in name:
        raise PathTrouble(f"{name!r} is no file name.", name)
    if name.startswith(("/", "\\", "~/")) or _DRIVE.match(name):
        raise PathTrouble(f"{name!r} is outside the project: give the path relative to its root.", name)
    if ".." in name.replace("\\", "/").split("/") and "\\" in name:
        raise PathTrouble(f"{name!r} is outside the project: give the path relative to its root.", name)
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            if not parts:
                raise PathTrouble(f"{name!r} is outside the project: give the path relative to its root.", name)
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    if not parts or name.endswith("/"):
        raise PathTrouble(f"{name!r} names no file.", name)
    if any(part.lower() == ".git" for part in parts):
        raise PathTrouble(f"{name!r} is inside git's own folder: no edit may touch it.", name)
    return "/".join(parts)


def _single(files: Mapping[str, bytes]) -> str:
    paths = _first_two(files)
    if len(paths) == 1:
        return paths[0]
    raise PathTrouble("The answer names no file for this edit: say in which file it belongs.", "")


def _first_two(paths: Iterable[str]) -> list[str]:
    found: list[str] = []
    for path in paths:
        found.append(path)
        if len(found) == 2:
            break
    return found


def _as_written(name: str, files: Mapping[str, bytes]) -> str | None:
    """The name itself, or without what diff programs put in front."""
    for spelling in dict.fromkeys((name, name.replace("\\", "/"))):
        try:
            path = inside(spelling)
        except PathTrouble:
            continue
        if path in files:
            return path
        first, _, rest = path.partition("/")
        if rest and first in _PREFIXES and rest in files:
            return rest
    return None


def _by_end(name: str, files: Mapping[str, bytes]) -> str | None:
    """The file whose path ends as the name does, or with which the name ends; raises when there are several."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        return None
    if _DRIVE.match(parts[0]):
        parts = parts[1:]
    if not parts:
        return None
    absolute = name.startswith(("/", "\\")) or bool(_DRIVE.match(name))
    for drop in range(1, len(parts) - 1):
        tail = "/".join(parts[drop:])
        if tail in files:
            return tail
    # A lone name says too little at the end of an absolute path: /etc/hosts is not the project's hosts. Elsewhere it
    # will do when no other file has it.
    lone = parts[-1]
    if not absolute and lone in files and not any(path.endswith(f"/{lone}") for path in files):
        return lone
    if absolute:
        return None
    if len(parts) > 1 and parts[0] in _PREFIXES:
        parts = parts[1:]
    tail = "/" + "/".join(parts)
    ending = [path for path in files if path.endswith(tail)]
    if len(ending) > 1:
        raise PathTrouble(f"{name!r} could be {', '.join(sorted(ending)[:10])}: give the whole path.", name)
    return ending[0] if ending else None
