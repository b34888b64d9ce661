"""A run with the real Claude executor against a local provider: commands are asked for, failures say what to do."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kiro_lsp.cli import main
from tests.conftest import missing
from tests.support import planted
from tests.support.anthropic_server import AnthropicServer, Fault, Step, edits
from tests.support.unsandboxed import path_without_bubblewrap

if sys.platform == "win32":
    pytest.skip("pseudo terminals are POSIX", allow_module_level=True)

from tests.support.terminal import AtTerminal

TASKS = ".kiro/specs/greet/tasks.md"
OLD = "def greet():\n    return 'hello'\n"
ARGV = [sys.executable, "-c", "print('ran-' + 'it' * 2)"]
COMMAND = [Step(text="I check first.", tools=[("run_command", {"argv": ARGV})]), *edits("greet.py", "'hello'", "'hi'")]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    (folder / ".kiro" / "specs" / "greet").mkdir(parents=True)
    (folder / TASKS).write_text("- [ ] 1. Greet shortly\n", "utf-8")
    (folder / "greet.py").write_text(OLD, "utf-8")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def provider(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[AnthropicServer]:
    steps, faults = request.param
    with AnthropicServer(steps, faults) as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", planted.KEYS["anthropic"])
        yield server


@pytest.fixture
def unsandboxed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", path_without_bubblewrap(tmp_path))


def events_of(out: str) -> list[Any]:
    return [json.loads(line) for line in out.splitlines()]


def program(*arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kiro_lsp", *arguments],
        check=False,
        stdin=stdin,
        capture_output=True,
        text=True,
        start_new_session=True,
    )


@pytest.mark.usefixtures("unsandboxed")
@pytest.mark.parametrize("provider", [(COMMAND, ())], indirect=True)
def test_a_command_is_denied_when_nobody_can_be_asked_and_the_flag_is_named(
    project: Path, provider: AnthropicServer
) -> None:
    result = program("run", TASKS, "1", "--trust", "--accept")
    assert f"--allow-command {shlex.quote(shlex.join(ARGV))}" in result.stderr
    assert "ran-itit" not in result.stdout
    assert result.returncode == 0, "the agent went on without the command"
    assert "'hi'" in (project / "greet.py").read_text("utf-8")


@pytest.mark.usefixtures("unsandboxed")
@pytest.mark.parametrize("provider", [(COMMAND, ())], indirect=True)
def test_an_allowed_command_runs_without_a_question(project: Path, provider: AnthropicServer) -> None:
    result = program("run", TASKS, "1", "--trust", "--json", "--allow-command", shlex.join(ARGV))
    stream = events_of(result.stdout)
    assert result.returncode == 0, result.stderr
    assert "permission" not in {event["type"] for event in stream}
    assert any(event["type"] == "chunk" and "ran-itit" in event["text"] for event in stream)
    (isolation,) = [event for event in stream if event["type"] == "isolation" and event["level"] != "memory"]
    assert isolation["level"] in ("overlay", "copy")
    assert "cannot be switched off or limited without bubblewrap" in isolation["network"]


@pytest.mark.parametrize("provider", [(COMMAND, ())], indirect=True)
def test_in_a_sandbox_without_network_a_command_needs_no_question(project: Path, provider: AnthropicServer) -> None:
    result = program("run", TASKS, "1", "--trust", "--json")
    stream = events_of(result.stdout)
    isolation = [event for event in stream if event["type"] == "isolation" and event["level"] != "memory"]
    if not isolation or isolation[0]["level"] != "bubblewrap":
        missing("bubblewrap", str(isolation))
    assert [event["network"] for event in isolation] == ["none"]
    assert "permission" not in {event["type"] for event in stream}
    assert any(event["type"] == "chunk" and "ran-itit" in event["text"] for event in stream)
    assert result.returncode == 0, result.stderr


@pytest.mark.usefixtures("unsandboxed")
@pytest.mark.parametrize("provider", [(COMMAND, ())], indirect=True)
def test_with_json_the_command_is_shown_in_full_and_end_of_input_denies_it(
    project: Path, provider: AnthropicServer
) -> None:
    result = program("run", TASKS, "1", "--trust", "--json")
    stream = events_of(result.stdout)
    asked = next(event for event in stream if event["type"] == "permission")
    assert (asked["kind"], asked["detail"]["argv"]) == ("command", ARGV)
    assert {"argv", "cwd", "env", "digest"} == set(asked["detail"])
    assert [set(option) for option in asked["options"]] == [{"id", "label", "kind"}] * len(asked["options"])
    answer = next(event for event in stream if event["type"] == "answer")
    assert answer["option"] == "deny"
    assert stream[-1]["type"] == "complete"


@pytest.mark.usefixtures("unsandboxed")
@pytest.mark.parametrize("way", ["on standard input", "from elsewhere"])
@pytest.mark.parametrize("provider", [(COMMAND, ())], indirect=True)
def test_words_decline_a_command_and_reach_the_agent(project: Path, provider: AnthropicServer, way: str) -> None:
    argv = [sys.executable, "-m", "kiro_lsp", "run", TASKS, "1", "--trust", "--json"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        events = (json.loads(line) for line in running.stdout)
        asked = next(event for event in events if event["type"] == "permission")
        if way == "from elsewhere":
            answered = program("answer", asked["runId"], asked["requestId"], "--text", "use tox instead")
            assert answered.returncode == 0, answered.stderr
        else:
            running.stdin.write(json.dumps({"requestId": asked["requestId"], "text": "use tox instead"}) + "\n")
            running.stdin.flush()
        answer = next(event for event in events if event["type"] == "answer")
        assert (answer["option"], answer["text"]) == ("deny", "use tox instead")
        running.communicate()
    assert "They said: use tox instead" in json.dumps(provider.requests[1])


@pytest.mark.usefixtures("unsandboxed")
@pytest.mark.parametrize(("typed", "option"), [("1\n", "once"), ("\n", "deny")])
@pytest.mark.parametrize("provider", [(COMMAND, ())], indirect=True)
def test_at_a_terminal_the_command_is_asked_for_and_the_diff_decided_on(
    project: Path, provider: AnthropicServer, typed: str, option: str
) -> None:
    with AtTerminal("run", TASKS, "1", "--trust", cwd=project) as terminal:
        asked = terminal.expect("4. Deny")
        for argument in ARGV:
            assert repr(argument) in asked
        terminal.type(typed)
        terminal.expect(f"answered {option}")
        terminal.expect("changed: greet.py")
        terminal.expect("+    return 'hi'")
        terminal.expect("What shall become of it?")
        terminal.type("accept everything\n")
        terminal.expect("The task is ticked")
        assert terminal.end() == 0
    assert (project / TASKS).read_text("utf-8") == "- [x] 1. Greet shortly\n"


@pytest.mark.parametrize("provider", [(edits("greet.py", "'hello'", "'hi'"), ())], indirect=True)
def test_at_a_terminal_the_sheet_is_asked_once_and_a_no_changes_nothing(
    project: Path, provider: AnthropicServer
) -> None:
    with AtTerminal("run", TASKS, "1", cwd=project) as terminal:
        sheet = terminal.expect("Cancel")
        assert "Claude" in sheet
        assert "at most $" in sheet
        terminal.type("c\n")
        assert terminal.end() == 1
    assert (project / "greet.py").read_text("utf-8") == OLD
    with AtTerminal("run", TASKS, "1", cwd=project) as terminal:
        terminal.expect("Cancel")
        terminal.type("run\n")
        terminal.expect("What shall become of it?")
        terminal.type("\n")
        terminal.expect("It stays pending")
        assert terminal.end() == 0
    with AtTerminal("review", cwd=project) as terminal:
        terminal.expect("What shall become of it?")
        terminal.type("file\n")
        terminal.expect("reject this file")
        terminal.type("reject\n")
        terminal.expect("Rejected")
        assert terminal.end() == 0
    assert (project / "greet.py").read_text("utf-8") == OLD


@pytest.mark.parametrize("provider", [([], [Fault(status=401)] * 5)], indirect=True)
def test_a_rejected_key_ends_the_run_with_what_to_do(
    project: Path, provider: AnthropicServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", TASKS, "1", "--trust", "--json"]) == 1
    end = events_of(capsys.readouterr().out)[-1]
    assert (end["type"], end["kind"]) == ("error", "auth")
    assert end["hint"]
    assert "0123456789" not in json.dumps(end)


@pytest.mark.parametrize("provider", [([Step(text="ready")], ())], indirect=True)
def test_doctor_live_makes_one_call_after_its_price_was_confirmed(
    project: Path, provider: AnthropicServer, capsys: pytest.CaptureFixture[str]
) -> None:
    result = program("doctor", "--live", "claude", "--json")
    assert result.returncode == 1
    assert json.loads(result.stdout)["refused"]["code"] == "not-confirmed"
    assert "at most $" in result.stderr
    assert provider.requests == []

    assert main(["doctor", "--live", "claude", "--yes", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["ok"], answer["agent"]) == (True, "claude")
    assert float(answer["cost"]) > 0
    assert len(provider.requests) == 1
    assert str(project) not in json.dumps(provider.requests[0], default=str)
    assert main(["costs", "--by", "agent", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["key"], row["cost"]) == ("claude", answer["cost"])


@pytest.mark.parametrize("provider", [([], [Fault(status=401)] * 5)], indirect=True)
def test_doctor_live_says_what_is_wrong_with_the_key(
    project: Path, provider: AnthropicServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--live", "claude", "--yes"]) == 1
    out, err = capsys.readouterr()
    assert "key" in err.lower()
    assert "0123456789" not in out + err


def test_doctor_live_of_an_agent_without_a_key_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--live", "claude", "--yes"]) == 1
    assert "ANTHROPIC_API_KEY" in capsys.readouterr().err
    assert main(["doctor", "--live", "nobody", "--yes"]) == 1
    assert "claude" in capsys.readouterr().err


def test_keys_of_this_machine_do_not_reach_the_tests() -> None:
    assert [name for name in os.environ if name.startswith("ANTHROPIC_")] == []
