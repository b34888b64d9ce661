"""One agent program that speaks ACP, at work in a run's workplace: from `initialize` to the end of its turn.

    async with opened(run, place, program, argv, environ, redact) as session:
        await session.begin(resume=session_id)
        ended = await session.prompt(texts)

What it does to files arrives by the protocol, on the disk of its workplace, or both; all of it is staged. Whoever cancels is
obeyed at once: the agent is told and then, with all its processes, gone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson

from kiro_lsp import __version__
from kiro_lsp.budget import Usage
from kiro_lsp.errors import BudgetExceeded, ExecutorError, KiroError, PathRefused, UnreadableFile
from kiro_lsp.events import Session
from kiro_lsp.executors import acp_wire
from kiro_lsp.executors.acp_permissions import Permissions
from kiro_lsp.executors.acp_terminals import Terminals
from kiro_lsp.executors.acp_updates import Updates, usage_of
from kiro_lsp.executors.acp_wire import Answered, Frames, Gone, Refused, Wire
from kiro_lsp.executors.program_failures import Program, failed, kind_of, not_logged_in, not_started, talking
from kiro_lsp.executors.protocol import RunContext, Workplace
from kiro_lsp.sandbox import paths
from kiro_lsp.sandbox.processes import Conversation

CANCEL_SECONDS: Final = 0.4
"""For the agent to end its turn by itself; then it is killed, and gone within two seconds in all."""
_END_SECONDS: Final = 2.0
_AUTH_REQUIRED: Final = -32000
_ABSORBING_SHARE: Final = 4
"""A look at a copy that took long is not repeated before so many times as long."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds an agent is waited for."""

    start: float = 120.0
    """For an answer before the work: Node.js programs take many seconds to start on a busy machine."""
    idle: float = 900.0
    """Without a word within a turn, while nobody is asked and no command of ours runs."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a turn ended."""

    stop: str
    usage: Usage | None
    said: str


@contextlib.asynccontextmanager
async def opened(
    run: RunContext,
    place: Workplace,
    program: Program,
    argv: Sequence[str],
    environ: Mapping[str, str],
    *,
    patience: Patience | None = None,
) -> AsyncIterator[AcpSession]:
    """Start an agent's program and speak to it; on leaving, it and all its processes are gone. Raises ExecutorError."""
    loading = asyncio.create_task(asyncio.to_thread(acp_wire.load))
    try:
        async with contextlib.AsyncExitStack() as stack:
            pipes = await stack.enter_async_context(talking(place, argv, environ, program))
            await asyncio.shield(loading)
            session = AcpSession(run, place, program, pipes, patience or Patience())
            await stack.enter_async_context(session.connected())
            yield session
    finally:
        with contextlib.suppress(Exception):
            await asyncio.shield(loading)


