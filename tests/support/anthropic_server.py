"""A local server that speaks the Messages streaming API, well and badly, by a script (see provider_server.py).

Its answers follow the public API as the official SDK reads it; test_anthropic_server.py checks every event against the
SDK's own types. As a program, until its standard input ends: `python -m tests.support.anthropic_server --script FILE
--port-file FILE [--log FILE]`; the port file gets the URL. The script is JSON: {"steps": [fields of Step], "faults":
[fields of Fault]}.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.support.provider_server import (
    Fault,
    Handler,
    Json,
    ProviderServer,
    Step,
    closed_port,
    cut,
    edits,
    sse,
    write_script,
)

__all__ = ["AnthropicServer", "Fault", "Step", "closed_port", "edits", "write_script"]


def events_of(step: Step, model: str, request_tokens: int = 100, index: int = 0) -> Iterator[tuple[str, Any]]:
    """(event name, data) of a whole answer, as the API streams it. `index` makes ids differ between turns."""
    if step.raw is not None:
        yield from ((str(name), data) for name, data in step.raw)
        return
    usage: Json = {
        "input_tokens": request_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "service_tier": "standard",
        **(step.usage or {}),
    }
    yield "message_start", {"type": "message_start", "message": _message(model, usage, index)}
    yield "ping", {"type": "ping"}
    for number, (start, deltas) in enumerate(_blocks(step, index)):
        yield "content_block_start", {"type": "content_block_start", "index": number, "content_block": start}
        for delta in deltas:
            yield "content_block_delta", {"type": "content_block_delta", "index": number, "delta": delta}
        yield "content_block_stop", {"type": "content_block_stop", "index": number}
    if step.error_event is not None:
        yield "error", {"type": "error", "error": dict(step.error_event)}
        return
    stop = step.stop or ("tool_use" if step.tools else "end_turn")
    counted = {name: value for name, value in usage.items() if name.endswith("_tokens")} | {
        "output_tokens": usage.get("output_tokens", 20)
    }
    yield (
        "message_delta",
        {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": counted},
    )
    yield "message_stop", {"type": "message_stop"}


def _message(model: str, usage: Json, index: int) -> Json:
    return {
        "id": f"msg_{index:08d}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**usage, "output_tokens": 1},
    }


def _blocks(step: Step, index: int) -> Iterator[tuple[Json, Iterator[Json]]]:
    if step.thinking:
        thoughts: list[Json] = [
            {"type": "thinking_delta", "thinking": part} for part in cut(step.thinking, step.pieces)
        ]
        signature = {"type": "signature_delta", "signature": "c2lnbmVk"}
        yield {"type": "thinking", "thinking": "", "signature": ""}, iter([*thoughts, signature])
    if step.redacted:
        yield {"type": "redacted_thinking", "data": step.redacted}, iter(())
    text = step.text * step.repeat_text
    if text:
        yield {"type": "text", "text": ""}, ({"type": "text_delta", "text": part} for part in cut(text, step.pieces))
    for number, (name, args, *given) in enumerate(step.tools):
        raw = args if isinstance(args, str) else json.dumps(args)
        identifier = given[0] if given else f"toolu_{index:04d}{number:04d}"
        start = {"type": "tool_use", "id": identifier, "name": name, "input": {}}
        yield start, ({"type": "input_json_delta", "partial_json": part} for part in cut(raw, step.pieces))


def stream_of(step: Step, model: str = "claude-local", request_tokens: int = 100, index: int = 0) -> bytes:
    """The whole body of an answer."""
    return b"".join(sse(name, data) for name, data in events_of(step, model, request_tokens, index))


def step_index(request: Json) -> int:
    """How many turns with tool calls the conversation already has."""
    assistant = [message for message in request.get("messages", []) if message.get("role") == "assistant"]
    return sum(any(block.get("type") == "tool_use" for block in message["content"]) for message in assistant)


class _AnthropicHandler(Handler):
    spoken = ("/v1/messages",)
    first_piece = ("content_block_delta",)
    last_piece = ("content_block_stop",)

    def index_of(self, request: Json) -> int:
        return step_index(request)

    def events(self, step: Step, request: Json, index: int) -> Iterator[tuple[str, bytes]]:
        tokens = max(1, len(json.dumps(request)) // 4)
        return ((name, sse(name, data)) for name, data in events_of(step, request["model"], tokens, index))

    def offered(self, request: Json) -> list[str]:
        return [tool["name"] for tool in request.get("tools", ())]

    def error_of(self, fault: Fault) -> Json:
        return {"type": "error", "error": {"type": fault.type, "message": fault.message}}

    def endless_piece(self) -> bytes:
        delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "more " * 4000}}
        return sse("content_block_delta", delta)


class AnthropicServer(ProviderServer):
    """Runs in a thread on a free port of 127.0.0.1; use it as a context manager."""

    handler = _AnthropicHandler


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.support.anthropic_server")
    parser.add_argument("--script", type=Path, required=True)
    parser.add_argument("--port-file", type=Path, required=True)
    parser.add_argument("--log", type=Path)
    given = parser.parse_args(arguments)
    values = json.loads(given.script.read_text("utf-8"))
    steps = [Step(**step) for step in values.get("steps", ())]
    with AnthropicServer(steps, [Fault(**fault) for fault in values.get("faults", ())], log=given.log) as server:
        unfinished = given.port_file.with_name(f"{given.port_file.name}.part")
        unfinished.write_text(server.url, "utf-8")
        unfinished.replace(given.port_file)
        while sys.stdin.buffer.read(4096):
            pass


if __name__ == "__main__":
    main()
