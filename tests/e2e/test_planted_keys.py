"""Keys of twelve shapes, known from the environment and the `.env` or found by their shape, reach neither the provider nor
anything that is shown, told or kept, whoever brings them up: the model, a file, a command, the provider's own errors.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_main_flow import until
from tests.e2e.test_processes import click, person
from tests.support import planted
from tests.support.anthropic_server import AnthropicServer, Fault, Step
from tests.support.program import Project

NOTES = "planted-notes.txt"
SHOWN = "\n".join(planted.shown(shape) for shape in planted.KEYS)
RAW = "\n".join(planted.KEYS.values())
PRINTS = [sys.executable, "-c", f"import os; print(os.environ); print(open({NOTES!r}).read())"]
UNKNOWN = frozenset({"aws", "base64", "json", "url encoded"})
"""Shapes that nobody can tell from other text who does not know the key."""


def steps(notes: str) -> list[Step]:
    """A model that looks everywhere and says everything, in pieces that split every key."""
    said = f"I found this:\n{notes}\n"
    looks = [("read_file", {"path": NOTES}), ("search", {"pattern": "QZ7"}), ("run_command", {"argv": PRINTS})]
    return [
        Step(text=said, thinking=said, tools=looks, pieces=15),
        Step(text=said, tools=[("write_file", {"path": "made.txt", "content": "made\n"})], pieces=17),
        Step(text=said, pieces=23),
    ]


@pytest.fixture
def knows(project: Project) -> Project:
    """Every key is one of the environment, but two: of a provider that is not used, and of the project's `.env`."""
    project.environ |= {"OPENAI_API_KEY": planted.KEYS["openai"]}
    del project.environ["PLANTED_BEARER"]
    dotenv = {"GEMINI_API_KEY": planted.KEYS["google"], "SERVICE_TOKEN": planted.KEYS["bearer"]}
    (project.root / ".env").write_text("".join(f"{name}={key}\n" for name, key in dotenv.items()), "utf-8")
    _lay_out(project, f"{SHOWN}\n{RAW}\n")
    return project


@pytest.fixture
def knows_not(project: Project) -> Project:
    """No key but the provider's is one of the environment."""
    for name in planted.ENVIRON:
        del project.environ[name]
    _lay_out(project, "\n".join(planted.shown(shape) for shape in planted.KEYS if shape not in UNKNOWN))
    return project


def _lay_out(project: Project, notes: str) -> None:
    (project.root / NOTES).write_text(notes, "utf-8")
    rules = project.root / ".kiro/steering/planted-rules.md"
    rules.parent.mkdir(parents=True)
    rules.write_text(f"# Rules\n\nUse these:\n{notes}\n", "utf-8")


def clean(*outputs: str) -> None:
    for output in outputs:
        assert planted.found_in(output) == set(), output[:200]


def ours(requests: Iterable[Any]) -> str:
    """What the provider was told by us; what the model said is its own."""
    texts = [request["system"] for request in requests]
    texts += [message for request in requests for message in request["messages"] if message["role"] == "user"]
    return json.dumps(texts)


@pytest.mark.parametrize("who", ["knows", "knows_not"])
def test_a_run_in_the_terminal_shows_and_sends_no_key(
    who: str, provider: AnthropicServer, request: pytest.FixtureRequest
) -> None:
    project: Project = request.getfixturevalue(who)
    notes = (project.root / NOTES).read_text("utf-8")
    provider.steps = steps(notes)
    done = project.start("claude", "--allow-command", shlex.join(PRINTS))
    assert done.returncode == 0, done.stderr
    clean(done.stdout, done.stderr, ours(provider.requests))
    events = [json.loads(line) for line in done.stdout.splitlines()]
    said = "".join(event["text"] for event in events if event["type"] == "chunk")
    assert said.count("[redacted]") >= 2 * (len(planted.KEYS) - len(UNKNOWN))
    assert "[redacted]" in ours(provider.requests)
    assert "Use these:" in ours(provider.requests)
    run_id = project.run_record()["runId"]
    for arguments in (["runs", run_id, "--json"], ["runs", run_id], ["review", run_id, "--json"], ["costs", "--json"]):
        shown = project.call(*arguments)
        clean(shown.stdout, shown.stderr)
    for arguments in (["agents", "--json"], ["doctor"], ["trust", "--show"]):
        shown = project.call(*arguments)
        clean(shown.stdout, shown.stderr)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(401, "authentication_error", f"invalid x-api-key: {RAW}"),
        Fault(400, "invalid_request_error", f"bad header {SHOWN}"),
        Fault(502, body=f"<html>{SHOWN}</html>", times=9, headers={"retry-after-ms": "1"}),
    ],
    ids=["401", "400", "502"],
)
def test_a_provider_that_gives_keys_back_in_its_errors_is_quoted_without_them(
    fault: Fault, knows: Project, provider: AnthropicServer
) -> None:
    provider.faults = [fault]
    done = knows.start("claude")
    assert done.returncode == 1
    clean(done.stdout, done.stderr)
    assert any(json.loads(line)["type"] == "error" for line in done.stdout.splitlines())
    shown = knows.call("runs", "--json")
    clean(shown.stdout, shown.stderr)


async def test_a_run_in_an_editor_tells_and_logs_no_key(
    knows: Project, provider: AnthropicServer, tmp_path: Path
) -> None:
    provider.steps = steps((knows.root / NOTES).read_text("utf-8"))
    log = tmp_path / "server.log"
    async with person(knows, log) as who:
        run_id = await click(who, knows, "claude")
        await until(lambda: _commands(who.events) or "complete" in who.types(run_id))
        for command in _commands(who.events):  # where there is no sandbox
            answered = await who.execute("answer", runId=run_id, requestId=command["requestId"], option="once")
            assert answered["ok"]
        await until(lambda: "complete" in who.types(run_id))
        clean(json.dumps(who.events, ensure_ascii=False), *who.asked)
        assert "[redacted]" in json.dumps(who.events)
    clean(log.read_text("utf-8", "replace"), ours(provider.requests))


def test_a_prompt_is_shown_as_it_is_sent(knows: Project) -> None:
    digest = json.loads(knows.call("trust", "--show", "--json").stdout)["digest"]
    assert knows.call("trust", "--yes", digest).returncode == 0
    shown = knows.call("prompt", ".kiro/specs/greeter/tasks.md", "1")
    assert shown.returncode == 0, shown.stderr
    assert "Use these:" in shown.stdout
    clean(shown.stdout, shown.stderr)


def _commands(events: Iterable[Any]) -> list[Any]:
    return [event for event in events if event["type"] == "permission" and event["kind"] == "command"]
