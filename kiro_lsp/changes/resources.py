"""Creations, renames and deletions as an editor carries them out: what it does to the file, then the edits of its text.

Values only. Whether a client can take them is for its face to know; a plain client never gets one. What an editor cannot
do wholly (bytes that are no text, a byte order mark, permission bits) is None here and stays with those who write files.
"""

from __future__ import annotations

from dataclasses import dataclass

from kiro_lsp.changes.changeset import changes_mode, is_binary
from kiro_lsp.changes.lineends import BOM
from kiro_lsp.changes.model import FileChange


@dataclass(frozen=True, slots=True)
class CreateFile:
    """A new, empty file. Refused by the editor when there is one."""

    path: str


@dataclass(frozen=True, slots=True)
class RenameFile:
    """Another name for a file. Refused by the editor when the new one is taken."""

    path: str
    to: str


@dataclass(frozen=True, slots=True)
class DeleteFile:
    """No file any more. Refused by the editor when there is none."""

    path: str


Resource = CreateFile | RenameFile | DeleteFile


@dataclass(frozen=True, slots=True)
class FileOperation:
    """`resource` first; then the text at `path`, which is `old`, becomes `new`."""

    resource: Resource
    path: str
    old: str = ""
    new: str = ""


def file_operation(change: FileChange) -> FileOperation | None:
    """The change of a whole file for an editor; None for a change inside a file, and where an editor cannot do it all."""
    if any(data is not None and is_binary(data) for data in (change.base, change.proposed)):
        return None
    if change.proposed is None:
        return None if change.base is None else FileOperation(DeleteFile(change.path), change.path)
    if change.base is None:
        text = change.proposed.decode("utf-8")
        if change.to is not None or text.startswith(BOM) or (change.mode or 0) & 0o111:
            return None
        return FileOperation(CreateFile(change.path), change.path, "", text)
    if change.to is None or change.to == change.path or changes_mode(change):
        return None
    old, new = change.base.decode("utf-8"), change.proposed.decode("utf-8")
    if old.startswith(BOM) != new.startswith(BOM):
        return None
    return FileOperation(RenameFile(change.path, change.to), change.to, old.removeprefix(BOM), new.removeprefix(BOM))
