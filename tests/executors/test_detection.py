"""What is found on a machine: programs, their versions, servers; what is never started or called; when it is looked again."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kiro_lsp.executors import detection
from kiro_lsp.executors.detection import Detector, Places, Program, probe
from tests.support import planted
from tests.support.json_server import serving

if sys.platform == "win32":
    pytest.skip("the programs of these tests are shell scripts", allow_module_level=True)

CLAUDE = Places(frozenset({"claude"}))
MODELS = {"/api/version": {"version": "0.9.1"}, "/api/tags": {"models": [{"name": "qwen3:4b"}, {"name": 7}, "odd"]}}


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Machine:
    """A project, a folder of programs and a detector."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.bin, self.root, self.log = self.folder / "bin", self.folder / "project", self.folder / "log"
        for made in (self.bin, self.root):
            made.mkdir()
        self.environ |= {"PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}", **planted.ENVIRON}
        self.detector = Detector(self.root, self.environ, self.clock)

    def install(self, name: str, says: str, where: Path | None = None) -> Path:
        path = (where or self.bin) / name
        path.write_text(f"#!/bin/sh\nenv >> '{self.log}'\npwd >> '{self.log}'\n{says}\n", "utf-8")
        path.chmod(0o755)
        return path

    def claude(self, *, trusted: bool = True, thorough: bool = True) -> Program:
        return self.detector.look(CLAUDE, trusted=trusted, thorough=thorough).programs["claude"]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(detection, "VERSION_SECONDS", 60.0)
    return Machine(tmp_path)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of this test may be slow to answer."""
    monkeypatch.setattr(detection, "HERE_SECONDS", 60.0)


@pytest.mark.parametrize(
    ("says", "version"),
    [
        ("echo '2.1.329 (Claude Code)'", "2.1.329"),
        ("echo 'codex-cli 0.169.0'", "0.169.0"),
        ("echo v1.2", "1.2"),
        ("echo 1.0.0-rc.2", "1.0.0-rc.2"),
        ("echo hello", None),
        ("echo 3.4.5; exit 1", None),
        ("exit 0", None),
        ("exec cat /dev/zero", None),
    ],
)
def test_a_program_says_its_version(
    machine: Machine, says: str, version: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detection, "VERSION_SECONDS", 1.0 if "zero" in says else 60.0)
    path = machine.install("claude", says)
    assert machine.claude() == Program(str(path), version)


def test_a_program_that_hangs_costs_the_time_limit_and_is_not_asked_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detection, "VERSION_SECONDS", 2.0)
    path = machine.install("claude", "exec sleep 600")
    assert machine.claude() == Program(str(path), None)
    machine.log.unlink(missing_ok=True)
    assert machine.claude() == Program(str(path), None)
    assert not machine.log.exists()


def test_a_program_gets_no_key_and_does_not_run_in_the_project(machine: Machine) -> None:
    machine.install("claude", "echo 1.2.3")
    assert machine.claude().version == "1.2.3"
    seen = machine.log.read_text("utf-8")
    assert [key for key in planted.ENVIRON.values() if key in seen] == []
    assert str(machine.root) not in seen


@pytest.mark.parametrize(("trusted", "thorough"), [(False, True), (False, False), (True, False)])
def test_nothing_runs_before_trust_or_unless_it_was_asked_for(machine: Machine, trusted: bool, thorough: bool) -> None:
    path = machine.install("claude", "echo 1.2.3")
    assert machine.claude(trusted=trusted, thorough=thorough) == Program(str(path), None)
    assert not machine.log.exists()


def test_a_version_is_known_from_then_on_until_the_program_is_another(machine: Machine) -> None:
    path = machine.install("claude", "echo 1.2.3")
    assert machine.claude().version == "1.2.3"
    machine.log.unlink()
    assert machine.claude(thorough=False).version == "1.2.3"
    assert not machine.log.exists()
    path.unlink()
    machine.install("claude", "echo 1.3.0 # a longer one")
    assert machine.claude(thorough=False).version is None
    assert machine.claude().version == "1.3.0"


def test_a_program_that_comes_or_goes_is_seen_without_a_restart(machine: Machine) -> None:
    assert machine.claude().path is None
    path = machine.install("claude", "echo 1.2.3")
    machine.clock.now += detection.FRESH_SECONDS
    assert machine.claude().path == str(path)
    path.unlink()
    machine.clock.now += detection.FRESH_SECONDS
    assert machine.claude().path is None


@pytest.mark.parametrize("how", ["in the project", "linked into the project", "anybody may write it", "no program"])
def test_a_program_that_somebody_else_may_have_put_there_is_none(machine: Machine, how: str) -> None:
    if how == "in the project":
        machine.environ["PATH"] = str(machine.root)
        machine.install("claude", "echo 1.2.3", machine.root)
    elif how == "linked into the project":
        (machine.bin / "claude").symlink_to(machine.install("evil", "echo 1.2.3", machine.root))
    else:
        machine.install("claude", "echo 1.2.3").chmod(0o777 if how == "anybody may write it" else 0o644)
    assert machine.claude().path is None
    assert not machine.log.exists()


def test_a_program_may_be_named_by_its_place(machine: Machine) -> None:
    here, inside = machine.install("agent", "echo 4.5.6"), machine.install("agent", "echo 4.5.6", machine.root)
    found = machine.detector.look(Places(frozenset({str(here), str(inside)})), trusted=True, thorough=True)
    assert found.programs == {str(here): Program(str(here), "4.5.6"), str(inside): Program(None)}


def test_traces_in_the_project_are_told_by_agent(machine: Machine) -> None:
    (machine.root / ".claude").mkdir()
    (machine.root / "AGENTS.md").write_text("", "utf-8")
    assert machine.detector.look(Places(), trusted=False).traces == {"claude": (".claude",), "": ("AGENTS.md",)}


# Servers


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(
    ("kind", "answers", "version", "models"),
    [
        ("ollama", MODELS, "0.9.1", ("qwen3:4b",)),
        ("ollama", {}, None, None),
        ("ollama", {"/api/version": ["0.9.1"], "/api/tags": {"models": "none"}}, None, None),
        ("openai-api", {"/v1/models": {"data": [{"id": "qwen"}]}}, None, ("qwen",)),
        ("openai-api", {}, None, None),
    ],
)
def test_whatever_answers_is_there(
    kind: str, answers: Mapping[str, object], version: str | None, models: tuple[str, ...] | None
) -> None:
    with serving(answers) as url:
        found = probe(kind, url if kind == "ollama" else f"{url}/v1")
    assert (found.answers, found.version, found.models) == (True, version, models)


@pytest.mark.usefixtures("patient")
def test_a_server_gets_no_key(machine: Machine) -> None:
    asked: list[tuple[str, dict[str, str]]] = []
    with serving(MODELS, asked) as url:
        machine.detector.look(Places(servers=frozenset({("ollama", url)})), trusted=True)
    assert [path for path, _headers in asked] == ["/api/version", "/api/tags"]
    assert {name.lower() for _path, headers in asked for name in headers} == {"host", "accept", "accept-encoding"}


def _closed(port: int) -> None:
    """Nothing listens at this port."""


def _silent(port: int) -> socket.socket:
    listener = socket.create_server(("127.0.0.1", port))
    listener.listen()
    return listener


@pytest.mark.parametrize(("there", "said"), [(_closed, "nothing answers"), (_silent, "no answer within 0.25 s")])
def test_who_does_not_answer_is_said(there: Callable[[int], socket.socket | None], said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    listener = there(port)
    try:
        found = probe("ollama", f"http://127.0.0.1:{port}")
    finally:
        if listener is not None:
            listener.close()
    assert not found.answers
    assert said in found.said


@pytest.mark.parametrize("piece", [b"X", b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"])
def test_a_server_that_drips_gets_no_more_time(piece: bytes) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def drip() -> None:
        connection, _peer = listener.accept()
        with connection:
            while not ended.wait(0.05):
                try:
                    connection.sendall(piece)
                except OSError:
                    return

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        found = probe("ollama", f"http://127.0.0.1:{listener.getsockname()[1]}")
    finally:
        ended.set()
        thread.join()
        listener.close()
    assert not found.answers


@pytest.mark.usefixtures("patient")
def test_a_server_is_asked_after_trust_only_and_again_after_a_moment(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    place = ("openai-api", f"http://127.0.0.1:{port}/v1")
    places = Places(servers=frozenset({place}))
    assert machine.detector.look(places, trusted=False).servers == {}
    assert not machine.detector.look(places, trusted=True).servers[place].answers
    asked: list[tuple[str, dict[str, str]]] = []
    with serving({}, asked) as url:
        other = ("openai-api", f"{url}/v1")
        for _ in range(3):
            assert machine.detector.look(Places(servers=frozenset({other})), trusted=True).servers[other].answers
        assert len(asked) == 1
        machine.clock.now += detection.FRESH_SECONDS
        machine.detector.look(Places(servers=frozenset({other})), trusted=True)
        assert len(asked) == 2


def test_a_server_elsewhere_is_asked_for_the_list_only(machine: Machine) -> None:
    place = ("openai-api", "https://vendor.invalid/v1")
    places = Places(servers=frozenset({place}))
    assert machine.detector.look(places, trusted=True).servers == {}
    assert not machine.detector.look(places, trusted=True, thorough=True).servers[place].answers
    assert not machine.detector.look(places, trusted=True).servers[place].answers
    machine.clock.now += detection.FRESH_SECONDS
    assert machine.detector.look(places, trusted=True).servers == {}
