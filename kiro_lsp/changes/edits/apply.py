"""From an answer to changes of files: every section in turn, on what the sections before it left; all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from kiro_lsp.changes.diff import hunk_ranges
from kiro_lsp.changes.edits import diagnose
from kiro_lsp.changes.edits.answer import (
    Answer,
    Edit,
    Failure,
    FileEdit,
    FormatProblem,
    InsertEdit,
    LinesEdit,
    Outcome,
    Placed,
    Reason,
    StringEdit,
)
from kiro_lsp.changes.edits.blocks import lines_of
from kiro_lsp.changes.edits.build import Span, rebuilt
from kiro_lsp.changes.edits.omissions import omissions
from kiro_lsp.changes.edits.paths import PathTrouble, created, existing, inside
from kiro_lsp.changes.edits.place import Numbered, place_all
from kiro_lsp.changes.edits.snapshot import Snapshot
from kiro_lsp.changes.lineends import BOM
from kiro_lsp.changes.model import FileAction, FileChange

_WITHOUT_END = ("whole-file", "apply-patch")
"""Formats in which every file ends with a line end."""
_SHRUNK, _WORTH_SAYING = 2, 20
"""A whole file with less than one half of the old one's lines is said, when the old one had at least that many."""


def apply_answer(
    answer: Answer,
    files: Mapping[str, bytes],
    *,
    modes: Callable[[str], int | None] = lambda _path: None,
    seen: Mapping[str, bytes] | None = None,
) -> Outcome:
    """What the answer makes of `files` (root-relative path → content); changes of all of them, or failures and none.

    `files` is only iterated when a name has to be found by its end, so that a lazy mapping may read a disk. `modes`
    gives the permission bits of a file, None when unknown. `seen` is what the author of the answer last read of a
    file: an edit that fits that and not the present content is reported as stale.
    """
    return _Work(answer, files, modes, seen or {}).outcome()


class _Refused(Exception):
    """One section cannot be done; `failures` say why."""

    def __init__(self, *failures: Failure) -> None:
        super().__init__(*failures)
        self.failures = failures


