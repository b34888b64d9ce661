"""A person at a terminal: runs the program with a pseudo terminal of its own, reads the screen, types answers."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

DEADLINE = 60.0
"""How long a person waits for a screen before giving up; nothing is timed by it."""


class AtTerminal:
    """`kiro-lsp ARGUMENTS` at a terminal 120 columns wide. Use it as a context manager: leaving ends the program."""

    def __init__(self, *arguments: str, cwd: Path, environ: Mapping[str, str] | None = None) -> None:
        self._keyboard, far = os.openpty()
        fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kiro_lsp", *arguments],
            stdin=far,
            stdout=far,
            stderr=far,
            cwd=cwd,
            env=(os.environ if environ is None else environ) | {"TERM": "xterm"},  # type: ignore[operator]
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  # one system call, which allocates nothing
        )
        os.close(far)
        self.screen = ""
        self._read_to = 0

    def expect(self, text: str) -> str:
        """Wait until the text is on the screen, after what was expected before; returns what came until then."""
        deadline = time.monotonic() + DEADLINE
        while (found := self.screen.find(text, self._read_to)) < 0:
            if not self._read(deadline):
                raise AssertionError(f"{text!r} never came. The screen since then:\n{self.screen[self._read_to :]}")
        before = self.screen[self._read_to : found]
        self._read_to = found + len(text)
        return before

    def type(self, text: str) -> None:
        os.write(self._keyboard, text.encode())

    def end(self) -> int:
        """Wait until the program has ended; its exit code."""
        deadline = time.monotonic() + DEADLINE
        while self._read(deadline):
            pass
        return self.process.wait(DEADLINE)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._keyboard], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self._keyboard, 65536)
        except OSError:  # Linux says so when the last process has closed the terminal
            return False
        self.screen += data.decode("utf-8", "replace")
        return bool(data)

    def __enter__(self) -> AtTerminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._keyboard)
