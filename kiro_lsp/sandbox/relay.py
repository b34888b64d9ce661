"""The way out for a command that has no network: local ports that lead to one socket, whose other end decides.

Runs as a script of its own inside bubblewrap (`python -I -S relay.py SOCKET PROXY_PORT PORTS -- COMMAND…`), starts the
command and ends with it. What connects to the proxy port speaks to the gate (`network.py`) as to an HTTP proxy; each of
PORTS (comma-separated) leads to the same port of the machine outside, if the gate allows it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading

_CHUNK = 1 << 16
_HEAD_LIMIT = 1 << 14


def main() -> int:
    place, proxy, ports = sys.argv[1:4]
    listening: list[tuple[socket.socket, int | None]] = [(socket.create_server(("127.0.0.1", int(proxy))), None)]
    for port in filter(None, ports.split(",")):
        # Below 1024 a port is not this user's to open.
        with contextlib.suppress(PermissionError):
            listening.append((socket.create_server(("127.0.0.1", int(port))), int(port)))
    command = os.fork()
    if command == 0:
        try:
            os.execv(sys.argv[5], sys.argv[5:])  # noqa: S606  # the command itself, by its argument list
        except OSError as error:
            os.write(2, f"{sys.argv[5]}: {error.strerror}\n".encode())
            os._exit(127)
    for server, leads_to in listening:
        threading.Thread(target=_accept, args=(server, place, leads_to), daemon=True).start()
    _, status = os.waitpid(command, 0)
    return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _accept(server: socket.socket, place: str, port: int | None) -> None:
    while True:
        connection, _ = server.accept()
        threading.Thread(target=_lead, args=(connection, place, port), daemon=True).start()


def _lead(connection: socket.socket, place: str, port: int | None) -> None:
    with contextlib.suppress(OSError), connection, socket.socket(socket.AF_UNIX) as gate:
        gate.connect(place)
        if port is not None:
            gate.sendall(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n".encode())
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                more = gate.recv(1)
                if not more or len(head) > _HEAD_LIMIT:
                    return
                head += more
            if b" 200 " not in head.split(b"\r\n", 1)[0]:
                return
        back = threading.Thread(target=_pass_on, args=(gate, connection), daemon=True)
        back.start()
        _pass_on(connection, gate)
        back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    sys.exit(main())
