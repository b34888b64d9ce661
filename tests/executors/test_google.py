"""What only the Gemini API has: signatures, reasons to stop, its own words for a fault, a stream of lines with \\r\\n."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kiro_lsp import events
from kiro_lsp.budget import Usage
from kiro_lsp.errors import ErrorKind
from kiro_lsp.executors.worker import WorkerPool
from tests.executors.contract import CALL, EDIT, GOOGLE, KEY, READ, check
from tests.support.claude import Ended
from tests.support.google_server import encoded, error_object
from tests.support.provider_server import Fault, ProviderServer, Step

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def play(
    root: Path, pool: WorkerPool, *steps: Step, faults: tuple[Fault, ...] = (), **agent: Any
) -> tuple[Ended, ProviderServer]:
    with GOOGLE.server(steps, faults) as server:
        return await GOOGLE.execute(root, pool, server.url, **agent), server


async def test_what_the_model_said_goes_back_as_it_was_signed(root: Path, pool: WorkerPool) -> None:
    look = Step(thinking="I should look.", text="I read it.", tools=[READ], redacted="YWJj/+8=")
    ended, server = await play(root, pool, look, CALL)
    assert ended.error is None
    contents = server.requests[2]["contents"]
    assert [content["role"] for content in contents] == ["user", "model", "user", "model", "user"]
    (signed,) = [part for part in contents[1]["parts"] if "thoughtSignature" in part]
    assert signed["thoughtSignature"].replace("-", "+").replace("_", "/") == "YWJj/+8="
    assert signed["functionCall"]["args"] == READ[1]


async def test_calls_are_answered_by_their_id_or_their_order(root: Path, pool: WorkerPool) -> None:
    calls = [READ, (*EDIT, "given-id"), ("read_file", {"path": "nowhere.txt"})]
    _ended, server = await play(root, pool, Step(tools=calls))
    answers = [part["functionResponse"] for part in server.requests[1]["contents"][2]["parts"]]
    assert [answer.get("id") for answer in answers] == [None, "given-id", None]
    assert [list(answer["response"]) for answer in answers] == [["output"], ["output"], ["error"]]


async def test_what_is_sent_and_the_key_goes_in_a_header(root: Path, pool: WorkerPool) -> None:
    _ended, server = await play(root, pool, Step(text="Done."))
    sent = server.requests[0]
    assert sent["generationConfig"]["maxOutputTokens"] == 4096
    assert list(sent["generationConfig"]["thinkingConfig"].values()) == [True]  # the API takes either spelling of it
    assert [tool["name"] for tool in sent["tools"][0]["functionDeclarations"]][:2] == ["delete_file", "edit"]
    assert server.headers[0]["x-goog-api-key"] == KEY
    assert not any(KEY in path for path in server.paths)
    assert server.headers[0]["accept-encoding"] == "identity"


@pytest.mark.parametrize("model", ["gemini-2.0-flash", "gemma-3-27b-it"])
async def test_a_model_without_thoughts_is_not_asked_for_them(root: Path, pool: WorkerPool, model: str) -> None:
    _ended, server = await play(root, pool, Step(text="Done."), model=model)
    assert "thinkingConfig" not in server.requests[0]["generationConfig"]


@pytest.mark.parametrize("stop", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE"])
async def test_a_broken_call_leaves_nothing_that_the_api_would_refuse(root: Path, pool: WorkerPool, stop: str) -> None:
    """A call without its answer, or a message without parts, is an error of the next request."""
    with GOOGLE.server() as server:
        server.first = [Step(stop=stop), Step(text="Now.", tools=[EDIT], stop=stop), CALL]
        ended = await GOOGLE.execute(root, pool, server.url)
    assert ended.staged == {"src/number.py": b"NUMBER = 2\n"}
    contents = server.requests[2]["contents"]
    assert [content["role"] for content in contents] == ["user", "user", "model", "user"]
    assert contents[2]["parts"] == [{"text": "Now."}]
    assert "could not be read" in contents[3]["parts"][0]["text"]
    again = [event.detail for event in ended.of(events.Phase) if "asking again" in (event.detail or "")]
    assert again == [f"asking again: a tool call could not be read ({stop})"] * 2


@pytest.mark.parametrize(
    ("step", "kind", "says"),
    [
        *((Step(text="I", stop=word), "refusal", word) for word in ("SAFETY", "RECITATION", "PROHIBITED_CONTENT")),
        (Step(tools=[EDIT], stop="SPII"), "refusal", "SPII"),
        (Step(stop="blocked: PROHIBITED_CONTENT"), "refusal", "PROHIBITED_CONTENT"),
        (Step(tools=[EDIT], stop="OTHER"), "agent", "OTHER"),
        (Step(tools=[EDIT], stop="CONTINUATION"), "agent", "CONTINUATION"),
        (Step(tools=[EDIT], stop="ENLIGHTENED"), "agent", "ENLIGHTENED"),
    ],
)
async def test_a_reason_to_stop(root: Path, pool: WorkerPool, step: Step, kind: ErrorKind, says: str) -> None:
    ended, server = await play(root, pool, step)
    check(ended, kind, says)
    assert len(server.requests) == 1
    assert ended.run.requests[0][1] is not None


def fault(status: int, message: str, name: str = "", *details: Any, times: int = 9) -> Fault:
    """As the API says it, with details."""
    body = json.dumps({"error": error_object(status, message, name, *details)})
    return Fault(status, body=body, headers={"content-type": "application/json"}, times=times)


def asks_to_wait(seconds: str) -> dict[str, str]:
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": seconds}


BAD_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}


@pytest.mark.parametrize(
    ("given", "kind", "says"),
    [
        (fault(400, "no", "", BAD_KEY), "auth", ["GOOGLE_API_KEY", "doctor --live"]),
        (fault(400, "The input token count exceeds the maximum"), "max-tokens", ["Split the task"]),
        (fault(400, "location", "FAILED_PRECONDITION"), "payment", ["Enable billing for the project"]),
        (fault(403, "not yours"), "auth", ["Check the project"]),
        (fault(429, "quota"), "rate-limit", ["The quota of the key", "max_parallel"]),
        (fault(429, "quota", "", asks_to_wait("3600s")), "rate-limit", ["asks to wait 3600 s"]),
    ],
)
async def test_a_fault_in_the_apis_own_words(
    root: Path, pool: WorkerPool, given: Fault, kind: ErrorKind, says: list[str]
) -> None:
    ended, server = await play(root, pool, faults=(given,))
    check(ended, kind, f"({given.status})", *says)
    assert len(server.requests) == 1
    assert ended.run.requests[0][1] == Usage()


async def test_a_wait_that_is_asked_for_in_the_details_is_kept(root: Path, pool: WorkerPool) -> None:
    ended, server = await play(root, pool, CALL, faults=(fault(429, "quota", "", asks_to_wait("0.01s"), times=1),))
    assert ended.error is None
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("name", "kind"),
    [("UNAVAILABLE", "overloaded"), ("RESOURCE_EXHAUSTED", "rate-limit"), ("INTERNAL", "agent"), ("NEW", "agent")],
)
async def test_an_error_in_the_stream(root: Path, pool: WorkerPool, name: str, kind: ErrorKind) -> None:
    step = Step(text="Just a", tools=[EDIT], error_event={"type": name, "message": "said in the stream"})
    ended, server = await play(root, pool, step)
    check(ended, kind, "said in the stream", "in the middle of its answer")
    assert len(server.requests) == 1
    assert ended.run.requests[0][1] is None


def candidate(*parts: Any, stop: str | None = None) -> dict[str, Any]:
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, "finishReason": stop}]}


PART = {"functionCall": {"name": EDIT[0], "args": EDIT[1]}}
NOT_UTF8 = b'data: {"candidates": [{"content": {"parts": [{"text": "\xff"}]}, "finishReason": "STOP"}]}\r\n\r\n'


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        ["{not json"],
        ["[]"],
        ["7"],
        ['{"candidates": 7}'],
        [NOT_UTF8],
        [candidate(PART)],
        [candidate(stop="STOP"), candidate(PART)],
        [candidate({"functionCall": {"args": EDIT[1]}}, stop="STOP")],
        [candidate({"functionCall": {"name": "edit", "args": "text"}}, stop="STOP")],
        [candidate({"functionCall": {"name": "edit", "args": EDIT[1], "willContinue": True}}, stop="STOP")],
        [candidate({"text": 7}, stop="STOP")],
        [{"error": "odd"}],
        [{"error": {"message": "without a code"}}],
    ],
)
async def test_a_stream_that_makes_no_sense_is_not_an_answer(root: Path, pool: WorkerPool, chunks: list[Any]) -> None:
    ended, _server = await play(root, pool, Step(raw=[("chunk", chunk) for chunk in chunks]))
    assert ended.error is not None
    check(ended, "network" if ended.error.kind == "network" else "agent")


async def test_a_model_that_is_no_name_is_said_before_anything_is_sent(root: Path, pool: WorkerPool) -> None:
    ended, server = await play(root, pool, model="../x")
    check(ended, "agent", "no name of a model")
    assert server.paths == []


async def test_events_are_framed_as_the_api_does() -> None:
    assert encoded("chunk", {"ü": 1}) == 'data: {"ü": 1}\r\n\r\n'.encode()
