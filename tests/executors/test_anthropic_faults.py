"""What only the Messages API does when it fails, and what any provider's process does: the contract has all the rest."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from kiro_lsp import events
from kiro_lsp.budget import Usage
from kiro_lsp.errors import ErrorKind
from kiro_lsp.executors.anthropic import SCRIPT
from kiro_lsp.executors.worker import WorkerPool
from tests.executors.contract import EDIT, FILE, check
from tests.support.anthropic_server import AnthropicServer, Fault, Step, edits
from tests.support.claude import Ended, environ_for, execute

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("said", "kind", "says"),
    [
        ("Your credit balance is too low", "payment", "Add credit"),
        ("You have reached your usage limit", "payment", "Add credit"),
        ("prompt is too long: 9 tokens", "max-tokens", "Split the task"),
    ],
)
async def test_what_is_a_bad_request_by_its_status_only(
    root: Path, pool: WorkerPool, said: str, kind: ErrorKind, says: str
) -> None:
    with AnthropicServer([], [Fault(400, "invalid_request_error", said)]) as server:
        ended = await execute(root, pool, environ_for(server))
    check(ended, kind, "(400)", said, says)
    assert ended.run.requests[0][1] == Usage()


@pytest.mark.parametrize(
    ("type_", "kind"),
    [
        ("overloaded_error", "overloaded"),
        ("api_error", "agent"),
        ("rate_limit_error", "rate-limit"),
        ("timeout_error", "timeout"),
        ("something_new", "agent"),
    ],
)
async def test_an_error_event_after_a_good_start(root: Path, pool: WorkerPool, type_: str, kind: ErrorKind) -> None:
    step = Step(text="Just a", tools=[EDIT], error_event={"type": type_, "message": "said in the stream"})
    with AnthropicServer([step]) as server:
        ended = await execute(root, pool, environ_for(server))
    check(ended, kind, "said in the stream", "in the middle of its answer")
    assert len(server.requests) == 1
    assert ended.run.requests[0][1] is None


@pytest.mark.parametrize(
    ("step", "kind", "says"),
    [
        (Step(tools=[EDIT], stop="max_tokens"), "max-tokens", "max_tokens of the agent"),
        (Step(tools=[EDIT], stop="model_context_window_exceeded"), "max-tokens", "context window"),
        (Step(tools=[EDIT], stop="refusal"), "refusal", "refused"),
        (Step(tools=[EDIT], stop="reached_enlightenment"), "agent", "reached_enlightenment"),
    ],
)
async def test_a_reason_to_stop(root: Path, pool: WorkerPool, step: Step, kind: ErrorKind, says: str) -> None:
    with AnthropicServer([step]) as server:
        ended = await execute(root, pool, environ_for(server))
    check(ended, kind, says)
    assert len(server.requests) == 1
    assert ended.run.requests[0][1] is not None


def message_start(**usage: int) -> tuple[str, dict[str, Any]]:
    message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage}
    return "message_start", {"type": "message_start", "message": message | {"stop_reason": None, "stop_sequence": None}}


def block_start(index: Any, **block: Any) -> tuple[str, dict[str, Any]]:
    return "content_block_start", {"type": "content_block_start", "index": index, "content_block": block}


def text_delta(index: int, text: Any) -> tuple[str, dict[str, Any]]:
    delta = {"type": "text_delta", "text": text}
    return "content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta}


def args_delta(index: int, text: str) -> tuple[str, dict[str, Any]]:
    delta = {"type": "input_json_delta", "partial_json": text}
    return "content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta}


def block_stop(index: int) -> tuple[str, dict[str, Any]]:
    return "content_block_stop", {"type": "content_block_stop", "index": index}


def end(stop: str) -> list[tuple[str, dict[str, Any]]]:
    delta = {"stop_reason": stop, "stop_sequence": None}
    return [
        ("message_delta", {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 5}}),
        ("message_stop", {"type": "message_stop"}),
    ]


START = message_start(input_tokens=5, output_tokens=1)
TEXT = block_start(0, type="text", text="")
TOOL = block_start(0, type="tool_use", id="t1", name="edit", input={})
ARGS = args_delta(0, '{"path": "src/number.py", "old_text": "1", "new_text": "2"}')


@pytest.mark.parametrize(
    "raw",
    [
        [START, TOOL, ARGS, *end("tool_use")],
        [TOOL, ARGS, block_stop(0), *end("tool_use")],
        [START, START, TOOL, ARGS, block_stop(0), *end("tool_use")],
        [START, TOOL, TOOL, ARGS, block_stop(0), *end("tool_use")],
        [START, ARGS, TOOL, block_stop(0), *end("tool_use")],
        [START, TOOL, block_stop(0), ARGS, *end("tool_use")],
        [START, TOOL, ARGS, block_stop(1), *end("tool_use")],
        [START, TOOL, ARGS, block_stop(0), *end("tool_use")[:1]],
        [START, TOOL, ARGS, block_stop(0), *end("tool_use")[1:], *end("tool_use")],
        [START, block_start("0", type="tool_use", id="t", name="edit", input={}), *end("tool_use")],
        [START, block_start(0, type="tool_use", name="edit", input={}), block_stop(0), *end("tool_use")],
        [START, block_start(0, type="tool_use", id="t", name=None, input={}), block_stop(0), *end("tool_use")],
        [START, block_start(0), block_stop(0), *end("end_turn")],
        [START, TEXT, text_delta(0, 7), block_stop(0), *end("end_turn")],
        [START, TEXT, text_delta(0, {"a": 1}), block_stop(0), *end("end_turn")],
        [START, ("content_block_delta", "{not json"), *end("end_turn")],
        [START, ("content_block_delta", "[]"), *end("end_turn")],
        [START, ("content_block_delta", {"type": "content_block_delta"}), *end("end_turn")],
        [("message_start", {"type": "message_start"}), *end("end_turn")],
        [START, ("message_delta", {"type": "message_delta", "delta": None, "usage": None}), *end("end_turn")[1:]],
        [START, TOOL, ARGS, block_stop(0), end("tool_use")[1]],
        [],
    ],
)
async def test_a_stream_out_of_order_is_not_an_answer(root: Path, pool: WorkerPool, raw: list[Any]) -> None:
    with AnthropicServer([Step(raw=raw)]) as server:
        ended = await execute(root, pool, environ_for(server))
    assert ended.error is not None
    assert ended.error.kind in ("agent", "network"), ended.error
    check(ended, ended.error.kind)


async def test_interleaved_calls_and_unknown_events_are_understood(root: Path, pool: WorkerPool) -> None:
    second = block_start(1, type="tool_use", id="t2", name="read_file", input={})
    raw = [
        START,
        TOOL,
        second,
        args_delta(0, '{"path": "src/number.py", '),
        args_delta(1, '{"path": "README'),
        ("news", {"type": "news", "of": "tomorrow"}),
        args_delta(0, '"old_text": "1", "new_text": "2"}'),
        args_delta(1, '.md"}'),
        block_stop(1),
        block_stop(0),
        *end("tool_use"),
    ]
    with AnthropicServer([Step(raw=raw), Step(text="Done.")]) as server:
        ended = await execute(root, pool, environ_for(server))
    assert ended.error is None
    assert ended.staged == {FILE: b"NUMBER = 2\n"}
    assert [event.path for event in ended.of(events.Tool)] == [FILE, FILE, "README.md", "README.md"]


async def test_of_two_reports_of_usage_the_larger_holds(root: Path, pool: WorkerPool) -> None:
    (_, delta), last = end("end_turn")
    again = ("message_delta", delta | {"usage": {"input_tokens": 0, "output_tokens": 2}})
    raw = [message_start(input_tokens=50, output_tokens=1), TEXT, text_delta(0, "x"), block_stop(0)]
    with AnthropicServer([Step(raw=[*raw, ("message_delta", delta), again, last])]) as server:
        ended = await execute(root, pool, environ_for(server))
    assert ended.run.requests[0][1] == Usage(50, 5)


async def test_lone_surrogates_are_replaced(root: Path, pool: WorkerPool) -> None:
    raw = [START, TEXT, ("content_block_delta", json_delta(r"a\ud800b")), block_stop(0), *end("end_turn")]
    with AnthropicServer([Step(raw=raw)]) as server:
        ended = await execute(root, pool, environ_for(server))
    assert ended.error is None
    assert ended.text == "a\ufffdb"


def json_delta(escaped: str) -> str:
    return f'{{"type": "content_block_delta", "index": 0, "delta": {{"type": "text_delta", "text": "{escaped}"}}}}'


async def held(root: Path, pool: WorkerPool, server: AnthropicServer) -> asyncio.Task[Ended]:
    """An execution in the middle of an answer."""
    running = asyncio.create_task(execute(root, pool, environ_for(server)))
    assert await asyncio.to_thread(server.holding.wait, 30)
    return running


async def test_a_process_that_does_not_answer_a_cancel_is_ended(root: Path, pool: WorkerPool) -> None:
    async with pool.worker(SCRIPT) as worker:
        pid = worker.pid
    with AnthropicServer([Step(text="a long answer", hold=True)]) as server:
        running = await held(root, pool, server)
        os.kill(pid, signal.SIGSTOP)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert not psutil.pid_exists(pid)
        assert await asyncio.to_thread(server.hung_up.wait, 60)


async def test_a_process_that_dies_in_the_middle_is_said_and_replaced(root: Path, pool: WorkerPool) -> None:
    async with pool.worker(SCRIPT) as worker:
        pid = worker.pid
    with AnthropicServer([Step(text="a long answer", hold=True)]) as server:
        running = await held(root, pool, server)
        os.kill(pid, signal.SIGKILL)
        ended = await running
    check(ended, "internal", "ended", "kiro-lsp doctor")
    assert ended.run.requests[0][1] is None
    with AnthropicServer(edits(FILE, "1", "2")) as server:
        assert (await execute(root, pool, environ_for(server))).error is None
