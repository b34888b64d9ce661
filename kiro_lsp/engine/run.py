"""One run in flight: the RunContext that an executor is given, and the run's own clock, questions and spending.

A RunHandle turns what happens into events: redacted, text merged, appended to the store before anyone sees them. It
decides nothing about review or apply.
"""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kiro_lsp import events
from kiro_lsp.budget import Usage, cost_nano, from_nano, provider_at, to_nano, worst_case_nano
from kiro_lsp.engine import faults
from kiro_lsp.engine.questions import COMMAND_OPTIONS, TOOL_OPTIONS, deny_option, meant_by_words
from kiro_lsp.engine.stage import Stage
from kiro_lsp.engine.workspace import command_digest
from kiro_lsp.errors import BudgetExceeded, RunRefused
from kiro_lsp.events import (
    Chunk,
    CommandDetail,
    Envelope,
    Permission,
    PermissionOption,
    Phase,
    RunEvent,
    RunState,
    Thought,
)
from kiro_lsp.executors.protocol import AgentInfo, CommandResult, Needs, Question, Reply, Spend, Workplace
from kiro_lsp.executors.unhurried import to_its_end
from kiro_lsp.sandbox.search import Match
from kiro_lsp.settings import AgentSettings, CostSettings, Settings
from kiro_lsp.settings.redact import Redactor
from kiro_lsp.store import Kept, Refusal, Reservation, RunRecord, Spent, Store, Warn, local_day

MERGE_BYTES = 2048
MERGE_SECONDS = 0.05
UNSTREAMED_BYTES = 64 * 1024
"""With stream_output off, text waits for the next event of another kind, or until it is this long."""

_DURABLE = (
    events.Start,
    events.Session,
    events.State,
    events.File,
    events.Permission,
    events.Answer,
    events.UsageReport,
    events.Warned,
    events.Verifying,
    events.Verify,
    events.ReviewReady,
    *events.ENDED,
    *events.SETTLED,
)

Recorded = Future[list[Envelope]]
"""Events on their way into the store."""


def now() -> str:
    """RFC 3339 in UTC with milliseconds, as events carry it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_run_id() -> str:
    """Sorts by time, reads well, cannot collide: 20261121-044512-3f9a."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


@dataclass(slots=True)
class _Asked:
    question: Question
    answered: asyncio.Future[tuple[Reply, str]]
    """The answer, and who gave it."""


