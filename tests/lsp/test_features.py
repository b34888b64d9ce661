"""Features are found by their place, announce what they serve, and cost `initialize` nothing; requests reach them as promised."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import pytest_asyncio

from kiro_lsp.lsp import features
from kiro_lsp.lsp.answers import Answers
from kiro_lsp.lsp.client import client_of
from kiro_lsp.lsp.endpoint import Raw
from kiro_lsp.lsp.features import Features, merge
from kiro_lsp.lsp.views import View, Views
from tests.support.speaking import Speaker, speaking

CLIENTS: dict[str, Any] = {
    "nothing known": {"capabilities": {}},
    "Visual Studio Code": {"clientInfo": {"name": "Visual Studio Code"}, "capabilities": {}},
    "Neovim": {"clientInfo": {"name": "Neovim"}, "capabilities": {}},
}
LIGHT = """
import sys
from kiro_lsp.lsp import server, features
from kiro_lsp.lsp.client import client_of
features.load().capabilities(client_of({}))
print(*sorted(name for name in sys.modules if name.startswith(("kiro_lsp.", "pygls", "lsprotocol"))), sep="\\n")
"""
ALLOWED_HEAVY = {"kiro_lsp.spec.lines", "kiro_lsp.spec"}


def test_what_features_announce_costs_initialize_no_heavy_import() -> None:
    found = subprocess.run([sys.executable, "-c", LIGHT], check=True, capture_output=True, text=True).stdout.split()
    heavy = {name for name in found if name.startswith(("kiro_lsp.spec", "kiro_lsp.engine", "kiro_lsp.store", "pygls"))}
    assert heavy - ALLOWED_HEAVY == set()


@pytest.mark.parametrize("name", CLIENTS)
def test_capabilities_are_plain_json_for_every_client(name: str) -> None:
    found = features.load().capabilities(client_of(CLIENTS[name]))
    assert json.loads(json.dumps(found)) == found
    assert found["codeLensProvider"] == {"resolveProvider": name == "Visual Studio Code"}


@pytest.mark.parametrize(
    ("into", "more", "expected"),
    [
        ({}, {"a": True}, {"a": True}),
        ({"a": {"b": 1}}, {"a": {"c": 2}}, {"a": {"b": 1, "c": 2}}),
        ({"a": ["x"]}, {"a": ["x", "y"]}, {"a": ["x", "y"]}),
        ({"a": True}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ],
)
def test_capabilities_are_merged(into: dict[str, Any], more: dict[str, Any], expected: dict[str, Any]) -> None:
    merge(into, more)
    assert into == expected


def test_one_method_is_served_once(monkeypatch: pytest.MonkeyPatch) -> None:
    twins = [ModuleType("one"), ModuleType("two")]
    for twin in twins:
        twin.METHODS = {"textDocument/hover": print}  # type: ignore[attr-defined]
    monkeypatch.setattr(features, "_modules", lambda: iter(twins))
    with pytest.raises(ValueError, match="two: textDocument/hover is served by another"):
        features.load()


class Probe:
    """Features that note what they are asked."""

    def __init__(self) -> None:
        self.pushed: list[str] = []
        self.gate = asyncio.Event()
        self.asked = 0
        methods = {"test/text": self.text, "test/slow": self.slow, "test/raw": self.raw, "test/fails": self.fails}
        self.features = Features(methods, {"test/all": self.everything}, {"test/text": "none"}, pushers=(self.changed,))

    def text(self, view: View, _params: Any) -> Any:
        return view.text

    async def slow(self, view: View, _params: Any) -> Any:
        self.asked += 1
        await self.gate.wait()
        return view.text

    def raw(self, _view: View, _params: Any) -> Any:
        return Raw(b'{"made":', b"1}")

    def fails(self, view: View, params: Any) -> Any:
        return view.position(params["position"])

    async def everything(self, views: Views, _params: Any) -> Any:
        return sorted(view.path for view in await views.task_views())

    async def changed(self, view: View) -> None:
        self.pushed.append(view.text)
        view.notify("test/pushed", {"text": view.text})


@pytest_asyncio.fixture
async def client(tmp_path: Path, own_homes: Path) -> AsyncIterator[Speaker]:
    environ = {"HOME": str(own_homes), "KIRO_LSP_STATE_DIR": str(own_homes / "state"), "PATH": ""}
    async with speaking(tmp_path, environ) as speaker:
        await speaker.ask("kiro/runs", {})
        yield speaker


def probing(client: Speaker) -> Probe:
    """Put a probe in the place of the server's features."""
    probe, server = Probe(), client.server
    assert server._backend is not None
    server._features = probe.features
    server._backend.answers.stop()
    server._backend.answers = Answers(probe.features, server._backend.session.views, server._tasks)
    return probe


