"""What a run has done to files so far, read from its journals: what is in force, and where each file came from.

Only journals that were verified count. It reads the store and looks at no file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from kiro_lsp.changes.changeset import is_binary
from kiro_lsp.changes.merge import merge_into
from kiro_lsp.changes.review import Content
from kiro_lsp.engine.plan import Target
from kiro_lsp.store import Journal, JournalFile, JournalState, Store

TANGLED = "what somebody else changed in it between two accepts is entangled with them; `restore` goes over it"

_VERIFIED: tuple[JournalState, ...] = ("VERIFIED",)


@dataclass(frozen=True, slots=True)
class Restoration:
    """One path with what it held before the first and after the last of some journals."""

    path: str
    before: Content
    after: Content
    folders: tuple[str, ...]
    from_editor: bool
    is_tick: bool
    """Nothing but marks was written: the rest of the file is the person's."""
    is_unbroken: bool
    """Nobody else wrote to the file between these journals."""
    undone: bytes | None
    """`before`, with what others wrote between these journals."""
    is_tangled: bool = False
    """What others wrote between these journals cannot be told from what was written by us."""

    def target(self, *, force: bool) -> Target:
        """The way back; with `force` over whatever is there now, and over what others wrote since the first journal."""
        goal = self.before if force else Content(self.undone, self.before.mode)
        return Target(self.path, self.after, goal, self.folders, self.from_editor, force, exact=True)


@dataclass(frozen=True, slots=True)
class History:
    changed: tuple[Journal, ...]
    """Every accept and tick of the run, undone or not."""
    in_force: tuple[Journal, ...]
    """What an undo would take back: the restore, if one came last, else the accepts and ticks that are not undone."""

    def undone(self) -> list[Restoration]:
        return _restorations(self.in_force)

    def restored(self) -> list[Restoration]:
        return _restorations(self.changed)


def history_of(store: Store, run_id: str) -> History:
    changed: list[Journal] = []
    stack: list[Journal] = []
    for journal in store.journals(run_id=run_id, states=_VERIFIED):
        if journal.kind == "undo":
            if stack and stack[-1].kind == "restore":
                stack.pop()
            else:
                stack.clear()
            continue
        if journal.kind != "restore":
            changed.append(journal)
        stack.append(journal)
    last = stack[-1:] if stack and stack[-1].kind == "restore" else stack
    return History(tuple(changed), tuple(last))


def _restorations(journals: Sequence[Journal]) -> list[Restoration]:
    """Every path that these journals wrote, in the order in which they first did."""
    by_path: dict[str, list[tuple[Journal, JournalFile]]] = {}
    for journal in journals:
        for file in journal.files:
            by_path.setdefault(file.path, []).append((journal, file))
    return [_restoration(path, entries) for path, entries in by_path.items()]


def _restoration(path: str, entries: Sequence[tuple[Journal, JournalFile]]) -> Restoration:
    files = [file for _journal, file in entries]
    # A document whose mode changed too has a second entry, which has only the mode to say.
    contents = [file for file in files if not _is_mode_only(file)] or files
    modes = [file for file in files if file.where == "disk"]
    folders = dict.fromkeys(folder for file in files for folder in file.made_dirs)
    undone, is_tangled = _undone(contents)
    return Restoration(
        path,
        Content(contents[0].before, modes[0].before_mode if modes else None),
        Content(contents[-1].after, modes[-1].after_mode if modes else None),
        tuple(sorted(folders)),
        from_editor=any(file.where == "buffer" for file in contents),
        is_tick=all(journal.kind == "tick" for journal, _file in entries),
        is_unbroken=_is_unbroken(contents),
        undone=undone,
        is_tangled=is_tangled,
    )


def _undone(files: Sequence[JournalFile]) -> tuple[bytes | None, bool]:
    """The content without any of these changes, taken back from the last to the first, and whether that fails."""
    content = files[-1].before
    for file in reversed(files[:-1]):
        if content == file.after:
            content = file.before
            continue
        if content is None or file.before is None or file.after is None:
            return files[0].before, True
        if any(is_binary(data) for data in (content, file.before, file.after)):
            return files[0].before, True
        merged = merge_into(content.decode("utf-8"), file.after.decode("utf-8"), file.before.decode("utf-8")).text
        if merged is None:
            return files[0].before, True
        content = merged.encode("utf-8")
    return content, False


def _is_unbroken(files: Sequence[JournalFile]) -> bool:
    return all(earlier.after == later.before for earlier, later in pairwise(files))


def _is_mode_only(file: JournalFile) -> bool:
    return file.where == "disk" and file.before is not None and file.before == file.after
