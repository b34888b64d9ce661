"""The only place that imports the anthropic SDK: a program (see worker.py) that streams one request at a time.

In, JSON lines: {id, apiKey, baseUrl, retries, connectSeconds, idleSeconds, request: {…}} asks, {id, cancel: true} stops. Out:
ready; then with the id of the request any of text {text} | thought {text} | tool {name} | retry {seconds, why}, and at the
end exactly one of done {content, stop, usage} | error {what, status, type, said, after, sent} | cancelled.

An answer that is not complete in every part is an error, so no half tool call ever leaves this process. It decides nothing
about runs, keeps nothing between requests but the connection, and ends at once when its standard input does. It is run by
its path and imports nothing of this project.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import gc
import json
import math
import os
import random
import sys
import threading
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import anthropic
import httpx2

_MERGE_SECONDS: Final = 0.02
_LONGEST_WAIT: Final = 60.0
_FIRST_WAIT: Final = 0.5
_STREAM_BYTES: Final = 64 * 1024 * 1024
_LINE_BYTES: Final = 8 * 1024 * 1024
_CONTENT_CHARACTERS: Final = 8 * 1024 * 1024
_TRANSIENT: Final = frozenset({500, 502, 503, 529})


class Unreadable(Exception):
    """The answer is not one of the Messages API."""


class TooLarge(Exception):
    """The answer is longer than any answer may be."""


class Output:
    """Standard output, with the text pieces of a burst merged into one line; the first goes out at once.

    A line costs the other side a wake-up of its event loop, so a thousand deltas a second must not be a thousand lines.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._kind = ""
        self._text: list[str] = []
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def text(self, kind: str, text: str) -> None:
        if kind != self._kind:
            self.flush()
            self._kind = kind
        self._text.append(text)
        if time.monotonic() - self._last >= _MERGE_SECONDS:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_MERGE_SECONDS, self.flush)

    def flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._text:
            text, self._text = "".join(self._text), []
            self._last = time.monotonic()
            write({"id": self._number, "event": self._kind, "text": text})

    def line(self, event: str, **values: Any) -> None:
        self.flush()
        write({"id": self._number, "event": event, **values})


def write(value: Mapping[str, Any]) -> None:
    line = json.dumps(_valid(value), ensure_ascii=False).encode()
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


def _valid(value: Any) -> Any:
    """The value with lone surrogates replaced: no reader of JSON takes them."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    elif isinstance(value, dict):
        return {_valid(name): _valid(item) for name, item in value.items()}
    elif isinstance(value, list):
        return [_valid(item) for item in value]
    return value


class Answer:
    """A message as its stream builds it up. Raises Unreadable for events that no message is made of."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._blocks: dict[int, dict[str, Any]] = {}
        self._open: set[int] = set()
        self._stop: str | None = None
        self._usage: dict[str, int] = {}
        self._size = 0
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
        self._grow(len(json.dumps(block)))
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
        self._grow(len(text))
        block.setdefault(f"{name} parts", []).append(text)

    def _grow(self, characters: int) -> None:
        self._size += characters
        if self._size > _CONTENT_CHARACTERS:
            raise TooLarge

    def joined(self) -> None:
        """Put the parts of each block together, once: adding to a string piece by piece is quadratic."""
        for block in self._blocks.values():
            for name in [name for name in block if name.endswith(" parts")]:
                target = name.removesuffix(" parts")
                block[target] = block.get(target, "") + "".join(block.pop(name))

    def _count(self, usage: Any) -> None:
        """Counts of a stream are running totals; of two reports the larger one holds."""
        for name in ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"):
            value = getattr(usage, name, None)
            if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
                self._usage[name] = max(value, self._usage.get(name, 0))


class Bounded(httpx2.AsyncByteStream):
    """A body that is refused where a broken or hostile server would fill the memory with it."""

    def __init__(self, body: Any) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        total = line = 0
        async for chunk in self._body:
            total += len(chunk)
            newline = chunk.rfind(b"\n")
            line = line + len(chunk) if newline < 0 else len(chunk) - newline
            if total > _STREAM_BYTES or line > _LINE_BYTES:
                raise TooLarge
            yield chunk

    async def aclose(self) -> None:
        await self._body.aclose()


