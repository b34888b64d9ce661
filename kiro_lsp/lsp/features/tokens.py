"""Colours by meaning: ids, tags, marks, metadata keys and references of a spec, whole, as a change, or of what is shown."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from kiro_lsp.lsp.client import Client

if TYPE_CHECKING:
    from kiro_lsp.lsp.views import View
    from kiro_lsp.spec.assemble import Parsed

NEEDS = ("kiro_lsp.spec.navigation.tokens",)
TYPES: Final = ("number", "decorator", "keyword", "property", "variable")
MODIFIERS: Final = ("declaration",)
_WIRE: Final = {
    "id": (0, 1),
    "tag": (1, 0),
    "mark": (2, 0),
    "key": (3, 0),
    "requirement": (4, 0),
    "dependency": (0, 0),
}
"""Meaning → (number of the type, bits of the modifiers)."""
_KEPT: Final = "tokens"
_KEPT_RESULTS: Final = 3
"""More than the last one: what was found for a text that changed before it was sent is never heard of by the client."""
_EACH: Final = 5
_NUMBERS: Final = itertools.count(1)
"""Of results: no two have the same, also when a document was closed and opened again."""

Placed = tuple[int, int, int, int, int]
"""Line, start and length in the client's units, type, modifiers."""


def capabilities(client: Client) -> dict[str, Any]:
    if not client.takes_semantic_tokens:
        return {}
    legend = {"tokenTypes": list(TYPES), "tokenModifiers": list(MODIFIERS)}
    return {"semanticTokensProvider": {"legend": legend, "range": True, "full": {"delta": True}}}


async def full(view: View, _params: Mapping[str, Any]) -> Any:
    number, data = await _result(view)
    return {"resultId": number, "data": data}


async def delta(view: View, params: Mapping[str, Any]) -> Any:
    """The change since an answer of late; everything when the client speaks of an older one."""
    known: Mapping[str, list[int]] = view.kept.get(_KEPT, {})
    before = known.get(str(params.get("previousResultId")))
    number, data = await _result(view)
    if before is None:
        return {"resultId": number, "data": data}
    return {"resultId": number, "edits": changed_numbers(before, data)}


async def in_range(view: View, params: Mapping[str, Any]) -> Any:
    asked = params.get("range")
    asked = asked if isinstance(asked, Mapping) else {}
    first, last = view.position(asked.get("start", {}))[0], view.position(asked.get("end", {}))[0]
    return {"data": encoded([token for token in await _placed(view) if first <= token[0] <= last])}


async def _result(view: View) -> tuple[str, list[int]]:
    """(Its id, the numbers) for this text; the last ones are kept from version to version of the document."""
    placed = await _placed(view)
    known: tuple[str, list[int]] | None = view.cache.get("tokens on the wire")
    if known is None:
        known = (str(next(_NUMBERS)), encoded(placed))
        view.cache["tokens on the wire"] = known
        last: dict[str, list[int]] = view.kept.get(_KEPT, {})
        view.kept[_KEPT] = dict([*last.items(), known][-_KEPT_RESULTS:])
    return known


async def _placed(view: View) -> list[Placed]:
    parsed = await view.parsed()
    return await view.once("tokens", lambda: _make(view, parsed))


def _make(view: View, parsed: Parsed) -> list[Placed]:
    from kiro_lsp.spec.navigation.tokens import tokens_of

    placed: list[Placed] = []
    for line, start, end, meaning in tokens_of(parsed, with_tasks=view.is_task_file):
        first, after = start, end
        if not view.lines[line].isascii():
            found = view.range(line, start, end)
            first, after = found["start"]["character"], found["end"]["character"]
        placed.append((line, first, after - first, *_WIRE[meaning]))
    return placed


def encoded(placed: Sequence[Placed]) -> list[int]:
    """Five numbers for each token, places relative to the token before."""
    data: list[int] = []
    above = column = 0
    for line, start, length, kind, modifiers in placed:
        data += (line - above, start - column if line == above else start, length, kind, modifiers)
        above, column = line, start
    return data


def changed_numbers(old: Sequence[int], new: Sequence[int]) -> list[dict[str, Any]]:
    """At most one edit, of whole tokens, that makes the new numbers of the old ones."""
    if old == new:
        return []
    shorter = min(len(old), len(new))
    head = next((at for at in range(shorter) if old[at] != new[at]), shorter)
    head -= head % _EACH
    room = shorter - head
    tail = next((at for at in range(room) if old[-1 - at] != new[-1 - at]), room)
    tail -= tail % _EACH
    return [{"start": head, "deleteCount": len(old) - head - tail, "data": list(new[head : len(new) - tail])}]


METHODS = {
    "textDocument/semanticTokens/full": full,
    "textDocument/semanticTokens/full/delta": delta,
    "textDocument/semanticTokens/range": in_range,
}
EMPTY: dict[str, Any] = {method: {"data": []} for method in METHODS}
