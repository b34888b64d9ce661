"""Ollama's API against the local server: tools, edits written as text, every way to fail, nothing half done."""

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
from kiro_lsp.executors.ollama import SCRIPT, OllamaExecutor
from kiro_lsp.executors.protocol import ExecutorRequest
from kiro_lsp.executors.worker import WorkerPool
from kiro_lsp.settings import AgentSettings
from tests.support.anthropic_server import closed_port
from tests.support.claude import CountingRun, Ended
from tests.support.google_server import Reply
from tests.support.ollama_server import MODEL, OllamaServer, Step, error_of, stream_of
from tests.support.tree import snapshot

pytestmark = pytest.mark.asyncio(loop_scope="module")

AGENT = AgentSettings("ollama", type="ollama", label="Ollama", model="local:7b", max_tokens=4096, billing="local")
FILE = "src/number.py"
EDIT = {"path": FILE, "old_text": "1", "new_text": "2"}
CALL = Step(thinking="Hm.", text="Now the edit 🦊.", tools=[("edit", EDIT)])
PLAIN = {**MODEL, "capabilities": ["completion"]}
"""A model that cannot call tools."""
WRITTEN = f"{FILE}\n\n```\n<<<<<<< SEARCH\nNUMBER = 1\n=======\nNUMBER = 2\n>>>>>>> REPLACE\n```\n\nNow it is two.\n"
SWEEP = os.environ.get("KIRO_LSP_SWEEP", "20261121")  # read here: a test's own environment has no such names


async def execute(
    root: Path, pool: WorkerPool, url: str, *, idle: float = 60.0, ticket: str = "Make the number two.", **agent: Any
) -> Ended:
    run = CountingRun(root)
    request = ExecutorRequest(root_dir=root, ticket_markdown=ticket, environ={"OLLAMA_HOST": url})
    try:
        executor = OllamaExecutor(replace(AGENT, **agent), pool, idle_seconds=idle)
        return Ended(run, await executor.execute(request, run), None)
    except ExecutorError as error:
        return Ended(run, None, error)


async def play(
    root: Path, pool: WorkerPool, *steps: Step, model: Any = None, **more: Any
) -> tuple[Ended, OllamaServer]:
    with (server := OllamaServer(steps, model=model)):
        return await execute(root, pool, server.url, **more), server


def check(ended: Ended, kind: ErrorKind, *says: str) -> None:
    """A failure with its kind, words for a person and a next step; no tool ran for it."""
    assert ended.error is not None, f"it succeeded: {ended.result}"
    assert ended.error.kind == kind, ended.error
    for words in says:
        assert words in str(ended.error), str(ended.error)
    assert ended.error.hint
    assert ended.staged == {}
    assert ended.of(events.Tool) == []
    assert ended.of(events.File) == []


async def test_a_task_is_carried_out_over_several_turns(root: Path, pool: WorkerPool) -> None:
    before = snapshot(root)
    look = Step(thinking="I should look.", text="I read it.", tools=[("read_file", {"path": FILE}, "call_x")])
    ended, server = await play(root, pool, look, CALL, Step(text="Now it is two.\n\nAll is well."))
    assert ended.error is None
    assert ended.result is not None
    assert ended.result.summary == "All is well."
    assert ended.staged == {FILE: b"NUMBER = 2\n"}
    assert snapshot(root) == before
    assert ended.text == "I read it.Now the edit 🦊.Now it is two.\n\nAll is well."
    assert "".join(event.text for event in ended.of(events.Thought)) == "I should look.Hm."
    first, _, last = server.chats
    assert [message["role"] for message in last["messages"]] == [
        *("system", "user", "assistant", "tool", "assistant", "tool")
    ]
    answer = last["messages"][3]
    assert (answer["tool_name"], answer["tool_call_id"]) == ("read_file", "call_x")
    assert "NUMBER = 1" in answer["content"]
    assert last["messages"][2]["thinking"] == "I should look."
    assert (first["think"], first["stream"]) == (True, True)
    assert first["options"] == {"num_ctx": 16384, "num_predict": 4096}
    assert last["messages"][: len(first["messages"])] == first["messages"]


