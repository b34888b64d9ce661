"""Who gets complete lenses in a large file, and how the others ask for the rest."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.speaking import Speaker, speaking

LARGE = "".join(f"- [ ] {number}. Task\n" for number in range(1, 401))
SMALL = LARGE[: LARGE.index("- [ ] 301.")]


async def spoken(root: Path, homes: Path, name: str) -> AsyncIterator[Speaker]:
    environ = {"HOME": str(homes), "KIRO_LSP_STATE_DIR": str(homes / "state"), "PATH": ""}
    info = {"clientInfo": {"name": name}} if name else {}
    async with speaking(root, environ, **info) as speaker:
        yield speaker


def is_complete(lenses: list[Any]) -> bool:
    assert lenses
    return all("command" in lens and "data" not in lens for lens in lenses)


@pytest.mark.parametrize(
    ("name", "text", "complete"),
    [
        ("Neovim", LARGE, True),
        ("GNU Emacs", LARGE, True),
        ("IntelliJ IDEA", LARGE, True),
        ("", LARGE, True),
        ("Visual Studio Code", LARGE, False),
        ("Visual Studio Code", SMALL, True),
    ],
)
async def test_who_gets_them_complete(name: str, text: str, complete: bool, tmp_path: Path, own_homes: Path) -> None:
    async for client in spoken(tmp_path, own_homes, name):
        uri = client.open(tmp_path / "tasks.md", text)
        found = await client.ask("textDocument/codeLens", {"textDocument": {"uri": uri}})
        assert is_complete(found) == complete


@pytest.mark.parametrize("name", ["Neovim", "Visual Studio Code"])
@pytest.mark.parametrize(
    "last", ["", "- [x] 1. Again, done\n- [ ] 1. Again\n", "- [ ] Without a number\n", "- [ ] 9. REMOVED\n"]
)
async def test_the_first_lenses_of_a_large_file_are_those_that_every_later_answer_has(
    name: str, last: str, tmp_path: Path, own_homes: Path
) -> None:
    async for client in spoken(tmp_path, own_homes, name):
        about = {"textDocument": {"uri": client.open(tmp_path / "tasks.md", LARGE + LARGE.replace(". ", ".1 ") + last)}}
        first = await client.ask("textDocument/codeLens", about)
        await client.ask("textDocument/diagnostic", about)  # reads all of it
        assert await client.ask("textDocument/codeLens", about) == first


async def test_what_is_resolved_is_the_lens_of_the_text_as_it_is(tmp_path: Path, own_homes: Path) -> None:
    async for client in spoken(tmp_path, own_homes, "Visual Studio Code"):
        uri = client.open(tmp_path / "tasks.md", LARGE)
        first, *_, last = await client.ask("textDocument/codeLens", {"textDocument": {"uri": uri}})
        resolved = await client.ask("codeLens/resolve", first)
        assert resolved["range"] == first["range"]
        assert resolved["command"]["title"].startswith("▶ ")
        client.edit(uri, 399, 6, 9, "999")  # the last task is called otherwise now
        answer = await client.begin("codeLens/resolve", last)
        assert answer["error"]["code"] == -32801


@pytest.mark.parametrize("data", [None, [], ["a", "1", 0], [7, "1", 0], {"uri": "file:///x"}])
async def test_a_lens_that_is_none_of_ours_is_refused(data: Any, tmp_path: Path, own_homes: Path) -> None:
    async for client in spoken(tmp_path, own_homes, "Visual Studio Code"):
        answer = await client.begin("codeLens/resolve", {"range": {}, "data": data})
        assert answer["error"]["code"] in (-32602, -32801)
