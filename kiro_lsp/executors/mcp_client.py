"""Speaking to one MCP server: connect, list its tools, call one. The only module of the executors that imports the SDK.

A stdio server is a program in the run's copy of the project; its pipes are ours, the protocol over them is the SDK's. One
that is reached by HTTP is somebody else's process. Either may answer late, never, wrongly or without end: everything it
sends is bounded, and what it wants from the person goes through `run.ask`. It may not use our models (sampling is not
offered), and the folder that it is told of is the copy.

Importing the SDK takes more than a second, so that happens in a thread when a server is first needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

from kiro_lsp import __version__
from kiro_lsp.errors import ErrorKind, ExecutorError
from kiro_lsp.events import Thought
from kiro_lsp.executors.mcp_questions import Questions
from kiro_lsp.executors.protocol import RunContext, Workplace
from kiro_lsp.executors.unhurried import to_its_end
from kiro_lsp.sandbox.processes import Conversation
from kiro_lsp.settings.redact import Redactor, is_secret
from kiro_lsp.spec import unicode

if TYPE_CHECKING:
    from mcp import Client
    from mcp.client import ClientRequestContext
    from mcp.types import CallToolResult, ListRootsResult, LoggingMessageNotificationParams

CONNECT_SECONDS: Final = 60.0
CALL_SECONDS: Final = 600.0
"""Without a word about progress. Waiting for the person does not count."""

_GOODBYE_SECONDS: Final = 3.0
_LINE_BYTES: Final = 16 * 1024 * 1024
_FLOOD_BYTES: Final = 64 * 1024 * 1024
_FLOOD_LINES: Final = 20_000
_LINES_OF_GREETING: Final = 1_000
"""What a server may send without an answer among it."""
_SAID_BYTES: Final = 256 * 1024
"""Of log messages and progress of one server that are shown."""
_PAGES: Final = 50
_HANDSHAKES: Final = ("legacy", "auto")
"""The one that every server knows first: only over it can a server ask something while it works. The other is for those
that know only the newest.
"""
_LOGGERS: Final = ("mcp", "client")
"""Of the SDK, which logs every message of a server that it cannot read: a flood of them is not ours to keep."""


@dataclass(frozen=True, slots=True)
class Server:
    """How a server is reached: a program and its arguments, or an address."""

    name: str
    argv: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    url: str | None = None

    @property
    def where(self) -> str:
        """For people; the arguments of a program may hold a key."""
        return self.url or self.argv[0]


@dataclass(frozen=True, slots=True)
class Offer:
    """A tool as its server describes it. What stands in it was written by the server's author."""

    name: str
    description: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    text: str
    is_error: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """What a server says of a call that is under way. `total` is None where it does not know."""

    done: float
    total: float | None
    message: str

    def __str__(self) -> str:
        count = f"{self.done:g}" + (f"/{self.total:g}" if self.total else "")
        return f"{self.message} ({count})" if self.message else count


@asynccontextmanager
async def connected(
    server: Server, run: RunContext, place: Workplace | None, *, connect_seconds: float = CONNECT_SECONDS
) -> AsyncIterator[Session]:
    """A session with a server, which is started for it in `place` and gone after it. Raises ExecutorError.

    Without a place only an HTTP server can be reached, and it is told of no folder.
    """
    await asyncio.to_thread(_import_sdk)
    session = None
    for handshake in _HANDSHAKES:
        session = Session(server, run, place, handshake)
        try:
            await session.open(connect_seconds)
            break
        except _NotGreeted as failed:
            await session.close()
            if handshake == _HANDSHAKES[-1]:
                raise ExecutorError(failed.kind, failed.message, hint=failed.hint) from failed
        except BaseException:
            await to_its_end(session.close())
            raise
    assert session is not None
    try:
        yield session
    finally:
        await to_its_end(session.close())


def _import_sdk() -> None:
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for name in ("mcp", "jsonschema"):
        importlib.import_module(name)


class _NotGreeted(ExecutorError):
    """A server that refused a handshake, or ended at it: it may know the other one."""


