"""Who is greeted at the door is served as everybody else, only earlier."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiro_lsp.lsp import first_lenses
from kiro_lsp.lsp.client import Client
from kiro_lsp.lsp.doorstep import Greeted, greet
from kiro_lsp.lsp.first_lenses import Offered
from kiro_lsp.lsp.framing import FrameReader
from kiro_lsp.lsp.lens_templates import LINE, NUMBER, SELECTOR, URI, Template
from tests.lsp.test_lifecycle import Wire

TASKS = "# Plan\n\n- [ ] 1. One\n  - [x] 1.1 Two\n- [ ] 2. Three\n- [ ] 2. Four\n"
CAPABILITIES = {"workspace": {"codeLens": {"refreshSupport": True}}}
LENSES = "textDocument/codeLens"


def frame(message: object) -> bytes:
    body = json.dumps(message).encode()
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def initialize(root: Path, **more: Any) -> dict[str, Any]:
    params = {"processId": None, "rootUri": root.as_uri(), "capabilities": CAPABILITIES, "clientInfo": {"name": "x"}}
    return {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {**params, **more}}


def opened(path: Path, text: str = TASKS) -> dict[str, Any]:
    item = {"uri": path.as_uri(), "languageId": "markdown", "version": 1, "text": text}
    return {"jsonrpc": "2.0", "method": "textDocument/didOpen", "params": {"textDocument": item}}


def lenses(path: Path, identifier: int = 2) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identifier, "method": LENSES, "params": {"textDocument": {"uri": path.as_uri()}}}


def met(data: bytes, environ: dict[str, str]) -> tuple[Greeted, list[dict[str, Any]]]:
    """What a client that sends these bytes and ends is answered at the door, and what is left to the server."""
    source, sink = os.pipe()
    sent: list[dict[str, Any]] = []
    try:
        os.write(sink, data)
        os.close(sink)
        return greet(source, lambda body: sent.append(json.loads(body)), environ), sent
    finally:
        os.close(source)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / ".kiro/specs/a").mkdir(parents=True)
    return root


def environ_of(tmp_path: Path) -> dict[str, str]:
    places = {"KIRO_LSP_STATE_DIR": str(tmp_path / "state"), "HOME": str(tmp_path)}
    return places | {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2])}


def remembered(
    tmp_path: Path, root: Path, *, chooses: bool = False, busy: frozenset[str] = frozenset()
) -> dict[str, str]:
    """An environment in which the project offered something last time."""
    environ = environ_of(tmp_path)
    complete = Template((b'{"at":', LINE, b',"of":[', URI, b",", SELECTOR, b'],"what":"100 %"}'))
    unresolved = Template((b'{"at":', LINE, b',"data":[', NUMBER, b",", SELECTOR, b"]}"))
    about = first_lenses.about(environ, Client(CAPABILITIES, {}, "x"))
    offered = Offered(str(root), complete, unresolved, chooses, busy)
    first_lenses.keep(environ["KIRO_LSP_STATE_DIR"], offered, [str(root / "kiro.toml")], about)
    return environ


def test_lenses_of_last_time_are_answered_at_the_door(tmp_path: Path, project: Path) -> None:
    environ, path = remembered(tmp_path, project), project / ".kiro/specs/a/tasks.md"
    messages = [
        initialize(project),
        {"jsonrpc": "2.0", "method": "initialized", "params": {}},
        opened(path),
        lenses(path),
    ]
    greeted, sent = met(b"".join(map(frame, messages)) + b"Content-", environ)
    assert [message["id"] for message in sent] == [1, 2]
    uri = path.as_uri()
    assert sent[1]["result"] == [
        {"at": 2, "of": [uri, "1"], "what": "100 %"},
        {"at": 4, "of": [uri, "2~1"], "what": "100 %"},
        {"at": 5, "of": [uri, "2~2"], "what": "100 %"},
    ]
    assert (greeted.initialize, list(greeted.messages), greeted.rest) == (messages[0], messages[1:3], b"Content-")
    assert json.loads(greeted.shown[uri]) == sent[1]["result"]


def test_a_large_file_gets_lenses_that_are_resolved_later(tmp_path: Path, project: Path) -> None:
    environ, path = remembered(tmp_path, project), project / ".kiro/specs/a/tasks.md"
    text = "".join(f"- [ ] {number}. Task\n" for number in range(1, 302))
    _greeted, sent = met(b"".join(map(frame, [initialize(project), opened(path, text), lenses(path)])), environ)
    assert sent[1]["result"][300] == {"at": 300, "data": [0, "301"]}


NOT_AT_THE_DOOR = [
    "no memory",
    "another editor's settings",
    "another key",
    "settings edited",
    "an agent for each task",
    "runs",
    "no refresh",
    "restricted",
    "two folders",
    "not opened",
    "no task file",
    "outside",
    "another request first",
    "damaged memory",
]


@pytest.mark.parametrize("why", NOT_AT_THE_DOOR)
def test_what_the_door_cannot_know_is_left_to_the_server(tmp_path: Path, project: Path, why: str) -> None:
    path = project / ".kiro/specs/a/tasks.md"
    if why == "no memory":
        environ = environ_of(tmp_path)
    else:
        busy = frozenset({".kiro/specs/a/tasks.md"}) if why == "runs" else frozenset()
        environ = remembered(tmp_path, project, chooses=why == "an agent for each task", busy=busy)
    more: dict[str, Any] = {}
    if why == "another editor's settings":
        more["initializationOptions"] = {"settings": {"kiro": {"lenses": "off"}}}
    elif why == "another key":
        environ["OPENAI_API_KEY"] = "set"
    elif why == "settings edited":
        (project / "kiro.toml").write_text("[kiro]\nlenses = 'off'\n", "utf-8")
    elif why == "no refresh":
        more["capabilities"] = {}
    elif why == "restricted":
        more["initializationOptions"] = {"trusted": False}
    elif why == "two folders":
        more["workspaceFolders"] = [{"uri": project.as_uri(), "name": "a"}, {"uri": tmp_path.as_uri(), "name": "b"}]
    elif why == "no task file":
        path = project / "README.md"
    elif why == "outside":
        path = tmp_path / "other/.kiro/specs/a/tasks.md"
    elif why == "damaged memory":
        for file in (tmp_path / "state").rglob("*.json"):
            file.write_bytes(file.read_bytes()[:40])
    between = [] if why == "not opened" else [opened(path)]
    if why == "another request first":
        between.insert(0, {"jsonrpc": "2.0", "id": 7, "method": "shutdown"})
    asked = lenses(path)
    greeted, sent = met(b"".join(map(frame, [initialize(project, **more), *between, asked])), environ)
    assert [message["id"] for message in sent] == [1]
    left = [*greeted.messages, *FrameReader().feed(greeted.rest)]
    assert left == [*between, asked]
    assert greeted.shown == {}


def test_a_client_with_another_header_is_not_kept_waiting(tmp_path: Path) -> None:
    """As pygls' own client has it; its pipe stays open."""
    body = json.dumps(initialize(tmp_path)).encode()
    data = b"Content-Length: %d\r\nContent-Type: application/vscode-jsonrpc; charset=utf-8\r\n\r\n%b" % (
        len(body),
        body,
    )
    for whole in (data, data[:30], b"\r\n", b"Content-Length:5\r\n\r\n"):
        source, sink = os.pipe()
        try:
            os.write(sink, whole)
            assert greet(source, lambda _body: None, environ_of(tmp_path)) == Greeted(None, (), whole)
        finally:
            os.close(source)
            os.close(sink)


