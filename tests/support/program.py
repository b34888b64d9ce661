"""The real program in a project of its own: run, look, count what is left alive."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kiro_lsp.engine import faults
from tests.support import planted, procs
from tests.support.anthropic_server import AnthropicServer

TASK_FILE = ".kiro/specs/greeter/tasks.md"
TASKS = "# Plan\n\n- [ ] 1. Greet politely\n- [ ] 2. Say goodbye\n"
TICKED = TASKS.replace("- [ ] 1.", "- [x] 1.")
BEFORE = {"greeter.py": "print('Hey')\n", "old.txt": "old\n", TASK_FILE: TASKS}
APPLIED = {"greeter.py": "print('Good day')\n", "docs/new.md": "# New\n", TASK_FILE: TASKS}
AFTER = APPLIED | {TASK_FILE: TICKED}
RECORDING = [
    {"kiroRun": 1, "pace": 0, "summary": "Polite now."},
    {"event": {"type": "chunk", "text": "working\n"}},
    {"edit": {"path": "greeter.py", "old": "Hey", "new": "Good day"}},
    {"write": {"path": "docs/new.md", "text": "# New\n"}},
    {"delete": {"path": "old.txt"}},
]
COMMAND = [sys.executable, "-c", "open('made.txt', 'w').write('made')"]


class Project:
    """A project, its state folder, and the program run in it."""

    def __init__(self, tmp_path: Path, provider: AnthropicServer) -> None:
        self.root = tmp_path / "project"
        for path, text in BEFORE.items():
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_text(text, "utf-8")
        recording = tmp_path / "recording.jsonl"
        recording.write_text("".join(json.dumps(row) + "\n" for row in RECORDING), "utf-8")
        config = tmp_path / "config.toml"
        config.write_text(f'[agents.recorded]\ntype = "replay"\nrecording = "{recording}"\n', "utf-8")
        config.chmod(0o600)
        self.mark = uuid.uuid4().hex
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path / "home"),
            "KIRO_LSP_STATE_DIR": str(tmp_path / "state"),
            "KIRO_LSP_CONFIG": str(config),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "ANTHROPIC_API_KEY": planted.KEYS["anthropic"],
            "ANTHROPIC_BASE_URL": provider.url,
            procs.NAME: self.mark,
            **planted.ENVIRON,
        }

    def call(self, *arguments: str, fault: str = "") -> subprocess.CompletedProcess[str]:
        environ = self.environ | ({faults.VARIABLE: fault} if fault else {})
        argv = [sys.executable, "-m", "kiro_lsp", *arguments]
        return subprocess.run(
            argv,
            cwd=self.root,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start(self, agent: str, *more: str, fault: str = "") -> subprocess.CompletedProcess[str]:
        return self.call("run", TASK_FILE, "1", "--agent", agent, "--trust", "--json", *more, fault=fault)

    def tree(self) -> dict[str, str]:
        files = (path for path in self.root.rglob("*") if path.is_file())
        return {path.relative_to(self.root).as_posix(): path.read_text("utf-8") for path in files}

    def run_record(self) -> Mapping[str, Any]:
        listed = self.call("runs", "--json")
        assert listed.returncode == 0, listed.stderr
        (record,) = json.loads(listed.stdout)
        return dict(record)

    def reviewed(self, run_id: str) -> dict[str, str]:
        """Path → status of the staged files."""
        shown = self.call("review", run_id, "--json")
        assert shown.returncode == 0, shown.stderr
        return {file["path"]: file["status"] for file in json.loads(shown.stdout)["files"]}


def nobody_left(project: Project) -> None:
    left = procs.gone_within(procs.marked(project.mark))
    assert not left, f"still alive 2 s after the kill: {left}"
