"""The server's side of one HTTP/1.1 connection of a proxy on the loopback: requests in, answers out, whole or as they come.

The protocol is h11's; here are the stream, the bounds, and what a proxy refuses.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import h11

BODY_LIMIT: Final = 64 * 1024 * 1024
_READ: Final = 64 * 1024
_HEAD_LIMIT: Final = 64 * 1024


class BadRequest(Exception):
    """What cannot be answered but by saying why; the connection ends with it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    """Names in lower case, in the order in which they came."""
    body: bytes
    """Decoded, if it was compressed."""


class Caller:
    """A client that is connected."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_LIMIT)

    async def request(self) -> Request | None:
        """The next request, None when the connection has ended. Raises BadRequest, EOFError, OSError."""
        if self._connection.our_state is h11.MUST_CLOSE:
            return None
        if self._connection.our_state is h11.DONE:
            self._connection.start_next_cycle()
        head = await self._event()
        if not isinstance(head, h11.Request):
            return None
        headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers)
        named = dict(headers)
        target = head.target.decode("latin-1")
        if not target.startswith("/"):
            raise BadRequest(400, f"Not an address on this server: {target[:100]!r}.")
        if "upgrade" in named:
            raise BadRequest(426, "The connection cannot be changed to another protocol.")
        if int(named.get("content-length", "0")) > BODY_LIMIT:
            raise BadRequest(413, "The body is too long.")
        if self._connection.they_are_waiting_for_100_continue:
            await self._send(h11.InformationalResponse(status_code=100, headers=[]))
        body = _decoded(await self._body(), named.get("content-encoding", ""))
        return Request(head.method.decode("latin-1"), target, headers, body)

    async def _body(self) -> bytes:
        body = bytearray()
        while isinstance(event := await self._event(), h11.Data):
            body += event.data
            if len(body) > BODY_LIMIT:
                raise BadRequest(413, "The body is too long.")
        if isinstance(event, h11.ConnectionClosed):
            raise EOFError
        return bytes(body)

    async def _event(self) -> h11.Event:
        try:
            while (event := self._connection.next_event()) is h11.NEED_DATA:
                self._connection.receive_data(await self._reader.read(_READ))
        except h11.RemoteProtocolError as error:
            if self._reader.at_eof():
                raise EOFError from error
            raise BadRequest(error.error_status_hint, f"Not a request that is understood: {error}.") from error
        if event is h11.PAUSED:
            raise BadRequest(400, "A request came before the last one was answered.")
        assert not isinstance(event, type)
        return event

    async def begin(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        """The head of an answer; its body follows piece by piece, and `end`."""
        await self._send(h11.Response(status_code=status, headers=list(headers)))

    async def piece(self, data: bytes) -> None:
        await self._send(h11.Data(data=data))

    async def end(self) -> None:
        await self._send(h11.EndOfMessage())

    async def answer(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        """A whole answer in JSON."""
        sizes = [("content-type", "application/json"), ("content-length", str(len(body)))]
        await self.begin(status, [*sizes, *headers])
        await self.piece(body)
        await self.end()

    async def _send(self, event: h11.Event) -> None:
        try:
            data = self._connection.send(event)
        except h11.LocalProtocolError as error:  # the client is gone, or broke off in the middle
            raise ConnectionError(str(error)) from error
        if data:
            self._writer.write(data)
            await self._writer.drain()


def _decoded(body: bytes, encoding: str) -> bytes:
    match encoding.lower():
        case "" | "identity":
            return body
        case "gzip":
            try:
                return zlib.decompressobj(wbits=31).decompress(body, BODY_LIMIT)
            except zlib.error as error:
                raise BadRequest(400, "The body is not gzip.") from error
        case _:
            raise BadRequest(415, f"A body in {encoding} is not understood.")
