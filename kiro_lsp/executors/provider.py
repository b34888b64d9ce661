"""What the executors of every provider share: their settings, their worker for one run, how its lines become events."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

import orjson

from kiro_lsp.events import Chunk, Phase, Thought
from kiro_lsp.executors.protocol import RunContext
from kiro_lsp.executors.provider_failures import Reached
from kiro_lsp.executors.toolloop import NotCharged
from kiro_lsp.executors.worker import Worker, WorkerPool
from kiro_lsp.settings import AgentSettings
from kiro_lsp.settings.values import is_loopback, origin

RETRIES: Final = 3
"""Further attempts, and only after ones that certainly did nothing; the waits between them add up to a few seconds."""
CONNECT_SECONDS: Final = 10.0
OWN_BYTES_PER_TOKEN: Final = 3
"""Of our own English and JSON, which no tokenizer cuts finer. Of anything else a token may be a single byte."""
FRAME_TOKENS: Final = 2_000
"""What a provider adds around tools and messages."""

FOREIGN: Final = b'"mcp__'
"""How the names of tools of somebody else's begin, as they are encoded."""


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

    def _order(self, reached: Reached, key: str) -> dict[str, Any]:
        """What every order to a worker holds beside its request."""
        return {
            "apiKey": key,
            "baseUrl": reached.url,
            "retries": RETRIES,
            "connectSeconds": CONNECT_SECONDS,
            "idleSeconds": self._idle_seconds,
        }


def address(agent: AgentSettings, environ: Mapping[str, str], usual: Reached) -> tuple[Reached, str]:
    """Who is asked, where, and the key for it ("" if there is none). `usual` is the provider as nobody configured it.

    Raises NotCharged where others could read a key on its way.
    """
    moved = environ.get(usual.address)
    chosen = agent.endpoint if "endpoint" in agent.origins else moved or agent.endpoint
    url = (chosen or usual.url).rstrip("/")
    where = origin(url)
    if where is None or not (where[0] == "https" or is_loopback(where[1])):
        raise NotCharged(
            "network",
            f"The endpoint {url!r} is neither https nor on this machine: no key is sent there.",
            hint=f"Set {usual.address}, or endpoint of the agent, to an https address.",
        )
    key_name = agent.api_key_env or usual.key
    label, model = agent.label or usual.label, agent.model or usual.model
    reached = Reached(label, agent.name, model, url, key_name, usual.api, usual.address)
    return reached, environ.get(key_name, "").strip()


def foreign_tokens(declared: Iterable[object]) -> int:
    """What tools of somebody else's may need beyond `OWN_BYTES_PER_TOKEN`: of their words a token may be a single byte."""
    sizes = (len(encoded) for encoded in map(orjson.dumps, declared) if FOREIGN in encoded)
    return sum(size - size // OWN_BYTES_PER_TOKEN for size in sizes)


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
