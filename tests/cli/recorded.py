"""A small project and a recorded agent for it: what the tests of run and review share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kiro_lsp.cli import main

TASKS = ".kiro/specs/greet/tasks.md"
BEFORE = "- [ ] 1. Greet by name\n- [ ] 2. Say goodbye\n"
OLD = "def greet():\n    return 'hello'\n"
NEW = "def greet(name):\n    return f'hello {name}'\n"
TEST = "def test_greet():\n    assert True\n"

Record = Callable[..., None]


@pytest.fixture(name="project")
def project_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    (folder / ".kiro" / "specs" / "greet").mkdir(parents=True)
    (folder / TASKS).write_text(BEFORE, "utf-8", newline="")
    (folder / "greet.py").write_text(OLD, "utf-8", newline="")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(name="record")
def record_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Record:
    """Write the recording that the default agent plays back."""

    def write(*steps: dict[str, Any], summary: str = "Greets by name.", **settings: str) -> None:
        rows = [{"kiroRun": 1, "pace": 1, "summary": summary}, *steps]
        recording = tmp_path / "agent.run.jsonl"
        recording.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        config = tmp_path / "config.toml"
        config.write_text(
            '[kiro]\ndefault_agent = "recorded"\n'
            f'[agents.recorded]\ntype = "replay"\nrecording = {json.dumps(str(recording))}\n'
            + "".join(f"[{section.replace('__', '.')}]\n{body}\n" for section, body in settings.items()),
            "utf-8",
        )
        monkeypatch.setenv("KIRO_LSP_CONFIG", str(config))

    write(
        {"at": 0, "event": {"type": "phase", "phase": "reading", "detail": "greet.py"}},
        {"at": 0, "event": {"type": "chunk", "text": "I add a parameter.\n"}},
        {"at": 0, "write": {"path": "greet.py", "text": NEW}},
        {"at": 0, "write": {"path": "tests/test_greet.py", "text": TEST}},
    )
    return write


def lines(capsys: pytest.CaptureFixture[str]) -> list[Any]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def one(capsys: pytest.CaptureFixture[str]) -> Any:
    (value,) = lines(capsys)
    return value


def run_id_of(capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["run", TASKS, "1", "--trust", "--json"]) == 0
    return str(lines(capsys)[0]["runId"])


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
