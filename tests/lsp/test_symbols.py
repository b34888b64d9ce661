"""Outline and folding, as three editors ask for them."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiro_lsp.lsp.documents import Encoding, units_in
from kiro_lsp.lsp.features import symbols
from kiro_lsp.lsp.views import View
from kiro_lsp.spec.assemble import drafted
from kiro_lsp.spec.lines import split_lines
from kiro_lsp.spec.navigation.tree import Tree, tree_of
from tests.support.editors import TASKS, Editor, editor

__all__ = ["editor"]


def key(place: dict[str, Any]) -> tuple[int, int]:
    return place["line"], place["character"]


@pytest.mark.asyncio
async def test_outline(editor: Editor) -> None:
    asked = {"textDocument": {"uri": editor.uri}}
    found = await editor.speaker.ask("textDocument/documentSymbol", asked)
    if not editor.capabilities["textDocument"]["documentSymbol"].get("hierarchicalDocumentSymbolSupport"):
        assert [symbol.get("containerName") for symbol in found][:2] == [None, "Plan 😀"]
        return
    (plan,) = found
    assert plan["children"][0]["name"].startswith("1 Set up")
    assert [len(symbol.get("children", [])) for symbol in plan["children"]] == [0, 2, 0]
    assert [symbol["detail"] for symbol in plan["children"]] == ["open", "done", "open"]
    line = TASKS.split("\n")[2]
    for symbol in plan["children"]:
        assert key(symbol["range"]["start"]) <= key(symbol["selectionRange"]["start"])
        assert key(symbol["selectionRange"]["end"]) <= key(symbol["range"]["end"]) <= key(plan["range"]["end"])
    assert plan["children"][0]["selectionRange"]["end"]["character"] == editor.units(line)


@pytest.mark.asyncio
async def test_folding(editor: Editor) -> None:
    found = await editor.speaker.ask("textDocument/foldingRange", {"textDocument": {"uri": editor.uri}})
    last = len(TASKS.split("\n")) - 2
    assert [(fold["startLine"], fold["endLine"]) for fold in found] == [
        (0, last),
        (2, 5),
        (6, 9),
        (8, 9),
        (10, last),
        (last - 2, last),
    ]


PIECES = [
    "# A\n",
    '### "B" \\\n',
    "- [ ] 1. a\n",
    "  - [x] 1.1 b\r\n",
    "    - [-] 1.1.1 \u00e9\U0001f600\n",
    "- [ ] 1.2 c\n",
    "- [ ] \n",
    "\n",
    "    text\n",
    "- [ ] 2. last\r",
    "- [ ] 3. without an end",
    *("  " * depth + f"- [ ] {'.'.join(['1'] * (depth + 1))} deep\n" for depth in range(0, 60, 7)),
]


def expected(
    lines: list[str], encoding: Encoding, tree: Tree, statuses: list[str], above: int = -1
) -> list[dict[str, Any]]:
    """The symbols as objects, node by node."""

    def width(line: int) -> int:
        text = lines[line].rstrip("\r\n")
        return units_in(text, len(text), encoding)

    def span(first: int, last: int) -> dict[str, Any]:
        return {"start": {"line": first, "character": 0}, "end": {"line": last, "character": width(last)}}

    found = []
    for node, outer in enumerate(tree.above):
        if outer != above:
            continue
        line, row = tree.lines[node], tree.rows[node]
        symbol: dict[str, Any] = {"name": tree.names[node] or "(untitled)", "kind": 17 if row >= 0 else 3}
        symbol |= {"range": span(line, tree.ends[node] - 1), "selectionRange": span(line, line)}
        symbol |= {"detail": statuses[row]} if row >= 0 else {}
        children = expected(lines, encoding, tree, statuses, node)
        found.append(symbol | ({"children": children} if children else {}))
    return found


@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join), st.sampled_from(["utf-8", "utf-16", "utf-32"]))
def test_what_is_written_in_columns_is_what_the_nodes_are(text: str, encoding: Encoding) -> None:
    lines = split_lines(text)
    parsed = drafted(lines, "tasks.md")
    tree, statuses = tree_of(parsed), list(parsed.rows.statuses)
    view = cast("View", SimpleNamespace(lines=lines, text=text, encoding=encoding))
    assert json.loads(symbols._nested(view, tree, statuses)) == expected(lines, encoding, tree, statuses)
