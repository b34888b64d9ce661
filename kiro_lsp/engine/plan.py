"""What an apply will do to each file, decided before anything is written.

A target says what a path should hold now and what it shall hold; the plan says whether the editor or the disk gets it,
and merges or names every file that is not what it was. It looks, and never writes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from kiro_lsp.changes.changeset import is_binary
from kiro_lsp.changes.lineends import BOM, bytes_in_form_of, in_form_of, same_text, text_of
from kiro_lsp.changes.merge import Conflict, Merge, merge_into
from kiro_lsp.changes.review import Content, Review
from kiro_lsp.engine.disk import Change, Disk, Seen
from kiro_lsp.store import JournalFile


@dataclass(frozen=True, slots=True)
class Target:
    """One path to bring from `before` to `after`.

    `from_editor`: the contents are texts of a document, so marks and line ends of the file on the disk are its own.
    `force`: whatever is there now is taken for `before`. `exact`: a file that comes back gets exactly its old mode.
    `taken`: the person took this change over in the editor's own preview. Nothing is left to write then, but an undo
    must know what was there. `merge`: a text that changed meanwhile gets the change all the same where both go together.
    """

    path: str
    before: Content
    after: Content
    folders: tuple[str, ...] = ()
    from_editor: bool = False
    force: bool = False
    exact: bool = False
    taken: bool = False
    merge: bool = False


@dataclass(slots=True)
class Plan:
    """Files for the journal, in the order in which they are written; reasons for those that cannot be."""

    files: list[JournalFile] = field(default_factory=list)
    conflicts: dict[str, str] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    """Files that are written down and hold their new content already."""
    merged: set[str] = field(default_factory=set)
    """Files that keep what somebody else changed in them meanwhile."""

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(sorted({file.path for file in self.files}))

    def edits(self, root: Path) -> dict[Path, tuple[str, str]]:
        """The open documents to edit, with their old and new text."""
        return {
            root / file.path: ((file.before or b"").decode("utf-8", "surrogatepass"), (file.after or b"").decode())
            for file in self.files
            if file.where == "buffer" and file.path not in self.done
        }

    def write_down(self, target: Target, text: str) -> None:
        """Note a change that the editor made by itself; `text` is what the document, or the file it was saved to, holds."""
        before, after = text_of(target.before.data), text_of(target.after.data)
        was = None if before is None or after is None else in_form_of(before, after, text)
        if was is not None:
            old, new = was.encode("utf-8", "surrogatepass"), text.encode("utf-8", "surrogatepass")
            self.files.append(JournalFile(target.path, "buffer", old, new))
            self.done.add(target.path)


def accepting(before: Review, after: Review, taken: Collection[str] = ()) -> list[Target]:
    """The files that a review brings from one set of decisions to another, with `taken` ones that the editor wrote."""
    old, new, mergeable = before.accepted(), after.accepted(), after.mergeable()
    return [
        Target(path, old[path], new[path], taken=path in taken, merge=path in mergeable)
        for path in new
        if old[path] != new[path]
    ]


def foreseen(root: Path, documents: Mapping[str, str], review: Review) -> dict[str, str]:
    """Path → why accepting all that is pending could not write it as things are now. Raises OSError as `plan`."""
    if not review.pending:
        return {}
    after = review.decide("accepted", hunks=review.pending)
    return plan(root, documents, accepting(review, after)).conflicts


def plan(root: Path, documents: Mapping[str, str], targets: Iterable[Target]) -> Plan:
    """Look at every target. `documents` has the texts of those that are open. Raises OSError when the disk fails."""
    disk, found = Disk(root, "plan"), Plan()
    wanted = list(targets)
    arriving = _Arriving(disk, [target.path for target in wanted if target.after.data is not None])
    for target in wanted:
        text = documents.get(target.path)
        seen = disk.look(target.path)
        if text is not None and target.after.data is not None:
            reason = _plan_document(found, disk, target, text, seen)
        else:
            reason = _plan_file(found, disk, target, text, seen)
        if reason is None and seen.data is None and target.after.data is not None:
            reason = arriving.collision(target.path)
        if reason is not None:
            found.conflicts[target.path] = reason
    if found.conflicts:
        found.files.clear()
        found.merged.clear()
    return found


def _plan_document(found: Plan, disk: Disk, target: Target, text: str, seen: Seen) -> str | None:
    """An open document gets its text from the editor, and its mode, if that changes, from us."""
    after = text_of(target.after.data)
    if after is None:
        return "it is open in the editor and would become binary; close it there first"
    if seen.obstacle is not None:
        return _in_the_way(seen)
    if seen.data is not None and is_read_only(disk, target.path, seen):
        return "it is read-only"
    if target.before.data is None and not target.force:
        before = "" if seen.data is None else None
    else:
        before = text if target.force else text_of(target.before.data)
    if not same_text(text, after):
        formed = None if before is None else in_form_of(after, before, text)
        if formed is None:
            merged = _merged(target, text.encode("utf-8", "surrogatepass"))
            if merged is None or merged.text is None:
                return "it was changed in the editor since the run read it" + _both_changed(merged)
            formed = merged.text
            found.merged.add(target.path)
        if formed != text:
            encoded = text.encode("utf-8", "surrogatepass")
            found.files.append(JournalFile(target.path, "buffer", encoded, formed.encode("utf-8", "surrogatepass")))
    elif target.taken:
        found.write_down(target, text)
    return _plan_mode(found, target, seen)


def _plan_mode(found: Plan, target: Target, seen: Seen) -> str | None:
    """The permission bits of a file whose content the editor has."""
    wanted = target.after.mode
    if seen.data is None or wanted is None or os.name == "nt" or seen.mode == wanted:
        return None
    if target.before.mode is None or target.before.mode == wanted:
        return None
    if seen.mode != target.before.mode and not target.force:
        return "its permissions changed since the run read it"
    found.files.append(JournalFile(target.path, "disk", seen.data, seen.data, seen.mode, wanted))
    return None


def _plan_file(found: Plan, disk: Disk, target: Target, text: str | None, seen: Seen) -> str | None:
    if seen.obstacle is not None:
        return _in_the_way(seen)
    change = _change(target, seen)
    if change.is_done(seen):
        if target.taken and seen.data is not None:
            found.write_down(target, text_of(seen.data) or "")
        return None
    if text is not None and seen.data is not None and not _is_text_of(text, seen.data):
        return "it has unsaved changes in the editor"
    if not change.is_undone(seen):
        merged = None if seen.data is None else _merged(target, seen.data)
        if seen.data is None or merged is None or merged.text is None:
            return _how_it_differs(change, seen) + _both_changed(merged)
        change = replace(change, before=seen.data, after=merged.text.encode("utf-8"))
        if not change.is_undone(seen):
            return _how_it_differs(change, seen)
        found.merged.add(target.path)
        if change.is_done(seen):
            return None
    if seen.data is not None and is_read_only(disk, target.path, seen):
        return "it is read-only"
    folders = disk.missing_folders(target.path) if change.after is not None else target.folders
    found.files.append(
        JournalFile(target.path, "disk", change.before, change.after, change.before_mode, change.after_mode, folders)
    )
    return None


def _change(target: Target, seen: Seen) -> Change:
    """The change of the file as it lies there: its mark is kept, and what an editor saved may have other line ends."""
    before, after = target.before, target.after
    change = Change(
        target.path, before.data, after.data, before.mode, after.mode, target.folders, exact_mode=target.exact
    )
    if target.force:
        change = replace(change, before=seen.data, before_mode=seen.mode)
    elif seen.data is not None and (
        after.data is None or None in (before.mode, after.mode) or before.mode == after.mode
    ):
        # The mode is no part of this change: whatever the person gave the file meanwhile, it keeps.
        change = replace(change, before_mode=seen.mode, after_mode=None)
    if target.force:
        return change
    if before.data is None or seen.data is None or seen.data == before.data:
        return change
    only_mark = seen.data == BOM.encode() + before.data
    if not only_mark and not target.from_editor:
        return change
    if after.data is None:
        same = bytes_in_form_of(before.data, before.data, seen.data)
        return replace(change, before=seen.data) if same == seen.data else change
    formed = bytes_in_form_of(after.data, before.data, seen.data)
    return change if formed is None else replace(change, before=seen.data, after=formed)


def _merged(target: Target, actual: bytes) -> Merge | None:
    """The target's change made to what is there now; None where that is not to be tried."""
    before, after = target.before.data, target.after.data
    if not target.merge or target.force or target.taken or before is None or after is None:
        return None
    if any(is_binary(data) for data in (before, actual, after)):
        return None
    return merge_into(actual.decode("utf-8"), before.decode("utf-8"), after.decode("utf-8"))


