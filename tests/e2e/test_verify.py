"""A verified change as people meet it: on the command line, at a terminal, in an editor, in Neovim, and when a process dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kiro_lsp.cli import main
from kiro_lsp.demo.editor import Editor
from tests.cli.recorded import NEW, OLD, TASKS, Record, lines, one, project_fixture, record_fixture, tree
from tests.e2e.test_processes import person
from tests.engine.test_verify import WAITS, alive, running, script
from tests.support import procs
from tests.support.anthropic_server import AnthropicServer, Step
from tests.support.program import TASK_FILE, Project, nobody_left
from tests.support.terminal import AtTerminal

__all__ = ["project_fixture", "record_fixture"]

STEPS: list[dict[str, Any]] = [{"at": 0, "write": {"path": "greet.py", "text": NEW}}]
GOOD = [sys.executable, "-c", "print('3 passed in 0.01s')"]
BAD = [sys.executable, "-c", "print('FAILED test_greet.py - it hurts'); raise SystemExit(1)"]
RUN = ("run", TASKS, "1", "--trust")


def configured(command: list[str], more: str = "") -> dict[str, str]:
    return {"execution": f"verify_command = {json.dumps(command)}\n{more}"}


# On the command line


def test_the_stream_ends_with_the_verdict(project: Path, record: Record, capsys: pytest.CaptureFixture[str]) -> None:
    record(*STEPS, **configured(BAD))
    before = tree(project)
    assert main([*RUN, "--json"]) == 0, "the review is pending"
    stream = lines(capsys)
    assert [event["seq"] for event in stream] == list(range(1, len(stream) + 1))
    kinds = [event["type"] for event in stream]
    assert kinds[kinds.index("complete") :] == ["complete", "isolation", "verify", "state", "phase"]
    verify = stream[kinds.index("verify")]
    assert (verify["command"], verify["ok"]) == (BAD, False)
    assert "it hurts" in verify["summary"]
    assert tree(project) == before
    assert main(["review", stream[0]["runId"], "--json"]) == 0
    told = one(capsys)["verify"]
    assert (told["ok"], told["running"], told["outdated"]) == (False, False, False)


@pytest.mark.parametrize(("command", "code", "text"), [(GOOD, 0, NEW), (BAD, 1, OLD)])
def test_accept_without_asking_applies_only_what_is_verified(
    project: Path, record: Record, capsys: pytest.CaptureFixture[str], command: list[str], code: int, text: str
) -> None:
    record(*STEPS, **configured(command))
    assert main([*RUN, "--accept", "--json"]) == code
    stream = lines(capsys)
    assert (project / "greet.py").read_text("utf-8") == text
    applied = [event for event in stream if event["type"] == "applied"]
    assert [event["verified"] for event in applied] == ([True] if code == 0 else [])
    if code:
        assert main(["review", stream[0]["runId"], "--accept", "--json"]) == 0
        assert "not verified" in one(capsys)["message"]
        assert (project / "greet.py").read_text("utf-8") == NEW


@pytest.mark.parametrize(
    ("files", "given", "command"),
    [
        ({"Makefile": "check:\n\ttrue\n"}, [], ["make", "check"]),
        ({"Makefile": "check:\n\ttrue\n"}, ["echo 'a b'"], ["echo", "a b"]),
        ({}, [], None),
        ({"Makefile": "check:\n\ttrue\n", "go.mod": "module x\n"}, [], None),
    ],
)
def test_a_check_that_is_found_is_run_when_it_is_asked_for(
    project: Path,
    record: Record,
    capsys: pytest.CaptureFixture[str],
    files: dict[str, str],
    given: list[str],
    command: list[str] | None,
) -> None:
    for name, text in files.items():
        (project / name).write_text(text, "utf-8")
    code = main([*RUN, "--json", "--verify", *given])
    if command is None:
        assert code == 1
        assert one(capsys)["refused"]["code"] == "which-check"
        return
    assert code == 0
    verify = next(event for event in lines(capsys) if event["type"] == "verify")
    assert (verify["command"], verify["ok"]) == (command, True)


def test_nothing_that_is_found_is_run_unasked(
    project: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "Makefile").write_text("check:\n\ttrue\n", "utf-8")
    assert main([*RUN, "--json"]) == 0
    assert {event["type"] for event in lines(capsys)}.isdisjoint({"verify", "verifying"})
    assert main(["doctor", "--json"]) in (0, 1)
    said = {check["name"]: check for check in one(capsys)["checks"]}["verify"]
    assert "make check" in said["message"]
    assert "verify_command" in said["hint"]


def test_a_review_is_verified_again_and_shows_the_verdict_on_top(
    project: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*RUN, "--json"]) == 0
    run_id = lines(capsys)[0]["runId"]
    assert main(["review", run_id, "--verify", "echo 7 passed in 0.10s", "--json"]) == 1
    assert one(capsys)["refused"]["code"] == "untrusted"
    assert main(["review", run_id, "--verify", "echo 7 passed in 0.10s", "--trust"]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[0].startswith("✓ verified: echo 7 passed in 0.10s, ")
    assert "greet.py" in shown
    assert main(["review", run_id, "--verify", "false", "--trust", "--json"]) == 0
    assert one(capsys)["verify"]["ok"] is False
    assert main(["review", run_id, "--repair", "--trust"]) == 1, "a recording cannot be told anything"


def test_a_person_decides_while_it_is_verified(project: Path, record: Record) -> None:
    command = script("import signal; signal.pause()")
    record(*STEPS, **configured(command))
    with AtTerminal(*RUN, cwd=project) as terminal:
        terminal.expect("… verifying: ")
        terminal.expect("What shall become of it?")
        terminal.type("1\n")
        terminal.expect("It is not verified.")
        assert terminal.end() == 0
    assert (project / "greet.py").read_text("utf-8") == NEW
    assert procs.gone_within(running(command)) == set()


def test_a_verdict_comes_to_the_person_who_looks(project: Path, record: Record) -> None:
    record(*STEPS, **configured(BAD))
    with AtTerminal(*RUN, cwd=project) as terminal:
        terminal.expect("What shall become of it?")
        terminal.expect("✗ verify failed: ")
        terminal.expect("it hurts")
        terminal.type("4\n")
        assert terminal.end() == 0
    assert (project / "greet.py").read_text("utf-8") == OLD


# When a process dies, and across processes


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130), (signal.SIGTERM, 130)]
)
def test_a_process_that_is_stopped_leaves_no_command_and_an_open_review(
    project: Path, record: Record, capsys: pytest.CaptureFixture[str], number: signal.Signals, code: int
) -> None:
    command = script("import signal; signal.signal(15, signal.SIG_IGN); signal.pause()")
    record(*STEPS, **configured(command))
    process = subprocess.Popen(
        [sys.executable, "-m", "kiro_lsp", *RUN, "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    stream = []
    for line in process.stdout:
        stream.append(json.loads(line))
        if stream[-1]["type"] == "complete":
            break
    while not running(command):
        assert process.poll() is None
    process.send_signal(number)
    process.stdout.read()
    assert process.wait() == code
    process.stdout.close()
    assert procs.gone_within(running(command)) == set()
    run_id = stream[0]["runId"]
    assert main(["review", run_id, "--json"]) == 0
    told = one(capsys)
    assert (told["state"], told["verify"]["ok"], told["verify"]["running"]) == ("review", None, False)
    assert main(["review", run_id, "--accept", "--json"]) == 0
    assert one(capsys)["ticked"] is True


def test_a_verification_is_cancelled_from_another_terminal(
    project: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    command = script("import signal; signal.pause()")
    record(*STEPS, **configured(command))
    process = subprocess.Popen(
        [sys.executable, "-m", "kiro_lsp", *RUN, "--json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    stream = []
    for line in process.stdout:
        stream.append(json.loads(line))
        if stream[-1]["type"] == "complete":
            assert main(["cancel", stream[-1]["runId"], "--json"]) == 0
            assert "stays open" in str(one(capsys))
    assert process.wait() == 0, "the review is pending"
    process.stdout.close()
    assert stream[-2]["type"] == "state"
    assert stream[-2]["reason"] == "stopped by terminal"
    assert procs.gone_within(running(command)) == set()


async def test_an_editor_reviews_and_decides_while_the_command_goes_on(
    provider: AnthropicServer, tmp_path: Path
) -> None:
    project, command = Project(tmp_path, provider), script(WAITS)
    config = Path(project.environ["KIRO_LSP_CONFIG"])
    config.write_text(config.read_text("utf-8") + f"[execution]\nverify_command = {json.dumps(command)}\n", "utf-8")
    async with person(project, tmp_path / "log") as editor:
        uri = (project.root / TASK_FILE).as_uri()
        started = await editor.execute("runTask", uri=uri, task="1", agent="recorded")
        run_id = started["runId"]
        pid = await alive(command)
        review = await editor.editor.request("kiro/review", {"runId": run_id})
        assert (review["state"], review["verify"]["running"]) == ("verifying", True)
        lenses = await editor.editor.request("textDocument/codeLens", {"textDocument": {"uri": uri}})
        titles = [lens["command"]["title"] for lens in lenses if lens["range"]["start"]["line"] == 2]
        assert titles[:4] == ["Review 3 files", "Accept", "Reject", "● verifying… — Stop"]
        # Another process decides on one file; the verdict is about what there was.
        review_here = project.call("review", run_id, "--reject", "--file", "docs/new.md", "--json")
        assert review_here.returncode == 0, review_here.stderr
        os.kill(pid, signal.SIGUSR1)
        while "verify" not in editor.types(run_id):
            await editor.editor.request("kiro/runs", {})
        review = await editor.editor.request("kiro/review", {"runId": run_id})
        assert (review["state"], review["verify"]["ok"], review["verify"]["outdated"]) == ("review", True, True)
        assert (await editor.execute("verifyRun", runId=run_id, verify="false"))["ok"] is True
        while editor.types(run_id).count("verify") < 2:
            await editor.editor.request("kiro/runs", {})
        review = await editor.editor.request("kiro/review", {"runId": run_id})
        assert (review["verify"]["ok"], review["verify"]["outdated"]) == (False, False)
        refused = await editor.execute("repairRun", runId=run_id)
        assert refused["refused"]["code"] == "no-agent", "a recording cannot be told anything"
        settled = await editor.execute("accept", runId=run_id)
        assert settled["ok"] is True
        assert "not verified" in settled["message"]
    nobody_left(project)


async def test_the_menu_above_a_task_offers_the_check_that_is_found(provider: AnthropicServer, tmp_path: Path) -> None:
    project = Project(tmp_path, provider)
    (project.root / "Makefile").write_text("check:\n\techo 5 passed in 0.10s\n", "utf-8")
    provider.steps = [Step(text="Nothing to do.")]
    told: list[dict[str, Any]] = []

    def heard(method: str, params: dict[str, Any]) -> None:
        if method == "kiro/runEvent":
            told.append(params["event"])

    async def choose(_message: str, titles: Sequence[str]) -> str | None:
        return next((title for title in titles if title in ("Run, then verify: make check", "Run")), None)

    editor = await Editor.start(
        [sys.executable, "-m", "kiro_lsp", "--stdio"], project.environ, tmp_path / "log", heard, choose
    )
    try:
        await editor.initialize(project.root, ("kiro/review", "kiro/runEvent"))
        uri = (project.root / TASK_FILE).as_uri()
        assert (await editor.execute("kiroLsp.pickAgent", {"uri": uri, "task": "1"}))["ok"] is True
        while not (found := [event for event in told if event["type"] == "verify"]):
            await editor.request("kiro/runs", {})
        assert (found[0]["command"], found[0]["ok"]) == (["make", "check"], True)
        assert found[0]["summary"] == "5 passed in 0.10s"
    finally:
        await editor.close()
    nobody_left(project)
