"""`serve`: which door the language server opens, and where its log goes.

Standard output belongs to the client alone. The log file is opened when there is something to log; a start that goes well
writes nothing. Imports stay out of the way here: an editor waits for the first answer.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, TextIO

from kiro_lsp.errors import KiroError, UsageError

if TYPE_CHECKING:
    import argparse

    from kiro_lsp.settings.redact import Redactor
    from kiro_lsp.terminal.console import Console

_LOG_AT_MOST = 5_000_000


def serve(args: argparse.Namespace, console: Console) -> int:
    """Serve one client. Started bare at a terminal, where no client can be, it prints the help."""
    if args.pipe or args.node_ipc or args.socket:
        raise UsageError("Pipes, sockets and node IPC are not spoken here.", hint="Use --stdio, --tcp or --ws.")
    where = args.tcp if args.tcp is not None else args.ws
    if not args.stdio and where is None and sys.stdin is not None and sys.stdin.isatty():
        from kiro_lsp.terminal.grammar import parser

        console.raw(parser().format_help())
        return 0
    level = "debug" if args.verbose else args.log_level
    if where is not None:
        host, port = address(where)
        keep_log(args.log_file, level)
        return _listen(host, port, web=args.ws is not None)
    return over_stdio(args.log_file, level)


def over_stdio(log_file: str | None = None, level: str = "info") -> int:
    """What nearly every editor starts."""
    keep_log(log_file, level)
    from kiro_lsp.lsp.transports import serve_stdio

    return serve_stdio()


def _listen(host: str, port: int, *, web: bool) -> int:
    from kiro_lsp.lsp import transports

    try:
        return transports.serve_ws(host, port) if web else transports.serve_tcp(host, port)
    except OSError as error:
        raise KiroError(
            f"Nobody can be served at {host}:{port}: {error.strerror or error}.",
            hint="Pick another port, or 0 for any.",
        ) from error


def address(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`, `:PORT` or `PORT`. Raises UsageError, also for an address other machines can reach."""
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"{text!r} is no address.", hint="Write HOST:PORT, for example 127.0.0.1:2087.")
    if not (host in ("localhost", "::1") or host.startswith("127.")):
        raise UsageError(
            f"{host!r} can be reached from other machines, and whoever connects can run agents.",
            hint="Use 127.0.0.1, through a tunnel of your own if need be.",
        )
    return host, int(port)


def keep_log(path: str | None, level: str) -> None:
    """Send the log to a file (None: the state folder), and nowhere else."""
    root = logging.getLogger()
    root.handlers[:] = [_LateFile(path)]
    root.setLevel(level.upper())


class _LateFile(logging.Handler):
    """Opens its file at the first record; one that cannot be opened goes to standard error."""

    def __init__(self, path: str | None) -> None:
        super().__init__()
        self._path = path
        self._stream: TextIO | None = None
        self._redactor: Redactor | None = None
        self._opening = threading.Lock()
        self.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        with self._opening:
            if self._stream is None or self._redactor is None:
                self._stream, self._redactor = _opened(self._path), _redactor()
        try:
            self._stream.write(self._redactor.redact(self.format(record)) + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # a full disk or a closed stream must not end the server
            self.handleError(record)


def _redactor() -> Redactor:
    """Takes out the secrets of this process's environment, besides everything that looks like a key."""
    from kiro_lsp.settings.redact import Redactor, is_secret

    return Redactor(value for name, value in os.environ.items() if is_secret(name, value))


def log_path() -> str:
    """Where the log lies without `--log-file`."""
    from kiro_lsp.store import state_dir

    return str(state_dir(os.environ) / "kiro-lsp.log")


def _opened(path: str | None) -> TextIO:
    try:
        path = path or log_path()
        os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
        if os.path.exists(path) and os.path.getsize(path) > _LOG_AT_MOST:
            os.replace(path, path + ".1")
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return open(descriptor, "a", encoding="utf-8", errors="backslashreplace")
    except OSError:
        return sys.stderr
