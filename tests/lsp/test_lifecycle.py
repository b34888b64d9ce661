"""One answer to every request, at the right time, and an end that leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import converters, types

from kiro_lsp.engine.engine import Engine
from kiro_lsp.lsp import features
from kiro_lsp.lsp.capabilities import initialize_result
from kiro_lsp.lsp.client import client_of
from kiro_lsp.lsp.command_ids import COMMAND_IDS
from tests.support.speaking import Speaker, speaking


class Wire:
    """A server on pipes, spoken to in whole messages."""

    def __init__(self, environ: dict[str, str]) -> None:
        argv = [sys.executable, "-m", "kiro_lsp", "--stdio"]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ)

    def send(self, **message: Any) -> None:
        self.raw(json.dumps({"jsonrpc": "2.0", **message}).encode())

    def raw(self, body: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self.process.stdin.flush()

    def message(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        length = 0
        while (line := self.process.stdout.readline()) != b"\r\n":
            assert line, "the server has ended"
            length = int(line.split(b":")[1])
        return dict(json.loads(self.process.stdout.read(length)))

    def answer(self, identifier: Any) -> dict[str, Any]:
        """The answer to a request; server requests met on the way are answered with null."""
        while True:
            message = self.message()
            if "method" in message:
                if "id" in message:
                    self.send(id=message["id"], result=None)
            elif message.get("id") == identifier:
                return message

    def ask(self, method: str, params: Any = None, identifier: Any = 1) -> dict[str, Any]:
        self.send(id=identifier, method=method, **({} if params is None else {"params": params}))
        return self.answer(identifier)

    def start(self, root: Path, **more: Any) -> None:
        self.ask("initialize", {"processId": None, "rootUri": root.as_uri(), "capabilities": {}, **more}, 0)
        self.send(method="initialized", params={})

    def ended(self) -> int:
        assert self.process.stdin is not None
        return self.process.wait(20)


@pytest.fixture
def wire(own_homes: Path) -> Iterator[Wire]:
    environ = {"PATH": os.environ["PATH"], "HOME": str(own_homes), "PYTHONPATH": str(Path(__file__).parents[2])}
    started = Wire(environ | {"KIRO_LSP_STATE_DIR": str(own_homes / "state")})
    yield started
    if started.process.poll() is None:
        started.process.kill()
        started.process.wait()
    for stream in (started.process.stdin, started.process.stdout):
        if stream is not None:
            stream.close()


def code(answer: dict[str, Any]) -> int:
    return int(answer["error"]["code"])


def test_requests_at_the_wrong_time_are_refused_with_their_codes(wire: Wire, tmp_path: Path) -> None:
    assert code(wire.ask("textDocument/codeLens", {})) == -32002
    wire.start(tmp_path)
    assert code(wire.ask("initialize", {"capabilities": {}}, 2)) == -32600
    assert wire.ask("shutdown", None, 3)["result"] is None
    assert code(wire.ask("textDocument/codeLens", {}, 4)) == -32600
    wire.send(method="exit")
    assert wire.ended() == 0


@pytest.mark.parametrize(
    ("method", "params", "expected"),
    [
        ("no/such", {}, -32601),
        ("$/unknown", {}, -32601),
        ("textDocument/codeLens", {}, -32602),
        ("textDocument/codeLens", [1], -32602),
        ("textDocument/codeLens", {"textDocument": 3}, -32602),
        ("workspace/executeCommand", {"arguments": []}, -32602),
        ("workspace/executeCommand", {"command": "no.such"}, -32602),
        ("workspace/executeCommand", {"command": "kiroLsp.runTask", "arguments": [1, 2]}, -32602),
        ("workspace/executeCommand", [], -32602),
        ("textDocument/codeAction", {"range": 1}, -32602),
        ("kiro/review", {}, -32602),
        ("kiro/review", {"runId": "no-such-run"}, -32803),
        ("kiro/reviewContent", {"uri": "file:///x"}, -32602),
        ("kiro/costs", {"by": "moon"}, -32602),
    ],
)
def test_a_wrong_request_gets_one_error(method: str, params: Any, expected: int, wire: Wire, tmp_path: Path) -> None:
    wire.start(tmp_path)
    assert code(wire.ask(method, params, "a")) == expected
    assert wire.ask("kiro/runs", {}, "b")["result"] == []


def test_hostile_messages_leave_the_server_answering(wire: Wire, tmp_path: Path) -> None:
    wire.start(tmp_path)
    for body in (
        b"[]",
        b"17",
        b"null",
        b'{"id": {}}',
        b'{"jsonrpc":"2.0","id":[],"method":"x"}',
        b'"x"',
        b"{",
        b"[" * 50_000,
    ):
        wire.raw(body)
    wire.send(id="nobody asked", result=1)
    wire.send(method="textDocument/didChange", params={"textDocument": {"uri": 3}})
    wire.send(method="textDocument/didOpen", params=None)
    wire.send(method="window/workDoneProgress/cancel", params={"token": {}})
    assert wire.ask("kiro/runs", {}, 9)["result"] == []


@pytest.mark.parametrize("command", COMMAND_IDS)
def test_a_command_called_bare_says_what_is_wrong(command: str, wire: Wire, tmp_path: Path) -> None:
    wire.start(tmp_path)
    result = wire.ask("workspace/executeCommand", {"command": command}, 1)["result"]
    if command in ("kiroLsp.doctor", "kiroLsp.trustWorkspace"):
        assert result.get("ok") or result["state"] == "untrusted"
    elif "refused" in result:
        assert result["runId"] is None
        assert result["refused"]["message"]
    else:
        assert result["ok"] is False
        assert result["message"]


def test_exit_without_shutdown_is_an_error(wire: Wire, tmp_path: Path) -> None:
    wire.start(tmp_path)
    wire.send(method="exit")
    assert wire.ended() == 1


def test_the_end_of_input_ends_the_server(wire: Wire, tmp_path: Path) -> None:
    wire.start(tmp_path)
    assert wire.process.stdin is not None
    wire.process.stdin.close()
    assert wire.ended() == 1


def test_sigterm_ends_the_server(wire: Wire, tmp_path: Path) -> None:
    wire.start(tmp_path)
    wire.process.send_signal(signal.SIGTERM)
    assert wire.ended() == 1


def test_a_server_whose_editor_died_ends_by_itself(wire: Wire, tmp_path: Path) -> None:
    editor = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    wire.start(tmp_path, processId=editor.pid)
    editor.kill()
    editor.wait()
    assert wire.ended() == 1


@pytest.mark.parametrize("encodings", [None, ["utf-8"], ["utf-32", "utf-16"], ["nonsense"]])
def test_what_is_announced_is_valid_and_names_an_encoding_the_client_knows(encodings: list[str] | None) -> None:
    capabilities = {} if encodings is None else {"general": {"positionEncodings": encodings}}
    client = client_of({"capabilities": capabilities})
    result = initialize_result(client, list(COMMAND_IDS), features.load())
    found = converters.get_converter().structure(result, types.InitializeResult)
    assert found.server_info is not None
    assert found.server_info.name == "kiro-lsp"
    assert result["capabilities"]["positionEncoding"] in (encodings or []) + ["utf-16"]


@pytest.mark.parametrize("params", [{}, {"capabilities": None}, {"capabilities": 3, "initializationOptions": []}])
def test_a_client_that_announces_nothing_is_served(params: dict[str, Any]) -> None:
    client = client_of(params)
    assert client.encoding == "utf-16"
    assert not client.applies_edits
    assert not client.shows_progress
    assert not client.understands("kiro/review")


def test_settings_are_pulled_from_an_editor_that_has_them(wire: Wire, tmp_path: Path) -> None:
    tasks = tmp_path / ".kiro/specs/a/tasks.md"
    tasks.parent.mkdir(parents=True)
    tasks.write_text("- [ ] 1. Do it\n", "utf-8")
    wire.start(tmp_path, capabilities={"workspace": {"configuration": True}})
    while (message := wire.message()).get("method") != "workspace/configuration":
        assert "id" not in message
    assert message["params"] == {"items": [{"section": "kiroLsp"}]}
    document = {"textDocument": {"uri": tasks.as_uri()}}
    assert wire.ask("textDocument/codeLens", document, 1)["result"]
    wire.send(id=message["id"], result=[{"kiro": {"lenses": "off"}}])
    assert wire.ask("textDocument/codeLens", document, 2)["result"] == []


def test_a_client_that_tells_the_persons_settings_from_the_workspaces_is_asked_for_both(
    wire: Wire, tmp_path: Path
) -> None:
    tasks = tmp_path / ".kiro/specs/a/tasks.md"
    tasks.parent.mkdir(parents=True)
    tasks.write_text("- [ ] 1. Do it\n", "utf-8")
    own = {"lenses": "off"}
    wire.start(
        tmp_path,
        capabilities={"workspace": {"configuration": True}},
        initializationOptions={"kiro": ["kiro/settings"], "settings": {}, "ownSettings": own},
    )
    while (message := wire.message()).get("method") != "kiro/settings":
        assert "id" not in message, "nothing else is asked for"
    document = {"textDocument": {"uri": tasks.as_uri()}}
    assert wire.ask("textDocument/codeLens", document, 1)["result"] == [], "what came at the start holds already"
    wire.send(id=message["id"], result={"settings": {"lenses": "recommended"}, "ownSettings": own})
    assert wire.ask("textDocument/codeLens", document, 2)["result"], "the workspace's goes before the person's"
    wire.send(method="workspace/didChangeConfiguration", params={"settings": None})
    while (message := wire.message()).get("method") != "kiro/settings":
        assert "id" not in message or message["method"] == "workspace/codeLens/refresh"
    wire.send(id=message["id"], result={"settings": {}, "ownSettings": own})
    assert wire.ask("textDocument/codeLens", document, 3)["result"] == []


async def test_a_server_ends_although_nobody_answers_what_it_asked(tmp_path: Path, own_homes: Path) -> None:
    """Another process had it apply an edit, and the editor is gone before it answers."""
    environ = {"HOME": str(own_homes), "KIRO_LSP_STATE_DIR": str(own_homes / "state"), "PATH": ""}
    capabilities = {"workspace": {"applyEdit": True}}
    speaker = Mute(environ)
    running = asyncio.create_task(speaker.server.run())
    await asyncio.sleep(0)
    await speaker.ask("initialize", {"processId": None, "rootUri": tmp_path.as_uri(), "capabilities": capabilities})
    await speaker.ask("kiro/runs", {})
    speaker.open(tmp_path / "a.py", "x = 1\n")
    backend = speaker.server._backend
    assert backend is not None
    edit = speaker.server.editor.edit({tmp_path / "a.py": ("x = 1\n", "x = 2\n")})
    asked = backend.engine._group.create_task(edit)
    while not speaker.asked:
        await asyncio.sleep(0)
    speaker.server.deliver(None)
    await asyncio.wait_for(running, 60)
    assert asked.result() is False


class Mute(Speaker):
    """A client that never answers."""

    def _take(self, body: bytes) -> None:
        message = json.loads(body)
        if "method" in message and "id" in message:
            self.asked.append(message["method"])
        else:
            super()._take(body)


async def test_a_project_that_cannot_be_taken_over_is_told_and_answered_about(
    tmp_path: Path, own_homes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(_self: Engine, _root: Path) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(Engine, "hold", full)
    environ = {"HOME": str(own_homes), "KIRO_LSP_STATE_DIR": str(own_homes / "state"), "PATH": ""}
    async with speaking(tmp_path, environ) as speaker:
        assert await speaker.ask("kiro/runs", {}) == []
        shown = [note["params"]["message"] for note in speaker.notifications if note["method"] == "window/showMessage"]
        assert any("the disk is full" in message for message in shown)


async def test_lenses_are_asked_for_again_when_folders_come_and_go(tmp_path: Path, own_homes: Path) -> None:
    environ = {"HOME": str(own_homes), "KIRO_LSP_STATE_DIR": str(own_homes / "state"), "PATH": ""}
    capabilities = {"workspace": {"codeLens": {"refreshSupport": True}, "workspaceFolders": True}}
    (tmp_path / "inner").mkdir()
    async with speaking(tmp_path, environ, capabilities=capabilities) as speaker:
        await speaker.ask("kiro/runs", {})
        while "workspace/codeLens/refresh" not in speaker.asked:
            await asyncio.sleep(0.01)
        speaker.asked.clear()
        inner = {"uri": (tmp_path / "inner").as_uri(), "name": "inner"}
        speaker.tell("workspace/didChangeWorkspaceFolders", {"event": {"added": [inner], "removed": []}})
        while "workspace/codeLens/refresh" not in speaker.asked:
            await asyncio.sleep(0.01)
