"""`serve`: which door the language server opens. Imports stay out of the way here: an editor waits for the first answer."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from kiro_lsp.terminal.console import Console


def serve(args: argparse.Namespace, console: Console) -> int:
    """Serve one client. Started bare at a terminal, where no client can be, it prints the help."""
    from kiro_lsp.errors import UsageError
    from kiro_lsp.terminal.logfile import keep_log

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
    """What nearly every editor starts: the client is greeted first, then the rest is imported."""
    from kiro_lsp.lsp.doorstep import at_the_door

    out, greeted = at_the_door(os.environ)

    from kiro_lsp.lsp.transports import serve_stdio
    from kiro_lsp.terminal.logfile import keep_log

    keep_log(log_file, level)
    return serve_stdio(out, greeted)


def _listen(host: str, port: int, *, web: bool) -> int:
    from kiro_lsp.errors import KiroError
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
    from kiro_lsp.errors import UsageError

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
