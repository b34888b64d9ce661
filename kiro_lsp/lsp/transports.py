"""How a client reaches the server: standard input and output, a TCP or a WebSocket connection on this machine.

One process serves one client; it ends when that client does.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import BinaryIO, cast

from kiro_lsp.lsp.doorstep import STRANGER, Greeted
from kiro_lsp.lsp.framing import MESSAGE_LIMIT, FrameWriter, Incoming, parsed, read_forever
from kiro_lsp.lsp.server import Server

_MADE_BETWEEN_COLLECTIONS = 10_000
"""Objects. A large file is read into as many, none of which is garbage: to look through them again and again took a quarter of
the time."""
_SWITCH_SECONDS = 0.001
"""How long a thread that parses or checks may keep reader, loop and writer waiting, each in turn."""


def serve_stdio(out: BinaryIO, greeted: Greeted, environ: Mapping[str, str] | None = None) -> int:
    """Go on with the client on standard input that was greeted at the door; returns the exit code."""
    # Unbuffered: a buffered reader holds a lock in the reading thread, which the interpreter trips over at its end.
    source = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115  # open for the life of the process
    return asyncio.run(_serve(cast("BinaryIO", source), out, os.environ if environ is None else environ, greeted))


def serve_tcp(host: str, port: int, environ: Mapping[str, str] | None = None) -> int:
    """Wait for one client on a loopback address and serve it; the address is printed to standard error."""
    with socket.create_server((host, port)) as listening:
        print(f"kiro-lsp listens on {host}:{listening.getsockname()[1]}", file=sys.stderr, flush=True)
        connection, _address = listening.accept()
    with connection:
        stream = connection.makefile("rwb", buffering=0)
        return asyncio.run(_serve(stream, stream, os.environ if environ is None else environ))  # type: ignore[arg-type]


def serve_ws(host: str, port: int, environ: Mapping[str, str] | None = None) -> int:
    """The same over WebSocket: each text or binary message is one JSON-RPC message, without headers."""
    return asyncio.run(_serve_ws(host, port, os.environ if environ is None else environ))


async def _serve_ws(host: str, port: int, environ: Mapping[str, str]) -> int:
    from websockets.asyncio.server import ServerConnection, serve
    from websockets.exceptions import ConnectionClosed

    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def one_client(connection: ServerConnection) -> None:
        if busy.locked():
            await connection.close(1013, "one server serves one client")
            return
        async with busy:
            outgoing: asyncio.Queue[bytes | None] = asyncio.Queue()
            server = Server(outgoing.put_nowait, environ)

            async def receive() -> None:
                try:
                    async for message in connection:
                        data = message.encode() if isinstance(message, str) else message
                        server.deliver(parsed(data))
                except ConnectionClosed:
                    pass  # a client that is gone is an end of input
                server.deliver(None)

            async def send() -> None:
                while (body := await outgoing.get()) is not None:
                    with contextlib.suppress(ConnectionClosed):
                        await connection.send(body.decode())

            async with asyncio.TaskGroup() as group:
                receiving = group.create_task(receive())
                group.create_task(send())
                code = await server.run()
                outgoing.put_nowait(None)
                receiving.cancel()
            if not ended.done():
                ended.set_result(code)

    busy = asyncio.Lock()
    async with serve(one_client, host, port, origins=[None], max_size=MESSAGE_LIMIT, compression=None) as listening:
        name = next(iter(listening.sockets)).getsockname()
        print(f"kiro-lsp listens on ws://{host}:{name[1]}", file=sys.stderr, flush=True)
        return await ended


async def _serve(source: BinaryIO, sink: BinaryIO, environ: Mapping[str, str], greeted: Greeted = STRANGER) -> int:
    loop = asyncio.get_running_loop()
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.set_threshold(_MADE_BETWEEN_COLLECTIONS)

    def broken() -> None:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(server.end, 1)

    writer = FrameWriter(sink, broken)
    server = Server(writer.send, environ, greeted)

    def deliver(messages: Sequence[Incoming] | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to take them
            loop.call_soon_threadsafe(server.deliver, messages)

    threading.Thread(target=read_forever, args=(source, deliver, greeted.rest), name="lsp reader", daemon=True).start()
    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        with contextlib.suppress(NotImplementedError, AttributeError, RuntimeError):
            loop.add_signal_handler(getattr(signal, name), server.end, 1)
    try:
        return await server.run()
    finally:
        writer.close()