async def _bound(response: httpx2.Response) -> None:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise Unreadable("it is compressed, though that was not asked for")
    response.stream = Bounded(response.stream)


def make_http(**more: Any) -> httpx2.AsyncClient:
    """The connections of this process, made once: loading certificates takes as long as a first answer does."""
    return anthropic.DefaultAsyncHttpxClient(
        follow_redirects=False,
        event_hooks={"response": [_bound]},
        headers={"accept-encoding": "identity"},
        **more,
    )


def make_client(order: Mapping[str, Any], http: httpx2.AsyncClient) -> anthropic.AsyncAnthropic:
    """A client with everything explicit: nothing of the environment or a profile decides where a key goes."""
    return anthropic.AsyncAnthropic(
        api_key=order["apiKey"],
        base_url=order["baseUrl"],
        max_retries=0,
        timeout=httpx2.Timeout(order["idleSeconds"], connect=order["connectSeconds"]),
        http_client=http,
    )


class Failed(Exception):
    """One attempt ended without an answer. `sent`: the provider may have worked, and may charge for it."""

    def __init__(self, what: str, said: str = "", *, status: int = 0, type_: str = "", sent: bool = True) -> None:
        super().__init__(what)
        self.line = {"what": what, "status": status, "type": type_, "said": said[:2000], "sent": sent, "after": None}
        self.retry_in: float | None = None


async def attempt(client: anthropic.AsyncAnthropic, order: Mapping[str, Any], output: Output) -> dict[str, Any]:
    """One request and its whole answer. Raises Failed."""
    answer = Answer(output)
    try:
        async with await client.messages.create(stream=True, **order["request"]) as stream:
            kind = stream.response.headers.get("content-type", "")
            if not kind.startswith("text/event-stream"):
                raise Failed("unreadable", f"it answers with {kind or 'nothing'} instead of an event stream")
            async for event in stream:
                answer.take(event)
    except anthropic.APIStatusError as error:
        raise _status(error) from error
    except anthropic.APIConnectionError as error:
        raise _connection(error.__cause__ or error) from error
    except httpx2.HTTPError as error:
        raise _connection(error) from error
    except TooLarge as error:
        raise Failed("too-large") from error
    except UnicodeDecodeError as error:
        raise Failed("cut" if "end of data" in error.reason else "unreadable", str(error)) from error
    except (Unreadable, anthropic.APIError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Failed("unreadable", f"{type(error).__name__}: {error}") from error
    answer.joined()
    complete = answer.complete()
    if complete is None:
        raise Failed("cut", "the answer ended in the middle")
    return complete


def _connection(error: BaseException) -> Failed:
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        causes.append(cause)
    if any(isinstance(cause, Unreadable) for cause in causes):
        return Failed("unreadable", str(next(cause for cause in causes if isinstance(cause, Unreadable))))
    if any(isinstance(cause, TooLarge) for cause in causes):
        return Failed("too-large")
    said = next((str(cause) for cause in reversed(causes) if str(cause)), type(error).__name__)
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.UnsupportedProtocol | httpx2.ProxyError):
        failed = Failed("unreachable", said, sent=False)
        failed.retry_in = None if "CERTIFICATE" in said else 0.0
        return failed
    if isinstance(error, httpx2.TimeoutException):
        return Failed("silent", said)
    return Failed("cut", said)


def _status(error: anthropic.APIStatusError) -> Failed:
    body = error.body
    inner = body.get("error") if isinstance(body, dict) else None
    inner = inner if isinstance(inner, dict) else {}
    status = error.status_code
    said = inner.get("message") if isinstance(inner.get("message"), str) else str(error.message)
    in_stream = status < 400 and not 300 <= status < 400
    sent = in_stream or not (300 <= status < 500 or status in (503, 529)) or status == 408
    failed = Failed("status", str(said), status=0 if in_stream else status, type_=str(inner.get("type", "")), sent=sent)
    after = _seconds_of(error.response.headers)
    failed.line["after"] = after
    # Without retry-after a 429 is a spending limit, not a short burst: trying again would change nothing.
    transient = status in _TRANSIENT or (status == 429 and after is not None)
    soon = after is None or after <= _LONGEST_WAIT
    if transient and soon and error.response.headers.get("x-should-retry") != "false":
        failed.retry_in = after or 0.0
    return failed