def about(uri: str, **more: Any) -> dict[str, Any]:
    return {"textDocument": {"uri": uri}, **more}


async def test_a_handler_answers_from_the_document_at_once_or_later(client: Speaker, tmp_path: Path) -> None:
    probing(client)
    uri = client.open(tmp_path / "tasks.md", "- [ ] 1. A\n")
    assert await client.ask("test/text", about(uri)) == "- [ ] 1. A\n"
    client.edit(uri, 0, 9, 10, "B")
    assert await client.ask("test/text", about(uri)) == "- [ ] 1. B\n"
    assert await client.ask("test/raw", about(uri)) == {"made": 1}


async def test_documents_that_are_none_of_ours_get_the_empty_answer(client: Speaker, tmp_path: Path) -> None:
    probing(client)
    other = client.open(tmp_path / "notes.md", "- [ ] 1. A\n")
    assert await client.ask("test/text", about(other)) == "none"
    assert await client.ask("test/raw", about("untitled:Untitled-1")) is None
    (tmp_path / "tasks.md").write_bytes(b"- [ ] 1. On disk\r\n")
    assert await client.ask("test/text", about((tmp_path / "tasks.md").as_uri())) == "- [ ] 1. On disk\r\n"
    related = client.open(tmp_path / "requirements.md", "# R\n")
    assert await client.ask("test/text", about(related)) == "# R\n"


async def test_an_overtaken_answer_is_given_again_or_refused(client: Speaker, tmp_path: Path) -> None:
    probe = probing(client)
    uri = client.open(tmp_path / "tasks.md", "- [ ] 1. A\n")
    whole = client.begin("test/slow", about(uri))
    placed = client.begin("test/slow", about(uri, position={"line": 0, "character": 0}))
    while probe.asked < 2:
        await asyncio.sleep(0)
    client.edit(uri, 0, 9, 10, "B")
    probe.gate.set()
    assert (await whole)["result"] == "- [ ] 1. B\n"
    assert (await placed)["error"]["code"] == -32801


async def test_a_cancelled_request_is_answered_as_such(client: Speaker, tmp_path: Path) -> None:
    probe = probing(client)
    uri = client.open(tmp_path / "tasks.md", "- [ ] 1. A\n")
    asked = client.begin("test/slow", about(uri))
    while not probe.asked:
        await asyncio.sleep(0)
    client.tell("$/cancelRequest", {"id": client.last_id})
    assert (await asked)["error"]["code"] == -32800


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("test/text", {}, -32602),
        ("test/text", {"textDocument": {"uri": 3}}, -32602),
        ("test/fails", {"position": {"line": -1, "character": 0}}, -32602),
        ("test/fails", {"position": 3}, -32602),
    ],
)
async def test_a_wrong_request_gets_one_error(
    method: str, params: dict[str, Any], code: int, client: Speaker, tmp_path: Path
) -> None:
    probing(client)
    uri = client.open(tmp_path / "tasks.md", "- [ ] 1. A\n")
    answer = await client.begin(method, {**about(uri), **params} if params.get("position") else params)
    assert answer["error"]["code"] == code


async def test_requests_without_a_document_see_all_of_them(client: Speaker, tmp_path: Path) -> None:
    probing(client)
    below = tmp_path / ".kiro" / "specs" / "a"
    below.mkdir(parents=True)
    (below / "tasks.md").write_text("- [ ] 1. A\n", "utf-8")
    client.open(tmp_path / "tasks.md", "- [ ] 1. B\n")
    (tmp_path / "tasks.md").write_text("", "utf-8")
    assert await client.ask("test/all", {}) == [".kiro/specs/a/tasks.md", "tasks.md"]


async def test_pushes_come_after_a_pause_with_the_last_text(client: Speaker, tmp_path: Path) -> None:
    probe = probing(client)
    uri = client.open(tmp_path / "tasks.md", "- [ ] 1. A\n")
    for _ in range(20):
        client.edit(uri, 0, 10, 10, "x")
    while not any(message["method"] == "test/pushed" for message in client.notifications):
        await asyncio.sleep(0.01)
    wanted = "- [ ] 1. A" + "x" * 20 + "\n"
    while probe.pushed[-1] != wanted:
        await asyncio.sleep(0.01)
    assert len(probe.pushed) <= 3
