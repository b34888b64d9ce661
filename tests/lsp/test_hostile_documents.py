"""Documents that are hard on a server: every feature answers, with what the text says now, and memory stays bounded."""

from __future__ import annotations

import gc
import json
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import pytest_asyncio

from kiro_lsp.lsp import features
from kiro_lsp.lsp.endpoint import REQUEST_FAILED
from kiro_lsp.lsp.lenses import Offer, lenses, now_utc, to_wire
from kiro_lsp.spec import tasks
from kiro_lsp.spec.lines import split_lines
from tests.support.speaking import Speaker, speaking

HERE = {"position": {"line": 0, "character": 3}, "positions": [{"line": 0, "character": 3}], "newName": "7"}
SPAN = {"range": {"start": {"line": 0, "character": 0}, "end": {"line": 1, "character": 0}}}
CONTEXT = {"context": {"diagnostics": [], "triggerKind": 1, "includeDeclaration": True}}
TYPING = {"ch": "\n", "options": {"tabSize": 2, "insertSpaces": True}}


def nested(depth: int) -> str:
    return "".join(f"{'  ' * level}- [ ] {'.'.join(['1'] * (level + 1))} Level\n" for level in range(depth))


DOCUMENTS = {
    "a cycle": "- [ ] 1. A\n  - _Depends: 3_\n- [ ] 2. B\n  - _Depends: 1_\n- [ ] 3. C\n  - _Depends: 2_\n\n1 → 2\n2 → 1\n",
    "one that needs itself": "- [ ] 1. A (depends on 1)\n\n1 → 1\n",
    "a line of a megabyte": f"- [ ] 1. A\n- [ ] 2. {'word ' * 210_000}\n  - {'x' * 1_000_000}\n- [ ] 3. C\n",
    "a line of boxes": "- [ ] 1. A\n" + "- [ ] " * 100_000 + "\n",
    "fifty levels": nested(50),
    "a hundred quotes": "- [ ] 1. A\n" + "> " * 100 + "- [ ] 2. B\n",
    "ten thousand equal ids": "- [ ] 1. A\n" * 10_000,
    "ten thousand equal titles": "- [ ] Same\n" * 10_000,
    "a fence that is not closed": "- [ ] 1. A\n```\n" + "- [ ] 2. B\n" * 1000,
    "strange line ends": "- [ ] 1. A\r- [ ] 2. B\u2028- [ ] 3. C\x0c- [ ] 4. D\x85\n- [ ] 5. E\r\n- [ ] 6. \ud800\r",
    "nothing": "",
    "a mark of byte order": "\ufeff- [ ] 1. A\n- [ ] 2. B\n",
}


@pytest_asyncio.fixture
async def client(tmp_path: Path, own_homes: Path) -> AsyncIterator[Speaker]:
    environ = {"HOME": str(own_homes), "KIRO_LSP_STATE_DIR": str(own_homes / "state"), "PATH": ""}
    async with speaking(tmp_path, environ) as speaker:
        yield speaker


def task_file(tmp_path: Path) -> Path:
    return tmp_path / ".kiro" / "specs" / "a" / "tasks.md"


async def offer_of(client: Speaker, uri: str) -> Offer:
    assert client.server._backend is not None
    view = await client.server._backend.session.views.of(uri)
    assert view is not None
    return (await view.around()).offer


def expected(uri: str, text: str, offered: Offer) -> Any:
    """The lenses of a text, parsed as a whole."""
    found = lenses(uri, tasks.parse(text, "/p/.kiro/specs/a/tasks.md"), {}, offered, now_utc())
    return json.loads(json.dumps(to_wire(found)).encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


async def check_all(client: Speaker, uri: str) -> None:
    """Every feature answers, and the lenses are those of the text."""
    document = {"textDocument": {"uri": uri}}
    for method in sorted(features.load().methods):
        answer = await client.begin(method, {**document, **HERE, **SPAN, **CONTEXT, **TYPING})
        code = answer.get("error", {}).get("code")
        assert code in (None, REQUEST_FAILED), answer  # refused with a reason, as a rename where no id stands
    found = await client.ask("textDocument/codeLens", document)
    assert found == expected(uri, client.texts[uri], await offer_of(client, uri))


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_every_feature_answers(name: str, client: Speaker, tmp_path: Path) -> None:
    uri = client.open(task_file(tmp_path), DOCUMENTS[name])
    await check_all(client, uri)
    client.edit(uri, 0, 0, 0, "- [ ] 0. New\n")
    await check_all(client, uri)


async def test_a_storm_of_edits_is_answered_from_the_text_as_it_is(client: Speaker, tmp_path: Path) -> None:
    """Requests that are overtaken are answered from a later text or refused; in the end all is as the client has it."""
    random = Random(7)
    uri = client.open(task_file(tmp_path), "".join(f"- [ ] {n}. Task\n  - detail\n" for n in range(1, 81)))
    document = {"textDocument": {"uri": uri}}
    await client.ask("textDocument/codeLens", document)
    offered = await offer_of(client, uri)
    for step in range(400):
        lines = split_lines(client.texts[uri])
        line = random.randrange(len(lines))
        new = random.choice(["x", "x", "x", "\n", "[", "`", "1", " ", "\u2028", "- [ ] 7. New\n", "```\n", "\r"])
        column = random.randrange(len(lines[line].rstrip("\r\n")) + 1)
        client.edit(uri, line, column, column, new)
        if step % 10 == 0:
            assert await client.ask("textDocument/codeLens", document) == expected(uri, client.texts[uri], offered)
        elif step % 3 == 0:
            asked, before = client.begin("textDocument/codeLens", document), client.texts[uri]
            client.edit(uri, 0, 0, 0, "\n")
            answer = await asked
            now = [expected(uri, text, offered) for text in (before, client.texts[uri])]
            assert answer.get("error", {}).get("code") == -32801 or answer["result"] in now
    assert client.server.editor.documents[uri].text == client.texts[uri]
    assert await client.ask("textDocument/codeLens", document) == expected(uri, client.texts[uri], offered)


async def test_memory_does_not_grow_with_edits(client: Speaker, tmp_path: Path) -> None:
    uri = client.open(task_file(tmp_path), "".join(f"- [ ] {n}. Task\n  - detail\n" for n in range(1, 201)))
    document = {"textDocument": {"uri": uri}}
    await client.ask("kiro/runs", {})  # all imports are done then
    sizes = []
    for _ in range(3):
        for _ in range(400):
            client.edit(uri, 5, 3, 3, "y")
            client.edit(uri, 5, 3, 4, "")
            await client.ask("textDocument/codeLens", document)
        client.notifications.clear()
        gc.collect()
        sizes.append(len(gc.get_objects()))
    assert sizes[2] - sizes[1] < 400, "not even one object an edit stays"


async def test_edits_that_nobody_asks_about_are_not_kept_forever(client: Speaker, tmp_path: Path) -> None:
    uri = client.open(task_file(tmp_path), "- [ ] 1. A\n" * 200)
    await client.ask("textDocument/codeLens", {"textDocument": {"uri": uri}})
    for _ in range(3000):
        client.edit(uri, 5, 3, 3, "y")
    assert len(client.server.editor.documents[uri].history.edits) <= 1000
    await check_all(client, uri)
