"""Where the server's log goes. Standard output belongs to the client alone; a file is opened when there is something to log."""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from kiro_lsp.settings.redact import Redactor

_LOG_AT_MOST = 5_000_000


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
