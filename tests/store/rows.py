"""Rows to put into a store, and other processes that use it."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kiro_lsp.spec.model import TaskAnchor
from kiro_lsp.store import RunRecord, Store

ANCHOR = TaskAnchor("1.2", "1.2", "ab" * 32, ("Tasks", "Phase 1"), None, "cd" * 32)
AT = "2026-11-21T05:00:00.000Z"
REPO = Path(__file__).resolve().parents[2]


def run_record(run_id: str = "run-1", **changed: Any) -> RunRecord:
    values: dict[str, Any] = {
        "root": "/project",
        "path": ".kiro/specs/login/tasks.md",
        "task_key": run_id,
        "title": "Add a login form",
        "agent": "claude",
        "way": "api",
        "model": "claude-sonnet-5-5",
        "billing": "metered",
        "state": "running",
        "started_at": AT,
        "anchor": ANCHOR,
    }
    return RunRecord(run_id=run_id, **values | changed)


def add_run(store: Store, run_id: str = "run-1", **changed: Any) -> RunRecord:
    record = run_record(run_id, **changed)
    assert store.create_run(record).result() is True
    return record


def integrity(folder: Path) -> str:
    connection = sqlite3.connect(folder / "kiro-lsp.db")
    try:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])
    finally:
        connection.close()


class Other:
    """Another process with the store open: lines of JSON in, lines of JSON out. See `worker.py`."""

    def __init__(self, folder: Path, verb: str, **arguments: Any) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.store.worker", str(folder), verb, json.dumps(arguments)],
            cwd=REPO,
            env=os.environ | {"PYTHONPATH": str(REPO)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Other:
        return self

    def __exit__(self, *_error: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def hear(self) -> Any:
        """The next line it says; waits for it."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the other process ended with {self.process.wait()}"
        return json.loads(line)

    def rest(self) -> list[Any]:
        """All it says until it ends, leaving out a last line that a kill cut off."""
        assert self.process.stdout is not None
        lines = self.process.stdout.read().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """SIGKILL, or what a system has of it."""
        self.process.kill()
        self.process.wait()


def together(others: Sequence[Other]) -> list[Any]:
    """Let processes that wait go on at the same moment; what each says then."""
    for other in others:
        assert other.hear() == "ready"
    for other in others:
        other.go()
    told = [other.hear() for other in others]
    for other in others:
        other.__exit__()
    return told
