"""What the executors of every provider share: their settings, their worker for one run, how its lines become events."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from kiro_lsp.events import Chunk, Phase, Thought
from kiro_lsp.executors.protocol import RunContext
from kiro_lsp.executors.worker import Worker, WorkerPool
from kiro_lsp.settings import AgentSettings


class WorkerBacked:
    """`workers` keeps a warm process between runs; without it, each run starts one of its own.

    `environ` is where keys and addresses are looked up when the request brings no environment of its own.
    """

    IDLE_SECONDS: ClassVar[float]
    """How long a provider may be silent within an answer."""

    def __init__(
        self,
        agent: AgentSettings,
        workers: WorkerPool | None = None,
        environ: Mapping[str, str] | None = None,
        *,
        idle_seconds: float | None = None,
    ) -> None:
        self._agent = agent
        self._workers = workers
        self._environ = environ or {}
        self._idle_seconds = self.IDLE_SECONDS if idle_seconds is None else idle_seconds

    @contextlib.asynccontextmanager
    async def _worker(self, script: Path) -> AsyncIterator[Worker]:
        pool = self._workers or WorkerPool(os.environ)
        try:
            async with pool.worker(script) as worker:
                yield worker
        finally:
            if self._workers is None:
                await asyncio.shield(pool.close())


def show(line: Mapping[str, Any], run: RunContext, where: str, who: str = "the provider") -> None:
    """Emit what a line of a worker tells while an answer streams; `where` and `who` name the other side in a retry."""
    match line["event"]:
        case "text":
            run.emit(Chunk(line["text"]))
        case "thought":
            run.emit(Thought(line["text"]))
        case "tool":
            run.emit(Phase("thinking", line["name"]))
        case "retry":
            why = f"{who} answered {line['status']}" if line["status"] else f"{where} was {line['why']}"
            run.emit(Phase("thinking", f"trying again in {line['seconds']:.0f} s: {why}"))
