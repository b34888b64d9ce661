"""Running a command and being sure that it is gone: output drained and bounded, no shell, no secret in its environment.

Between this process and the command stands a supervisor (`supervisor.py`) that ends the whole tree of processes when it
is asked to, when the command's first process ends, and when this process dies. Nothing here isolates the command from
files or network: it runs with the rights of the person, in the folder it is given, unless it is put into a `Room`.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kiro_lsp.sandbox import supervisor
from kiro_lsp.sandbox.programs import find_program, inside, reduced_environ

__all__ = ["Conversation", "Finished", "Room", "find_program", "reduced_environ", "run", "sweep", "talk"]

KEPT_OUTPUT: Final = 256 * 1024
GRACE_SECONDS: Final = 1.0
"""Between SIGTERM and SIGKILL; a cancelled command is gone within two seconds."""

MARKER: Final = "KIRO_LSP_COMMAND"
"""The variable by which descendants are known even when their supervisor was killed."""

_READ: Final = 64 * 1024
_TALK_LIMIT: Final = 64 * 1024 * 1024
_LATE_OUTPUT_SECONDS: Final = 0.5
_BATCH_SPECIALS: Final = frozenset('"&|<>^%!()\r\n')


@dataclass(frozen=True, slots=True)
class Room:
    """What a command is put into before it starts; `isolation` makes one.

    `before` goes in front of its argument list, `namespaces` are descriptors (user, mount) that it enters first, there
    with all capabilities or none. In a room paths mean what they mean there: nothing is looked for from outside.
    """

    before: tuple[str, ...] = ()
    namespaces: tuple[int, int] | None = None
    capable: bool = False
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended. `exit_code` is 128 + signal number when a signal ended it.

    `output` is stdout and stderr as they came; its middle is left out when there was more than the limit (`truncated`).
    """

    exit_code: int
    output: str
    truncated: bool
    seconds: float
    timed_out: bool = False


async def run(
    argv: Sequence[str],
    *,
    cwd: Path | str,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    on_output: Callable[[str], None] | None = None,
    limit: int = KEPT_OUTPUT,
    outside: Sequence[Path | str] = (),
    grace: float = GRACE_SECONDS,
    room: Room | None = None,
) -> Finished:
    """Run a program to its end, or to `timeout` seconds. All its descendants are gone when this returns or raises.

    A bare program name is looked up outside the folders `outside`; one with a slash is relative to `cwd` and may not
    lie in an `outside` folder that does not hold `cwd`. `env` (default: this process's) is reduced to what tools need.
    `on_output` gets text as it comes, at most `limit` bytes of it; it must not block. Raises FileNotFoundError,
    NotADirectoryError or PermissionError with a message for a person when nothing was started.
    """
    environ = os.environ if env is None else env
    order = _marked(_order(argv, cwd, environ, outside, room), grace)
    process = await _supervisor(reduced_environ(environ, outside), () if room is None else room.namespaces or ())
    return await _Command(process, order, _Output(limit, on_output)).carry_out(timeout, argv[0])


@dataclass(frozen=True, slots=True)
class Conversation:
    """A program that is spoken to over its input and output. What it says on its error output is kept, bounded."""

    stdin: asyncio.StreamWriter
    stdout: asyncio.StreamReader
    _errors: _Output
    _ended: asyncio.Task[dict[str, Any]]

    def errors(self) -> str:
        return self._errors.text()

    async def ended(self) -> int:
        """Wait for the end of the program; its exit code, 128 + signal number when a signal ended it."""
        status = await asyncio.shield(self._ended)
        if "error" in status:
            raise FileNotFoundError(f"The program could not be started: {status['error']}.")
        return _exit_code(status, timed_out=False)


