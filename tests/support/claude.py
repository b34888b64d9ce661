"""Carrying a task out with the real SDK against the local server, outside of any engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kiro_lsp import events
from kiro_lsp.budget import Usage
from kiro_lsp.errors import ExecutorError
from kiro_lsp.executors.anthropic import AnthropicExecutor
from kiro_lsp.executors.local import LocalRun
from kiro_lsp.executors.protocol import ExecutorRequest, ExecutorResult, Spend
from kiro_lsp.executors.worker import WorkerPool
from kiro_lsp.settings import AgentSettings, Settings
from kiro_lsp.spec.prompt import Prompt
from tests.support import planted
from tests.support.anthropic_server import AnthropicServer

KEY = planted.KEYS["bearer"]
AGENT = AgentSettings("claude", type="anthropic-api", label="Claude", model="claude-sonnet-5-5", max_tokens=4096)


class CountingRun(LocalRun):
    """A local run that keeps what each request reserved and used; `used` is None where it was charged as reserved."""

    def __init__(self, root: Path, **more: Any) -> None:
        super().__init__(root, **more)
        self.requests: list[tuple[Usage, Usage | None]] = []

    def spend(self, model: str, at_most: Usage) -> AbstractAsyncContextManager[Spend]:
        return self._counted(model, at_most)

    @asynccontextmanager
    async def _counted(self, model: str, at_most: Usage) -> AsyncIterator[Spend]:
        settled = _Settled()
        try:
            async with super().spend(model, at_most) as spend:
                settled.inner = spend
                yield settled
        finally:
            self.requests.append((at_most, settled.usage))


class _Settled:
    def __init__(self) -> None:
        self.inner: Spend
        self.usage: Usage | None = None

    async def used(self, usage: Usage) -> None:
        self.usage = usage
        await self.inner.used(usage)


@dataclass(frozen=True)
class Ended:
    """How an execution ended: with a result or with an error."""

    run: CountingRun
    result: ExecutorResult | None
    error: ExecutorError | None

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.run.events if isinstance(event, kind)]

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.of(events.Chunk))

    @property
    def staged(self) -> dict[str, bytes | None]:
        return {change.path: change.proposed for change in self.run.changes().files}


def environ_for(server: AnthropicServer) -> dict[str, str]:
    return {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": server.url}


async def execute(
    root: Path,
    pool: WorkerPool,
    environ: Mapping[str, str],
    *,
    run: CountingRun | None = None,
    prompt: Prompt | None = None,
    settings: Settings | None = None,
    idle_seconds: float = 60.0,
    target_files: Sequence[str] = (),
    **agent: Any,
) -> Ended:
    """One task with the executor as a run would have it; an ExecutorError is an end, every other exception a fault."""
    run = run or CountingRun(root)
    request = ExecutorRequest(
        root_dir=root,
        ticket_markdown="Make the number two.",
        target_files=target_files,
        prompt=prompt,
        settings=settings,
        environ=environ,
    )
    executor = AnthropicExecutor(replace(AGENT, **agent), pool, idle_seconds=idle_seconds)
    try:
        return Ended(run, await executor.execute(request, run), None)
    except ExecutorError as error:
        return Ended(run, None, error)
