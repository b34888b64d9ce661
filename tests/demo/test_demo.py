"""The demo as people start it: in a process of its own, with and without a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from kiro_lsp.cli import main
from kiro_lsp.demo.driver import TASK_FILE
from tests.support import planted

CHANGED = ["README.md", "fairshare/split.py", "tests/test_left_over_cents.py"]


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def project_tests(folder: Path) -> int:
    return subprocess.run([sys.executable, "-m", "unittest"], cwd=folder, check=False, capture_output=True).returncode


def children_of_this_home() -> list[psutil.Process]:
    """Processes that were started with this test's own home and still live."""

    def ours(process: psutil.Process) -> bool:
        try:
            return process.pid != os.getpid() and process.environ().get("HOME") == os.environ["HOME"]
        except psutil.Error:
            return False

    return [process for process in psutil.process_iter() if ours(process)]


def run_of(screen: str) -> str:
    return screen.partition(" undo ")[2].split()[0]


@pytest.fixture
def played(tmp_path: Path) -> tuple[Path, str]:
    """A demo without a terminal: its folder and what it printed."""
    result = subprocess.run(
        [sys.executable, "-m", "kiro_lsp", "demo", "shown"],
        cwd=tmp_path,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        start_new_session=True,
        env=os.environ | {"ANTHROPIC_API_KEY": planted.KEYS["anthropic"]},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    return tmp_path / "shown", result.stdout


def test_without_a_terminal_it_accepts_by_itself(played: tuple[Path, str]) -> None:
    folder, screen = played
    lines = screen.strip().splitlines()
    assert lines[0] == lines[-1]
    assert lines[0].startswith("RECORDED")
    assert "▶ Run with Recorded" in screen
    assert screen.index("python -m unittest   red") < screen.index("python -m unittest   green")
    assert f"- [x] 2. Hand out the cents that are left over   ← 1 byte changed in {TASK_FILE}" in screen
    assert "2 changed, 1 new, 0 deleted; 2 tests added" in screen
    assert "+    share, left_over = divmod(total, len(people))" in screen
    assert project_tests(folder) == 0
    assert "- [x] 2. Hand out" in (folder / TASK_FILE).read_text("utf-8")
    assert children_of_this_home() == []


def test_undo_takes_the_demo_back_from_the_ordinary_state_folder(
    played: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, screen = played
    assert main(["undo", run_of(screen)]) == 0
    assert project_tests(folder) != 0
    assert "- [ ] 2. Hand out" in (folder / TASK_FILE).read_text("utf-8")
    assert not (folder / "tests" / "test_left_over_cents.py").exists()


def test_a_folder_with_files_in_it_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine", "utf-8")
    assert main(["demo", str(tmp_path)]) == 1
    assert "not empty" in capsys.readouterr().err
    assert tree(tmp_path) == {"mine.txt": b"mine"}


def test_a_project_for_an_editor_runs_the_recording_once_it_is_trusted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "for an editor"
    assert main(["demo", "--project", "--json", str(folder)]) == 0
    written = json.loads(capsys.readouterr().out)
    assert written == {"root": str(folder), "tasks": str(folder / TASK_FILE)}
    assert main(["run", written["tasks"], "2", "--trust", "--accept", "--json"]) == 0
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert next(event for event in said if event["type"] == "start")["agent"] == "recorded"
    assert "- [x] 2. Hand out" in (folder / TASK_FILE).read_text("utf-8")
    assert project_tests(folder) == 0


if sys.platform != "win32":
    from tests.support.terminal import AtTerminal

    @pytest.mark.parametrize(
        ("typed", "changed", "ticked", "green"),
        [
            ("accept\n", CHANGED, True, True),
            ("one\n", ["fairshare/split.py"], False, True),
            ("reject\n", [], False, False),
        ],
    )
    def test_a_person_decides_at_the_terminal(
        tmp_path: Path, typed: str, changed: list[str], ticked: bool, green: bool
    ) -> None:
        with AtTerminal("demo", cwd=tmp_path) as terminal:
            terminal.expect("RECORDED")
            terminal.expect("What shall become of it?")
            folder = tmp_path / "kiro-lsp-demo"
            before = tree(folder)
            terminal.type(typed)
            terminal.expect("What to try next")
            terminal.expect("RECORDED")
            assert terminal.end() == 0, terminal.screen
        after = tree(folder)
        differing = sorted(path for path in before | after if before.get(path) != after.get(path))
        assert differing == sorted([*changed, *([TASK_FILE] if ticked else [])])
        assert (project_tests(folder) == 0) is green