@contextlib.asynccontextmanager
async def talk(
    argv: Sequence[str],
    *,
    cwd: Path | str,
    env: Mapping[str, str] | None = None,
    outside: Sequence[Path | str] = (),
    grace: float = GRACE_SECONDS,
    line_limit: int = _TALK_LIMIT,
    room: Room | None = None,
) -> AsyncIterator[Conversation]:
    """As `run`, for a program that is spoken to. All its descendants are gone when the context is left.

    `line_limit` is what `stdout.readline` reads at most. POSIX only: raises NotImplementedError on Windows.
    """
    if sys.platform == "win32":
        raise NotImplementedError("programs that are spoken to are not supervised on Windows yet")
    environ = os.environ if env is None else env
    order = _marked(_order(argv, cwd, environ, outside, room), grace)
    (order["stdin"], write), (read, order["stderr"]) = os.pipe(), os.pipe()
    theirs = (order["stdin"], order["stderr"])
    try:
        handed_on = (*theirs, *(() if room is None else room.namespaces or ()))
        process = await _supervisor(reduced_environ(environ, outside), handed_on, line_limit)
    except BaseException:
        os.close(write)
        os.close(read)
        raise
    finally:
        for descriptor in theirs:
            os.close(descriptor)
    loop = asyncio.get_running_loop()
    errors = asyncio.StreamReader()
    listening, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(errors), os.fdopen(read, "rb", buffering=0)
    )
    transport, protocol = await loop.connect_write_pipe(
        asyncio.streams.FlowControlMixin, os.fdopen(write, "wb", buffering=0)
    )
    command = _Talk(process, order, _Output(KEPT_OUTPUT, None), errors)
    ended = asyncio.create_task(command._until_ended())
    assert process.stdout is not None
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    try:
        yield Conversation(writer, process.stdout, command.output, ended)
    finally:
        if not transport.is_closing():
            transport.abort()
        await command._stopped(ended)
        listening.close()


async def _supervisor(
    environ: Mapping[str, str], handed_on: Sequence[int], limit: int = _READ
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-S",
        supervisor.__file__,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ,
        limit=limit,
        **_own_group(),
        pass_fds=tuple(handed_on),
    )


def _marked(order: dict[str, Any], grace: float) -> dict[str, Any]:
    marker = secrets.token_hex(16)
    return order | {"grace": grace, "marker": marker, "env": order["env"] | {MARKER: marker}}


def _order(
    argv: Sequence[str],
    cwd: Path | str,
    environ: Mapping[str, str],
    outside: Sequence[Path | str],
    room: Room | None,
) -> dict[str, Any]:
    if room is None:
        folder = _folder(cwd)
        program = _program(argv, folder, environ, outside)
        return {
            "argv": [program, *argv[1:]],
            "cwd": folder,
            "env": reduced_environ(environ, outside) | {"PWD": folder},
        }
    folder = os.fspath(cwd)
    relative = bool(argv) and "/" in argv[0]
    program = os.path.join(folder, argv[0]) if relative else _program(argv, folder, environ, outside)
    order: dict[str, Any] = {
        "argv": [*room.before, program, *argv[1:]],
        "cwd": "/" if room.before else folder,
        "env": reduced_environ(environ, outside) | dict(room.environ) | {"PWD": folder},
    }
    if room.namespaces is not None:
        order["enter"] = {"descriptors": room.namespaces, "capable": room.capable}
    return order


