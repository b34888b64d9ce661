"""JSON-RPC both ways on one event loop: answers, notifications, and our own requests to the client.

Every request gets exactly one answer. Values are plain dicts or bytes that are spliced in as they are. It knows the
protocol's rules and no feature.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import orjson

from kiro_lsp.lsp.background import Background

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
NOT_INITIALIZED: Final = -32002
REQUEST_CANCELLED: Final = -32800
CONTENT_MODIFIED: Final = -32801
REQUEST_FAILED: Final = -32803

MessageId = int | str | None

HANDED_ON: Final = object()
"""The result of a request that somebody else answers."""


class Raw:
    """A result that is JSON already, in one piece or several: a large one is copied once, on its way out."""

    __slots__ = ("parts",)

    def __init__(self, *parts: bytes) -> None:
        self.parts = parts

    def __bytes__(self) -> bytes:
        return b"".join(self.parts)


class ResponseError(Exception):
    """An answer that is an error; also what the client answered to a request of ours."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data


class Endpoint:
    """One connection. `send_bytes` gets message bodies, in order, and never blocks."""

    def __init__(self, send_bytes: Callable[[bytes], None]) -> None:
        self._send_bytes = send_bytes
        self._last_id = 0
        self._asked: dict[str, asyncio.Future[Any]] = {}
        self._closed = self._unanswered = False

    # Answers and notifications

    def answer(self, identifier: MessageId, result: Any) -> None:
        body = result.parts if isinstance(result, Raw) else (dumped(result),)
        # Joined, not formatted: that is ten times as fast for a large body.
        self._send_bytes(b"".join((b'{"jsonrpc":"2.0","id":', orjson.dumps(identifier), b',"result":', *body, b"}")))

    def refuse(self, identifier: MessageId, error: ResponseError) -> None:
        value = {"code": error.code, "message": error.message} | ({} if error.data is None else {"data": error.data})
        self._send_bytes(b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (orjson.dumps(identifier), dumped(value)))

    def notify(self, method: str, params: Any) -> None:
        if not self._closed:
            body = params.parts if isinstance(params, Raw) else (dumped(params),)
            parts = (b'{"jsonrpc":"2.0","method":', orjson.dumps(method), b',"params":', *body, b"}")
            self._send_bytes(b"".join(parts))

    # Requests of ours

    async def request(self, method: str, params: Any) -> Any:
        """Ask the client; waits as long as it takes. Raises ResponseError for an error answer or a lost connection."""
        if self._unanswered:
            raise ResponseError(REQUEST_FAILED, "the client is gone")
        self._last_id += 1
        identifier = f"kiro-{self._last_id}"
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked[identifier] = future
        head = b'{"jsonrpc":"2.0","id":%b,"method":%b,"params":%b}'
        self._send_bytes(head % (orjson.dumps(identifier), orjson.dumps(method), dumped(params)))
        try:
            return await future
        finally:
            self._asked.pop(identifier, None)
            if future.cancelled():
                self.notify("$/cancelRequest", {"id": identifier})

    def take_response(self, message: Mapping[str, Any]) -> None:
        """An answer of the client; one to nothing we asked is ignored."""
        future = self._asked.pop(str(message.get("id")), None)
        if future is None or future.done():
            return
        error = message.get("error")
        if isinstance(error, Mapping):
            code = error.get("code")
            future.set_exception(
                ResponseError(
                    code if isinstance(code, int) else INTERNAL_ERROR, str(error.get("message")), error.get("data")
                )
            )
        else:
            future.set_result(message.get("result"))

    def close(self) -> None:
        """The client is gone: nothing more is sent, and whoever waits for it is told."""
        self._closed = True
        self.give_up()

    def give_up(self) -> None:
        """The client answers no more: nothing more is asked, and whoever waits for an answer is told."""
        self._unanswered = True
        for future in list(self._asked.values()):
            if not future.done():
                future.set_exception(ResponseError(REQUEST_FAILED, "the client is gone"))
        self._asked.clear()


