"""What a task or a requirement is about, where the pointer rests on it."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from kiro_lsp.lsp.aside import aside
from kiro_lsp.lsp.client import Client

if TYPE_CHECKING:
    from kiro_lsp.lsp.endpoint import Raw
    from kiro_lsp.lsp.views import View
    from kiro_lsp.spec.navigation.hover import Hovers

    _Sent = tuple[Hovers, dict[tuple[int, int], Raw], dict[tuple[int, int], Raw]]
    """The hovers, what was answered from them by line and column in characters, and by positions as the client counts."""

_PRICES = "genai_prices.data"

NEEDS = ("kiro_lsp.spec.navigation.hover", "kiro_lsp.spec.glance")
_KEPT: Final = "hover"
_SENT: Final = "hovers sent"
"""The last hovers and what was answered from them: a pointer rests on few places, and clients ask again for the same."""
_SENT_AT_MOST: Final = 1000
_AT_ONCE_LINES: Final = 2000
"""In so many lines one task is found on the loop: a thread would take as long."""


def capabilities(_client: Client) -> dict[str, Any]:
    return {"hoverProvider": True}


def known(view: View, params: Mapping[str, Any]) -> Raw | None:
    """What was answered for the same place, while nothing that it was made of has changed."""
    sent: _Sent | None = view.cache.get(_SENT)
    if sent is None or view.known_facts() is not sent[0].facts:
        return None
    position = params["position"]
    return sent[2].get((position["line"], position["character"]))


async def hover(view: View, params: Mapping[str, Any]) -> Any:
    """Markdown where the client shows it, else plain text; null where there is nothing to say."""
    from kiro_lsp.lsp.endpoint import Raw, dumped

    line, column = view.position(params.get("position") or {})
    if line >= len(view.lines):
        return None
    tasks = view if view.is_task_file else next(iter(await view.task_views()), None)
    if tasks is None:
        return None
    if view.is_task_file and (glimpsed := await _glimpsed(view, line, column)) is not None:
        return Raw(dumped(_answer(view, glimpsed, line, column)))
    hovers = await _hovers(tasks)
    sent: _Sent | None = view.cache.get(_SENT)
    if sent is None or sent[0] is not hovers or len(sent[2]) >= _SENT_AT_MOST:
        sent = view.cache[_SENT] = (hovers, {}, {})
    answer = sent[1].get((line, column))
    if answer is None:
        if view.is_task_file:
            await _prices()
        answer = sent[1][line, column] = Raw(dumped(_answer(view, hovers, line, column)))
    if view.is_task_file:
        sent[2][params["position"]["line"], params["position"]["character"]] = answer
    return answer


def _answer(view: View, hovers: Hovers, line: int, column: int) -> dict[str, Any] | None:
    markdown = view.client.shows_markdown_hovers
    if view.is_task_file:
        found = hovers.in_tasks(line, column, markdown=markdown)
    else:
        found = hovers.in_document(view.path, view.lines, line, markdown=markdown)
    if found is None:
        return None
    kind = "markdown" if markdown else "plaintext"
    return {
        "contents": {"kind": kind, "value": found.text},
        "range": view.range(found.line, found.start, found.end),
    }


async def _prices() -> None:
    """For the estimate; reading them takes a fifth of a second."""
    if _PRICES not in sys.modules:
        with contextlib.suppress(ImportError):  # the list of prices may still be on its way to this machine
            await aside(importlib.import_module, _PRICES)


async def _glimpsed(view: View, line: int, column: int) -> Hovers | None:
    """The hover of one task of a large file that was just opened, of which no more is known yet; None where it takes all of it."""
    from kiro_lsp.spec.glance import glimpse
    from kiro_lsp.spec.navigation.hover import Hovers

    if not view.is_unread:
        return None
    skimmed = await view.skimmed()
    if skimmed is None:
        return None
    at_once = len(view.lines) <= _AT_ONCE_LINES
    seen = glimpse(skimmed, line) if at_once else await aside(glimpse, skimmed, line)
    if seen is None:
        return None
    found = Hovers(await view.facts_about(seen))
    if found.takes_all(line, column):
        return None
    await _prices()
    view.read_ahead()
    return found


async def _hovers(view: View) -> Hovers:
    """Made once for as long as nothing that it is made of changes, of a large file in a thread."""
    from kiro_lsp.spec.navigation.hover import Hovers

    facts = await view.facts()
    kept: Hovers | None = view.cache.get(_KEPT)
    if kept is not None and kept.facts is facts:
        return kept
    made = Hovers(facts)
    await view.made(lambda: made.order)
    view.cache[_KEPT] = made
    return made


METHODS = {"textDocument/hover": hover}
KNOWN = {"textDocument/hover": known}
BESIDE = ("textDocument/hover",)
