"""Retry, comments, notes and answers in words from an editor, by lens, code action, command and question."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import planted
from tests.support.anthropic_server import AnthropicServer, Fault, Step
from tests.support.speaking import Speaker, speaking

TASKS = "# Plan\n\n- [ ] 1. Greet shortly\n"
OURS = ["kiro/review", "kiro/runEvent", "kiro/permission", "kiro/input"]
WRITE = Step(tools=[("write_file", {"path": "notes.md", "content": "half done\n"})])
READ = Step(tools=[("read_file", {"path": "notes.md"})])
SECONDS = 60


class Desk:
    """An editor with one task, and Claude at a local server."""

    def __init__(self, speaker: Speaker, provider: AnthropicServer, uri: str) -> None:
        self.speaker, self.provider, self.uri = speaker, provider, uri

    async def command(self, name: str, **argument: Any) -> Any:
        return await self.speaker.ask("workspace/executeCommand", {"command": name, "arguments": [argument]})

    async def runs(self) -> list[Any]:
        return list(await self.speaker.ask("kiro/runs", {}))

    async def until(self, condition: Callable[[list[Any]], Any]) -> Any:
        """Wait for something about the runs."""
        async with asyncio.timeout(SECONDS):
            while not (found := condition(await self.runs())):
                await asyncio.sleep(0.01)
        return found

    async def ended(self, number: int) -> Any:
        """The newest of `number` runs, when none goes on any more."""
        live = ("queued", "running", "waiting", "verifying")
        return await self.until(lambda runs: len(runs) == number and runs[0]["state"] not in live and runs[0])

    async def lenses(self) -> dict[str, Any]:
        found = await self.speaker.ask("textDocument/codeLens", {"textDocument": {"uri": self.uri}})
        return {lens["command"]["title"]: lens["command"] for lens in found}

    async def actions(self) -> dict[str, Any]:
        place = {"start": {"line": 2, "character": 0}, "end": {"line": 2, "character": 0}}
        asked = {"textDocument": {"uri": self.uri}, "range": place, "context": {"diagnostics": []}}
        found = await self.speaker.ask("textDocument/codeAction", asked)
        return {command["title"]: command for command in found}

    async def click(self, command: Any) -> Any:
        return await self.speaker.ask(
            "workspace/executeCommand", {"command": command["command"], "arguments": command["arguments"]}
        )

    def script(self, *steps: Step, fault: int | None = None) -> None:
        """The answers of the next run; with a fault that request fails."""
        self.provider.requests.clear()
        self.provider.steps = list(steps)
        self.provider.faults = [] if fault is None else [Fault(400, message="gone", step=fault)]

    def told(self) -> str:
        return "\n".join(block["text"] for block in self.provider.requests[0]["messages"][0]["content"])


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    root = tmp_path / "project"
    root.mkdir()
    (root / "tasks.md").write_text(TASKS, "utf-8")
    with AnthropicServer() as provider:
        environ = {
            "HOME": str(tmp_path),
            "PATH": os.environ["PATH"],
            "KIRO_LSP_STATE_DIR": str(tmp_path / "state"),
            "KIRO_LSP_CONFIG": str(tmp_path / "config.toml"),
            "ANTHROPIC_API_KEY": planted.KEYS["anthropic"],
            "ANTHROPIC_BASE_URL": provider.url,
        }
        async with speaking(root, environ, initializationOptions={"kiro": OURS}) as speaker:
            speaker.answers["kiro/permission"] = {"option": "run"}
            uri = speaker.open(root / "tasks.md", TASKS)
            yield Desk(speaker, provider, uri)


async def failed(desk: Desk) -> Any:
    desk.script(WRITE, fault=1)
    await desk.command("kiroLsp.runTask", uri=desk.uri, task="1")
    record = await desk.ended(1)
    assert (record["state"], record["agent"], record["label"]) == ("failed", "claude", "Claude")
    return record


async def test_a_failed_run_offers_retry_as_lens_and_as_code_action_and_it_goes_on(desk: Desk, tmp_path: Path) -> None:
    first = await failed(desk)
    lens, action = (await desk.lenses())["Retry"], (await desk.actions())["Retry"]
    assert (lens["command"], lens["arguments"]) == ("kiroLsp.retryRun", [{"runId": first["runId"]}])
    assert (action["command"], action["arguments"]) == (lens["command"], lens["arguments"])
    desk.script(READ, Step(text="Done."))
    answer = await desk.click(lens)
    record = await desk.ended(2)
    assert (record["runId"], record["continues"]) == (answer["runId"], first["runId"])
    assert "half done" in str(desk.provider.requests[1]["messages"][-1])
    assert "Review 1 file" in await desk.lenses()
    desk.speaker.tell("textDocument/didClose", {"textDocument": {"uri": desk.uri}})
    desk.speaker.open(tmp_path / "project/tasks.md", TASKS + "".join(f"- [ ] {at}. More\n" for at in range(2, 602)))
    assert "Review 1 file" in await desk.lenses()  # also the first ones of a large file


async def test_a_fresh_retry_starts_from_zero(desk: Desk) -> None:
    first = await failed(desk)
    desk.script(Step(text="Nothing to do."))
    await desk.command("kiroLsp.retryRun", runId=first["runId"], fresh=True)
    record = await desk.ended(2)
    assert (record["continues"], record["files"]) == (None, 0)


async def test_a_comment_on_a_hunk_starts_a_run_and_the_older_review_is_superseded(desk: Desk) -> None:
    first = await failed(desk)
    review = await desk.speaker.ask("kiro/review", {"runId": first["runId"]})
    (hunk,) = review["files"][0]["hunks"]
    desk.script(READ, Step(text="Done."))
    about = {"runId": first["runId"], "path": "notes.md", "hunk": hunk["id"]}
    answer = await desk.command("kiroLsp.followUp", **about, text="Whole sentences.")
    record = await desk.ended(2)
    assert record["continues"] == first["runId"]
    assert "+half done" in desk.told()
    assert "Whole sentences." in desk.told()
    refused = await desk.command("kiroLsp.accept", runId=first["runId"])
    assert not refused["ok"]
    assert answer["runId"] in refused["message"]
    accepted = await desk.command("kiroLsp.accept", runId=answer["runId"])
    assert accepted["ok"], accepted


async def test_where_no_comment_is_given_the_editor_asks_for_it(desk: Desk) -> None:
    first = await failed(desk)
    desk.script(Step(text="Done."))
    desk.speaker.answers["kiro/input"] = {"text": "In words."}
    await desk.command("kiroLsp.followUp", runId=first["runId"])
    await desk.ended(2)
    assert desk.told().endswith("In words.\n\nChange what this asks for and leave the rest of what is there as it is.")


async def test_a_comment_that_is_refused_says_why(desk: Desk) -> None:
    first = await failed(desk)
    answer = await desk.command("kiroLsp.followUp", runId=first["runId"], path="nowhere.md", text="x")
    assert (answer["runId"], answer["refused"]["code"]) == (None, "unknown-file")


@pytest.mark.parametrize("command", ["kiroLsp.followUp", "kiroLsp.retryRun"])
async def test_a_run_that_works_is_left_alone(desk: Desk, command: str) -> None:
    desk.script(Step(text="Slowly.", hold=True))
    run = (await desk.command("kiroLsp.runTask", uri=desk.uri, task="1"))["runId"]
    await asyncio.to_thread(desk.provider.holding.wait, SECONDS)
    answer = await desk.command(command, runId=run, text="Faster.")
    assert (answer["runId"], answer["refused"]["code"]) == (None, "busy")
    desk.provider.release()
    await desk.ended(1)


async def test_a_change_that_is_still_verified_can_be_commented_on(desk: Desk, tmp_path: Path) -> None:
    waits = json.dumps([sys.executable, "-c", "import signal; signal.pause()"])
    config = tmp_path / "config.toml"
    config.write_text(f"[execution]\nverify_command = {waits}\n", "utf-8")
    config.chmod(0o600)
    desk.script(WRITE, Step(text="Done."))
    first = (await desk.command("kiroLsp.runTask", uri=desk.uri, task="1"))["runId"]
    await desk.until(lambda runs: runs[0]["state"] == "verifying")
    desk.script(READ, Step(text="Done."))
    second = (await desk.command("kiroLsp.followUp", runId=first, text="Shorter."))["runId"]
    await desk.until(lambda runs: runs[0]["runId"] == second and runs[0]["state"] == "verifying")
    assert "half done" in str(desk.provider.requests[1]["messages"][-1])


async def test_an_agent_without_a_session_cannot_be_continued_in_a_terminal_and_it_says_why(desk: Desk) -> None:
    first = await failed(desk)
    answer = await desk.command("kiroLsp.continueInTerminal", runId=first["runId"])
    assert answer["ok"] is False
    assert "Claude by api has no session that a terminal can open" in answer["message"]


async def test_a_task_can_be_run_with_a_note(desk: Desk) -> None:
    desk.speaker.answers["window/showMessageRequest"] = {"title": "Run with note…"}
    desk.speaker.answers["kiro/input"] = {"text": "in Spanish"}
    desk.script(Step(text="Hecho."))
    await desk.click((await desk.lenses())["⋯"])
    await desk.ended(1)
    asked = next(item for item in desk.speaker.requests if item["method"] == "window/showMessageRequest")
    assert {"title": "Run with note…"} in asked["params"]["actions"]
    assert desk.told().endswith("What the person who started this adds:\nin Spanish")


async def test_a_command_can_be_declined_in_words_and_the_agent_hears_them(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where the copy is a sandbox, a command without network is not asked for.
    monkeypatch.setattr("kiro_lsp.sandbox.isolation.sandboxed", lambda *_: False)
    desk.script(Step(tools=[("run_command", {"argv": ["make", "all"]})]), Step(text="Understood."))
    await desk.command("kiroLsp.runTask", uri=desk.uri, task="1")
    consent = await desk.until(lambda _runs: desk.speaker.asked.count("kiro/permission") == 1)
    assert consent
    desk.speaker.answers["kiro/permission"] = {"option": "deny", "text": "use tox instead"}
    await desk.ended(1)
    (result,) = desk.provider.requests[1]["messages"][-1]["content"]
    assert "They said: use tox instead" in str(result["content"])
    record = (await desk.runs())[0]
    told = await desk.speaker.ask("kiro/follow", {"runId": record["runId"], "since": 0})
    answers = [event for event in told["events"] if event["type"] == "answer"]
    assert answers[-1]["text"] == "use tox instead"
