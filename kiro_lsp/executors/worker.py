"""A provider's SDK in a process of its own, spoken to by JSON lines.

Importing an SDK takes seconds of CPU, and its first request builds type adapters for another half second; in a thread that
stalls the editor's loop for tens of milliseconds at a time, in a process it stalls nothing (benchmarks/sdk_import.py).
The worker only carries out one request at a time and streams what comes; it decides nothing, sees no file, and ends when
its standard input does, so it cannot outlive the server. A key reaches it in the order of a request, never in its
environment or arguments.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from kiro_lsp.errors import ExecutorError
from kiro_lsp.sandbox.programs import reduced_environ

_LINE_LIMIT: Final = 32 * 1024 * 1024
_STOP_SECONDS: Final = 1.0
_LINES_IN_ONE_GO: Final = 32
_NETWORK_VARIABLES: Final = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
)
_ENDS: Final = frozenset({"done", "error", "cancelled"})


class Worker:
    """One worker process, running the program at `script`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._number = 0
        self._killed = False

    @classmethod
    async def start(cls, script: Path, environ: Mapping[str, str]) -> Worker:
        """Start it; it is ready when it answers. `environ` is the launch environment, of which it gets little."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # the script's own folder holds a module that is called like the SDK
            str(script),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=script.parent,
            env=_environ(environ),
            limit=_LINE_LIMIT,
            start_new_session=sys.platform != "win32",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        return cls(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None and not self._killed

    async def ready(self) -> None:
        """Wait until it has imported what it needs. Raises ExecutorError when it ended instead."""
        while (await self._line())["event"] != "ready":
            pass

    async def ask(self, order: Mapping[str, Any], on_line: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Send one order; returns its last line (`done` or `error`) and gives every line before it to `on_line`.

        Cancelling it stops the request at the provider too; the worker can be used again. Raises ExecutorError when the
        worker is gone.
        """
        self._number += 1
        number, ended = self._number, False
        try:
            await self._send({**order, "id": number})
            taken = 0
            while True:
                line = await self._line()
                if line["id"] != number:
                    continue
                if line["event"] in _ENDS:
                    ended = True
                    return line
                on_line(line)
                taken += 1
                if taken % _LINES_IN_ONE_GO == 0:
                    await asyncio.sleep(0)  # buffered lines are read without a pause otherwise
        finally:
            if not ended:
                await self._stop(number)

    async def kill(self) -> None:
        """End the process now, and wait for it. Safe to call twice."""
        self._kill_now()
        with contextlib.suppress(ConnectionError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        await self._process.wait()

    def _kill_now(self) -> None:
        self._killed = True
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if sys.platform == "win32":
                    self._process.kill()
                else:
                    os.killpg(self._process.pid, signal.SIGKILL)

    async def _stop(self, number: int) -> None:
        """Have the request dropped; a worker that does not confirm it at once is ended instead."""
        stopped = False
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._send({"id": number, "cancel": True})
                while (line := await self._line())["id"] != number or line["event"] != "cancelled":
                    pass
            stopped = True
        except (TimeoutError, ExecutorError):
            pass
        finally:
            if not stopped:
                self._kill_now()

    async def _send(self, body: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(orjson.dumps(body) + b"\n")
            await self._process.stdin.drain()
        except ConnectionError as error:
            raise await self._died() from error

    async def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        try:
            line = await self._process.stdout.readline()
            if line.endswith(b"\n"):
                value: dict[str, Any] = orjson.loads(line)
                return value
        except ValueError as error:
            self._kill_now()
            raise ExecutorError("internal", f"The provider's process sent no JSON line: {error}") from error
        raise await self._died()

    async def _died(self) -> ExecutorError:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await self._process.wait()
        self._kill_now()
        return ExecutorError(
            "internal",
            f"The process that talks to the provider ended (exit code {self._process.returncode}).",
            hint="Retry. If it happens again, check that kiro-lsp's packages are installed completely: kiro-lsp doctor.",
        )


class WorkerPool:
    """Idle workers by program, kept warm between runs. Belongs to one event loop; `close` ends them all."""

    def __init__(self, environ: Mapping[str, str], *, idle_at_most: int = 1) -> None:
        self._environ = environ
        self._idle_at_most = idle_at_most
        self._idle: dict[Path, list[Worker]] = {}
        self._busy: set[Worker] = set()
        self._closed = False

    async def warm_up(self, script: Path) -> None:
        """Have a worker started before the first request; returns at once, it gets ready by itself."""
        idle = self._idle.setdefault(script, [])
        if not self._closed and not any(worker.alive for worker in idle):
            idle.append(await Worker.start(script, self._environ))

    @contextlib.asynccontextmanager
    async def worker(self, script: Path) -> AsyncIterator[Worker]:
        """A worker for one run; it is kept for the next one while it lives."""
        worker = await self._take(script)
        self._busy.add(worker)
        try:
            yield worker
        finally:
            self._busy.discard(worker)
            await self._give_back(script, worker)

    async def close(self) -> None:
        self._closed = True
        for worker in [*self._busy, *(worker for idle in self._idle.values() for worker in idle)]:
            await worker.kill()
        self._idle.clear()

    async def _take(self, script: Path) -> Worker:
        idle = self._idle.get(script, [])
        while idle:
            worker = idle.pop()
            if worker.alive:
                return worker
        return await Worker.start(script, self._environ)

    async def _give_back(self, script: Path, worker: Worker) -> None:
        idle = self._idle.setdefault(script, [])
        if self._closed or len(idle) >= self._idle_at_most or not worker.alive:
            await worker.kill()
        else:
            idle.append(worker)


def _environ(environ: Mapping[str, str]) -> dict[str, str]:
    """What tools need, what leads out of this network, and where the launch environment has packages; no key."""
    found = reduced_environ(environ) | {name: environ[name] for name in _NETWORK_VARIABLES if name in environ}
    places = [place for place in environ.get("PYTHONPATH", "").split(os.pathsep) if os.path.isabs(place)]
    return found | ({"PYTHONPATH": os.pathsep.join(places)} if places else {})
