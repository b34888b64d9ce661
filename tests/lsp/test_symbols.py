"""Outline and folding, as three editors ask for them."""

from __future__ import annotations

from typing import Any

import pytest

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
