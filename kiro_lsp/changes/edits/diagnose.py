"""Why an edit has no place, said so that a model can mend it: the nearest lines, and the first one that differs.

Similarity is used here and nowhere else: to write the message, never to choose a place.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Sequence

from kiro_lsp.changes.edits.answer import Difference, LinesEdit
from kiro_lsp.changes.edits.keys import EXACT, LOOK_ALIKE, RUNS, key_of
from kiro_lsp.changes.edits.snapshot import Snapshot

_CANDIDATES = 3
_OCCURRENCES = 50
"""Places of one line that vote; a line that stands everywhere says nothing."""
_COMPARED = 5_000
"""Lines of a file that are compared letter by letter."""
_WORD = re.compile(r"\w+")
_SHOWN = 200


def nearest(file: Snapshot, old: Sequence[str], hint: int | None = None) -> list[int]:
    """0-based lines where `old` was most likely meant to start, the likeliest first; none only for an empty file."""
    if not file.lines:
        return []
    votes: Counter[int] = Counter()
    positions = file.positions(RUNS)
    for index, line in enumerate(old):
        key = key_of(line, RUNS)
        found = positions.get(key, []) if key else []
        if len(found) <= _OCCURRENCES:
            for at in found:
                votes[max(0, at - index)] += 1 + min(len(key), 40)
    if not votes:
        votes = _by_words(file, old) or _by_letters(file, old)
    ranked = sorted(votes, key=lambda at: (-votes[at], abs(at - hint) if hint is not None else at))
    if not ranked:
        ranked = [min(max((hint or 1) - 1, 0), len(file.lines) - 1)]
    return ranked[:_CANDIDATES]


def _by_words(file: Snapshot, old: Sequence[str]) -> Counter[int]:
    """The lines that share most words with the longest old line."""
    votes: Counter[int] = Counter()
    lead = max(range(len(old)), key=lambda index: len(old[index].strip()), default=None)
    if lead is None:
        return votes
    words = set(_WORD.findall(old[lead]))
    if not words:
        return votes
    for number, line in enumerate(file.lines):
        shared = len(words.intersection(_WORD.findall(line))) if line else 0
        if shared * 2 > len(words):
            votes[max(0, number - lead)] = shared
    return votes


def _by_letters(file: Snapshot, old: Sequence[str]) -> Counter[int]:
    """The lines that read most like the longest old line, among the first of the file."""
    lead = max(range(len(old)), key=lambda index: len(old[index].strip()), default=0)
    wanted = old[lead].strip()[:_SHOWN] if old else ""
    if not wanted:
        return Counter()
    known = {line.strip()[:_SHOWN]: number for number, line in reversed(list(enumerate(file.lines[:_COMPARED])))}
    close = difflib.get_close_matches(wanted, known, n=_CANDIDATES, cutoff=0.6)
    return Counter({max(0, known[line] - lead): len(close) - rank for rank, line in enumerate(close)})


def first_difference(file: Snapshot, old: Sequence[str], start: int) -> Difference | None:
    """The first line of `old` that the file does not have when `old` is laid at line `start` (0-based)."""
    for rung in (RUNS, LOOK_ALIKE, EXACT):
        for index, sent in enumerate(old):
            at = start + index
            found = file.lines[at] if at < len(file.lines) else ""
            if key_of(sent, rung) != key_of(found, rung):
                return Difference(min(at, max(len(file.lines) - 1, 0)) + 1, sent, found)
    return None


def not_found(
    path: str, file: Snapshot, old: Sequence[str], hint: int | None
) -> tuple[str, list[int], Difference | None]:
    """The message, the candidates (1-based) and the first difference for old lines that have no place."""
    near = nearest(file, old, hint)
    if not near:
        return f"{path} is empty: there is nothing to change in it. Send the whole file instead.", [], None
    difference = first_difference(file, old, near[0])
    keys = file.keys(RUNS)
    agree = sum(
        key_of(line, RUNS) == keys[near[0] + index] for index, line in enumerate(old) if near[0] + index < len(keys)
    )
    said = [f"The lines to change were not found in {path}, also not with white space or look-alike characters aside."]
    said.append(f"The closest place is line {near[0] + 1}, where {agree} of {len(old)} lines agree.")
    if difference is not None:
        said.append(
            f"The first that differs is line {difference.line}: sent {_shown(difference.sent)}, "
            f"the file has {_shown(difference.found)}."
        )
    said.append(
        "Read the file again and copy the lines exactly as they are; keep the edit short (under 1,000 characters)."
    )
    return " ".join(said), [at + 1 for at in near], difference


def ambiguous(path: str, lines: Sequence[int]) -> str:
    """The message for an edit with several places; `lines` are 1-based."""
    shown = ", ".join(map(str, lines[:50]))
    more = f" (the first 50 of {len(lines)})" if len(lines) > 50 else ""
    return (
        f"The lines to change stand at {len(lines)} places in {path}: lines {shown}{more}. Nothing was changed. "
        "Add unchanged lines before or after them until they fit one place only, or name the enclosing function or class "
        "in an @@ line."
    )


def before_anchor(path: str, line: int, anchors: Sequence[str]) -> str:
    """The message for lines whose only place is before what the anchor names; `line` is 1-based."""
    return (
        f"The lines to change stand in {path} at line {line} only, which is before {_shown(' / '.join(anchors))}. "
        "Read the file again: quote the lines below the @@ line as they are, or leave the @@ line out."
    )


def already_applied(path: str, line: int) -> str:
    return (
        f"{path} holds the new text already, at line {line}: this edit was made before. Leave it out, or read the file "
        "again if something else was meant."
    )


def _shown(line: str) -> str:
    return repr(line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…")


def old_lines(edit: LinesEdit) -> list[str]:
    return [line.text for line in edit.lines if line.mark in (" ", "-")]
