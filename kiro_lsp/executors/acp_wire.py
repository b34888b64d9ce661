"""The wire of an agent that speaks ACP: frames of a bounded size, and nothing through that is not well-formed.

The only importer of the ACP SDK. Its Connection pairs requests with answers; below it are the pipes of a program that we
started ourselves, above it handlers that never raise. What the program writes that is no JSON-RPC is counted and kept,
bounded, for the message that says what went wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from kiro_lsp.sandbox.processes import Conversation

FRAME_BYTES: Final = 16 * 1024 * 1024
"""One message at most. A diff in one holds a file twice."""
CONVERSATION_BYTES: Final = 1024 * 1024 * 1024
_READ: Final = 64 * 1024
_GARBAGE_LINES: Final = 10_000
_GARBAGE_KEPT: Final = 600
_AT_ONCE: Final = 64
"""Requests of an agent that may be open at the same time."""

Handler = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any] | None]]
"""Gets a method and its parameters, returns the result. Raises Refused for an error that the agent may read."""


class Refused(Exception):
    """A request of the agent that is answered with an error."""

    def __init__(self, message: str, code: int = -32602) -> None:
        super().__init__(message)
        self.code = code


class Answered(Exception):
    """The agent answered a request with an error: its number, its words, what else it said."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


class Gone(Exception):
    """The agent's end of the pipes is closed, or cannot be used any more: `why` is then set."""

    def __init__(self, why: str | None = None) -> None:
        super().__init__(why or "the agent has ended")
        self.why = why


def load() -> None:
    """Import the SDK, which takes a second: call it in a thread, never where the event loop runs."""
    for name in ("acp", "acp.connection", "acp.exceptions", "acp.schema", "acp.meta"):
        importlib.import_module(name)


@dataclass(slots=True)
class Frames:
    """The SDK's Transport over the pipes of a program."""

    pipes: Conversation
    limit: int = FRAME_BYTES
    garbage: int = 0
    """Lines that are no message."""
    said: str = ""
    """How the first of them begin."""
    fault: str | None = None
    """Why nothing more is read, though the program may live."""
    heard: float = 0.0
    """When the last message came, by the loop's clock."""
    _buffer: bytearray = field(default_factory=bytearray)
    _searched: int = 0
    _size: int = 0

    async def send(self, message: dict[str, Any]) -> None:
        # A program that has gone is noticed by its end of output, which fails what waits for an answer.
        with contextlib.suppress(ConnectionError, RuntimeError):
            self.pipes.stdin.write(orjson.dumps(message) + b"\n")
            await self.pipes.stdin.drain()

    async def receive(self) -> dict[str, Any] | None:
        while (line := await self._line()) is not None:
            message = _message(line)
            if message is not None:
                self.heard = asyncio.get_running_loop().time()
                await asyncio.sleep(0)  # handlers come to their turn between two messages, however many there are
                return message
            self._reject(line)
        return None

    async def close(self) -> None:
        """The pipes belong to whoever started the program."""

    async def _line(self) -> bytes | None:
        """The next line that is not empty; None at the end, or when a limit is passed (`fault`)."""
        while self.fault is None:
            end = self._buffer.find(b"\n", self._searched)
            if end >= 0:
                line = bytes(self._buffer[:end]).strip()
                del self._buffer[: end + 1]
                self._searched = 0
                if line:
                    return line
                continue
            self._searched = len(self._buffer)
            if self._searched > self.limit:
                self._stop(f"it sent a message of more than {self.limit // 1024} KiB")
                break
            data = await self.pipes.stdout.read(_READ)
            if not data:
                break
            self._size += len(data)
            if self._size > CONVERSATION_BYTES:
                self._stop("it has said more than any agent may say in one run")
            self._buffer += data
        return None

    def _reject(self, line: bytes) -> None:
        self.garbage += 1
        if len(self.said) < _GARBAGE_KEPT:
            self.said = f"{self.said}\n{line[:_GARBAGE_KEPT].decode('utf-8', 'replace')}".strip()[:_GARBAGE_KEPT]
        if self.garbage > _GARBAGE_LINES:
            self._stop("it writes what is no message of the Agent Client Protocol")

    def _stop(self, fault: str) -> None:
        self.fault = fault
        self._buffer.clear()


class Wire:
    """A connection to an agent: requests there and back. Use it as an asynchronous context manager, after `load`."""

    def __init__(self, frames: Frames, handler: Handler) -> None:
        from acp.connection import Connection  # loaded by `load`, in a thread

        self._frames = frames
        self._handler = handler
        self._open = 0
        self._connection = Connection(self._handle, frames)

    async def __aenter__(self) -> Wire:
        return self

    async def __aexit__(self, *_: object) -> None:
        # The SDK's own tasks may end with whatever a handler was in the middle of.
        with contextlib.suppress(Exception):
            await self._connection.close()

    async def ask(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """The agent's answer; {} for one that is no object. Raises Answered for an error, Gone when it has ended."""
        from acp.exceptions import RequestError

        try:
            answer = await self._connection.send_request(method, dict(params))
        except RequestError as error:
            raise Answered(error.code, str(error), error.data) from None
        except ConnectionError:
            raise Gone(self._frames.fault) from None
        return answer if isinstance(answer, dict) else {}

    async def tell(self, method: str, params: Mapping[str, Any]) -> None:
        with contextlib.suppress(ConnectionError):
            await self._connection.send_notification(method, dict(params))

    async def _handle(self, method: str, params: Any, is_notification: bool) -> Any:
        from acp.exceptions import RequestError

        given = params if isinstance(params, dict) else {}
        if is_notification:
            with contextlib.suppress(Refused):
                await self._handler(method, given)
            return None
        if self._open >= _AT_ONCE:
            raise RequestError(-32603, "Too many requests are open.")
        self._open += 1
        try:
            return await self._handler(method, given) or {}
        except Refused as refused:
            raise RequestError(refused.code, str(refused)) from None
        finally:
            self._open -= 1


def initialize(version: str) -> tuple[str, dict[str, Any]]:
    """What we are and can do: method and parameters of the first request."""
    from acp import schema
    from acp.meta import AGENT_METHODS, PROTOCOL_VERSION

    request = schema.InitializeRequest(
        protocol_version=PROTOCOL_VERSION,
        client_capabilities=schema.ClientCapabilities(
            fs=schema.FileSystemCapabilities(read_text_file=True, write_text_file=True), terminal=True
        ),
        client_info=schema.Implementation(name="kiro-lsp", title="kiro-lsp", version=version),
    )
    return AGENT_METHODS["initialize"], request.model_dump(mode="json", by_alias=True, exclude_none=True)


def protocol_version() -> int:
    from acp.meta import PROTOCOL_VERSION

    return PROTOCOL_VERSION


def _message(line: bytes) -> dict[str, Any] | None:
    """A frame with everything in its place, None for what is none: what the SDK gets it can work with."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(value, dict):
        return None
    named = "id" in value
    if named and not isinstance(value["id"], int | str):
        return None
    method = value.get("method")
    if method is not None:
        return value if isinstance(method, str) else None
    if not named or not isinstance(value["id"], int):
        return None
    if "error" in value and "result" not in value:
        value["error"] = _error(value["error"])
    return value


def _error(given: object) -> dict[str, Any]:
    """An error object of the right form, whatever it was."""
    error = given if isinstance(given, dict) else {"message": given}
    code, message = error.get("code"), error.get("message")
    return {
        "code": code if isinstance(code, int) and not isinstance(code, bool) else -32603,
        "message": message if isinstance(message, str) else orjson.dumps(message, default=str).decode(),
        "data": error.get("data"),
    }
