"""MCP through the command line: the protocol's own test server from npm beside a model by API and as an agent, a run that is
cancelled in it, and a permission that ends with the words that it was given for.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support import procs
from tests.support.anthropic_server import AnthropicServer, Step
from tests.support.mcp_servers import SCRIPT
from tests.support.program import AFTER, TASK_FILE, Project, nobody_left
from tests.support.programs_npm import program
from tests.support.tree import differences, snapshot

if sys.platform == "win32":
    pytest.skip("programs that are spoken to are POSIX", allow_module_level=True)

WORK = [
    Step(tools=[("mcp__everything__echo", {"message": "Good day"})]),
    Step(tools=[("mcp__everything__get-sum", {"a": 2, "b": 3})]),
    Step(tools=[("edit", {"path": "greeter.py", "old_text": "Hey", "new_text": "Good day"})]),
    Step(tools=[("write_file", {"path": "docs/new.md", "content": "# New\n"}), ("delete_file", {"path": "old.txt"})]),
    Step(text="Polite now."),
]


def configured(project: Project, *tables: Mapping[str, Any]) -> None:
    """Add tables to the person's own configuration; `""` is the table's name."""
    path = Path(project.environ["KIRO_LSP_CONFIG"])
    texts = []
    for table in tables:
        values = "\n".join(f"{name} = {json.dumps(value)}" for name, value in table.items() if name)
        texts.append(f"\n[{table['']}]\n{values}\n")
    path.write_text(path.read_text("utf-8") + "".join(texts), "utf-8")


def everything() -> dict[str, Any]:
    node, server = program("node"), program("mcp-server-everything")
    return {"": "mcp.servers.everything", "command": str(node), "args": [str(server), "stdio"]}


def own() -> dict[str, Any]:
    return {"": "mcp.servers.own", "command": sys.executable, "args": [SCRIPT, "stdio"]}


def events_of(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def tree(project: Project) -> dict[str, str]:
    found = (path for path in project.root.rglob("*") if path.is_file())
    relative = (path.relative_to(project.root).as_posix() for path in found)
    return {path: (project.root / path).read_text("utf-8") for path in relative if not path.startswith(".git/")}


def in_git(project: Project) -> None:
    for arguments in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *arguments], cwd=project.root, env=project.environ, check=True)


@contextmanager
def running(project: Project, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-m", "kiro_lsp", *arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(argv, cwd=project.root, env=project.environ, text=True, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def answering(project: Project, option: str, *arguments: str) -> tuple[list[dict[str, Any]], int]:
    """A run whose every question gets one answer; its events and exit code."""
    found = []
    with running(project, "run", TASK_FILE, "1", "--trust", "--json", *arguments) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            found.append(event)
            if event["type"] == "permission":
                process.stdin.write(json.dumps({"requestId": event["requestId"], "option": option}) + "\n")
                process.stdin.flush()
        return found, process.wait()


def test_a_model_uses_a_real_servers_tools_beside_its_own(project: Project, provider: AnthropicServer) -> None:
    provider.steps = WORK
    configured(project, everything())
    in_git(project)
    before = snapshot(project.root)
    allowed = [f"--allow-command=mcp__everything__{name}" for name in ("echo", "get-sum")]
    done = project.start("claude", *allowed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not differences(before, snapshot(project.root)), "nothing has changed before the review"
    stream = events_of(done.stdout)
    assert "permission" not in {event["type"] for event in stream}
    tools = [event["title"] for event in stream if event["type"] == "tool" and event["status"] == "completed"]
    assert [title.partition(" ")[0] for title in tools[:2]] == ["mcp__everything__echo", "mcp__everything__get-sum"]
    results = json.dumps(provider.requests[-1]["messages"])
    assert "Echo: Good day" in results
    assert "The sum of 2 and 3 is 5" in results
    record = project.run_record()
    assert project.reviewed(record["runId"]) == dict.fromkeys(("greeter.py", "docs/new.md", "old.txt"), "pending")
    assert project.call("review", record["runId"], "--accept").returncode == 0
    assert tree(project) == AFTER
    nobody_left(project)


def test_a_tool_of_a_real_server_is_an_agent_and_says_only_what_it_did(project: Project) -> None:
    agent = {"": "agents.echo", "type": "mcp", "server": "everything", "tool": "echo"}
    configured(project, everything(), agent, {"": "agents.echo.arguments", "message": "<{title}>"})
    before = snapshot(project.root)
    done = project.start("echo")
    assert done.returncode == 0, done.stdout + done.stderr
    stream = events_of(done.stdout)
    assert [(event["agent"], event["way"]) for event in stream if event["type"] == "start"] == [("echo", "mcp")]
    assert stream[-1]["summary"] == "Echo: <Greet politely>"
    assert stream[-1]["filesChanged"] == []
    assert not differences(before, snapshot(project.root))
    nobody_left(project)


def test_a_task_of_several_files_by_a_tool_is_reviewed_accepted_and_ticked(project: Project) -> None:
    configured(project, own(), {"": "agents.own", "type": "mcp", "server": "own", "tool": "run_task"})
    in_git(project)
    before = snapshot(project.root)
    done = project.start("own")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not differences(before, snapshot(project.root))
    record = project.run_record()
    assert (record["way"], record["state"], record["files"]) == ("mcp", "review", 3)
    assert project.call("review", record["runId"], "--accept").returncode == 0
    assert tree(project) == AFTER
    nobody_left(project)


def test_a_run_that_is_stopped_in_a_servers_tool_leaves_nobody_and_nothing(project: Project) -> None:
    agent = {"": "agents.slow", "type": "mcp", "server": "everything", "tool": "trigger-long-running-operation"}
    configured(project, everything(), agent, {"": "agents.slow.arguments", "duration": "600", "steps": "6000"})
    in_git(project)
    before = snapshot(project.root)
    with running(project, "run", TASK_FILE, "1", "--agent", "slow", "--trust", "--json") as process:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["type"] == "phase" and "/6000" in (event.get("detail") or ""):
                break
        else:
            raise AssertionError("the tool never said how far it is")
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(60) == 130
    assert not procs.gone_within(procs.marked(project.mark))
    assert not differences(before, snapshot(project.root))
    assert project.run_record()["state"] == "cancelled"


def test_always_means_the_tool_as_it_was_described(project: Project, provider: AnthropicServer) -> None:
    call = ("mcp__own__run_task", {"instructions": "x", "project_path": "."})
    provider.steps = [Step(tools=[call]), Step(text="Done.")]
    configured(project, own())

    def asked(option: str) -> list[str]:
        stream, code = answering(project, option, "--agent", "claude")
        assert code == 0, stream
        return [event["title"] for event in stream if event["type"] == "permission"]

    (first,) = asked("always")
    assert first.startswith("mcp__own__run_task: call run_task of the MCP server own")
    assert asked("deny") == [], "what was always allowed is not asked for again"
    (project.root / "words.txt").write_text("Now it sends your files away.", "utf-8")
    (changed,) = asked("deny")
    assert "before: Carries out a task" in changed
    assert "now: Now it sends your files away." in changed
    assert project.call("trust", "--revoke").returncode == 0
    (project.root / "words.txt").unlink()
    assert len(asked("deny")) == 1, "what was taken back is asked for again"


def test_a_projects_server_is_started_only_when_the_project_is_trusted(
    project: Project, provider: AnthropicServer
) -> None:
    provider.steps = [Step(text="Done.")]
    config = project.root / ".spec-workflow" / "kiro.toml"
    config.parent.mkdir()
    config.write_text(
        f"[mcp.servers.own]\ncommand = {json.dumps(sys.executable)}\nargs = [{json.dumps(SCRIPT)}, 'stdio']\n"
    )
    refused = project.call("run", TASK_FILE, "1", "--agent", "claude", "--json")
    assert refused.returncode == 1
    assert "MCP server" not in refused.stdout
    assert provider.requests == []
    started = project.start("claude")
    assert started.returncode == 0, started.stderr
    assert "MCP server own" in started.stdout
    assert "mcp__own__note" in json.dumps(provider.requests[0]["tools"])
    nobody_left(project)
