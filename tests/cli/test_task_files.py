"""tasks, mark and prompt on real files, through `main` as a shell calls it."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from kiro_lsp.cli import main

SPEC = """\
# Implementation Plan

- [x] 1. Set up the project
  - _Requirements: 1.1_

- [ ] 2. Log in
- [-] 2.1 Check the password
  - Compare hashes in constant time
  - _Requirements: 1.2, 2.1_
- [ ]* 2.2 Measure it
"""

TASK_FIELDS = {
    "key",
    "id",
    "title",
    "status",
    "mark",
    "line",
    "depth",
    "optional",
    "parallel",
    "story",
    "section",
    "parent",
    "requirements",
    "dependsOn",
    "files",
    "metadata",
    "body",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one Kiro spec; the current folder."""
    folder = tmp_path / "project"
    spec = folder / ".kiro" / "specs" / "login"
    spec.mkdir(parents=True)
    (spec / "tasks.md").write_text(SPEC, "utf-8", newline="")
    (spec / "requirements.md").write_text(
        "# Requirements\n\n1.2. WHEN a password is wrong THEN nobody SHALL get in.\n", "utf-8"
    )
    monkeypatch.chdir(folder)
    return folder


TASKS = ".kiro/specs/login/tasks.md"


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    assert main([*arguments, "--json"]) == code
    out, _ = capsys.readouterr()
    assert out.endswith("\n")
    assert "\n" not in out[:-1], "one JSON value on one line"
    return json.loads(out)


def test_tasks_json_has_the_shape_of_the_contract(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = run_json(capsys, "tasks", TASKS)
    assert [set(entry) for entry in listed] == [{"path", "dialect", "tasks", "waves", "problems", "summary"}]
    (entry,) = listed
    assert entry["path"] == TASKS
    assert entry["dialect"] == "kiro"
    assert all(set(task) == TASK_FIELDS for task in entry["tasks"])
    assert [(task["id"], task["status"], task["mark"], task["line"]) for task in entry["tasks"]] == [
        ("1", "done", "x", 3),
        ("2", "open", " ", 6),
        ("2.1", "in-progress", "-", 7),
        ("2.2", "open", " ", 10),
    ]
    assert entry["tasks"][2]["requirements"] == ["1.2", "2.1"]
    assert entry["tasks"][3]["optional"] is True
    summary = entry["summary"]
    assert set(summary) == {"total", "open", "inProgress", "done", "blocked", "unknown", "optional", "withId"}
    assert (
        summary["total"] == sum(summary[state] for state in ("open", "inProgress", "done", "blocked", "unknown")) == 4
    )


def test_paths_are_printed_as_they_were_given(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [f"./.kiro/../{TASKS}", str(project / TASKS)]
    assert [entry["path"] for entry in run_json(capsys, "tasks", *given)] == given


def test_a_folder_stands_for_its_task_files(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "node_modules" / "x").mkdir(parents=True)
    (project / "node_modules" / "x" / "tasks.md").write_text("- [ ] 1. Not ours\n", "utf-8")
    assert [entry["path"] for entry in run_json(capsys, "tasks", ".")] == [os.path.join(".", *TASKS.split("/"))]


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"", None), (b"\x00\x01\x02\xff", "problem"), (b"- [ ] 1. Caf\xe9\n", "problem"), (b"no tasks here\n", None)],
)
def test_a_file_that_is_no_task_file_is_a_problem_and_no_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes, code: str | None
) -> None:
    file = tmp_path / "tasks.md"
    file.write_bytes(data)
    (entry,) = run_json(capsys, "tasks", str(file))
    assert entry["tasks"] == []
    for problem in entry["problems"]:
        assert set(problem) == {"line", "column", "code", "severity", "message"}
        assert problem["line"] >= 1
    assert code is None or entry["problems"]


def test_a_missing_file_is_named_and_the_others_are_listed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", "--json", "nowhere.md", TASKS]) == 1
    out, err = capsys.readouterr()
    assert [entry["path"] for entry in json.loads(out)] == [TASKS]
    assert "'nowhere.md'" in err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no FIFOs in the file system")
def test_a_pipe_is_not_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fifo = tmp_path / "tasks.md"
    os.mkfifo(fifo)
    assert main(["tasks", str(fifo)]) == 1
    assert "is not a file" in capsys.readouterr().err


