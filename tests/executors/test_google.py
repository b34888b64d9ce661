"""Gemini with the real SDK against the local server: whole conversations, every way to fail, nothing half done."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from kiro_lsp import events
from kiro_lsp.budget import Usage
from kiro_lsp.errors import ErrorKind, ExecutorError
from kiro_lsp.executors.google import SCRIPT, GoogleExecutor
from kiro_lsp.executors.protocol import ExecutorRequest
from kiro_lsp.executors.worker import WorkerPool
from kiro_lsp.settings import AgentSettings
from tests.support import planted
from tests.support.anthropic_server import closed_port
from tests.support.claude import CountingRun, Ended
from tests.support.google_server import GoogleServer, Reply, Step, error_of, stream_of
from tests.support.tree import snapshot

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = planted.KEYS["bearer"]
AGENT = AgentSettings("gemini", type="google-api", label="Gemini", model="gemini-3.8-flash", max_tokens=4096)
FILE = "src/number.py"
EDIT = {"path": FILE, "old_text": "1", "new_text": "2"}
CALL = Step(thinking="Hm.", text="Now the edit 🦊.", tools=[("edit", EDIT)], signature="c2lnbmVk")
SWEEP = os.environ.get("KIRO_LSP_SWEEP", "20261121")  # read here: a test's own environment has no such names


async def execute(root: Path, pool: WorkerPool, url: str, *, idle: float = 60.0, key: str = KEY, **agent: Any) -> Ended:
    run = CountingRun(root)
    environ = {"GOOGLE_API_KEY": key, "GOOGLE_GEMINI_BASE_URL": url}
    request = ExecutorRequest(root_dir=root, ticket_markdown="Make the number two.", environ=environ)
    try:
        executor = GoogleExecutor(replace(AGENT, **agent), pool, idle_seconds=idle)
        return Ended(run, await executor.execute(request, run), None)
    except ExecutorError as error:
        return Ended(run, None, error)


async def play(root: Path, pool: WorkerPool, *steps: Step, **more: Any) -> tuple[Ended, GoogleServer]:
    with (server := GoogleServer(steps)):
        return await execute(root, pool, server.url, **more), server


def check(ended: Ended, kind: ErrorKind, *says: str) -> None:
    """A failure with its kind, words for a person and a next step; no tool ran for it."""
    assert ended.error is not None, f"it succeeded: {ended.result}"
    assert ended.error.kind == kind, ended.error
    for words in says:
        assert words in str(ended.error), str(ended.error)
    assert ended.error.hint
    assert KEY not in str(ended.error)
    assert ended.staged == {}
    assert ended.of(events.Tool) == []
    assert ended.of(events.File) == []


async def test_a_task_is_carried_out_over_several_turns(root: Path, pool: WorkerPool) -> None:
    before = snapshot(root)
    look = Step(
        thinking="I should look.", text="I read it.", tools=[("read_file", {"path": FILE})], signature="YWJj/+8="
    )
    ended, server = await play(root, pool, look, CALL, Step(text="Now it is two.\n\nAll is well."))
    assert ended.error is None
    assert ended.result is not None
    assert ended.result.summary == "All is well."
    assert ended.staged == {FILE: b"NUMBER = 2\n"}
    assert snapshot(root) == before
    assert ended.text == "I read it.Now the edit 🦊.Now it is two.\n\nAll is well."
    assert "".join(event.text for event in ended.of(events.Thought)) == "I should look.Hm."
    roles = [content["role"] for content in server.requests[2]["contents"]]
    assert roles == ["user", "model", "user", "model", "user"]
    signed = [part for part in server.requests[2]["contents"][1]["parts"] if "thoughtSignature" in part]
    assert [(part["thoughtSignature"].replace("-", "+").replace("_", "/")) for part in signed] == ["YWJj/+8="]
    assert signed[0]["functionCall"]["args"] == {"path": FILE}
    (answer,) = server.requests[2]["contents"][2]["parts"]
    assert answer["functionResponse"]["name"] == "read_file"
    assert "NUMBER = 1" in answer["functionResponse"]["response"]["output"]


async def test_what_is_stable_has_the_same_bytes_and_the_key_goes_in_a_header(root: Path, pool: WorkerPool) -> None:
    _, server = await play(root, pool, CALL)
    first, second = server.requests
    assert {name: value for name, value in first.items() if name != "contents"} == {
        name: value for name, value in second.items() if name != "contents"
    }
    assert second["contents"][: len(first["contents"])] == first["contents"]
    assert first["generationConfig"]["maxOutputTokens"] == 4096
    assert list(first["generationConfig"]["thinkingConfig"].values()) == [True]  # the API takes either spelling of it
    assert [tool["name"] for tool in first["tools"][0]["functionDeclarations"]][:2] == ["delete_file", "edit"]
    assert server.headers[0]["x-goog-api-key"] == KEY
    assert not any(KEY in path for path in server.paths)
    assert server.headers[0]["accept-encoding"] == "identity"


async def test_the_tools_of_one_turn_are_carried_out_in_order(root: Path, pool: WorkerPool) -> None:
    calls = [
        ("write_file", {"path": "a.txt", "content": "one\n"}),
        ("edit", {"path": "a.txt", "old_text": "one", "new_text": "two"}, "given-id"),
        ("read_file", {"path": "nowhere.txt"}),
    ]
    ended, server = await play(root, pool, Step(tools=calls), Step(text="Done."))
    assert ended.staged == {"a.txt": b"two\n"}
    answers = [part["functionResponse"] for part in server.requests[1]["contents"][2]["parts"]]
    assert [answer.get("id") for answer in answers] == [None, "given-id", None]
    assert [list(answer["response"]) for answer in answers] == [["output"], ["output"], ["error"]]


@pytest.mark.parametrize(("pieces", "size"), [(1, None), (3, 1), (5, 7), (1000, 64)])
async def test_a_stream_may_be_split_anywhere(root: Path, pool: WorkerPool, pieces: int, size: int | None) -> None:
    text = 'naïve 🦊 “quotes” \\ \u2028 "'
    way = {"write_size": size}
    write = Step(text=text, tools=[("write_file", {"path": "ü.txt", "content": text})], pieces=pieces, way=way)
    ended, _ = await play(root, pool, write, Step(text=text, pieces=pieces, way=way))
    assert ended.error is None
    assert ended.staged == {"ü.txt": text.encode()}
    assert ended.text == text * 2


@pytest.mark.parametrize(
    ("wire", "usage"),
    [
        ({"promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 120}, Usage(100, 20)),
        (
            {"promptTokenCount": 9, "candidatesTokenCount": 2, "thoughtsTokenCount": 5, "cachedContentTokenCount": 8},
            Usage(9, 7, 8),
        ),
        ({"promptTokenCount": 9, "toolUsePromptTokenCount": 3, "thoughtsTokenCount": 5}, Usage(12, 5)),
        ({"promptTokenCount": 9, "totalTokenCount": 9}, Usage(9, 0)),
        ({"promptTokenCount": 9, "candidatesTokenCount": 1, "cachedContentTokenCount": 99}, Usage(9, 1, 9)),
        ({"candidatesTokenCount": 5}, None),
        ({"promptTokenCount": 9}, None),
        ({}, None),
    ],
)
async def test_usage_is_counted_or_unknown(
    root: Path, pool: WorkerPool, wire: Mapping[str, int], usage: Usage | None
) -> None:
    ended, _ = await play(root, pool, Step(text="Done.", usage=wire))
    assert ended.error is None
    assert ended.run.requests[0][1] == usage


@pytest.mark.parametrize(
    ("step", "kind", "says"),
    [
        (Step(tools=[("edit", EDIT)], stop="MAX_TOKENS"), "max-tokens", "inside a tool call"),
        (Step(text="On and on", stop="MAX_TOKENS"), "max-tokens", "output limit"),
        *((Step(text="I", stop=word), "refusal", word) for word in ("SAFETY", "RECITATION", "PROHIBITED_CONTENT")),
        (Step(tools=[("edit", EDIT)], stop="SPII"), "refusal", "SPII"),
        (Step(blocked="PROHIBITED_CONTENT"), "refusal", "PROHIBITED_CONTENT"),
        (Step(stop="MALFORMED_FUNCTION_CALL"), "agent", "announced a tool call and sent none"),
        (Step(tools=[("edit", EDIT)], stop="MALFORMED_FUNCTION_CALL"), "agent", "sent none"),
        (Step(tools=[("edit", EDIT)], stop="UNEXPECTED_TOOL_CALL"), "agent", "sent none"),
        (Step(tools=[("edit", EDIT)], stop="OTHER"), "agent", "OTHER"),
        (Step(tools=[("edit", EDIT)], stop="CONTINUATION"), "agent", "CONTINUATION"),
        (Step(tools=[("edit", EDIT)], stop="ENLIGHTENED"), "agent", "ENLIGHTENED"),
        (Step(), "agent", "empty"),
        (Step(text=" \n"), "agent", "empty"),
        (Step(tools=[("edit", EDIT, "same"), ("read_file", {"path": FILE}, "same")]), "agent", "told apart"),
    ],
)
async def test_an_answer_that_is_no_answer(
    root: Path, pool: WorkerPool, step: Step, kind: ErrorKind, says: str
) -> None:
    ended, server = await play(root, pool, step)
    check(ended, kind, says)
    assert len(server.requests) == 1
    assert ended.run.requests[0][1] is not None


RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3600s"}
BAD_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}


@pytest.mark.parametrize(
    ("fault", "kind", "says", "requests", "charged"),
    [
        (error_of(400, "INVALID_ARGUMENT", "bad field"), "agent", ["(400)", "bad field"], 1, False),
        (error_of(400, "INVALID_ARGUMENT", "no", BAD_KEY), "auth", ["GOOGLE_API_KEY", "doctor --live"], 1, False),
        (
            error_of(400, "INVALID_ARGUMENT", "The input token count exceeds the maximum"),
            "max-tokens",
            ["Split the task"],
            1,
            False,
        ),
        (error_of(400, "FAILED_PRECONDITION", "location"), "payment", ["billing"], 1, False),
        (error_of(401, "UNAUTHENTICATED", "who?"), "auth", ["refused the key"], 1, False),
        (error_of(402, "X", "pay"), "payment", ["pay"], 1, False),
        (error_of(403, "PERMISSION_DENIED", "not yours"), "auth", ["no right"], 1, False),
        (error_of(404, "NOT_FOUND", "models/x"), "agent", ["does not know the model"], 1, False),
        (error_of(408, "X", "slow"), "timeout", [], 1, True),
        (error_of(413, "X", "big"), "max-tokens", ["too large"], 1, False),
        (error_of(429, "RESOURCE_EXHAUSTED", "quota"), "rate-limit", ["max_parallel"], 1, False),
        (error_of(429, "RESOURCE_EXHAUSTED", "quota", RETRY), "rate-limit", ["asks to wait 3600 s"], 1, False),
        (error_of(500, "INTERNAL", "oops", x_should_retry="false"), "agent", ["The provider failed (500)"], 1, True),
        (error_of(503, "UNAVAILABLE", "busy"), "overloaded", ["(503)", "busy"], 4, False),
        (error_of(504, "DEADLINE_EXCEEDED", "slow"), "timeout", [], 1, True),
        (error_of(529, "X", "busy"), "overloaded", ["(529)"], 4, False),
        (Reply(b"<html>I am a proxy</html>", 418), "agent", ["(418)"], 1, False),
        (Reply(b"[]", 400), "agent", ["(400)"], 1, False),
        (Reply(b"", 307, {"location": "http://127.0.0.1:9/"}), "network", ["redirects elsewhere"], 1, False),
    ],
)
async def test_an_http_error_ends_the_run_with_what_to_do(
    root: Path, pool: WorkerPool, fault: Reply, kind: ErrorKind, says: list[str], requests: int, charged: bool
) -> None:
    with (server := GoogleServer([CALL], [fault] * 4)):
        ended = await execute(root, pool, server.url)
    check(ended, kind, *says)
    assert len(server.requests) == requests
    assert ended.run.requests[0][1] == (None if charged else Usage())


async def test_a_short_trouble_is_waited_for_and_said(root: Path, pool: WorkerPool) -> None:
    soon = {**RETRY, "retryDelay": "0.01s"}
    faults = [error_of(503, "UNAVAILABLE", "busy"), error_of(429, "RESOURCE_EXHAUSTED", "quota", soon)]
    with (server := GoogleServer([CALL], faults)):
        ended = await execute(root, pool, server.url)
    assert ended.error is None
    assert ended.staged == {FILE: b"NUMBER = 2\n"}
    waits = [event.detail for event in ended.of(events.Phase) if event.detail and "trying again" in event.detail]
    assert len(waits) == 2


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 503, "message": "said in the stream", "status": "UNAVAILABLE"}, "overloaded"),
        ({"code": 429, "message": "said in the stream", "status": "RESOURCE_EXHAUSTED"}, "rate-limit"),
        ({"code": 500, "message": "said in the stream", "status": "INTERNAL"}, "agent"),
    ],
)
async def test_an_error_after_a_good_start(
    root: Path, pool: WorkerPool, error: dict[str, Any], kind: ErrorKind
) -> None:
    ended, server = await play(root, pool, Step(text="Just a", tools=[("edit", EDIT)], error=error))
    check(ended, kind, "said in the stream", "in the middle of its answer")
    assert len(server.requests) == 1
    assert ended.run.requests[0][1] is None


def sse(*chunks: Any) -> bytes:
    return b"".join(b"data: %s\r\n\r\n" % json.dumps(chunk).encode() for chunk in chunks)


def candidate(*parts: Any, stop: str | None = None) -> dict[str, Any]:
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, "finishReason": stop}]}


PART = {"functionCall": {"name": "edit", "args": EDIT}}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"data: {not json\r\n\r\n",
        b"data: []\r\n\r\n",
        b"data: 7\r\n\r\n",
        b'data: {"candidates": 7}\r\n\r\n',
        b'data: {"candidates": [{"content": {"parts": [{"text": "\xff"}]}, "finishReason": "STOP"}]}\r\n\r\n',
        sse(candidate(PART)),
        sse(candidate(stop="STOP"), candidate(PART)),
        sse(candidate({"functionCall": {"args": EDIT}}, stop="STOP")),
        sse(candidate({"functionCall": {"name": "edit", "args": "text"}}, stop="STOP")),
        sse(candidate({"functionCall": {"name": "edit", "args": EDIT, "willContinue": True}}, stop="STOP")),
        sse(candidate({"text": 7}, stop="STOP")),
        sse({"error": "odd"}),
        sse({"error": {"message": "without a code"}}),
    ],
)
async def test_a_stream_that_makes_no_sense_is_not_an_answer(root: Path, pool: WorkerPool, raw: bytes) -> None:
    ended, _ = await play(root, pool, Step(raw=raw))
    assert ended.error is not None
    check(ended, "network" if ended.error.kind == "network" else "agent")


@pytest.mark.parametrize("headers", [{"content-type": "text/html"}, {"content-encoding": "gzip"}, {}])
async def test_something_else_answers_in_the_apis_place(
    root: Path, pool: WorkerPool, headers: Mapping[str, str]
) -> None:
    ended, _ = await play(root, pool, Step(raw=b"<html>Log in</html>", way={"headers": headers}))
    check(ended, "agent", "could not be read", "Gemini API")


async def test_nobody_listens(root: Path, pool: WorkerPool) -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    ended = await execute(root, pool, url)
    check(ended, "network", url, "cannot be reached", "Nothing was sent")
    assert ended.run.requests[0][1] == Usage()


async def test_no_key_and_no_safe_address_are_said_before_anything_is_sent(root: Path, pool: WorkerPool) -> None:
    check(await execute(root, pool, "http://127.0.0.1:9", key=""), "auth", "GOOGLE_API_KEY", "kiro-lsp doctor")
    check(await execute(root, pool, "http://example.test"), "network", "no key is sent")
    check(await execute(root, pool, "http://127.0.0.1:9", model="../x"), "agent", "no name of a model")


async def test_a_provider_that_falls_silent_is_given_up(root: Path, pool: WorkerPool) -> None:
    ended, server = await play(root, pool, replace(CALL, way={"hold": 200}), idle=0.3)
    assert server.holding.is_set()
    check(ended, "timeout", "fell silent")
    assert ended.run.requests[0][1] is None


async def test_a_key_that_is_echoed_is_not_shown(root: Path, pool: WorkerPool) -> None:
    with (server := GoogleServer([], [error_of(401, "UNAUTHENTICATED", f"bad key {KEY}!")])):
        check(await execute(root, pool, server.url), "auth", "bad key")


@pytest.mark.parametrize(
    "endless",
    [b"x" * 65536, sse(candidate({"text": "more " * 200})) * 50, b"\r\n" * 32768],
    ids=["line", "text", "blank"],
)
async def test_an_endless_answer_is_hung_up_on_in_bounded_memory(root: Path, pool: WorkerPool, endless: bytes) -> None:
    with (server := GoogleServer([Step(raw=b"data: ", way={"endless": endless})])):
        ended = await execute(root, pool, server.url)
        assert await asyncio.to_thread(server.hung_up.wait, 30)
    assert ended.error is not None
    assert ended.error.kind == "agent"
    async with pool.worker(SCRIPT) as worker:
        assert psutil.Process(worker.pid).memory_info().rss < 500 * 1024 * 1024


async def test_cancelling_hangs_up_and_the_process_is_used_again(root: Path, pool: WorkerPool) -> None:
    async with pool.worker(SCRIPT) as worker:
        pid = worker.pid
    with (server := GoogleServer([replace(CALL, way={"hold": 200})])):
        running = asyncio.create_task(execute(root, pool, server.url))
        assert await asyncio.to_thread(server.holding.wait, 30)
        assert KEY not in str(psutil.Process(pid).environ()) + str(psutil.Process(pid).cmdline())
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await asyncio.to_thread(server.hung_up.wait, 2)
    ended, _ = await play(root, pool, CALL)
    assert ended.staged == {FILE: b"NUMBER = 2\n"}
    async with pool.worker(SCRIPT) as worker:
        assert worker.pid == pid


def offsets(stream: bytes) -> list[int]:
    """Where to cut: every byte with KIRO_LSP_SWEEP=full, else a share of all bytes by that seed."""
    if SWEEP == "full":
        return list(range(len(stream) + 1))
    print(f"KIRO_LSP_SWEEP={SWEEP}")
    chosen = random.Random(int(SWEEP)).sample(range(len(stream)), 40)
    inside = stream.index("🦊".encode()) + 2
    return sorted({*chosen, *range(len(stream) - 6, len(stream) + 1), inside, 0, 1})


@pytest.mark.parametrize("how", ["close", "end", "reset"])
async def test_a_stream_cut_at_any_byte_runs_no_tool(root: Path, pool: WorkerPool, how: str) -> None:
    whole = stream_of(CALL)
    text = len(whole.rstrip()) + 1
    with (server := GoogleServer()):
        for offset in offsets(whole):
            server.requests.clear()
            server.steps = [replace(CALL, way={"cut_after": offset, "cut_with": how}), Step(text="Done.")]
            ended = await execute(root, pool, server.url)
            if ended.error is None:
                assert offset >= text, f"an answer cut at byte {offset} of {len(whole)} was taken for whole"
                assert ended.staged == {FILE: b"NUMBER = 2\n"}
                continue
            check(ended, "network", "cut")
            assert len(server.requests) == 1, "a cut answer is not asked for again: it may have been charged"
            assert ended.run.requests[0][1] is None