@dataclass(slots=True)
class RunHandle:
    """A live run. Belongs to one event loop; every method but `emit`'s commit callback runs on it."""

    record: RunRecord
    agent: AgentInfo
    settings: Settings
    store: Store
    redactor: Redactor
    publish: Callable[[Sequence[Envelope]], None]
    executor_environ: Mapping[str, str] = field(default_factory=dict)
    """What the executor may look keys up in: its own only."""
    agent_settings: AgentSettings | None = None
    allowed_digests: set[str] = field(default_factory=set)
    """Command digests that need no question: allowed for this run, in this project, or by the person's own settings."""
    stage: Stage = field(init=False)
    state: RunState = "queued"
    phase: str = "queued"
    reason: str | None = None
    """Why this agent, as the settings in force have it; None: as recorded."""
    cancelled_by: str | None = None
    question: Permission | None = None
    """What the run waits for, if it waits."""
    usage: Usage = field(default_factory=Usage)
    cost_nano: int | None = 0
    turns: int = 0
    started: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    job: asyncio.Task[None] | None = None
    _asked: dict[str, _Asked] = field(default_factory=dict)
    _text: Chunk | Thought | None = None
    _text_timer: asyncio.TimerHandle | None = None
    _last_flush: float = 0.0
    _timeout: asyncio.Timeout | None = None
    _written: Recorded | None = None

    # The run context: who and what files

    @property
    def run_id(self) -> str:
        return self.record.run_id

    @property
    def root(self) -> Path:
        return self.stage.root

    async def read(self, path: str) -> bytes:
        return await self.stage.read(path)

    async def write(self, path: str, data: bytes) -> None:
        await self.stage.write(path, data)

    async def delete(self, path: str) -> None:
        await self.stage.delete(path)

    async def list(self, under: str = "") -> list[str]:
        return await self.stage.list(under)

    async def search(self, pattern: str, *, under: str = "", limit: int = 200) -> Sequence[Match]:
        return await self.stage.search(pattern, under=under, limit=limit)

    # The run context, events

    def emit(self, event: RunEvent) -> None:
        """Record, then publish. Text is merged (50 ms or 2 kB) so that the log stays readable and no client is flooded."""
        if isinstance(event, Chunk | Thought):
            self._merge(event)
            return
        self._flush_text()
        if isinstance(event, Phase):
            self.phase = f"{event.phase} {event.detail}" if event.detail else event.phase
        self._append([event])

    def emit_together(self, group: Sequence[RunEvent]) -> None:
        """Several events in one transaction: a reader sees all of them or none."""
        self._flush_text()
        self._append(group)

    def transition(self, to: RunState, reason: str | None = None) -> events.State:
        """The State event for a move to `to`; the caller emits it, alone or with others."""
        event = events.State(self.state, to, reason)
        self.state = to
        return event

    async def written(self) -> None:
        """Wait until everything emitted so far is in the store."""
        self._flush_text()
        if self._written is not None:
            await asyncio.wrap_future(self._written)

    def _merge(self, event: Chunk | Thought) -> None:
        if self._text is not None and type(self._text) is not type(event):
            self._flush_text()
        text = event.text if self._text is None else self._text.text + event.text
        self._text = type(event)(text)
        loop = asyncio.get_running_loop()
        if not self.settings.execution.stream_output:
            if len(text) >= UNSTREAMED_BYTES:
                self._flush_text(more_to_come=True)
        elif len(text) >= MERGE_BYTES or loop.time() - self._last_flush >= MERGE_SECONDS:
            self._flush_text(more_to_come=True)
        elif self._text_timer is None:
            self._text_timer = loop.call_later(MERGE_SECONDS, self._flush_text, True)

    def _flush_text(self, more_to_come: bool = False) -> None:
        """Append the merged text; the beginning of what could become a secret waits while more may come."""
        if self._text_timer is not None:
            self._text_timer.cancel()
            self._text_timer = None
        if self._text is None:
            return
        event, self._text = self._text, None
        end = self.redactor.safe_end(event.text) if more_to_come else len(event.text)
        if end < len(event.text):
            self._text = type(event)(event.text[end:])
        if end:
            self._last_flush = asyncio.get_running_loop().time()
            self._append([type(event)(event.text[:end])])

    def _append(self, group: Sequence[RunEvent]) -> None:
        clean = [_redacted(event, self.redactor) for event in group]
        durable = any(isinstance(event, _DURABLE) for event in clean)
        self._written = self.store.append(self.run_id, clean, durable=durable, at=now())
        self._publish_later(self._written)

    def _publish_later(self, recorded: Recorded) -> None:
        loop = asyncio.get_running_loop()

        def committed(future: Future[list[Envelope]]) -> None:
            if future.cancelled() or future.exception() is not None:
                return  # `written` raises it where it can be acted on
            if not loop.is_closed():
                loop.call_soon_threadsafe(self.publish, future.result())

        recorded.add_done_callback(committed)

    # The run context, questions

    async def ask(self, question: Question) -> str:
        return (await self._ask(question, None)).option

    async def ask_in_words(self, question: Question) -> Reply:
        return await self._ask(question, None)

    async def _ask(self, question: Question, detail: CommandDetail | None) -> Reply:
        before = self.state
        request_id = secrets.token_hex(4)
        asked = _Asked(question, asyncio.get_running_loop().create_future())
        self._asked[request_id] = asked
        options = tuple(PermissionOption(*option) for option in question.options)
        self.question = Permission(request_id, question.kind, question.title, options, detail, question.words or None)
        self.emit_together([self.transition("waiting", question.title), self.question])
        reply, by = Reply(deny_option(question)), "nobody"
        try:
            with self._clock_stopped():
                reply, by = await asked.answered
        finally:
            del self._asked[request_id]
            self.question = None
            self.emit_together([events.Answer(request_id, reply.option, by, reply.text), self.transition(before)])
        return reply

    def answer(self, request_id: str, option: str, by: str, text: str | None = None) -> None:
        """Settle a question. Raises RunRefused for an unknown, settled or misspelt one: silence is never a yes.

        Words without an option answer a question that asks for words; any other they decline.
        """
        asked = self._asked.get(request_id)
        if asked is None or asked.answered.done():
            raise RunRefused(
                f"Run {self.run_id} has no open question {request_id!r}.",
                code="no-question",
                hint="It may have been answered elsewhere, or the run has ended.",
            )
        known = [identifier for identifier, _label, _kind in asked.question.options]
        option = option or (meant_by_words(asked.question) if text else "")
        if option not in known:
            raise RunRefused(
                f"{option!r} is not an answer to {asked.question.title!r}.",
                code="no-option",
                hint=f"Use one of {known}.",
            )
        asked.answered.set_result((Reply(option, text), by))

    # The run context, commands

    async def run_command(self, argv: Sequence[str], *, cwd: str = "", timeout: float | None = None) -> CommandResult:
        if not await self.stage.copy.needs_no_question():
            await self.allow_command(argv, cwd=cwd)
        ended = await self.stage.copy.command(argv, cwd, timeout=timeout, on_output=lambda text: self.emit(Chunk(text)))
        return CommandResult(ended.exit_code, ended.output, ended.truncated, ended.seconds)

    def workplace(self, needs: Needs) -> AbstractAsyncContextManager[Workplace]:
        return self.stage.copy.place(needs)

    async def allow_command(
        self, argv: Sequence[str], *, cwd: str = "", env: Mapping[str, str] | None = None, where: str = "not sandboxed"
    ) -> None:
        argv, digest = tuple(argv), command_digest(argv, cwd, env or {})
        if digest in self.allowed_digests:
            return
        title = f"Run in a copy of the project ({where}): {' '.join(argv)}"
        detail = CommandDetail(argv, cwd or ".", env or {}, digest)
        await self._allow(Question("command", title, COMMAND_OPTIONS), detail, digest, argv)

    async def allow_tool(self, name: str, digest: str, title: str) -> None:
        if not {digest, command_digest((name,), "", {})} & self.allowed_digests:
            await self._allow(Question("tool", title, TOOL_OPTIONS), None, digest, (name,))

    async def _allow(
        self, question: Question, detail: CommandDetail | None, digest: str, argv: tuple[str, ...]
    ) -> None:
        reply = await self._ask(question, detail)
        if reply.option == "deny":
            said = f" They said: {reply.text}" if reply.text else ""
            raise PermissionError(f"The person did not allow the {question.kind} {list(argv)}.{said}")
        if reply.option in ("run", "always"):
            self.allowed_digests.add(digest)
        if reply.option == "always":
            await asyncio.wrap_future(self.store.allow_argv(self.record.root, digest, argv))

    async def recall(self, name: str) -> Kept | None:
        return await asyncio.to_thread(self.store.kept, self.record.root, name)

    async def keep(self, name: str, text: str) -> None:
        await asyncio.wrap_future(self.store.keep(self.record.root, name, text))

    # The run context, money

    @asynccontextmanager
    async def spend(self, model: str, at_most: Usage) -> AsyncIterator[Spend]:
        """As RunContext.spend: reserve before, settle after, charge the reservation when the usage stays unknown."""
        reservation = await self._reserve(model, at_most) if self.agent.billing == "metered" else None
        faults.point("spend.reserved")
        spending = _Spending(self, model, reservation)
        try:
            yield spending
        finally:
            if not spending.settled:
                await to_its_end(spending.settle_unknown())

    async def _reserve(self, model: str, at_most: Usage) -> Reservation:
        cost = self.settings.cost
        # Prices are imported at their first use, which takes a fifth of a second.
        most, known = await asyncio.to_thread(self._most, model, at_most)
        granted = await asyncio.wrap_future(
            self.store.reserve(
                self.run_id,
                self.record.root,
                self.agent.name,
                most,
                cap_day=to_nano(cost.max_cost_per_day),
                cap_run=to_nano(cost.max_cost_per_run),
                day=local_day(),
            )
        )
        if isinstance(granted, Refusal):
            raise BudgetExceeded(granted.message, hint=_over_budget(granted, model, price_known=known))
        return granted

    def _most(self, model: str, at_most: Usage) -> tuple[int, bool]:
        """What a request may cost, and whether that is its price: blocking."""
        provider, price = self._provider(), self.settings.prices.get(model)
        known = cost_nano(model, Usage(), provider, price=price) is not None
        return worst_case_nano(model, at_most, provider, price=price), known

    def _provider(self) -> str | None:
        endpoint = self.agent_settings.endpoint if self.agent_settings is not None else None
        return None if endpoint is None else provider_at(endpoint)

    def price(self, model: str, usage: Usage) -> int | None:
        """What a usage costs in nano-dollars; None where nobody knows."""
        return cost_nano(model, usage, self._provider(), price=self.settings.prices.get(model))

    def settle(self, reservation: Reservation, nano: int | None) -> Recorded:
        """Charge a request; if that takes the day to `warn_at_cost`, the run says so, and no other run does."""
        cost = self.settings.cost
        settled = self.store.settle(
            reservation,
            nano,
            warn=Warn(to_nano(cost.warn_at_cost), lambda day, spent: _warning(day, spent, cost), now()),
        )
        self._publish_later(settled)
        return settled

    def count(self, usage: Usage, nano: int | None, *, turns: int = 1) -> None:
        """Add to the run's total and report it."""
        self.usage += usage
        self.turns += turns
        self.cost_nano = None if self.cost_nano is None or nano is None else self.cost_nano + nano
        cost = None if self.cost_nano is None else from_nano(self.cost_nano)
        tokens = self.usage.input_tokens, self.usage.output_tokens, self.usage.cached_tokens
        self.emit(events.UsageReport(*tokens, cost, self.agent.billing, self.turns))

    # The run's own clock

    @contextmanager
    def time_limit(self, timeout: asyncio.Timeout) -> Iterator[None]:
        self._timeout = timeout
        try:
            yield
        finally:
            self._timeout = None

    @contextmanager
    def _clock_stopped(self) -> Iterator[None]:
        """Waiting for the person does not count against the time limit."""
        timeout = self._timeout
        deadline = timeout.when() if timeout is not None else None
        if timeout is None or deadline is None:
            yield
            return
        loop = asyncio.get_running_loop()
        left = deadline - loop.time()
        timeout.reschedule(None)
        try:
            yield
        finally:
            timeout.reschedule(loop.time() + left)

    def cancel(self, by: str) -> None:
        """Stop: no new request or tool call starts, children are killed, staged work is kept."""
        self.cancelled_by = self.cancelled_by or by
        if self.job is not None:
            self.job.cancel()


