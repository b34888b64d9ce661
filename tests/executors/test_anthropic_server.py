"""The local provider server is checked itself: against the SDK's types, and against what the real API was recorded to say."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from tests.conftest import REPO
from tests.support.anthropic_server import AnthropicServer, Fault, Step, edits, events_of, step_index, write_script

EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
API_EVENTS = frozenset({"ping", "error"})
"""Events of the API that are no part of the SDK's union: it drops one and raises the other."""


def check_events(step: Step) -> list[Any]:
    """Every event of an answer, validated strictly by the SDK's own types."""
    found = []
    for name, data in events_of(step, "claude-sonnet-5-5"):
        assert name == data["type"]
        if name not in API_EVENTS:
            event = EVENT.validate_json(json.dumps(data), strict=True)
            assert not event.model_extra, f"{name} has fields the SDK does not know: {event.model_extra}"
            found.append(event)
    return found


def assembled(events: list[Any]) -> list[dict[str, Any]]:
    """The content of an answer as a client puts it together."""
    blocks: list[dict[str, Any]] = []
    for event in events:
        if event.type == "content_block_start":
            assert event.index == len(blocks)
            blocks.append({"raw": "", **event.content_block.model_dump(mode="json", exclude_none=True)})
        elif event.type == "content_block_delta":
            delta = event.delta
            name = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}.get(delta.type)
            if name is None:
                blocks[event.index]["raw"] += delta.partial_json
            else:
                blocks[event.index][name] += getattr(delta, name)
    return blocks


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
TOOLS = st.lists(
    st.tuples(st.sampled_from(["edit", "read_file", "x"]), st.dictionaries(TEXTS, TEXTS, max_size=3)), max_size=3
)


@settings(max_examples=60, deadline=None)
@given(text=TEXTS, thinking=TEXTS, tools=TOOLS, pieces=st.integers(1, 30))
def test_every_event_of_any_answer_is_one_of_the_sdks(
    text: str, thinking: str, tools: list[tuple[str, dict[str, str]]], pieces: int
) -> None:
    events = check_events(Step(text=text, thinking=thinking, tools=tools, pieces=pieces))
    blocks = assembled(events)
    assert "".join(block["text"] for block in blocks if block["type"] == "text") == text
    assert "".join(block["thinking"] for block in blocks if block["type"] == "thinking") == thinking
    assert [json.loads(block["raw"]) for block in blocks if block["type"] == "tool_use"] == [args for _, args in tools]
    assert [event.type for event in events[:1]] == ["message_start"]
    assert [event.type for event in events[-2:]] == ["message_delta", "message_stop"]
    assert events[-2].delta.stop_reason == ("tool_use" if tools else "end_turn")


@pytest.mark.parametrize(
    "step",
    [
        Step(),
        Step(redacted="b3BhcXVl", text="x"),
        Step(text="I must not.", stop="refusal"),
        Step(text="on and", stop="max_tokens"),
        Step(stop="pause_turn"),
        Step(stop="model_context_window_exceeded"),
        Step(text="x", usage={"input_tokens": 3, "output_tokens": 9, "cache_read_input_tokens": 70}),
    ],
)
def test_odd_answers_are_still_the_sdks(step: Step) -> None:
    check_events(step)


def test_ids_differ_between_the_turns_of_a_conversation() -> None:
    turns = [check_events(Step(tools=[("edit", {}), ("edit", {})])) for _ in range(1)]
    ids = [event.content_block.id for event in turns[0] if event.type == "content_block_start"]
    later = [data for _, data in events_of(Step(tools=[("edit", {})]), "m", index=1)]
    assert len({*ids, later[2]["content_block"]["id"]}) == 3