class Inbox:
    """Requests in flight: each is answered once, by its result, its error, or its cancellation."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._running: dict[MessageId, asyncio.Task[None]] = {}

    def start(self, identifier: MessageId, work: Coroutine[Any, Any, Any], group: Background) -> None:
        """Carry out a request in the background; what it returns is the answer, unless it is `HANDED_ON`."""
        job = group.create_task(self._carry_out(identifier, work), name=f"request {identifier}")
        self._running[identifier] = job

        def ended(job: asyncio.Task[None]) -> None:
            if self._running.get(identifier) is job:  # a client may have used the id again
                del self._running[identifier]
            if job.cancelled():  # before its first step, so that no line of it ran
                work.close()
                self._endpoint.refuse(identifier, ResponseError(REQUEST_CANCELLED, "cancelled"))

        job.add_done_callback(ended)

    def start_now(self, identifier: MessageId, work: Coroutine[Any, Any, Any], group: Background) -> None:
        """The same, but up to its first wait at once and without a task: most answers never wait.

        Until then there is no current task, so work that begins with `asyncio.timeout` or a task group belongs to `start`.
        """
        try:
            waiting = work.send(None)
        except StopIteration as done:
            self._endpoint.answer(identifier, done.value)
        except ResponseError as error:
            self._endpoint.refuse(identifier, error)
        except Exception as error:  # noqa: BLE001  # the request boundary, as below
            self._endpoint.refuse(identifier, ResponseError(INTERNAL_ERROR, f"{type(error).__name__}: {error}"))
        else:
            self.start(identifier, _resumed(work, waiting), group)

    def cancel(self, identifier: MessageId) -> None:
        job = self._running.get(identifier)
        if job is not None:
            job.cancel()

    def cancel_all(self) -> None:
        for job in list(self._running.values()):
            job.cancel()

    async def _carry_out(self, identifier: MessageId, work: Awaitable[Any]) -> None:
        try:
            result = await work
        except asyncio.CancelledError:
            self._endpoint.refuse(identifier, ResponseError(REQUEST_CANCELLED, "cancelled"))
        except ResponseError as error:
            self._endpoint.refuse(identifier, error)
        except Exception as error:  # noqa: BLE001  # the request boundary: a fault in one handler is one error answer
            self._endpoint.refuse(identifier, ResponseError(INTERNAL_ERROR, f"{type(error).__name__}: {error}"))
        else:
            if result is not HANDED_ON:
                self._endpoint.answer(identifier, result)


async def _resumed(work: Coroutine[Any, Any, Any], waiting: Any) -> Any:
    """Go on with a coroutine that waits for something already."""
    try:
        return await _Begun(work, waiting)
    finally:
        work.close()


class _Begun:
    """What a started coroutine still has to do, as an awaitable."""

    def __init__(self, work: Coroutine[Any, Any, Any], waiting: Any) -> None:
        self._work, self._waiting = work, waiting

    def __await__(self) -> Generator[Any, Any, Any]:
        waiting = self._waiting
        while True:
            try:
                sent = yield waiting
            except BaseException as error:  # noqa: BLE001  # cancellation too: it goes to the work, which decides
                step: Callable[[], Any] = partial(self._work.throw, error)
            else:
                step = partial(self._work.send, sent)
            try:
                waiting = step()
            except StopIteration as done:
                return done.value


def dumped(value: Any) -> bytes:
    """JSON as clients expect it; a lone surrogate in a text becomes U+FFFD rather than an unanswered request."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return orjson.dumps(_without_surrogates(value))


def dumped_each(texts: Sequence[str]) -> list[bytes]:
    """Each text as JSON by itself, encoded together: one call costs as much as a hundred short texts in one."""
    return [b'"%b"' % text for text in dumped_between_quotes(texts)]


def dumped_between_quotes(texts: Sequence[str]) -> list[bytes]:
    """The same without the quotes around each."""
    # No quote stands inside an encoded text without a backslash before it, so this is found between two texts only.
    return dumped(texts)[2:-2].split(b'","') if texts else []


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Mapping):
        return {_without_surrogates(str(key)): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_surrogates(item) for item in value]
    return value
