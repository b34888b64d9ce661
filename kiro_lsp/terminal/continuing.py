"""`continue`: the agent's own session in this terminal, in the run's copy; then its review.

The program writes to a terminal of its own, which is passed on to the person's, byte for byte, and back. The person's
terminal is in raw mode meanwhile, so that every key, Ctrl-C too, is the program's.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kiro_lsp.engine import followup
from kiro_lsp.engine.engine import Engine
from kiro_lsp.errors import UsageError
from kiro_lsp.events import Envelope
from kiro_lsp.executors.attached import AttachedExecutor
from kiro_lsp.terminal.console import Console
from kiro_lsp.terminal.live import View, view_for
from kiro_lsp.terminal.project import BY, with_engine
from kiro_lsp.terminal.running import carry_out

if TYPE_CHECKING:
    from kiro_lsp.engine.execute import TrustMode
    from kiro_lsp.sandbox.processes import Conversation

_CHUNK = 1 << 15
"""At most what a frame can hold."""


def continue_(args: argparse.Namespace, console: Console) -> int:
    """Work on in the agent's session; ends as a run does, with the review of what was left."""
    if sys.platform == "win32":
        raise UsageError(
            "A session can be continued on Linux and macOS only.", hint="Use: kiro-lsp review RUN --comment"
        )
    if console.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("`continue` needs a terminal.", hint="Use: kiro-lsp review RUN --comment TEXT")
    args.allow_command, args.accept = [], False
    view = _Quiet(view_for(console))
    shown = Shown(view)

    async def start(engine: Engine, trust: TrustMode) -> str:
        executor = AttachedExecutor(shown.show, shown.size(), os.environ)
        return await followup.in_terminal(engine, engine.store.run(args.run).run_id, executor, by=BY, trust=trust)

    return with_engine(lambda engine: carry_out(engine, start, args, console, view))


class _Quiet:
    """A view that says nothing while somebody else has the screen, and all of it afterwards."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._waiting: list[Envelope] | None = None

    def show(self, envelope: Envelope) -> None:
        if self._waiting is None:
            self._view.show(envelope)
        else:
            self._waiting.append(envelope)

    @contextmanager
    def held(self) -> Iterator[None]:
        with self._view.held():
            yield

    def close(self) -> None:
        self._view.close()

    @contextmanager
    def silent(self) -> Iterator[None]:
        self._waiting = []
        try:
            with self._view.held():
                yield
        finally:
            waiting, self._waiting = self._waiting, None
            for envelope in waiting:
                self._view.show(envelope)


class Shown:
    """The person's terminal, lent to a program for a while."""

    def __init__(self, view: _Quiet) -> None:
        self._view = view

    def size(self) -> tuple[int, int]:
        """(rows, columns)."""
        columns, rows = os.get_terminal_size(sys.stdout.fileno())
        return rows, columns

    async def show(self, program: Conversation) -> int:
        """Pass everything on until the program has ended; its exit code."""
        loop, stdin = asyncio.get_running_loop(), sys.stdin.fileno()

        def typed() -> None:
            if data := os.read(stdin, _CHUNK):
                _send(program, b"d", data)
            else:
                loop.remove_reader(stdin)
                program.stdin.close()

        def resized() -> None:
            _send(program, b"w", struct.pack(">HH", *self.size()))

        with self._view.silent(), _raw(stdin):
            loop.add_reader(stdin, typed)
            loop.add_signal_handler(signal.SIGWINCH, resized)
            try:
                while data := await program.stdout.read(_CHUNK):
                    _write(sys.stdout.fileno(), data)
                return await program.ended()
            finally:
                loop.remove_signal_handler(signal.SIGWINCH)
                loop.remove_reader(stdin)


def _send(program: Conversation, kind: bytes, content: bytes) -> None:
    if not program.stdin.is_closing():
        program.stdin.write(struct.pack(">cH", kind, len(content)) + content)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


@contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    """Every key is passed on as it is; afterwards the terminal is as it was, also when what it showed was not tidied up."""
    import termios
    import tty

    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor)
    try:
        yield
    finally:
        # The terminal may be gone.
        with contextlib.suppress(termios.error, OSError):
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
            # Out of the alternate screen, cursor shown, no mouse reports, no bracketed paste: a killed program leaves them on.
            _write(sys.stdout.fileno(), b"\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1006l\x1b[?2004l\x1b[0m\r\n")