@dataclass(slots=True)
class Session:
    """A connected server. It lives in a task of its own, so that its death never cancels whoever asks it."""

    server: Server
    run: RunContext
    place: Workplace | None
    handshake: str
    _questions: Questions = field(init=False)
    _redactor: Redactor = field(init=False)
    _task: asyncio.Task[None] | None = None
    _ready: asyncio.Future[Client] = field(init=False)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _conversation: Conversation | None = None
    _flooded: str = ""
    _bytes: int = 0
    _lines: int = 0
    _said: int = 0

    def __post_init__(self) -> None:
        self._questions = Questions(self.run, self.server.name)
        self._redactor = Redactor(value for name, value in self.server.env.items() if is_secret(name, value))
        self._ready = asyncio.get_running_loop().create_future()

    @property
    def sees_files(self) -> bool:
        """Whether the path of the copy means to the server what it means to us."""
        return self.place is not None and (self.server.url is None or self.place.level == "copy")

    async def open(self, seconds: float) -> None:
        """Start and greet the server. Raises ExecutorError."""
        self._task = asyncio.create_task(self._live(), name=f"mcp {self.server.name}")
        either: list[asyncio.Future[Any]] = [self._task, self._ready]
        done, _ = await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if self._ready in done:
            return
        if self._task in done:
            error = self._task.exception()
            raise await self._failure(error or EOFError(), "before it had greeted")
        await self.close()
        raise self._silent(f"has not answered within {seconds:g} seconds")

    async def close(self) -> None:
        """End the session and the server. Safe to call twice; never raises what the server did."""
        self._stop.set()
        if self._task is None:
            return
        greeted = self._ready.done()
        _, waiting = await asyncio.wait([self._task], timeout=_GOODBYE_SECONDS if greeted else 0)
        if waiting:
            self._task.cancel()
            await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.exception()
        if self._ready.done() and not self._ready.cancelled():
            self._ready.exception()

    async def offers(self, *, seconds: float = CONNECT_SECONDS) -> tuple[Offer, ...]:
        """Its tools in its own order. Raises ExecutorError."""
        found: list[Offer] = []
        cursor: str | None = None
        try:
            async with asyncio.timeout(seconds):
                for _page in range(_PAGES):
                    listed = await self._ready.result().list_tools(cursor=cursor)
                    self._answered()
                    found += [
                        Offer(tool.name, self._shown(tool.description or ""), tool.input_schema)
                        for tool in listed.tools
                    ]
                    cursor = listed.next_cursor
                    if not cursor:
                        break
        except TimeoutError:
            raise self._silent(f"has not said within {seconds:g} seconds which tools it has") from None
        except Exception as error:
            raise await self._failure(error, "when it was asked for its tools") from error
        return tuple(found)

    async def call(
        self,
        name: str,
        args: Mapping[str, Any],
        on_progress: Callable[[Progress], None],
        *,
        seconds: float = CALL_SECONDS,
    ) -> Answer:
        """Call a tool; an answer that says that it failed is an answer. Raises ExecutorError when there is none."""
        client, loop = self._ready.result(), asyncio.get_running_loop()

        async def progressed(progress: float, total: float | None, message: str | None) -> None:
            if timeout.when() is not None and not timeout.expired():
                timeout.reschedule(loop.time() + seconds)
            text = self._shown(message or "")[:2000]
            self._said += len(text) + 8
            if self._said <= _SAID_BYTES:
                on_progress(Progress(progress, total, text))

        try:
            async with asyncio.timeout(seconds) as timeout:
                with self._questions.stopping(timeout):
                    result = await client.call_tool(name, dict(args), progress_callback=progressed)
        except TimeoutError:
            raise ExecutorError(
                "timeout",
                f"The tool {name} of the MCP server {self.server.name} has said nothing for {seconds:g} seconds.",
                hint="It was stopped; what it had changed in the copy is kept.",
            ) from None
        except Exception as error:
            raise await self._failure(error, f"while its tool {name} was at work") from error
        self._answered()
        return Answer(self._shown(_text_of(result)), result.is_error)

    # The server's own task

    async def _live(self) -> None:
        from mcp import Client
        from mcp.types import Implementation

        async with contextlib.AsyncExitStack() as stack:
            transport: Any = self.server.url
            if self.server.url is None:
                if self.place is None:
                    raise ValueError("a program needs a place")
                talking = self.place.talk(self.server.argv, extra_env=self.server.env)
                self._conversation = await stack.enter_async_context(talking)
                transport = self._piped(self._conversation)
            client = Client(
                transport,
                mode=self.handshake,
                cache=None,
                client_info=Implementation(name="kiro-lsp", version=__version__),
                elicitation_callback=self._questions.answer,
                list_roots_callback=self._roots,
                logging_callback=self._log,
            )
            await stack.enter_async_context(client)
            self._ready.set_result(client)
            await self._stop.wait()

    @asynccontextmanager
    async def _piped(self, conversation: Conversation) -> AsyncIterator[Any]:
        """The SDK's two streams over the pipes of a program."""
        import anyio
        from mcp.shared.message import SessionMessage

        arriving, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        outgoing, leaving = anyio.create_memory_object_stream[SessionMessage](0)

        async def read() -> None:
            async with arriving:
                with contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
                    async for message in self._messages(conversation):
                        await arriving.send(message)

        async def write() -> None:
            async with leaving:
                with contextlib.suppress(ConnectionError):
                    async for message in leaving:
                        line = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                        conversation.stdin.write(line.encode() + b"\n")
                        await conversation.stdin.drain()
            arriving.close()  # a request that cannot be sent must not wait for an answer

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            tasks.start_soon(write)
            try:
                yield incoming, outgoing
            finally:
                tasks.cancel_scope.cancel()

    async def _messages(self, conversation: Conversation) -> AsyncIterator[Any]:
        """What a program writes, line by line; what is no message is passed over, too much of it ends the session."""
        from mcp.shared.message import SessionMessage
        from mcp.types import jsonrpc_message_adapter

        while True:
            try:
                line = await conversation.stdout.readline()
            except ValueError:
                line = b"x" * (_LINE_BYTES + 1)
            if not line:
                return
            self._bytes += len(line)
            self._lines += 1
            most = _FLOOD_LINES if self._ready.done() else _LINES_OF_GREETING
            if len(line) > _LINE_BYTES or self._bytes > _FLOOD_BYTES or self._lines > most:
                self._flooded = f"{self._bytes // 1024} KiB in {self._lines} lines"
                return
            with contextlib.suppress(ValueError):
                yield SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))

    def _answered(self) -> None:
        """An answer has come: whatever came before it was no flood."""
        self._bytes = self._lines = 0

    # What the server asks and says

    async def _roots(self, context: ClientRequestContext) -> ListRootsResult:  # noqa: ARG002  # the SDK's form
        from mcp.types import ListRootsResult

        if self.place is None or not self.sees_files:
            return ListRootsResult(roots=[])
        return ListRootsResult.model_validate(
            {"roots": [{"uri": self.place.path.as_uri(), "name": self.run.root.name}]}
        )

    async def _log(self, params: LoggingMessageNotificationParams) -> None:
        data = params.data
        text = self._shown(data if isinstance(data, str) else orjson.dumps(data, default=str).decode())[:2000]
        self._said += len(text) + 8
        if self._said <= _SAID_BYTES:
            self.run.emit(Thought(f"{self.server.name}: {text}\n"))

    # Failures

    def _silent(self, what: str) -> ExecutorError:
        return ExecutorError(
            "timeout",
            f"The MCP server {self.server.name} {what}.{self._last_words()}",
            hint=f"Try it by hand: {self.server.where}",
        )

    async def _failure(self, error: BaseException, when: str) -> ExecutorError:
        """What went wrong, for a person. An ExecutorError of ours is what it is."""
        cause = _only_member(error)
        if isinstance(cause, ExecutorError):
            return cause
        name = self.server.name
        if self._flooded:
            return ExecutorError(
                "agent",
                f"The MCP server {name} was stopped {when}: it sent {self._flooded} without an answer.",
                hint="Look at what it does, or leave it out.",
            )
        if self.server.url is not None:
            return self._unreached(cause, when)
        if isinstance(cause, FileNotFoundError | PermissionError | NotADirectoryError | NotImplementedError):
            return ExecutorError("agent", f"The MCP server {name} was not started: {cause}", hint=_configured(name))
        failure = ExecutorError if self._ready.done() else _NotGreeted
        code = await self._exit_code()
        if code is None:
            return failure(
                "agent", f"The MCP server {name} failed {when}: {self._shown(_said(cause))}", hint=_configured(name)
            )
        return failure(
            "agent",
            f"The MCP server {name} ended {when} (exit code {code}).{self._last_words()}",
            hint=f"Try it by hand: {self.server.where}",
        )

    def _unreached(self, cause: BaseException, when: str) -> ExecutorError:
        said = self._shown(_said(cause))
        status = getattr(getattr(cause, "response", None), "status_code", None)
        kind: ErrorKind = "auth" if status in (401, 403) else "agent"
        if type(cause).__module__.partition(".")[0] in ("httpx2", "httpcore2"):
            kind = kind if status is not None else "network"
        failure = ExecutorError if self._ready.done() or kind != "agent" else _NotGreeted
        return failure(
            kind,
            f"The MCP server {self.server.name} at {self.server.url} could not be used {when}: {said}",
            hint="Check that it runs and that the address is the one of its MCP endpoint.",
        )

    def _shown(self, text: str) -> str:
        """A text of the server's without what a person cannot see in it, and without the keys that it was given."""
        return self._redactor.redact(_clean(text))

    async def _exit_code(self) -> int | None:
        """How the program ended; None while it runs."""
        if self._conversation is None:
            return None
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(self._conversation.ended(), 1)
        return None

    def _last_words(self) -> str:
        said = "" if self._conversation is None else self._shown(self._conversation.errors()).strip()
        return f" It said: {said[-1000:]}" if said else ""


def _text_of(result: CallToolResult) -> str:
    """The answer as text: what is no text is named, not shown."""
    parts: list[str] = []
    for block in result.content:
        match block.type:
            case "text":
                parts.append(block.text)
            case "resource" if hasattr(block.resource, "text"):
                parts.append(block.resource.text)
            case "resource_link":
                parts.append(f"[link: {block.uri}]")
            case other:
                parts.append(f"[{other}, not shown]")
    if not any(part.strip() for part in parts) and result.structured_content is not None:
        parts.append(orjson.dumps(result.structured_content, default=str).decode())
    return _clean("\n".join(parts))


def _clean(text: str) -> str:
    """A text of somebody else's without what a person cannot see in it."""
    return unicode.strip(text.replace("\0", ""))


def _configured(name: str) -> str:
    return f"Check [mcp.servers.{name}] or the agent's command in your configuration."


def _said(error: BaseException) -> str:
    return _clean(str(error)).strip()[:1000] or type(error).__name__


def _only_member(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
