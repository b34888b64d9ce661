"""`coder_mode = "kiro"`: a task run with the program `kiro-cli` that is on the PATH, and no caller that knows it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from kiro_lsp.cli import main
from tests.cli.recorded import BEFORE, NEW, OLD, TASKS, lines, one, project_fixture, tree
from tests.support import kiro_cli, planted
from tests.support.acp_run import box

__all__ = ["project_fixture"]

WRITES = {"write": {"greet.py": NEW}, "says": "It greets by name."}


@pytest.fixture
def script(own_homes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install the program, and say what it does."""
    program = own_homes / ".local" / "bin" / "kiro-cli"
    program.parent.mkdir(parents=True)
    code = f"import runpy\nrunpy.run_path({kiro_cli.__file__!r}, run_name='__main__')\n"
    program.write_text(f"#!{sys.executable}\n{code}", "utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(program.parent), os.environ["PATH"]]))
    monkeypatch.setenv("ANTHROPIC_API_KEY", planted.KEYS["anthropic"])
    folder = box(own_homes)
    config = tmp_path / "config.toml"
    environ = f'{{ SCRIPT = "{folder}/script.json", LOG = "{folder}/log" }}'
    config.write_text(
        '[kiro]\ncoder_mode = "kiro"\n'
        f'[agents.kiro]\nenv = {environ}\nhomes = ["~/box"]\nguarded = []\nnetwork = "none"\n',
        "utf-8",
    )
    monkeypatch.setenv("KIRO_LSP_CONFIG", str(config))

    def write(**does: Any) -> None:
        (folder / "script.json").write_text(json.dumps(does), "utf-8")

    return write


@pytest.mark.parametrize("release", ["1.24.0", "1.26.0"])
def test_a_task_is_run_reviewed_and_ticked(
    project: Path, script: Any, release: str, capsys: pytest.CaptureFixture[str]
) -> None:
    script(release=release, steps=[{"edit": "greet.py", "text": NEW}, {"say": "It greets by name."}], **WRITES)
    before = tree(project)
    assert main(["run", TASKS, "1", "--trust", "--json"]) == 0
    stream = lines(capsys)
    start = next(event for event in stream if event["type"] == "start")
    assert (start["agent"], start["reason"]) == ("kiro", "kiro.coder_mode")
    assert (stream[-1]["type"], stream[-1]["filesChanged"], stream[-1]["summary"]) == (
        "complete",
        ["greet.py"],
        "It greets by name.",
    )
    assert tree(project) == before
    assert main(["review", stream[0]["runId"], "--accept", "--json"]) == 0
    assert one(capsys)["ticked"] is True
    assert (project / "greet.py").read_text("utf-8") == NEW
    assert (project / TASKS).read_text("utf-8") == BEFORE.replace("- [ ] 1.", "- [x] 1.")


def test_a_failure_sets_the_state_of_the_run(project: Path, script: Any, capsys: pytest.CaptureFixture[str]) -> None:
    script(release="1.24.0", logged_in=False)
    assert main(["run", TASKS, "1", "--trust", "--json"]) == 1
    stream = lines(capsys)
    assert (stream[-1]["type"], stream[-1]["kind"]) == ("error", "auth")
    assert "kiro-cli login" in stream[-1]["hint"]
    assert main(["runs", stream[0]["runId"], "--json"]) == 0
    assert one(capsys)[0]["state"] == "failed"
    assert (project / "greet.py").read_text("utf-8") == OLD


def test_without_the_program_nobody_else_edits(
    project: Path, script: Any, own_homes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own_homes / ".local" / "bin" / "kiro-cli").unlink()
    assert main(["run", TASKS, "1", "--trust", "--json"]) == 1
    refused = one(capsys)["refused"]
    assert refused["code"] == "no-agent"
    assert "kiro-cli is not on the PATH" in refused["message"]
