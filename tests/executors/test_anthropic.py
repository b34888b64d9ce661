"""Claude with the real SDK against the local server: whole conversations, and what goes over the wire."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from kiro_lsp import events
from kiro_lsp.executors.worker import WorkerPool
from kiro_lsp.settings import CostSettings, Settings
from kiro_lsp.spec.prompt import Prompt, PromptDocument
from tests.support.anthropic_server import AnthropicServer, Fault, Step, edits
from tests.support.claude import KEY, Ended, environ_for, execute
from tests.support.prefix_cache import CachingAnthropic

pytestmark = pytest.mark.asyncio(loop_scope="module")

FILE = "src/number.py"


async def play(root: Path, pool: WorkerPool, *steps: Step, **more: Any) -> tuple[Ended, AnthropicServer]:
    with AnthropicServer(steps) as server:
        return await execute(root, pool, environ_for(server), **more), server


def blocks(request: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [block for message in request["messages"] for block in message["content"] if block["type"] == kind]


async def test_thoughts_are_shown_and_sent_back_as_they_were_signed(root: Path, pool: WorkerPool) -> None:
    look = Step(thinking="I should look.", redacted="b3BhcXVl", text="", tools=[("read_file", {"path": FILE})])
    ended, server = await play(root, pool, look, Step(text="Nothing to do."))
    assert "".join(event.text for event in ended.of(events.Thought)) == "I should look."
    assert [block["type"] for block in server.requests[1]["messages"][1]["content"]] == [
        "thinking",
        "redacted_thinking",
        "tool_use",
    ]
    assert blocks(server.requests[1], "thinking") == [
        {"type": "thinking", "thinking": "I should look.", "signature": "c2lnbmVk"}
    ]
    assert blocks(server.requests[1], "redacted_thinking") == [{"type": "redacted_thinking", "data": "b3BhcXVl"}]


async def test_a_paused_turn_goes_on_where_it_stopped(root: Path, pool: WorkerPool) -> None:
    pause = Step(text="Looking further.", stop="pause_turn")
    with AnthropicServer([Step(text="Found nothing.")]) as server:
        server.first = [pause]
        ended = await execute(root, pool, environ_for(server))
    assert ended.error is None
    assert len(server.requests) == 2
    assert server.requests[1]["messages"][-1] == {
        "role": "assistant",
        "content": [{"type": "text", "text": "Looking further."}],
    }


@pytest.mark.parametrize(
    ("tool", "says"),
    [
        (("edit", '{"path": "src/number.py", "old_te'), "not valid JSON"),
        (("edit", "[1, 2]"), "object"),
        (("edit", {}), "path"),
        (("edit", {"path": "../out", "old_text": "a", "new_text": "b"}), "leaves the project"),
        (("launch_rocket", {"to": "moon"}), "There is no tool"),
        (("read_file", {"path": "missing.py"}), "missing.py"),
    ],
)
async def test_a_call_that_makes_no_sense_is_answered_with_what_is_wrong(
    root: Path, pool: WorkerPool, tool: tuple[str, Any], says: str
) -> None:
    ended, server = await play(root, pool, Step(tools=[tool]), Step(text="I give up."))
    assert ended.error is None
    assert ended.staged == {}
    result = blocks(server.requests[1], "tool_result")[0]
    assert result["is_error"] is True
    assert says in result["content"]
    assert isinstance(blocks(server.requests[1], "tool_use")[0]["input"], dict)
    assert ended.of(events.Tool)[-1].status == "failed"


def marked(request: dict[str, Any]) -> list[str]:
    """Where the cache breakpoints of a request are."""
    places = [f"system {index}" for index, block in enumerate(request["system"]) if "cache_control" in block]
    for index, message in enumerate(request["messages"]):
        last = len(message["content"]) - 1
        for place, block in enumerate(message["content"]):
            if "cache_control" in block:
                assert place == last
                places.append(f"message {index}")
    return places


async def test_each_turn_reads_the_one_before_from_the_cache(root: Path, pool: WorkerPool) -> None:
    with CachingAnthropic(steps=edits(FILE, "1", "2")) as server:
        ended = await execute(root, pool, environ_for(server))
    assert [marked(request) for request in server.requests] == [
        ["system 0", "message 0"],
        ["system 0", "message 0", "message 2"],
        ["system 0", "message 2", "message 4"],
    ]
    used = [usage for _reserved, usage in ended.run.requests if usage is not None]
    for earlier, later in itertools.pairwise(used):
        assert later.cached_tokens == earlier.cached_tokens + earlier.cache_write_tokens > 0


def spec_prompt(task: str) -> Prompt:
    documents = (PromptDocument("docs/design.md", "design", "Small steps.", 3),)
    return Prompt("You work on numbers.", documents, task, (), 20, 48_000)


async def test_what_is_sent_is_what_the_prompt_prints(root: Path, pool: WorkerPool) -> None:
    prompt = spec_prompt("1. Count.")
    _ended, server = await play(root, pool, Step(text="Done."), prompt=prompt)
    request = server.requests[0]
    texts = [block["text"] for block in request["system"]] + [
        block["text"] for message in request["messages"] for block in message["content"]
    ]
    assert "\n\n".join(texts) + "\n" == prompt.render()


async def test_without_cache_prompts_nothing_is_marked(root: Path, pool: WorkerPool) -> None:
    settings = Settings(cost=CostSettings(cache_prompts=False))
    _ended, server = await play(root, pool, *edits(FILE, "1", "2"), settings=settings)
    assert all(marked(request) == [] for request in server.requests)


async def test_only_the_configured_key_and_model_are_sent(root: Path, pool: WorkerPool) -> None:
    _ended, server = await play(root, pool, Step(text="Done."), model="claude-opus-5-5", max_tokens=321)
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert "x-api-key" not in server.headers[0]
    assert server.headers[0]["accept-encoding"] == "identity"
    assert (server.requests[0]["model"], server.requests[0]["max_tokens"]) == ("claude-opus-5-5", 321)
    assert server.paths == ["/v1/messages"]


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        ("claude-sonnet-5-5", True),
        ("claude-opus-4-6", True),
        ("anthropic/claude-opus-4.7", True),
        ("claude-fable-5", True),
        ("claude-haiku-10-1", True),
        ("claude-sonnet-4-5", False),
        ("claude-sonnet-4-20250514", False),
        ("claude-haiku-4-5-20251001", False),
        ("claude-3-7-sonnet-20250219", False),
        ("house-model", False),
    ],
)
async def test_a_model_that_keeps_its_thoughts_to_itself_is_asked_for_them(
    root: Path, pool: WorkerPool, model: str, asked: bool
) -> None:
    _ended, server = await play(root, pool, Step(text="Done."), model=model)
    assert server.requests[0].get("thinking") == ({"type": "adaptive", "display": "summarized"} if asked else None)


async def test_who_does_not_know_how_to_show_thoughts_works_without(root: Path, pool: WorkerPool) -> None:
    objection = Fault(400, "invalid_request_error", "thinking.display: Extra inputs are not permitted", times=1)
    with AnthropicServer(edits(FILE, "1", "2"), [objection]) as server:
        ended = await execute(root, pool, environ_for(server))
    assert ended.staged == {FILE: b"NUMBER = 2\n"}
    assert ["thinking" in request for request in server.requests] == [True, False, False, False]
