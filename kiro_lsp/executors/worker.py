"""A provider's SDK in a process of its own, spoken to by JSON lines.

Importing an SDK takes seconds of CPU, and its first request builds type adapters for another half second; in a thread that
would stall the editor's loop for tens of milliseconds at a time, in a process it stalls nothing. The worker only carries
out one request at a time and streams what comes; it decides nothing, sees no file, and ends when its standard input does,
so it cannot outlive the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from kiro_lsp.errors import ExecutorError
from kiro_lsp.sandbox.programs import reduced_environ

_PACKAGE_PARENT: Final = str(Path(__file__).parents[2])
_LINE_LIMIT: Final = 64 * 1024 * 1024
_NETWORK_VARIABLES: Final = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)


class Worker:
    """One worker process. `module` is run with `-m`; its lines have the form {"event": …}."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, module: str, environ: Mapping[str, str]) -> Worker:
        network = {name: environ[name] for name in _NETWORK_VARIABLES if name in environ}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            module,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=reduced_environ(environ) | network | {"PYTHONPATH": _PACKAGE_PARENT},
            limit=_LINE_LIMIT,
            start_new_session=sys.platform != "win32",
        )
        return cls(process)

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def send(self, body: Mapping[str, Any]) -> None:
        """Send one request; read its answer with `line` up to `done` or `error`.

        A reader that leaves early must kill the worker: what it still says would be taken for the next answer.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(orjson.dumps(body) + b"\n")
            await self._process.stdin.drain()
        except ConnectionError as error:
            raise _died() from error

    async def line(self) -> dict[str, Any]:
        """The next line of the answer. Raises ExecutorError when the process is gone."""
        assert self._process.stdout is not None
        while True:
            try:
                line = await self._process.stdout.readline()
            except ValueError as error:
                raise ExecutorError("agent", f"An answer line is longer than {_LINE_LIMIT} bytes.") from error
            if not line:
                raise _died()
            value: dict[str, Any] = orjson.loads(line)
            if value["event"] != "ready":
                return value

    async def kill(self) -> None:
        """End the process now, and wait for it. Safe to call twice."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if sys.platform == "win32":
                    self._process.kill()
                else:
                    os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(ConnectionError, BrokenPipeError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        await self._process.wait()


class WorkerPool:
    """Idle workers by module, kept warm between runs. Belongs to one event loop; `close` ends them all."""

    def __init__(self, environ: Mapping[str, str], *, idle_at_most: int = 1) -> None:
        self._environ = environ
        self._idle_at_most = idle_at_most
        self._idle: dict[str, list[Worker]] = {}
        self._busy: set[Worker] = set()
        self._closed = False

    async def warm_up(self, module: str) -> None:
        """Have a worker ready before the first request. Called after trust; a failure shows at the first request."""
        if not any(worker.alive for worker in self._idle.get(module, ())):
            worker = await Worker.start(module, self._environ)
            await self._give_back(module, worker)

    @contextlib.asynccontextmanager
    async def worker(self, module: str) -> AsyncIterator[Worker]:
        """A worker for one run. It is kept for the next one unless the run was cut off in the middle of an answer."""
        worker = await self._take(module)
        self._busy.add(worker)
        clean = False
        try:
            yield worker
            clean = True
        finally:
            self._busy.discard(worker)
            if clean and not self._closed:
                await self._give_back(module, worker)
            else:
                await worker.kill()

    async def close(self) -> None:
        self._closed = True
        for worker in [*self._busy, *(worker for idle in self._idle.values() for worker in idle)]:
            await worker.kill()
        self._idle.clear()

    async def _take(self, module: str) -> Worker:
        idle = self._idle.get(module, [])
        while idle:
            worker = idle.pop()
            if worker.alive:
                return worker
        return await Worker.start(module, self._environ)

    async def _give_back(self, module: str, worker: Worker) -> None:
        idle = self._idle.setdefault(module, [])
        if self._closed or len(idle) >= self._idle_at_most or not worker.alive:
            await worker.kill()
        else:
            idle.append(worker)


def _died() -> ExecutorError:
    return ExecutorError(
        "internal",
        "The process that talks to the provider ended unexpectedly.",
        hint="Retry. If it happens again, check that kiro-lsp's packages are installed completely (kiro-lsp doctor).",
    )
