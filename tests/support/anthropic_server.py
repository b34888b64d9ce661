"""A local server that speaks the Messages streaming API, well and badly, by a script.

Its answers follow the public API as the official SDK reads it; test_anthropic_server.py checks every event against the
SDK's own types. The step of a script is found from the request alone (how many assistant turns with tool calls it holds),
so retries and parallel runs do not shift it. Nothing is timed: what shall wait, waits until it is told to go on.

In a test: `with AnthropicServer(edits("a.py", "1", "2")) as server: … server.url …`. As a program, until its standard
input ends: `python -m tests.support.anthropic_server --script FILE --port-file FILE [--log FILE]`; the port file gets the
URL. The script is JSON: {"steps": [fields of Step], "faults": [fields of Fault]}.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import select
import socket
import struct
import sys
import threading
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
    redacted: str = ""
    """Data of a redacted_thinking block."""
    tools: Sequence[Sequence[Any]] = ()
    """(name, arguments) or (name, arguments, id); a str as arguments is streamed as it is, however broken."""
    stop: str | None = None
    usage: Mapping[str, int] | None = None
    pieces: int = 7
    """Characters per delta: small and odd, so that escapes and calls are split."""
    write_size: int | None = None
    """Bytes per write: splits events, lines and UTF-8 characters. None: one event a write."""
    cut_after: int | None = None
    """Bytes of the stream after which the connection is dropped."""
    cut_with: str = "close"
    """How it is dropped: "close" as a crashed server does, "reset", or "end": a well-formed end of the body."""
    error_event: Mapping[str, str] | None = None
    """An `error` event in the middle of the stream, after HTTP 200."""
    hold: bool = False
    """After the first piece, send nothing more until `release` is called."""
    stepwise: bool = False
    """Each event waits for one `advance`."""
    repeat_text: int = 1
    endless: str = ""
    """"events" or "line": go on until the client hangs up, with deltas, or with one line that never ends."""
    raw: Sequence[Sequence[Any]] | None = None
    """(event name, data) instead of the events of a good answer; a str as data is sent as it is."""
    body: str | None = None
    """The whole body instead of a stream."""
    content_type: str = "text/event-stream; charset=utf-8"
    encoding: str = ""
    """A content-encoding header to lie with."""


@dataclass
class Fault:
    """An HTTP error instead of an answer, `times` times."""

    status: int
    type: str = "api_error"
    message: str = "the local server was told to fail"
    times: int = 10**6
    headers: Mapping[str, str] = field(default_factory=dict)
    step: int | None = None
    """Only in this step of the conversation."""
    body: str | None = None
    """Sent as it is, instead of the API's error object."""
    stall: bool = False
    """Take the request and say nothing at all until `release` is called."""


