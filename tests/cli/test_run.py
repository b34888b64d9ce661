"""run, retry, cancel and answer: one task from the command to the tick, with a recorded agent, through `main`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kiro_lsp.cli import main
from tests.cli.recorded import (
    BEFORE,
    NEW,
    OLD,
    TASKS,
    Record,
    lines,
    one,
    project_fixture,
    record_fixture,
    run_id_of,
    tree,
)

__all__ = ["project_fixture", "record_fixture"]


def test_run_json_streams_numbered_events_and_ends_at_the_first_group(
    project: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(project)
    assert main(["run", TASKS, "1", "--trust", "--json"]) == 0
    stream = lines(capsys)
    assert [event["seq"] for event in stream] == list(range(1, len(stream) + 1))
    assert len({event["runId"] for event in stream}) == 1
    assert all(event["at"].endswith("Z") for event in stream)
    kinds = [event["type"] for event in stream]
    assert kinds[-1] == "complete"
    assert {"start", "state", "phase", "chunk", "file", "review"} <= set(kinds)
    start = next(event for event in stream if event["type"] == "start")
    assert (start["agent"], start["way"], start["task"]) == ("recorded", "replay", "1")
    end = stream[-1]
    assert (end["filesChanged"], end["filesCreated"], end["filesModified"], end["filesDeleted"], end["testsAdded"]) == (
        ["greet.py", "tests/test_greet.py"],
        1,
        1,
        0,
        1,
    )
    assert tree(project) == before, "nothing changes before the accept"


def test_run_accept_applies_ticks_and_ends_at_the_second_group(
    project: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", TASKS, "1", "--trust", "--accept", "--json"]) == 0
    stream = lines(capsys)
    assert [event["seq"] for event in stream] == list(range(1, len(stream) + 1))
    kinds = [event["type"] for event in stream]
    assert kinds.index("complete") < kinds.index("applied")
    applied = next(event for event in stream if event["type"] == "applied")
    assert (applied["files"], applied["partial"], applied["ticked"]) == (
        ["greet.py", "tests/test_greet.py"],
        False,
        True,
    )
    assert (project / TASKS).read_text("utf-8") == BEFORE.replace("- [ ] 1.", "- [x] 1.")
    assert (project / "greet.py").read_text("utf-8") == NEW


def test_an_untrusted_project_without_a_terminal_is_refused_and_the_flag_is_named(
    project: Path, record: Record
) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "kiro_lsp", "run", TASKS, "1"],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
    )
    assert result.returncode == 1
    assert "--trust" in result.stderr
    assert (project / "greet.py").read_text("utf-8") == OLD


def test_with_json_the_sheet_is_an_event_and_end_of_input_is_no(
    project: Path, record: Record, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        assert main(["run", TASKS, "1", "--json"]) == 1
    stream = lines(capsys)
    asked = next(event for event in stream if event["type"] == "permission")
    assert asked["kind"] == "consent"
    assert "RECORDED" in asked["title"]
    assert {"requestId", "options"} <= set(asked)
    answer = next(event for event in stream if event["type"] == "answer")
    assert (answer["requestId"], answer["option"], answer["by"]) == (asked["requestId"], "cancel", "terminal")
    assert stream[-1]["type"] == "cancelled"


def test_with_json_the_sheet_is_answered_by_a_line_on_standard_input(project: Path, record: Record) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "kiro_lsp", "run", TASKS, "1", "--json", "--accept"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    kinds = []
    for line in process.stdout:
        event = json.loads(line)
        kinds.append(event["type"])
        if event["type"] == "permission":
            process.stdin.write("not an answer\n")
            process.stdin.write(json.dumps({"requestId": event["requestId"], "option": "run"}) + "\n")
            process.stdin.flush()
    assert process.stderr is not None
    assert "not an answer" in process.stderr.read()
    assert process.wait() == 0
    process.stdin.close()
    assert "applied" in kinds
    assert (project / "greet.py").read_text("utf-8") == NEW


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_an_interrupted_run_is_cancelled_and_keeps_its_staged_files(
    project: Path, record: Record, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    record(
        {"at": 0, "write": {"path": "greet.py", "text": NEW}},
        *({"at": at, "event": {"type": "phase", "phase": "thinking"}} for at in range(1, 100)),
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "kiro_lsp", "run", TASKS, "1", "--trust", "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    stream = []
    for line in process.stdout:
        stream.append(json.loads(line))
        if stream[-1]["type"] == "file":
            process.send_signal(number)
    assert process.wait() == 130
    assert stream[-1]["type"] == "cancelled"
    run_id = stream[0]["runId"]
    assert main(["runs", run_id, "--json"]) == 0
    assert one(capsys)[0]["state"] == "cancelled"
    assert (project / "greet.py").read_text("utf-8") == OLD
    assert main(["review", run_id, "--accept", "--json"]) == 0
    answer = one(capsys)
    assert answer["ticked"] is False, "what a stopped run had staged is no finished task"
    assert (project / "greet.py").read_text("utf-8") == NEW


def test_a_reader_that_leaves_stops_the_run(project: Path, record: Record, capsys: pytest.CaptureFixture[str]) -> None:
    record(*({"at": at / 20, "event": {"type": "phase", "phase": "thinking"}} for at in range(1, 2000)))
    process = subprocess.Popen(
        [sys.executable, "-m", "kiro_lsp", "run", TASKS, "1", "--trust", "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait() == 1
    assert process.stderr.read() == b""
    main(["runs", "--json"])
    assert one(capsys)[0]["state"] == "cancelled"


def test_a_run_is_cancelled_from_another_terminal(
    project: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    record(*({"at": at, "event": {"type": "phase", "phase": "thinking"}} for at in range(100)))
    process = subprocess.Popen(
        [sys.executable, "-m", "kiro_lsp", "run", TASKS, "1", "--trust", "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    stream = []
    for line in process.stdout:
        stream.append(json.loads(line))
        if stream[-1]["type"] == "start":
            assert main(["cancel", stream[-1]["runId"], "--json"]) == 0
            assert one(capsys)["ok"] is True
    assert process.wait() == 1
    assert stream[-1]["type"] == "cancelled"


def test_a_question_is_answered_from_another_terminal(
    project: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "kiro_lsp", "run", TASKS, "1", "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    stream = []
    for line in process.stdout:
        stream.append(json.loads(line))
        if stream[-1]["type"] == "permission":
            asked = stream[-1]
            assert main(["answer", asked["runId"], asked["requestId"], "nonsense", "--json"]) == 1
            assert one(capsys)["refused"]["code"] == "no-option"
            assert main(["answer", asked["runId"], asked["requestId"], "run", "--json"]) == 0
            assert one(capsys) == {"runId": asked["runId"], "ok": True}
    process.stdin.close()
    assert process.wait() == 0
    assert stream[-1]["type"] == "complete"


def test_runs_json_has_the_shape_of_the_contract(
    project: Path, record: Record, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run_id = run_id_of(capsys)
    assert main(["runs", "--json"]) == 0
    (listed,) = one(capsys)
    assert set(listed) == {
        "runId",
        "root",
        "path",
        "task",
        "title",
        "agent",
        "label",
        "way",
        "model",
        "state",
        "startedAt",
        "endedAt",
        "cost",
        "charged",
        "inputTokens",
        "outputTokens",
        "cachedTokens",
        "turns",
        "billing",
        "files",
        "replay",
        "continues",
        "owner",
    }
    assert (listed["runId"], listed["root"], listed["path"]) == (run_id, os.path.realpath(project), TASKS)
    assert (listed["task"], listed["title"], listed["state"]) == ("1", "Greet by name", "review")
    assert (listed["files"], listed["replay"], listed["way"]) == (2, True, "replay")
    assert main(["runs", "--root", str(tmp_path), "--json"]) == 0
    assert one(capsys) == []
    assert main(["runs", run_id[:-1], "--diff"]) == 0
    assert "+def greet(name):" in capsys.readouterr().out


def test_retry_runs_the_same_task_again(project: Path, record: Record, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = run_id_of(capsys)
    main(["review", run_id, "--reject", "--json"])
    capsys.readouterr()
    assert main(["retry", run_id, "--trust", "--accept", "--json"]) == 0
    stream = lines(capsys)
    assert stream[0]["runId"] != run_id
    assert any(event["type"] == "applied" for event in stream)


@pytest.mark.parametrize(("task", "code"), [("9", "unknown-task"), (":7", "unknown-task")])
def test_a_task_that_is_not_there_is_refused_before_anything_runs(
    project: Path, record: Record, capsys: pytest.CaptureFixture[str], task: str, code: str
) -> None:
    assert main(["run", TASKS, task, "--trust", "--json"]) == 1
    refused = one(capsys)
    assert refused["runId"] is None
    assert refused["refused"]["code"] == code
    assert main(["runs", "--json"]) == 0
    assert one(capsys) == []


def test_without_a_key_the_variable_is_named_and_the_recorded_agent_is_offered(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", TASKS, "1", "--trust"]) == 1
    err = capsys.readouterr().err
    assert "ANTHROPIC_API_KEY" in err
    assert "kiro-lsp demo" in err
    assert main(["run", TASKS, "1", "--trust", "--agent", "claude"]) == 1
    err = capsys.readouterr().err
    assert "ANTHROPIC_API_KEY" in err
    assert "recorded" in err


def test_a_missing_file_and_a_bad_command_are_named(
    project: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "nowhere.md", "1", "--trust"]) == 1
    assert "'nowhere.md'" in capsys.readouterr().err
    assert main(["run", TASKS, "1", "--allow-command", "'unclosed"]) == 2
    assert "--allow-command" in capsys.readouterr().err


def test_plain_output_holds_the_log_the_diff_and_what_to_do_next(
    project: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", TASKS, "1", "--trust"]) == 0
    out, err = capsys.readouterr()
    assert "RECORDED" in out
    assert "I add a parameter." in out
    assert "create tests/test_greet.py" in out
    assert "+def greet(name):" in out
    assert "\x1b" not in out
    assert "--accept" in err