@dataclass(slots=True)
class _Spending:
    """One reserved request of a run."""

    handle: RunHandle
    model: str
    reservation: Reservation | None
    settled: bool = False

    async def used(self, usage: Usage) -> None:
        await to_its_end(self._used(usage))

    async def _used(self, usage: Usage) -> None:
        faults.point("spend.received")
        # Nothing costs nothing, also where no price is known: the request was refused, or never left this machine.
        nano = self.handle.price(self.model, usage) if self.reservation is not None and usage != Usage() else 0
        await self._settle(nano)
        self.handle.count(usage, nano, turns=int(usage != Usage()))

    async def settle_unknown(self) -> None:
        """Nothing said what it cost: the reservation stays charged and the cost of the run is unknown."""
        await self._settle(None)
        self.handle.count(Usage(), None if self.reservation is not None else 0)

    async def _settle(self, nano: int | None) -> None:
        self.settled = True
        if self.reservation is not None:
            await asyncio.wrap_future(self.handle.settle(self.reservation, nano))
            faults.point("spend.settled")


def _over_budget(refused: Refusal, model: str, *, price_known: bool) -> str:
    hint = (
        f"Staged work is kept. To go on, raise {refused.setting} in [kiro.cost] of your own configuration"
        " (and of the project's kiro.toml, if that lowers it)."
    )
    if not price_known:
        hint += f' The price of {model} is not known, so the dearest is assumed: say it in [prices."{model}"] there.'
    elif refused.setting == "max_cost_per_run" and not refused.spent + refused.reserved:
        hint += " A smaller max_tokens of the agent also makes its requests cheaper at most."
    return hint


def _warning(day: str, spent: Spent, cost: CostSettings) -> events.Warned:
    unknown = f", {spent.unknown} requests of unknown cost as reserved" if spent.unknown else ""
    return events.Warned(
        "budget",
        f"The cost of {day} has reached ${from_nano(spent.spent)}{unknown} (warn_at_cost = ${cost.warn_at_cost}).",
        f"No request starts that could pass max_cost_per_day = ${cost.max_cost_per_day}. `kiro-lsp costs` says what for.",
    )


def _redacted(event: RunEvent, redactor: Redactor) -> RunEvent:
    """The event with every known secret in its texts replaced."""
    return dataclasses.replace(
        event, **{spec.name: _clean(getattr(event, spec.name), redactor) for spec in dataclasses.fields(event)}
    )


def _clean(value: Any, redactor: Redactor) -> Any:
    if isinstance(value, str):
        return redactor.redact(value)
    if isinstance(value, tuple):
        return tuple(_clean(item, redactor) for item in value)
    if isinstance(value, Mapping):
        return {name: _clean(item, redactor) for name, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(
            value, **{spec.name: _clean(getattr(value, spec.name), redactor) for spec in dataclasses.fields(value)}
        )
    return value
