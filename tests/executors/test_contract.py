"""The same scenarios for every provider, with the real SDKs against local servers: one outcome, whatever the wire.

Here is what an answer may hold; how it may fail on its way is in test_contract_faults.py.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kiro_lsp import events
from kiro_lsp.budget import Usage
from kiro_lsp.executors.worker import WorkerPool
from tests.executors.contract import BROKEN, CALL, EDIT, FILE, KEY, PROVIDERS, READ, Provider, check, each
from tests.support.claude import Ended
from tests.support.provider_server import Fault, ProviderServer, Step
from tests.support.tree import snapshot

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOOK = Step(thinking="I should look.", text="I read the file first.", tools=[READ])
TWO = {FILE: b"NUMBER = 2\n"}


async def play(provider: Provider, root: Path, pool: WorkerPool, *steps: Step) -> tuple[Ended, ProviderServer]:
    with provider.server(steps) as server:
        return await provider.execute(root, pool, server.url), server


def with_tools(provider: Provider) -> bool:
    return provider.calls


@each()
async def test_a_task_is_carried_out_over_several_turns(provider: Provider, root: Path, pool: WorkerPool) -> None:
    before = snapshot(root)
    steps = [LOOK, replace(CALL, thinking=""), Step(text="Now it is two.\n\nAll is well.")]
    ended, server = await play(provider, root, pool, *steps)
    turns = steps if provider.calls else steps[:2]  # edits that are written and can be used end the work
    assert ended.result is not None, ended.error
    assert ended.result.stop_reason == "end_turn"
    assert ended.result.changed_files == (FILE,)
    assert ended.staged == TWO
    assert snapshot(root) == before
    assert ended.text == "".join(provider.said(step) for step in turns)
    assert len(server.requests) == len(turns)
    assert [len(provider.results(request)) for request in server.requests] == list(range(len(turns)))
    assert "NUMBER = 1" in provider.results(server.requests[1])[0]
    tools = [(event.kind, event.status) for event in ended.of(events.Tool)]
    assert tools == [(kind, state) for kind in ("read", "edit") for state in ("in_progress", "completed")]
    assert all(used is not None and used.output_tokens == 20 for _reserved, used in ended.run.requests)
    if provider.metered:
        assert all(reserved.input_tokens >= used.input_tokens for reserved, used in ended.run.requests if used)
    if provider.calls:
        assert ended.result.summary == "All is well."
        assert [event.path for event in ended.of(events.Tool)] == [FILE] * 4


@each()
async def test_what_was_sent_is_sent_again_in_the_same_bytes(provider: Provider, root: Path, pool: WorkerPool) -> None:
    """A prefix that changes is read from no provider's cache."""
    _ended, server = await play(provider, root, pool, LOOK, CALL)

    def unmarked(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: unmarked(item) for name, item in value.items() if name != "cache_control"}
        return [unmarked(item) for item in value] if isinstance(value, list) else value

    for earlier, later in zip(server.requests, server.requests[1:], strict=False):
        sent, again = unmarked(earlier.pop(provider.history)), unmarked(later[provider.history])
        assert again[: len(sent)] == sent
        assert json.dumps(earlier) == json.dumps({name: later[name] for name in later if name != provider.history})


@each(with_tools)
async def test_the_tools_of_one_turn_are_carried_out_in_order(provider: Provider, root: Path, pool: WorkerPool) -> None:
    step = Step(
        tools=[
            ("write_file", {"path": "a.txt", "content": "one\n"}),
            ("edit", {"path": "a.txt", "old_text": "one", "new_text": "two"}),
            ("read_file", {"path": "a.txt"}),
            ("read_file", {"path": "nowhere.txt"}),
            ("launch_rocket", {"to": "moon"}),
            ("edit", {}),
        ]
    )
    ended, server = await play(provider, root, pool, step, Step(text="Done."))
    assert ended.error is None
    assert ended.staged == {"a.txt": b"two\n"}
    assert len(server.requests) == 2
    results = provider.results(server.requests[1])
    assert "two" in results[2]
    assert "nowhere.txt" in results[3]
    assert "There is no tool" in results[4]
    assert "path" in results[5]
    assert [event.status for event in ended.of(events.Tool)][1::2] == ["completed"] * 3 + ["failed"] * 3


@each()
@pytest.mark.parametrize(("pieces", "write_size"), [(1, None), (3, 1), (5, 7), (1000, 64)])
async def test_a_stream_may_be_split_anywhere(
    provider: Provider, root: Path, pool: WorkerPool, pieces: int, write_size: int | None
) -> None:
    text = 'naïve 🦊 “quotes” \\ \u2028 "'
    tools = [("write_file", {"path": "ü.txt", "content": f"{text}\n"})]
    write = Step(thinking=text, text=text, tools=tools, pieces=pieces, write_size=write_size)
    last = Step(text=text, pieces=pieces, write_size=write_size)
    ended, _server = await play(provider, root, pool, write, last)
    assert ended.error is None
    assert ended.staged == {"ü.txt": f"{text}\n".encode()}
    assert ended.text == provider.said(write) + (text if provider.calls else "")
    assert "".join(event.text for event in ended.of(events.Thought)) == text


