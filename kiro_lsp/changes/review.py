"""Review: a change set with the decisions taken on its hunks.

The change set never changes: what the run saw and what it proposed stay as they are, and a decision per hunk is kept
beside them. What the files hold now is the base with the accepted hunks, what is shown as proposed is that with the
pending ones. A review is a value; nothing here reads or writes a file, and nothing knows how an accepted hunk reaches
the disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from kiro_lsp.changes.changeset import changes_mode, hunks_of, is_binary
from kiro_lsp.changes.diff import hunk_ranges
from kiro_lsp.changes.lineends import BOM
from kiro_lsp.changes.model import ChangeSet, Decision, FileAction, FileChange, Hunk
from kiro_lsp.changes.protected import protected
from kiro_lsp.errors import RunRefused, StaleRevision
from kiro_lsp.spec.lines import split_lines

Decisions = Mapping[str, Mapping[str, Decision]]
"""Path → hunk id → decision. A hunk that is not named is pending."""

_ACCEPTED: frozenset[Decision] = frozenset({"accepted"})
_SHOWN: frozenset[Decision] = frozenset({"accepted", "pending"})


@dataclass(frozen=True, slots=True)
class Content:
    """What a path holds. `data` None: no file. `mode` None: whatever it has, or the usual one for a new file."""

    data: bytes | None
    mode: int | None = None


@dataclass(frozen=True, slots=True)
class ShownHunk:
    """A hunk where a face draws it: line ranges (0-based, half-open) in the current and in the proposed text."""

    hunk: Hunk
    status: Decision
    base: tuple[int, int]
    proposed: tuple[int, int]
    protected: bool


@dataclass(frozen=True, slots=True)
class Review:
    changes: ChangeSet
    decisions: Decisions = field(default_factory=dict)
    revision: int = 0
    mine: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Path → hunks that the person made by changing the proposed side."""
    _hunks: dict[str, tuple[Hunk, ...]] = field(default_factory=dict, repr=False, compare=False)

    # Contents

    def current(self, path: str) -> bytes | None:
        """The file as it is after what was accepted so far."""
        return self.content(path, _ACCEPTED).data

    def proposed(self, path: str) -> bytes | None:
        """The file as it would be if everything still pending were accepted too."""
        return self.content(path, _SHOWN).data

    def original(self, path: str) -> bytes | None:
        """What the run saw of a file, whatever was decided since."""
        return self._change(self._path_of(path)).base

    def suggested(self, path: str) -> bytes | None:
        """What the run wants of a file, whatever was decided since."""
        return self._change(self._path_of(path)).proposed

    def accepted(self) -> dict[str, Content]:
        """Every path that the change set touches, with what it holds after what was accepted."""
        return {path: self.content(path, _ACCEPTED) for path in self.touched()}

    def mergeable(self) -> frozenset[str]:
        """The files whose change may be merged with what somebody else did meanwhile: texts that stay where they are,
        and that need no yes of their own. (Whether they are text is seen when it is tried.)
        """
        return frozenset(
            change.path
            for change in self.changes.files
            if change.action == "modify" and change.to is None and not is_protected(change)
        )

    def touched(self) -> tuple[str, ...]:
        """Every path that the change set could write, targets of renames included."""
        return tuple(
            sorted({path for change in self.changes.files for path in (change.path, change.to or change.path)})
        )

    def content(self, path: str, taken: Collection[Decision]) -> Content:
        """A path with those hunks applied whose decision is among `taken`. Raises RunRefused for an unknown path."""
        arriving = next((change for change in self.changes.files if change.to == path and change.path != path), None)
        if arriving is not None and self._taken(arriving, taken):
            return Content(arriving.proposed, arriving.mode)
        change = self._find(path)
        if change is None and arriving is not None:
            return Content(None)
        return self._content_of(change or self._change(path), taken)

    def _content_of(self, change: FileChange, taken: Collection[Decision]) -> Content:
        hunks = self._taken(change, taken)
        whole = next((hunk for hunk in hunks if hunk.operation not in ("edit", "mode")), None)
        if whole is not None:
            leaves = whole.operation == "rename" and change.to not in (None, change.path)
            changed_mode = whole.operation == "create" or changes_mode(change)
            return Content(None if leaves else change.proposed, change.mode if changed_mode else change.base_mode)
        mode = change.mode if any(hunk.operation == "mode" for hunk in hunks) else change.base_mode
        edits = [hunk for hunk in hunks if hunk.operation == "edit"]
        if not edits or change.base is None:
            return Content(change.base, mode)
        return Content(_with(change.base, edits), mode)

    # Hunks

    def hunks(self, path: str) -> tuple[Hunk, ...]:
        """The hunks of one file of the change set, in the order of the file."""
        if path not in self._hunks:
            self._hunks[path] = hunks_of(self._change(path))
        return self._hunks[path]

    def status(self, path: str, identifier: str) -> Decision:
        return self.decisions.get(path, {}).get(identifier, "pending")

    def shown_hunks(self, path: str) -> tuple[ShownHunk, ...]:
        """The hunks with their places in the texts that a person compares: `current` on the left, `proposed` on the
        right.
        """
        change = self._change(path)
        guarded = is_protected(change)
        shown: list[ShownHunk] = []
        left = right = 0
        for hunk in self.hunks(path):
            status = self.status(path, hunk.id)
            old, new = (hunk.base[1] - hunk.base[0], hunk.proposed[1] - hunk.proposed[0])
            on_left = new if status == "accepted" else old
            on_right = old if status == "rejected" else new
            start_left, start_right = hunk.base[0] + left, hunk.base[0] + right
            base, proposed = (start_left, start_left + on_left), (start_right, start_right + on_right)
            shown.append(ShownHunk(hunk, status, base, proposed, guarded))
            left += on_left - old
            right += on_right - old
        return tuple(shown)

    # Deciding

    def decide(
        self,
        decision: Decision,
        path: str | None = None,
        hunks: Collection[str] | None = None,
        revision: int | None = None,
    ) -> Review:
        """The review after a decision on the named hunks; the next revision.

        Without `hunks` it is about every pending one of `path`, or of the whole set. Accepting the whole set leaves
        files out that need their own yes: they must be named. Named hunks may also be rejected ones, taken up again.
        Raises StaleRevision, and RunRefused for a path or hunk that does not exist, or one that was applied already.
        """
        if revision is not None and revision != self.revision:
            raise StaleRevision(
                f"The review has moved on: it is at revision {self.revision}, the decision was about {revision}.",
                hint="Look again and decide on what is there now.",
            )
        named = set(hunks) if hunks is not None else None
        paths = [change.path for change in self.changes.files] if path is None else [self._path_of(path)]
        taken = {name: dict(self.decisions.get(name, {})) for name in [change.path for change in self.changes.files]}
        found: set[str] = set()
        for name in paths:
            for identifier in self._meant(name, named, decision, whole=path is None):
                found.add(identifier)
                if self.status(name, identifier) == "accepted" and decision != "accepted":
                    raise RunRefused(
                        f"Change {identifier} in {name} was applied already.",
                        code="applied",
                        hint="`undo` takes it back.",
                    )
                taken[name][identifier] = decision
        if named is not None and named - found:
            raise self._unknown_hunks(sorted(named - found), path)
        kept = {name: chosen for name, chosen in taken.items() if chosen}
        return replace(self, decisions=kept, revision=self.revision + 1)

    def _meant(self, path: str, named: Collection[str] | None, decision: Decision, *, whole: bool) -> Iterator[str]:
        if named is not None:
            yield from (hunk.id for hunk in self.hunks(path) if hunk.id in named)
            return
        if whole and decision == "accepted" and is_protected(self._change(path)):
            return
        yield from (hunk.id for hunk in self.hunks(path) if self.status(path, hunk.id) == "pending")

    def _unknown_hunks(self, missing: list[str], path: str | None) -> RunRefused:
        known = [
            hunk.id for change in self.changes.files if path in (None, change.path) for hunk in self.hunks(change.path)
        ]
        where = f"{path} of this review" if path else "this review"
        return RunRefused(
            f"There is no change {', '.join(missing)} in {where}.",
            code="unknown-hunk",
            hint=f"It has: {', '.join(known) or 'none'}.",
        )

    def amended(self, path: str, text: str) -> FileChange:
        """The change of a file after the person changed its proposed side to `text` (as shown: no byte order mark).

        Hunks that were applied must still be there, unchanged: what is on the disk cannot be edited away here. Raises
        RunRefused for that, for an unknown path and for a file whose proposed side is no text.
        """
        change = self._change(self._path_of(path))
        if change.proposed is None or is_binary(change.proposed):
            raise RunRefused(f"The proposed side of {path!r} is no text that could be edited.", code="not-text")
        mark = BOM if change.proposed.startswith(BOM.encode()) else ""
        shown = (self.proposed(change.to or change.path) or b"").decode("utf-8-sig")
        try:
            changed = replace(change, proposed=(mark + _with_old_ends(text.removeprefix(BOM), shown)).encode("utf-8"))
        except UnicodeEncodeError as error:
            raise RunRefused(f"The edit of {path} holds half a character: {error.reason}.", code="not-text") from error
        applied = {hunk.id for hunk in self._taken(change, _ACCEPTED)}
        if applied - {hunk.id for hunk in hunks_of(changed)}:
            raise RunRefused(
                f"The edit of {path} touches a part that was applied already.",
                code="applied",
                hint="Edit the file itself, or undo the run first.",
            )
        return changed

    def resolved(self, path: str, text: str, now: bytes) -> FileChange:
        """The change of a file that `now` holds something else than the run saw, after the person merged the two to `text`.

        From then on it is a change of what the file holds now. Raises RunRefused as `amended`, and for a renamed file.
        """
        change = self._change(self._path_of(path))
        if change.proposed is None or change.to is not None or is_binary(change.proposed) or is_binary(now):
            raise RunRefused(f"The change of {path!r} is none that could be merged by hand.", code="not-text")
        mark = BOM if now.startswith(BOM.encode()) else ""
        merged = mark + _with_old_ends(text.removeprefix(BOM), now.decode("utf-8-sig"))
        return replace(change, action="modify", base=now, proposed=merged.encode("utf-8", "replace"))

    def mine_in(self, changed: FileChange) -> frozenset[str]:
        """The hunks of an amended change that are the person's, those of earlier edits included."""
        before = {hunk.id for hunk in self.hunks(changed.path)} - self.mine.get(changed.path, frozenset())
        return frozenset(hunk.id for hunk in hunks_of(changed)) - before

    # What is left, and what became of it

    @property
    def settled(self) -> bool:
        """Whether every hunk is decided. True for a change set without files."""
        return not self.pending

    @property
    def pending(self) -> tuple[str, ...]:
        return self._with_status("pending")

    @property
    def accepted_any(self) -> bool:
        return bool(self._with_status("accepted"))

    @property
    def rejected_any(self) -> bool:
        return bool(self._with_status("rejected"))

    @property
    def partial(self) -> bool:
        """Whether something, but not everything, was accepted."""
        return self.accepted_any and bool(self.pending or self.rejected_any)

    def rejected_hunks(self) -> tuple[str, ...]:
        return self._with_status("rejected")

    def accepted_files(self) -> tuple[str, ...]:
        """The paths that accepted hunks touch, targets of renames included, sorted."""
        found: set[str] = set()
        for change in self.changes.files:
            if self._taken(change, _ACCEPTED):
                found |= {change.path, change.to or change.path}
        return tuple(sorted(found))

    def files_with(self, identifiers: Collection[str]) -> tuple[str, ...]:
        """The paths of the files that have one of these hunks, sorted."""
        wanted = set(identifiers)
        files = [change.path for change in self.changes.files]
        return tuple(sorted(path for path in files if any(hunk.id in wanted for hunk in self.hunks(path))))

    def protected_pending(self) -> tuple[str, ...]:
        """Files that "accept all" leaves out and that are still to be decided."""
        return tuple(
            change.path
            for change in self.changes.files
            if is_protected(change)
            and any(self.status(change.path, hunk.id) == "pending" for hunk in self.hunks(change.path))
        )

    def file_status(self, path: str) -> str:
        """`pending` while anything is, else `accepted`, `rejected` or `partial`."""
        found = {self.status(path, hunk.id) for hunk in self.hunks(path)}
        if "pending" in found or not found:
            return "pending"
        return "partial" if len(found) > 1 else next(iter(found))

    def staged(self) -> tuple[FileChange, ...]:
        """The change set as it would be applied now: what was rejected or edited away is not in it."""
        if not self.rejected_any:
            return self.changes.files
        found = []
        for path in self.touched():
            change, wanted = self._find(path), self.content(path, _SHOWN)
            base = None if change is None else change.base
            if wanted.data is None and base is None:
                continue
            action: FileAction = "delete" if wanted.data is None else "create" if base is None else "modify"
            mode = None if change is None else change.base_mode
            found.append(FileChange(path, action, base, wanted.data, mode, wanted.mode))
        return tuple(found)

    def contents(self) -> str:
        """A digest of what every file would hold then, by which a verdict on it is known to be about it."""
        digest = hashlib.sha256()
        for path in self.touched():
            wanted = self.content(path, _SHOWN)
            data = b"-" if wanted.data is None else hashlib.sha256(wanted.data).digest()
            digest.update(b"%b\0%o\0%b" % (path.encode("utf-8", "surrogateescape"), wanted.mode or 0, data))
        return digest.hexdigest()[:16]

    # On the wire

    def wire(
        self,
        run_id: str,
        state: str,
        *,
        uri_of: Callable[[str], str],
        verify: Mapping[str, Any] | None = None,
        cost: str | None = None,
        conflicts: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The `kiro/review` object. Ranges are `[first line, line after the last]`, 0-based; the LSP face makes Ranges
        of them.

        `uri_of` gives the URI of a root-relative path; `conflicts` says per path why it could not be applied.
        """
        files = [
            self._wire_file(change, run_id, uri_of, (conflicts or {}).get(change.path)) for change in self.changes.files
        ]
        return {
            "runId": run_id,
            "revision": self.revision,
            "state": state,
            "verify": verify,
            "cost": cost,
            "files": files,
        }

    def _wire_file(
        self, change: FileChange, run_id: str, uri_of: Callable[[str], str], conflict: str | None
    ) -> dict[str, Any]:
        content = f"kiro-review:/{quote(run_id, safe='')}/{self.revision}"
        encoded = quote(change.path)
        found: dict[str, Any] = {
            "path": change.path,
            "uri": uri_of(change.path),
            "action": change.action,
            "binary": any(data is not None and is_binary(data) for data in (change.base, change.proposed)),
            "status": self.file_status(change.path),
            "baseUri": f"{content}/base/{encoded}",
            "proposedUri": f"{content}/proposed/{quote(change.to or change.path)}",
        }
        if change.to is not None:
            found["to"] = change.to
        if change.mode is not None and (change.base is None or changes_mode(change)):
            found["mode"] = f"{change.mode & 0o7777:04o}"
        if conflict is not None:
            found["conflict"] = conflict
        found["hunks"] = [
            {
                "id": shown.hunk.id,
                "status": shown.status,
                "baseRange": list(shown.base),
                "proposedRange": list(shown.proposed),
                "protected": shown.protected,
                "mine": shown.hunk.id in self.mine.get(change.path, ()),
            }
            for shown in self.shown_hunks(change.path)
        ]
        return found

    # Inside

    def _find(self, path: str) -> FileChange | None:
        return next((change for change in self.changes.files if change.path == path), None)

    def _change(self, path: str) -> FileChange:
        change = self._find(path)
        if change is None:
            known = ", ".join(change.path for change in self.changes.files) or "no files"
            raise RunRefused(f"{path!r} is not in this review.", code="unknown-file", hint=f"It has: {known}.")
        return change

    def _path_of(self, path: str) -> str:
        """The path under which a file is listed; a rename answers to its new name too."""
        moved = next((change.path for change in self.changes.files if change.to == path), None)
        return moved if moved is not None and self._find(path) is None else self._change(path).path

    def _taken(self, change: FileChange, taken: Collection[Decision]) -> list[Hunk]:
        return [hunk for hunk in self.hunks(change.path) if self.status(change.path, hunk.id) in taken]

    def _with_status(self, status: Decision) -> tuple[str, ...]:
        return tuple(
            hunk.id
            for change in self.changes.files
            for hunk in self.hunks(change.path)
            if self.status(change.path, hunk.id) == status
        )


def is_protected(change: FileChange) -> bool:
    """Whether a change needs its own yes, by the old or the new name of its file."""
    return protected(change.path) or (change.to is not None and protected(change.to))


def _with_old_ends(text: str, old: str) -> str:
    """`text`, with the line ends that its lines had in `old`: an editor gives all lines of a document the same."""
    lines, known = split_lines(text), split_lines(old)
    plain = [[(line.rstrip("\r\n"), line[-1:] in ("\r", "\n")) for line in side] for side in (known, lines)]
    pieces: list[str] = []
    position = 0
    for a0, a1, b0, b1 in hunk_ranges(*plain):
        pieces += [*known[position:a0], *lines[b0:b1]]
        position = a1
    return "".join([*pieces, *known[position:]])


def _with(base: bytes, hunks: Collection[Hunk]) -> bytes:
    lines = split_lines(base.decode("utf-8"))
    pieces: list[str] = []
    position = 0
    for hunk in sorted(hunks, key=lambda hunk: hunk.base):
        pieces += lines[position : hunk.base[0]]
        pieces += hunk.new
        position = hunk.base[1]
    return "".join([*pieces, *lines[position:]]).encode("utf-8")
