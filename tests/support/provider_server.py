"""A local server that answers by a script, well and badly; each provider's wire is a server made from it.

The step of a script is found from the request alone (how many assistant turns with tool calls it holds), so retries and
parallel runs do not shift it. Nothing is timed: what shall wait, waits until it is told to go on.

In a test: `with GoogleServer(edits("a.py", "1", "2")) as server: … server.url …`.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Self

from tests.support import agent_tools

Json = dict[str, Any]


@dataclass
class Step:
    """One assistant turn: text, thoughts and tool calls, or a way to go wrong."""

    text: str = ""
    thinking: str = ""
    redacted: str = ""
    """What only the provider can read of its thoughts, as the wire has it: a block, encrypted content, a signature."""
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
    """How to go on until the client hangs up: "events" with text, "line" that never ends, "blank" lines, "lines" of no event."""
    raw: Sequence[Sequence[Any]] | None = None
    """(event name, data) instead of the events of a good answer; a str as data is not encoded, bytes are not framed."""
    body: str | None = None
    """The whole body instead of a stream."""
    content_type: str | None = None
    """None: the wire's own."""
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


def cut(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def sse(name: str, data: Any) -> bytes:
    """One event of an event stream, without a name for a name of ""; bytes are sent as they are."""
    if isinstance(data, bytes):
        return data
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


class ProviderServer:
    """Runs in a thread on a free port of 127.0.0.1; use it as a context manager."""

    handler: type[Handler]

    def __init__(self, steps: Sequence[Step] = (), faults: Sequence[Fault] = (), *, log: Path | None = None) -> None:
        self.steps = list(steps)
        self.faults = list(faults)
        self.first: list[Step] = []
        """Answers given once each, before the script and whatever the request holds."""
        self.fixed: dict[str, tuple[int, Json]] = {}
        """(status, body) of other paths that are answered always in the same way."""
        self.requests: list[Json] = []
        """Bodies of every request for an answer, those that got a fault too."""
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        """Every path that was asked for, also unknown ones."""
        self.bodies: list[bytes] = []
        """What came over the wire for each of `requests`."""
        self.released = threading.Event()
        self.holding = threading.Event()
        """Set while an answer is held."""
        self.hung_up = threading.Event()
        """Set when a client closed the connection before its answer was complete."""
        self._permits = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._log = log
        server = self

        class Bound(self.handler):  # type: ignore[name-defined,misc]
            owner = server

        self._http = _Http(("127.0.0.1", 0), Bound)
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

    def __enter__(self) -> Self:
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

    def usage_of(self, request: Json) -> Mapping[str, int]:
        """What a step without a usage of its own states; empty: what the wire's own server makes up."""
        return {}

    def take_step(self, index: int) -> Step:
        with self._lock:
            if self.first:
                return self.first.pop(0)
        return self.steps[index] if index < len(self.steps) else Step(text="Done.")

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


class Handler(BaseHTTPRequestHandler):
    """Speaks one wire: what it says is in the methods before `do_GET`."""

    owner: ProviderServer
    spoken: ClassVar[Sequence[str]] = ()
    """The paths that are answered."""
    first_piece: ClassVar[Sequence[str]] = ()
    """Names of the events that hold something to see."""
    last_piece: ClassVar[Sequence[str]] = ()
    """Names of the events before which an endless answer goes on."""
    content_type: ClassVar[str] = "text/event-stream; charset=utf-8"
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Quiet: requests are kept in `requests`."""

    def index_of(self, request: Json) -> int:
        """How many turns with tool calls the conversation already has."""
        raise NotImplementedError

    def events(self, step: Step, request: Json, index: int) -> Iterator[tuple[str, bytes]]:
        """(name, bytes) of every event of an answer."""
        raise NotImplementedError

    def offered(self, request: Json) -> list[str]:
        """The names of the tools that the request offers."""
        raise NotImplementedError

    def error_of(self, fault: Fault) -> Json:
        raise NotImplementedError

    def endless_piece(self) -> bytes:
        """One event with text, which may come any number of times."""
        raise NotImplementedError

    def speaks(self, path: str) -> bool:
        return path in self.spoken

    def do_GET(self) -> None:
        self.owner.record(self.path, {}, None)
        missing = 404, self.error_of(Fault(404, "not_found_error", self.path))
        self._json(*self.owner.fixed.get(self.path, missing))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        path = self.path.split("?")[0]
        if not self.speaks(path):
            self.owner.record(self.path, {}, None)
            missing = 404, self.error_of(Fault(404, "not_found_error", self.path))
            self._json(*self.owner.fixed.get(path, missing))
            return
        request = json.loads(body)
        index = self.index_of(request)
        self.owner.bodies.append(body)
        self.owner.record(self.path, {name.lower(): value for name, value in self.headers.items()}, request)
        if (fault := self.owner.take_fault(index)) is not None:
            self._fail(fault)
            return
        step = self.owner.take_step(index)
        if agent_tools.are_wishes(step.tools):
            offered = self.offered(request)
            tools = agent_tools.with_tools(step.tools, offered) if offered else ()
            # Programs ask for titles and summaries beside their work, without any tool.
            step = replace(step, tools=tools) if offered else Step(text="A task")
        self._stream(step, request, index)

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
        headers = {
            "content-type": self.content_type if step.content_type is None else step.content_type,
            "request-id": f"req_local_{index}",
        }
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
            step = replace(step, usage=usage)
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
        whole = {"line": b"x" * 65536, "blank": b"\n" * 65536, "lines": b"data: 1\n" * 8192}
        piece = whole.get(kind) or self.endless_piece()
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