async def test_the_tools_of_one_turn_are_carried_out_in_order(root: Path, pool: WorkerPool) -> None:
    calls = [
        ("write_file", {"path": "a.txt", "content": "one\n"}),
        ("edit", json.dumps({"path": "a.txt", "old_text": "one", "new_text": "two"})),
        ("read_file", {"path": "nowhere.txt"}),
        ("read_file", "{not json"),
    ]
    ended, server = await play(root, pool, Step(tools=calls), Step(text="Done."))
    assert ended.staged == {"a.txt": b"two\n"}
    answers = [message["content"] for message in server.chats[1]["messages"] if message["role"] == "tool"]
    assert [answer.startswith("Error: ") for answer in answers] == [False, False, True, True]
    assert "not valid JSON" in answers[3]


@pytest.mark.parametrize("model", [PLAIN, {"model_info": {}}], ids=["it says so", "an older version"])
async def test_a_model_without_tools_reads_and_edits_in_writing(root: Path, pool: WorkerPool, model: Any) -> None:
    older = [error_of(400, 'registry.ollama.ai/library/local:7b "does not support tools"'.replace('"', ""))]
    steps = [Step(text=f"READ: {FILE}\nREAD: nowhere.py\n"), Step(text=WRITTEN)]
    with (server := OllamaServer(steps, [] if model is PLAIN else older, model=model)):
        ended = await execute(root, pool, server.url, ticket="Make the number two; README.md says which.")
    assert ended.error is None, ended.error
    assert ended.staged == {FILE: b"NUMBER = 2\n"}
    first, second = server.chats[-2:]
    assert "tools" not in first
    told = first["messages"][1]
    assert told["role"] == "system"
    assert "<<<<<<< SEARCH" in told["content"]
    assert f"README.md\n{FILE}" in told["content"]
    assert "naïve 🦊" in told["content"]
    answers = second["messages"][-1]
    assert answers["role"] == "user"
    assert "NUMBER = 1" in answers["content"]
    assert "nowhere.py" in answers["content"]


async def test_written_edits_that_do_not_fit_come_back_to_the_model(root: Path, pool: WorkerPool) -> None:
    wrong = WRITTEN.replace("NUMBER = 1", "NOMBRE = 1")
    ended, server = await play(root, pool, Step(text=wrong), Step(text=WRITTEN), model=PLAIN)
    assert ended.error is None
    assert ended.staged == {FILE: b"NUMBER = 2\n"}
    assert "could not be used" in server.chats[1]["messages"][-1]["content"]


async def test_a_file_with_secrets_is_not_shown_to_a_model_without_tools(root: Path, pool: WorkerPool) -> None:
    (root / ".env").write_text("TOKEN=hush\n", "utf-8")
    steps = [Step(text="READ: .env"), Step(text="Done.")]
    _, server = await play(root, pool, *steps, model=PLAIN, ticket="Look at .env")
    assert len(server.chats) == 2
    assert "hush" not in json.dumps(server.requests)


async def test_the_context_grows_with_the_conversation_and_ends_at_the_models_own(root: Path, pool: WorkerPool) -> None:
    big = "x" * 120_000
    ended, server = await play(root, pool, CALL, ticket=big)
    assert ended.error is None
    assert server.chats[0]["options"]["num_ctx"] == 65536
    small = {**MODEL, "model_info": {"llama.context_length": 8192}}
    ended, server = await play(root, pool, model=small, ticket=big)
    check(ended, "max-tokens", "8192", "Split the task")
    assert server.chats == []
    assert ended.run.requests[0][1] == Usage()


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
        ({"prompt_eval_count": 7, "eval_count": 3}, Usage(7, 3)),
        ({"eval_count": 3}, None),
        ({"prompt_eval_count": 7}, None),
        ({"prompt_eval_count": -1, "eval_count": "3"}, None),
        ({"prompt_eval_count": True, "eval_count": 3}, None),
        ({}, None),
    ],
)
async def test_usage_is_counted_or_unknown(
    root: Path, pool: WorkerPool, wire: Mapping[str, Any], usage: Usage | None
) -> None:
    ended, _ = await play(root, pool, Step(text="Done.", usage=wire, stop=None))
    assert ended.error is None
    assert ended.run.requests[0][1] == usage


