"""The outline of a file: headings, tasks with their status, sub-tasks; and what of it can be folded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from kiro_lsp.lsp.aside import aside
from kiro_lsp.lsp.client import Client

if TYPE_CHECKING:
    from kiro_lsp.lsp.endpoint import Raw
    from kiro_lsp.lsp.views import View
    from kiro_lsp.spec.assemble import Parsed
    from kiro_lsp.spec.navigation.tree import Tree

NEEDS = ("kiro_lsp.spec.navigation.tree", "kiro_lsp.spec.skim")
# Written as bytes at once: to build an object for each and have it encoded takes ten times as long, after every keystroke.
_PLACE: Final = b'{"start":{"line":%d,"character":0},"end":{"line":%d,"character":%d}}'
_NAMED: Final = b'{"name":%b,"kind":%b'
_NESTED: Final = _NAMED + b',"range":' + _PLACE + b',"selectionRange":' + _PLACE + b"%b"
_FLAT: Final = _NAMED + b',"location":{"uri":%b,"range":' + _PLACE + b"}"
_TREE: Final = "tree"
_SYMBOLS: Final = "symbols"
_HEADING: Final = b"3"
_TASK: Final = b"17"
_AT_ONCE_LINES: Final = 2000
"""A text of up to so many lines is skimmed on the loop, which takes some milliseconds, once: a thread would add another."""


def capabilities(_client: Client) -> dict[str, Any]:
    return {"documentSymbolProvider": True, "foldingRangeProvider": True}


def known(view: View, _params: Mapping[str, Any]) -> Raw | None:
    found: Raw | None = view.cache.get(_SYMBOLS)
    return found


async def symbols(view: View, _params: Mapping[str, Any]) -> Any:
    """Nested where the client takes that, else a flat list. Made once for each text, of a large one in a thread."""
    from kiro_lsp.lsp.endpoint import Raw

    make = _nested if view.client.nests_symbols else _flat
    if _SYMBOLS not in view.cache and view.is_unread:
        # The first outline of a file need not wait until everything about its tasks is found.
        at_once = len(view.lines) <= _AT_ONCE_LINES
        made = _skimmed(view, make) if at_once else await aside(_skimmed, view, make)
        if made is not None:
            view.cache[_SYMBOLS] = Raw(made)
    if _SYMBOLS not in view.cache:
        parsed = await view.read()
        await view.once(_SYMBOLS, lambda: Raw(make(view, _tree(view, parsed), parsed.rows.statuses)))
    return view.cache[_SYMBOLS]


def _skimmed(view: View, make: Callable[[View, Tree, Sequence[str]], bytes]) -> bytes | None:
    """The symbols of a plainly written file, None for any other."""
    from kiro_lsp.spec.navigation.tree import tree_of
    from kiro_lsp.spec.skim import skim

    found = skim(view.lines, str(view.root / view.path))
    if found is None:
        return None
    return make(view, tree_of(found), found.rows.statuses)


async def folding(view: View, _params: Mapping[str, Any]) -> Any:
    """Whole lines only, which every client folds."""
    from kiro_lsp.lsp.endpoint import Raw, dumped

    tree, fences, last = await tree_in(view), (await view.read()).blocks.fences, len(view.lines) - 1

    def made() -> Raw:
        ends = {fence.start: fence.end - 1 for fence in fences}
        ends.update((line, end - 1) for line, end in zip(tree.lines, tree.ends, strict=True))
        folds = ((start, min(end, last)) for start, end in sorted(ends.items()))
        return Raw(dumped([{"startLine": start, "endLine": end} for start, end in folds if end > start]))

    return await view.once("folding", made)


async def tree_in(view: View) -> Tree:
    """The tree of a document, made once for each text."""
    parsed = await view.read()
    return await view.made(lambda: _tree(view, parsed))


def _tree(view: View, parsed: Parsed) -> Tree:
    from kiro_lsp.spec.navigation.tree import tree_of

    known: Tree | None = view.cache.get(_TREE)
    if known is None:
        known = view.cache[_TREE] = tree_of(parsed, with_tasks=view.is_task_file)
    return known


def _nested(view: View, tree: Tree, statuses: Sequence[str]) -> bytes:
    """The nodes in each other: each is closed when the next one is no longer in it."""
    names, widths, around = _names(tree), _widths(view), tree.above
    details = {status: b',"detail":"%b"' % status.encode() for status in set(statuses)}
    parts = [b"["]
    previous = -1
    for node, (line, row, above, end) in enumerate(zip(tree.lines, tree.rows, around, tree.ends, strict=True)):
        if previous >= 0:
            if above == previous:
                parts.append(b',"children":[')
            else:
                parts.append(b"}," if above == around[previous] else _closed(tree, previous, above) + b",")
        width = widths[line]
        kind, detail = (_TASK, details[statuses[row]]) if row >= 0 else (_HEADING, b"")
        parts.append(_NESTED % (names[node], kind, line, end - 1, widths[end - 1], line, line, width, detail))
        previous = node
    parts.append(_closed(tree, previous, -1) + b"]" if previous >= 0 else b"]")
    return b"".join(parts)


def _closed(tree: Tree, node: int, above: int) -> bytes:
    """The end of a node and of all that it is in, up to the one `above`."""
    closing = b"}"
    while tree.above[node] != above:
        node = tree.above[node]
        closing += b"]}"
    return closing


def _flat(view: View, tree: Tree, _statuses: Sequence[str]) -> bytes:
    from kiro_lsp.lsp.endpoint import dumped

    names, widths, uri = _names(tree), _widths(view), dumped(view.uri)
    found = []
    for name, line, row, above, end in zip(names, tree.lines, tree.rows, tree.above, tree.ends, strict=True):
        symbol = _FLAT % (name, _TASK if row >= 0 else _HEADING, uri, line, end - 1, widths[end - 1])
        found.append(symbol + (b"}" if above < 0 else b',"containerName":%b}' % names[above]))
    return b"[%b]" % b",".join(found)


def _names(tree: Tree) -> list[bytes]:
    from kiro_lsp.lsp.endpoint import dumped_each

    return dumped_each([name or "(untitled)" for name in tree.names])


def _widths(view: View) -> list[int]:
    """How long each line is without its end, in the client's units."""
    from kiro_lsp.lsp.documents import units_in

    texts = [line.rstrip("\r\n") for line in view.lines]
    encoding = view.encoding
    return [len(text) if text.isascii() else units_in(text, len(text), encoding) for text in texts]


METHODS = {"textDocument/documentSymbol": symbols, "textDocument/foldingRange": folding}
KNOWN = {"textDocument/documentSymbol": known}
EMPTY: dict[str, Any] = {"textDocument/documentSymbol": [], "textDocument/foldingRange": []}
