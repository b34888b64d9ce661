"""A local server that speaks OpenAI's two streaming APIs, well and badly, by a script (see provider_server.py).

`/v1/responses` and `/v1/chat/completions` with real event streams; which step of a script is meant is found from the request
alone (how many turns with tool calls it holds). test_openai_server.py checks every event against the SDK's own types.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

from tests.support.provider_server import Fault, Handler, Json, ProviderServer, Step, cut, sse


def _calls(step: Step, index: int) -> Iterator[tuple[str, str, str]]:
    """(id, name, arguments) of the step's tool calls."""
    for number, (name, args, *given) in enumerate(step.tools):
        raw = args if isinstance(args, str) else json.dumps(args)
        yield (given[0] if given else f"call_{index:04d}{number:04d}"), name, raw


def responses_of(step: Step, model: str, tokens: int = 100, index: int = 0) -> Iterator[tuple[str, Json | str]]:
    """(event name, data) of a whole answer of the Responses API."""
    if step.raw is not None:
        yield from ((str(name), data) for name, data in step.raw)
        return
    numbers = itertools.count()

    def event(kind: str, **values: Any) -> tuple[str, Json]:
        return kind, {"type": kind, "sequence_number": next(numbers), **values}

    empty = {"id": f"resp_{index}", "object": "response", "created_at": 1, "model": model, "output": []}
    empty |= {"parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
    yield event("response.created", response={**empty, "status": "in_progress"})
    items: list[Json] = []
    for place, (begun, deltas, done) in enumerate(_items(step, index)):
        yield event("response.output_item.added", output_index=place, item=begun)
        for kind, values in deltas:
            yield event(kind, output_index=place, item_id=begun["id"], **values)
        if place == len(step.tools) and step.error_event is not None:
            break
        yield event("response.output_item.done", output_index=place, item=done)
        items.append(done)
    if step.error_event is not None:
        error = {"code": step.error_event["type"], "message": step.error_event["message"]}
        if step.stop == "failed":
            yield event("response.failed", response={**empty, "status": "failed", "error": error})
        else:
            yield event("error", **error, param=None)
        return
    status = "incomplete" if step.stop in ("max_output_tokens", "content_filter") else "completed"
    why = {"incomplete_details": {"reason": step.stop}} if status == "incomplete" else {}
    usage = _responses_usage(step, tokens)
    yield event(f"response.{status}", response={**empty, "status": status, "output": items, "usage": usage, **why})


def _responses_usage(step: Step, tokens: int) -> Any:
    if step.usage is not None:
        return dict(step.usage) or None
    return {
        "input_tokens": tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": tokens + 20,
    }


def _items(step: Step, index: int) -> Iterator[tuple[Json, list[tuple[str, Json]], Json]]:
    if step.thinking or step.redacted:
        item: Json = {"id": f"rs_{index}", "type": "reasoning", "summary": []}
        part = {"type": "summary_text", "text": step.thinking}
        deltas: list[tuple[str, Json]] = [
            ("response.reasoning_summary_part.added", {"summary_index": 0, "part": {**part, "text": ""}})
        ]
        deltas += [
            ("response.reasoning_summary_text.delta", {"summary_index": 0, "delta": piece})
            for piece in cut(step.thinking, step.pieces)
        ]
        whole = {**item, "summary": [part], "encrypted_content": step.redacted or "ZW5jcnlwdGVk"}
        yield item, deltas, whole
    text = step.text * step.repeat_text
    if text:
        refusal = step.stop == "refusal"
        kind, name = ("refusal", "refusal") if refusal else ("output_text", "text")
        message = {"id": f"msg_{index}", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
        whole_part: Json = {"type": kind, name: text} | ({} if refusal else {"annotations": []})
        more: Json = {"content_index": 0} | ({} if refusal else {"logprobs": []})
        pieces = [(f"response.{kind}.delta", {**more, "delta": piece}) for piece in cut(text, step.pieces)]
        yield message, pieces, {**message, "status": "completed", "content": [whole_part]}
    for number, (identifier, name, raw) in enumerate(_calls(step, index)):
        if "." in name:
            yield _custom(identifier, name, raw, step.pieces)
            continue
        call = {"id": f"fc_{index}_{number}", "type": "function_call", "status": "in_progress"}
        call |= {"call_id": identifier, "name": name, "arguments": ""}
        pieces = [("response.function_call_arguments.delta", {"delta": piece}) for piece in cut(raw, step.pieces)]
        yield call, pieces, {**call, "status": "completed", "arguments": raw}


def _custom(identifier: str, name: str, raw: str, pieces: int) -> tuple[Json, list[tuple[str, Json]], Json]:
    """A call of a tool in a namespace, which gets a text and no JSON."""
    space, _, own = name.partition(".")
    call = {"id": f"ctc_{identifier}", "type": "custom_tool_call", "status": "in_progress"}
    call |= {"call_id": identifier, "name": own, "namespace": space, "input": ""}
    deltas: list[tuple[str, Json]] = [
        ("response.custom_tool_call_input.delta", {"delta": piece}) for piece in cut(raw, pieces)
    ]
    return call, deltas, {**call, "status": "completed", "input": raw}


def chunks_of(step: Step, model: str, tokens: int = 100, index: int = 0) -> Iterator[tuple[str, Json | str]]:
    """("chunk" or "end", data) of a whole answer of Chat Completions."""
    if step.raw is not None:
        yield from ((str(name), data) for name, data in step.raw)
        return
    base = {"id": f"chatcmpl-{index}", "object": "chat.completion.chunk", "created": 1, "model": model}

    def chunk(delta: Json, finish: str | None = None) -> tuple[str, Json]:
        return "chunk", {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    yield chunk({"role": "assistant", "content": ""})
    for piece in cut(step.thinking, step.pieces):
        yield chunk({"reasoning_content": piece})
    for piece in cut(step.text * step.repeat_text, step.pieces):
        yield chunk({"refusal" if step.stop == "refusal" else "content": piece})
    for number, (identifier, name, raw) in enumerate(_calls(step, index)):
        call = {"index": number, "id": identifier, "type": "function", "function": {"name": name, "arguments": ""}}
        yield chunk({"tool_calls": [call]})
        for piece in cut(raw, step.pieces):
            yield chunk({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
    if step.error_event is not None:
        yield "chunk", {"error": {"code": step.error_event["type"], "message": step.error_event["message"]}}
        return
    stop = {"refusal": "stop", None: "tool_calls" if step.tools else "stop"}.get(step.stop, step.stop)
    yield "end", chunk({}, stop)[1]
    if step.usage is None or step.usage:
        usage = step.usage or {"prompt_tokens": tokens, "completion_tokens": 20, "total_tokens": tokens + 20}
        yield "usage", {**base, "choices": [], "usage": dict(usage)}
    yield "usage", "[DONE]"


def encoded(name: str, data: Json | str) -> bytes:
    if name in ("chunk", "end", "usage"):
        return sse("", data)
    return sse(name, data)


class _OpenaiHandler(Handler):
    spoken = ("/v1/responses", "/v1/chat/completions")
    first_piece = ("response.output_text.delta", "chunk")
    last_piece = ("response.output_item.done", "end")

    @property
    def by_responses(self) -> bool:
        return self.path.startswith("/v1/responses")

    def index_of(self, request: Json) -> int:
        if not self.by_responses:
            return sum(bool(message.get("tool_calls")) for message in request["messages"])
        kinds = [item.get("type", "message") for item in request["input"]]
        calls = ("function_call", "custom_tool_call")
        return sum(kind in calls and kinds[place - 1] not in calls for place, kind in enumerate(kinds))

    def events(self, step: Step, request: Json, index: int) -> Iterator[tuple[str, bytes]]:
        made = responses_of if self.by_responses else chunks_of
        tokens = max(1, len(json.dumps(request)) // 4)
        return ((name, encoded(name, data)) for name, data in made(step, request["model"], tokens, index))

    def offered(self, request: Json) -> list[str]:
        """Codex puts its tools into an item of the input, in namespaces: `functions.exec`."""
        found = [tool.get("function", tool).get("name", "") for tool in request.get("tools", ())]
        items = request["input"] if self.by_responses and isinstance(request["input"], list) else []
        for item in items:
            for space in item.get("tools", ()) if item.get("type") == "additional_tools" else ():
                found += [f"{space['name']}.{tool['name']}" for tool in space.get("tools", ())]
        return found

    def error_of(self, fault: Fault) -> Json:
        return {"error": {"type": fault.type, "code": fault.type, "message": fault.message, "param": None}}

    def endless_piece(self) -> bytes:
        if self.by_responses:
            values = {"output_index": 0, "item_id": "msg_0", "content_index": 0, "delta": "more " * 4000}
            return sse("response.output_text.delta", {"type": "response.output_text.delta", **values})
        delta = {"index": 0, "delta": {"content": "more " * 4000}, "finish_reason": None}
        return encoded("chunk", {"id": "c", "object": "chat.completion.chunk", "choices": [delta]})


class OpenaiServer(ProviderServer):
    """Runs in a thread on a free port of 127.0.0.1; use it as a context manager. `url` is the whole base address."""

    handler = _OpenaiHandler

    @property
    def url(self) -> str:
        return f"{super().url}/v1"
