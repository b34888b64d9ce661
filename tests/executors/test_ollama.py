"""What only Ollama has: models without tools, a context that grows, hints with its own commands, an address as it reads it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kiro_lsp.budget import Usage
from kiro_lsp.errors import ErrorKind, ExecutorError
from kiro_lsp.executors.ollama import OllamaExecutor
from kiro_lsp.executors.protocol import ExecutorRequest
from kiro_lsp.executors.worker import WorkerPool
from tests.executors.contract import CALL, EDIT, FILE, OLLAMA, READ, check
from tests.support.claude import CountingRun, Ended
from tests.support.ollama_server import MODEL, PLAIN, OllamaServer, written
from tests.support.provider_server import Fault, ProviderServer, Step, closed_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

TWO = {FILE: b"NUMBER = 2\n"}


async def execute(root: Path, pool: WorkerPool, url: str, ticket: str, **agent: Any) -> Ended:
    run = CountingRun(root)
    request = ExecutorRequest(root_dir=root, ticket_markdown=ticket, environ={"OLLAMA_HOST": url})
    try:
        return Ended(run, await OllamaExecutor(replace(OLLAMA.agent, **agent), pool).execute(request, run), None)
    except ExecutorError as error:
        return Ended(run, None, error)


async def play(
    root: Path,
    pool: WorkerPool,
    *steps: Step,
    faults: tuple[Fault, ...] = (),
    model: Any = None,
    ticket: str = "Make the number two.",
    **agent: Any,
) -> tuple[Ended, ProviderServer]:
    with OllamaServer(steps, faults, model=model) as server:
        return await execute(root, pool, server.url, ticket, **agent), server


async def test_what_is_sent(root: Path, pool: WorkerPool) -> None:
    _ended, server = await play(root, pool, Step(thinking="I should look.", tools=[(*READ, "call_x")]), CALL)
    first, _, last = server.requests
    assert [message["role"] for message in last["messages"]] == [
        *("system", "user", "assistant", "tool", "assistant", "tool")
    ]
    answer = last["messages"][3]
    assert (answer["tool_name"], answer["tool_call_id"]) == ("read_file", "call_x")
    assert last["messages"][2]["thinking"] == "I should look."
    assert (first["think"], first["stream"]) == (True, True)
    assert first["options"] == {"num_ctx": 16384, "num_predict": 4096}


async def test_arguments_may_come_as_the_text_that_the_model_wrote(root: Path, pool: WorkerPool) -> None:
    calls = [("edit", json.dumps(EDIT[1])), ("read_file", "{not json")]
    ended, server = await play(root, pool, Step(tools=calls))
    assert ended.staged == TWO
    answers = [message["content"] for message in server.requests[1]["messages"] if message["role"] == "tool"]
    assert [answer.startswith("Error: ") for answer in answers] == [False, True]
    assert "not valid JSON" in answers[1]


@pytest.mark.parametrize("model", [PLAIN, {"model_info": {}}], ids=["it says so", "an older version"])
async def test_a_model_without_tools_reads_and_edits_in_writing(root: Path, pool: WorkerPool, model: Any) -> None:
    older = (Fault(400, message="registry.ollama.ai/library/local:7b does not support tools", times=1),)
    steps = [Step(tools=[READ, ("read_file", {"path": "nowhere.py"})]), CALL]
    ended, server = await play(
        root,
        pool,
        *steps,
        faults=() if model is PLAIN else older,
        model=model,
        ticket="Make the number two; README.md says which.",
    )
    assert ended.error is None, ended.error
    assert ended.staged == TWO
    first, second = server.requests[-2:]
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
    wrong = written(CALL).text.replace("NUMBER = 1", "NOMBRE = 1")
    ended, server = await play(root, pool, Step(text=wrong), CALL, model=PLAIN)
    assert ended.staged == TWO, ended.error
    assert "could not be used" in server.requests[1]["messages"][-1]["content"]


async def test_a_file_with_secrets_is_not_shown_to_a_model_without_tools(root: Path, pool: WorkerPool) -> None:
    (root / ".env").write_text("TOKEN=hush\n", "utf-8")
    _ended, server = await play(root, pool, Step(text="READ: .env"), model=PLAIN, ticket="Look at .env")
    assert len(server.requests) == 2
    assert "hush" not in json.dumps(server.requests)


async def test_the_context_grows_with_the_conversation_and_ends_at_the_models_own(root: Path, pool: WorkerPool) -> None:
    big = "x" * 120_000
    ended, server = await play(root, pool, CALL, ticket=big)
    assert ended.error is None
    assert server.requests[0]["options"]["num_ctx"] == 65536
    small = {**MODEL, "model_info": {"llama.context_length": 8192}}
    ended, server = await play(root, pool, model=small, ticket=big)
    check(ended, "max-tokens", "8192", "Split the task")
    assert server.requests == []
    assert ended.run.requests[0][1] == Usage()


FULL = {"prompt_eval_count": 16_000, "eval_count": 384}


@pytest.mark.parametrize(
    ("step", "kind", "says"),
    [
        (Step(text="On and on", stop="length", usage=FULL), "max-tokens", "context window"),
        (Step(tools=[EDIT], stop="load"), "agent", "load"),
    ],
)
async def test_a_reason_to_stop(root: Path, pool: WorkerPool, step: Step, kind: ErrorKind, says: str) -> None:
    ended, server = await play(root, pool, step)
    check(ended, kind, says)
    assert len(server.requests) == 1


NO_MEMORY = "model requires more system memory (9 GiB) than is available"


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault(404, message="model 'local:7b' not found"), ["is not there", "`ollama pull local:7b`"]),
        (Fault(404, message="page missing"), ["(404): page missing", "refused the request"]),
        (Fault(500, message=NO_MEMORY, headers={"retry-after-ms": "1"}), ["does not fit", "smaller model"]),
        (Fault(500, message="llama runner", headers={"retry-after-ms": "1"}), ["Ollama failed (500): llama runner"]),
    ],
)
async def test_a_fault_in_ollamas_own_words(root: Path, pool: WorkerPool, fault: Fault, says: list[str]) -> None:
    ended, _server = await play(root, pool, CALL, faults=(fault,))
    check(ended, "agent", *says)


async def test_what_a_person_has_to_do_first_is_said_with_its_command(root: Path, pool: WorkerPool) -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    check(await execute(root, pool, url, "x"), "network", url, "ollama serve")
    embedding = {**MODEL, "capabilities": ["embedding"]}
    check((await play(root, pool, model=embedding))[0], "agent", "no model for text", "ollama list")
    check(await execute(root, pool, url, "x", model=None), "agent", "No model is set", "ollama list")
    check(await execute(root, pool, "ftp://x", "x"), "network", "OLLAMA_HOST")
    with OllamaServer() as server:
        server.fixed["/api/show"] = (404, {"error": "model 'local:7b' not found"})
        check(await execute(root, pool, server.url, "x"), "agent", "is not there", "`ollama pull local:7b`")


async def test_the_host_may_be_written_as_ollama_reads_it(root: Path, pool: WorkerPool) -> None:
    with OllamaServer([CALL]) as server:
        port = server.url.rpartition(":")[2]
        for host in (f"127.0.0.1:{port}", f"0.0.0.0:{port}", f"http://localhost:{port}/"):
            ended = await execute(root, pool, host, "Make the number two.")
            assert ended.staged == TWO, ended.error


END = b'{"message": {"content": ""}, "done": true}\n'
PART = json.dumps({"message": {"tool_calls": [{"function": {"name": "edit", "arguments": EDIT[1]}}]}}).encode() + b"\n"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n\n",
        b"{not json\n",
        b"[]\n",
        b"{}\n" + END,
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
    ended, _server = await play(root, pool, Step(raw=[("line", raw)]))
    assert ended.error is not None
    check(ended, "network" if ended.error.kind == "network" else "agent")
