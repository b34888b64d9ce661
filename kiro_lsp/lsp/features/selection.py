"""Growing and shrinking a selection: word, title, line, task, sub-tree, phase, file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kiro_lsp.lsp.client import Client

if TYPE_CHECKING:
    from kiro_lsp.lsp.views import View

NEEDS = ("kiro_lsp.spec.navigation.selection", "kiro_lsp.spec.navigation.tree")


def capabilities(_client: Client) -> dict[str, Any]:
    return {"selectionRangeProvider": True}


async def handle(view: View, params: Mapping[str, Any]) -> Any:
    """One chain for each position, in the order of the positions."""
    from kiro_lsp.lsp.features.symbols import tree_in
    from kiro_lsp.spec.navigation.selection import grown

    parsed, tree = await view.parsed(), await tree_in(view)
    asked = params.get("positions")
    found = []
    for wire in asked if isinstance(asked, list) else ():
        chain: dict[str, Any] | None = None
        for start, end in reversed(grown(parsed, tree, *view.position(wire))):
            one = {"range": view.span(start, end)}
            chain = one if chain is None else {**one, "parent": chain}
        found.append(chain)
    return found


METHODS = {"textDocument/selectionRange": handle}
EMPTY: dict[str, Any] = {"textDocument/selectionRange": []}
