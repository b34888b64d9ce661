"""How much of a phase or of a task with sub-tasks is done, as `2/5` behind its line."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from kiro_lsp.lsp.client import Client

if TYPE_CHECKING:
    from kiro_lsp.lsp.views import View
    from kiro_lsp.spec.navigation.progress import Progress

NEEDS = ("kiro_lsp.spec.navigation.progress",)
_AT_ONCE_LINES: Final = 1000


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

    if "progress" not in view.cache:
        parsed = await view.parsed()
        if len(view.lines) <= _AT_ONCE_LINES:
            view.cache["progress"] = progress_of(parsed)
        else:
            view.cache["progress"] = await asyncio.to_thread(progress_of, parsed)
    found: list[Progress] = view.cache["progress"]
    return found


METHODS = {"textDocument/inlayHint": hints}
EMPTY: dict[str, Any] = {"textDocument/inlayHint": []}
