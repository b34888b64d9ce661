"""The outline of a file: headings, tasks with their status, sub-tasks; and what of it can be folded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from kiro_lsp.lsp.client import Client

if TYPE_CHECKING:
    from kiro_lsp.lsp.views import View
    from kiro_lsp.spec.navigation.tree import Node

NEEDS = ("kiro_lsp.spec.navigation.tree",)
_HEADING: Final = 3
_TASK: Final = 17


def capabilities(_client: Client) -> dict[str, Any]:
    return {"documentSymbolProvider": True, "foldingRangeProvider": True}


async def symbols(view: View, _params: Mapping[str, Any]) -> Any:
    """Nested where the client takes that, else a flat list. Encoded once for each text, of a large one in a thread."""
    from kiro_lsp.lsp.endpoint import Raw, dumped

    roots = await tree_in(view)
    make = _nested if view.client.nests_symbols else _flat
    return await view.once("symbols", lambda: Raw(dumped(make(view, roots))))


async def folding(view: View, _params: Mapping[str, Any]) -> Any:
    """Whole lines only, which every client folds."""
    from kiro_lsp.lsp.endpoint import Raw, dumped
    from kiro_lsp.spec.navigation.tree import walk

    roots, fences, last = await tree_in(view), (await view.parsed()).blocks.fences, len(view.lines) - 1

    def made() -> Raw:
        ends = {fence.start: fence.end - 1 for fence in fences}
        ends.update((node.line, node.end_line - 1) for node, _above in walk(roots))
        folds = ((start, min(end, last)) for start, end in sorted(ends.items()))
        return Raw(dumped([{"startLine": start, "endLine": end} for start, end in folds if end > start]))

    return await view.once("folding", made)


async def tree_in(view: View) -> list[Node]:
    """The tree of a document, made once for each text."""
    from kiro_lsp.spec.navigation.tree import tree_of

    parsed, with_tasks = await view.parsed(), view.is_task_file
    return await view.once("tree", lambda: tree_of(parsed, with_tasks=with_tasks))


def _nested(view: View, roots: list[Node]) -> list[dict[str, Any]]:
    from kiro_lsp.spec.navigation.tree import walk

    made: dict[int, dict[str, Any]] = {}
    outermost: list[dict[str, Any]] = []
    for node, above in walk(roots):
        symbol = {**_named(node), "range": _range(view, node), "selectionRange": _line(view, node.line)}
        if node.task is not None:
            symbol["detail"] = node.task.status
        made[id(node)] = symbol
        (outermost if above is None else made[id(above)].setdefault("children", [])).append(symbol)
    return outermost


def _flat(view: View, roots: list[Node]) -> list[dict[str, Any]]:
    from kiro_lsp.spec.navigation.tree import walk

    return [
        {
            **_named(node),
            "location": {"uri": view.uri, "range": _range(view, node)},
            **({} if above is None else {"containerName": above.name}),
        }
        for node, above in walk(roots)
    ]


def _named(node: Node) -> dict[str, Any]:
    return {"name": node.name or "(untitled)", "kind": _HEADING if node.task is None else _TASK}


def _range(view: View, node: Node) -> dict[str, Any]:
    last = node.end_line - 1
    return view.span((node.line, 0), (last, len(view.lines[last].rstrip("\r\n"))))


def _line(view: View, line: int) -> dict[str, Any]:
    return view.range(line, 0, len(view.lines[line].rstrip("\r\n")))


METHODS = {"textDocument/documentSymbol": symbols, "textDocument/foldingRange": folding}
EMPTY: dict[str, Any] = {"textDocument/documentSymbol": [], "textDocument/foldingRange": []}
