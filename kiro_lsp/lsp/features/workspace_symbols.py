"""Tasks and headings of every spec of the open projects, by a few typed letters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from kiro_lsp.lsp.aside import aside
from kiro_lsp.lsp.client import Client

if TYPE_CHECKING:
    from kiro_lsp.lsp.views import View, Views
    from kiro_lsp.spec.navigation.search import Entry

NEEDS = ("kiro_lsp.spec.navigation.search",)
_MOST: Final = 500
"""Answers to one query; who looks for one task types another letter."""
_KEPT: Final = "workspace symbols"
_HEADING: Final = 3
_TASK: Final = 17


def capabilities(_client: Client) -> dict[str, Any]:
    return {"workspaceSymbolProvider": True}


async def find(views: Views, params: Mapping[str, Any]) -> Any:
    """Names are kept for each version of a file, so that only what changed is read again for the next letter."""
    from kiro_lsp.spec.navigation.search import matching

    query = params.get("query")
    named = [await views.as_it_is(view, _names) for view in await views.task_views()]
    names = [entries for _view, entries in named]
    found = await aside(matching, query if isinstance(query, str) else "", names, _MOST)
    return [_symbol(named[number][0], entry) for number, entry in found]


async def _names(view: View) -> tuple[View, list[Entry]]:
    from kiro_lsp.spec.navigation.search import entries

    parsed = await view.read()
    return view, await view.once(_KEPT, lambda: entries(parsed))


def _symbol(view: View, entry: Entry) -> dict[str, Any]:
    last = min(entry.line, len(view.lines) - 1)
    inside = f"{view.path} › {entry.inside}" if entry.inside else view.path
    return {
        "name": entry.name or "(untitled)",
        "kind": _HEADING if entry.status is None else _TASK,
        "containerName": inside if entry.status is None else f"{inside} · {entry.status}",
        "location": {"uri": view.uri, "range": view.range(last, 0, len(view.lines[last].rstrip("\r\n")))},
    }


WORKSPACE_METHODS = {"workspace/symbol": find}
