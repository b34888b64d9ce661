"""Letting a command that has no network reach named hosts, and nothing else.

A `Gate` listens on a socket file and speaks as an HTTP proxy: CONNECT, and requests with a whole address. It connects by
name to the hosts on its list only; the command's side (`relay.py`) is the only thing in the command's network. Names are
looked up out here, so none can leak there. Whoever allows a host should know that data can leave through it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from kiro_lsp.sandbox import relay

PLACE: Final = "/run/kiro-lsp/gate"
SCRIPT: Final = "/run/kiro-lsp/relay.py"
PROXY_PORT: Final = 3128
_LIMIT: Final = 1 << 16
_CONNECTING_SECONDS: Final = 20
_LOCAL: Final = ("127.0.0.1", "localhost")


def host_and_port(named: str) -> tuple[str, int]:
    """`api.example.com` means port 443, `127.0.0.1:8080` what it says. Raises ValueError."""
    parts = urlsplit(f"//{named}")
    if not parts.hostname or parts.path or parts.username is not None:
        raise ValueError(f"{named!r} is not a host or host:port")
    return parts.hostname, parts.port or 443


@dataclass(slots=True)
class Gate:
    """An asynchronous context manager: open while a command runs."""

    allowed: frozenset[tuple[str, int]]
    refused: list[str] = field(default_factory=list)
    """Hosts that the command asked for in vain, each once."""
    _folder: str = ""
    _server: asyncio.Server | None = None
    _passing: set[asyncio.Task[None]] = field(default_factory=set)

    @classmethod
    def to(cls, hosts: Iterable[str]) -> Gate:
        return cls(frozenset(map(host_and_port, hosts)))

    @property
    def place(self) -> str:
        return os.path.join(self._folder, "gate")

    def binds(self) -> dict[str, str]:
        """Place inside → source, for bubblewrap."""
        return {PLACE: self.place, SCRIPT: relay.__file__}

    def before(self) -> Sequence[str]:
        """What goes in front of the command, inside."""
        ports = sorted(port for host, port in self.allowed if host in _LOCAL and port != PROXY_PORT)
        return [sys.executable, "-I", "-S", SCRIPT, PLACE, str(PROXY_PORT), ",".join(map(str, ports)), "--"]

    def environ(self) -> dict[str, str]:
        """What tells programs to use the proxy; addresses of this machine are led there by their ports."""
        names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
        direct = dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(_LOCAL))
        return {**dict.fromkeys(names, f"http://127.0.0.1:{PROXY_PORT}"), **direct, "NODE_USE_ENV_PROXY": "1"}

    async def __aenter__(self) -> Gate:
        # In the temporary folder, since the path of a socket must be short.
        self._folder = tempfile.mkdtemp(prefix="kiro-lsp-")
        self._server = await asyncio.start_unix_server(self._serve, self.place, limit=_LIMIT)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for each in self._passing:
            each.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        current = asyncio.current_task()
        assert current is not None
        self._passing.add(current)
        try:
            await self._lead(reader, writer)
        except (OSError, ValueError, EOFError, asyncio.LimitOverrunError, TimeoutError):
            await _answer(writer, "400 Bad Request")
        finally:
            self._passing.discard(current)
            writer.close()

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, address, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if method == "CONNECT":
            host, port = host_and_port(address)
        else:
            parts = urlsplit(address)
            if parts.scheme != "http" or not parts.hostname:
                raise ValueError(address)
            host, port = parts.hostname, parts.port or 80
        if (host, port) not in self.allowed:
            if f"{host}:{port}" not in self.refused:
                self.refused.append(f"{host}:{port}")
            await _answer(writer, "403 Forbidden")
            return
        try:
            async with asyncio.timeout(_CONNECTING_SECONDS):
                far_reader, far_writer = await asyncio.open_connection(host, port)
        except (OSError, TimeoutError):
            await _answer(writer, "502 Bad Gateway")
            return
        try:
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                far_writer.write(head)
            await asyncio.gather(_pass_on(reader, far_writer), _pass_on(far_reader, writer))
        finally:
            far_writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_LIMIT):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


async def _answer(writer: asyncio.StreamWriter, status: str) -> None:
    with suppress(OSError):
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