def events_of(step: Step, model: str, request_tokens: int = 100, index: int = 0) -> Iterator[tuple[str, Any]]:
    """(event name, data) of a whole answer, as the API streams it. `index` makes ids differ between turns."""
    if step.raw is not None:
        yield from ((str(name), data) for name, data in step.raw)
        return
    usage: Json = {
        "input_tokens": request_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "service_tier": "standard",
        **(step.usage or {}),
    }
    yield "message_start", {"type": "message_start", "message": _message(model, usage, index)}
    yield "ping", {"type": "ping"}
    for number, (start, deltas) in enumerate(_blocks(step, index)):
        yield "content_block_start", {"type": "content_block_start", "index": number, "content_block": start}
        for delta in deltas:
            yield "content_block_delta", {"type": "content_block_delta", "index": number, "delta": delta}
        yield "content_block_stop", {"type": "content_block_stop", "index": number}
    if step.error_event is not None:
        yield "error", {"type": "error", "error": dict(step.error_event)}
        return
    stop = step.stop or ("tool_use" if step.tools else "end_turn")
    counted = {name: value for name, value in usage.items() if name.endswith("_tokens")} | {
        "output_tokens": usage.get("output_tokens", 20)
    }
    yield (
        "message_delta",
        {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": counted},
    )
    yield "message_stop", {"type": "message_stop"}


def _message(model: str, usage: Json, index: int) -> Json:
    return {
        "id": f"msg_{index:08d}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**usage, "output_tokens": 1},
    }


def _blocks(step: Step, index: int) -> Iterator[tuple[Json, Iterator[Json]]]:
    if step.thinking:
        thoughts: list[Json] = [
            {"type": "thinking_delta", "thinking": part} for part in _cut(step.thinking, step.pieces)
        ]
        signature = {"type": "signature_delta", "signature": "c2lnbmVk"}
        yield {"type": "thinking", "thinking": "", "signature": ""}, iter([*thoughts, signature])
    if step.redacted:
        yield {"type": "redacted_thinking", "data": step.redacted}, iter(())
    text = step.text * step.repeat_text
    if text:
        yield {"type": "text", "text": ""}, ({"type": "text_delta", "text": part} for part in _cut(text, step.pieces))
    for number, (name, args, *given) in enumerate(step.tools):
        raw = args if isinstance(args, str) else json.dumps(args)
        identifier = given[0] if given else f"toolu_{index:04d}{number:04d}"
        start = {"type": "tool_use", "id": identifier, "name": name, "input": {}}
        yield start, ({"type": "input_json_delta", "partial_json": part} for part in _cut(raw, step.pieces))


def _cut(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def sse(name: str, data: Any) -> bytes:
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return f"event: {name}\ndata: {text}\n\n".encode()


def stream_of(step: Step, model: str = "claude-local", request_tokens: int = 100, index: int = 0) -> bytes:
    """The whole body of an answer."""
    return b"".join(sse(name, data) for name, data in events_of(step, model, request_tokens, index))


def step_index(request: Json) -> int:
    """How many turns with tool calls the conversation already has."""
    assistant = [message for message in request.get("messages", []) if message.get("role") == "assistant"]
    return sum(any(block.get("type") == "tool_use" for block in message["content"]) for message in assistant)


class PromptCache:
    """Which prefixes were marked for caching before, as the API counts them: tools, system, then messages in order."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def usage(self, request: Json) -> dict[str, int]:
        """input, cache read and cache write tokens of a request (four bytes to a token)."""
        blocks = [*request.get("tools", ()), *request.get("system", ())]
        for message in request["messages"]:
            blocks += [{"role": message["role"], **block} for block in message["content"]]
        digest, size, marks = hashlib.sha256(), 0, []
        for block in blocks:
            data = json.dumps({name: value for name, value in block.items() if name != "cache_control"}).encode()
            digest.update(data)
            size += len(data)
            if "cache_control" in block:
                marks.append((digest.hexdigest(), size // 4))
        read = max((tokens for mark, tokens in marks if mark in self._seen), default=0)
        marked = max((tokens for _mark, tokens in marks), default=0)
        self._seen.update(mark for mark, _tokens in marks)
        return {
            "input_tokens": max(size // 4 - marked, 1),
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": marked - read,
        }


class AnthropicServer:
    """Runs in a thread on a free port of 127.0.0.1; use it as a context manager. Servers of other APIs are made from it."""

    handler: type[_Handler]

    def __init__(self, steps: Sequence[Step] = (), faults: Sequence[Fault] = (), *, log: Path | None = None) -> None:
        self.steps = list(steps)
        self.faults = list(faults)
        self.requests: list[Json] = []
        """Bodies of every request to /v1/messages, those answered with a fault too."""
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        """Every path that was asked for, also unknown ones."""
        self.cache: PromptCache | None = None
        """Set one to report cache reads and writes as the API does, where a step states no usage."""
        self.released = threading.Event()
        self.holding = threading.Event()
        """Set while an answer is held."""
        self.hung_up = threading.Event()
        """Set when a client closed the connection before its answer was complete."""
        self._permits = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._log = log
        server = self

        class Handler(self.handler):  # type: ignore[name-defined,misc]
            owner = server

        self._http = _Http(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def release(self) -> None:
        """Let everything that is held go on."""
        self.released.set()

    def advance(self, events: int = 1) -> None:
        """Let a stepwise answer send so many more events."""
        self._permits.release(events)

    def __enter__(self) -> AnthropicServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def record(self, path: str, headers: Mapping[str, str], request: Json | None) -> None:
        with self._lock:
            self.paths.append(path)
            if request is not None:
                self.requests.append(request)
                self.headers.append(dict(headers))
            if self._log is not None:
                with self._log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"path": path, "request": request}) + "\n")

    def take_fault(self, step: int) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if fault.times > 0 and fault.step in (None, step):
                    fault.times -= 1
                    return fault
        return None

    def usage_of(self, request: Json) -> dict[str, int]:
        with self._lock:
            return {} if self.cache is None else self.cache.usage(request)

    def wait(self, event: threading.Event | None, connection: socket.socket) -> bool:
        """Wait for an event (None: a permit of a stepwise answer) or everybody's release; False if the client left."""
        while not self.released.is_set():
            if event is None and self._permits.acquire(timeout=0.02):
                return True
            if event is not None and event.wait(0.02):
                return True
            readable, _, _ = select.select([connection], [], [], 0)
            if readable and connection.recv(1, socket.MSG_PEEK) == b"":
                self.hung_up.set()
                return False
        return True


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:  # the base class names it
        """Quiet: a client that hangs up is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    """Speaks one wire. What another one does otherwise is in the methods before `do_GET` and in `spoken`."""

    owner: AnthropicServer
    spoken: Sequence[str] = ("/v1/messages",)
    first_piece: Sequence[str] = ("content_block_delta",)
    """Names of the events that hold something to see."""
    last_piece: Sequence[str] = ("content_block_stop",)
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Quiet: requests are kept in `requests`."""

    def index_of(self, request: Json) -> int:
        return step_index(request)

    def events(self, step: Step, request: Json, index: int) -> Iterator[tuple[str, bytes]]:
        """(name, bytes) of every event of an answer."""
        tokens = max(1, len(json.dumps(request)) // 4)
        return ((name, sse(name, data)) for name, data in events_of(step, request["model"], tokens, index))

    def error_of(self, fault: Fault) -> Json:
        return {"type": "error", "error": {"type": fault.type, "message": fault.message}}

    def endless_piece(self) -> bytes:
        delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "more " * 200}}
        return sse("content_block_delta", delta)

    def do_GET(self) -> None:
        self.owner.record(self.path, {}, None)
        self._json(404, {"type": "error", "error": {"type": "not_found_error", "message": self.path}})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path.split("?")[0] not in self.spoken:
            self.owner.record(self.path, {}, None)
            self._json(404, {"type": "error", "error": {"type": "not_found_error", "message": self.path}})
            return
        request = json.loads(body)
        index = self.index_of(request)
        self.owner.record(self.path, {name.lower(): value for name, value in self.headers.items()}, request)
        if (fault := self.owner.take_fault(index)) is not None:
            self._fail(fault)
            return
        self._stream(self.owner.steps[index] if index < len(self.owner.steps) else Step(text="Done."), request, index)

    def _fail(self, fault: Fault) -> None:
        if fault.stall:
            self.owner.holding.set()
            self.owner.wait(self.owner.released, self.connection)
            self.close_connection = True
        elif fault.body is not None:
            self._raw(fault.status, fault.body.encode(), {"content-type": "text/html"} | dict(fault.headers))
        else:
            self._json(fault.status, self.error_of(fault), fault.headers)

    def _stream(self, step: Step, request: Json, index: int) -> None:
        headers = {"content-type": step.content_type, "request-id": f"req_local_{index}"}
        if step.encoding:
            headers["content-encoding"] = step.encoding
        if step.body is not None:
            self._raw(200, step.body.encode(), headers)
            return
        self.send_response(200)
        for name, value in (headers | {"transfer-encoding": "chunked"}).items():
            self.send_header(name, value)
        self.end_headers()
        if step.usage is None and (usage := self.owner.usage_of(request)):
            step = Step(**{**vars(step), "usage": usage})
        try:
            if self._send_events(step, request, index):
                self.wfile.write(b"0\r\n\r\n")
                return
        except (BrokenPipeError, ConnectionError):
            self.owner.hung_up.set()
        self.close_connection = True

    def _send_events(self, step: Step, request: Json, index: int) -> bool:
        """Whether the answer was sent to its end."""
        sent, held = 0, False
        for name, chunk in self.events(step, request, index):
            if step.stepwise and not self.owner.wait(None, self.connection):
                return False
            if step.endless and name in self.last_piece:
                self._send_for_ever(step.endless)
            if step.cut_after is not None and sent + len(chunk) > step.cut_after:
                self._write(chunk[: step.cut_after - sent], step.write_size)
                return self._drop(step.cut_with)
            self._write(chunk, step.write_size)
            sent += len(chunk)
            if step.hold and not held and name in self.first_piece:
                held = True
                self.owner.holding.set()
                if not self.owner.wait(self.owner.released, self.connection):
                    return False
        return True

    def _send_for_ever(self, kind: str) -> None:
        """Leaves by the exception of a client that hung up."""
        piece = self.endless_piece() * 50 if kind == "events" else b"x" * 65536
        if kind == "line":
            self._write(b"data: ", None)
        while True:
            self._write(piece, None)

    def _write(self, data: bytes, size: int | None) -> None:
        for start in range(0, len(data), size or max(len(data), 1)):
            part = data[start : start + (size or len(data))]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.flush()

    def _drop(self, how: str) -> bool:
        if how == "end":
            return True
        if how == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        else:
            self.connection.shutdown(socket.SHUT_RDWR)
        return False

    def _json(self, status: int, value: Json, headers: Mapping[str, str] | None = None) -> None:
        self._raw(status, json.dumps(value).encode(), {"content-type": "application/json"} | dict(headers or {}))

    def _raw(self, status: int, data: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name, text)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


AnthropicServer.handler = _Handler
Handler = _Handler


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


def write_script(path: Path, steps: Sequence[Step], faults: Sequence[Fault] = ()) -> Path:
    """The script file for the program form."""
    value = {"steps": [vars(step) for step in steps], "faults": [vars(fault) for fault in faults]}
    path.write_text(json.dumps(value), "utf-8")
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.support.anthropic_server")
    parser.add_argument("--script", type=Path, required=True)
    parser.add_argument("--port-file", type=Path, required=True)
    parser.add_argument("--log", type=Path)
    given = parser.parse_args(arguments)
    values = json.loads(given.script.read_text("utf-8"))
    steps = [Step(**step) for step in values.get("steps", ())]
    with AnthropicServer(steps, [Fault(**fault) for fault in values.get("faults", ())], log=given.log) as server:
        unfinished = given.port_file.with_name(f"{given.port_file.name}.part")
        unfinished.write_text(server.url, "utf-8")
        unfinished.replace(given.port_file)
        while sys.stdin.buffer.read(4096):
            pass


if __name__ == "__main__":
    main()
