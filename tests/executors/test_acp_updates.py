"""What an agent says over ACP, as events of a run: read leniently, bounded, and the recorded words of real agents too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kiro_lsp import events
from kiro_lsp.budget import Usage
from kiro_lsp.executors.acp_updates import Updates, usage_of


@pytest.mark.parametrize(
    ("answer", "usage"),
    [
        (
            {"usage": {"inputTokens": 400, "outputTokens": 100, "cachedReadTokens": 6000, "cachedWriteTokens": 2000}},
            Usage(8400, 100, 6000, 2000),
        ),
        (  # the total says that what was cached is part of the input
            {"usage": {"inputTokens": 400, "outputTokens": 100, "cachedReadTokens": 300, "totalTokens": 500}},
            Usage(400, 100, 300),
        ),
        ({"_meta": {"quota": {"token_count": {"input_tokens": 8400, "output_tokens": 100}}}}, Usage(8400, 100)),
        (
            {
                "usage": {"inputTokens": 0, "outputTokens": 0, "totalTokens": 0},
                "_meta": {"quota": {"model_usage": [{"model": "x", "token_count": {"inputTokens": 7}}]}},
            },
            Usage(7, 0),
        ),
        ({"usage": {"inputTokens": 0, "outputTokens": 0}}, None),
        ({"usage": {"inputTokens": -4, "outputTokens": "many"}}, None),
        ({"usage": [1]}, None),
        ({}, None),
    ],
)
def test_usage_is_read_in_every_spelling(answer: dict[str, Any], usage: Usage | None) -> None:
    assert usage_of(answer) == usage


class Sink:
    """Gets the updates of a session, without an agent."""

    def __init__(self) -> None:
        self.events: list[events.RunEvent] = []
        self.touched = 0
        self.updates = Updates(self.events.append, lambda path: path.removeprefix("/p/"), self._touch)

    def _touch(self) -> None:
        self.touched += 1


CHUNK = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "a"}}


@pytest.mark.parametrize(
    "update",
    [
        {},
        {"sessionUpdate": "never_heard_of"},
        {"sessionUpdate": 7},
        {"sessionUpdate": "agent_message_chunk"},
        {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": 4}},
        {"sessionUpdate": "agent_thought_chunk", "content": []},
        {"sessionUpdate": "usage_update", "cost": {"currency": "USD", "amount": "much"}},
        {"sessionUpdate": "usage_update", "cost": {"currency": "EUR", "amount": 4}},
        {"sessionUpdate": "user_message_chunk", "content": {"type": "text", "text": "me"}},
    ],
)
def test_what_cannot_be_read_is_passed_over(update: dict[str, Any]) -> None:
    sink = Sink()
    sink.updates.take(update)
    sink.updates.take(CHUNK)
    assert [event.text for event in sink.events if isinstance(event, events.Chunk)] == ["a"]
    assert not [event for event in sink.events if isinstance(event, events.Thought | events.Tool)]
    assert sink.updates.cost is None


@pytest.mark.parametrize(
    ("update", "tool"),
    [
        ({"toolCallId": "1", "kind": "read", "title": "R"}, events.Tool("1", "read", "R", "pending")),
        ({"toolCallId": "1", "kind": "dance", "status": "sleeping"}, events.Tool("1", "other", "other", "pending")),
        ({"toolCallId": "1", "status": "failed", "title": 4}, events.Tool("1", "other", "other", "failed")),
        (
            {"toolCallId": "1", "locations": [{"line": 4}, {"path": "/p/a.py"}]},
            events.Tool("1", "other", "other", "pending", "a.py"),
        ),
        ({"toolCallId": "x" * 900, "title": "y" * 900}, events.Tool("x" * 500, "other", "y" * 500, "pending")),
        ({}, events.Tool("?", "other", "other", "pending")),
    ],
)
def test_a_tool_call_is_shown_with_what_is_known_of_it(update: dict[str, Any], tool: events.Tool) -> None:
    sink = Sink()
    for _ in range(2):  # told twice, shown once
        sink.updates.take({"sessionUpdate": "tool_call", **update})
    assert [event for event in sink.events if isinstance(event, events.Tool)] == [tool]


def test_what_a_command_printed_is_shown_bounded_when_it_is_over_and_why_a_call_failed() -> None:
    sink = Sink()
    sink.updates.printed = {"t-1": "one\n" + "x" * 20_000 + "\nlast"}.__getitem__
    terminal = [{"type": "terminal", "terminalId": "t-1"}]
    text = [{"type": "content", "content": {"type": "text", "text": "no such file"}}]
    for update in [
        {"toolCallId": "1", "kind": "execute", "title": "make", "status": "in_progress", "content": terminal},
        {"toolCallId": "1", "status": "completed"},
        {"toolCallId": "2", "kind": "read", "title": "R", "status": "completed", "content": text},
        {"toolCallId": "3", "kind": "read", "title": "R", "status": "failed", "content": text},
    ]:
        sink.updates.take({"sessionUpdate": "tool_call", **update})
    running, ended, read, failed = [event.output for event in sink.events if isinstance(event, events.Tool)]
    assert (running, read, failed) == (None, None, "no such file")
    assert ended is not None
    assert len(ended) < 8_100
    assert ended.startswith("one\n")
    assert ended.endswith("\nlast")


def test_an_agent_that_says_too_much_is_cut_off_and_so_are_its_tool_calls() -> None:
    sink = Sink()
    for _ in range(10):
        sink.updates.take({**CHUNK, "content": {"type": "text", "text": "x" * 1_000_000}})
    for number in range(6000):
        sink.updates.take({"sessionUpdate": "tool_call", "toolCallId": str(number)})
    shown = "".join(event.text for event in sink.events if isinstance(event, events.Chunk))
    assert len(shown) < 8_500_000
    assert "it is not shown" in shown
    assert len(sink.updates.calls) == 5000
    assert len(sink.updates.said) <= 65536


def test_real_agents_are_understood(shared: Path) -> None:
    """Every update that the recorded agents sent: what they said and did is shown, nothing fails."""
    files = sorted((shared / "agent_traffic").glob("acp-*.jsonl"))
    assert len(files) > 20
    for file in files:
        sink = Sink()
        said, calls = 0, set()
        for line in file.read_text("utf-8").splitlines():
            message = json.loads(line)["msg"]
            update = message.get("params", {}).get("update") if message.get("method") == "session/update" else None
            if update is not None:
                sink.updates.take(update)
                said += update["sessionUpdate"] == "agent_message_chunk" and update["content"]["text"] != ""
                calls |= {update["toolCallId"]} if update["sessionUpdate"] == "tool_call" else set()
        assert len([event for event in sink.events if isinstance(event, events.Chunk)]) == said, file.name
        assert {event.id for event in sink.events if isinstance(event, events.Tool)} >= calls, file.name
