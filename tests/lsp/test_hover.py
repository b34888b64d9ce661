"""Hover and inlay hints, as three editors ask for them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from kiro_lsp.spec.glance import glimpse
from kiro_lsp.spec.lines import split_lines
from kiro_lsp.spec.skim import skim
from tests.support.editors import REQUIREMENTS, TASKS, Editor, editor
from tests.support.speaking import speaking

__all__ = ["editor"]
LAST = len(TASKS.split("\n")) - 1


def kind_of(editor: Editor) -> str:
    named = editor.capabilities["textDocument"]["hover"].get("contentFormat") or ["plaintext"]
    return str(named[0])


async def test_a_task(editor: Editor) -> None:
    found = await editor.ask("textDocument/hover", editor.place("- [ ] |1. Set up"))
    value = found["contents"]["value"]
    assert found["contents"]["kind"] == kind_of(editor)
    name = "**1 Set up 😀 \\`src/app.py\\`**" if kind_of(editor) == "markdown" else "1 Set up 😀 `src/app.py`"
    assert value.startswith(f"{name} — open")
    assert "WHEN a user logs in THEN the system SHALL greet them" in value
    assert found["range"]["end"]["character"] == editor.units(TASKS.split("\n")[2])


async def test_a_requirement_in_a_task_file(editor: Editor) -> None:
    found = await editor.ask("textDocument/hover", editor.place("_Requirements: 1|.1, 2_"))
    assert "greet them" in found["contents"]["value"]
    assert "(open)" in found["contents"]["value"].replace("\\", "")
    start, end = (found["range"][name]["character"] for name in ("start", "end"))
    assert TASKS.split("\n")[5][start:end] == "1.1"


async def test_a_requirement_in_its_document(editor: Editor) -> None:
    uri = editor.speaker.open(editor.folder / "requirements.md", REQUIREMENTS)
    found = await editor.ask("textDocument/hover", editor.place("2. WHEN a |user fails", uri), uri)
    assert "No task refers to it." in found["contents"]["value"]
    found = await editor.ask("textDocument/hover", editor.place("### Requirement 1|: Login", uri), uri)
    assert "Covered by:" in found["contents"]["value"]
    assert await editor.ask("textDocument/hover", editor.place("**User |Story:**", uri), uri) is None


@pytest.mark.parametrize("place", [(0, 3), (1, 0), (LAST, 0), (LAST, 99), (10_000, 3)])
async def test_elsewhere_there_is_nothing(editor: Editor, place: tuple[int, int]) -> None:
    assert await editor.ask("textDocument/hover", {"line": place[0], "character": place[1]}) is None


async def hints(editor: Editor, first: int, after: int) -> list[tuple[int, int, str]]:
    span = {"start": {"line": first, "character": 0}, "end": {"line": after, "character": 0}}
    found = await editor.speaker.ask("textDocument/inlayHint", {"textDocument": {"uri": editor.uri}, "range": span})
    return [(hint["position"]["line"], hint["position"]["character"], hint["label"]) for hint in found]


async def test_hints_stand_in_the_range_that_is_asked_for(editor: Editor) -> None:
    lines = TASKS.split("\n")
    offered: dict[str, Any] = editor.capabilities["textDocument"]
    if "inlayHint" not in offered or offered["inlayHint"] is None:
        assert await hints(editor, 0, LAST) == []
        return
    heading, parent = (0, editor.units(lines[0]), "1/4"), (6, editor.units(lines[6]), "1/2")
    assert await hints(editor, 0, LAST) == [heading, parent]
    assert await hints(editor, 1, LAST) == [parent]
    assert await hints(editor, 0, 6) == [heading]
    assert await hints(editor, 7, 10_000) == []


@pytest.mark.parametrize(
    ("announced", "kind", "has_hints"),
    [
        ({}, "plaintext", False),
        ({"hover": {"contentFormat": ["plaintext", "markdown"]}, "inlayHint": {}}, "plaintext", True),
        ({"hover": {"contentFormat": ["new", "markdown", "plaintext"]}}, "markdown", False),
        ({"hover": {"contentFormat": 3}, "inlayHint": None}, "plaintext", False),
    ],
)
async def test_what_a_client_announced_decides(
    tmp_path: Path, own_homes: Path, announced: dict[str, Any], kind: str, has_hints: bool
) -> None:
    environ = {"HOME": str(own_homes), "KIRO_LSP_STATE_DIR": str(own_homes)}
    async with speaking(tmp_path, environ, capabilities={"textDocument": announced}) as speaker:
        uri = speaker.open(tmp_path / ".kiro/specs/a/tasks.md", "# P\n- [ ] 1. [x](command:run)\n")
        about = {"textDocument": {"uri": uri}}
        found = await speaker.ask("textDocument/hover", {**about, "position": {"line": 1, "character": 0}})
        assert found["contents"]["kind"] == kind
        assert ("[x](command" in found["contents"]["value"]) == (kind == "plaintext")
        span = {"start": {"line": 0, "character": 0}, "end": {"line": 2, "character": 0}}
        assert bool(await speaker.ask("textDocument/inlayHint", {**about, "range": span})) == has_hints


LARGE = "".join(
    f"- [{'x' if group < 2 else ' '}] {group + 1}. Group\n"
    + "".join(f"  - [{'x' if group < 3 else ' '}] {group + 1}.{at} Part\n    - a detail\n" for at in range(1, 5))
    for group in range(30)
)


@pytest.mark.parametrize("last_line", ["", "- [ ] 31. Late (after 3.1)\n"], ids=["simple", "relating"])
async def test_the_first_hover_of_a_large_file_says_what_every_later_one_says(
    tmp_path: Path, own_homes: Path, last_line: str
) -> None:
    environ = {"HOME": str(own_homes), "KIRO_LSP_STATE_DIR": str(own_homes)}
    text = LARGE + last_line
    skimmed = skim(split_lines(text), "tasks.md")
    assert skimmed is not None
    assert (glimpse(skimmed, 2) is None) == bool(last_line)
    async with speaking(tmp_path, environ, capabilities={}) as speaker:
        for line in (0, 1, 2, 18, 19, 27, 29, 148):
            folder = tmp_path / f".kiro/specs/s{line}"
            folder.mkdir(parents=True)
            (folder / "requirements.md").write_text(REQUIREMENTS, encoding="utf-8")
            about = {"textDocument": {"uri": speaker.open(folder / "tasks.md", text)}}
            place = {**about, "position": {"line": line, "character": 9}}
            first = await speaker.ask("textDocument/hover", place)
            assert first is not None
            await speaker.ask("textDocument/diagnostic", about)  # reads all of it
            assert await speaker.ask("textDocument/hover", place) == first


class NoPrices:
    """An import of the list of prices fails, as before it is installed."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        if name.partition(".")[0] == "genai_prices":
            raise ModuleNotFoundError(name)


@pytest.mark.parametrize("text", ["# P\n- [ ] 1. One\n", LARGE], ids=["small", "large"])
async def test_a_hover_needs_no_list_of_prices(
    text: str, tmp_path: Path, own_homes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "genai_prices"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [NoPrices, *sys.meta_path])
    async with speaking(tmp_path, {"HOME": str(own_homes), "KIRO_LSP_STATE_DIR": str(own_homes)}) as speaker:
        about = {"textDocument": {"uri": speaker.open(tmp_path / ".kiro/specs/a/tasks.md", text)}}
        found = await speaker.ask("textDocument/hover", {**about, "position": {"line": 1, "character": 9}})
        assert "open" in found["contents"]["value"] or "done" in found["contents"]["value"]