def _both_changed(merged: Merge | None) -> str:
    """The rest of a reason: where, in the file as it is now, both changed the same; "" without a merge."""
    if merged is None:
        return ""
    places = [_place(conflict) for conflict in merged.conflicts]
    shown = ", ".join(places[:3]) + (f" and {len(places) - 3} more places" if len(places) > 3 else "")
    return f", and both changed {shown}"


def _place(conflict: Conflict) -> str:
    start, end = conflict.ours
    if end - start < 2:
        return f"line {start + 1}"
    return f"lines {start + 1}–{end}"


def is_read_only(disk: Disk, path: str, seen: Seen) -> bool:
    """Whether the person could not write this file in an editor. (The superuser may, whatever the bits say.)"""
    return not (seen.mode or 0) & stat.S_IWUSR or not os.access(disk.root.joinpath(*path.split("/")), os.W_OK)


def _in_the_way(seen: Seen) -> str:
    obstacle = seen.obstacle or ""
    return f"it {obstacle}" if obstacle.startswith("cannot") else f"it is {obstacle}"


def _is_text_of(text: str, data: bytes) -> bool:
    on_disk = text_of(data)
    return on_disk is not None and same_text(text, on_disk)


def _how_it_differs(change: Change, seen: Seen) -> str:
    if change.before is None:
        return "it was created by somebody else meanwhile"
    if seen.data is None:
        return "it was deleted or moved since the run read it"
    if seen.data == change.before:
        return "its permissions changed since the run read it"
    return "it changed since the run read it"


class _Arriving:
    """New files whose names some system would take for one that exists, or for each other's."""

    def __init__(self, disk: Disk, paths: list[str]) -> None:
        self._disk, self._paths = disk, paths

    def collision(self, path: str) -> str | None:
        twin = self._disk.collision(path) or next(
            (other for other in self._paths if other != path and other.casefold() == path.casefold()), None
        )
        return None if twin is None else f"its name differs from {twin} in upper and lower case only"
