"""A cap on what somebody else's program spends: its requests go through a proxy of ours on this machine.

    async with metered(run, agent, environ) as meter, run.workplace(meter.needs(needs_of(agent))) as place:
        async with place.talk([command, *args, *meter.args], extra_env={**environ, **meter.environ}) as conversation:
            async with meter.spend(model, at_most) as spending: …

The proxy speaks HTTP/1.1 on the loopback and hands everything on to the provider's own address. Before each request that
costs money it reserves the most that can cost (`run.spend`), after it what the answer says is charged; a request that could
pass the cap is refused in the provider's own form, the program is ended, and leaving the context raises BudgetExceeded.

A program that is not metered passes by it: its tokens and turns are counted. One that is metered and cannot be led through the
proxy is not capped, which `can_cap` tells those who ask the person.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import orjson

from kiro_lsp.budget import Usage
from kiro_lsp.errors import BudgetExceeded
from kiro_lsp.executors.http_server import BadRequest, Caller, Request
from kiro_lsp.executors.metering_wires import WIRES, Answer, CannotBound, Conversations, Report, Wire
from kiro_lsp.executors.protocol import Needs, RunContext, Spend
from kiro_lsp.executors.ways import can_cap
from kiro_lsp.settings import AgentSettings
from kiro_lsp.settings.providers import DEFAULT_ENDPOINTS

if TYPE_CHECKING:
    import httpx2

log = logging.getLogger(__name__)

ENDING_SECONDS: Final = 5.0
"""How long a program may take to end by itself after a request of it was refused for the cap."""

_CONNECT_SECONDS: Final = 20.0
_IDLE_SECONDS: Final = 600.0
_TYPES: Final[Mapping[str, str]] = {"anthropic": "anthropic-api", "openai": "openai-api", "google": "google-api"}
_HOPS: Final = frozenset(
    """
    connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding upgrade
    content-length content-encoding host accept-encoding expect
    """.split()  # noqa: SIM905  # a list to read
)
"""Headers that are between two neighbours, or follow from how a message is sent on."""
_MAY_BE_CHARGED: Final = frozenset({500, 502, 504})
"""Failures after which nobody knows whether the work was done."""


@dataclass(frozen=True, slots=True)
class Meter:
    """What a program is started with so that what it spends is counted."""

    _run: RunContext
    counts: bool = False
    """Each of its requests is reserved and charged here."""
    environ: Mapping[str, str] = field(default_factory=dict)
    args: tuple[str, ...] = ()
    """Variables and arguments that lead it to the proxy."""
    _place: str = ""
    _provider: str = ""

    def needs(self, needs: Needs) -> Needs:
        """With the proxy in place of the provider, which can then not be reached by another way."""
        if not self.counts or needs.network == "open":
            return needs
        others = tuple(host for host in needs.hosts if host.partition(":")[0] != self._provider)
        return replace(needs, network="hosts", hosts=(self._place, *others))

    def spend(self, model: str, at_most: Usage) -> AbstractAsyncContextManager[Spend]:
        """As `RunContext.spend`, for what the program says by itself: nothing where the proxy counts already."""
        return contextlib.nullcontext(_Counted()) if self.counts else self._run.spend(model, at_most)


class _Counted:
    async def used(self, usage: Usage) -> None:
        """Charged already."""


@asynccontextmanager
async def metered(run: RunContext, agent: AgentSettings, environ: Mapping[str, str]) -> AsyncIterator[Meter]:
    """Count what a program spends, and stop it at the cap. `environ` is what the program was to be given: an address in it
    is where the proxy leads to. Raises BudgetExceeded at the end when a request was refused.
    """
    if agent.billing != "metered" or agent.meter is None or not can_cap(agent):
        yield Meter(run)
        return
    proxy = _Proxy(run, agent, WIRES[agent.meter], _upstream(agent, environ))
    async with proxy.open() as port:
        place = f"127.0.0.1:{port}"
        url = f"http://{place}{urlsplit(proxy.upstream).path.rstrip('/')}"
        args = tuple(arg.replace("{url}", url) for arg in agent.base_url_args or ())
        variables = {agent.base_url_env: url} if agent.base_url_env else {}
        provider = urlsplit(proxy.upstream).hostname or ""
        try:
            async with asyncio.timeout(None) as proxy.patience:
                yield Meter(run, True, variables, args, place, provider)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            if proxy.refused is not None:
                raise proxy.refused from error
            raise
    if proxy.refused is not None:
        raise proxy.refused


def _upstream(agent: AgentSettings, environ: Mapping[str, str]) -> str:
    moved = environ.get(agent.base_url_env or "") if "endpoint" not in agent.origins else None
    return moved or agent.endpoint or DEFAULT_ENDPOINTS[_TYPES[agent.meter or ""]]


@dataclass(slots=True)
class _Proxy:
    run: RunContext
    agent: AgentSettings
    wire: Wire
    upstream: str
    refused: BudgetExceeded | None = None
    patience: asyncio.Timeout | None = None
    _client: httpx2.AsyncClient | None = None
    _conversations: Conversations = field(default_factory=Conversations)
    _serving: set[asyncio.Task[None]] = field(default_factory=set)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[int]:
        """The port that it listens on. What is under way is stopped and charged when the context is left."""
        httpx = await asyncio.to_thread(importlib.import_module, "httpx2")
        timeout = httpx.Timeout(_IDLE_SECONDS, connect=_CONNECT_SECONDS)
        async with httpx.AsyncClient(timeout=timeout, follow_redirects=False) as self._client:
            server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
            try:
                yield server.sockets[0].getsockname()[1]
            finally:
                server.close()
                for each in self._serving:
                    each.cancel()
                await asyncio.gather(*self._serving, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # asyncio complains of a connection whose own coroutine was cancelled.
        serving = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(serving)
        serving.add_done_callback(self._served)

    def _served(self, serving: asyncio.Task[None]) -> None:
        self._serving.discard(serving)
        if not serving.cancelled() and (error := serving.exception()) is not None:
            log.error("a request of a metered program could not be handled", exc_info=error)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        caller = Caller(reader, writer)
        try:
            while (request := await caller.request()) is not None:
                await self._answer(request, caller)
        except BadRequest as problem:
            with contextlib.suppress(OSError):
                await self._say(caller, self.wire.refusal(problem.status, str(problem), budget=False))
        except (OSError, EOFError):
            pass  # the program has gone; what it had asked for is charged
        finally:
            writer.close()

    async def _answer(self, request: Request, caller: Caller) -> None:
        match self.wire.kind(request.method, request.target):
            case "free":
                await self._pass_on(request, request.body, caller, None)
            case "metered":
                await self._metered(request, caller)
            case _:
                why = f"{request.method} {urlsplit(request.target).path} is not passed on: its cost is not known."
                await self._say(caller, self.wire.refusal(404, why, budget=False))

    async def _metered(self, request: Request, caller: Caller) -> None:
        body, most = self._bounded(request)
        pieces, an_hour = self.wire.pieces(body), self.wire.kept_an_hour(body)
        tokens = self._conversations.at_most(pieces)
        model = self.wire.model(request.target, body) or self.agent.model or ""
        report = self.wire.report(for_an_hour=an_hour)
        at_most = Usage(tokens, most, hour_write_tokens=tokens if an_hour else 0)
        try:
            async with self.run.spend(model, at_most) as spending:
                if not await self._pass_on(request, orjson.dumps(body), caller, report):
                    await spending.used(Usage())
                elif (usage := report.used()) is not None:
                    self._conversations.counted(pieces, usage)
                    await spending.used(usage)
        except BudgetExceeded as refused:
            self.refused = self.refused or refused
            await self._say(caller, self.wire.refusal(400, str(refused), budget=True))
            if self.patience is not None and self.patience.when() is None:
                self.patience.reschedule(asyncio.get_running_loop().time() + ENDING_SECONDS)

    def _bounded(self, request: Request) -> tuple[dict[str, Any], int]:
        try:
            body = orjson.loads(request.body)
            if not isinstance(body, dict):
                raise BadRequest(400, "The body is not a JSON object.")
            return body, self.wire.bounded(request.target, body, self.agent.max_tokens)
        except orjson.JSONDecodeError as error:
            raise BadRequest(400, "The body is not JSON.") from error
        except CannotBound as error:
            raise BadRequest(400, str(error)) from error

    async def _pass_on(self, request: Request, body: bytes, caller: Caller, report: Report | None) -> bool:
        """Hand a request on and its answer back as it comes; False when it cost nothing: it was refused, or not reached."""
        import httpx2

        assert self._client is not None
        headers = [(name, value) for name, value in request.headers if name not in _HOPS]
        parts = urlsplit(self.upstream)
        url = f"{parts.scheme}://{parts.netloc}{request.target}"
        sent = self._client.build_request(
            request.method, url, headers=[*headers, ("accept-encoding", "identity")], content=body
        )
        try:
            answer = await self._client.send(sent, stream=True)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError, httpx2.UnsupportedProtocol) as error:
            log.warning("the provider of a metered program was not reached: %s", error)
            why = f"{parts.netloc} cannot be reached: {error or type(error).__name__}"
            await self._say(caller, self.wire.refusal(502, why, budget=False))
            return False
        except httpx2.HTTPError as error:
            raise ConnectionError(str(error)) from error
        try:
            kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in _HOPS]
            await caller.begin(answer.status_code, kept)
            events = answer.headers.get("content-type", "").startswith("text/event-stream")
            async for data in answer.aiter_bytes():
                if report is not None and data:
                    report.feed(data, events=events)
                if data:
                    await caller.piece(data)
            await caller.end()
        except httpx2.HTTPError as error:
            raise ConnectionError(str(error)) from error
        finally:
            await answer.aclose()
        return answer.status_code < 400 or answer.status_code in _MAY_BE_CHARGED

    async def _say(self, caller: Caller, answer: Answer) -> None:
        # What was refused here is refused again; that nobody was reached may change.
        retry = () if answer.status == 502 else (("x-should-retry", "false"),)
        await caller.answer(answer.status, answer.body, *retry)