FULL = {"prompt_eval_count": 16_000, "eval_count": 384}


@pytest.mark.parametrize(
    ("step", "kind", "says"),
    [
        (Step(tools=[("edit", EDIT)], stop="length"), "max-tokens", "inside a tool call"),
        (Step(text="On and on", stop="length"), "max-tokens", "output limit"),
        (Step(text="On and on", stop="length", usage=FULL), "max-tokens", "context window"),
        (Step(tools=[("edit", EDIT)], stop="load"), "agent", "load"),
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
    assert len(server.chats) == 1


@pytest.mark.parametrize(
    ("fault", "kind", "says", "requests"),
    [
        (error_of(400, "bad field"), "agent", ["(400)", "bad field"], 1),
        (error_of(401, "who?"), "auth", ["who?"], 1),
        (error_of(404, "model 'local:7b' not found"), "agent", ["ollama pull local:7b"], 1),
        (error_of(408, ""), "timeout", [], 1),
        (error_of(413, ""), "agent", ["(413)"], 1),
        (error_of(429, "slower"), "rate-limit", ["slower"], 1),
        (error_of(500, "model requires more system memory (9 GiB) than is available"), "agent", ["smaller model"], 3),
        (error_of(500, "llama runner process has terminated"), "agent", ["Ollama failed (500)", "runner"], 3),
        (error_of(503, "server busy, please try again"), "overloaded", ["busy"], 3),
        (error_of(529, ""), "overloaded", [], 3),
        (Reply(b"<html>I am a proxy</html>", 418), "agent", ["(418)"], 1),
        (Reply(b"[]", 400), "agent", ["(400)"], 1),
        (Reply(b"", 307, {"location": "http://127.0.0.1:9/"}), "network", ["redirects elsewhere"], 1),
    ],
)
async def test_an_http_error_ends_the_run_with_what_to_do(
    root: Path, pool: WorkerPool, fault: Reply, kind: ErrorKind, says: list[str], requests: int
) -> None:
    with (server := OllamaServer([CALL], [fault] * 3)):
        ended = await execute(root, pool, server.url)
    check(ended, kind, *says)
    assert len(server.chats) == requests


async def test_a_short_trouble_is_waited_for_and_said(root: Path, pool: WorkerPool) -> None:
    with (server := OllamaServer([CALL], [error_of(503, "server busy")])):
        ended = await execute(root, pool, server.url)
    assert ended.error is None
    assert ended.staged == {FILE: b"NUMBER = 2\n"}
    assert any("trying again" in str(event.detail) for event in ended.of(events.Phase))


async def test_what_a_person_has_to_do_first_is_said_with_its_command(root: Path, pool: WorkerPool) -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    check(await execute(root, pool, url), "network", url, "ollama serve")
    missing = error_of(404, "model 'local:7b' not found")
    check((await play(root, pool, model=missing))[0], "agent", "is not there", "`ollama pull local:7b`")
    embedding = {**MODEL, "capabilities": ["embedding"]}
    check((await play(root, pool, model=embedding))[0], "agent", "no model for text", "ollama list")
    check(await execute(root, pool, url, model=None), "agent", "No model is set", "ollama list")
    check(await execute(root, pool, "ftp://x"), "network", "OLLAMA_HOST")


async def test_the_host_may_be_written_as_ollama_reads_it(root: Path, pool: WorkerPool) -> None:
    with (server := OllamaServer([CALL])):
        port = server.url.rpartition(":")[2]
        for host in (f"127.0.0.1:{port}", f"0.0.0.0:{port}", f"http://localhost:{port}/"):
            ended = await execute(root, pool, host)
            assert ended.staged == {FILE: b"NUMBER = 2\n"}, ended.error


async def test_an_error_after_a_good_start(root: Path, pool: WorkerPool) -> None:
    ended, server = await play(root, pool, Step(text="Just a", tools=[("edit", EDIT)], error="said in the stream"))
    check(ended, "agent", "said in the stream", "in the middle of its answer")
    assert len(server.chats) == 1


END = b'{"message": {"content": ""}, "done": true}\n'
PART = json.dumps({"message": {"tool_calls": [{"function": {"name": "edit", "arguments": EDIT}}]}}).encode() + b"\n"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n\n",
        b"{not json\n",
        b"[]\n",
        b"<html>Log in</html>\n",
        b'{"message": 7, "done": true}\n',
        b'{"message": {"content": 7}}\n' + END,
        b'{"message": {"content": "\xff"}}\n' + END,
        b'{"message": {"tool_calls": 7}}\n' + END,
        b'{"message": {"tool_calls": [{"function": {"name": ""}}]}}\n' + END,
        b'{"message": {"tool_calls": [{}]}}\n' + END,
        PART,
        END + PART,
        PART + END.replace(b"true", b"1"),
    ],
)
async def test_a_stream_that_makes_no_sense_is_not_an_answer(root: Path, pool: WorkerPool, raw: bytes) -> None:
    ended, _ = await play(root, pool, Step(raw=raw))
    assert ended.error is not None
    check(ended, "network" if ended.error.kind == "network" else "agent")