def _own_group() -> dict[str, Any]:
    """Signals for the server's group (Ctrl+C in a terminal) do not reach the command: its end is ordered here."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def _folder(cwd: Path | str) -> str:
    folder = os.path.realpath(cwd)
    if not os.path.isdir(folder):
        raise NotADirectoryError(f"There is no folder {str(cwd)!r} to run in.")
    return folder


def _program(argv: Sequence[str], folder: str, environ: Mapping[str, str], outside: Sequence[Path | str]) -> str:
    """The absolute path to start; raises with a message when there is none or it must not be."""
    if not argv or not argv[0]:
        raise FileNotFoundError("No program was named.")
    name = argv[0]
    if any("\0" in part for part in argv):
        raise FileNotFoundError("An argument holds a NUL character.")
    if "/" not in name and not (sys.platform == "win32" and "\\" in name):
        program = find_program(name, environ, outside)
        if program is None:
            raise FileNotFoundError(f"There is no program {name!r} on the PATH (folders of the project do not count).")
    else:
        program = os.path.join(folder, name)
        real = os.path.realpath(program)
        if not os.path.isfile(real):
            raise FileNotFoundError(f"There is no program {name!r}.")
        others = [place for place in outside if not inside(folder, [place])]
        if inside(real, others):
            raise PermissionError(
                f"{name!r} lies in the project itself; a command runs in a copy. Name it relative to that."
            )
        if not os.access(real, os.X_OK):
            raise PermissionError(f"{name!r} is not executable.")
    problem = batch_problem(program, argv[1:])
    if problem:
        raise PermissionError(problem)
    return program


def batch_problem(program: str, arguments: Sequence[str]) -> str | None:
    """Windows runs a batch file through its shell, which reads arguments in its own way: such arguments are refused."""
    if not program.lower().endswith((".bat", ".cmd")):
        return None
    bad = next((argument for argument in arguments if not _BATCH_SPECIALS.isdisjoint(argument)), None)
    return None if bad is None else f"{bad!r} cannot be passed safely to the batch file {os.path.basename(program)}."


@dataclass(slots=True)
class _Output:
    """Text as it comes to one listener, and its beginning and end for the result."""

    limit: int
    on_output: Callable[[str], None] | None
    size: int = 0
    _head: bytearray = field(default_factory=bytearray)
    _tail: deque[bytes] = field(default_factory=deque)
    _tail_size: int = 0
    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )

    def add(self, data: bytes) -> None:
        self._tell(data)
        self.size += len(data)
        room = self.limit // 4 - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._tail.append(data)
            self._tail_size += len(data)
        while self._tail and self._tail_size - len(self._tail[0]) >= self._tail_limit:
            self._tail_size -= len(self._tail.popleft())

    @property
    def _tail_limit(self) -> int:
        return self.limit - self.limit // 4

    @property
    def truncated(self) -> bool:
        return self.size > self.limit

    def text(self) -> str:
        tail = b"".join(self._tail)
        if not self.truncated:
            return (bytes(self._head) + tail).decode("utf-8", "replace")
        tail = tail[-self._tail_limit :]
        left_out = self.size - len(self._head) - len(tail)
        head = self._head.decode("utf-8", "replace")
        return f"{head}\n[… {left_out} bytes left out …]\n{tail.decode('utf-8', 'replace')}"

    def _tell(self, data: bytes) -> None:
        if self.on_output is None or self.size > self.limit:
            return
        text = self._decoder.decode(data[: self.limit - self.size])
        if self.size + len(data) > self.limit:
            text += "\n[… more output; it is not shown …]\n"
        if text:
            self.on_output(text)


@dataclass(slots=True)
class _Command:
    """One supervised command. Closing the supervisor's input is the order to stop."""

    process: asyncio.subprocess.Process
    order: dict[str, Any]
    output: _Output

    async def carry_out(self, timeout: float | None, name: str) -> Finished:
        started = time.monotonic()
        ended = asyncio.create_task(self._until_ended())
        timed_out = False
        try:
            async with asyncio.timeout(timeout):
                status = await asyncio.shield(ended)
        except TimeoutError:
            timed_out = True
            status = await self._stopped(ended)
        except asyncio.CancelledError:
            await self._stopped(ended)
            raise
        except BaseException:
            # A listener failed: the command goes before its error does.
            await self._stopped(ended)
            raise
        if "error" in status:
            raise FileNotFoundError(f"{name!r} could not be started: {status['error']}.")
        return Finished(
            exit_code=_exit_code(status, timed_out),
            output=self.output.text() + (f"\n[stopped after {timeout:g} seconds]" if timed_out else ""),
            truncated=self.output.truncated,
            seconds=time.monotonic() - started,
            timed_out=timed_out,
        )

    async def _until_ended(self) -> dict[str, Any]:
        """The supervisor's report; {} when it was killed. Output is read to its end, or a moment after the report."""
        stdin, stdout, stderr = self.process.stdin, self.process.stdout, self.process.stderr
        if stdin is None or stdout is None or stderr is None:
            raise RuntimeError("the supervisor was started without pipes")
        reading = asyncio.create_task(self._read(stdout))
        # A listener that fails stops the reading; nobody wants the command's work then.
        reading.add_done_callback(lambda read: stdin.close() if not read.cancelled() and read.exception() else None)
        try:
            with contextlib.suppress(ConnectionError):
                stdin.write(json.dumps(self.order).encode() + b"\n")
                await stdin.drain()
            # Only the supervisor holds this pipe: its end is the supervisor's end, whoever else holds the output open.
            report = await stderr.read(_READ)
            while more := await stderr.read(_READ):
                report = (report + more)[-_READ:]
            status = _last_report(report)
            if not status:
                await asyncio.to_thread(sweep, self.order["marker"])
            done, _ = await asyncio.wait([reading], timeout=_LATE_OUTPUT_SECONDS)
            for each in done:
                each.result()
        finally:
            reading.cancel()
            stdin.close()
            if not stdout.at_eof():
                # Somebody who escaped still holds the pipe; there is no public way to close our end of it.
                self.process._transport.close()  # type: ignore[attr-defined]
        return status

    async def _read(self, stdout: asyncio.StreamReader) -> None:
        while data := await stdout.read(_READ):
            self.output.add(data)

    async def _stopped(self, ended: asyncio.Task[dict[str, Any]]) -> dict[str, Any]:
        """End the tree, also when this is cancelled meanwhile: whoever cancels may wait for us, but no process may
        stay.
        """
        stopping = asyncio.create_task(self._stop(ended))
        while not stopping.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(stopping)
        return stopping.result()

    async def _stop(self, ended: asyncio.Task[dict[str, Any]]) -> dict[str, Any]:
        if self.process.stdin is not None:
            self.process.stdin.close()
        patience = self.order["grace"] + supervisor.KILLING_SECONDS / 6
        done, _ = await asyncio.wait([ended], timeout=patience)
        if not done:
            # The supervisor itself was stopped or hangs; its death takes the first process along, the sweep the rest.
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await asyncio.to_thread(sweep, self.order["marker"])
            await asyncio.wait([ended], timeout=_LATE_OUTPUT_SECONDS * 2)
        if not ended.done():
            ended.cancel()
            return {}
        return {} if ended.cancelled() or ended.exception() is not None else ended.result()


