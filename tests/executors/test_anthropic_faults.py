"""Every way in which the provider can fail, with the real SDK: a named end, what to do, nothing half done, nothing leaked."""

from __future__ import annotations

import asyncio
import base64
import os
import random
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
from tests.support.anthropic_server import AnthropicServer, Fault, Step, closed_port, edits, stream_of
from tests.support.claude import KEY, Ended, environ_for, execute
from tests.support.tree import snapshot

pytestmark = pytest.mark.asyncio(loop_scope="module")

FILE = "src/number.py"
EDIT = {"path": FILE, "old_text": "1", "new_text": "2"}
SWEEP = os.environ.get("KIRO_LSP_SWEEP", "20261121")  # read here: a test's own environment has no such names
CALL = Step(thinking="Hm.", text="Now the edit 🦊.", tools=[("edit", EDIT)], pieces=9)


def check(ended: Ended, kind: ErrorKind, *says: str) -> None:
    """A failure with its kind, words for a person and a next step; no tool ran for it."""
    assert ended.error is not None, f"it succeeded: {ended.result}"
    assert ended.error.kind == kind, ended.error
    for words in says:
        assert words in str(ended.error), str(ended.error)
    assert ended.error.hint
    assert "Traceback" not in ended.error.message
    assert KEY not in str(ended.error)
    assert ended.staged == {}


def check_nothing_ran(ended: Ended) -> None:
    assert ended.of(events.Tool) == []
    assert ended.of(events.File) == []


@pytest.mark.parametrize(
    ("fault", "kind", "says", "requests", "charged"),
    [
        (Fault(400, "invalid_request_error", "messages.0: bad"), "agent", ["(400)", "messages.0: bad"], 1, False),
        (Fault(400, "invalid_request_error", "Your credit balance is too low"), "payment", ["credit"], 1, False),
        (
            Fault(400, "invalid_request_error", "prompt is too long: 9 tokens"),
            "max-tokens",
            ["Split the task"],
            1,
            False,
        ),
        (
            Fault(401, "authentication_error", "invalid x-api-key"),
            "auth",
            ["ANTHROPIC_API_KEY", "doctor --live"],
            1,
            False,
        ),
        (Fault(402, "billing_error", "no credit"), "payment", ["credit", "console"], 1, False),
        (Fault(403, "permission_error", "not yours"), "auth", ["no right", "not yours"], 1, False),
        (Fault(404, "not_found_error", "model: claude-sonnet-5-5"), "agent", ["does not know the model"], 1, False),
        (Fault(413, "request_too_large", "too big"), "max-tokens", ["too large"], 1, False),
        (Fault(429, "rate_limit_error", "spend cap"), "rate-limit", ["max_parallel"], 1, False),
        (Fault(429, headers={"retry-after": "3600"}), "rate-limit", ["asks to wait 3600 s"], 1, False),
        (
            Fault(429, headers={"retry-after": "Wed, 21 Oct 2099 07:28:00 GMT"}),
            "rate-limit",
            ["asks to wait"],
            1,
            False,
        ),
        (Fault(408, "timeout_error"), "timeout", [], 1, True),
        (Fault(500), "agent", ["The provider failed (500)"], 4, True),
        (Fault(500, headers={"x-should-retry": "false"}), "agent", [], 1, True),
        (Fault(503, "api_error"), "overloaded", ["(503)"], 4, False),
        (Fault(504, "timeout_error"), "timeout", [], 1, True),
        (Fault(529, "overloaded_error", "Overloaded"), "overloaded", ["(529)", "Overloaded"], 4, False),
        (Fault(418, body="<html>I am a proxy</html>"), "agent", ["(418)"], 1, False),
        (Fault(401, headers={"x-should-retry": "true"}), "auth", [], 1, False),
    ],
)
async def test_an_http_error_ends_the_run_with_what_to_do(
    root: Path, pool: WorkerPool, fault: Fault, kind: ErrorKind, says: list[str], requests: int, charged: bool
) -> None:
    before = snapshot(root)
    with AnthropicServer([CALL], [fault]) as server:
        ended = await execute(root, pool, environ_for(server))
    check(ended, kind, *says)
    check_nothing_ran(ended)
    assert len(server.requests) == requests
    ((_reserved, used),) = ended.run.requests
    assert used == (None if charged else Usage())
    assert snapshot(root) == before


