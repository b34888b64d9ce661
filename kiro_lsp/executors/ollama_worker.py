"""Speaks Ollama's own HTTP API: a program (see worker.py) that streams one request at a time.

Its lines, bounds and retries are those of provider_worker.py, which it loads by its path. An answer that is not complete in
every part is an error, so no half tool call ever leaves this process. Orders: {show: MODEL} says what a model can do,
{request: {…}} asks it.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import importlib.util
import json
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx2

if TYPE_CHECKING:
    from kiro_lsp.executors import provider_worker as shared
else:
    _spec = importlib.util.spec_from_file_location("provider_worker", Path(__file__).with_name("provider_worker.py"))
    shared = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(shared)

_SHOWN_BYTES: Final = 16 * 1024 * 1024
"""What is told about a model holds its licence and its vocabulary."""
_LOADED_SECONDS: Final = 5.0
_LONG: Final = timedelta(minutes=30)


class Answer:
    """One answer as its lines build it up. Raises Unreadable, TooLarge and Failed."""

    def __init__(self, output: shared.Output) -> None:
        self._output = output
        self._texts: dict[str, list[str]] = {"content": [], "thinking": []}
        self._calls: list[dict[str, Any]] = []
        self._end: Mapping[str, Any] | None = None
        self._size = shared.Size()

    def take(self, line: str) -> None:
        value = json.loads(line)
        if not isinstance(value, dict):
            raise shared.Unreadable("a line is no object")
        if "error" in value:
            raise shared.refused(200, "error", str(value["error"]), {})
        if "message" not in value and "done" not in value:
            raise shared.Unreadable("a line is none of an answer")
        if self._end is not None:
            raise shared.Unreadable("a line came after the end of the answer")
        message = value.get("message") or {}
        for name, kind in (("thinking", "thought"), ("content", "text")):
            text = message.get(name) or ""
            if not isinstance(text, str):
                raise shared.Unreadable(f"{name} is not text")
            if text:
                self._size.grow(len(text))
                self._texts[name].append(text)
                self._output.text(kind, text)
        for call in message.get("tool_calls") or ():
            self._add(call)
        if value.get("done") is True:
            self._end = value

    def complete(self) -> dict[str, Any] | None:
        """The values of `done`, None when the stream ended too early."""
        if self._end is None:
            return None
        counts = {name: self._end.get(name) for name in ("prompt_eval_count", "eval_count")}
        usage = {name: count for name, count in counts.items() if type(count) is int and count >= 0}
        texts = {name: "".join(parts) for name, parts in self._texts.items()}
        return {**texts, "calls": self._calls, "stop": str(self._end.get("done_reason") or "stop"), "usage": usage}

    def _add(self, call: Any) -> None:
        function = call["function"]
        if not isinstance(function["name"], str) or not function["name"]:
            raise shared.Unreadable("a tool call has no name")
        kept = {"id": call.get("id"), "name": function["name"], "arguments": function.get("arguments")}
        self._size.grow(len(json.dumps(kept)))
        self._calls.append(kept)
        self._output.line("tool", name=kept["name"])


async def _lines(body: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """The lines of a body; what follows the last line end is no line. Only a line feed ends one."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    parts: list[str] = []
    async for chunk in body:
        first, *others = decoder.decode(chunk).split("\n")
        parts.append(first)
        for text in others:
            if line := "".join(parts).strip():
                yield line
            parts = [text]
    if "".join(parts).strip():
        raise shared.Failed("cut", "the answer ended in the middle of a line")


def make_http(**more: Any) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(**shared.http_options(), **more)


async def attempt(http: httpx2.AsyncClient, order: Mapping[str, Any], output: shared.Output) -> dict[str, Any]:
    """One request and its whole answer. Raises Failed."""
    shows = "show" in order
    path, body = ("/api/show", {"model": order["show"]}) if shows else ("/api/chat", order["request"])
    answer = Answer(output)
    try:
        async with http.stream(
            "POST", order["baseUrl"] + path, json=body, timeout=shared.timeout_of(order)
        ) as response:
            if response.status_code != 200:
                raise await _status(response)
            if shows:
                return {**await _shown(response), **await _loaded(http, order)}
            if (kind := response.headers.get("content-type", "")).startswith("text/"):
                raise shared.Unreadable(f"it is {kind}")
            async for line in _lines(response.aiter_bytes()):
                answer.take(line)
    except httpx2.HTTPError as error:
        raise shared.connection(error) from error
    except httpx2.InvalidURL as error:
        raise shared.Failed("unreachable", str(error), sent=False) from error
    except (shared.Unreadable, shared.TooLarge, ValueError, KeyError, TypeError, AttributeError) as error:
        raise shared.unread(error) from error
    complete = answer.complete()
    if complete is None:
        raise shared.Failed("cut", "the answer ended in the middle")
    return complete


async def _read(response: httpx2.Response, limit: int) -> bytes:
    parts, size = [], 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > limit:
            raise shared.TooLarge
        parts.append(chunk)
    return b"".join(parts)


async def _shown(response: httpx2.Response) -> dict[str, Any]:
    """What matters of a model: its abilities (None: an older version, which does not say) and its context in tokens."""
    value = json.loads(await _read(response, _SHOWN_BYTES))
    info, able = value.get("model_info") or {}, value.get("capabilities")
    lengths = [count for name, count in info.items() if name.endswith(".context_length") and type(count) is int]
    return {
        "able": [str(word) for word in able] if isinstance(able, list) else None,
        "context": lengths[0] if lengths else None,
    }


async def _loaded(http: httpx2.AsyncClient, order: Mapping[str, Any]) -> dict[str, Any]:
    """How the model is loaded now: with which context (0: not, or an older version that does not say), and for long?"""
    loaded: dict[str, Any] = {"loaded": 0, "stays": False}
    with contextlib.suppress(httpx2.HTTPError, ValueError, KeyError, AttributeError, TypeError, shared.TooLarge):
        async with http.stream("GET", f"{order['baseUrl']}/api/ps", timeout=_LOADED_SECONDS) as response:
            models = json.loads(await _read(response, _SHOWN_BYTES))["models"]
        for model in models:
            if model["name"] in (order["show"], f"{order['show']}:latest"):
                context = model.get("context_length")
                loaded["loaded"] = context if type(context) is int and context > 0 else 0
                until = datetime.fromisoformat(model["expires_at"])
                loaded["stays"] = until - datetime.now(until.tzinfo) > _LONG
    return loaded


async def _status(response: httpx2.Response) -> shared.Failed:
    said = ""
    with contextlib.suppress(ValueError, AttributeError, TypeError, shared.TooLarge):
        said = str(json.loads(await _read(response, 1024 * 1024))["error"])
    return shared.refused(response.status_code, "", said, response.headers)


async def answer_order(http: httpx2.AsyncClient, order: Mapping[str, Any]) -> None:
    await shared.carry_out(order, lambda output: attempt(http, order, output))


async def warm() -> None:
    """Nothing is built at a first request."""


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(shared.serve(warm, make_http, answer_order))
