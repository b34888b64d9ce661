"""Where the provider's SDK is imported, and what that costs: python -m benchmarks.sdk_import [--json] [--runs N].

Stalls: how late a one-millisecond timer of an event loop fires while the SDK is imported in a thread of the same process, in
a worker process (what kiro-lsp does), and while nothing is imported. Chunks: time to the first piece of text and time a piece,
of the executor with its worker against the bare SDK, warm, from the same local server. Figures are medians over fresh
processes; only the ratios mean anything on another machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kiro_lsp import events
from kiro_lsp.executors.anthropic import SCRIPT, AnthropicExecutor
from kiro_lsp.executors.local import LocalRun
from kiro_lsp.executors.protocol import ExecutorRequest
from kiro_lsp.executors.worker import Worker, WorkerPool
from kiro_lsp.settings import AgentSettings

REPO = Path(__file__).resolve().parent.parent
PIECES = 3000
KEY = "local-key-of-a-benchmark"


async def lateness(work: Callable[[], Awaitable[object]]) -> list[float]:
    """Milliseconds that each tick of the loop came late while `work` ran."""
    late: list[float] = []
    working: asyncio.Future[object] = asyncio.gather(work())
    while not working.done():
        before = time.perf_counter()
        await asyncio.sleep(0.001)
        late.append((time.perf_counter() - before - 0.001) * 1000)
    await working
    return late


def import_sdk() -> None:
    import anthropic  # noqa: F401  # importing it is what is measured


async def in_thread() -> None:
    await asyncio.to_thread(import_sdk)


async def in_process() -> None:
    worker = await Worker.start(SCRIPT, os.environ)
    await worker.ready()
    await worker.kill()


async def nowhere() -> None:
    await asyncio.sleep(1)


def stalls(way: str) -> dict[str, float]:
    late = sorted(asyncio.run(lateness({"thread": in_thread, "process": in_process, "nothing": nowhere}[way])))
    return {"p99": late[int(len(late) * 0.99)], "max": late[-1], "over 20 ms": sum(item > 20 for item in late)}


async def bare_sdk(url: str) -> dict[str, float]:
    """The SDK as its documentation has it, in this process."""
    import anthropic

    client = anthropic.AsyncAnthropic(api_key=KEY, base_url=url, max_retries=0)
    figures: dict[str, float] = {}
    for _round in range(2):  # the first one builds the SDK's types
        started = time.perf_counter()
        first, text = None, []
        message: Any = {"role": "user", "content": "go on"}
        async for event in await client.messages.create(model="m", max_tokens=9, messages=[message], stream=True):
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                first = first or time.perf_counter()
                text.append(event.delta.text)
        assert first is not None
        figures = {"first": first - started, "piece": (time.perf_counter() - first) / len(text)}
    return figures


async def executor(url: str) -> dict[str, float]:
    """The executor with a warm worker, as a run has it."""

    class Timed(LocalRun):
        first: float | None = None

        def emit(self, event: events.RunEvent) -> None:
            if isinstance(event, events.Chunk) and self.first is None:
                self.first = time.perf_counter()
            super().emit(event)

    pool = WorkerPool(os.environ)
    await pool.warm_up(SCRIPT)
    async with pool.worker(SCRIPT) as worker:
        await worker.ready()
    agent = AgentSettings("claude", type="anthropic-api", model="m")
    environ = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": url}
    figures: dict[str, float] = {}
    for _round in range(2):
        run = Timed(Path(tempfile.gettempdir()))
        started = time.perf_counter()
        await AnthropicExecutor(agent, pool).execute(
            ExecutorRequest(run.root, ticket_markdown="go on", environ=environ), run
        )
        assert run.first is not None
        figures = {"first": run.first - started, "piece": (time.perf_counter() - run.first) / PIECES}
    await pool.close()
    return figures


@contextmanager
def server() -> Any:
    """The local provider server in a process of its own; yields its URL."""
    from tests.support.anthropic_server import Step, write_script

    with tempfile.TemporaryDirectory() as folder:
        script = write_script(Path(folder) / "script.json", [Step(text="eleven char", repeat_text=PIECES, pieces=11)])
        port = Path(folder) / "port"
        command = [sys.executable, "-m", "tests.support.anthropic_server", "--script", script, "--port-file", port]
        with subprocess.Popen(list(map(str, command)), cwd=REPO, stdin=subprocess.PIPE) as program:
            while not port.exists():
                time.sleep(0.01)  # a program says that it is ready by writing this file; nothing is measured yet
            yield port.read_text("utf-8")
            assert program.stdin is not None
            program.stdin.close()


def measured(what: str, runs: int, *arguments: str) -> dict[str, float]:
    """The median of each figure over fresh processes."""
    found = []
    for _run in range(runs):
        command = [sys.executable, "-m", "benchmarks.sdk_import", "--one", what, *arguments]
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        done = subprocess.run(command, cwd=REPO, env=environ, stdout=subprocess.PIPE, check=True)
        found.append(json.loads(done.stdout))
    return {name: statistics.median(item[name] for item in found) for name in found[0]}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sdk_import")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        what, *rest = given.one
        figures = stalls(what) if not rest else asyncio.run((bare_sdk if what == "sdk" else executor)(rest[0]))
        print(json.dumps(figures))
        return
    late = {way: measured(way, given.runs) for way in ("nothing", "thread", "process")}
    with server() as url:
        sdk, ours = measured("sdk", given.runs, url), measured("executor", given.runs, url)
    ratios = {name: round(ours[name] / sdk[name], 2) for name in ("first", "piece")}
    if given.json:
        print(json.dumps({"stalls": late, "sdk": sdk, "executor": ours, "ratios": ratios}))
        return
    for way, figures in late.items():
        print(
            f"stalls, import in {way:8}", "  ".join(f"{name} {value:6.1f}" for name, value in figures.items()), "(ms)"
        )
    for name, figures in (("bare SDK", sdk), ("executor", ours)):
        print(f"{name}: first piece {figures['first'] * 1000:.1f} ms, then {figures['piece'] * 1e6:.0f} µs a piece")
    print(f"executor : bare SDK   first piece {ratios['first']}   a piece {ratios['piece']} (bound 1.3)")


if __name__ == "__main__":
    main()
