"""Claude with the real SDK against the local server: whole conversations, and what goes over the wire."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from kiro_lsp import events
from kiro_lsp.budget import Usage
from kiro_lsp.executors.worker import WorkerPool
from kiro_lsp.settings import CostSettings, Settings
from kiro_lsp.spec.prompt import Prompt, PromptDocument
from tests.support.anthropic_server import AnthropicServer, PromptCache, Step, edits
from tests.support.claude import KEY, Ended, environ_for, execute
from tests.support.tree import snapshot

pytestmark = pytest.mark.asyncio(loop_scope="module")

FILE = "src/number.py"


async def play(root: Path, pool: WorkerPool, *steps: Step, **more: Any) -> tuple[Ended, AnthropicServer]:
    with AnthropicServer(steps) as server:
        return await execute(root, pool, environ_for(server), **more), server


def blocks(request: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [block for message in request["messages"] for block in message["content"] if block["type"] == kind]


async def test_a_task_is_carried_out_over_several_turns(root: Path, pool: WorkerPool) -> None:
    before = snapshot(root)
    ended, server = await play(root, pool, *edits(FILE, "1", "2", summary="Now it is two.\n\nAll is well."))
    assert ended.error is None
    assert ended.result is not None
    assert ended.result.success
    assert (ended.result.stop_reason, ended.result.summary) == ("end_turn", "All is well.")
    assert ended.result.changed_files == (FILE,)
    assert ended.staged == {FILE: b"NUMBER = 2\n"}
    assert snapshot(root) == before
    assert ended.text == "I read the file first.Now the edit.Now it is two.\n\nAll is well."
    tools = [(event.kind, event.path, event.status) for event in ended.of(events.Tool)]
    assert tools == [
        ("read", FILE, "in_progress"),
        ("read", FILE, "completed"),
        ("edit", FILE, "in_progress"),
        ("edit", FILE, "completed"),
    ]
    assert len(server.requests) == 3
    calls = blocks(server.requests[2], "tool_use")
    results = blocks(server.requests[2], "tool_result")
    assert [block["id"] for block in calls] == [block["tool_use_id"] for block in results]
    assert "NUMBER = 1" in results[0]["content"]
    assert not any("is_error" in block for block in results)


async def test_the_tools_of_one_turn_are_carried_out_in_order_and_answered_together(
    root: Path, pool: WorkerPool
) -> None:
    step = Step(
        tools=[
            ("write_file", {"path": "a.txt", "content": "one\n"}),
            ("edit", {"path": "a.txt", "old_text": "one", "new_text": "two"}),
            ("read_file", {"path": "a.txt"}),
        ]
    )
    ended, server = await play(root, pool, step, Step(text="Done."))
    assert ended.staged == {"a.txt": b"two\n"}
    results = blocks(server.requests[1], "tool_result")
    assert len(results) == 3
    assert "two" in results[2]["content"]
    assert [message["role"] for message in server.requests[1]["messages"]] == ["user", "assistant", "user"]


@pytest.mark.parametrize(("pieces", "write_size"), [(1, None), (3, 1), (5, 7), (1000, 64)])
async def test_a_stream_may_be_split_anywhere(
    root: Path, pool: WorkerPool, pieces: int, write_size: int | None
) -> None:
    text = 'naïve 🦊 “quotes” \\ \u2028 "'
    split = {"pieces": pieces, "write_size": write_size}
    write = Step(text=text, tools=[("write_file", {"path": "ü.txt", "content": text})], **split)  # type: ignore[arg-type]
    ended, _server = await play(root, pool, write, Step(text=text, **split))  # type: ignore[arg-type]
    assert ended.error is None
    assert ended.staged == {"ü.txt": text.encode()}
    assert ended.text == text * 2


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
    with AnthropicServer([pause]) as server:
        # The step does not advance without a tool call, so the second answer is put in place by the first request.
        class Once(list[Step]):
            def __getitem__(self, index: Any) -> Any:
                return pause if len(server.requests) == 1 else Step(text="Found nothing.")

        server.steps = Once([pause])
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


async def test_usage_counts_cache_reads_and_writes_into_the_input(root: Path, pool: WorkerPool) -> None:
    used = {"input_tokens": 10, "cache_read_input_tokens": 300, "cache_creation_input_tokens": 40, "output_tokens": 7}
    ended, _server = await play(root, pool, Step(text="Done.", usage=used))
    assert ended.result is not None
    assert ended.result.usage == Usage(350, 7, 300, 40)
    assert ended.run.requests[0][1] == Usage(350, 7, 300, 40)


async def test_usage_that_is_missing_or_nonsense_is_charged_as_reserved(root: Path, pool: WorkerPool) -> None:
    nonsense = {"input_tokens": -5, "cache_read_input_tokens": True, "output_tokens": "many"}
    ended, _server = await play(root, pool, Step(text="Done.", usage=nonsense))  # type: ignore[arg-type]
    ((reserved, used),) = ended.run.requests
    assert used is None
    assert ended.run.usage == reserved


async def test_every_request_reserves_at_least_what_it_can_cost(root: Path, pool: WorkerPool) -> None:
    """One token for every byte of what others wrote is the finest that any tokenizer cuts."""
    (root / "dense.txt").write_text("ༀ⁂🂡" * 3000, "utf-8")
    steps = [Step(tools=[("read_file", {"path": "dense.txt"})]), *edits(FILE, "1", "2")[1:]]
    ended, server = await play(root, pool, *steps)
    assert len(ended.run.requests) == 3
    counted = 0
    for request, (reserved, used) in zip(server.requests, ended.run.requests, strict=True):
        assert used is not None
        foreign = sum(len(json.dumps(message, ensure_ascii=False).encode()) for message in request["messages"][-1:])
        assert reserved.input_tokens >= counted + foreign
        assert reserved.output_tokens == request["max_tokens"] == 4096
        counted = used.input_tokens + used.output_tokens


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
    with AnthropicServer(edits(FILE, "1", "2")) as server:
        server.cache = PromptCache()
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


async def test_two_tasks_of_a_spec_share_their_prefix_byte_for_byte(root: Path, pool: WorkerPool) -> None:
    with AnthropicServer([Step(text="Done.")]) as server:
        server.cache = PromptCache()
        first = await execute(root, pool, environ_for(server), prompt=spec_prompt("1. Count."))
        second = await execute(root, pool, environ_for(server), prompt=spec_prompt("2. Count further."))
    one, two = server.requests
    assert {name: one[name] for name in ("model", "system", "tools")} == {
        name: two[name] for name in ("model", "system", "tools")
    }
    assert first.run.requests[0][1] is not None
    used = second.run.requests[0][1]
    assert used is not None
    assert used.cached_tokens > 0


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


async def test_a_known_secret_in_a_file_does_not_reach_the_provider(root: Path, pool: WorkerPool) -> None:
    (root / "planted-notes.txt").write_text(f"the key is {KEY}\n", "utf-8")
    ended, server = await play(
        root, pool, Step(tools=[("read_file", {"path": "planted-notes.txt"})]), Step(text="Done.")
    )
    assert ended.error is None
    assert KEY not in json.dumps(server.requests)
    assert "the key is" in blocks(server.requests[1], "tool_result")[0]["content"]