def test_an_answer_has_the_shape_that_the_real_api_was_recorded_with(shared: Path) -> None:
    """Claude Code passes the API's message objects on; ours have the same members, of the same kinds."""
    lines = (shared / "agent_traffic" / "claude-stream.jsonl").read_text("utf-8").splitlines()
    recorded = [line["message"] for line in map(json.loads, lines) if line["type"] == "assistant"]
    assert recorded
    start = next(data["message"] for name, data in events_of(Step(text="x"), "m") if name == "message_start")
    for message in recorded:
        ours = message.keys() - start.keys()
        assert ours <= {"context_management"}, "the recording has members that our messages lack"
        assert {name: type(value) for name, value in message["usage"].items()} == {
            name: type(value) for name, value in start["usage"].items()
        }
    step = Step(thinking="I should.", text="Reading.", tools=[("Read", {"file_path": "a"})])
    blocks = {block["type"]: block for block in assembled(check_events(step))}
    for block in (block for message in recorded for block in message["content"]):
        assert block.keys() <= blocks[block["type"]].keys()


def ask(server: AnthropicServer, messages: list[dict[str, Any]]) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    body = json.dumps({"model": "m", "max_tokens": 9, "stream": True, "messages": messages})
    connection.request("POST", "/v1/messages", body)
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, data


USER = {"role": "user", "content": [{"type": "text", "text": "do"}]}
CALLED = {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "x", "input": {}}]}
TALKED = {"role": "assistant", "content": [{"type": "text", "text": "well"}]}


def test_the_step_depends_on_the_conversation_only() -> None:
    assert [step_index({"messages": turns}) for turns in ([USER], [USER, TALKED, USER], [USER, CALLED, USER])] == [
        0,
        0,
        1,
    ]
    with AnthropicServer([Step(text="first"), Step(text="second")]) as server:
        later = ask(server, [USER, CALLED, USER])[1]
        assert b"seco" in later
        assert ask(server, [USER, CALLED, USER])[1] == later
        assert b"first" in ask(server, [USER])[1]


def test_bytes_may_be_split_anywhere_and_are_the_same_bytes() -> None:
    step = Step(text="naïve 🦊 text", tools=[("edit", {"old": "日本", "new": 'a"\\'})], pieces=3)
    with AnthropicServer([step]) as server:
        whole = ask(server, [USER])[1]
        server.steps = [Step(**{**vars(step), "write_size": 1})]
        assert ask(server, [USER])[1] == whole


def test_faults_count_down_and_may_wait_for_a_step() -> None:
    with AnthropicServer([], [Fault(529, times=1), Fault(400, step=1, times=1)]) as server:
        assert [ask(server, [USER])[0] for _ in range(2)] == [529, 200]
        assert [ask(server, [USER, CALLED, USER])[0] for _ in range(2)] == [400, 200]


def test_it_runs_as_a_program_and_ends_with_its_standard_input(tmp_path: Path) -> None:
    script = write_script(tmp_path / "script.json", edits("a.py", "1", "2"), [Fault(503, times=1)])
    port_file, log = tmp_path / "port", tmp_path / "log"
    command = ["-m", "tests.support.anthropic_server", "--script", script, "--port-file", port_file, "--log", log]
    with subprocess.Popen([sys.executable, *map(str, command)], cwd=REPO, stdin=subprocess.PIPE) as program:
        while not port_file.exists():
            with contextlib.suppress(subprocess.TimeoutExpired):
                pytest.fail(f"it ended with {program.wait(0.02)}")
        server = type("Remote", (), {"url": port_file.read_text("utf-8")})
        assert ask(server, [USER])[0] == 503  # type: ignore[arg-type]
        assert b"read_file" in ask(server, [USER])[1]  # type: ignore[arg-type]
        assert program.stdin is not None
        program.stdin.close()
        assert program.wait(30) == 0
    assert [json.loads(line)["path"] for line in log.read_text("utf-8").splitlines()] == ["/v1/messages"] * 2


def test_the_sdk_can_validate_a_whole_message_made_of_the_events() -> None:
    start, *_ = check_events(Step(text="x"))
    Message.model_validate(start.message.model_dump(), strict=True)
