"""A terminal of its own for a program in a copy, so that it never gets the person's.

Runs as a script inside (`python -I -S -c SOURCE ROWS COLUMNS COMMAND…`), starts the command on a pseudo terminal and ends
with it. What the command writes goes to standard output as it is; standard input brings frames: one letter, the length as
two bytes, then `d` bytes that were typed, or `w` a new size (rows and columns, two bytes each). Its end hangs the terminal
up. It imports nothing of this project.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios

_CHUNK = 1 << 16
_HEAD = struct.Struct(">cH")
_SIZE = struct.Struct(">HH")


def main() -> int:
    rows, columns, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    child, terminal = pty.fork()
    if child == 0:
        try:
            os.execvp(command[0], command)  # noqa: S606  # the command itself, by its argument list
        except OSError as error:
            os.write(2, f"{command[0]}: {error.strerror}\r\n".encode())
            os._exit(127)
    _resize(terminal, rows, columns)
    _relay(child, terminal)
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _relay(child: int, terminal: int) -> None:
    """Pass on what is typed and what is shown until the command has closed its terminal."""
    frames, watched = b"", [terminal, 0]
    while True:
        ready, _, _ = select.select(watched, [], [])
        if terminal in ready:
            try:
                shown = os.read(terminal, _CHUNK)
            except OSError:  # Linux says so when the last process has closed it
                return
            if not shown:
                return
            _write(1, shown)
        if 0 in ready:
            given = os.read(0, _CHUNK)
            if not given:
                os.kill(child, signal.SIGHUP)
                watched.remove(0)
            frames = _taken(frames + given, terminal)


def _taken(frames: bytes, terminal: int) -> bytes:
    """Carry out the whole frames; returns what is left."""
    while len(frames) >= _HEAD.size:
        kind, length = _HEAD.unpack_from(frames)
        if len(frames) < _HEAD.size + length:
            break
        content, frames = frames[_HEAD.size : _HEAD.size + length], frames[_HEAD.size + length :]
        if kind == b"w":
            _resize(terminal, *_SIZE.unpack(content))
        else:
            _write(terminal, content)
    return frames


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _resize(terminal: int, rows: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


if __name__ == "__main__":
    sys.exit(main())