async def test_a_provider_that_falls_silent_is_given_up(root: Path, pool: WorkerPool) -> None:
    ended, server = await play(root, pool, replace(CALL, way={"hold": 100}), idle=0.5)
    assert server.holding.is_set()
    check(ended, "timeout", "fell silent")


@pytest.mark.parametrize(
    "endless", [b"x" * 65536, b'{"message": {"content": "%s"}}\n' % (b"more " * 2000), b"\n" * 65536]
)
async def test_an_endless_answer_is_hung_up_on_in_bounded_memory(root: Path, pool: WorkerPool, endless: bytes) -> None:
    with (server := OllamaServer([Step(raw=b"", way={"endless": endless})])):
        ended = await execute(root, pool, server.url)
        assert await asyncio.to_thread(server.hung_up.wait, 30)
    check(ended, "agent", "larger than any answer")
    async with pool.worker(SCRIPT) as worker:
        assert psutil.Process(worker.pid).memory_info().rss < 300 * 1024 * 1024


async def test_cancelling_hangs_up_and_the_process_is_used_again(root: Path, pool: WorkerPool) -> None:
    async with pool.worker(SCRIPT) as worker:
        pid = worker.pid
    with (server := OllamaServer([replace(CALL, way={"hold": 100})])):
        running = asyncio.create_task(execute(root, pool, server.url))
        assert await asyncio.to_thread(server.holding.wait, 30)
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
    return sorted({*chosen, *range(len(stream) - 4, len(stream) + 1), inside, 0, 1})


@pytest.mark.parametrize("how", ["close", "end", "reset"])
async def test_a_stream_cut_at_any_byte_runs_no_tool(root: Path, pool: WorkerPool, how: str) -> None:
    whole = stream_of(CALL)
    with (server := OllamaServer()):
        for offset in offsets(whole):
            server.requests.clear()
            server.steps = [replace(CALL, way={"cut_after": offset, "cut_with": how}), Step(text="Done.")]
            ended = await execute(root, pool, server.url)
            if ended.error is None:
                assert offset == len(whole), f"an answer cut at byte {offset} of {len(whole)} was taken for whole"
                assert ended.staged == {FILE: b"NUMBER = 2\n"}
                continue
            check(ended, "network", "cut")
            assert len(server.chats) == 1
            assert ended.run.requests[0][1] is None
