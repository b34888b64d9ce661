"""How much of a phase or of a task with sub-tasks is done, as `2/5` behind its line."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kiro_lsp.lsp.client import Client

if TYPE_CHECKING:
    from kiro_lsp.lsp.views import View
    from kiro_lsp.spec.navigation.progress import Progress

NEEDS = ("kiro_lsp.spec.navigation.progress",)


def capabilities(client: Client) -> dict[str, Any]:
    return {"inlayHintProvider": True} if client.shows_inlay_hints else {}


async def hints(view: View, params: Mapping[str, Any]) -> Any:
    """Those of the range that is asked for."""
    asked = params.get("range")
    asked = asked if isinstance(asked, Mapping) else {}
    start, end = view.position(asked.get("start") or {}), view.position(asked.get("end") or {})
    if not view.is_task_file or not view.client.shows_inlay_hints:
        return []
    found = await _progress(view)
    ends = [(one, len(view.lines[one.line].rstrip("\r\n"))) for one in _between(found, start[0], end[0])]
    return [
        {
            "position": view.range(one.line, column, column)["start"],
            "label": f"{one.done}/{one.total}",
            "paddingLeft": True,
        }
        for one, column in ends
        if start <= (one.line, column) <= end
    ]


def _between(found: list[Progress], first: int, last: int) -> list[Progress]:
    """Those of the lines from `first` to `last`."""
    return found[
        bisect_left(found, first, key=lambda one: one.line) : bisect_right(found, last, key=lambda one: one.line)
    ]


async def _progress(view: View) -> list[Progress]:
    from kiro_lsp.spec.navigation.progress import progress_of

    parsed = await view.parsed()
    return await view.once("progress", lambda: progress_of(parsed))


METHODS = {"textDocument/inlayHint": hints}
EMPTY: dict[str, Any] = {"textDocument/inlayHint": []}