@dataclass(slots=True)
class _Talk(_Command):
    """Its output is somebody else's to read; what is kept is what it says on its error output."""

    errors: asyncio.StreamReader

    async def _read(self, stdout: asyncio.StreamReader) -> None:  # noqa: ARG002  # read by the one who talks
        while data := await self.errors.read(_READ):
            self.output.add(data)


def _last_report(report: bytes) -> dict[str, Any]:
    for line in reversed(report.splitlines()):
        with contextlib.suppress(ValueError):
            status = json.loads(line)
            if isinstance(status, dict):
                return status
    return {}


def _exit_code(status: Mapping[str, Any], timed_out: bool) -> int:
    if timed_out:
        return 124
    if "exit" in status:
        return int(status["exit"])
    return 128 + int(status.get("signal", 9))


def sweep(marker: str, seconds: float = 1.0) -> None:
    """Kill every process of this user whose environment holds the marker: the net below a supervisor that was killed.

    Linux only; elsewhere a supervisor's death ends the job (Windows) or leaves what left the group (macOS).
    """
    if not sys.platform.startswith("linux"):
        return
    deadline = time.monotonic() + seconds
    while (found := marked(marker)) and time.monotonic() < deadline:
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in found:
                with contextlib.suppress(OSError):
                    os.kill(pid, number)


def marked(marker: str) -> list[int]:
    """Pids of living processes that were started with this marker."""
    wanted = f"{MARKER}={marker}".encode()
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
                if wanted in file.read():
                    found.append(int(name))
    return found