@each()
async def test_what_a_model_thinks_is_shown_as_thoughts(provider: Provider, root: Path, pool: WorkerPool) -> None:
    """Each turn's, in its place between the tools, and none of it as what the model says."""
    ended, server = await play(provider, root, pool, LOOK, CALL)
    assert ended.staged == TWO
    shown = [event for event in ended.run.events if isinstance(event, events.Thought | events.Chunk | events.Tool)]
    kinds = [type(event).__name__ for event in shown]
    order = [kind for place, kind in enumerate(kinds) if place == 0 or kinds[place - 1] != kind]
    assert order[:6] == ["Thought", "Chunk", "Tool"] * 2
    assert "".join(event.text for event in ended.of(events.Thought)) == "I should look.Hm."
    assert "Hm." not in ended.text
    asks = {
        "thinking",
        "reasoning",
        "think",
        "thinkingConfig",
    }  # how the wires ask for thoughts; Chat Completions has none
    assert (
        asks & {*server.requests[0], *server.requests[0].get("generationConfig", ())} or provider.name == "openai-chat"
    )


@each()
async def test_a_call_that_nobody_can_read_is_asked_for_again(provider: Provider, root: Path, pool: WorkerPool) -> None:
    with provider.server() as server:
        server.first = [BROKEN, CALL]
        ended = await provider.execute(root, pool, server.url)
    assert ended.error is None, ended.error
    assert ended.staged == TWO
    assert len(server.requests) == (3 if provider.calls else 2)


@each()
async def test_calls_that_nobody_can_read_are_asked_for_three_times(
    provider: Provider, root: Path, pool: WorkerPool
) -> None:
    with provider.server() as server:
        server.first = [BROKEN] * 9
        ended = await provider.execute(root, pool, server.url)
    assert ended.error is not None
    assert ended.error.kind == "loop"
    assert "3 times" in ended.error.message
    assert ended.error.hint
    assert len(server.requests) == 3
    assert ended.staged == {}
    assert ended.of(events.File) == []
    assert all(used is not None for _reserved, used in ended.run.requests)


@each(lambda provider: provider.announced is not None)
async def test_a_call_that_is_announced_and_not_sent_is_asked_for_again(
    provider: Provider, root: Path, pool: WorkerPool
) -> None:
    with provider.server() as server:
        empty = Step(stop=provider.announced)
        server.first = [empty, Step(text="Now.", stop=provider.announced), CALL]
        ended = await provider.execute(root, pool, server.url)
        assert ended.staged == TWO, ended.error
        assert len([event for event in ended.of(events.Phase) if "asking again" in (event.detail or "")]) == 2
        server.requests.clear()
        server.first = [empty] * 9
        ended = await provider.execute(root, pool, server.url)
    check(ended, "loop", "announced a tool call 3 times")
    assert len(server.requests) == 3


@each()
async def test_an_answer_at_its_limit_runs_no_tool(provider: Provider, root: Path, pool: WorkerPool) -> None:
    for tools in ([EDIT], BROKEN.tools, ()):
        step = Step(text="I write", tools=tools, stop=provider.cut_short)
        ended, server = await play(provider, root, pool, step)
        check(ended, "max-tokens", *(["inside a tool call"] if tools == [EDIT] and provider.calls else []))
        assert len(server.requests) == 1


@each(lambda provider: provider.refused is not None)
async def test_a_refusal_is_said_in_the_models_words(provider: Provider, root: Path, pool: WorkerPool) -> None:
    ended, server = await play(provider, root, pool, Step(text="I cannot help with that.", stop=provider.refused))
    check(ended, "refusal", "I cannot help with that.")
    assert len(server.requests) == 1
    assert ended.run.requests[0][1] is not None


@each()
@pytest.mark.parametrize(
    ("step", "says"),
    [
        (Step(), "empty"),
        (Step(text=" \n"), "empty"),
        (Step(thinking="Hm."), "empty"),
        (Step(body="<html>Log in</html>", content_type="text/html"), "could not be read"),
        (Step(body="{}\n", content_type="application/json"), "could not be read"),
        (Step(text="x", encoding="gzip"), "could not be read"),
    ],
)
async def test_an_answer_that_is_no_answer(
    provider: Provider, root: Path, pool: WorkerPool, step: Step, says: str
) -> None:
    ended, server = await play(provider, root, pool, step)
    check(ended, "agent", says)
    assert len(server.requests) == 1


@each(with_tools)
async def test_calls_that_cannot_be_told_apart_are_not_carried_out(
    provider: Provider, root: Path, pool: WorkerPool
) -> None:
    doubled, nameless = [(*EDIT, "same"), (*READ, "same")], [(*EDIT, "")]
    for tools in (doubled, *([nameless] if provider.names_calls else [])):
        ended, server = await play(provider, root, pool, Step(tools=tools))
        check(ended, "agent", "told apart")
        assert len(server.requests) == 1