@dataclass(slots=True)
class _Work:
    """The files as they become. `_now` holds what sections have changed so far; None: gone."""

    _answer: Answer
    _files: Mapping[str, bytes]
    _modes: Callable[[str], int | None]
    _seen: Mapping[str, bytes]
    _now: dict[str, bytes | None] = field(default_factory=dict)
    _wanted_modes: dict[str, int] = field(default_factory=dict)
    _moved: dict[str, str] = field(default_factory=dict)
    _waiting: dict[str, list[Numbered]] = field(default_factory=dict)
    _whole: set[str] = field(default_factory=set)
    _placed: list[Placed] = field(default_factory=list)
    _failures: list[Failure] = field(default_factory=list)
    _warnings: list[str] = field(default_factory=list)

    def outcome(self) -> Outcome:
        number = 0
        for item in self._in_order():
            if isinstance(item, FormatProblem):
                self._failures.append(Failure(item.names[0] if item.names else "", number, item.reason, item.message))
                number += 1
                continue
            try:
                self._section(item, number)
            except _Refused as refusal:
                self._failures += refusal.failures
            except PathTrouble as trouble:
                self._failures.append(Failure(trouble.name, number, "path", str(trouble)))
            number += max(1, len(item.edits))
        for path in list(self._waiting):
            self._settle(path)
        changes = () if self._failures else self._changes()
        if not changes and not self._failures:
            hint = "The answer changes nothing: every file is already as it says."
            self._failures.append(Failure("", 0, "already-applied", hint))
        failures = tuple(sorted(self._failures, key=lambda failure: failure.edit))
        placed = () if failures else tuple(sorted(self._placed, key=lambda placed: placed.edit))
        return Outcome(self._answer.format, changes, placed, failures, () if failures else tuple(self._warnings))

    def _in_order(self) -> list[FileEdit | FormatProblem]:
        items: list[FileEdit | FormatProblem] = [*self._answer.files, *self._answer.problems]
        return sorted(items, key=lambda item: item.answer_line)

    # What a section asks for

    def _section(self, section: FileEdit, number: int) -> None:
        match section.action:
            case "create":
                self._create(section, number)
            case "whole":
                self._write_whole(section, number)
            case "delete":
                self._delete(section, number)
            case "rename" | "copy":
                self._move(section, number)
            case "edit":
                self._edit(section, number)
        if section.mode is not None and section.action not in ("delete",):
            self._wanted_modes[self._target(section)] = section.mode

    def _target(self, section: FileEdit) -> str:
        if section.to is not None:
            return inside(section.to)
        return created(section.names) if section.action == "create" else self._existing(section)

    def _edit(self, section: FileEdit, number: int) -> None:
        try:
            path = self._existing(section)
        except PathTrouble:
            if not _fills_nothing(section):
                raise
            path = created(section.names)
            self._now.setdefault(path, b"")
        if path in self._whole and not section.sequential:
            raise self._refused(
                path, number, "conflict", f"The answer both edits and replaces {path}: send one of them."
            )
        if section.sequential and path in self._waiting:
            self._settle(path)
        numbered = [(number + index, edit) for index, edit in enumerate(section.edits)]
        for at, edit in numbered:
            self._check_placeholders(path, at, _new_lines(edit))
        if numbered:
            self._waiting.setdefault(path, []).extend(numbered)
        else:
            self._placed.append(Placed(path, number, 1, 0))

    def _create(self, section: FileEdit, number: int) -> None:
        path = created(section.names)
        content = section.content or ""
        there = self._content(path)
        self._check_placeholders(path, number, lines_of(content))
        data = self._encoded(path, number, content)
        if there is not None:
            if there == data:
                raise self._refused(path, number, "already-applied", f"{path} exists already, with just this content.")
            hint = f"{path} exists already: edit it, or send it as a whole file if all of it shall be replaced."
            raise self._refused(path, number, "conflict", hint)
        self._now[path] = data
        self._once_only(section, path, number)
        self._placed.append(Placed(path, number, 1, 0))

    def _write_whole(self, section: FileEdit, number: int) -> None:
        content = section.content or ""
        try:
            path = self._existing(section)
        except PathTrouble:
            path = created(section.names)
        there = self._content(path)
        self._check_placeholders(path, number, lines_of(content))
        if there is not None:
            file = self._snapshot(path, number)
            lines = content.count("\n")
            if len(file.lines) >= _WORTH_SAYING and lines * _SHRUNK < len(file.lines):
                self._warnings.append(f"{path} would shrink from {len(file.lines)} to {lines} lines.")
            content = _restyled(file, content, said_end=section.format not in _WITHOUT_END)
        self._once_only(section, path, number)
        self._now[path] = self._encoded(path, number, content)
        self._placed.append(Placed(path, number, 1, 0))

    def _delete(self, section: FileEdit, number: int) -> None:
        path = self._existing(section)
        if section.edits:
            # A diff that deletes a file shows all of it: a line that it does not show would be lost unseen.
            file = self._snapshot(path, number)
            shown = [line.text for edit in section.edits if isinstance(edit, LinesEdit) for line in edit.lines]
            if [line.rstrip() for line in shown] != [line.rstrip() for line in file.lines] and any(shown + file.lines):
                difference = diagnose.first_difference(file, shown, 0)
                hint = (
                    f"{path} is not what the diff deletes: it has {len(file.lines)} lines, the diff shows {len(shown)}."
                )
                raise _Refused(Failure(path, number, "not-found", hint, (1,), difference))
        self._once_only(section, path, number)
        self._now[path] = None
        self._placed.append(Placed(path, number, 1, 0))

    def _move(self, section: FileEdit, number: int) -> None:
        """Rename or copy, with edits of the content. git's sections mean the source as it was before the answer."""
        source = self._existing(section, original=section.sequential)
        target = inside(section.to or "")
        if self._content(target) is not None and target != source:
            raise self._refused(target, number, "conflict", f"{target} exists already: nothing is moved over it.")
        data = self._files[source] if section.sequential else self._content(source)
        if data is None:
            raise self._refused(source, number, "path", f"There is no file {source!r} to move.")
        if section.edits:
            edits = [(number + index, edit) for index, edit in enumerate(section.edits)]
            result = place_all(source, self._read(source, number, data), edits)
            self._failures += result.failures
            self._placed += result.placed
            if result.text is None:
                return
            data = self._encoded(source, number, result.text)
        else:
            self._placed.append(Placed(source, number, 1, 0))
        self._once_only(section, source, number)
        if section.action == "rename" and target != source:
            self._now[source] = None
            self._moved[source] = target
        self._now[target] = data

    # Edits of one file, together

    def _settle(self, path: str) -> None:
        """Place the edits that wait for a file."""
        edits = self._waiting.pop(path)
        try:
            file = self._snapshot(path, edits[0][0])
            result = place_all(path, file, edits)
            self._placed += result.placed
            if result.text is None:
                self._failures += [self._stale(path, failure, edits) for failure in result.failures]
            else:
                self._now[path] = self._encoded(path, edits[0][0], result.text)
        except _Refused as refusal:
            self._failures += refusal.failures

    def _stale(self, path: str, failure: Failure, edits: list[Numbered]) -> Failure:
        """The failure, as stale when the edits fit what was read before and the file changed since."""
        read = self._seen.get(path)
        if failure.reason != "not-found" or read is None or read == self._content(path):
            return failure
        try:
            fitted = place_all(path, Snapshot.of(read), edits)
        except ValueError:
            return failure
        if fitted.text is None:
            return failure
        hint = f"{path} has changed since it was read: read it again and send the edit for what is there now. {failure.hint}"
        return Failure(path, failure.edit, "stale", hint, failure.candidates, failure.difference)

    # Files

    def _existing(self, section: FileEdit, *, original: bool = False) -> str:
        """The file a section means, among the present ones (or the ones before the answer). Raises PathTrouble."""
        return existing(section.names, self._files if original else _Present(self._files, self._now))

    def _content(self, path: str) -> bytes | None:
        return self._now[path] if path in self._now else self._files.get(path)

    def _snapshot(self, path: str, number: int) -> Snapshot:
        if path in self._waiting:
            self._settle(path)
        return self._read(path, number, self._content(path) or b"")

    def _read(self, path: str, number: int, data: bytes) -> Snapshot:
        try:
            return Snapshot.of(data)
        except ValueError as error:
            raise self._refused(path, number, "format", f"{path} is no text that could be edited: {error}.") from None

    def _encoded(self, path: str, number: int, text: str) -> bytes:
        try:
            return text.encode("utf-8")
        except UnicodeEncodeError as error:
            hint = f"The new text for {path} holds half a character (U+{ord(text[error.start]):04X}): send it again."
            raise self._refused(path, number, "format", hint) from None

    def _once_only(self, section: FileEdit, path: str, number: int) -> None:
        """Outside git's diffs, where order is part of the format, two operations on one path contradict each other."""
        if section.sequential:
            if path in self._waiting:
                self._settle(path)
            return
        if path in self._whole or path in self._waiting:
            raise self._refused(path, number, "conflict", f"The answer does two things with {path}: send one of them.")
        self._whole.add(path)

    def _check_placeholders(self, path: str, number: int, new: list[str]) -> None:
        text = "\n".join(new)
        if "..." not in text and "\u2026" not in text:
            return
        old = self._content(path)
        known = {line.strip() for line in old.decode("utf-8", "replace").split("\n")} if old is not None else set()
        left_out = [line for _number, line in omissions(text) if line.strip() not in known]
        if left_out:
            hint = (
                f"The new text for {path} leaves code out ({left_out[0].strip()!r}): write every line of it, "
                "or edit only the lines that change."
            )
            raise self._refused(path, number, "placeholder", hint)

    def _refused(self, path: str, number: int, reason: Reason, hint: str) -> _Refused:
        return _Refused(Failure(path, number, reason, hint))

    # The result

    def _changes(self) -> tuple[FileChange, ...]:
        renamed = {source: target for source, target in self._moved.items() if self._is_plain_move(source, target)}
        targets = set(renamed.values())
        found: list[FileChange] = []
        for path in sorted({*self._now, *self._wanted_modes} - targets):
            before = self._files.get(path)
            after = self._now.get(path, before)
            target = renamed.get(path)
            if target is not None:
                after = self._now[target]
            base_mode = self._modes(path) if before is not None else None
            mode = self._wanted_modes.get(target or path, base_mode) if after is not None else None
            changes_mode = mode is not None and base_mode is not None and mode != base_mode
            if before == after and target is None and not changes_mode:
                continue
            action: FileAction = "rename" if target else "create" if before is None else "modify"
            found.append(
                FileChange(path, "delete" if after is None else action, before, after, base_mode, mode, target)
            )
        return tuple(found)

    def _is_plain_move(self, source: str, target: str) -> bool:
        """Whether a rename can be shown as one: the source is gone, the target is new, nothing else had a part in it."""
        gone = self._now.get(source) is None and self._now.get(target) is not None
        return gone and target not in self._files and list(self._moved.values()).count(target) == 1


