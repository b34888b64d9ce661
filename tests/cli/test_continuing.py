"""`continue`: an agent's own session in the person's terminal, in the copy; what it leaves is reviewed. Through the program."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

if sys.platform == "win32":
    pytest.skip("pseudo terminals are POSIX", allow_module_level=True)

from tests.support import procs
from tests.support.terminal import AtTerminal

TASKS = "tasks.md"
AGENT = '''\
"""An agent that speaks Claude Code's lines when it is run for one answer, and talks to a person when it is resumed."""
import json, os, signal, sys, termios, threading

SESSION = "c0ffee00-1111-4222-8333-444455556666"
if "-p" in sys.argv:
    asked = sys.stdin.read()
    open("asked.txt", "w").write(f"{sys.argv[1:]}\\n{asked}")
    if "--resume" in sys.argv and os.path.exists(os.path.expanduser("~/.local/bin/forgotten")):
        print("No conversation found with session ID", file=sys.stderr)
        sys.exit(1)
    for line in (
        {"type": "system", "subtype": "init", "session_id": SESSION},
        {"type": "assistant", "session_id": SESSION, "message": {"content": [{"type": "text", "text": "Half done."}]}},
    ):
        print(json.dumps(line), flush=True)
    open("begun.txt", "w").write("by the agent\\n")
    result = {"type": "result", "subtype": "success", "is_error": False, "session_id": SESSION, "result": "Half done."}
    print(json.dumps(result), flush=True)
    sys.exit(0)
assert sys.argv[1:] == ["--resume", SESSION], sys.argv
print("tty" if os.isatty(0) and os.isatty(1) else "no tty", os.path.exists("begun.txt"), *os.get_terminal_size())
# A thread waits for it: a handler would run at the next key when the signal comes just before `input` begins to read.
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
threading.Thread(target=lambda: (signal.sigwait({signal.SIGINT}), print("ctrl-c", flush=True)), daemon=True).start()
while (said := input("you> ")) != "bye":
    with open("said.txt", "a") as file:
        file.write(said + "\\n")
