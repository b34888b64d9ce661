"""The edits of one file, placed together: every one in the text as it was, all of them or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kiro_lsp.changes.edits import diagnose
from kiro_lsp.changes.edits.already import stands_already
from kiro_lsp.changes.edits.answer import Edit, Failure, InsertEdit, LinesEdit, Placed, Reason, StringEdit
from kiro_lsp.changes.edits.blocks import block_of, lines_of, without_blank_ends
from kiro_lsp.changes.edits.build import Span, conflicts, rebuilt, spans_of
from kiro_lsp.changes.edits.characters import Piece, clashes, disjoint, doubles, line_spans, occurrences
from kiro_lsp.changes.edits.ladder import RUNS_RUNG, TIERS, Place, locate
from kiro_lsp.changes.edits.snapshot import Snapshot

_MOST_LATE = 20
"""Edits of one answer that may quote what others of it wrote."""

Numbered = tuple[int, Edit]
"""An edit with its 0-based number in the answer."""


@dataclass(frozen=True, slots=True)
class Result:
    """`text` is the new content, None when anything failed."""

    text: str | None
    placed: tuple[Placed, ...] = ()
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True, slots=True)
class _Landing:
    """Where one edit landed (`line` is 1-based): the lines or the pieces it replaces, what it says of the last line end."""

    line: int
    tier: int = 0
    spans: tuple[Span, ...] = ()
    pieces: tuple[Piece, ...] = ()
    final_newline: bool | None = None


def place_all(path: str, file: Snapshot, edits: Sequence[Numbered]) -> Result:
    """Place all edits in one text. An edit that stands twice in the answer, word for word, counts once.

    An edit without a place in the text as it was is tried once more on the text that the others make.
    """
    placer = _Placer(path, file)
    late = [numbered for numbered in _once(edits) if not placer.place(*numbered)]
    placer.check_conflicts()
    if placer.failures or not placer.landed:
        missing = [_missing(path, file, *numbered) for numbered in late]
        return Result(None, failures=(*placer.failures, *missing))
    result = Result(placer.text(), placer.notes())
    for done, (number, edit) in enumerate(late):
        earlier: str | None = placer.text(before=number)
        for before in late[:done]:
            earlier = _on_top(path, earlier or "", *before).text
        on_earlier = _on_top(path, earlier or "", number, edit)
        on_all = _on_top(path, result.text or "", number, edit)
        # What a later edit of the answer wrote must have no part in it.
        if on_earlier.text is None or on_all.text is None or len(late) > _MOST_LATE:
            return Result(None, failures=(_missing(path, file, number, edit),))
        result = Result(on_all.text, (*result.placed, *on_all.placed))
    return result


def _on_top(path: str, text: str, number: int, edit: Edit) -> Result:
    """One edit on a text that earlier ones of the answer made; without a text when it has no clear place there."""
    placer = _Placer(path, Snapshot.of_text(text))
    if not placer.place(number, edit) or placer.failures:
        return Result(None)
    note = replace(placer.notes()[0], note="found in what an earlier edit of the answer wrote")
    return Result(placer.text(), (note,))


class _Placer:
    """Edits of one text, one after another; what landed and what failed."""

    def __init__(self, path: str, file: Snapshot) -> None:
        self._path, self._file = path, file
        self.landed: dict[int, _Landing] = {}
        self.failures: list[Failure] = []

    def place(self, number: int, edit: Edit) -> bool:
        """Find an edit's place; False when it has none. Any other trouble becomes a failure."""
        match edit:
            case InsertEdit():
                return self._insert(number, edit)
            case StringEdit():
                return self._string(number, edit)
            case LinesEdit():
                return self._lines(number, edit)

    def _insert(self, number: int, edit: InsertEdit) -> bool:
        last = len(self._file.lines)
        if 0 <= edit.after <= last:
            span = Span(edit.after, edit.after, tuple(lines_of(edit.text)))
            self.landed[number] = _Landing(edit.after + 1, spans=(span,))
        else:
            hint = f"{self._path} has {last} lines: nothing can be put in after line {edit.after}."
            self._fail(number, "not-found", hint, [max(last, 1)])
        return True

    # By lines

    def _lines(self, number: int, edit: LinesEdit, highest: int = len(TIERS) - 1) -> bool:
        if all(line.mark == "+" for line in edit.lines):
            return self._without_old(number, edit)
        search = locate(self._file, edit, highest)
        if not search.places and search.outside is None and (bare := without_blank_ends(edit)) is not None:
            bare_search = locate(self._file, bare, RUNS_RUNG)
            edit, search = (bare, bare_search) if bare_search.place else (edit, search)
        if len(search.places) > 1:
            self._ambiguous(number, [place.first + 1 for place in search.places])
            return True
        if search.outside is not None:
            line = search.outside.first + 1
            self._fail(number, "not-found", diagnose.before_anchor(self._path, line, edit.anchors), [line])
            return True
        place = search.place
        if place is not None and self._changes_last_end(edit, place):
            already = None
        elif place is None or place.rung > RUNS_RUNG:
            already = stands_already(self._file, edit)
        else:
            already = stands_already(self._file, edit, place)
        if already is not None:
            self._already(number, already)
        elif place is None:
            return False
        else:
            self._land(number, edit, place)
        return True

    def _without_old(self, number: int, edit: LinesEdit) -> bool:
        """Only new lines: right for an empty file, or at the end of one when the answer says so."""
        new = [line.text for line in edit.lines]
        last = len(self._file.lines)
        if last and not edit.at_end:
            hint = f"The edit adds lines to {self._path} and does not say where: quote unchanged lines before or after them."
            self._fail(number, "ambiguous", hint)
        elif last and self._file.lines[-len(new) :] == new:
            self._already(number, last - len(new))
        else:
            self.landed[number] = _Landing(last + 1, 0, (Span(last, last, tuple(new)),), (), edit.new_newline)
        return True

    def _changes_last_end(self, edit: LinesEdit, place: Place) -> bool:
        """Whether the edit gives or takes the line end of the file's last line."""
        newline = self._newline(edit, place)
        return newline is not None and newline != bool(self._file.ends[-1])

    def _newline(self, edit: LinesEdit, place: Place) -> bool | None:
        return edit.new_newline if place.last == len(self._file.lines) - 1 else None

    def _land(self, number: int, edit: LinesEdit, place: Place) -> None:
        spans = tuple(spans_of(self._file, edit, place))
        newline = self._newline(edit, place)
        self.landed[number] = _Landing(place.first + 1, place.rung, spans, (), newline)

    # By characters

    def _string(self, number: int, edit: StringEdit) -> bool:
        old, new = "\n".join(_split(edit.old)), "\n".join(_split(edit.new))
        text = self._file.unified
        if not old:
            return self._fill(number, new)
        found = occurrences(text, old)
        lines = [text.count("\n", 0, at) + 1 for at in found[:1000]]
        if not found:
            return self._string_by_lines(number, edit, old, new)
        if (len(found) > 1 and not edit.every) or edit.expected not in (None, len(found)):
            self._ambiguous(number, lines)
        elif not edit.every and doubles(text, found[0], old, new):
            self._already(number, lines[0] - 1)
        else:
            pieces = tuple(Piece(at, at + len(old), new, number) for at in disjoint(found, len(old)))
            self.landed[number] = _Landing(lines[0], pieces=pieces)
        return True

    def _fill(self, number: int, new: str) -> bool:
        if self._file.lines:
            hint = (
                f"The old text is empty, but {self._path} is not: quote the text to replace, or write the whole file."
            )
            self._fail(number, "ambiguous", hint)
        else:
            span = Span(0, 0, tuple(lines_of(new)))
            self.landed[number] = _Landing(1, 0, (span,), (), new.endswith("\n"))
        return True

    def _string_by_lines(self, number: int, edit: StringEdit, old: str, new: str) -> bool:
        """Whole lines may be found with what the first rungs tolerate; a part of a line only as it is."""
        text = self._file.unified
        if new.strip() and len(already := occurrences(text, new)) == 1:
            self._already(number, text.count("\n", 0, already[0]))
            return True
        by_lines = block_of(lines_of(old), lines_of(new), answer_line=edit.answer_line)
        # Every place is meant of the very text only: what is merely like it must be one place.
        return self._lines(number, by_lines, RUNS_RUNG)

    # All together

    def check_conflicts(self) -> None:
        """Two edits that change the same lines are failures."""
        pieces = [piece for landing in self.landed.values() for piece in landing.pieces]
        clash = clashes(pieces)
        if not clash:
            spans, _newline = self._spans(self.landed)
            clash = conflicts(spans)
        named = " and ".join(str(number) for number in sorted(clash))
        for number in sorted(clash):
            hint = f"Edits {named} of the answer change the same lines of {self._path}: send one edit for them."
            self._fail(number, "conflict", hint, [self.landed[number].line])

    def _spans(self, landed: dict[int, _Landing]) -> tuple[list[tuple[int, Span]], bool | None]:
        spans, newline = line_spans(self._file, [piece for landing in landed.values() for piece in landing.pieces])
        for number, landing in landed.items():
            spans += [(number, span) for span in landing.spans]
            newline = landing.final_newline if landing.final_newline is not None else newline
        return spans, newline

    def text(self, before: int | None = None) -> str:
        """The file with everything that landed; only the edits with a lower number when `before` is given."""
        chosen = {number: landing for number, landing in self.landed.items() if before is None or number < before}
        spans, newline = self._spans(chosen)
        return rebuilt(self._file, [span for _number, span in spans], newline)

    def notes(self) -> tuple[Placed, ...]:
        return tuple(
            Placed(self._path, number, landing.line, landing.tier, TIERS[landing.tier] if landing.tier else "")
            for number, landing in sorted(self.landed.items())
        )

    def _ambiguous(self, number: int, lines: Sequence[int]) -> None:
        self._fail(number, "ambiguous", diagnose.ambiguous(self._path, lines), lines)

    def _already(self, number: int, line: int) -> None:
        self._fail(number, "already-applied", diagnose.already_applied(self._path, line + 1), [line + 1])

    def _fail(self, number: int, reason: Reason, hint: str, lines: Sequence[int] = ()) -> None:
        self.failures.append(Failure(self._path, number, reason, hint, tuple(lines)))


def _once(edits: Sequence[Numbered]) -> list[Numbered]:
    seen: set[Edit] = set()
    found: list[Numbered] = []
    for number, edit in edits:
        alike = replace(edit, answer_line=0)
        if alike not in seen:
            seen.add(alike)
            found.append((number, edit))
    return found


def _split(text: str) -> list[str]:
    """The text cut at every line end; joined by `\\n` it is what an exact search looks for."""
    lines = lines_of(text)
    return [*lines, ""] if text.endswith(("\n", "\r")) or not lines else lines


def _missing(path: str, file: Snapshot, number: int, edit: Edit) -> Failure:
    hint_line = edit.line_hint if isinstance(edit, LinesEdit) else None
    old = diagnose.old_lines(edit) if isinstance(edit, LinesEdit) else lines_of(getattr(edit, "old", ""))
    hint, near, difference = diagnose.not_found(path, file, old, hint_line)
    return Failure(path, number, "not-found", hint, tuple(near), difference)
