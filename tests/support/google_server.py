"""A local server that speaks the Gemini streaming API, well and badly, by a script.

Which step of the script answers is found from the request alone (how many turns with calls it holds), so retries do not
shift it. `StreamServer` knows no API; the local Ollama is made of it too. Nothing is timed.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]


@dataclass
class Reply:
    """One HTTP answer: a body, and how it goes wrong on its way."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    write_size: int | None = None
    """Bytes per write. None: all at once."""
    cut_after: int | None = None
    cut_with: str = "close"
    """"close" as a crashed server does, "reset", or "end": a well-formed end of the body."""
    hold: int | None = None
    """After so many bytes, send nothing more until `release` is called."""
    endless: bytes = b""
    """Sent again and again after the body, until the client hangs up."""


class StreamServer:
    """Runs in a thread on a free port of 127.0.0.1; use it as a context manager. `reply` answers every request."""

    def __init__(self) -> None:
        self.requests: list[Json] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.released = threading.Event()
        self.holding = threading.Event()
        self.hung_up = threading.Event()
        server = self

        class Handler(_Handler):
            owner = server

        self._http = _Http(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def reply(self, path: str, request: Json) -> Reply:
        raise NotImplementedError

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def release(self) -> None:
        self.released.set()

    def __enter__(self) -> StreamServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:  # the base class names it
        """Quiet: a client that hangs up is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    owner: StreamServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Quiet: requests are kept in `requests`."""

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
        self.owner.paths.append(self.path)
        self.owner.headers.append({name.lower(): value for name, value in self.headers.items()})
        self.owner.requests.append(request)
        reply = self.owner.reply(self.path, request)
        self.send_response(reply.status)
        for name, value in {**reply.headers, "transfer-encoding": "chunked"}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            if self._send(reply):
                self.wfile.write(b"0\r\n\r\n")
                return
        except ConnectionError:
            self.owner.hung_up.set()
        self.close_connection = True

    def _send(self, reply: Reply) -> bool:
        """Whether the answer was sent to its end."""
        body = reply.body if reply.cut_after is None else reply.body[: reply.cut_after]
        if reply.hold is not None:
            self._write(body[: reply.hold], reply.write_size)
            self.owner.holding.set()
            if not self._wait():
                return False
            body = body[reply.hold :]
        self._write(body, reply.write_size)
        while reply.endless:
            self._write(reply.endless, None)
        return reply.cut_after is None or self._drop(reply.cut_with)

    def _wait(self) -> bool:
        while not self.owner.released.wait(0.02):
            readable, _, _ = select.select([self.connection], [], [], 0)
            if readable and self.connection.recv(1, socket.MSG_PEEK) == b"":
                self.owner.hung_up.set()
                return False
        return True

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


@dataclass
class Step:
    """One turn of the model."""

    text: str = ""
    thinking: str = ""
    tools: Sequence[Sequence[Any]] = ()
    """(name, arguments) or (name, arguments, id)."""
    signature: str = ""
    """Of the first call, else of an empty last part; base64."""
    stop: str | None = "STOP"
    usage: Mapping[str, int] | None = None
    """The whole usageMetadata; None: an ordinary one."""
    pieces: int = 7
    blocked: str = ""
    raw: bytes | None = None
    error: Json | None = None
    """An error in the middle of the stream, after HTTP 200."""
    way: Mapping[str, Any] = field(default_factory=dict)
    """Fields of Reply."""


def chunks_of(step: Step) -> list[Json]:
    """An answer as the API streams it; the usage comes with every chunk, the end with the last."""
    usage = {"promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 120}
    counted = {"usageMetadata": dict(usage if step.usage is None else step.usage), "modelVersion": "local"}
    if step.blocked:
        return [{"promptFeedback": {"blockReason": step.blocked}, **counted}]
    parts: list[Json] = [{"text": text, "thought": True} for text in _cut(step.thinking, step.pieces)]
    parts += [{"text": text} for text in _cut(step.text, step.pieces)]
    for number, (name, args, *given) in enumerate(step.tools):
        call = {"functionCall": {"name": name, "args": args, **({"id": given[0]} if given else {})}}
        parts.append({**call, "thoughtSignature": step.signature} if step.signature and number == 0 else call)
    if step.signature and not step.tools:
        parts.append({"text": "", "thoughtSignature": step.signature})
    found = [{"candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}], **counted} for part in parts]
    if step.error is not None:
        return [*found, {"error": step.error}]
    if step.stop is not None:
        last: Json = {"finishReason": step.stop, "index": 0}
        found.append({"candidates": [last], **counted})
    return found


def _cut(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def stream_of(step: Step) -> bytes:
    if step.raw is not None:
        return step.raw
    return b"".join(f"data: {json.dumps(chunk, ensure_ascii=False)}\r\n\r\n".encode() for chunk in chunks_of(step))


def error_of(status: int, name: str, message: str, *details: Json, **headers: str) -> Reply:
    """An HTTP error as the API sends it."""
    error = {"error": {"code": status, "message": message, "status": name, "details": list(details)}}
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(json.dumps(error).encode(), status, {"content-type": "application/json", **given})


class GoogleServer(StreamServer):
    def __init__(self, steps: Sequence[Step] = (), faults: Sequence[Reply] = ()) -> None:
        super().__init__()
        self.steps = list(steps)
        self.faults = list(faults)
        """Each is given once, before the steps."""

    def reply(self, path: str, request: Json) -> Reply:
        if not path.startswith("/v1beta/models/") or not path.endswith(":streamGenerateContent?alt=sse"):
            return error_of(404, "NOT_FOUND", path)
        if self.faults:
            return self.faults.pop(0)
        calls = sum(any("functionCall" in part for part in content["parts"]) for content in request["contents"])
        step = self.steps[calls] if calls < len(self.steps) else Step(text="Done.")
        return Reply(stream_of(step), **{"headers": {"content-type": "text/event-stream"}, **step.way})
