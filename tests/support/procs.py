"""The process oracle: which processes of a test still live, seen through /proc, and waiting for them without sleeping
blindly.
"""

from __future__ import annotations

import os
import select
import time
from contextlib import suppress
from pathlib import Path

NAME = "KIRO_TEST_TREE"
GONE_WITHIN = float(os.environ.get("KIRO_LSP_GONE_WITHIN", "30"))
"""Seconds after which nothing lives any more. A calm machine takes less than two of them: KIRO_LSP_GONE_WITHIN=2 tells."""


def marked(value: str, name: str = NAME) -> set[int]:
    """Pids of living processes whose environment at start held `name=value`."""
    wanted = f"{name}={value}".encode()
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if wanted in (entry / "environ").read_bytes() and not is_dead(int(entry.name)):
                    found.add(int(entry.name))
    return found


def is_dead(pid: int) -> bool:
    """Gone, or a zombie that only waits to be counted."""
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return True
    return state in (b"Z", b"X")


def busy_ticks(pid: int) -> int:
    """Clock ticks (usually hundredths of a second) that a process has computed so far; 0 for one that is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[11])
    except OSError:
        return 0


def gone_within(pids: set[int], seconds: float = GONE_WITHIN) -> set[int]:
    """Those of `pids` that still live after `seconds`; returns as soon as none does."""
    deadline = time.monotonic() + seconds
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except (ProcessLookupError, PermissionError):
            continue
        with os.fdopen(descriptor, closefd=True):
            select.select([descriptor], [], [], max(deadline - time.monotonic(), 0))
    return {pid for pid in pids if not is_dead(pid)}


def lines_of(path: Path, wanted: int, seconds: float = 60) -> list[str]:
    """Lines of a FIFO, as soon as `wanted` have come: how a script says that it is ready."""
    deadline = time.monotonic() + seconds
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    data = b""
    with os.fdopen(descriptor, "rb", buffering=0):
        while data.count(b"\n") < wanted:
            ready, _, _ = select.select([descriptor], [], [], max(deadline - time.monotonic(), 0))
            if not ready:
                raise AssertionError(f"only {data!r} came through {path.name}")
            data += os.read(descriptor, 65536)
    return data.decode().splitlines()