@each()
async def test_ending_without_a_word_after_the_work_is_an_end(provider: Provider, root: Path, pool: WorkerPool) -> None:
    ended, _server = await play(provider, root, pool, CALL, Step())
    assert ended.result is not None, ended.error
    assert ended.staged == TWO
    assert ended.result.summary


@pytest.mark.parametrize(
    ("provider", "wire", "counted"),
    [
        pytest.param(provider, wire, counted, id=f"{provider.name}-{name}")
        for provider in PROVIDERS
        for name, (wire, counted) in provider.usages.items()
    ],
)
async def test_usage_is_counted_or_charged_as_reserved(
    provider: Provider, root: Path, pool: WorkerPool, wire: Any, counted: Usage | None
) -> None:
    ended, _server = await play(provider, root, pool, Step(text="Done.", usage=wire))
    assert ended.error is None
    ((reserved, used),) = ended.run.requests
    assert used == counted
    assert ended.run.usage == (counted or reserved)


@each()
async def test_every_kind_of_usage_was_thought_of(provider: Provider) -> None:
    assert {"plain", "cached", "reasoning", "missing", "half", "nonsense"} <= provider.usages.keys()


@each(lambda provider: provider.metered)
async def test_every_request_reserves_at_least_what_it_can_cost(
    provider: Provider, root: Path, pool: WorkerPool
) -> None:
    """One token for every byte of what others wrote is the finest that any tokenizer cuts."""
    (root / "dense.txt").write_text("ༀ⁂🂡" * 3000, "utf-8")
    steps = [Step(tools=[("read_file", {"path": "dense.txt"})]), CALL]
    ended, server = await play(provider, root, pool, *steps)
    assert len(ended.run.requests) == 3
    counted = 0
    for request, (reserved, used) in zip(server.requests, ended.run.requests, strict=True):
        assert used is not None
        latest = json.dumps(request[provider.history][-1:], ensure_ascii=False).encode()
        assert reserved.input_tokens >= counted + len(latest)
        assert reserved.output_tokens == 4096
        counted = used.input_tokens + used.output_tokens


@each()
async def test_a_model_that_goes_round_in_circles_is_stopped(provider: Provider, root: Path, pool: WorkerPool) -> None:
    ended, server = await play(provider, root, pool, *[LOOK] * 200)
    assert ended.error is not None
    assert ended.error.kind == "loop"
    assert "repeated itself 5 times" in ended.error.message
    assert len(server.requests) == 5
    assert ended.staged == {}


@each(with_tools)
async def test_too_many_calls_at_once_are_refused_whole(provider: Provider, root: Path, pool: WorkerPool) -> None:
    tools = [("write_file", {"path": f"f{number}", "content": "x"}) for number in range(65)]
    ended, server = await play(provider, root, pool, Step(tools=tools))
    check(ended, "loop", "65 tool calls at once")
    assert len(server.requests) == 1


@each()
async def test_a_known_secret_in_a_file_does_not_reach_the_provider(
    provider: Provider, root: Path, pool: WorkerPool
) -> None:
    (root / "planted-notes.txt").write_text(f"the key is {KEY}\n", "utf-8")
    ended, server = await play(provider, root, pool, Step(tools=[("read_file", {"path": "planted-notes.txt"})]))
    assert ended.error is None
    assert KEY not in str(server.requests)
    assert "the key is" in provider.results(server.requests[1])[0]


@each(lambda provider: provider.metered)
async def test_a_key_is_not_sent_where_others_could_read_it(provider: Provider, root: Path, pool: WorkerPool) -> None:
    for url in ("http://example.test", "ftp://example.test", "//example.test", "https://user@example.test"):
        check(await provider.execute(root, pool, url), "network", "no key is sent", provider.address)


@each(lambda provider: provider.metered)
async def test_no_key_is_said_before_anything_is_sent(provider: Provider, root: Path, pool: WorkerPool) -> None:
    environ = {provider.address: "https://vendor.invalid"}
    ended = await provider.execute(root, pool, "", environ=environ, api_key_env="MY_KEY")
    check(ended, "auth", "MY_KEY is not set", "kiro-lsp doctor")


@each(lambda provider: provider.metered)
@pytest.mark.parametrize("shown", [KEY, KEY.encode().hex()], ids=["plain", "hex"])
async def test_a_provider_that_echoes_the_key_does_not_get_it_shown(
    provider: Provider, root: Path, pool: WorkerPool, shown: str
) -> None:
    with provider.server([], [Fault(401, "authentication_error", f"bad key {shown}!")]) as server:
        ended = await provider.execute(root, pool, server.url)
    check(ended, "auth", "bad key")
    assert shown not in str(ended.error)
