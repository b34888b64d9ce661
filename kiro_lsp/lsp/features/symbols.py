"""The outline of a file: headings, tasks with their status, sub-tasks; and what of it can be folded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import sub
from typing import TYPE_CHECKING, Any, Final

from kiro_lsp.lsp.aside import aside
from kiro_lsp.lsp.client import Client

if TYPE_CHECKING:
    from kiro_lsp.lsp.endpoint import Raw
    from kiro_lsp.lsp.views import View
    from kiro_lsp.spec.assemble import Parsed
    from kiro_lsp.spec.navigation.tree import Tree
    from kiro_lsp.spec.skim import Skimmed

NEEDS = ("kiro_lsp.spec.navigation.tree",)
# Written as bytes at once: to build an object for each and have it encoded takes ten times as long, after every keystroke.
_PLACE: Final = b'{"start":{"line":%d,"character":0},"end":{"line":%d,"character":%d}}'
_FLAT: Final = b'{"name":"%b","kind":%b,"location":{"uri":%b,"range":' + _PLACE + b"}"
_NAME: Final = b'{"name":"'
_KIND: Final = b'","kind":%b,"range":{"start":{"line":'
_FROM: Final = b',"character":0},"end":{"line":'
_UP_TO: Final = b',"character":'
_SELECTED: Final = b'}},"selectionRange":{"start":{"line":'
_WIDE: Final = b"}}"
_TREE: Final = "tree"
_SYMBOLS: Final = "symbols"
_HEADING: Final = b"3"
_TASK: Final = b"17"
_AT_ONCE_LINES: Final = 2000
"""The outline of a text of up to so many lines is made on the loop, which takes some milliseconds, once."""


def capabilities(_client: Client) -> dict[str, Any]:
    return {"documentSymbolProvider": True, "foldingRangeProvider": True}


def known(view: View, _params: Mapping[str, Any]) -> Raw | None:
    found: Raw | None = view.cache.get(_SYMBOLS)
    return found


async def symbols(view: View, _params: Mapping[str, Any]) -> Any:
    """Nested where the client takes that, else a flat list. Made once for each text, of a large one in a thread."""
    from kiro_lsp.lsp.endpoint import Raw

    make = _nested if view.client.nests_symbols else _flat
    if _SYMBOLS not in view.cache and (found := await view.skimmed()) is not None:
        # The first outline of a file need not wait until everything about its tasks is found.
        made = partial(_of_skimmed, view, found, make)
        view.cache[_SYMBOLS] = Raw(made() if len(view.lines) <= _AT_ONCE_LINES else await aside(made))
    if _SYMBOLS not in view.cache:
        parsed = await view.read()
        await view.once(_SYMBOLS, lambda: Raw(make(view, _tree(view, parsed), parsed.rows.statuses)))
    return view.cache[_SYMBOLS]


def _of_skimmed(view: View, found: Skimmed, make: Callable[[View, Tree, Sequence[str]], bytes]) -> bytes:
    from kiro_lsp.spec.navigation.tree import tree_of

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
    """The nodes in each other. Column by column and joined once, which takes half the time of formatting node by node."""
    count = len(tree.lines)
    if not count:
        return b"[]"
    widths = _widths(view)
    wide = {width: b"%d" % width for width in {*widths}}
    numbers = [b"%d" % line for line in range(len(view.lines))]
    task, heading = _KIND % _TASK, _KIND % _HEADING
    details = {status: b'}},"detail":"%b"' % status.encode() for status in {*statuses}}
    between, end = _between(tree)
    pieces: list[bytes] = [_FROM] * (15 * count)
    pieces[0::15] = between
    pieces[1::15] = _names(tree)
    pieces[2::15] = [task if row >= 0 else heading for row in tree.rows]
    pieces[3::15] = pieces[9::15] = pieces[11::15] = [numbers[line] for line in tree.lines]
    pieces[5::15] = [numbers[end - 1] for end in tree.ends]
    pieces[6::15] = pieces[12::15] = [_UP_TO] * count
    pieces[7::15] = [wide[widths[end - 1]] for end in tree.ends]
    pieces[8::15] = [_SELECTED] * count
    pieces[13::15] = [wide[widths[line]] for line in tree.lines]
    pieces[14::15] = [details[statuses[row]] if row >= 0 else _WIDE for row in tree.rows]
    return b"".join((b"[", *pieces, end))


def _between(tree: Tree) -> tuple[list[bytes], bytes]:
    """What stands in front of each node, which ends those that it is not in; and what ends the last one and all around it."""
    count = len(tree.above)
    depths = [0] * count + [-1]  # of what is in nothing `above` is -1, which finds the last
    for node, above in enumerate(tree.above):
        depths[node] = depths[above] + 1
    between = [b"}" + b"]}" * ended + b"," + _NAME for ended in range(max(depths) + 1)]
    between.append(b',"children":[' + _NAME)  # found by -1: the node is in the one before it
    found = [_NAME]
    found += map(between.__getitem__, map(sub, depths, depths[1:count]))
    return found, b"}" + b"]}" * depths[count - 1] + b"]"


def _flat(view: View, tree: Tree, _statuses: Sequence[str]) -> bytes:
    from kiro_lsp.lsp.endpoint import dumped

    names, widths, uri = _names(tree), _widths(view), dumped(view.uri)
    found = []
    for name, line, row, above, end in zip(names, tree.lines, tree.rows, tree.above, tree.ends, strict=True):
        symbol = _FLAT % (name, _TASK if row >= 0 else _HEADING, uri, line, end - 1, widths[end - 1])
        found.append(symbol + (b"}" if above < 0 else b',"containerName":"%b"}' % names[above]))
    return b"[%b]" % b",".join(found)


def _names(tree: Tree) -> list[bytes]:
    """As JSON, without the quotes."""
    from kiro_lsp.lsp.endpoint import dumped_between_quotes

    return dumped_between_quotes([name or "(untitled)" for name in tree.names])


def _widths(view: View) -> list[int]:
    """How long each line is without its end, in the client's units."""
    from kiro_lsp.lsp.documents import units_in

    text = view.text
    if text.isascii() and "\r" not in text:
        widths = [len(line) - 1 for line in view.lines]
        if text and not text.endswith("\n"):
            widths[-1] += 1
        return widths
    texts = [line.rstrip("\r\n") for line in view.lines]
    return [len(text) if text.isascii() else units_in(text, len(text), view.encoding) for text in texts]


METHODS = {"textDocument/documentSymbol": symbols, "textDocument/foldingRange": folding}
KNOWN = {"textDocument/documentSymbol": known}
EMPTY: dict[str, Any] = {"textDocument/documentSymbol": [], "textDocument/foldingRange": []}
