"""A local server that speaks the Messages streaming API, well and badly, by a script.

Its answers follow the public API as the official SDK reads it; test_anthropic_server.py checks every event against the
SDK's own types. The step of a script is found from the request alone (how many assistant turns with tool calls it holds),
so retries and parallel runs do not shift it. Also a program: python -m tests.support.anthropic_server SCRIPT PORT_FILE.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Json = dict[str, Any]


@dataclass
class Step:
    """One assistant turn: text, thoughts and tool calls, or a way to go wrong."""

    text: str = ""
    thinking: str = ""
    tools: Sequence[tuple[str, Any]] = ()
    """(name, arguments); a str as arguments is streamed as it is, however broken."""
    stop: str | None = None
    usage: Mapping[str, int] | None = None
    pieces: int = 7
    """Characters per delta: small and odd, so that escapes and calls are split."""
    cut_after: int | None = None
    """Bytes of the stream after which the connection is dropped."""
    error_event: Mapping[str, str] | None = None
    """An `error` event in the middle of the stream, after HTTP 200."""
    hold: bool = False
    """After the first piece, send nothing more until `release` is called."""
    repeat_text: int = 1


@dataclass
class Fault:
    """An HTTP error instead of an answer, `times` times."""

    status: int
    type: str = "api_error"
    message: str = "the local server was told to fail"
    times: int = 10**6
    headers: Mapping[str, str] = field(default_factory=dict)


def events_of(step: Step, model: str, request_tokens: int = 100) -> Iterator[tuple[str, Json]]:
    """(event name, data) of a whole answer, as the API streams it."""
    usage = {
        "input_tokens": request_tokens,
        "output_tokens": 1,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        **(step.usage or {}),
    }
    message = {
        "id": "msg_local",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**usage, "output_tokens": 1},
    }
    yield "message_start", {"type": "message_start", "message": message}
    yield "ping", {"type": "ping"}
    index = 0
    for kind, start, deltas in _blocks(step):
        yield "content_block_start", {"type": "content_block_start", "index": index, "content_block": start}
        for delta in deltas:
            yield "content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta}
        if kind == "thinking":
            signature = {"type": "signature_delta", "signature": "c2lnbmVk"}
            yield "content_block_delta", {"type": "content_block_delta", "index": index, "delta": signature}
        yield "content_block_stop", {"type": "content_block_stop", "index": index}
        index += 1
    if step.error_event is not None:
        yield "error", {"type": "error", "error": dict(step.error_event)}
        return
    stop = step.stop or ("tool_use" if step.tools else "end_turn")
    output = step.usage.get("output_tokens", 20) if step.usage else 20
    yield (
        "message_delta",
        {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": {"output_tokens": output}},
    )
    yield "message_stop", {"type": "message_stop"}


def _blocks(step: Step) -> Iterator[tuple[str, Json, Iterator[Json]]]:
    if step.thinking:
        start = {"type": "thinking", "thinking": "", "signature": ""}
        yield "thinking", start, ({"type": "thinking_delta", "thinking": piece} for piece in _cut(step.thinking, step.pieces))
    text = step.text * step.repeat_text
    if text:
        yield "text", {"type": "text", "text": ""}, ({"type": "text_delta", "text": piece} for piece in _cut(text, step.pieces))
    for number, (name, args) in enumerate(step.tools):
        raw = args if isinstance(args, str) else json.dumps(args)
        start = {"type": "tool_use", "id": f"toolu_{number}_{name}", "name": name, "input": {}}
        yield "tool_use", start, ({"type": "input_json_delta", "partial_json": piece} for piece in _cut(raw, step.pieces))


def _cut(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def sse(name: str, data: Json) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def step_index(request: Json) -> int:
    """How many turns with tool calls the conversation already has."""
    assistant = [message for message in request.get("messages", []) if message.get("role") == "assistant"]
    return sum(any(block.get("type") == "tool_use" for block in message["content"]) for message in assistant)


class AnthropicServer:
    """Runs in a thread on a free port of 127.0.0.1; use it as a context manager."""

    def __init__(self, steps: Sequence[Step] = (), faults: Sequence[Fault] = ()) -> None:
        self.steps = list(steps)
        self.faults = list(faults)
        self.requests: list[Json] = []
        self.headers: list[dict[str, str]] = []
        self.released = threading.Event()
        self.holding = threading.Event()
        """Set while an answer is held."""
        server = self

        class Handler(_Handler):
            owner = server

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def release(self) -> None:
        self.released.set()

    def __enter__(self) -> AnthropicServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def take_fault(self) -> Fault | None:
        for fault in self.faults:
            if fault.times > 0:
                fault.times -= 1
                return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    owner: AnthropicServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Quiet: requests are kept in `requests`."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path.split("?")[0] != "/v1/messages":
            self._json(404, {"type": "error", "error": {"type": "not_found_error", "message": self.path}})
            return
        request = json.loads(body)
        self.owner.requests.append(request)
        self.owner.headers.append({name.lower(): value for name, value in self.headers.items()})
        if (fault := self.owner.take_fault()) is not None:
            self._json(
                fault.status, {"type": "error", "error": {"type": fault.type, "message": fault.message}}, fault.headers
            )
            return
        index = step_index(request)
        step = self.owner.steps[index] if index < len(self.owner.steps) else Step(text="Done.")
        self._stream(step, request)

    def _stream(self, step: Step, request: Json) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("request-id", "req_local")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        sent = 0
        try:
            for name, data in events_of(step, request["model"], max(1, len(json.dumps(request)) // 4)):
                chunk = sse(name, data)
                if step.cut_after is not None and sent + len(chunk) > step.cut_after:
                    self.wfile.write(chunk[: step.cut_after - sent])
                    self.wfile.flush()
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.wfile.write(chunk)
                self.wfile.flush()
                sent += len(chunk)
                if step.hold and name == "content_block_delta" and not self.owner.released.is_set():
                    self.owner.holding.set()
                    self.owner.released.wait(120)
        except (BrokenPipeError, ConnectionError):
            return

    def _json(self, status: int, value: Json, headers: Mapping[str, str] | None = None) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)


def closed_port() -> int:
    """A port of 127.0.0.1 on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def edits(path: str, old: str, new: str, *, summary: str = "Changed it as asked.") -> list[Step]:
    """The usual script: look, edit, say so."""
    return [
        Step(text="I read the file first.", tools=[("read_file", {"path": path})]),
        Step(text="Now the edit.", tools=[("edit", {"path": path, "old_text": old, "new_text": new})]),
        Step(text=summary),
    ]


def _main(script: str, port_file: str) -> None:
    values = json.loads(Path(script).read_text("utf-8"))
    steps = [Step(**{**step, "tools": [tuple(tool) for tool in step.get("tools", ())]}) for step in values.get("steps", ())]
    with AnthropicServer(steps, [Fault(**fault) for fault in values.get("faults", ())]) as server:
        Path(port_file).write_text(server.url, "utf-8")
        while sys.stdin.buffer.read(1):
            time.sleep(0)


if __name__ == "__main__":
    _main(*sys.argv[1:3])
