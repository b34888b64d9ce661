"""A local server that speaks Ollama's API as far as it is used here, well and badly, by a script (see provider_server.py).

A request without tools is answered as by a model that has none: what a step would call is written into its text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.support.provider_server import Fault, Handler, Json, ProviderServer, Step, cut

MODEL: Json = {
    "license": "a long text",
    "model_info": {"general.architecture": "llama", "llama.context_length": 131072},
    "capabilities": ["completion", "tools", "thinking"],
}
PLAIN: Json = {**MODEL, "capabilities": ["completion", "thinking"]}
"""A model that cannot call tools."""


def lines_of(step: Step, tokens: int = 100) -> Iterator[tuple[str, Any]]:
    """("line", "error" or "end", data) of a whole answer; the last line has the end and the counts."""
    if step.raw is not None:
        yield from ((str(name), data) for name, data in step.raw)
        return
    messages: list[Json] = [{"content": "", "thinking": part} for part in cut(step.thinking, step.pieces)]
    messages += [{"content": part} for part in cut(step.text * step.repeat_text, step.pieces)]
    for name, args, *given in step.tools:
        call = {"function": {"name": name, "arguments": args}, **({"id": given[0]} if given else {})}
        messages.append({"content": "", "tool_calls": [call]})
    for message in messages:
        yield "line", {"model": "local", "message": {"role": "assistant", **message}, "done": False}
    if step.error_event is not None:
        yield "error", {"error": step.error_event["message"]}
        return
    counts = {"prompt_eval_count": tokens, "eval_count": 20} if step.usage is None else dict(step.usage)
    end = {"model": "local", "message": {"role": "assistant", "content": ""}, "done": True, **counts}
    yield "end", {**end, "done_reason": step.stop or "stop"}


def written(step: Step) -> Step:
    """The step with its calls as a model without tools writes them; calls with broken arguments become broken edits."""
    asked = [f"READ: {args['path']}" for name, args, *_id in step.tools if name == "read_file"]
    blocks = [_block(args) for name, args, *_id in step.tools if name in ("edit", "write_file")]
    return replace(step, text="\n\n".join(part for part in (step.text, *asked, *blocks) if part), tools=())


def _block(args: Any) -> str:
    if isinstance(args, str):
        args = {"path": "src/number.py", "old_text": f"no such line: {args}", "new_text": ""}
    old, new = args.get("old_text", ""), args.get("new_text", args.get("content", ""))
    lines = [*([old] if old else []), "=======", *([new.removesuffix("\n")] if new else [])]
    return "\n".join([f"{args['path']}\n", "```", "<<<<<<< SEARCH", *lines, ">>>>>>> REPLACE", "```"])


def encoded(_name: str, data: Any) -> bytes:
    if isinstance(data, bytes):
        return data
    return (data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)).encode() + b"\n"


class _OllamaHandler(Handler):
    spoken = ("/api/chat",)
    first_piece = ("line",)
    last_piece = ("end",)
    content_type = "application/x-ndjson"

    def index_of(self, request: Json) -> int:
        turns = [message for message in request["messages"] if message["role"] == "assistant"]
        return sum(bool(turn.get("tool_calls")) for turn in turns) if "tools" in request else len(turns)

    def events(self, step: Step, request: Json, index: int) -> Iterator[tuple[str, bytes]]:
        tokens = max(1, len(json.dumps(request)) // 4)
        said = step if "tools" in request else written(step)
        return ((name, encoded(name, data)) for name, data in lines_of(said, tokens))

    def error_of(self, fault: Fault) -> Json:
        return {"error": fault.message}

    def endless_piece(self) -> bytes:
        return next(encoded(*event) for event in lines_of(Step(text="more " * 4000, pieces=20_000)))


class OllamaServer(ProviderServer):
    """Runs in a thread on a free port of 127.0.0.1; use it as a context manager. `model` is what it tells about a model."""

    handler = _OllamaHandler

    def __init__(
        self,
        steps: Sequence[Step] = (),
        faults: Sequence[Fault] = (),
        *,
        log: Path | None = None,
        model: Json | None = None,
    ) -> None:
        super().__init__(steps, faults, log=log)
        self.fixed["/api/show"] = (200, MODEL if model is None else model)


class PlainOllamaServer(OllamaServer):
    """The same with a model that cannot call tools."""

    def __init__(self, steps: Sequence[Step] = (), faults: Sequence[Fault] = (), *, log: Path | None = None) -> None:
        super().__init__(steps, faults, log=log, model=PLAIN)
