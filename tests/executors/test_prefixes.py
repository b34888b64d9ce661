"""What the tasks of a spec share goes over the wire byte for byte the same, is marked as each provider wants it, and is
counted. With the real SDKs against servers that count as the providers' pages describe their caches.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.prompt_cache import PROVIDERS, RECORDED, TASKS, Provider, Spec, answers, carry_out
from kiro_lsp.budget import cost_nano, worst_case_nano
from kiro_lsp.executors.protocol import ExecutorRequest
from kiro_lsp.executors.worker import WorkerPool
from kiro_lsp.settings import CostSettings, Settings
from kiro_lsp.spec.prompt import Prompt, PromptDocument
from tests.support import planted
from tests.support.claude import CountingRun
from tests.support.first_requests import first_requests
from tests.support.openai_server import OpenaiServer
from tests.support.prefix_cache import Beginnings, ByMarks, Counted, OneSlot, Part
from tests.support.provider_server import Fault, Step

pytestmark = pytest.mark.asyncio(loop_scope="module")
LABELS = [provider.label for provider in PROVIDERS]
REPO = Path(__file__).parents[2]
KEY = planted.KEYS["anthropic"]


def named(label: str) -> Provider:
    return next(provider for provider in PROVIDERS if provider.label.startswith(label))


def without_task(body: bytes, number: int) -> bytes:
    """A body without the text of its task, whichever way that is written as JSON."""
    shown = Spec(RECORDED / "project", TASKS, ()).prompt(number, shared=True).task
    # The boxes of the tasks before it are ticked by now.
    text = shown.replace("- [ ]", "- [x]", number) if number else shown
    written = (json.dumps(text, ensure_ascii=ascii_only)[1:-1].encode() for ascii_only in (True, False))
    (form,) = {form for form in written if body.count(form) == 1}
    return body.replace(form, b"THE TASK")


async def test_tasks_of_a_spec_differ_in_nothing_but_the_task_in_any_process(pool: WorkerPool, tmp_path: Path) -> None:
    here = await first_requests(3, pool, CostSettings(), tmp_path)
    environ = os.environ | {"PYTHONHASHSEED": "4711", "PYTHONPATH": str(REPO)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.first_requests", "1"],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    there = json.loads(done.stdout)
    assert list(here) == list(there) == LABELS
    for label, bodies in here.items():
        assert len(bodies) == 3
        assert len(set(bodies)) == 3
        assert {without_task(body, number) for number, body in enumerate(bodies)} == {without_task(bodies[0], 0)}, label
        assert there[label] == [bodies[0].decode()], label


@pytest.mark.parametrize("label", LABELS)
async def test_most_of_what_is_sent_is_read_from_the_cache_and_counted(
    label: str, pool: WorkerPool, tmp_path: Path
) -> None:
    provider = named(label)
    root = Path(shutil.copytree(RECORDED / "project", tmp_path / "project"))
    with provider.server() as server:
        found = await carry_out(provider, server, Spec(root, TASKS, answers()[:3]), CostSettings(), pool)
        history = {"contents", "input", "messages"} & server.requests[0].keys()
        (name,) = history
        for earlier, later in zip(server.requests, server.requests[1:], strict=False):
            if len(later[name]) > len(earlier[name]):  # the same conversation: it only grows
                unmarked = [_unmarked(request[name]) for request in (earlier, later)]
                assert unmarked[1][: len(unmarked[0])] == unmarked[0]
        assert found.read == sum(one.read for one in server.counted)
        assert found.tokens == sum(one.tokens for one in server.counted)
    assert found.share > 0.8
    assert found.begun_share > 0.9
    if provider.prices is not None:
        assert found.nano is not None


def _unmarked(messages: Any) -> Any:
    """Marks move on from turn to turn; they are no part of what is read."""
    if isinstance(messages, dict):
        return {name: _unmarked(value) for name, value in messages.items() if name != "cache_control"}
    return [_unmarked(each) for each in messages] if isinstance(messages, list) else messages


@pytest.mark.parametrize("label", LABELS)
async def test_without_reuse_a_task_brings_its_own_documents_behind_the_system_text(
    label: str, pool: WorkerPool, tmp_path: Path
) -> None:
    provider = named(label)
    root = Path(shutil.copytree(RECORDED / "project", tmp_path / "project"))
    with provider.server() as server:
        spec = Spec(root, TASKS, [[Step(text="Done.")]] * 3)
        await carry_out(provider, server, spec, CostSettings(reuse_context=False), pool)
        first, third = server.requests[0], server.requests[2]
    said = [json.dumps(request, ensure_ascii=False) for request in (first, third)]
    assert all("Storage" in text and "The network is touched by" in text for text in said)
    assert all("Measuring parameters" not in text for text in said), "research.md is named by none of them"
    assert "WITHOUT ROWID" not in said[0]
    assert "WITHOUT ROWID" in said[1], "the third task names data-model.md"
    assert "prompt_cache_breakpoint" not in said[0]
    system = first.get("system") or first.get("systemInstruction") or first.get("instructions") or first["messages"][:1]
    assert "The network is touched by" not in json.dumps(system)


DOCUMENTS = (PromptDocument("docs/design.md", "design", "Small steps.", 3),)
PROMPT = Prompt("You work on numbers.", DOCUMENTS, "1. Count.", (), 20, 48_000)


def asked(provider: Provider, server: Any, root: Path, prompt: Prompt, **cost: bool) -> ExecutorRequest:
    environ = {provider.address: server.url}
    if provider.agent.api_key_env is not None:
        environ[provider.agent.api_key_env] = KEY
    return ExecutorRequest(root, prompt=prompt, settings=Settings(cost=CostSettings(**cost)), environ=environ)


async def send(provider: Provider, server: Any, root: Path, pool: WorkerPool, prompt: Prompt, **cost: bool) -> Any:
    """The last request that one task makes."""
    request = asked(provider, server, root, prompt, **cost)
    await provider.executor(provider.agent, pool).execute(request, CountingRun(root))
    return server.requests[-1]


async def test_claude_has_a_mark_behind_the_system_text_one_behind_the_documents_and_two_that_move_on(
    root: Path, pool: WorkerPool
) -> None:
    claude = named("Claude")
    with claude.server() as server:
        server.steps = [Step(tools=[("list_files", {})]), Step(tools=[("list_files", {"path": "src"})])]
        request = await send(claude, server, root, pool, PROMPT)
        assert ["cache_control" in block for block in request["system"]] == [True, True]
        marked = ["cache_control" in message["content"][-1] for message in request["messages"]]
        assert marked == [False, False, True, False, True]
        assert json.dumps(request).count("cache_control") == 4
        assert "cache_control" not in json.dumps(await send(claude, server, root, pool, PROMPT, cache_prompts=False))


async def test_claude_keeps_what_tasks_share_for_an_hour_and_says_what_that_costs(root: Path, pool: WorkerPool) -> None:
    claude = named("Claude")
    long = replace(PROMPT, documents=(replace(DOCUMENTS[0], text="Small steps. " * 400),))
    with claude.server() as server:
        runs = [CountingRun(root), CountingRun(root), CountingRun(root)]
        for run, prompt in zip(runs, (long, long, replace(long, shared=False)), strict=True):
            await claude.executor(claude.agent, pool).execute(asked(claude, server, root, prompt), run)
        lasts = [[block.get("cache_control", {}).get("ttl") for block in each["system"]] for each in server.requests]
        assert lasts == [["1h", "1h"], ["1h", "1h"], [None]]
        assert "ttl" not in json.dumps(server.requests[0]["messages"])
    (first,), (second,), (third,) = ([usage for _reserved, usage in run.requests] for run in runs)
    assert first is not None
    assert second is not None
    assert third is not None
    assert 0 < first.hour_write_tokens < first.cache_write_tokens
    assert second.cached_tokens >= first.hour_write_tokens
    assert second.hour_write_tokens == third.hour_write_tokens == 0
    for run in runs:
        for reserved, used in run.requests:
            assert used is not None
            assert worst_case_nano("claude-sonnet-5-5", reserved) >= (cost_nano("claude-sonnet-5-5", used) or 0)


async def test_a_gateway_that_knows_no_hour_is_asked_without_it(root: Path, pool: WorkerPool) -> None:
    claude = named("Claude")
    with claude.server() as server:
        server.faults = [Fault(400, "invalid_request_error", "cache_control.ephemeral.ttl: Extra inputs", times=1)]
        request = await send(claude, server, root, pool, PROMPT)
        assert [block["cache_control"] for block in request["system"]] == [{"type": "ephemeral"}] * 2
        assert len(server.requests) == 2


async def test_openai_has_a_mark_behind_the_documents_and_one_key_for_a_spec(root: Path, pool: WorkerPool) -> None:
    marks, older = named("OpenAI gpt-6.1"), named("OpenAI gpt-5.5")
    with marks.server() as server:
        request = await send(marks, server, root, pool, PROMPT)
        documents, task = request["input"][0]["content"]
        assert documents == {
            "type": "input_text",
            "text": PROMPT.documents_text,
            "prompt_cache_breakpoint": {"mode": "explicit"},
        }
        assert task == {"type": "input_text", "text": "1. Count."}
        key = request["prompt_cache_key"]
        edited = replace(PROMPT, documents=(replace(DOCUMENTS[0], text="Large steps."),))
        other = replace(PROMPT, documents=(replace(DOCUMENTS[0], path="docs/plan.md"),))
        assert (await send(marks, server, root, pool, edited))["prompt_cache_key"] == key
        assert (await send(marks, server, root, pool, other))["prompt_cache_key"] != key
        off = await send(marks, server, root, pool, PROMPT, cache_prompts=False)
        assert off["prompt_cache_options"] == {"mode": "explicit"}
        assert "prompt_cache_key" not in off
        assert "prompt_cache_breakpoint" not in json.dumps(off)
    with older.server() as server:
        request = await send(older, server, root, pool, PROMPT)
        assert request["input"][0]["content"] == f"{PROMPT.documents_text}\n\n1. Count."
        assert request["prompt_cache_key"] == key
        off = await send(older, server, root, pool, PROMPT, cache_prompts=False)
        assert not [name for name in off if name.startswith("prompt_cache")]


@pytest.mark.parametrize(
    ("param", "gone"),
    [
        ("input[0].content[0].prompt_cache_breakpoint", "prompt_cache_breakpoint"),
        ("prompt_cache_key", "prompt_cache_key"),
    ],
)
async def test_a_server_that_refuses_what_is_said_about_the_cache_is_asked_without_it(
    param: str, gone: str, root: Path, pool: WorkerPool
) -> None:
    body = json.dumps({"error": {"message": f"Unknown parameter: '{param}'.", "code": "unknown", "param": param}})
    fault = Fault(400, times=1, body=body, headers={"content-type": "application/json"})
    with OpenaiServer([Step(text="Done.")], [fault]) as server:
        request = await send(named("OpenAI gpt-6.1"), server, root, pool, PROMPT)
        refused = server.requests[0]
    assert gone in json.dumps(refused)
    assert gone not in json.dumps(request)
    assert "Small steps." in json.dumps(request)


async def test_ollama_keeps_the_model_as_it_is_loaded_from_task_to_task(root: Path, pool: WorkerPool) -> None:
    ollama = named("Ollama")
    long = replace(PROMPT, task="1. Count. " + "And count on. " * 4000)
    with ollama.server() as server:
        first = await send(ollama, server, root, pool, long)
        second = await send(ollama, server, root, pool, PROMPT)
        assert first["options"]["num_ctx"] == second["options"]["num_ctx"] > 16_384
        assert server.slot.loads == 1
        assert (first["keep_alive"], second["keep_alive"]) == ("30m", "30m")
        assert "keep_alive" not in await send(ollama, server, root, pool, PROMPT, cache_prompts=False)


@pytest.mark.parametrize(
    ("listed", "context", "keeps"),
    [
        ({"models": [{"name": "local:latest", "context_length": 40_960}]}, 40_960, "30m"),
        ({"models": [{"name": "local", "context_length": 4096, "expires_at": "2318-01-01T00:00:00Z"}]}, 16_384, None),
        ({"models": [{"name": "other", "context_length": 40_960}]}, 16_384, "30m"),
        ({"models": [{"name": "local", "expires_at": "soon"}]}, 16_384, "30m"),
        ({"models": None}, 16_384, "30m"),
    ],
)
async def test_ollama_is_asked_how_it_has_loaded_the_model(
    listed: Any, context: int, keeps: str | None, root: Path, pool: WorkerPool
) -> None:
    ollama = named("Ollama")
    with ollama.server() as server:
        server.fixed["/api/ps"] = (200, listed)
        request = await send(ollama, server, root, pool, PROMPT)
    assert request["options"]["num_ctx"] == context
    assert request.get("keep_alive") == keeps


def parts(*sizes: int, marks: str = "", last: str = "") -> list[Part]:
    """Parts of so many tokens; those whose place stands in `marks` end with one, the last ends a message."""
    found = [Part(bytes([65 + place]) * 4 * size) for place, size in enumerate(sizes)]
    found = [replace(part, ends="mark") if str(place) in marks else part for place, part in enumerate(found)]
    return [*found, Part(last.encode() * 400, "message")] if last else found


@pytest.mark.parametrize(
    ("cache", "first", "second", "read"),
    [
        (ByMarks(1024, lookback=20), parts(2000, 500, marks="0"), parts(2000, 600, marks="0"), 2000),
        (ByMarks(1024, lookback=20), parts(1000, 500, marks="0"), parts(1000, 500, marks="0"), 0),
        (ByMarks(1024, lookback=20), parts(2000, 500), parts(2000, 500), 0),
        (ByMarks(1024, lookback=1), parts(2000, 1, 1, 1, marks="0"), parts(2000, 1, 1, 1, marks="3"), 0),
        (ByMarks(1024, lookback=3), parts(2000, 1, 1, 1, marks="0"), parts(2000, 1, 1, 1, marks="3"), 2000),
        (ByMarks(1024, last_message=True), parts(2000, last="x"), parts(2000, last="y"), 0),
        (ByMarks(1024, last_message=True), parts(2000, marks="0", last="x"), parts(2000, marks="0", last="y"), 2000),
        (ByMarks(1024, last_message=True), parts(2000, last="x"), parts(2000, last="x"), 2100),
        (Beginnings(1024, 128), parts(2000, last="x"), parts(2000, last="y"), 1920),
        (Beginnings(4096, 1), parts(4000, last="x"), parts(4000, last="y"), 0),
        (Beginnings(4096, 1), parts(4096, last="x"), parts(4096, last="y"), 4096),
    ],
)
async def test_the_models_of_caches_count_as_described(
    cache: ByMarks | Beginnings, first: list[Part], second: list[Part], read: int
) -> None:
    size = sum(len(part.data) for part in second) // 4
    assert cache.count(first).read == 0
    counted = cache.count(second)
    assert (counted.tokens, counted.read) == (size, read)


async def test_the_one_slot_knows_the_request_before_and_forgets_when_loaded_anew() -> None:
    slot = OneSlot()
    counts = [slot.count(parts(*sizes), context) for sizes, context in (((9, 1), 1), ((9, 3), 1), ((9,), 2), ((9,), 2))]
    assert counts == [Counted(10), Counted(12, 10), Counted(9), Counted(9, 9)]
    assert slot.loads == 2
