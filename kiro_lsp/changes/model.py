"""The values of the changes layer: FileChange, Hunk, ChangeSet. Pure data; nothing here touches a disk.

Paths are root-relative with `/`. Contents are bytes: what is on disk, byte for byte. A file whose bytes are not UTF-8
or hold a NUL is binary: it has no hunks but one whole-file change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FileAction = Literal["create", "modify", "delete", "rename"]
Decision = Literal["pending", "accepted", "rejected"]
Operation = Literal["edit", "create", "delete", "rename", "binary", "mode"]
"""What a hunk does: `edit` replaces lines; the others are about the file as a whole and have no parts."""


@dataclass(frozen=True, slots=True)
class Hunk:
    """One place where the proposed text differs. Line ranges are 0-based and half-open.

    `id` is 10 hex digits of sha256 over path, operation, old lines and new lines; repeats get `~2`, `~3`. It does not
    depend on positions, so it survives a partial accept.
    """

    id: str
    base: tuple[int, int]
    proposed: tuple[int, int]
    old: tuple[str, ...]
    new: tuple[str, ...]
    operation: Operation = "edit"


@dataclass(frozen=True, slots=True)
class FileChange:
    """`base` is the content the run saw (None: the file was not there), `proposed` what it wants (None: not there).

    Modes are permission bits; None means unknown and wanted as it is. `to` is the new path of a rename.
    """

    path: str
    action: FileAction
    base: bytes | None
    proposed: bytes | None
    base_mode: int | None = None
    mode: int | None = None
    to: str | None = None


@dataclass(frozen=True, slots=True)
class ChangeSet:
    files: tuple[FileChange, ...]
