"""`doctor --live AGENT`: one smallest real call, so that a person knows that key, endpoint and model work.

It asks for one word in an empty folder. The price ceiling is shown and confirmed before anything is sent, reserved in the
ledger like any other spending, and a second request is refused. Nothing of any project leaves the machine.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

from kiro_lsp.budget import Usage, cost_nano, from_nano, to_nano, worst_case_nano
from kiro_lsp.errors import BudgetExceeded, ExecutorError, RunRefused
from kiro_lsp.executors import registry
from kiro_lsp.executors.local import LocalRun
from kiro_lsp.executors.protocol import AgentInfo, ExecutorRequest, Spend
from kiro_lsp.settings import LoadedSettings
from kiro_lsp.store import Refusal, Reservation, Store, local_day
from kiro_lsp.terminal.console import Console
from kiro_lsp.terminal.project import open_project
from kiro_lsp.terminal.questions import Choice, Terminal

AT_MOST = Usage(8000, 1024, 0)
"""Tokens that the call may use: an agent sends its tools along, however short the question is."""
_QUESTION = "Answer with the single word: ready. Use no tool and change no file."


def make(name: str, root: str | None, *, confirmed: bool, console: Console) -> int:
    """Make the call and say how it went. Raises RunRefused when it cannot be made or was not confirmed."""
    with open_project(root) as project:
        loaded = project.workspace.settings()
        info = registry.named(project.workspace.agents(), name)
        if not info.available:
            raise RunRefused(
                f"{info.label} is not available: {info.reason}", code="no-agent", hint="See: kiro-lsp doctor"
            )
        ceiling = (
            worst_case_nano(info.model, AT_MOST, price=loaded.settings.prices.get(info.model))
            if info.billing == "metered"
            else 0
        )
        price = f"at most ${from_nano(ceiling)}" if info.billing == "metered" else f"{info.billing} use"
        model = f"model {info.model}" if info.model else "with the program's own model"
        _confirm(f"One call to {info.label} by {info.way}, {model}: {price}.", confirmed, console)
        run = _BookedRun(project.store, loaded, info, ceiling)
        return _report(info, run, asyncio.run(_call(info, loaded, run)), console)


def _confirm(question: str, confirmed: bool, console: Console) -> None:
    console.say(question)
    if confirmed:
        return
    with Terminal.open() as terminal:
        if terminal is None or console.json:
            raise RunRefused(
                "It was not confirmed, and there is nobody to ask.", code="not-confirmed", hint="Add --yes."
            )
        if terminal.ask("Make it?", [Choice("yes", "yes"), Choice("no", "no")], "no") != "yes":
            raise RunRefused("No call was made.", code="not-confirmed")


async def _call(info: AgentInfo, loaded: LoadedSettings, run: _BookedRun) -> ExecutorError | None:
    """Why it failed, None when an answer came."""
    settings = replace(
        registry.settings_for(info.name, loaded.settings, model=info.model, kind=info.type),
        max_tokens=AT_MOST.output_tokens,
    )
    try:
        async with run:
            executor = await asyncio.to_thread(registry.create, info, loaded.settings)
            request = ExecutorRequest(
                root_dir=run.root,
                ticket_markdown=_QUESTION,
                summary="Say that you are there.",
                agent=settings,
                settings=loaded.settings,
                environ=registry.environ_of(settings, os.environ, loaded.secrets),
            )
            result = await executor.execute(request, run)
    except ExecutorError as error:
        return error
    finally:
        await asyncio.to_thread(shutil.rmtree, run.root, ignore_errors=True)
    return None if result.success else ExecutorError("agent", result.error or "It gave up without a reason.")


def _report(info: AgentInfo, run: _BookedRun, failure: ExecutorError | None, console: Console) -> int:
    cost = None if run.cost is None else from_nano(run.cost)
    if console.json:
        console.value(
            {
                "ok": failure is None,
                "agent": info.name,
                "model": info.model,
                "inputTokens": run.usage.input_tokens,
                "outputTokens": run.usage.output_tokens,
                "cost": cost,
                "error": None
                if failure is None
                else {"kind": failure.kind, "message": failure.message, "hint": failure.hint},
            }
        )
    elif failure is None:
        spent = "cost unknown" if cost is None else f"${cost}"
        console.line(
            f"{info.label} answered: {run.usage.input_tokens} tokens in, {run.usage.output_tokens} out, {spent}."
        )
    else:
        console.refuse(failure)
    return 0 if failure is None else 1


class _BookedRun(LocalRun):
    """An empty folder in which one request is allowed, reserved in the ledger before and settled after."""

    def __init__(self, store: Store, loaded: LoadedSettings, info: AgentInfo, ceiling: int) -> None:
        super().__init__(Path(tempfile.mkdtemp(prefix="kiro-lsp-doctor-")), billing=info.billing)
        self._store, self._info, self._ceiling = store, info, ceiling
        self._cap_day, self._prices = loaded.settings.cost.max_cost_per_day, loaded.settings.prices
        self._booking = f"doctor-{uuid4().hex[:12]}"
        self.requests = 0
        self.cost: int | None = 0

    def spend(self, model: str, at_most: Usage) -> AbstractAsyncContextManager[Spend]:
        return self._booked(model, at_most)

    @asynccontextmanager
    async def _booked(self, model: str, at_most: Usage) -> AsyncIterator[Spend]:
        self.requests += 1
        if self.requests > 1:
            raise BudgetExceeded(
                "The agent wanted to go on after its one call.", hint="It answered: key and endpoint work."
            )
        reservation = await self._reserve(model, at_most) if self._info.billing == "metered" else None
        request = _Booked(self, model)
        try:
            yield request
        finally:
            self.cost = request.nano
            if reservation is not None:
                await asyncio.wrap_future(self._store.settle(reservation, request.nano))

    async def _reserve(self, model: str, at_most: Usage) -> Reservation:
        granted = await asyncio.wrap_future(
            self._store.reserve(
                self._booking,
                str(self.root),
                self._info.name,
                worst_case_nano(model, at_most, price=self._prices.get(model)),
                cap_day=to_nano(Decimal(self._cap_day)),
                cap_run=self._ceiling,
                day=local_day(),
            )
        )
        if isinstance(granted, Refusal):
            raise BudgetExceeded(granted.message, hint="The ceiling that was shown is not passed.")
        return granted


class _Booked:
    """The one request. `nano` stays None when nothing said what it cost."""

    def __init__(self, run: _BookedRun, model: str) -> None:
        self._run, self._model = run, model
        self.nano: int | None = None

    async def used(self, usage: Usage) -> None:
        self._run.usage += usage
        self.nano = cost_nano(self._model, usage, price=self._run._prices.get(self._model))
