"""`kiro-lsp mcp` and the SDK's own client: what an agent sees, what it may ask for, and that it decides nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, MCPError, StdioServerParameters

from tests.support import procs
from tests.support.anthropic_server import AnthropicServer, Step
from tests.support.program import AFTER, BEFORE, TASK_FILE, TASKS, Project, nobody_left
from tests.support.tree import differences, snapshot

if sys.platform == "win32":
    pytest.skip("the server speaks over pipes", allow_module_level=True)

RUN = {"path": TASK_FILE, "task": "1", "agent": "recorded"}


@asynccontextmanager
async def client(project: Project, mode: str = "auto") -> AsyncIterator[Client]:
    started = StdioServerParameters(
        command=sys.executable, args=["-m", "kiro_lsp", "mcp"], env=project.environ, cwd=project.root
    )
    async with Client(started, mode=mode, read_timeout_seconds=60) as connected:
        yield connected


async def called(connected: Client, name: str, **arguments: Any) -> Any:
    """A tool's answer as data; it is an error of the test when the tool refuses."""
    result = await connected.call_tool(name, arguments)
    assert not result.is_error, result.content
    return result.structured_content or result.content[0].text  # type: ignore[union-attr]


async def refused(connected: Client, name: str, **arguments: Any) -> str:
    result = await connected.call_tool(name, arguments)
    assert result.is_error, result
    return str(result.content[0].text)  # type: ignore[union-attr]


async def program(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(project.call, *arguments)


async def trusted(project: Project) -> None:
    shown = json.loads((await program(project, "trust", "--show", "--json")).stdout)
    assert (await program(project, "trust", "--yes", shown["digest"])).returncode == 0


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_an_agent_sees_tasks_prompts_and_documents(project: Project, mode: str) -> None:
    before = snapshot(project.root)
    async with client(project, mode) as connected:
        assert connected.instructions is not None
        assert "decided by the\nperson" in connected.instructions
        listed = await called(connected, "list_tasks")
        assert [(file["path"], len(file["tasks"])) for file in listed["files"]] == [(TASK_FILE, 2)]
        task = await called(connected, "get_task", path=TASK_FILE, task="2")
        assert (task["task"]["title"], task["runnable"], task["run"]) == ("Say goodbye", True, None)
        printed = await program(project, "prompt", TASK_FILE, "1")
        assert await called(connected, "get_prompt", path=TASK_FILE, task="1") == printed.stdout
        prompt = await connected.get_prompt("implement-task", {"path": TASK_FILE, "task": "1"})
        assert prompt.messages[0].content.text == printed.stdout  # type: ignore[union-attr]
        (resource,) = (await connected.list_resources()).resources
        read = await connected.read_resource(str(resource.uri))
        assert read.contents[0].text == TASKS  # type: ignore[union-attr]
        known = {agent["name"] for agent in (await called(connected, "list_agents"))["agents"]}
        assert "recorded" in known
    assert not differences(before, snapshot(project.root))


REFUSED: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("get_task", {"path": TASK_FILE}, "task is missing"),
    ("get_task", {"path": TASK_FILE, "task": 1}, "task must be a text"),
    ("get_task", {"path": TASK_FILE, "task": "9"}, "9"),
    ("get_task", {"path": "../outside.md", "task": "1"}, "leaves the project"),
    ("list_tasks", {"path": "gone.md"}, "gone.md"),
    ("list_tasks", {"folder": "."}, "there is no argument 'folder'"),
    ("run_task", {**RUN, "waitSeconds": 10**6}, "waitSeconds must be a whole number from 0 to 600"),
    ("run_status", {"run": "20200101"}, "There is no run"),
    ("run_task", RUN, "is not trusted"),
    *(
        (name, {"run": "x"}, "There is no tool")
        for name in ("accept", "reject", "answer", "undo", "set_status", "trust")
    ),
)


async def test_what_cannot_be_done_is_refused_in_words_and_only_specs_are_read_out(project: Project) -> None:
    (project.root / ".env").write_text("KEY=1\n", "utf-8")
    async with client(project) as connected:
        for name, arguments, says in REFUSED:
            assert says in await refused(connected, name, **arguments)
        for path in ("greeter.py", ".env", "../outside", "%2e%2e/outside"):
            with pytest.raises(MCPError):
                await connected.read_resource(f"kiro-lsp:///{path}")
        assert (await called(connected, "list_runs"))["runs"] == []


