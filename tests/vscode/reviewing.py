"""A project with a run that has ended and waits for its review: texts, a new, a deleted and a renamed file, and a binary one.

The agent is a program of the tests' own; its run is started by the command line with the state folder of the window's server.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support import fake_agent

TASK_FILE = ".kiro/specs/greeter/tasks.md"
TASKS = "# Plan\n\n- [ ] 1. Greet everybody politely\n- [ ] 2. Say goodbye\n"
TICKED = TASKS.replace("- [ ] 1.", "- [x] 1.")

_BODY = """
def farewell(name):
    return "Bye " + name


def shout(text):
    return text.upper()


def names():
    return ["Ada", "Grace", "Edsger"]


def count(names):
    total = 0
    for name in names:
        total += 1
    return total


def last(names):
    return names[-1]
"""
GREETER = '"""Greetings."""\n\n\ndef greet(name):\n    return "Hey " + name\n\n' + _BODY
PROPOSED = GREETER.replace('"Hey " + name', 'f"Good day, {name}"').replace(
    "    total = 0\n    for name in names:\n        total += 1\n    return total\n", "    return len(names)\n"
)
FILES: Mapping[str, bytes] = {
    TASK_FILE: TASKS.encode(),
    "greeter.py": GREETER.encode(),
    "windows.txt": "\ufeffone\r\ntwo\r\nthree".encode(),
    "old.txt": b"old\nand gone\n",
    "notes/draft.md": b"# Draft\n\nWords that stay as they are, so that the move is seen.\n",
    "logo.bin": b"\0\1\2",
}
AFTER: Mapping[str, bytes] = {
    TASK_FILE: TICKED.encode(),
    "greeter.py": PROPOSED.encode(),
    "windows.txt": "\ufeffone\r\nzwei\r\nthree".encode(),
    "docs/polite.md": b"# Polite\n\nEverybody is greeted.\n",
    "notes/final.md": FILES["notes/draft.md"],
    "logo.bin": b"\0\1\2\3",
}


def lay_out(root: Path) -> None:
    for path, data in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)


def tree(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def environ_with_agent(environ: Mapping[str, str], wanted: Mapping[str, bytes] = AFTER) -> dict[str, str]:
    """The environment with an agent that makes of the project what is wanted, the task file aside."""
    home = Path(environ["HOME"])
    written = {path: list(data) for path, data in wanted.items() if path != TASK_FILE and FILES.get(path) != data}
    gone = [path for path in FILES if path not in wanted]
    body = (
        f"for path, data in {written!r}.items():\n"
        "    os.makedirs(os.path.dirname(path) or '.', exist_ok=True)\n"
        "    open(path, 'wb').write(bytes(data))\n"
        f"for path in {gone!r}:\n    os.remove(path)\n"
    )
    folder = fake_agent.install(home, body)
    config = home / "config.toml"
    config.write_text(fake_agent.CONFIG, "utf-8")
    config.chmod(0o600)
    return {**environ, "PATH": f"{folder}:{environ['PATH']}", "KIRO_LSP_CONFIG": str(config)}


def told(environ: Mapping[str, str], *argv: str, cwd: Path | None = None) -> str:
    """What the command line says in this environment."""
    done = subprocess.run(
        [sys.executable, "-m", "kiro_lsp", *argv],
        cwd=cwd,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def reviewed_run(root: Path, environ: Mapping[str, str]) -> str:
    """A run of the first task, done and waiting for its review; returns its id."""
    said = told(environ, "run", TASK_FILE, "1", "--agent", "fake", "--trust", "--json", cwd=root)
    events: list[dict[str, Any]] = [json.loads(line) for line in said.splitlines()]
    assert any(event["type"] == "complete" for event in events), said
    return str(events[0]["runId"])
