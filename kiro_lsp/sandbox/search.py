"""Lines that match a regular expression, in the files of a project.

Patterns are Python's. They come from a model, and a bad one can keep Python busy for years without letting go of the
interpreter, so the matching happens in a process of its own (`searcher.py`) with a time limit. That process lets
ripgrep, if there is one, say which files can match at all, and reads only those, link-safe as every read here. So the
results do not depend on whether ripgrep is installed.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kiro_lsp.sandbox import searcher
from kiro_lsp.sandbox.programs import find_program, reduced_environ

SECONDS: Final = 10.0
LONGEST_PATTERN: Final = 2000


@dataclass(frozen=True, slots=True)
class Match:
    """A search hit: root-relative POSIX path, 1-based line, the line without its end."""

    path: str
    line: int
    text: str


async def search_files(
    root: Path | str,
    listed: Sequence[str],
    pattern: str,
    limit: int,
    contents: Mapping[str, bytes] | None = None,
    *,
    seconds: float = SECONDS,
    ripgrep: bool = True,
) -> list[Match]:
    """The first `limit` matching lines, by path and line; a match lies within one line.

    `listed` are resolved paths below the root; `contents` are the bytes of those that are not as on disk (staged, or
    open in the editor). Binary files (with a NUL) have no lines. Lines end at `\\n` or `\\r\\n`, only their first
    10,000 characters count, and bytes that are not UTF-8 are replaced. Cancelling it ends the process that searches.
    Raises ValueError for a pattern that is wrong, or that takes longer than `seconds`.
    """
    _check(pattern)
    order = {
        "root": os.fspath(root),
        "listed": sorted(listed),
        "pattern": pattern,
        "limit": limit,
        "seconds": seconds,
        "contents": {path: base64.b64encode(data).decode() for path, data in (contents or {}).items()},
        "ripgrep": find_program("rg", os.environ, [root]) if ripgrep else None,
    }
    answer = await _asked(root, order, seconds)
    return [Match(*found) for found in answer]


def _check(pattern: str) -> None:
    if len(pattern) > LONGEST_PATTERN:
        raise ValueError(f"the pattern is longer than {LONGEST_PATTERN} characters")
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error


async def _asked(root: Path | str, order: Mapping[str, Any], seconds: float) -> list[tuple[str, int, str]]:
    """What the searching process finds; it is gone when this returns or raises."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-S",
        searcher.__file__,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={name: value for name, value in reduced_environ(os.environ, [root]).items() if name != "HOME"},
        start_new_session=sys.platform != "win32",
    )
    try:
        async with asyncio.timeout(seconds + 1):
            output, errors = await process.communicate(json.dumps(order).encode("utf-8", "surrogateescape"))
    except TimeoutError:
        raise _too_slow(order["pattern"], seconds) from None
    finally:
        if process.returncode is None:
            _end(process)
            await process.communicate()
    if process.returncode != 0:
        if process.returncode in (-searcher.ALARM, searcher.TOO_SLOW):
            raise _too_slow(order["pattern"], seconds)
        raise ValueError(f"the search failed: {errors.decode('utf-8', 'replace').strip()[-500:]}")
    found: list[tuple[str, int, str]] = json.loads(output)
    return found


def _too_slow(pattern: str, seconds: float) -> ValueError:
    return ValueError(
        f"the search for {pattern!r} took longer than {seconds:g} seconds; a simpler pattern may be faster"
    )


def _end(process: asyncio.subprocess.Process) -> None:
    """The searcher and the ripgrep it may have started share a session of their own."""
    with contextlib.suppress(ProcessLookupError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