class AcpSession:
    """Made by `opened`."""

    def __init__(
        self,
        run: RunContext,
        place: Workplace,
        program: Program,
        pipes: Conversation,
        patience: Patience,
    ) -> None:
        self.session_id = ""
        self.resumed = False
        self.agent = ""
        """Name and version, as the program says them."""
        self.model = ""
        """The model that it works with, where it says so."""
        self.changed_files: set[str] = set()
        self.cost_cap: float | None = None
        """US dollars: a turn that the agent says has cost more is stopped."""
        self.permissions = Permissions(run, place)
        self.updates = Updates(run.emit, place.relative, self._touched)
        self.terminals = Terminals(place, self.permissions.allow, self._touched)
        self.updates.printed = self.terminals.printed
        self._run = run
        self._place = place
        self.program = program
        self._pipes = pipes
        self._frames = Frames(pipes)
        self._wire: Wire
        self._able: Mapping[str, Any] = {}
        self._options: Mapping[str, Any] = {}
        self._patience = patience
        self._dirty = False
        self._looking = asyncio.Lock()
        self._absorbing: asyncio.Task[None] | None = None
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._handlers = {
            "session/request_permission": self._permission,
            "fs/read_text_file": self._read,
            "fs/write_text_file": self._write,
            "terminal/create": self.terminals.create,
            "terminal/output": self.terminals.output,
            "terminal/wait_for_exit": self.terminals.wait_for_exit,
            "terminal/kill": self.terminals.kill,
            "terminal/release": self.terminals.release,
        }

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        self._wire = Wire(self._frames, self._handle)
        try:
            async with self.terminals, self._wire:
                yield
        finally:
            self.permissions.stop()
            self._broken.cancel()
            if self._absorbing is not None:
                # What a look at the copy has found is staged before anything else happens to it.
                await asyncio.wait([self._absorbing])

    # The conversation

    async def begin(
        self, *, resume: str | None = None, model: str = "", mode: str | None = None, auth_method: str | None = None
    ) -> None:
        """Agree on the protocol and open a session, an earlier one (`resume`) where that can be; `resumed` says whether.

        `auth_method` is what the agent is told to log in by, if it opens no session without. Raises ExecutorError, with the
        kind "auth" and how to log in when the person has to.
        """
        method, params = acp_wire.initialize(__version__)
        answer = await self._start(method, params)
        if answer.get("protocolVersion") != acp_wire.protocol_version():
            raise failed(
                self.program,
                f"{self.program.label} speaks version {answer.get('protocolVersion')!r} of the Agent Client Protocol, "
                f"and this program version {acp_wire.protocol_version()}",
                kind="agent",
            )
        info = _of(answer, "agentInfo")
        self.agent = " ".join(str(info[key])[:80] for key in ("name", "version") if isinstance(info.get(key), str))
        self._able = _of(answer, "agentCapabilities")
        if resume is None or not await self._open_again(resume):
            self._options = await self._open(auth_method, _ids(answer.get("authMethods"), "id"))
            self.session_id = str(self._options.get("sessionId") or "")
        if not self.session_id:
            raise failed(self.program, f"{self.program.label} opened no session", kind="agent")
        self._run.emit(Session(self.session_id))
        await self._set_mode(mode)
        await self._set_model(model)

    async def prompt(self, texts: Sequence[str]) -> Ended:
        """One turn, to its end. Raises ExecutorError; when it is cancelled, the agent is told and given a moment."""
        blocks = [{"type": "text", "text": text} for text in texts]
        turn = asyncio.create_task(
            self._wire.ask("session/prompt", {"sessionId": self.session_id, "prompt": blocks}), name="acp turn"
        )
        try:
            answer = await self._watched(turn)
        except asyncio.CancelledError:
            await self._stop(turn)
            raise
        finally:
            turn.cancel()
        self._dirty = True  # not every agent announces what it writes
        await self._absorbed()
        if self._broken.done():
            self._broken.result()
        stop = answer.get("stopReason")
        return Ended(stop if isinstance(stop, str) else "", usage_of(answer), self.updates.said.strip())

    async def _open(self, auth_method: str | None, offered: Sequence[str]) -> dict[str, Any]:
        """A new session. Some agents change their settings when they are told to authenticate: only where they insist."""
        order = "session/new", {"cwd": str(self._place.path), "mcpServers": []}
        try:
            return await self._start(*order)
        except ExecutorError as error:
            if error.kind != "auth" or auth_method not in offered:
                raise
        await self._start("authenticate", {"methodId": auth_method})
        return await self._start(*order)

    async def _open_again(self, session_id: str) -> bool:
        """Whether the agent's own session of an earlier run is open again. What it tells of its past is not shown."""
        resumes = "resume" in _of(self._able, "sessionCapabilities")
        if not resumes and self._able.get("loadSession") is not True:
            return False
        params = {"sessionId": session_id, "cwd": str(self._place.path), "mcpServers": []}
        self.updates.muted = True
        try:
            asked = self._wire.ask("session/resume" if resumes else "session/load", params)
            self._options = await self._watched(asyncio.create_task(asked), self._patience.start)
        except _Turned:
            return False
        finally:
            self.updates.muted = False
        self.session_id, self.resumed = session_id, True
        return True

    async def _set_mode(self, mode: str | None) -> None:
        """Where our sandbox holds the program, its own questions and sandbox only stand in its way."""
        offered = _ids(_of(self._options, "modes").get("availableModes"), "id")
        if mode is None or self._place.level != "bubblewrap" or mode not in offered:
            return
        with contextlib.suppress(_Turned):
            params = {"sessionId": self.session_id, "modeId": mode}
            await self._watched(asyncio.create_task(self._wire.ask("session/set_mode", params)), self._patience.start)

    async def _set_model(self, model: str) -> None:
        """Work with this model, or know which it is. Raises ExecutorError when the agent has others only."""
        listed = self._options.get("configOptions")
        options = [entry for entry in listed if isinstance(entry, Mapping)] if isinstance(listed, list) else []
        option = next((entry for entry in options if entry.get("category") == "model"), None)
        if option is not None:
            known, now = _ids(option.get("options"), "value"), option.get("currentValue")
            params = {"sessionId": self.session_id, "configId": option.get("id"), "value": model}
            method = "session/set_config_option"
        else:
            models = _of(self._options, "models")
            known, now = _ids(models.get("availableModels"), "modelId"), models.get("currentModelId")
            method, params = "session/set_model", {"sessionId": self.session_id, "modelId": model}
        self.model = model or (now if isinstance(now, str) else "")
        if not model or not known:
            return
        if model not in known:
            raise ExecutorError(
                "agent",
                f"{self.program.label} has no model {model!r} here; it has {', '.join(known[:8])}.",
                hint="Name one of them, or leave the model to the program.",
            )
        await self._start(method, params)

    async def _start(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """A request before the work. Raises ExecutorError."""
        try:
            return await self._watched(asyncio.create_task(self._wire.ask(method, params)), self._patience.start)
        except _Turned as turned:
            raise self._failure(turned.answer, f"{self.program.label} could not begin") from None

    async def _watched(self, asked: asyncio.Task[dict[str, Any]], seconds: float | None = None) -> dict[str, Any]:
        """The answer, unless the agent ends or falls silent first: `seconds` in all, or idle within a turn.

        Raises ExecutorError, and outside of a turn _Turned for an answer that is an error.
        """
        loop = asyncio.get_running_loop()
        since = loop.time()
        limit = self._patience.idle if seconds is None else seconds
        try:
            while True:
                begun = max(since, self._frames.heard) if seconds is None else since
                wait = max(begun + limit - loop.time(), 0.01)
                waited: set[asyncio.Future[Any]] = {asked, self._broken}
                await asyncio.wait(waited, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
                if self._broken.done():
                    self._broken.result()
                if asked.done():
                    return asked.result()
                if seconds is None and (self.permissions.waiting or self.terminals.busy):
                    since = loop.time()
                elif loop.time() >= begun + limit and (seconds is not None or self._frames.heard <= begun):
                    raise failed(
                        self.program, f"{self.program.label} did not answer within {limit:g} s", kind="timeout"
                    )
        except Answered as error:
            if seconds is not None:
                raise _Turned(error) from None
            raise self._failure(error, f"{self.program.label} failed") from None
        except Gone:
            raise await self._gone() from None
        finally:
            if seconds is not None:  # a turn that is cancelled is given a moment to end by itself
                asked.cancel()

    def _check_cost(self) -> None:
        spent = self.updates.cost
        if self.cost_cap is not None and spent is not None and spent > self.cost_cap:
            self._break(
                BudgetExceeded(
                    f"{self.program.label} says that it has spent ${spent:.2f}, more than ${self.cost_cap:.2f}.",
                    hint="Staged work is kept. max_cost_per_run of [kiro.cost] in your own configuration is the limit.",
                )
            )

    def _break(self, error: KiroError) -> None:
        """End what is waited for with this error."""
        if not self._broken.done():
            self._broken.set_exception(error)
            self._broken.exception()  # there may be nobody any more who waits

    async def _stop(self, turn: asyncio.Task[dict[str, Any]]) -> None:
        """Tell the agent to end its turn and wait a moment; whoever cancels again does not wait."""
        self.permissions.stop()
        with contextlib.suppress(asyncio.CancelledError, TimeoutError):
            async with asyncio.timeout(CANCEL_SECONDS):
                await self._wire.tell("session/cancel", {"sessionId": self.session_id})
                await asyncio.wait([turn])
        if turn.done() and not turn.cancelled():
            turn.exception()

    def _failure(self, error: Answered, what: str) -> ExecutorError:
        """What an error of the agent means."""
        said = _words(error)
        if error.code == _AUTH_REQUIRED or (400 <= error.code < 600 and kind_of(str(error.code)) == "auth"):
            return not_logged_in(self.program, said)
        if 400 <= error.code < 600:
            kind = kind_of(f"{error.code}")
            return failed(self.program, what, said, kind=kind if kind != "agent" else None)
        return failed(self.program, what, said)

    async def _gone(self) -> ExecutorError:
        """Why the agent's end of the pipes is closed."""
        label = self.program.label
        if self._frames.fault is not None:
            return failed(self.program, f"{label} was stopped: {self._frames.fault}", self._frames.said, kind="agent")
        code: int | None = None
        try:
            async with asyncio.timeout(_END_SECONDS):
                code = await self._pipes.ended()
        except TimeoutError:
            pass
        except FileNotFoundError as error:
            return not_started(self.program, error)
        said = self._pipes.errors().strip()[-600:] or self._frames.said
        how = "" if code is None else f" (exit code {code})"
        return failed(self.program, f"{label} ended before it was done{how}", said)

    # What the agent asks of us

    async def _handle(self, method: str, params: dict[str, Any]) -> dict[str, Any] | None:
        if method == "session/update":
            update = params.get("update")
            if isinstance(update, Mapping):
                self.updates.take(update)
                self._check_cost()
            return None
        handler = self._handlers.get(method)
        if handler is None:
            raise Refused(f"{method} is not known here.", code=-32601)
        try:
            return await handler(params)
        except (KiroError, OSError) as error:
            raise Refused(str(error), code=-32603) from None

    async def _permission(self, params: Mapping[str, Any]) -> dict[str, Any]:
        given = params.get("toolCall")
        call = self.updates.call_of(given if isinstance(given, Mapping) else {})
        if call is None:
            raise Refused("There are too many tool calls.")
        self.updates.show(call)
        option = await self.permissions.decide(call, params)
        outcome = {"outcome": "cancelled"} if option is None else {"outcome": "selected", "optionId": option}
        return {"outcome": outcome}

    async def _read(self, params: Mapping[str, Any]) -> dict[str, Any]:
        path = self._relative(params)
        if paths.holds_secrets(path):
            raise Refused(f"{path} may hold secrets and is not given to agents.")
        await self._absorbed()
        try:
            text = (await self._run.read(path)).decode("utf-8")
        except FileNotFoundError:
            return {"content": ""}  # some agents ask before they create a file, and give up at an error
        except UnicodeDecodeError:
            raise Refused(f"{path} is not UTF-8 text.") from None
        except UnreadableFile as error:
            raise Refused(str(error)) from None
        line, limit = params.get("line"), params.get("limit")
        if isinstance(line, int) or isinstance(limit, int):
            start = max(line, 1) - 1 if isinstance(line, int) else 0
            lines = text.splitlines(keepends=True)[start:]
            text = "".join(lines[: max(limit, 0)] if isinstance(limit, int) else lines)
        return {"content": text}

    async def _write(self, params: Mapping[str, Any]) -> dict[str, Any]:
        path, content = self._relative(params), params.get("content")
        if not isinstance(content, str):
            raise Refused("The content must be a text.")
        await self._absorbed()
        await self._run.write(path, content.encode("utf-8", "surrogatepass"))
        await self._place.refresh()
        self.changed_files.add(path)
        return {}

    def _relative(self, params: Mapping[str, Any]) -> str:
        path = params.get("path")
        if not isinstance(path, str):
            raise Refused("No path was given.")
        try:
            return self._place.relative(path)
        except PathRefused as error:
            raise Refused(str(error)) from None

    # What changes in the workplace

    def _touched(self) -> None:
        """Files may have changed on the disk: they are staged while the work goes on."""
        self._dirty = True
        if self._absorbing is None or self._absorbing.done():
            self._absorbing = asyncio.create_task(self._absorb_while_dirty())

    async def _absorb_while_dirty(self) -> None:
        loop = asyncio.get_running_loop()
        while self._dirty and not self._broken.done():
            started = loop.time()
            await self._absorbed()
            await asyncio.sleep((loop.time() - started) * _ABSORBING_SHARE)

    async def _absorbed(self) -> None:
        """Stage what has changed on the disk, if anything may have. What forbids it ends the turn."""
        async with self._looking:
            if not self._dirty:
                return
            self._dirty = False
            try:
                self.changed_files.update(change.path for change in await self._place.absorb())
            except KiroError as error:
                self._break(error)


class _Turned(Exception):
    """The agent answered a request before the work with an error."""

    def __init__(self, answer: Answered) -> None:
        super().__init__(answer.message)
        self.answer = answer


def _words(error: Answered) -> str:
    """What the agent said, without the JSON around it that providers send."""
    said = error.message
    with contextlib.suppress(orjson.JSONDecodeError):
        inner = orjson.loads(said)
        while isinstance(inner, dict) and isinstance(inner.get("error"), dict):
            inner = inner["error"]
        if isinstance(inner, dict) and isinstance(inner.get("message"), str):
            said = f"{inner['message']} {inner.get('status') or ''}".strip()
    data = error.data
    details = data if isinstance(data, str) else _of({"data": data}, "data").get("details")
    return f"{said}: {details}" if isinstance(details, str) and details and details not in said else said


def _of(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = value.get(name)
    return inner if isinstance(inner, Mapping) else {}


def _ids(listed: object, name: str) -> list[str]:
    """The names in a list of things; groups of things count by what is in them."""
    found: list[str] = []
    for entry in listed if isinstance(listed, list) else []:
        if isinstance(entry, Mapping):
            if isinstance(entry.get("options"), list):
                found += _ids(entry["options"], name)
            elif isinstance(entry.get(name), str):
                found.append(entry[name])
    return found
