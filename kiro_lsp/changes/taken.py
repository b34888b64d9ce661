"""Which pending hunks a text holds: what a person took of an edit in an editor that does not say it. Pure.

The answer is exact: the hunks whose application to the current content gives the text, or None when no choice of them
does, because something else was changed too. Line ends are the editor's own business and are not compared.
"""

from __future__ import annotations

import re

from kiro_lsp.changes.lineends import text_of
from kiro_lsp.changes.review import Review
from kiro_lsp.spec.lines import split_lines

_END = re.compile(r"\r\n|\r")


def taken_hunks(review: Review, path: str, text: str) -> frozenset[str] | None:
    """Ids of the pending hunks of `path` that `text` (as an editor holds it) contains; None if it is no choice of them."""
    current = text_of(review.current(path))
    if current is None:
        return None
    old, now = split_lines(_plain(current)), split_lines(_plain(text))
    places: dict[int, tuple[str, ...]] = {0: ()}
    """Where in `now` a walk through `old` can be, with what it took on the way."""
    at = 0
    for shown in review.shown_hunks(path):
        if shown.status != "pending" or shown.hunk.operation != "edit":
            continue
        start, after = shown.base
        new = split_lines(_plain("".join(shown.hunk.new)))
        found: dict[int, tuple[str, ...]] = {}
        for place, chosen in places.items():
            here = place + start - at
            if now[place:here] != old[at:start]:
                continue
            for lines, taken in ((new, (*chosen, shown.hunk.id)), (old[start:after], chosen)):
                if now[here : here + len(lines)] == lines:
                    found.setdefault(here + len(lines), taken)
        places, at = found, after
    return next((frozenset(chosen) for place, chosen in places.items() if now[place:] == old[at:]), None)


def _plain(text: str) -> str:
    return _END.sub("\n", text)
