"""What the programs that speak to a provider share: lines in and out, bounds, faults of the network, attempts and their waits.

In, JSON lines: {id, …} asks, {id, cancel: true} stops. Out: ready; then with the id of the request any of text {text} |
thought {text} | tool {name} | retry {seconds, why, status}, and at the end exactly one of done {…} | error {what, status,
type, said, after, sent, again} | cancelled. A program loads this file by its path, because its own folder holds modules that are
called like the SDKs; it imports nothing of this project and no SDK.
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
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

import httpx2

_EVENT_STREAM: Final = "text/event-stream"
_MERGE_SECONDS: Final = 0.02
_LONGEST_WAIT: Final = 60.0
_FIRST_WAIT: Final = 0.5
_STREAM_BYTES: Final = 64 * 1024 * 1024
_LINE_BYTES: Final = 8 * 1024 * 1024
_LINES: Final = 2_000_000
_EVENT_LINES: Final = 1_000
"""Of an event in a stream of events, which has three; those who read one put it together in quadratic time."""
_CONTENT_CHARACTERS: Final = 4 * 1024 * 1024
"""A character is at most six bytes of JSON, and the other side takes lines of 32 MiB."""
_TRANSIENT: Final = frozenset({500, 502, 503, 529})


class Unreadable(Exception):
    """The answer is not one of the API that was asked."""


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


class Size:
    """How much of an answer was kept so far; what is kept outlives the stream, so it has a bound of its own."""

    def __init__(self) -> None:
        self._characters = 0

    def grow(self, characters: int) -> None:
        """Raises TooLarge."""
        self._characters += characters
        if self._characters > _CONTENT_CHARACTERS:
            raise TooLarge


class Bounded(httpx2.AsyncByteStream):
    """A body that is refused where a broken or hostile server would fill the memory with it."""

    def __init__(self, body: Any, *, events: bool) -> None:
        self._body = body
        self._events = events

    async def __aiter__(self) -> AsyncIterator[bytes]:
        total = line = lines = event_lines = 0
        last = b""
        async for chunk in self._body:
            total += len(chunk)
            newline = chunk.rfind(b"\n")
            line = line + len(chunk) if newline < 0 else len(chunk) - newline
            lines += _line_ends(chunk)
            if self._events:
                blank = max((last + chunk).rfind(end) for end in (b"\n\n", b"\r\n\r\n", b"\r\r"))
                event_lines = _line_ends((last + chunk)[blank:]) if blank >= 0 else event_lines + _line_ends(chunk)
                last = chunk[-3:]
            if total > _STREAM_BYTES or line > _LINE_BYTES or lines > _LINES or event_lines > _EVENT_LINES:
                raise TooLarge
            yield chunk

    async def aclose(self) -> None:
        await self._body.aclose()


def _line_ends(chunk: bytes) -> int:
    return chunk.count(b"\n") + chunk.count(b"\r")


async def _bound(response: httpx2.Response) -> None:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise Unreadable("it is compressed, though that was not asked for")
    kind = response.headers.get("content-type", "")
    response.stream = Bounded(response.stream, events=kind.startswith(_EVENT_STREAM))


def http_options() -> dict[str, Any]:
    """How every client of a provider is made: nothing is followed, nothing compressed, nothing without a bound."""
    return {
        "follow_redirects": False,
        "event_hooks": {"response": [_bound]},
        "headers": {"accept-encoding": "identity"},
    }


def timeout_of(order: Mapping[str, Any]) -> httpx2.Timeout:
    return httpx2.Timeout(order["idleSeconds"], connect=order["connectSeconds"])


def canned(*events: tuple[str, Mapping[str, Any]]) -> httpx2.MockTransport:
    """A connection that answers everything with an event stream out of memory; a name of "" is left out."""
    stream = "".join((f"event: {name}\n" if name else "") + f"data: {json.dumps(data)}\n\n" for name, data in events)
    headers = {"content-type": "text/event-stream"}
    return httpx2.MockTransport(lambda _request: httpx2.Response(200, headers=headers, content=stream.encode()))


def check_stream(response: httpx2.Response) -> None:
    """Raises Failed for an answer that is no event stream."""
    kind = response.headers.get("content-type", "")
    if not kind.startswith(_EVENT_STREAM):
        raise Failed("unreadable", f"it answers with {kind or 'nothing'} instead of an event stream")


class Failed(Exception):
    """One attempt ended without an answer. `sent`: the provider may have worked, and may charge for it."""

    def __init__(self, what: str, said: str = "", *, status: int = 0, type_: str = "", sent: bool = True) -> None:
        super().__init__(what)
        self.line = {"what": what, "status": status, "type": type_, "said": said[:2000], "sent": sent, "after": None}
        self.retry_in: float | None = None


def connection(error: BaseException) -> Failed:
    """What a fault of the network, or of what it brought, amounts to."""
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


def unread(error: Exception) -> Failed:
    """What an answer amounts to that could not be understood."""
    if isinstance(error, TooLarge):
        return Failed("too-large")
    if isinstance(error, UnicodeDecodeError):
        return Failed("cut" if "end of data" in error.reason else "unreadable", str(error))
    return Failed("unreadable", f"{type(error).__name__}: {error}")


def refused(status: int, type_: str, said: str, headers: Mapping[str, str], *, short: bool = False) -> Failed:
    """What an error that the provider states amounts to. `status` is under 300 when it came within the stream.

    Without retry-after a 429 is a spending limit, not a short burst, and trying again would change nothing; `short` says
    that the provider calls it a burst itself.
    """
    in_stream = status < 300
    sent = in_stream or not (status < 500 or status in (503, 529)) or status == 408
    failed = Failed("status", said, status=0 if in_stream else status, type_=type_, sent=sent)
    after = _seconds_of(headers)
    failed.line["after"] = after
    transient = status in _TRANSIENT or (status == 429 and (short or after is not None))
    soon = after is None or after <= _LONGEST_WAIT
    if transient and soon and headers.get("x-should-retry") != "false":
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


Attempt = Callable[[Output], Awaitable[dict[str, Any]]]
"""One request and its whole answer, as the values of `done`. Raises Failed."""


async def carry_out(order: Mapping[str, Any], attempt: Attempt) -> None:
    """Answer one order. Another attempt is made only when the one before certainly cost nothing.

    After one that may have cost something an error says with `again` how long to wait: whoever pays decides on another.
    """
    output = Output(order["id"])
    for tried in range(order["retries"] + 1):
        try:
            complete = await attempt(output)
        except Failed as failed:
            may_cost = bool(failed.line["sent"])
            if may_cost or failed.retry_in is None or tried == order["retries"]:
                output.line("error", **failed.line, again=failed.retry_in if may_cost else None)
                return
            seconds = failed.retry_in or _FIRST_WAIT * 2**tried * random.uniform(1, 1.25)  # noqa: S311  # jitter
            output.line("retry", seconds=round(seconds, 3), why=failed.line["what"], status=failed.line["status"])
            await asyncio.sleep(seconds)
        else:
            output.line("done", **complete)
            return


Serve = Callable[[httpx2.AsyncClient, Mapping[str, Any]], Awaitable[None]]


async def serve(
    warm: Callable[[], Awaitable[None]], make_http: Callable[[], httpx2.AsyncClient], answer: Serve
) -> None:
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
    current: asyncio.Future[None] | None = None
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
            current = loop.create_task(_whole(answer, http, order))
            current.add_done_callback(_crash)


async def _whole(answer: Serve, http: httpx2.AsyncClient, order: Mapping[str, Any]) -> None:
    await answer(http, order)


def _crash(handle: asyncio.Future[None]) -> None:
    """A fault of this program ends it: the other side sees that, instead of waiting for an answer that never comes."""
    if not handle.cancelled() and handle.exception() is not None:
        os._exit(70)
