"""As much of an HTTP/1.1 server as a proxy on the loopback needs: requests in, answers out, whole or in chunks."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

BODY_LIMIT: Final = 64 * 1024 * 1024


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

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")

    @property
    def keeps_open(self) -> bool:
        return self.header("connection").lower() != "close"


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
    """The next request, None when the connection has ended. Raises BadRequest, EOFError, OSError."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as ended:
        if ended.partial:
            raise
        return None
    except asyncio.LimitOverrunError as error:
        raise BadRequest(431, "The headers are too long.") from error
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    parts = first.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1.") or not parts[1].startswith("/"):
        raise BadRequest(400, f"Not a request that is understood: {first[:100]!r}.")
    pairs = (line.partition(":") for line in lines)
    headers = tuple((name.strip().lower(), value.strip()) for name, _, value in pairs)
    request = Request(parts[0], parts[1], headers, b"")
    if request.header("upgrade"):
        raise BadRequest(426, "The connection cannot be changed to another protocol.")
    if request.header("expect").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if "chunked" in request.header("transfer-encoding").lower():
        body = await _chunks(reader)
    else:
        length = request.header("content-length") or "0"
        if not length.isdigit() or int(length) > BODY_LIMIT:
            raise BadRequest(413, "The body is too long.")
        body = await reader.readexactly(int(length))
    return Request(parts[0], parts[1], headers, _decoded(body, request.header("content-encoding")))


def write_head(writer: asyncio.StreamWriter, status: int, headers: Iterable[tuple[str, str]]) -> None:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers)]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))


async def write_chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    """A piece of a body that was announced as chunked; b"" ends it."""
    writer.write(b"%x\r\n%s\r\n" % (len(data), data))
    await writer.drain()


async def write_whole(writer: asyncio.StreamWriter, status: int, body: bytes, *headers: tuple[str, str]) -> None:
    write_head(writer, status, [("content-type", "application/json"), ("content-length", str(len(body))), *headers])
    writer.write(body)
    await writer.drain()


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        line = await reader.readuntil(b"\r\n")
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError as error:
            raise BadRequest(400, "A chunk has no size.") from error
        if size < 0 or len(body) + size > BODY_LIMIT:
            raise BadRequest(413, "The body is too long.")
        if size == 0:
            while await reader.readuntil(b"\r\n") != b"\r\n":
                pass
            return bytes(body)
        body += await reader.readexactly(size)
        await reader.readexactly(2)


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