def test_the_list_for_people_shows_boxes_lines_and_counts(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", TASKS]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == f"{TASKS}  kiro, 1 of 4 done, 1 in progress"
    assert out[1] == "   3  [x] 1 Set up the project"
    assert "[-] 2.1 Check the password" in out[3]


def test_tasks_without_a_box_are_listed_with_their_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "tasks.md"
    file.write_text("### Task 1: Parse ✅\nx\n\n### Task 2: Print\ny\n", "utf-8")
    assert main(["tasks", str(file)]) == 0
    _head, *listed = capsys.readouterr().out.splitlines()
    assert [line.strip() for line in listed[:2]] == ["1  [x] 1 Parse", "4  [ ] 2 Print"]
    assert "2 tasks of this file" in listed[2]


@pytest.mark.parametrize(
    ("selector", "status", "before", "after"),
    [
        ("2", "done", b"- [ ] 2. Log in", b"- [x] 2. Log in"),
        ("1", "open", b"- [x] 1. Set up", b"- [ ] 1. Set up"),
        ("2.2", "in-progress", b"- [ ]* 2.2", b"- [-]* 2.2"),
        (":6", "done", b"- [ ] 2. Log in", b"- [x] 2. Log in"),
        ("6", "done", b"- [ ] 2. Log in", b"- [x] 2. Log in"),
    ],
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_mark_changes_one_byte(
    project: Path,
    capsys: pytest.CaptureFixture[str],
    selector: str,
    status: str,
    before: bytes,
    after: bytes,
    end: bytes,
    bom: bytes,
) -> None:
    file = project / TASKS
    original = bom + SPEC.encode().replace(b"\n", end)
    file.write_bytes(original)
    file.chmod(0o640)
    assert main(["mark", TASKS, selector, status]) == 0
    changed = file.read_bytes()
    assert changed == original.replace(before, after, 1)
    assert sum(one != other for one, other in zip(original, changed, strict=True)) == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert [path.name for path in file.parent.iterdir() if path.name.startswith(".kiro-lsp")] == []
    assert capsys.readouterr().out.startswith(f"{TASKS}:")


def test_mark_json_says_what_was_written(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = {"path": TASKS, "key": "2", "title": "Log in", "line": 6, "status": "done", "mark": "x"}
    assert run_json(capsys, "mark", TASKS, "2", "done") == {**wanted, "changed": True}
    stamp = (project / TASKS).stat().st_mtime_ns
    assert run_json(capsys, "mark", TASKS, "2", "done") == {**wanted, "changed": False}
    assert (project / TASKS).stat().st_mtime_ns == stamp, "a mark that is there already is not written"


def test_an_unknown_task_is_refused_and_says_which_exist(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    original = (project / TASKS).read_bytes()
    assert main(["mark", TASKS, "9.9", "done"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "9.9" in err
    assert "2.1" in err
    assert (project / TASKS).read_bytes() == original


def test_two_tasks_with_one_id_are_both_named_and_none_is_written(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = project / TASKS
    original = "- [ ] 1. One\n- [ ] 1. Other\n"
    file.write_text(original, "utf-8")
    refused = run_json(capsys, "mark", TASKS, "1", "done", code=1)["refused"]
    assert refused["code"] == "ambiguous-task"
    first, second = refused["candidates"]
    assert first | {"key": None} == {"key": None, "line": 1, "title": "One"}
    assert second == {"key": "1~2", "line": 2, "title": "Other"}
    assert file.read_text("utf-8") == original

    assert main(["mark", TASKS, "1", "done"]) == 1
    err = capsys.readouterr().err
    assert "line 1  One" in err
    assert "line 2  Other" in err

    assert run_json(capsys, "mark", TASKS, second["key"], "done")["line"] == 2
    assert run_json(capsys, "mark", TASKS, f":{first['line']}", "in-progress")["line"] == 1
    assert file.read_text("utf-8") == "- [-] 1. One\n- [x] 1. Other\n"


def test_an_unwritable_form_is_refused_with_the_file_untouched(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = project / "plan.md"
    file.write_text("- ✅ 1. Done long ago\n- [ ] 2. Open\n", "utf-8")
    original = file.read_bytes()
    listed = run_json(capsys, "tasks", "plan.md")[0]["tasks"]
    if any(task["id"] == "1" for task in listed):
        refused = run_json(capsys, "mark", "plan.md", "1", "open", code=1)["refused"]
        assert refused["code"] == "unwritable-mark"
    assert file.read_bytes() == original


def test_a_read_only_file_is_named_and_left_alone(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = project / TASKS
    file.chmod(0o444)
    assert main(["mark", TASKS, "2", "done"]) == 1
    assert "read-only" in capsys.readouterr().err
    assert file.read_text("utf-8") == SPEC


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")
def test_a_link_stays_a_link(project: Path, tmp_path: Path) -> None:
    real = tmp_path / "elsewhere.md"
    real.write_text(SPEC, "utf-8")
    link = project / "tasks.md"
    link.symlink_to(real)
    assert main(["mark", "tasks.md", "2", "done"]) == 0
    assert link.is_symlink()
    assert "- [x] 2. Log in" in real.read_text("utf-8")


def test_prompt_prints_exactly_what_would_be_sent(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prompt", TASKS, "2.1"]) == 0
    out, _ = capsys.readouterr()
    assert "Check the password" in out
    assert "nobody SHALL get in" in out
    body = run_json(capsys, "prompt", TASKS, "2.1")
    assert body["text"] == out
    assert set(body) == {"path", "task", "text", "tokens", "limit", "leftOut"}
    assert body["task"] == "2.1"
    assert 0 < body["tokens"] <= body["limit"]


def test_the_stable_part_of_a_prompt_is_the_same_for_every_task(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [run_json(capsys, "prompt", TASKS, task)["text"] for task in ("2.1", "2.2")]
    length = next(at for at, (one, other) in enumerate(zip(*texts, strict=False)) if one != other)
    shared = texts[0][:length]
    assert "nobody SHALL get in" in shared
    assert texts[0] != texts[1]