@pytest.mark.parametrize(
    "fault", [Fault(529, times=2), Fault(503, times=1), Fault(429, headers={"retry-after": "0"}, times=3)]
)
async def test_a_short_trouble_is_waited_for_and_said(root: Path, pool: WorkerPool, fault: Fault) -> None:
    times, status = fault.times, str(fault.status)
    with AnthropicServer(edits(FILE, "1", "2"), [fault]) as server:
        ended = await execute(root, pool, environ_for(server))
    assert ended.error is None
    assert ended.staged == {FILE: b"NUMBER = 2\n"}
    assert len(server.requests) == 3 + times
    waits = [event.detail for event in ended.of(events.Phase) if event.detail and "trying again" in event.detail]
    assert len(waits) == times
    assert all(status in wait for wait in waits)


async def test_a_fault_after_the_first_turn_repeats_no_tool(root: Path, pool: WorkerPool) -> None:
    write = Step(tools=[("write_file", {"path": "log.txt", "content": "once\n"})])
    with AnthropicServer([write, Step(text="Done.")], [Fault(529, times=2, step=1)]) as server:
        ended = await execute(root, pool, environ_for(server))
    assert ended.error is None
    assert [event.path for event in ended.of(events.File)] == ["log.txt"]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed_and_the_key_stays_here(root: Path, pool: WorkerPool, status: int) -> None:
    with AnthropicServer([CALL]) as elsewhere:
        fault = Fault(status, headers={"location": f"{elsewhere.url}/v1/messages"})
        with AnthropicServer([], [fault]) as server:
            ended = await execute(root, pool, environ_for(server))
        assert elsewhere.paths == []
    check(ended, "network", "redirects elsewhere", "endpoint")


