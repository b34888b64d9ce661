"""Who does a run when nobody was named: a model may be asked, history counts, a retry keeps or strengthens. Through `main`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kiro_lsp.cli import main
from kiro_lsp.executors import classifier
from tests.support import planted
from tests.support.anthropic_server import AnthropicServer, Fault, Step

TASKS = ".kiro/specs/greet/tasks.md"
CHEAP, USUAL, STRONG = "claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5"
HARD = {"type": "refactor", "complexity": "high", "requires_reasoning": True, "has_tests": False}
SAYS = Step(text=json.dumps(HARD))


class Spec:
    """A project with one task, Claude at a local server, and the person's own configuration."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.config, self._patch = folder / "project", folder / "config.toml", monkeypatch
        (self.root / TASKS).parent.mkdir(parents=True)
        self.tasks("- [ ] 1. Create the greeter\n")
        monkeypatch.chdir(self.root)
        monkeypatch.setenv("KIRO_LSP_CONFIG", str(self.config))
        monkeypatch.setenv("ANTHROPIC_API_KEY", planted.KEYS["anthropic"])

    def tasks(self, text: str) -> None:
        (self.root / TASKS).write_text(text, "utf-8")

    def configure(self, toml: str) -> None:
        self.config.write_text(toml, "utf-8")
        self.config.chmod(0o600)

    def at(self, server: AnthropicServer) -> None:
        self._patch.setenv("ANTHROPIC_BASE_URL", server.url)


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spec:
    return Spec(tmp_path, monkeypatch)


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer than a person would wait."""
    monkeypatch.setattr(classifier, "SECONDS", 300.0)


@pytest.fixture
def server(spec: Spec) -> Iterator[AnthropicServer]:
    with AnthropicServer([SAYS]) as found:
        spec.at(found)
        yield found


def events(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> list[Any]:
    capsys.readouterr()
    assert main([*arguments, "--json"]) == code
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def started(stream: list[Any]) -> Any:
    return next(event for event in stream if event["type"] == "start")


def models(server: AnthropicServer) -> list[str]:
    return [request["model"] for request in server.requests]


def test_a_model_is_asked_first_and_its_answer_decides_and_is_charged(
    spec: Spec, server: AnthropicServer, capsys: pytest.CaptureFixture[str]
) -> None:
    spec.configure(f"[routing]\nclassifier_model = '{CHEAP}'\n")
    stream = events(capsys, "run", TASKS, "1", "--trust")
    assert models(server) == [CHEAP, STRONG]
    start = started(stream)
    assert (start["model"], start["way"]) == (STRONG, "api")
    assert f"complex refactor: {CHEAP} says so" in start["reason"]
    usages = [event for event in stream if event["type"] == "usage"]
    assert len(usages) == 2
    assert 0 < float(usages[0]["cost"]) < float(usages[1]["cost"])
    assert stream.index(usages[0]) < stream.index(start)
    text = "".join(event["text"] for event in stream if event["type"] == "chunk")
    assert text == SAYS.text, "what the classifier says is no work on the task"
    events(capsys, "run", TASKS, "1", "--trust", "--agent", "claude")
    assert models(server)[2:] == [USUAL], "who names an agent has chosen"


@pytest.mark.parametrize(
    ("model", "faults", "answer", "why"),
    [
        ("gemini-3.5-flash-lite", (), SAYS, "cannot be asked"),
        ("nobody/knows-this", (), SAYS, "no agent has such a model"),
        (CHEAP, (Fault(401, times=1),), SAYS, "did not help"),
        (CHEAP, (), Step(text="A poem."), "did not help"),
    ],
)
def test_the_rules_decide_where_no_model_helps(
    spec: Spec, capsys: pytest.CaptureFixture[str], model: str, faults: tuple[Fault, ...], answer: Step, why: str
) -> None:
    spec.configure(f"[routing]\nclassifier_model = '{model}'\n[kiro.cost]\nprefer_cheap_for_simple_tasks = false\n")
    with AnthropicServer([answer], faults) as server:
        spec.at(server)
        start = started(events(capsys, "run", TASKS, "1", "--trust"))
    assert start["model"] == USUAL
    assert "title says 'Create'" in start["reason"]
    assert why in start["reason"]


def test_a_model_is_run_by_the_agent_that_has_it(
    spec: Spec, server: AnthropicServer, capsys: pytest.CaptureFixture[str]
) -> None:
    (refused,) = events(capsys, "run", TASKS, "1", "--trust", "--model", "gpt-6-luna", code=1)
    assert refused["refused"]["code"] == "no-agent"
    assert "a model of Codex, which is not available" in refused["refused"]["message"]
    spec.configure("[kiro]\ndefault_agent = 'recorded'\n")
    start = started(events(capsys, "run", TASKS, "1", "--trust", "--model", "claude-opus-4-8"))
    assert (start["agent"], start["model"], start["reason"]) == (
        "claude",
        "claude-opus-4-8",
        "you chose claude-opus-4-8",
    )


def test_a_retry_keeps_the_model_of_its_run(
    spec: Spec, server: AnthropicServer, capsys: pytest.CaptureFixture[str]
) -> None:
    first = events(capsys, "run", TASKS, "1", "--trust", "--model", "claude-opus-4-8")
    again = started(events(capsys, "retry", first[0]["runId"], "--trust"))
    assert (again["agent"], again["model"]) == ("claude", "claude-opus-4-8")
    assert first[0]["runId"] in again["reason"]
    assert models(server) == ["claude-opus-4-8"] * 2


@pytest.mark.parametrize(
    ("configured", "model", "said"),
    [
        (STRONG, STRONG, "routing.retry_model"),
        (f"claude/{STRONG}", STRONG, "routing.retry_model"),
        ("gpt-6.1-sol", CHEAP, "cannot be had"),
    ],
)
def test_a_retry_takes_the_stronger_model_if_it_can_be_had(
    spec: Spec, server: AnthropicServer, capsys: pytest.CaptureFixture[str], configured: str, model: str, said: str
) -> None:
    spec.configure(f"[routing]\nretry_model = '{configured}'\n")
    first = events(capsys, "run", TASKS, "1", "--trust")
    assert started(first)["model"] == CHEAP
    again = started(events(capsys, "retry", first[0]["runId"], "--trust"))
    assert again["model"] == model
    assert said in again["reason"]


def test_a_task_whose_work_was_rejected_goes_a_step_up(
    spec: Spec, server: AnthropicServer, capsys: pytest.CaptureFixture[str]
) -> None:
    first = events(capsys, "run", TASKS, "1", "--trust")
    assert started(first)["model"] == CHEAP
    events(capsys, "review", first[0]["runId"], "--reject")
    capsys.readouterr()
    assert main(["agents", "--explain", TASKS, "1"]) == 0
    assert "a step up, because the last run with Claude failed" in capsys.readouterr().out
    second = started(events(capsys, "run", TASKS, "1", "--trust"))
    assert second["model"] == USUAL
    assert "a step up" in second["reason"]


def test_explain_says_that_a_model_would_be_asked_and_asks_none(
    spec: Spec, server: AnthropicServer, capsys: pytest.CaptureFixture[str]
) -> None:
    spec.configure(f"[routing]\nclassifier_model = '{CHEAP}'\n")
    (told,) = events(capsys, "agents", "--explain", TASKS, "1")
    assert (told["asksFirst"], told["agent"], told["model"]) == (CHEAP, "claude", CHEAP)
    spec.tasks("- [ ] 1. Create the greeter <!-- agent: claude -->\n")
    (told,) = events(capsys, "agents", "--explain", TASKS, "1")
    assert told["asksFirst"] is None
    assert server.requests == []