def _seconds_of(headers: Mapping[str, str]) -> float | None:
    """How long the provider asks to wait: retry-after-ms, or retry-after as seconds or a date."""
    with contextlib.suppress(ValueError):
        return max(float(headers.get("retry-after-ms", "")) / 1000, 0.0)
    given = headers.get("retry-after", "")
    with contextlib.suppress(ValueError):
        seconds = float(given)
        return None if math.isnan(seconds) else max(seconds, 0.0)
    with contextlib.suppress(ValueError, TypeError):
        return max(email.utils.parsedate_to_datetime(given).timestamp() - time.time(), 0.0)
    return None


async def carry_out(http: httpx2.AsyncClient, order: Mapping[str, Any]) -> None:
    """Answer one order. Another attempt is made only when the one before certainly did nothing."""
    output, client = Output(order["id"]), make_client(order, http)
    sent = False
    for tried in range(order["retries"] + 1):
        try:
            complete = await attempt(client, order, output)
        except Failed as failed:
            sent = sent or bool(failed.line["sent"])
            if failed.retry_in is None or tried == order["retries"]:
                output.line("error", **failed.line | {"sent": sent})
                return
            seconds = failed.retry_in or _FIRST_WAIT * 2**tried * random.uniform(1, 1.25)  # noqa: S311  # jitter
            output.line("retry", seconds=round(seconds, 3), why=failed.line["what"], status=failed.line["status"])
            await asyncio.sleep(seconds)
        else:
            output.line("done", **complete)
            return


_CANNED: Final = b"".join(
    b"event: %s\ndata: %s\n\n" % (str(data["type"]).encode(), json.dumps(data).encode())
    for data in (
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
)


async def warm() -> None:
    """Read an answer out of memory once: the SDK builds its types at the first one, which takes as long as a network does."""
    order = {"apiKey": "none", "baseUrl": "http://127.0.0.1", "connectSeconds": 1, "idleSeconds": 1}
    headers = {"content-type": "text/event-stream"}
    transport = httpx2.MockTransport(lambda _request: httpx2.Response(200, headers=headers, content=_CANNED))
    async with make_http(transport=transport) as http:
        message: Any = {"role": "user", "content": [{"type": "text", "text": "x"}]}
        stream = await make_client(order, http).messages.create(
            model="m", max_tokens=1, messages=[message], stream=True
        )
        async for _event in stream:
            pass


async def serve() -> None:
    """Carry out orders until standard input ends, which ends the process whatever it is doing."""
    loop = asyncio.get_running_loop()
    orders: asyncio.Queue[bytes] = asyncio.Queue()

    def read() -> None:
        for line in sys.stdin.buffer:
            loop.call_soon_threadsafe(orders.put_nowait, line)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    await warm()
    http = make_http()
    gc.collect()
    gc.freeze()
    write({"id": 0, "event": "ready"})
    current: asyncio.Task[None] | None = None
    while True:
        order = json.loads(await orders.get())
        if current is not None:
            if order.get("cancel"):
                current.cancel()
            outcome = (await asyncio.gather(current, return_exceptions=True))[0]
            current = None
            if isinstance(outcome, Exception):
                raise outcome
        if order.get("cancel"):
            write({"id": order["id"], "event": "cancelled"})
        else:
            current = asyncio.create_task(carry_out(http, order))
            current.add_done_callback(_crash)


def _crash(handle: asyncio.Task[None]) -> None:
    """A fault of this program ends it: the other side sees that, instead of waiting for an answer that never comes."""
    if not handle.cancelled() and handle.exception() is not None:
        os._exit(70)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())