async def test_nobody_listens(root: Path, pool: WorkerPool) -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    ended = await execute(root, pool, {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": url})
    check(ended, "network", url, "cannot be reached", "Nothing was sent")
    assert ended.run.requests[0][1] == Usage()


async def test_a_name_that_does_not_exist(root: Path, pool: WorkerPool) -> None:
    environ = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": "https://nowhere.invalid"}
    ended = await execute(root, pool, environ)
    check(ended, "network", "https://nowhere.invalid", "cannot be reached")


@pytest.mark.parametrize("step", [Step(text="a long answer", hold=True), None])
async def test_a_provider_that_falls_silent_is_given_up(root: Path, pool: WorkerPool, step: Step | None) -> None:
    """Before its headers or in the middle of a stream; it may have worked, so the reservation stays charged."""
    with AnthropicServer([step or CALL], [] if step else [Fault(200, stall=True)]) as server:
        ended = await execute(root, pool, environ_for(server), idle_seconds=0.3)
        assert server.holding.is_set()
    check(ended, "timeout", "fell silent")
    check_nothing_ran(ended)
    assert len(server.requests) == 1
    assert ended.run.requests[0][1] is None


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
    step = Step(text="Just a", tools=[("edit", EDIT)], error_event={"type": type_, "message": "said in the stream"})
    with AnthropicServer([step]) as server:
        ended = await execute(root, pool, environ_for(server))
    check(ended, kind, "said in the stream", "in the middle of its answer")
    check_nothing_ran(ended)
    assert len(server.requests) == 1
    assert ended.run.requests[0][1] is None


@pytest.mark.parametrize(
    ("step", "kind", "says"),
    [
        (
            Step(text="I write", tools=[("edit", '{"path": "src/nu')], stop="max_tokens"),
            "max-tokens",
            "inside a tool call",
        ),
        (Step(tools=[("edit", EDIT)], stop="max_tokens"), "max-tokens", "max_tokens of the agent"),
        (Step(text="On and on", stop="max_tokens"), "max-tokens", "output limit"),
        (Step(tools=[("edit", EDIT)], stop="model_context_window_exceeded"), "max-tokens", "context window"),
        (Step(text="I cannot help with that.", stop="refusal"), "refusal", "I cannot help with that."),
        (Step(tools=[("edit", EDIT)], stop="refusal"), "refusal", "refused"),
        (Step(), "agent", "empty"),
        (Step(text=" \n"), "agent", "empty"),
        (Step(text="Now.", stop="tool_use"), "agent", "sent none"),
        (Step(tools=[("edit", EDIT)], stop="reached_enlightenment"), "agent", "reached_enlightenment"),
        (Step(tools=[("edit", EDIT, "same"), ("read_file", {"path": FILE}, "same")]), "agent", "told apart"),
        (Step(tools=[("edit", EDIT, "")]), "agent", "told apart"),
    ],
)
async def test_an_answer_that_is_no_answer(
    root: Path, pool: WorkerPool, step: Step, kind: ErrorKind, says: str
) -> None:
    with AnthropicServer([step]) as server:
        ended = await execute(root, pool, environ_for(server))
    check(ended, kind, says)
    check_nothing_ran(ended)
    assert len(server.requests) == 1
    assert ended.run.requests[0][1] is not None


async def test_ending_without_a_word_after_the_work_is_an_end(root: Path, pool: WorkerPool) -> None:
    with AnthropicServer([*edits(FILE, "1", "2")[:2], Step()]) as server:
        ended = await execute(root, pool, environ_for(server))
    assert ended.result is not None
    assert ended.staged == {FILE: b"NUMBER = 2\n"}
    assert ended.result.summary == "Now the edit."


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
    check_nothing_ran(ended)


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


@pytest.mark.parametrize(
    "step",
    [
        Step(body="<html>Log in to the hotel's network</html>", content_type="text/html"),
        Step(body='{"type": "message"}', content_type="application/json"),
        Step(body="", content_type=""),
        Step(text="x", encoding="gzip"),
    ],
)
async def test_something_else_answers_in_the_apis_place(root: Path, pool: WorkerPool, step: Step) -> None:
    with AnthropicServer([step]) as server:
        ended = await execute(root, pool, environ_for(server))
    check(ended, "agent", "could not be read", "Messages API")
    assert len(server.requests) == 1


@pytest.mark.parametrize("endless", ["events", "line"])
async def test_an_endless_answer_is_hung_up_on_in_bounded_memory(root: Path, pool: WorkerPool, endless: str) -> None:
    with AnthropicServer([Step(text="x", endless=endless)]) as server:
        ended = await execute(root, pool, environ_for(server))
        assert await asyncio.to_thread(server.hung_up.wait, 30)
    check(ended, "agent", "larger than any answer")
    async with pool.worker(SCRIPT) as worker:
        assert psutil.Process(worker.pid).memory_info().rss < 400 * 1024 * 1024


@pytest.mark.parametrize("shown", [KEY, base64.b64encode(KEY.encode()).decode(), KEY.encode().hex()])
async def test_a_provider_that_echoes_the_key_does_not_get_it_shown(root: Path, pool: WorkerPool, shown: str) -> None:
    with AnthropicServer([], [Fault(401, "authentication_error", f"bad key {shown}!")]) as server:
        ended = await execute(root, pool, environ_for(server))
    check(ended, "auth", "bad key")
    assert shown not in str(ended.error)


async def test_no_key_is_said_before_anything_is_sent(root: Path, pool: WorkerPool) -> None:
    with AnthropicServer([CALL]) as server:
        ended = await execute(root, pool, {"ANTHROPIC_BASE_URL": server.url}, api_key_env="MY_KEY")
        assert server.paths == []
    check(ended, "auth", "MY_KEY", "kiro-lsp doctor")


@pytest.mark.parametrize(
    "url", ["http://example.test", "ftp://example.test", "//example.test", "https://user@example.test"]
)
async def test_a_key_is_not_sent_where_others_could_read_it(root: Path, pool: WorkerPool, url: str) -> None:
    ended = await execute(root, pool, {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": url})
    check(ended, "network", "no key is sent")


def offsets(stream: bytes) -> list[int]:
    """Where to cut: every byte with KIRO_LSP_SWEEP=full, else a share of all bytes and of line ends by that seed."""
    if SWEEP == "full":
        return list(range(len(stream) + 1))
    print(f"KIRO_LSP_SWEEP={SWEEP}")
    seed = int(SWEEP)
    ends = [place for place, byte in enumerate(stream) if byte == 0x0A]
    chosen = {len(stream), *random.Random(seed).sample(range(len(stream)), 40)}
    chosen.update(random.Random(seed + 1).sample(ends, 20))
    inside = stream.index("🦊".encode()) + 2
    return sorted({*chosen, *range(len(stream) - 4, len(stream)), inside, 0, 1})


@pytest.mark.parametrize("how", ["close", "end", "reset"])
async def test_a_stream_cut_at_any_byte_runs_no_tool(root: Path, pool: WorkerPool, how: str) -> None:
    whole = stream_of(CALL)
    with AnthropicServer() as server:
        for offset in offsets(whole):
            server.requests.clear()
            server.steps = [Step(raw=_as_raw(whole), cut_after=offset, cut_with=how), Step(text="Done.")]
            ended = await execute(root, pool, environ_for(server))
            if ended.error is None:
                assert offset == len(whole), f"an answer cut at byte {offset} of {len(whole)} was taken for whole"
                assert ended.staged == {FILE: b"NUMBER = 2\n"}
                continue
            check(ended, "network", "cut")
            check_nothing_ran(ended)
            assert len(server.requests) == 1, "a cut answer is not asked for again: it may have been charged"
            assert ended.run.requests[0][1] is None


def _as_raw(stream: bytes) -> list[tuple[str, str]]:
    parts = [part.split("\n") for part in stream.decode().strip().split("\n\n")]
    return [(name.removeprefix("event: "), data.removeprefix("data: ")) for name, data in parts]


async def held(root: Path, pool: WorkerPool, server: AnthropicServer) -> asyncio.Task[Ended]:
    """An execution in the middle of an answer."""
    running = asyncio.create_task(execute(root, pool, environ_for(server)))
    assert await asyncio.to_thread(server.holding.wait, 30)
    return running


async def test_cancelling_hangs_up_at_once_and_the_process_is_used_again(root: Path, pool: WorkerPool) -> None:
    async with pool.worker(SCRIPT) as worker:
        pid = worker.pid
    with AnthropicServer([Step(text="a long answer", hold=True)]) as server:
        running = await held(root, pool, server)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await asyncio.to_thread(server.hung_up.wait, 2)
    with AnthropicServer(edits(FILE, "1", "2")) as server:
        ended = await execute(root, pool, environ_for(server))
    assert ended.staged == {FILE: b"NUMBER = 2\n"}
    async with pool.worker(SCRIPT) as worker:
        assert worker.pid == pid


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
        assert await asyncio.to_thread(server.hung_up.wait, 2)


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


async def test_the_key_is_in_no_environment_and_no_argument(root: Path, pool: WorkerPool) -> None:
    with AnthropicServer([Step(text="a long answer", hold=True)]) as server:
        running = await held(root, pool, server)
        (child,) = [
            child
            for child in psutil.Process().children()
            if any("anthropic_worker" in part for part in child.cmdline())
        ]
        environ, arguments = child.environ(), child.cmdline()
        server.release()
        await running
    assert KEY not in str(environ) + str(arguments)
    assert not [name for name in environ if name.startswith(("ANTHROPIC", "KIRO"))]
