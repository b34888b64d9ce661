"""The only place that imports the anthropic SDK: a program (see worker.py) that streams one request at a time.

An order is {id, apiKey, baseUrl, retries, connectSeconds, idleSeconds, request: {…}}, and done is {content, stop, usage};
all other lines are those of provider_worker.py.

An answer that is not complete in every part is an error, so no half tool call ever leaves this process. It decides nothing
about runs, keeps nothing between requests but the connection, and ends at once when its standard input does. It is run by
its path and imports nothing of this project but provider_worker.py, by its path too.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anthropic
import httpx2

if TYPE_CHECKING:
    from kiro_lsp.executors import provider_worker as shared
    from kiro_lsp.executors.provider_worker import Failed, Output, Size, Unreadable
else:
    _spec = importlib.util.spec_from_file_location("provider_worker", Path(__file__).with_name("provider_worker.py"))
    shared = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(shared)
    Failed, Output, Size, Unreadable = shared.Failed, shared.Output, shared.Size, shared.Unreadable


_COUNTS: Final = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
_HOUR: Final = "ephemeral_1h_input_tokens"


class Answer:
    """A message as its stream builds it up. Raises Unreadable for events that no message is made of."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._blocks: dict[int, dict[str, Any]] = {}
        self._open: set[int] = set()
        self._stop: str | None = None
        self._usage: dict[str, int] = {}
        self._size = Size()
        self._begun = self._finished = False

    def take(self, event: Any) -> None:  # one of the SDK's raw stream events, or what it made of something else
        if self._begun == (event.type == "message_start") or self._finished:
            raise Unreadable(f"{event.type} came out of place")
        match event.type:
            case "message_start":
                self._begun = True
                self._count(event.message.usage)
            case "content_block_start":
                self._start(event.index, event.content_block)
            case "content_block_delta":
                if event.index not in self._open:
                    raise Unreadable("a delta came for a block that is not open")
                self._delta(self._blocks[event.index], event.delta)
            case "content_block_stop":
                if event.index not in self._open:
                    raise Unreadable("a block ended that is not open")
                self._open.remove(event.index)
            case "message_delta":
                self._stop = event.delta.stop_reason or self._stop
                self._count(event.usage)
            case "message_stop":
                self._finished = True

    def complete(self) -> dict[str, Any] | None:
        """The message, None when its stream ended too early."""
        if not self._finished or self._open:
            return None
        content = [self._blocks[index] for index in sorted(self._blocks)]
        return {"content": content, "stop": self._stop, "usage": self._usage}

    def _start(self, index: Any, content: Any) -> None:
        if not isinstance(index, int) or index in self._blocks:
            raise Unreadable("a block began twice, or without a number")
        block = content.model_dump(mode="json", exclude_none=True)
        if not isinstance(block.get("type"), str):
            raise Unreadable("a block has no type")
        self._blocks[index] = block
        self._open.add(index)
        self._size.grow(len(json.dumps(block)))
        if block["type"] == "tool_use":
            if not isinstance(block.get("id"), str) or not isinstance(block.get("name"), str):
                raise Unreadable("a tool call has no id or no name")
            block["input_json"] = ""
            self._output.line("tool", name=block["name"])

    def _delta(self, block: dict[str, Any], delta: Any) -> None:
        match delta.type:
            case "text_delta":
                self._add(block, "text", delta.text)
                self._output.text("text", delta.text)
            case "input_json_delta":
                self._add(block, "input_json", delta.partial_json)
            case "thinking_delta":
                self._add(block, "thinking", delta.thinking)
                self._output.text("thought", delta.thinking)
            case "signature_delta":
                block["signature"] = delta.signature

    def _add(self, block: dict[str, Any], name: str, text: Any) -> None:
        if not isinstance(text, str):
            raise Unreadable(f"a delta's {name} is not text")
        self._size.grow(len(text))
        block.setdefault(f"{name} parts", []).append(text)

    def joined(self) -> None:
        """Put the parts of each block together, once: adding to a string piece by piece is quadratic."""
        for block in self._blocks.values():
            for name in [name for name in block if name.endswith(" parts")]:
                target = name.removesuffix(" parts")
                block[target] = block.get(target, "") + "".join(block.pop(name))

    def _count(self, usage: Any) -> None:
        """Counts of a stream are running totals; of two reports the larger one holds."""
        written = getattr(usage, "cache_creation", None)
        for name in (*_COUNTS, _HOUR):
            value = getattr(written if name == _HOUR else usage, name, None)
            if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
                self._usage[name] = max(value, self._usage.get(name, 0))


def make_http(**more: Any) -> httpx2.AsyncClient:
    """The connections of this process, made once: loading certificates takes as long as a first answer does."""
    return anthropic.DefaultAsyncHttpxClient(**shared.http_options(), **more)


def make_client(order: Mapping[str, Any], http: httpx2.AsyncClient) -> anthropic.AsyncAnthropic:
    """A client with everything explicit: nothing of the environment or a profile decides where a key goes."""
    return anthropic.AsyncAnthropic(
        api_key=order["apiKey"],
        base_url=order["baseUrl"],
        max_retries=0,
        timeout=shared.timeout_of(order),
        http_client=http,
    )


async def attempt(client: anthropic.AsyncAnthropic, order: Mapping[str, Any], output: Output) -> dict[str, Any]:
    """One request and its whole answer. Raises Failed."""
    answer = Answer(output)
    try:
        async with await client.messages.create(stream=True, **order["request"]) as stream:
            shared.check_stream(stream.response)
            async for event in stream:
                answer.take(event)
    except anthropic.APIStatusError as error:
        raise _status(error) from error
    except anthropic.APIConnectionError as error:
        raise shared.connection(error.__cause__ or error) from error
    except httpx2.HTTPError as error:
        raise shared.connection(error) from error
    except (
        *(shared.TooLarge, Unreadable, anthropic.APIError),
        *(ValueError, KeyError, TypeError, AttributeError),
    ) as error:
        raise shared.unread(error) from error
    answer.joined()
    complete = answer.complete()
    if complete is None:
        raise Failed("cut", "the answer ended in the middle")
    return complete


def _status(error: anthropic.APIStatusError) -> Failed:
    body = error.body
    inner = body.get("error") if isinstance(body, dict) else None
    inner = inner if isinstance(inner, dict) else {}
    said = inner.get("message") if isinstance(inner.get("message"), str) else str(error.message)
    return shared.refused(error.status_code, str(inner.get("type", "")), str(said), error.response.headers)


async def carry_out(http: httpx2.AsyncClient, order: Mapping[str, Any]) -> None:
    client = make_client(order, http)
    await shared.carry_out(order, lambda output: attempt(client, order, output))


_CANNED: tuple[dict[str, Any], ...] = (
    {
        "type": "message_start",
        "message": {
            "id": "msg",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 1},
    },
    {"type": "message_stop"},
)


async def warm() -> None:
    """Read an answer out of memory once: the SDK builds its types at the first one, which takes as long as a network does."""
    order = {"apiKey": "none", "baseUrl": "http://127.0.0.1", "connectSeconds": 1, "idleSeconds": 1}
    transport = shared.canned(*((data["type"], data) for data in _CANNED))
    async with make_http(transport=transport) as http:
        message: Any = {"role": "user", "content": [{"type": "text", "text": "x"}]}
        stream = await make_client(order, http).messages.create(
            model="m", max_tokens=1, messages=[message], stream=True
        )
        async for _event in stream:
            pass


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(shared.serve(warm, make_http, carry_out))
