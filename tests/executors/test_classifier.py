"""What kind of work a task is, asked of a model of every provider: one request, data as the answer, nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kiro_lsp import events
from kiro_lsp.errors import ExecutorError
from kiro_lsp.executors import classifier, registry
from kiro_lsp.executors.protocol import AgentInfo
from kiro_lsp.executors.worker import WorkerPool
from kiro_lsp.settings import LoadedSettings, Sources, load_settings
from kiro_lsp.spec import tasks
from kiro_lsp.spec.model import Task
from kiro_lsp.spec.selection import Analysis
from tests.executors.contract import EDIT, KEY, Provider, each
from tests.support.claude import CountingRun
from tests.support.provider_server import Fault, Step

TASK = tasks.parse("- [ ] 1. Zzyzx the frobnicator\n  - quickly\n").tasks[0]
ANSWER = {"type": "refactor", "complexity": "high", "requires_reasoning": True, "has_tests": False}
SAID = Step(text=json.dumps(ANSWER))


def loaded_for(provider: Provider, url: str) -> LoadedSettings:
    agent = provider.agent
    more = f"api = '{agent.api}'\n" if agent.api else ""
    toml = f"[agents.{agent.name}]\nenabled = true\nmodel = '{agent.model}'\n{more}"
    return load_settings(Sources(user_toml=toml, environ=provider.environ(url)), trusted=True)


async def ask(
    provider: Provider, root: Path, pool: WorkerPool, url: str, *, task: Task = TASK, seconds: float = 60.0
) -> tuple[CountingRun, Analysis]:
    loaded = loaded_for(provider, url)
    agent = _agent(provider, loaded)
    environ = registry.environ_of(
        registry.settings_for(agent.name, loaded.settings), provider.environ(url), loaded.secrets
    )
    run = CountingRun(root)
    found = await classifier.classified(
        task, agent, loaded.settings, run, environ=environ, workers=pool, seconds=seconds
    )
    return run, found


def _agent(provider: Provider, loaded: LoadedSettings) -> AgentInfo:
    return registry.named(registry.agents(loaded.settings, loaded.secrets), provider.agent.name)


@each()
@pytest.mark.asyncio(loop_scope="module")
async def test_every_provider_is_asked_for_data_and_offered_no_tool(
    provider: Provider, root: Path, pool: WorkerPool
) -> None:
    with provider.server([SAID]) as server:
        run, found = await ask(provider, root, pool, server.url)
    (request,) = server.requests
    sent = json.dumps(request)
    assert found == Analysis(
        "refactor", "complex", True, False, classifier.CONFIDENCE, (f"{provider.agent.model} says so",)
    )
    assert "requires_reasoning" in sent
    assert '"additionalProperties": false' in sent
    assert "Zzyzx the frobnicator" in sent
    assert "NUMBER = 1" not in sent
    assert not request.get("tools")
    assert KEY not in sent
    ((reserved, used),) = run.requests
    assert used is not None
    assert used.output_tokens == 20
    assert reserved.input_tokens >= used.input_tokens
    assert reserved.output_tokens <= 4096
    assert [event for event in run.events if isinstance(event, events.Chunk | events.Tool)] == []


@each(lambda provider: provider.name == "anthropic")
@pytest.mark.parametrize(
    ("steps", "faults", "error"),
    [
        ([Step(text="It is a refactoring, I think.")], [], ValueError),
        ([Step(text='{"type": "poetry", "complexity": "low"}')], [], ValueError),
        ([Step(text=json.dumps({**ANSWER, "has_tests": "yes"}))], [], ValueError),
        ([Step(text="{" * 5000)], [], ValueError),
        ([Step(text="", stop="refusal")], [], ExecutorError),
        ([Step(tools=[EDIT])] * 9, [], (ValueError, ExecutorError)),
        ([SAID], [Fault(status=401)], ExecutorError),
        ([SAID], [Fault(status=500, stall=True)], TimeoutError),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_an_answer_that_is_none_is_a_failure_and_changes_nothing(
    provider: Provider, root: Path, pool: WorkerPool, steps: list[Step], faults: list[Fault], error: type[Exception]
) -> None:
    with provider.server(steps, faults) as server, pytest.raises(error):
        await ask(provider, root, pool, server.url, seconds=1.0 if error is TimeoutError else 60.0)
    assert (root / "src" / "number.py").read_text("utf-8") == "NUMBER = 1\n"


@pytest.mark.parametrize(
    "answer", [json.dumps(ANSWER), f"```json\n{json.dumps(ANSWER, indent=2)}\n```", f"Here: {json.dumps(ANSWER)} ."]
)
def test_data_is_found_where_a_model_wraps_it(answer: str) -> None:
    assert classifier.read(answer, "m").kind == "refactor"


def test_a_long_task_is_cut_and_what_nobody_sees_is_left_out() -> None:
    asked = classifier.question(replace(TASK, body="x" * 100_000, title="Fix\u202e it\U000e0041"))
    assert len(asked) < 12_000
    assert "\u202e" not in asked
    assert "\U000e0041" not in asked
