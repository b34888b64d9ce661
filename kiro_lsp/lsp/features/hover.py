"""What a task or a requirement is about, where the pointer rests on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kiro_lsp.lsp.client import Client

if TYPE_CHECKING:
    from kiro_lsp.lsp.views import View
    from kiro_lsp.spec.navigation.hover import Hovers

NEEDS = ("kiro_lsp.spec.navigation.hover",)


def capabilities(_client: Client) -> dict[str, Any]:
    return {"hoverProvider": True}


async def hover(view: View, params: Mapping[str, Any]) -> Any:
    """Markdown where the client shows it, else plain text; null where there is nothing to say."""
    line, column = view.position(params.get("position") or {})
    if line >= len(view.lines):
        return None
    markdown = view.client.shows_markdown_hovers
    if view.is_task_file:
        found = (await _hovers(view)).in_tasks(line, column, markdown=markdown)
    else:
        tasks = next(iter(await view.task_views()), None)
        if tasks is None:
            return None
        hovers = await _hovers(tasks)
        found = hovers.in_document(view.path, view.lines, line, markdown=markdown)
    if found is None:
        return None
    kind = "markdown" if markdown else "plaintext"
    return {
        "contents": {"kind": kind, "value": found.text},
        "range": view.range(found.line, found.start, found.end),
    }


async def _hovers(view: View) -> Hovers:
    """Made once for as long as nothing that it is made of changes, of a large file in a thread."""
    from kiro_lsp.spec.navigation.hover import Hovers

    facts = await view.facts()
    kept: Hovers | None = view.cache.get("hover")
    if kept is not None and kept.facts is facts:
        return kept
    made = await view.made(lambda: Hovers(facts))
    view.cache["hover"] = made
    return made


METHODS = {"textDocument/hover": hover}
