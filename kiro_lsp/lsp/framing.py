"""Frames of the LSP base protocol, read in a thread of their own and written by another.

The reader survives what clients and faults send: odd headers, wrong lengths, junk between frames. It parses JSON and hands
values over in batches, one wake-up of the loop for each. The writer never blocks the loop: a client that does not read
stops itself, not the runs. Neither knows a method.
"""

from __future__ import annotations

import json
import queue
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import orjson

MESSAGE_LIMIT: Final = 128 * 1024 * 1024
"""Bytes of one message; a longer one is refused and skipped."""
_HEADER_LIMIT: Final = 64 * 1024
_READ: Final = 256 * 1024
_LARGE: Final = 64 * 1024
"""Bytes; a larger body is written by itself."""
_LONGEST_HEADER: Final = 512
_PLAIN_HEADER: Final = re.compile(rb"Content-Length: (\d{1,12})\r\n\r\n")
_LENGTH: Final = re.compile(rb"content-length\s*:\s*\+?(\d{1,18})\s*\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Malformed:
    """A frame that is no message; answered with a JSON-RPC error where that makes sense."""

    code: int
    message: str


Incoming = dict[str, Any] | Malformed


class FrameReader:
    """Cuts a byte stream into messages. Feed it bytes; it keeps what is incomplete.

    A frame begins with header lines up to an empty one. What is between frames and is no header is skipped up to the next
    `Content-Length`, so that one bad frame does not deafen the server.
    """

    def __init__(self, limit: int = MESSAGE_LIMIT) -> None:
        self._buffer = bytearray()
        self._limit = limit
        self._skip = 0
        """Bytes of a body that is too large, still to be thrown away."""
        self._body: tuple[int, int] | None = None
        """Where the body of the current message begins, and its length, once its header is read."""
        self._searched = 0
        """Up to where an incomplete body was searched for a header that should not be in it."""

    def feed(self, data: bytes) -> list[Incoming]:
        """The messages that are complete now."""
        self._buffer += data
        found: list[Incoming] = []
        while True:
            if self._body is None and not self._skip:
                found += self._plain_frames()
            item = self._next()
            if item is None:
                return found
            found += item

    def _plain_frames(self) -> list[Incoming]:
        """Whole frames at the beginning of the buffer whose header is as every client writes it: nearly all there are."""
        found: list[Incoming] = []
        buffer, at = self._buffer, 0
        while (header := _PLAIN_HEADER.match(buffer, at)) is not None:
            body, length = header.end(), int(header[1])
            if length > self._limit or body + length > len(buffer):
                break
            at = body + length
            found += parsed(bytes(buffer[body:at]))
        del buffer[:at]
        return found

    def _next(self) -> list[Incoming] | None:
        """Zero or more messages from the next piece of the buffer; None when more bytes are needed."""
        if self._skip:
            dropped = min(self._skip, len(self._buffer))
            del self._buffer[:dropped]
            self._skip -= dropped
            return [] if dropped and not self._skip else None
        if self._body is not None:
            return self._whole(*self._body)
        start = bytes(self._buffer).lower().find(b"content-length")
        if start < 0:
            keep = len(b"content-length") - 1
            if len(self._buffer) > keep:
                del self._buffer[:-keep]
            return None
        if start:
            del self._buffer[:start]
        return self._header()

    def _header(self) -> list[Incoming] | None:
        """The header that the buffer begins with."""
        end, body = _end_of_headers(self._buffer)
        if end < 0:
            if len(self._buffer) > _HEADER_LIMIT:
                del self._buffer[: len(b"content-length")]
                return [Malformed(-32700, "the header of a message does not end")]
            return None
        length = _length(bytes(self._buffer[:end]))
        if length is None:
            del self._buffer[: len(b"content-length")]
            return [Malformed(-32700, "a message has no usable Content-Length")]
        if length > self._limit:
            del self._buffer[:body]
            self._skip = length if length <= 64 * self._limit else 0
            return [Malformed(-32600, f"a message of {length} bytes is larger than {self._limit}")]
        self._body, self._searched = (body, length), body
        return []

    def _whole(self, body: int, length: int) -> list[Incoming] | None:
        """The announced body once it is there. Only new bytes are looked at: a large body comes in many pieces."""
        if len(self._buffer) < body + length:
            following = self._buffer.find(b"Content-Length: ", self._searched)
            self._searched = max(body, len(self._buffer) - _LONGEST_HEADER)
            if following < 0 or not _is_header(self._buffer, following):
                return None
            # A body that stops short and is followed by another header was announced too long: it is given up.
            del self._buffer[:following]
            self._body = None
            return [Malformed(-32700, "a message is shorter than its Content-Length")]
        content = bytes(self._buffer[body : body + length])
        del self._buffer[: body + length]
        self._body = None
        return parsed(content)


def _is_header(buffer: bytearray, start: int) -> bool:
    """Whether a whole frame header stands there, which no JSON text contains unescaped."""
    return (
        re.match(
            rb"Content-Length: \d+\r\n(?:[A-Za-z-]+: [^\r\n]*\r\n)*\r\n\{",
            bytes(buffer[start : start + _LONGEST_HEADER]),
        )
        is not None
    )


def _end_of_headers(buffer: bytearray) -> tuple[int, int]:
    """(where the header lines end, where the body starts), or (-1, -1)."""
    match = re.search(rb"\r?\n[ \t]*\r?\n", bytes(buffer[:_HEADER_LIMIT]))
    return (match.start(), match.end()) if match else (-1, -1)


def _length(headers: bytes) -> int | None:
    for line in re.split(rb"\r?\n", headers):
        if (match := _LENGTH.match(line.strip())) is not None:
            return int(match[1])
    return None


def parsed(content: bytes) -> list[Incoming]:
    """The messages of one body: one, or those of a batch."""
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        value = orjson.loads(content)
    except (orjson.JSONDecodeError, RecursionError):
        try:
            value = json.loads(content)  # half of a character is JSON, too, and editors have it while one is typed
        except (ValueError, RecursionError):
            return [Malformed(-32700, "a message is not JSON")]
    if isinstance(value, dict):
        return [value]
    if isinstance(value, list) and value:
        return [
            item if isinstance(item, dict) else Malformed(-32600, "an entry of a batch is not an object")
            for item in value
        ]
    return [Malformed(-32600, "a message is not an object")]


def read_forever(stream: BinaryIO, deliver: Callable[[Sequence[Incoming] | None], None], before: bytes = b"") -> None:
    """Read until the stream ends; `deliver` gets batches and finally None. Runs in its own thread.

    `before` was read of the stream already.
    """
    reader = FrameReader()
    read = getattr(stream, "read1", stream.read)
    try:
        if messages := reader.feed(before):
            deliver(messages)
        while data := read(_READ):
            if messages := reader.feed(data):
                deliver(messages)
    except (OSError, ValueError):
        pass  # a closed stream is an end like any other
    deliver(None)


class FrameWriter:
    """Writes frames in a thread of its own, in the order of the calls."""

    def __init__(self, stream: BinaryIO, on_broken: Callable[[], None] = lambda: None) -> None:
        self._stream = stream
        self._on_broken = on_broken
        self._queue: queue.SimpleQueue[tuple[bytes, ...] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_forever, name="lsp writer", daemon=True)
        self._thread.start()

    def send(self, body: bytes) -> None:
        header = b"Content-Length: %d\r\n\r\n" % len(body)
        self._queue.put((header, body) if len(body) > _LARGE else (header + body,))

    def close(self, seconds: float = 2.0) -> None:
        """Write what is queued and stop; a client that does not read is not waited for longer than `seconds`."""
        self._queue.put(None)
        self._thread.join(seconds)

    def _write_forever(self) -> None:
        try:
            while (frame := self._queue.get()) is not None:
                parts = [*frame]
                ended = False
                while len(parts[-1]) <= _LARGE and not self._queue.empty():
                    following = self._queue.get()
                    if following is None:
                        ended = True
                        break
                    parts += following
                large = parts.pop() if len(parts[-1]) > _LARGE else b""
                for piece in (b"".join(parts), large):  # what is small goes together, what is large is not copied
                    self._write(piece)
                self._stream.flush()
                if ended:
                    return
        except (OSError, ValueError):
            self._on_broken()

    def _write(self, piece: bytes) -> None:
        rest = memoryview(piece)
        while rest:  # an unbuffered stream may take a part only
            taken = self._stream.write(rest)
            rest = rest[len(rest) if taken is None else taken :]