sys.exit(3)
'''


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root, config = tmp_path / "project", tmp_path / "config.toml"
    agent = Path(os.environ["HOME"]) / ".local" / "bin" / "agent"
    root.mkdir()
    (root / TASKS).write_text("- [ ] 1. Do it\n", "utf-8")
    agent.parent.mkdir(parents=True)
    agent.write_text(f"#!{sys.executable}\n{AGENT}", "utf-8")
    agent.chmod(0o755)
    config.write_text(
        f"""[agents.helper]
type = "cli"
label = "Helper"
command = "{agent}"
stream = "claude"
args = ["-p"]
resume_args = ["--resume", "{{session}}"]
billing = "subscription"
continue_command = ["agent", "--resume", "{{session}}"]
""",
        "utf-8",
    )
    config.chmod(0o600)
    monkeypatch.setenv("KIRO_LSP_CONFIG", str(config))
    monkeypatch.setenv("KIRO_LSP_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv(procs.NAME, tmp_path.name)
    return root


def program(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kiro_lsp", *arguments],
        cwd=root,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def started(root: Path) -> str:
    done = program(root, "run", TASKS, "1", "--agent", "helper", "--trust", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return str(json.loads(done.stdout.splitlines()[-1])["runId"])


def newest(root: Path) -> Any:
    return json.loads(program(root, "runs", "--json").stdout)[0]


def test_a_person_works_on_in_the_agents_session_and_what_they_leave_is_reviewed(project: Path) -> None:
    first = started(project)
    with AtTerminal("continue", first, "--trust", cwd=project) as terminal:
        terminal.expect("tty True 120 40")
        terminal.expect("you> ")
        terminal.type("hello\n")
        terminal.expect("you> ")
        terminal.type("\x03")
        terminal.expect("ctrl-c")
        terminal.type("bye\n")
        terminal.expect("It ended with exit code 3.")  # the words before it may be wrapped
        terminal.expect("What shall become of it?")
        terminal.type("a\n")
        terminal.end()
    assert (project / "said.txt").read_text("utf-8") == "hello\n"
    assert (project / "begun.txt").read_text("utf-8") == "by the agent\n"
    assert (project / TASKS).read_text("utf-8") == "- [x] 1. Do it\n"
    record = newest(project)
    assert (record["continues"], record["state"]) == (first, "applied")
    assert not procs.gone_within(procs.marked(os.environ[procs.NAME]))


def test_a_terminal_that_goes_away_ends_the_program_and_keeps_what_was_done_there(project: Path) -> None:
    first = started(project)
    with AtTerminal("continue", first, "--trust", cwd=project) as terminal:
        terminal.expect("you> ")
        terminal.type("kept\n")
        terminal.expect("you> ")
        terminal.process.send_signal(signal.SIGHUP)
        terminal.end()
    assert not procs.gone_within(procs.marked(os.environ[procs.NAME]))
    record = newest(project)
    assert (record["continues"], record["state"]) == (first, "cancelled")
    shown = json.loads(program(project, "review", record["runId"], "--json").stdout)
    assert "said.txt" in [file["path"] for file in shown["files"]]


def test_a_killed_program_ends_the_session_and_keeps_what_was_there_before(project: Path) -> None:
    first = started(project)
    with AtTerminal("continue", first, "--trust", cwd=project) as terminal:
        terminal.expect("you> ")
        terminal.type("kept?\n")
        terminal.expect("you> ")
    assert not procs.gone_within(procs.marked(os.environ[procs.NAME]))
    record = newest(project)
    assert (record["continues"], record["state"]) == (first, "interrupted")
    shown = json.loads(program(project, "review", record["runId"], "--json").stdout)
    assert "begun.txt" in [file["path"] for file in shown["files"]]
    assert not (project / "said.txt").exists()


def asked(root: Path, run: str) -> str:
    """The argument list and the text that the agent was given in a run."""
    shown = json.loads(program(root, "review", run, "--json").stdout)
    diff = next(file["diff"] for file in shown["files"] if file["path"] == "asked.txt")
    return "\n".join(line[1:] for line in diff.splitlines() if line.startswith("+") and not line.startswith("+++"))


def test_a_comment_goes_to_the_agents_own_session_and_says_only_what_is_new(project: Path) -> None:
    first = started(project)
    assert "Do it" in asked(project, first)
    done = program(project, "review", first, "--comment", "Shorter.", "--trust", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told = asked(project, newest(project)["runId"])
    assert told.startswith("['-p', '--resume', 'c0ffee00-1111-4222-8333-444455556666']")
    assert "You have worked on this before.\n\nIt came to its end;" in told
    assert "- asked.txt\n- begun.txt" in told
    assert "says of these changes:\nShorter." in told
    assert "Do it" not in told
    assert "<transcript>" not in told


def test_an_agent_whose_session_is_gone_is_told_all_of_it(project: Path) -> None:
    first = started(project)
    (Path(os.environ["HOME"]) / ".local" / "bin" / "forgotten").write_text("", "utf-8")
    done = program(project, "retry", first, "--trust", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told = asked(project, newest(project)["runId"])
    assert told.startswith("['-p']")
    for part in ("Do it", "<transcript>\nHalf done.", "- begun.txt"):
        assert part in told


def test_without_a_terminal_or_a_session_it_says_what_to_do_instead(project: Path) -> None:
    first = started(project)
    done = program(project, "continue", first)
    assert done.returncode == 2
    assert "review RUN --comment" in done.stderr
    config = Path(os.environ["KIRO_LSP_CONFIG"])
    config.write_text("".join(line for line in config.open() if "continue_command" not in line), "utf-8")
    with AtTerminal("continue", first, "--trust", cwd=project) as terminal:
        terminal.expect("Helper by cli has no session that a terminal can open")
        assert terminal.end() == 1


def test_at_a_terminal_a_review_can_be_answered_with_what_shall_be_different(project: Path) -> None:
    first = started(project)
    with AtTerminal("review", first, cwd=project) as terminal:
        terminal.expect("say what shall be different")
        terminal.type("say\n")
        terminal.expect("What shall be different?")
        terminal.type("Shorter.\n")
        terminal.expect("Run “Do it” with Helper?")
        terminal.expect("Cancel")
        terminal.type("run\n")
        terminal.expect("2 files to review")
        terminal.type("later\n")
        assert terminal.end() == 0
    second = newest(project)
    assert (second["continues"], second["state"]) == (first, "review")
    assert "Shorter." in asked(project, second["runId"])
