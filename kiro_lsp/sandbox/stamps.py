"""What tells whether a file was written to since somebody looked, and what a copy of a project remembers between runs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from kiro_lsp.sandbox.ownership import delete


class Stamp(NamedTuple):
    """What cannot stay the same when a file is written to: the change time is not a program's to set."""

    mode: int
    """With the kind of file."""
    size: int
    modified: int
    changed: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        return cls(status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def clock(folder: Path) -> int:
    """The time by the clock that stamps files there, which is coarser than the system's."""
    probe = folder / "clock"
    probe.write_bytes(b"")
    os.utime(probe)
    return probe.stat().st_ctime_ns


Remembered = list[int]
"""The numbers of a stamp, as they are kept in a file."""


def remembered(path: Path, root: Path) -> dict[str, tuple[Remembered, Remembered]]:
    """(stamp of the original, stamp in the copy) by path, as a copy that was put away left them; they are used once."""
    try:
        memory = json.loads(path.read_text("utf-8"))
        path.unlink()
        if memory["root"] != os.path.realpath(root):
            return {}
        known: dict[str, tuple[Remembered, Remembered]] = memory["files"]
        return known if all(len(stamps) == 2 for stamps in known.values()) else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def clear(folder: Path, wanted: Mapping[str, Remembered]) -> Iterator[tuple[str, Stamp]]:
    """Delete all in a folder but the files in `wanted` whose stamp is the same; those are named."""
    needed = {""}
    for path in wanted:
        while (path := path.rpartition("/")[0]) not in needed:
            needed.add(path)
    todo = [""]
    while todo:
        below = todo.pop()
        with os.scandir(folder / below) as scanned:
            found = list(scanned)
        for entry in found:
            path = f"{below}/{entry.name}" if below else entry.name
            if path in needed and entry.is_dir(follow_symlinks=False):
                todo.append(path)
                continue
            stamp = Stamp.of(entry.stat(follow_symlinks=False))
            if wanted.get(path) == list(stamp):
                yield path, stamp
            else:
                delete(Path(entry.path))


def is_younger(path: Path, seconds: float) -> bool:
    """Whether a file is there that was written in the last `seconds`."""
    try:
        return time.time() - path.stat().st_mtime < seconds
    except OSError:
        return False
