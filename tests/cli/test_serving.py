"""Which door the language server opens, how editors start it, and where its log goes."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from kiro_lsp.cli import main
from kiro_lsp.demo.editor import Editor
from kiro_lsp.errors import UsageError
from kiro_lsp.terminal.logfile import keep_log
from kiro_lsp.terminal.serving import address


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("127.0.0.1:2087", ("127.0.0.1", 2087)),
        ("localhost:0", ("localhost", 0)),
        (":2087", ("127.0.0.1", 2087)),
        ("2087", ("127.0.0.1", 2087)),
        ("[::1]:2087", ("::1", 2087)),
    ],
)
def test_an_address_is_on_this_machine(text: str, wanted: tuple[str, int]) -> None:
    assert address(text) == wanted


@pytest.mark.parametrize(
    "text", ["0.0.0.0:2087", "192.168.1.2:2087", "example.org:80", "localhost:", "localhost:x", "", "127.0.0.1:70000"]
)
def test_an_address_that_others_can_reach_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError):
        address(text)
    assert main(["--tcp", text]) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("flag", ["--pipe=x", "--node-ipc", "--socket=2087"])
def test_doors_that_are_not_there_are_refused_with_those_that_are(
    flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([flag]) == 2
    assert "--stdio" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["--stdio"], ["serve"], ["serve", "--stdio"], ["--stdio", "--clientProcessId=1"], ["-v"]]
)
async def test_however_an_editor_starts_it_the_server_answers(tmp_path: Path, arguments: Sequence[str]) -> None:
    async def nobody(_text: str, _titles: Sequence[str]) -> None:
        raise AssertionError("nothing is asked at start")

    log = tmp_path / "stderr"
    argv = [sys.executable, "-m", "kiro_lsp", *arguments]
    editor = await Editor.start(argv, os.environ, log, lambda _method, _params: None, nobody)
    answer = await editor.initialize(tmp_path, [])
    assert answer["serverInfo"]["name"] == "kiro-lsp"
    await editor.close()
    assert editor.process.returncode == 0
    assert log.read_bytes() == b""


def test_over_tcp_the_address_is_told_and_the_server_answers(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "kiro_lsp", "--tcp", "127.0.0.1:0"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stderr is not None
        port = int(process.stderr.readline().rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rwb") as stream:
            send(stream, {"id": 1, "method": "initialize", "params": {"processId": None, "capabilities": {}}})
            assert receive(stream, 1)["serverInfo"]["name"] == "kiro-lsp"
            send(stream, {"id": 2, "method": "shutdown"})
            receive(stream, 2)
            send(stream, {"method": "exit"})
            assert process.wait() == 0
    finally:
        process.kill()
        process.wait()


def send(stream: Any, message: dict[str, Any]) -> None:
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    stream.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
    stream.flush()


def receive(stream: Any, number: int) -> Any:
    """The result of request `number`; what comes before it is read past."""
    while True:
        length = 0
        while (line := stream.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        message = json.loads(stream.read(length))
        if message.get("id") == number and "method" not in message:
            assert "error" not in message, message
            return message["result"]


@pytest.fixture
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level


def test_the_log_goes_to_its_file_without_secrets(
    tmp_path: Path, logging_as_it_was: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SERVICE_TOKEN", "correct-horse-battery")
    path = tmp_path / "logs" / "server.log"
    keep_log(str(path), "info")
    assert not path.exists(), "a start that goes well writes nothing"
    logging.getLogger("kiro_lsp.test").info("sent with %s and %s", "correct-horse-battery", "sk-ant-" + "a" * 40)
    logging.getLogger("kiro_lsp.test").debug("too much detail")
    written = path.read_text("utf-8")
    assert "kiro_lsp.test: sent with [redacted] and [redacted]" in written
    assert "too much detail" not in written
    if sys.platform != "win32":
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_log_that_grew_too_long_is_put_aside(tmp_path: Path, logging_as_it_was: None) -> None:
    path = tmp_path / "server.log"
    path.write_bytes(b"x" * 5_000_001)
    keep_log(str(path), "info")
    logging.getLogger("kiro_lsp.test").warning("fresh")
    assert path.read_text("utf-8").endswith("fresh\n")
    assert path.stat().st_size < 1000
    assert (tmp_path / "server.log.1").stat().st_size == 5_000_001
