"""Two changes of one text made into one, where they clearly do not meet; a conflict with both versions where they do.

Lines first: changes of both sides that share no base line and have at least one unchanged line between them are both
taken, the same change on both sides counts once. Changes that touch are a conflict, as for git, with one exception
that the words of the lines decide (`_by_words`). Line ends and the final newline are parts of their lines, so they
follow whoever changed them; a byte order mark does too. Pure values: no file, no marker in a text that nobody asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from kiro_lsp.changes.diff import Range, hunk_ranges
from kiro_lsp.changes.lineends import BOM, with_ends_of
from kiro_lsp.spec.lines import split_lines

Span = tuple[int, int]
"""First line and the line after the last, 0-based."""

_WORD = re.compile(r"\r\n|[\r\n]|[^\S\r\n]+|\S+")
_TOLD = re.compile(r"\w")
_WORDS: Final = 400
"""Above this many words a conflict is not looked into: the work stays linear, and nobody calls such a merge clear."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """A place that both sides changed, differently. The spans are lines of the three texts, the texts what they hold."""

    base: Span
    ours: Span
    theirs: Span
    base_text: str
    ours_text: str
    theirs_text: str


@dataclass(frozen=True, slots=True)
class Merge:
    """`pieces` are the merged text in order, with a Conflict wherever there is no one text.

    `refined` are the lines of the base where both sides changed something and the words decided that both hold.
    """

    pieces: tuple[str | Conflict, ...]
    refined: tuple[Span, ...] = ()

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        return tuple(piece for piece in self.pieces if isinstance(piece, Conflict))

    @property
    def text(self) -> str | None:
        """The merged text, None when there is a conflict."""
        texts = [piece for piece in self.pieces if isinstance(piece, str)]
        return "".join(texts) if len(texts) == len(self.pieces) else None


def merge(base: str, ours: str, theirs: str) -> Merge:
    """What `ours` and `theirs` make of `base` together. With the sides exchanged the same, conflicts exchanged too."""
    marks = [text.startswith(BOM) for text in (base, ours, theirs)]
    mark = marks[2] if marks[1] == marks[0] else marks[1]
    lines = [split_lines(text.removeprefix(BOM)) for text in (base, ours, theirs)]
    pieces: list[str | Conflict] = [BOM] if mark else []
    refined: list[Span] = []
    position = 0
    for spans in _regions(hunk_ranges(lines[0], lines[1]), hunk_ranges(lines[0], lines[2])):
        pieces += lines[0][position : spans[0][0]]
        position = spans[0][1]
        region = [side[start:end] for side, (start, end) in zip(lines, spans, strict=True)]
        old, mine, other = region
        if other in (mine, old):
            pieces += mine
        elif old == mine:
            pieces += other
        elif (words := _by_words(old, mine, other)) is not None:
            pieces.append(words)
            refined.append(spans[0])
        else:
            pieces.append(Conflict(*spans, *("".join(part) for part in region)))
    pieces += lines[0][position:]
    return Merge(tuple(_joined(pieces)), tuple(refined))


def merge_into(ours: str, base: str, theirs: str) -> Merge:
    """As `merge`, for `ours` as a file or an editor holds it: its mark and its line ends stay.

    Where all its lines end alike and those of the base do not end so, the two others are read with its line ends.
    """
    mark = BOM if ours.startswith(BOM) else ""
    texts = [with_ends_of(text.removeprefix(BOM), base, ours) for text in (base, theirs)]
    return merge(mark + texts[0], ours, mark + texts[1])


def with_markers(merged: Merge, labels: tuple[str, str, str] = ("ours", "base", "theirs")) -> str:
    """The merged text with git's conflict markers, the base between the two versions."""
    return "".join(piece if isinstance(piece, str) else _marked(piece, labels) for piece in merged.pieces)


def _marked(conflict: Conflict, labels: tuple[str, str, str]) -> str:
    texts = (conflict.ours_text, conflict.base_text, conflict.theirs_text)
    end = next((found[0] for text in texts if (found := re.search(r"\r\n|\r|\n", text))), "\n")
    parts: list[str] = []
    for sign, label, text in zip("<|>", labels, texts, strict=True):
        if sign == ">":
            parts += ["=" * 7, end]
        else:
            parts += [sign * 7, " ", label, end]
        parts += [text, "" if not text or text.endswith(("\n", "\r")) else end]
    return "".join([*parts, ">" * 7, " ", labels[2], end])


