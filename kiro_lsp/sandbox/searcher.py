"""The process that matches a pattern against files: script side of `search.py`, run as `python -I -S searcher.py`.

It reads one JSON order from stdin, writes a JSON list of [path, line, text] to stdout, and ends itself when the time is
over, also in the middle of one endless match, where no Python code gets a turn.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

ALARM: Final = 14
"""SIGALRM: its default action ends the process even inside a match."""

TOO_SLOW: Final = 3
LARGEST_FILE: Final = 50 * 1024 * 1024
LONGEST_LINE: Final = 10_000
"""Characters of a line that are looked at: usual patterns take quadratic time on the one line of a minified file."""

_ARGUMENT_BYTES: Final = 24_000 if sys.platform == "win32" else 400_000


def main() -> int:
    # This script has no search path but the standard library's; the package it belongs to is three folders up.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    end_with_parent()
    order = json.loads(sys.stdin.buffer.read().decode("utf-8", "surrogateescape"))
    _limit_time(order["seconds"])
    found = [list(hit) for hit in matches(order)]
    sys.stdout.buffer.write(json.dumps(found).encode())
    return 0


def end_with_parent() -> None:
    """Linux: the kernel ends this process when the one that wants its answer is gone, however that ended."""
    if sys.platform.startswith("linux"):
        import ctypes

        set_death_signal, kill = 1, 9
        ctypes.CDLL(None).prctl(set_death_signal, kill, 0, 0, 0)


def _limit_time(seconds: float) -> None:
    if sys.platform == "win32":
        import threading

        timer = threading.Timer(seconds, os._exit, (TOO_SLOW,))
        timer.daemon = True
        timer.start()
    else:
        import signal

        signal.setitimer(signal.ITIMER_REAL, seconds)


def matches(order: dict[str, Any]) -> Iterator[tuple[str, int, str]]:
    """(path, 1-based line, text) in order, at most `limit`."""
    expression = re.compile(order["pattern"])
    contents: dict[str, str] = order["contents"]
    listed = sorted({*order["listed"], *contents})
    on_disk = [path for path in listed if path not in contents]
    candidates = _candidates(order, on_disk)
    left = order["limit"]
    for path in listed:
        if path in contents:
            data: bytes | None = base64.b64decode(contents[path])
        elif candidates is None or path in candidates:
            data = _read(order["root"], path)
        else:
            continue
        for number, line in matching_lines(data or b"", expression):
            if left <= 0:
                return
            left -= 1
            yield path, number, line


def matching_lines(data: bytes, expression: re.Pattern[str]) -> Iterator[tuple[int, str]]:
    """(1-based line, line without its end) of a text file; nothing for a binary one."""
    if b"\0" in data:
        return
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    for number, line in enumerate(lines, 1):
        plain = line.removesuffix("\r")[:LONGEST_LINE]
        if expression.search(plain):
            yield number, plain


def _read(root: str, path: str) -> bytes | None:
    from kiro_lsp.errors import PathRefused, UnreadableFile
    from kiro_lsp.sandbox.files import safe_read

    try:
        return safe_read(root, path, LARGEST_FILE)
    except (PathRefused, UnreadableFile):
        return None


def _candidates(order: dict[str, Any], paths: Sequence[str]) -> set[str] | None:
    """The files that ripgrep finds the pattern in, as a superset of those Python would; None when it was not asked.

    Its answer only says where to look: every line that is reported is read and matched here.
    """
    from kiro_lsp.sandbox.prefilter import superset

    program, pattern = order["ripgrep"], superset(order["pattern"])
    if not program or pattern is None:
        return None
    found: set[str] = set()
    for batch in _batches(paths):
        ended = subprocess.run(
            [
                program,
                "--no-config",
                "--files-with-matches",
                "--null",
                "--text",
                "--no-messages",
                "--no-ignore",
                "--hidden",
                "--color=never",
                f"--regexp={pattern}",
                "--",
                *(f"./{path}" for path in batch),
            ],
            cwd=order["root"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
            preexec_fn=None if sys.platform == "win32" else end_with_parent,  # this process has one thread
        )
        if ended.returncode not in (0, 1):
            return None
        found.update(
            os.fsdecode(name).removeprefix("./").replace("\\", "/") for name in ended.stdout.split(b"\0") if name
        )
    return found


def _batches(paths: Sequence[str]) -> Iterator[list[str]]:
    """Lists that fit on a command line."""
    batch: list[str] = []
    size = 0
    for path in paths:
        size += len(path.encode("utf-8", "surrogateescape")) + 12
        if size > _ARGUMENT_BYTES and batch:
            yield batch
            batch, size = [], len(path) + 12
        batch.append(path)
    if batch:
        yield batch


if __name__ == "__main__":
    sys.exit(main())
