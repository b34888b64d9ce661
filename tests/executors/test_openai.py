"""What only OpenAI's two APIs have: what is sent and kept, what vendors do otherwise, and their own ways to fail."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kiro_lsp import events
from kiro_lsp.budget import Usage
from kiro_lsp.errors import ErrorKind, ExecutorError
from kiro_lsp.executors import registry
from kiro_lsp.executors.openai import OpenaiExecutor
from kiro_lsp.executors.protocol import ExecutorRequest
from kiro_lsp.executors.worker import WorkerPool
from kiro_lsp.settings import CostSettings, Settings, Sources, load_settings
from kiro_lsp.spec.prompt import Prompt, PromptDocument
from tests.executors.contract import CHAT, FILE, KEY, RESPONSES, Provider
from tests.support.claude import CountingRun, Ended
from tests.support.provider_server import Fault, ProviderServer, Step, edits

pytestmark = pytest.mark.asyncio(loop_scope="module")

EDIT = {"path": FILE, "old_text": "1", "new_text": "2"}
ARGS = json.dumps(EDIT)


async def play(
    provider: Provider, root: Path, pool: WorkerPool, *steps: Step, faults: tuple[Fault, ...] = (), **agent: Any
) -> tuple[Ended, ProviderServer]:
    with provider.server(steps, faults) as server:
        return await provider.execute(root, pool, server.url, **agent), server


def nothing_ran(ended: Ended) -> None:
    assert ended.of(events.Tool) == []
    assert ended.staged == {}


async def test_nothing_stays_at_the_provider_and_reasoning_goes_on_encrypted(root: Path, pool: WorkerPool) -> None:
    look = Step(thinking="I should look.", redacted="b3BhcXVl", tools=[("read_file", {"path": FILE})])
    ended, server = await play(RESPONSES, root, pool, look, *edits(FILE, "1", "2")[1:])
    assert ended.staged == {FILE: b"NUMBER = 2\n"}
    for request in server.requests:
        assert request["store"] is False
        assert request["include"] == ["reasoning.encrypted_content"]
        assert request["reasoning"] == {"summary": "auto"}
        assert "previous_response_id" not in request
        assert request["max_output_tokens"] == 4096
    first, second = server.requests[0]["input"], server.requests[1]["input"]
    assert second[: len(first)] == first
    assert [item.get("type") for item in second[len(first) :]] == ["reasoning", "function_call", "function_call_output"]
    assert second[len(first)]["encrypted_content"] == "b3BhcXVl"
    assert second[-2]["call_id"] == second[-1]["call_id"]


async def test_two_tasks_of_a_spec_share_their_beginning_and_their_cache(root: Path, pool: WorkerPool) -> None:
    documents = (PromptDocument("docs/design.md", "design", "Small steps.", 3),)
    for provider in (RESPONSES, CHAT):
        with provider.server([Step(text="Done.")]) as server:
            for task, caches in (("1. Count.", True), ("2. Count further.", True), ("3. Stop.", False)):
                request = ExecutorRequest(
                    root_dir=root,
                    prompt=Prompt("You work on numbers.", documents, task, (), 20, 48_000),
                    environ=provider.environ(server.url),
                    settings=Settings(cost=CostSettings(cache_prompts=caches)),
                )
                await OpenaiExecutor(provider.agent, pool).execute(request, CountingRun(root))
        one, two, three = server.requests
        messages = "input" if provider is RESPONSES else "messages"
        fixed = [{name: value for name, value in request.items() if name != messages} for request in (one, two, three)]
        assert fixed[0] == fixed[1]
        texts = [_text(request[messages][-1]["content"]) for request in (one, two)]
        assert texts[0].removesuffix("1. Count.") == texts[1].removesuffix("2. Count further.") != ""
        assert "Small steps." in texts[0]
        if provider is RESPONSES:
            assert len(one["prompt_cache_key"]) == 32
        assert "prompt_cache_key" not in three


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "\n\n".join(part["text"] for part in content)


async def test_what_a_foreign_server_might_not_know_is_not_sent(root: Path, pool: WorkerPool) -> None:
    _ended, server = await play(CHAT, root, pool, Step(text="Done."))
    assert set(server.requests[0]) == {"model", "max_tokens", "messages", "tools", "stream", "stream_options"}
    assert server.paths == ["/v1/chat/completions"]
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


async def test_the_address_decides_what_is_spoken_unless_it_is_said(root: Path, pool: WorkerPool) -> None:
    _ended, server = await play(RESPONSES, root, pool, Step(text="Done."), api=None)
    assert server.paths == ["/v1/chat/completions"]
    _ended, server = await play(RESPONSES, root, pool, Step(text="Done."))
    assert server.paths == ["/v1/responses"]


async def test_a_server_on_this_machine_needs_no_key_and_another_does(root: Path, pool: WorkerPool) -> None:
    with CHAT.server([Step(text="Done.")]) as server:
        request = ExecutorRequest(root_dir=root, ticket_markdown="x", environ={"OPENAI_BASE_URL": server.url})
        result = await OpenaiExecutor(CHAT.agent, pool).execute(request, CountingRun(root))
    assert result.success
    away = replace(request, environ={"OPENAI_BASE_URL": "https://vendor.example/v1"})
    with pytest.raises(ExecutorError, match="OPENAI_API_KEY is not set") as caught:
        await OpenaiExecutor(CHAT.agent, pool).execute(away, CountingRun(root))
    assert caught.value.kind == "auth"


def body(code: str, message: str = "said so", param: str | None = None) -> str:
    return json.dumps({"error": {"type": "some_error", "code": code, "message": message, "param": param}})


@pytest.mark.parametrize("provider", [RESPONSES, CHAT], ids=["responses", "chat"])
@pytest.mark.parametrize(
    ("fault", "kind", "requests"),
    [
        (Fault(429, body=body("insufficient_quota"), headers={"retry-after": "1"}), "payment", 1),
        (Fault(429, body=body("rate_limit_exceeded"), headers={"retry-after": "900"}), "rate-limit", 1),
        (Fault(400, body=body("context_length_exceeded")), "max-tokens", 1),
        (Fault(400, body=body("", "This model's maximum context length is 9 tokens")), "max-tokens", 1),
        (Fault(404, body=body("model_not_found")), "agent", 1),
        (Fault(401, body=body("invalid_api_key")), "auth", 1),
        (Fault(422, body='{"detail": "tools: not here"}'), "agent", 1),
        (Fault(400, body='{"object": "error", "message": "no parser for tools"}'), "agent", 1),
    ],
)
async def test_codes_say_more_than_the_status(
    root: Path, pool: WorkerPool, provider: Provider, fault: Fault, kind: ErrorKind, requests: int
) -> None:
    given = replace(fault, headers={"content-type": "application/json", **fault.headers})
    ended, server = await play(provider, root, pool, Step(text="x"), faults=(given,))
    assert ended.error is not None
    assert (ended.error.kind, len(server.requests)) == (kind, requests), ended.error
    assert ended.error.hint
    assert ended.run.requests[0][1] == Usage()


async def test_without_retry_after_a_burst_is_waited_for(root: Path, pool: WorkerPool) -> None:
    burst = Fault(429, body=body("rate_limit_exceeded"), headers={"content-type": "application/json"}, times=1)
    ended, server = await play(RESPONSES, root, pool, Step(text="Done."), faults=(burst,))
    assert ended.error is None
    assert len(server.requests) == 2


async def test_an_account_without_summaries_works_without_them(root: Path, pool: WorkerPool) -> None:
    objection = body("unsupported_value", "Your organization must be verified", "reasoning.summary")
    fault = Fault(400, body=objection, headers={"content-type": "application/json"}, times=1)
    ended, server = await play(RESPONSES, root, pool, *edits(FILE, "1", "2"), faults=(fault,))
    assert ended.staged == {FILE: b"NUMBER = 2\n"}
    assert ["reasoning" in request for request in server.requests] == [True, False, False, False]
    assert all("include" in request for request in server.requests)


@pytest.mark.parametrize(
    ("provider", "code", "stop", "kind"),
    [
        (RESPONSES, "server_error", "failed", "agent"),
        (RESPONSES, "rate_limit_exceeded", "failed", "rate-limit"),
        (RESPONSES, "context_length_exceeded", "failed", "max-tokens"),
        (RESPONSES, "server_error", None, "agent"),
        (CHAT, "insufficient_quota", None, "payment"),
        (CHAT, "502", None, "agent"),
    ],
)
async def test_an_error_in_the_stream(
    root: Path, pool: WorkerPool, provider: Provider, code: str, stop: str | None, kind: ErrorKind
) -> None:
    error = {"type": code, "message": "said in it"}
    step = Step(text="Just a", tools=[("edit", EDIT)], error_event=error, stop=stop)
    ended, server = await play(provider, root, pool, step)
    assert ended.error is not None
    assert ended.error.kind == kind, ended.error
    assert "said in it" in str(ended.error)
    assert len(server.requests) == 1
    assert ended.run.requests[0][1] is None
    nothing_ran(ended)


VENDOR = """
[agents.zebra]
type = "openai-api"
label = "Zebra"
endpoint = "URL"
api_key_env = "ZEBRA_KEY"
model = "stripes-9"
"""


async def test_a_vendor_is_added_by_a_few_lines_of_configuration(root: Path, pool: WorkerPool) -> None:
    """Nobody has heard of it, and it is held to the same things as everybody: tools, thoughts, usage, faults."""
    look = Step(thinking="Stripes?", tools=[("read_file", {"path": FILE})])
    with CHAT.server(
        [look, *edits(FILE, "1", "2")[1:]], [Fault(529, headers={"retry-after-ms": "1"}, times=1)]
    ) as server:
        given = load_settings(
            Sources(user_toml=VENDOR.replace("URL", server.url), environ={"ZEBRA_KEY": KEY}), trusted=True
        )
        assert given.problems == ()
        zebra = registry.named(registry.agents(given.settings, given.secrets), "zebra")
        assert (zebra.label, zebra.available, zebra.model) == ("Zebra", True, "stripes-9")
        executor = registry.create(zebra, given.settings, pool, environ={"ZEBRA_KEY": KEY, "OPENAI_API_KEY": "another"})
        run = CountingRun(root)
        result = await executor.execute(ExecutorRequest(root_dir=root, ticket_markdown="Make the number two."), run)
        assert result.changed_files == (FILE,)
        assert "".join(event.text for event in run.events if isinstance(event, events.Thought)) == "Stripes?"
        assert [used.output_tokens for _reserved, used in run.requests if used] == [20, 20, 20]
        assert {request["model"] for request in server.requests} == {"stripes-9"}
        assert {headers["authorization"] for headers in server.headers} == {f"Bearer {KEY}"}
        server.faults = [Fault(401, message=f"no such key {KEY}")]
        with pytest.raises(ExecutorError, match="refused the key of Zebra") as caught:
            await executor.execute(ExecutorRequest(root_dir=root, ticket_markdown="Again."), CountingRun(root))
    assert "ZEBRA_KEY" in caught.value.hint
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("provider", "stop", "kind"),
    [
        (RESPONSES, "content_filter", "refusal"),
        (CHAT, "content_filter", "refusal"),
        (CHAT, "reached_enlightenment", "agent"),
    ],
)
async def test_an_answer_that_was_stopped(
    root: Path, pool: WorkerPool, provider: Provider, stop: str, kind: ErrorKind
) -> None:
    ended, _server = await play(provider, root, pool, Step(text="I", tools=[("edit", EDIT)], stop=stop))
    assert ended.error is not None
    assert ended.error.kind == kind
    nothing_ran(ended)


def event(kind: str, **values: Any) -> tuple[str, dict[str, Any]]:
    return kind, {"type": kind, "sequence_number": 0, **values}


def item(**values: Any) -> dict[str, Any]:
    return {"type": "function_call", "id": "fc", "call_id": "c1", "name": "edit", "arguments": ARGS, **values}


ADDED = event("response.output_item.added", output_index=0, item=item(arguments=""))
DELTA = event("response.function_call_arguments.delta", output_index=0, item_id="fc", delta=ARGS)
DONE = event("response.output_item.done", output_index=0, item=item())
WHOLE = event("response.completed", response={"id": "r", "object": "response", "status": "completed", "output": []})


@pytest.mark.parametrize(
    "raw",
    [
        [ADDED, DELTA, WHOLE],
        [ADDED, DELTA, DONE],
        [ADDED, DELTA],
        [DELTA, ADDED, DONE, WHOLE],
        [ADDED, ADDED, DONE, WHOLE],
        [DONE, WHOLE],
        [ADDED, DONE, DONE, WHOLE],
        [ADDED, DONE, ADDED, DONE, WHOLE],
        [ADDED, DELTA, event("response.output_item.done", output_index=0, item=item(call_id="c2")), WHOLE],
        [ADDED, DELTA, event("response.output_item.done", output_index=0, item=item(name="delete_file")), WHOLE],
        [ADDED, DELTA, event("response.output_item.done", output_index=0, item=item(arguments=None)), WHOLE],
        [event("response.output_item.added", output_index="0", item=item()), WHOLE],
        [event("response.output_item.added", output_index=0, item=item(name=None)), DONE, WHOLE],
        [event("response.output_item.added", output_index=0, item={}), WHOLE],
        [event("response.output_text.delta", output_index=0, delta=7), WHOLE],
        [ADDED, DONE, ("response.completed", "{not json")],
        [ADDED, DONE, ("response.completed", "[]")],
        [ADDED, DONE, event("response.completed")],
        [ADDED, DONE, WHOLE, WHOLE],
        [],
    ],
)
async def test_a_stream_of_responses_out_of_order_is_not_an_answer(
    root: Path, pool: WorkerPool, raw: list[Any]
) -> None:
    ended, _server = await play(RESPONSES, root, pool, Step(raw=raw))
    assert ended.error is not None
    assert ended.error.kind in ("agent", "network"), ended.error
    nothing_ran(ended)


def chunk(finish: Any = None, **delta: Any) -> tuple[str, dict[str, Any]]:
    return "chunk", {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def part(arguments: Any = "", **values: Any) -> dict[str, Any]:
    name = values.pop("name", None)
    return {**values, "function": {"arguments": arguments} | ({"name": name} if name else {})}


@pytest.mark.parametrize(
    "raw",
    [
        [chunk(tool_calls=[part(ARGS, index=0, id="a", name="edit")])],
        [chunk(tool_calls=[part(ARGS, index=0, id="a")]), chunk("tool_calls")],
        [chunk(tool_calls=[part({"path": 1}, index=0, id="a", name="edit")]), chunk("tool_calls")],
        [chunk(tool_calls=[part(ARGS, index=0, name="edit")]), chunk("tool_calls")],
        [chunk("tool_calls"), chunk(tool_calls=[part(ARGS, index=0, id="a", name="edit")])],
        [chunk(content=7), chunk("stop")],
        [chunk(content="x"), chunk(7)],
        [("chunk", "{not json"), chunk("stop")],
        [("chunk", "[]"), chunk("stop")],
        [("chunk", "[DONE]")],
        [],
    ],
)
async def test_a_completion_out_of_order_is_not_an_answer(root: Path, pool: WorkerPool, raw: list[Any]) -> None:
    ended, _server = await play(CHAT, root, pool, Step(raw=raw))
    assert ended.error is not None
    assert ended.error.kind in ("agent", "network"), ended.error
    nothing_ran(ended)


READ = json.dumps({"path": "README.md"})


@pytest.mark.parametrize(
    "raw",
    [
        [chunk(tool_calls=[part(ARGS, index=0, id="a", name="edit"), part(READ, index=0, id="b", name="read_file")])],
        [chunk(tool_calls=[part(ARGS, id="a", name="edit")]), chunk(tool_calls=[part(READ, id="b", name="read_file")])],
        [
            chunk(tool_calls=[part(ARGS[:9], index=0, id="a", name="edit")]),
            chunk(tool_calls=[part(READ[:5], index=1, id="b", name="read_file")]),
            chunk(tool_calls=[part(ARGS[9:], index=0, id="a", name="edit")]),
            chunk(tool_calls=[part(READ[5:], index=1)]),
        ],
    ],
    ids=["one number for all", "no numbers", "interleaved"],
)
@pytest.mark.parametrize("finish", ["tool_calls", "stop"])
async def test_calls_as_vendors_write_them(root: Path, pool: WorkerPool, raw: list[Any], finish: str) -> None:
    ended, server = await play(CHAT, root, pool, Step(raw=[*raw, chunk(finish)]), Step(text="Done."))
    assert ended.error is None
    assert ended.staged == {FILE: b"NUMBER = 2\n"}
    assert [event.path for event in ended.of(events.Tool)] == [FILE, FILE, "README.md", "README.md"]
    assert [message["role"] for message in server.requests[1]["messages"]][2:] == ["assistant", "tool", "tool"]


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": "Hm."},
        {"reasoning": "Hm.", "reasoning_details": [{"type": "reasoning.text", "text": "Hm.", "signature": "c2ln"}]},
    ],
)
async def test_a_vendors_reasoning_is_shown_and_goes_back(root: Path, pool: WorkerPool, delta: dict[str, Any]) -> None:
    raw = [chunk(**delta), chunk("tool_calls", tool_calls=[part(ARGS, index=0, id="a", name="edit")])]
    ended, server = await play(CHAT, root, pool, Step(raw=raw), Step(text="Done."))
    assert "".join(event.text for event in ended.of(events.Thought)) == "Hm."
    sent = server.requests[1]["messages"][2]
    assert {name: sent.get(name) for name in delta} == delta


async def test_items_that_come_only_at_the_end_are_understood(root: Path, pool: WorkerPool) -> None:
    whole = {"id": "r", "object": "response", "status": "completed", "output": [item()]}
    ended, _server = await play(
        RESPONSES, root, pool, Step(raw=[event("response.completed", response=whole)]), Step(text="Done.")
    )
    assert ended.staged == {FILE: b"NUMBER = 2\n"}