ODD = [
    b"",
    b"junk",
    b"Content-Length: 2\r\n\r\n{}",
    b"Content-Length: 5\r\n\r\n[1,2]",
    b"content-length: 2\r\n\r\n{}",
    b"Content-Length: 3\r\n\r\n{\xff}",
    frame({"jsonrpc": "2.0", "id": None, "method": "initialize", "params": {}}),
    frame({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": []}),
    frame({"jsonrpc": "2.0", "id": 1, "method": "textDocument/hover", "params": {}}),
]


@given(data=st.lists(st.sampled_from(ODD), max_size=3).map(b"".join), known=st.booleans(), cut=st.integers(0, 60))
@settings(max_examples=120, deadline=None)
def test_nothing_that_is_read_is_lost(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, *, known: bool, cut: int
) -> None:
    tmp_path = tmp_path_factory.mktemp("door")
    start = initialize(tmp_path)
    whole = (frame(start) if known else b"") + data
    whole = whole[: len(whole) - cut] if cut else whole
    greeted, sent = met(whole, environ_of(tmp_path))
    before = frame(start) if greeted.initialize is not None else b""
    assert before + greeted.rest == whole
    assert len(sent) == (greeted.initialize is not None)


def test_nothing_heavy_is_imported_at_the_door(tmp_path: Path, project: Path) -> None:
    environ, path = remembered(tmp_path, project), project / ".kiro/specs/a/tasks.md"
    program = (
        "import sys, os\nfrom kiro_lsp.lsp.doorstep import at_the_door\n"
        "out, greeted = at_the_door(os.environ)\nassert greeted.shown\n"
        "heavy = {'asyncio', 'dataclasses', 'inspect', 'orjson', 'logging', 'sqlite3', 'pygls', 'lsprotocol'}\n"
        "sys.stderr.write(' '.join(sorted(heavy & set(sys.modules))))\n"
    )
    data = b"".join(map(frame, [initialize(project), opened(path), lenses(path)]))
    ended = subprocess.run([sys.executable, "-c", program], input=data, capture_output=True, env=environ, check=True)
    assert ended.stderr.decode() == ""


def test_the_next_session_begins_with_what_the_last_one_ended_with(tmp_path: Path, project: Path) -> None:
    """The real program twice: the same lenses, then everything else as ever, and no refresh without a difference."""
    path, environ = project / ".kiro/specs/a/tasks.md", environ_of(tmp_path)
    path.write_text(TASKS, "utf-8")
    answers = []
    for _ in range(2):
        wire = Wire(environ)
        wire.send(**initialize(project))
        wire.answer(1)
        for message in (opened(path), lenses(path)):
            wire.send(**message)
        answers.append(wire.answer(2)["result"])
        about = {"textDocument": {"uri": path.as_uri()}, "position": {"line": 2, "character": 8}}
        assert "One" in wire.ask("textDocument/hover", about, 3)["result"]["contents"]["value"]
        assert wire.ask(LENSES, {"textDocument": {"uri": path.as_uri()}}, 4)["result"] == answers[-1]
        wire.ask("shutdown", identifier=5)
        wire.send(method="exit")
        assert wire.process.wait(30) == 0
    assert answers[0] == answers[1]
    assert len(answers[0]) >= 3
    assert list((tmp_path / "state/first-lenses").iterdir())


def test_lenses_that_are_offered_no_more_are_asked_for_again(tmp_path: Path, project: Path) -> None:
    path, environ = project / ".kiro/specs/a/tasks.md", remembered(tmp_path, project)
    wire = Wire(environ)
    for message in (initialize(project), opened(path), lenses(path)):
        wire.send(**message)
    wire.answer(1)
    assert wire.answer(2)["result"][0]["what"] == "100 %"
    while (message := wire.message()).get("method") != "workspace/codeLens/refresh":
        if "id" in message:
            wire.send(id=message["id"], result=None)
    wire.send(id=message["id"], result=None)
    assert "command" in wire.ask(LENSES, {"textDocument": {"uri": path.as_uri()}}, 3)["result"][0]
    wire.ask("shutdown", identifier=4)
    wire.send(method="exit")
    assert wire.process.wait(30) == 0
