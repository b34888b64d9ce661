"""Killed at any named point of run, review and accept: nothing is lost, nothing is half, nothing lives on.

Each case starts the real program with KIRO_LSP_FAULT, which makes it SIGKILL itself at one point. Then a new process looks:
the run is shown, its staged changes are there, the tree is before or after, and work can go on from there.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from kiro_lsp.engine import faults
from tests.support import procs
from tests.support.anthropic_server import AnthropicServer, Step

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

RUN = [point for point in faults.POINTS if point.startswith("run.")]
REVIEW = ["review.accepting", "review.applied", "review.ticked", "review.settled"]
APPLY = [
    point
    for point in faults.POINTS
    if point.startswith(("apply.", "disk.")) and point not in ("disk.back", "disk.folder")
]
NOT_ON_THIS_WAY = {
    "apply.buffers": "no document is open in a terminal",
    "apply.edited": "no document is open in a terminal",
}
COMMANDED = {"run.copied", "run.commanded"}


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
            "ANTHROPIC_API_KEY": "sk-ant-local-0123456789",
            "ANTHROPIC_BASE_URL": provider.url,
            procs.NAME: self.mark,
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


@pytest.fixture
def provider() -> Iterator[AnthropicServer]:
    steps = [
        Step(tools=[("write_file", {"path": "first.txt", "content": "first"})]),
        Step(tools=[("run_command", {"argv": COMMAND})]),
        Step(text="Done as asked."),
    ]
    with AnthropicServer(steps) as server:
        yield server


@pytest.fixture
def project(tmp_path: Path, provider: AnthropicServer) -> Project:
    return Project(tmp_path, provider)


def killed(done: subprocess.CompletedProcess[str]) -> bool:
    return done.returncode == -signal.SIGKILL


def nobody_left(project: Project) -> None:
    left = procs.gone_within(procs.marked(project.mark), 2)
    assert not left, f"still alive 2 s after the kill: {left}"


@pytest.mark.parametrize("point", [point for point in RUN if point not in COMMANDED])
def test_a_server_killed_in_a_run_shows_it_and_keeps_what_was_staged(point: str, project: Project) -> None:
    fault = f"{point}:2" if point in ("run.staging", "run.staged") else point
    assert killed(project.start("recorded", fault=fault))
    nobody_left(project)
    assert project.tree() == BEFORE

    record = project.run_record()
    expected = {"run.staging": 1, "run.staged": 2, "run.ending": 3, "run.ended": 3}.get(point, 0)
    assert record["state"] in ("interrupted", "review")
    staged = project.reviewed(record["runId"])
    assert len(staged) in (expected, expected + (point == "run.staging"))
    assert set(staged.values()) <= {"pending"}
    if staged:
        assert project.call("review", record["runId"], "--accept").returncode == 0
        finished = record["state"] == "review"
        assert project.tree()[TASK_FILE] == (TICKED if finished else TASKS)
        assert project.tree()["greeter.py"] == APPLIED["greeter.py"]


@pytest.mark.parametrize("point", sorted(COMMANDED))
def test_a_server_killed_around_a_command_leaves_no_process_and_no_copy(point: str, project: Project) -> None:
    from shlex import join

    assert killed(project.start("claude", "--allow-command", join(COMMAND), fault=point))
    nobody_left(project)
    assert project.tree() == BEFORE
    record = project.run_record()
    assert record["state"] == "interrupted"
    assert list(project.reviewed(record["runId"])) == ["first.txt"]
    assert "made.txt" not in project.tree()


@pytest.mark.parametrize("point", REVIEW + [point for point in APPLY if point not in NOT_ON_THIS_WAY])
def test_an_accept_killed_anywhere_is_before_or_after(point: str, project: Project) -> None:
    assert project.start("recorded").returncode == 0
    run_id = project.run_record()["runId"]
    assert killed(project.call("review", run_id, "--accept", fault=point))
    nobody_left(project)

    record = project.run_record()  # a new process: what was cut off is brought to an end first
    assert record["state"] in ("review", "applied")
    expected = {"review": (BEFORE,), "applied": (AFTER, APPLIED)}[record["state"]]
    assert project.tree() in expected
    if record["state"] == "review":
        assert set(project.reviewed(run_id).values()) == {"pending"}
        assert project.call("review", run_id, "--accept").returncode == 0
    assert project.tree() == AFTER
    assert project.call("undo", run_id).returncode == 0
    assert project.tree() == BEFORE


@pytest.mark.parametrize("point", ["review.rejecting", "review.rejected"])
def test_a_reject_killed_anywhere_leaves_the_tree_and_can_be_repeated(point: str, project: Project) -> None:
    assert project.start("recorded").returncode == 0
    run_id = project.run_record()["runId"]
    assert killed(project.call("review", run_id, "--reject", fault=point))
    assert project.tree() == BEFORE
    assert project.call("review", run_id, "--reject").returncode == 0
    assert project.run_record()["state"] == "rejected"
    assert project.tree() == BEFORE


def test_at_least_twenty_points_are_walked_through() -> None:
    assert len(RUN) + len(REVIEW) + len(APPLY) - len(NOT_ON_THIS_WAY) + 2 >= 20
