"""A change set beside files that somebody went on writing: what an accept would make of each as it is now.

The change is merged into the text of now, and every hunk gets its place in what is compared then. Where both changed the
same, the proposal stands on the right, so that both can be seen, and the hunk says so: an accept would refuse it. Nothing
is decided and nothing is read here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kiro_lsp.changes.changeset import is_binary
from kiro_lsp.changes.diff import Range, hunk_ranges
from kiro_lsp.changes.lineends import same_text, text_of, with_ends_of
from kiro_lsp.changes.merge import Span, merge
from kiro_lsp.changes.review import Review
from kiro_lsp.spec.lines import split_lines


@dataclass(frozen=True, slots=True)
class Placed:
    """A hunk where it is drawn now: lines of the two texts; `conflict` where somebody else changed the same lines."""

    base: Span
    proposed: Span
    conflict: bool


@dataclass(frozen=True, slots=True)
class Moved:
    """A file that is not any more what its change starts from: what it holds now, and would hold with what is pending."""

    now: str
    result: str
    hunks: Mapping[str, Placed]


def moved(review: Review, path: str, now: str) -> Moved | None:
    """`now` is the text of a file of the review, without a mark.

    None where it holds what the review starts from (line ends aside), and where its change is never merged.
    """
    data = review.current(path), review.proposed(path)
    texts = [None if side is None or is_binary(side) else text_of(side) for side in data]
    base, wanted = texts
    if path not in review.mergeable() or base is None or wanted is None or same_text(base, now):
        return None
    base, wanted = (with_ends_of(text, base, now) for text in (base, wanted))
    merged = merge(base, now, wanted)
    result = "".join(piece if isinstance(piece, str) else piece.theirs_text for piece in merged.pieces)
    lines = [split_lines(text) for text in (base, now, wanted, result)]
    left, right = hunk_ranges(lines[0], lines[1]), hunk_ranges(lines[2], lines[3])
    met = [conflict.base for conflict in merged.conflicts]
    return Moved(
        now,
        result,
        {
            shown.hunk.id: Placed(
                _followed(shown.base, left),
                _followed(shown.proposed, right),
                any(start <= shown.base[0] and shown.base[1] <= end for start, end in met),
            )
            for shown in review.shown_hunks(path)
        },
    )


def _followed(span: Span, ranges: Sequence[Range]) -> Span:
    """Where lines of one text are in another, by what differs; lines that changed themselves are where their place is."""
    start, end = span
    first = last = 0
    for a0, a1, b0, b1 in ranges:
        if a1 <= start and a0 < start:
            first = b1 - a1
        elif a0 <= start < a1:
            first = b0 - start
        if a1 <= end and a0 < end:
            last = b1 - a1
        elif a0 < end < a1:
            last = b1 - end
    return start + first, max(start + first, end + last)