def _fills_nothing(section: FileEdit) -> bool:
    """Whether an edit without any other sign of it creates a file: it adds lines after line 0, or finds nothing."""
    if len(section.edits) != 1:
        return False
    edit = section.edits[0]
    if isinstance(edit, StringEdit):
        return not edit.old
    if isinstance(edit, InsertEdit):
        return False
    only_new = bool(edit.lines) and all(line.mark == "+" for line in edit.lines)
    return only_new and (edit.line_hint == 0 or section.format == "search-replace")


def _new_lines(edit: Edit) -> list[str]:
    match edit:
        case LinesEdit():
            return [line.text for line in edit.lines if line.mark == "+"]
        case StringEdit():
            return lines_of(edit.new)
        case InsertEdit():
            return lines_of(edit.text)


class _Present(Mapping[str, bytes]):
    """The files as the sections so far left them."""

    def __init__(self, files: Mapping[str, bytes], now: Mapping[str, bytes | None]) -> None:
        self._files, self._now = files, now

    def __getitem__(self, path: str) -> bytes:
        data = self._now[path] if path in self._now else self._files[path]
        if data is None:
            raise KeyError(path)
        return data

    def __iter__(self) -> Iterator[str]:
        yield from (path for path in self._files if self._now.get(path, b"") is not None)
        yield from (path for path, data in self._now.items() if data is not None and path not in self._files)

    def __len__(self) -> int:
        return sum(1 for _path in self)


def _restyled(file: Snapshot, content: str, *, said_end: bool) -> str:
    """A whole new content in the file's own style: lines that stay keep their ends, new ones take their neighbour's.

    Without `said_end` the final newline is that of the file, because the answer had no way to leave it out.
    """
    new = lines_of(content.removeprefix(BOM))
    spans = [Span(a0, a1, tuple(new[b0:b1])) for a0, a1, b0, b1 in hunk_ranges(file.lines, new)]
    return rebuilt(file, spans, content.endswith(("\n", "\r")) if said_end or not file.lines else None)