def _regions(ours: Sequence[Range], theirs: Sequence[Range]) -> Iterator[tuple[Span, Span, Span]]:
    """Where a side differs from the base: changes that share a line or touch are one region, in all three texts."""
    shifts = [0, 0]
    waiting = [list(reversed(ours)), list(reversed(theirs))]
    while waiting[0] or waiting[1]:
        start = min(ranges[-1][0] for ranges in waiting if ranges)
        end, before = start, list(shifts)
        while side := _next(waiting, end):
            a0, a1, b0, b1 = waiting[side - 1].pop()
            end = max(end, a1)
            shifts[side - 1] += (b1 - b0) - (a1 - a0)
        spans = [(start + was, end + now) for was, now in zip(before, shifts, strict=True)]
        yield (start, end), spans[0], spans[1]


def _next(waiting: Sequence[list[Range]], end: int) -> int:
    """The side (1 or 2) whose next change begins at `end` or before it, 0 for none."""
    return next((side for side, ranges in enumerate(waiting, 1) if ranges and ranges[-1][0] <= end), 0)


def _joined(pieces: Sequence[str | Conflict]) -> Iterator[str | Conflict]:
    """Neighbouring texts as one."""
    texts: list[str] = []
    for piece in pieces:
        if isinstance(piece, str):
            texts.append(piece)
            continue
        if texts:
            yield "".join(texts)
            texts = []
        yield piece
    if texts:
        yield "".join(texts)


def _by_words(base: Sequence[str], ours: Sequence[str], theirs: Sequence[str]) -> str | None:
    """Both changes of the same lines, or of neighbouring ones, where that is clearly what both sides meant; else None.

    The rule: no side added, removed or joined lines. Words are what blanks separate. Every line that a side changed
    keeps at least half of its words there, so it is still the same line. Between a change of one side and one of the
    other stands a word with a letter or digit that neither touched. Anything else is in doubt, and refused.
    """
    if not len(base) == len(ours) == len(theirs):
        return None
    texts = ["".join(side) for side in (base, ours, theirs)]
    words, mine, other = (_WORD.findall(text) for text in texts)
    if max(len(words), len(mine), len(other)) > _WORDS:
        return None
    found = [_word_changes(base, ours), _word_changes(base, theirs)]
    if found[0] is None or found[1] is None:
        return None
    sides: dict[tuple[int, int, str], int] = {}
    for number, (ranges, new) in enumerate(((found[0], mine), (found[1], other)), 1):
        for start, end, new_start, new_end in ranges:
            change = (start, end, "".join(new[new_start:new_end]))
            sides[change] = sides.get(change, 0) + number  # 3: both sides did the same
    pieces: list[str] = []
    position, last = 0, 0
    for (start, end, text), side in sorted(sides.items()):
        if start < position or (
            last not in (0, side) and not any(_TOLD.search(word) for word in words[position:start])
        ):
            return None
        pieces += [*words[position:start], text]
        position, last = end, side
    return "".join([*pieces, *words[position:]])


def _word_changes(base: Sequence[str], side: Sequence[str]) -> list[Range] | None:
    """The changed words of lines that stand for each other, counted over all of them; None where a line is another."""
    found: list[Range] = []
    before = after = 0
    for old, new in zip(base, side, strict=True):
        old_words, new_words = _WORD.findall(old), _WORD.findall(new)
        ranges = hunk_ranges(old_words, new_words)
        told = sum(not word.isspace() for word in old_words)
        lost = sum(not word.isspace() for a0, a1, _b0, _b1 in ranges for word in old_words[a0:a1])
        if ranges and (told == 0 or 2 * lost > told):
            return None
        found += [(before + a0, before + a1, after + b0, after + b1) for a0, a1, b0, b1 in ranges]
        before, after = before + len(old_words), after + len(new_words)
    return found
