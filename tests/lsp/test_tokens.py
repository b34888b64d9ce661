"""Tokens and growing selections, as three editors ask for them."""

from __future__ import annotations

from typing import Any

import pytest

from kiro_lsp.lsp.client import Client
from kiro_lsp.lsp.features.tokens import capabilities
from tests.support.editors import TASKS, Editor, editor

__all__ = ["editor"]


def words(editor: Editor, data: list[int], text: str) -> list[str]:
    """The text of each token, as a client cuts it out."""
    codec, width = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}[editor.encoding]
    found, line, column = [], 0, 0
    for at in range(0, len(data), 5):
        down, right, length = data[at : at + 3]
        line, column = line + down, right if down else column + right
        raw = text.split("\n")[line].encode(codec)
        found.append(raw[column * width : (column + length) * width].decode(codec))
    return found


@pytest.mark.asyncio
async def test_tokens_and_their_changes(editor: Editor) -> None:
    asked: dict[str, Any] = {"textDocument": {"uri": editor.uri}}
    if "semanticTokens" not in editor.capabilities["textDocument"]:
        assert capabilities(Client(editor.capabilities)) == {}
        return
    first = await editor.speaker.ask("textDocument/semanticTokens/full", asked)
    found = words(editor, first["data"], TASKS)
    assert found[:5] == ["1", "Requirements", "1.1", "2", "x"]
    same = {**asked, "previousResultId": first["resultId"]}
    assert (await editor.speaker.ask("textDocument/semanticTokens/full/delta", same))["edits"] == []
    changed = TASKS.replace("- [ ] 4. Last", "- [x] 4. Last 😀 (depends on 1)")
    editor.rewrite(changed)
    answer = await editor.speaker.ask("textDocument/semanticTokens/full/delta", same)
    data = list(first["data"])
    for edit in answer["edits"]:
        data[edit["start"] : edit["start"] + edit["deleteCount"]] = edit["data"]
    assert data == (await editor.speaker.ask("textDocument/semanticTokens/full", asked))["data"]
    assert words(editor, data, changed) != found
    again = await editor.speaker.ask("textDocument/semanticTokens/full/delta", same)
    assert again["edits"] == answer["edits"], "an answer that came too late for the client to build on is no loss"
    old = await editor.speaker.ask("textDocument/semanticTokens/full/delta", {**asked, "previousResultId": "no"})
    assert old["data"] == data
    span = {"start": {"line": 8, "character": 0}, "end": {"line": 9, "character": 0}}
    shown = await editor.speaker.ask("textDocument/semanticTokens/range", {**asked, "range": span})
    assert words(editor, shown["data"], changed) == ["3.2", "3.1", "Depends", "3.1"]


@pytest.mark.asyncio
async def test_one_selection_for_each_position(editor: Editor) -> None:
    at = editor.place("Other 😀, after ta|sk 3.1")
    params = {"textDocument": {"uri": editor.uri}, "positions": [at, {"line": 0, "character": 0}]}
    word, top = await editor.speaker.ask("textDocument/selectionRange", params)
    assert word["range"]["start"] == editor.place("after |task 3.1")
    assert word["range"]["end"] == editor.place("after task| 3.1")
    assert word["parent"]["range"]["start"]["line"] == at["line"]
    assert word["parent"]["range"]["start"] != word["range"]["start"]
    assert top["range"]["start"]["line"] == 0
