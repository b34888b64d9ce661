"""A local server that speaks Ollama's API as far as it is used here, well and badly, by a script."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.google_server import Json, Reply, StreamServer

MODEL: Json = {
    "license": "a long text",
    "model_info": {"general.architecture": "llama", "llama.context_length": 131072},
    "capabilities": ["completion", "tools", "thinking"],
}


@dataclass
class Step:
    """One turn of the model."""

    text: str = ""
    thinking: str = ""
    tools: Sequence[Sequence[Any]] = ()
    """(name, arguments) or (name, arguments, id)."""
    stop: str | None = "stop"
    usage: Mapping[str, Any] | None = None
    """The counts of the last line; None: ordinary ones."""
    pieces: int = 7
    error: str = ""
    """An error in the middle of the stream, after HTTP 200."""
    raw: bytes | None = None
    way: Mapping[str, Any] = field(default_factory=dict)
    """Fields of Reply."""


def lines_of(step: Step) -> list[Json]:
    """An answer as Ollama streams it; the last line has the end and the counts."""
    messages: list[Json] = [{"content": "", "thinking": part} for part in _cut(step.thinking, step.pieces)]
    messages += [{"content": part} for part in _cut(step.text, step.pieces)]
    for name, args, *given in step.tools:
        call = {"function": {"name": name, "arguments": args}, **({"id": given[0]} if given else {})}
        messages.append({"content": "", "tool_calls": [call]})
    found: list[Json] = [
        {"model": "local", "message": {"role": "assistant", **message}, "done": False} for message in messages
    ]
    if step.error:
        return [*found, {"error": step.error}]
    counts = {"prompt_eval_count": 100, "eval_count": 20} if step.usage is None else dict(step.usage)
    end = {"model": "local", "message": {"role": "assistant", "content": ""}, "done": True, **counts}
    return [*found, end if step.stop is None else {**end, "done_reason": step.stop}]


def _cut(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def stream_of(step: Step) -> bytes:
    if step.raw is not None:
        return step.raw
    return b"".join(f"{json.dumps(line, ensure_ascii=False)}\n".encode() for line in lines_of(step))


def error_of(status: int, message: str) -> Reply:
    return Reply(json.dumps({"error": message}).encode(), status, {"content-type": "application/json"})


class OllamaServer(StreamServer):
    """The step is the number of turns that the conversation already has."""

    def __init__(
        self, steps: Sequence[Step] = (), faults: Sequence[Reply] = (), *, model: Json | Reply | None = None
    ) -> None:
        super().__init__()
        self.steps = list(steps)
        self.faults = list(faults)
        """Each is given once to a chat, before the steps."""
        self.model = MODEL if model is None else model

    @property
    def chats(self) -> list[Json]:
        return [request for request in self.requests if "messages" in request]

    def reply(self, path: str, request: Json) -> Reply:
        if path == "/api/show":
            return self.model if isinstance(self.model, Reply) else Reply(json.dumps(self.model).encode())
        if path != "/api/chat":
            return error_of(404, path)
        if self.faults:
            return self.faults.pop(0)
        turns = sum(message["role"] == "assistant" for message in request["messages"])
        step = self.steps[turns] if turns < len(self.steps) else Step(text="Done.")
        return Reply(stream_of(step), **{"headers": {"content-type": "application/x-ndjson"}, **step.way})
