"""Whether an edit was made before: its new side stands in the file."""

from __future__ import annotations

from collections.abc import Sequence

from kiro_lsp.changes.edits.answer import LinesEdit
from kiro_lsp.changes.edits.keys import EXACT, LOOK_ALIKE, key_of
from kiro_lsp.changes.edits.ladder import Place
from kiro_lsp.changes.edits.snapshot import Snapshot


def stands_already(file: Snapshot, edit: LinesEdit, place: Place | None = None) -> int | None:
    """The 0-based line where the new side of an edit stands already; None when it does not.

    With the `place` of the old side only an occurrence that covers it counts: there, making the edit again would
    double it.
    """
    new = [line.text for line in edit.lines if line.mark not in {"-", "~"}]
    if not any(line.mark == "+" for line in edit.lines) and (place is not None or len(new) < 2):
        return None
    if not any(text.strip() for text in new):
        return None
    for rung in (EXACT, LOOK_ALIKE):
        wanted = [key_of(text, rung) for text in new]
        keys = file.keys(rung)
        for at in _occurrences(file, wanted, rung):
            if keys[at : at + len(wanted)] != wanted:
                continue
            if place is None or (at <= place.first and place.last < at + len(wanted)):
                return at
    return None


def _occurrences(file: Snapshot, wanted: Sequence[str], rung: int) -> list[int]:
    positions = file.positions(rung)
    if not all(text in positions for text in wanted):
        return []
    rarest = min(range(len(wanted)), key=lambda index: len(positions[wanted[index]]))
    return [at - rarest for at in positions[wanted[rarest]][:10_000] if at >= rarest]
