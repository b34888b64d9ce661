"""Every place where a run of lines stands in a file, for one way of comparing lines."""

from __future__ import annotations

from collections.abc import Sequence

from kiro_lsp.changes.edits.answer import Line
from kiro_lsp.changes.edits.keys import key_of
from kiro_lsp.changes.edits.snapshot import Snapshot

_COMPARISONS = 20_000_000
"""Line comparisons one search may take; what would cost more is given up as not found."""


def _readings(file: Snapshot, line: Line, key: int, *, both: bool) -> list[str]:
    """The keys that a line of the file may have to be this one; only such as the file has."""
    texts = [line.text] if line.unmarked is None or not both else [line.text, line.unmarked]
    known = file.positions(key)
    return list(dict.fromkeys(found for text in texts if (found := key_of(text, key)) in known))


def starts(file: Snapshot, old: Sequence[Line], key: int, *, both: bool) -> list[int]:
    """Every line of the file where `old` begins, compared by `key`; all readings of its lines count when `both`."""
    wanted = [_readings(file, line, key, both=both) for line in old]
    if not all(wanted) or len(old) > len(file.lines):
        return []
    positions = file.positions(key)
    rarest = min(range(len(wanted)), key=lambda i: sum(len(positions[text]) for text in wanted[i]))
    candidates = sorted({at - rarest for text in wanted[rarest] for at in positions[text]})
    if len(candidates) * len(old) > _COMPARISONS:
        return []
    lines, length = file.keys(key), len(old)
    if all(len(texts) == 1 for texts in wanted):
        exact = [texts[0] for texts in wanted]
        return [at for at in candidates if at >= 0 and lines[at : at + length] == exact]
    return [
        at
        for at in candidates
        if 0 <= at <= len(lines) - length and all(lines[at + index] in texts for index, texts in enumerate(wanted))
    ]
