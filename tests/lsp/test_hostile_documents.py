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
from tests.support.asking import Text, check, questions
from tests.support.editors import CLIENTS, known
from tests.support.speaking import Speaker, speaking

ANSWER_AT_MOST = 8_000_000
"""Characters; the largest is the list of symbols of ten thousand tasks."""


def nested(depth: int) -> str:
    return "".join(f"{'  ' * level}- [ ] {'.'.join(['1'] * (level + 1))} Level\n" for level in range(depth))


DOCUMENTS = {
    "a ring of two thousand": "".join(f"- [ ] {n}. A\n  - _Depends: {n % 2000 + 1}_\n" for n in range(1, 2001)),
    "all need all": "".join(f"- [ ] {n}. A (depends on {', '.join(map(str, range(1, 101)))})\n" for n in range(1, 101)),
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


STRANGE = (
    "# \ud800 Plan 😀\u2028x\x0c\r"
    "- [x] \U000e0041😀 1. A \udc00 [P] (depends on 2)\u2029\r\n"
    "  - é\u0301 _Requirements: 1.1, 2_ \x85 `a/😀.py`\n"
    "- [-] 2. 漢字\ud83d [P] `src/漢.py`\r"
    "  - [ ] 2.1 \ufeffB, after task 1 😀 2.1\r\r\n"
    "\x1c- [ ] 3. C\x0b\n"
)


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


async def check_all(client: Speaker, uri: str, encoding: str = "utf-16") -> None:
    """Every feature answers with what a client can use, within bounds, and the lenses are those of the text."""
    document = {"textDocument": {"uri": uri}}
    text, random = Text(client.texts[uri], encoding), Random(5)
    first = text.place(0, min(8, len(text.lines[0])))  # in the id of the first task, where there is one
    places = [first, text.place(len(text.lines) // 2, 0), *text.some_places(random, 1)]
    for method in sorted(features.load().methods):
        for params in questions(method, uri, text, places, random):
            message = await client.begin(method, params)
            code = message.get("error", {}).get("code")
            assert code in (None, REQUEST_FAILED), message  # refused with a reason, as a rename where no id stands
            check(method, params, message.get("result"), lambda _uri: text)
            assert len(json.dumps(message)) < ANSWER_AT_MOST, method
    found = await client.ask("textDocument/codeLens", document)
    assert found == expected(uri, client.texts[uri], await offer_of(client, uri))


@pytest.mark.parametrize("name", [*CLIENTS, "neovim with utf-32"])
async def test_every_kind_of_client_counts_strange_characters_as_the_answers_do(
    name: str, tmp_path: Path, own_homes: Path
) -> None:
    """Also behind a lone half of a character, which takes a place in every unit."""
    environ = {"HOME": str(own_homes), "KIRO_LSP_STATE_DIR": str(own_homes / "state"), "PATH": ""}
    capabilities = known(name)
    encoding = capabilities.get("general", {}).get("positionEncodings", ["utf-16"])[0]
    async with speaking(tmp_path, environ, capabilities=capabilities, clientInfo={"name": name}) as client:
        uri = client.open(task_file(tmp_path), STRANGE)
        await check_all(client, uri, encoding)
        for line in range(len(split_lines(STRANGE))):
            client.edit(uri, line, 0, 0, "")  # an edit that changes nothing, at every line
        await check_all(client, uri, encoding)
        assert client.server.editor.documents[uri].text == STRANGE


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