async def test_a_run_waits_for_the_person_and_ends_in_a_review_that_only_they_accept(project: Project) -> None:
    await trusted(project)
    before = snapshot(project.root)
    said: list[str] = []

    async def progressed(_done: float, _total: float | None, message: str | None) -> None:
        said.append(message or "")

    async with client(project) as connected:
        started = await called(connected, "run_task", **RUN, waitSeconds=60)
        run_id = started["runId"]
        assert (started["state"], started["agent"]) == ("waiting", "recorded")
        assert "Only the person can answer this" in started["next"]
        request = started["next"].partition(f"kiro-lsp answer {run_id} ")[2].split()[0]
        assert (await program(project, "answer", run_id, request, "run")).returncode == 0
        state = started
        while state["state"] in ("waiting", "queued", "running"):
            state = await called(connected, "run_status", run=run_id)
        assert (state["state"], state["summary"], state["files"]) == ("review", "Polite now.", 3)
        assert f"kiro-lsp review {run_id}" in state["next"]
        assert "+print('Good day')" in await called(connected, "run_diff", run=run_id)
        assert not differences(before, snapshot(project.root)), "not even the box is ticked"
        again = await connected.call_tool(
            "run_task", {**RUN, "task": "2", "waitSeconds": 60}, progress_callback=progressed
        )
        assert again.structured_content["state"] == "review", "who said yes once for this project is not asked again"
        assert "starting" in said
        assert [run["runId"] for run in (await called(connected, "list_runs"))["runs"]][1] == run_id
    assert (await program(project, "review", run_id, "--accept")).returncode == 0
    assert project.tree() == AFTER


async def test_runs_of_other_projects_are_not_shown_or_touched(project: Project, tmp_path: Path) -> None:
    assert (await asyncio.to_thread(project.start, "recorded")).returncode == 0
    run_id = project.run_record()["runId"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "tasks.md").write_text(TASKS, "utf-8")
    project.root = tmp_path / "other"
    async with client(project) as connected:
        assert (await called(connected, "list_runs"))["runs"] == []
        for name in ("run_status", "run_diff", "cancel_run"):
            assert "belongs to another project" in await refused(connected, name, run=run_id)


async def test_no_run_starts_whose_change_nobody_would_review(project: Project) -> None:
    path = Path(project.environ["KIRO_LSP_CONFIG"])
    path.write_text(path.read_text("utf-8") + "\n[safety]\nreview_changes = false\n", "utf-8")
    await trusted(project)
    async with client(project) as connected:
        assert "without a review" in await refused(connected, "run_task", **RUN)
        assert (await called(connected, "list_runs"))["runs"] == []
    assert project.tree() == BEFORE


async def test_a_note_of_the_agent_is_marked_as_not_the_persons(project: Project, provider: AnthropicServer) -> None:
    provider.steps = [Step(text="Done.")]
    await trusted(project)
    async with client(project) as connected:
        started = await called(
            connected, "run_task", path=TASK_FILE, task="1", agent="claude", note="accept it all", waitSeconds=60
        )
        request = started["next"].partition(f"kiro-lsp answer {started['runId']} ")[2].split()[0]
        await program(project, "answer", started["runId"], request, "run")
        while (await called(connected, "run_status", run=started["runId"]))["state"] != "review":
            await asyncio.sleep(0)
    sent = json.dumps(provider.requests[0]["messages"])
    assert "(from the program that asked for this run, not from the person) accept it all" in sent


async def test_a_run_ends_with_the_server_and_can_be_cancelled_in_it(
    project: Project, provider: AnthropicServer
) -> None:
    provider.steps = [Step(text="Thinking for long.", hold=True)]
    await trusted(project)
    arguments = {"path": TASK_FILE, "agent": "claude", "waitSeconds": 60}
    async with client(project) as connected:
        first = await called(connected, "run_task", task="1", **arguments)
        request = first["next"].partition(f"kiro-lsp answer {first['runId']} ")[2].split()[0]
        await program(project, "answer", first["runId"], request, "run")
        assert await asyncio.to_thread(provider.holding.wait, 60)
        assert "kept" in (await called(connected, "cancel_run", run=first["runId"]))["message"]
        while (await called(connected, "run_status", run=first["runId"]))["state"] == "running":
            await asyncio.sleep(0)
        second = await called(connected, "run_task", task="2", **{**arguments, "waitSeconds": 0})
    states = {run["runId"]: run["state"] for run in json.loads((await program(project, "runs", "--json")).stdout)}
    assert states == {first["runId"]: "cancelled", second["runId"]: "interrupted"}
    assert project.tree() == BEFORE
    nobody_left(project)


def test_noise_is_survived_and_a_signal_ends_it(project: Project) -> None:
    argv = [sys.executable, "-m", "kiro_lsp", "mcp"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(argv, cwd=project.root, env=project.environ, **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        for line in (
            b"not json",
            b"\xff\xfe",
            b"[]",
            b"{}",
            json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}).encode(),
        ):
            process.stdin.write(line + b"\n")
        process.stdin.flush()
        answers = (json.loads(line) for line in process.stdout)
        answer = next(each for each in answers if each.get("id") == 1)
        assert answer["result"]["serverInfo"]["name"] == "kiro-lsp"
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(20) is not None
    assert not procs.gone_within(procs.marked(project.mark))
