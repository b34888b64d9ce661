"""The terminals of an agent that speaks ACP: commands that it has us run, in its own workplace, bounded and stopped with it."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from kiro_lsp.errors import KiroError
from kiro_lsp.executors.acp_wire import Refused
from kiro_lsp.executors.protocol import Workplace
from kiro_lsp.spec import unicode

_MOST: Final = 32
_KEPT: Final = 1024 * 1024
_REMEMBERED: Final = 16 * 1024
_VARIABLES: Final = 64
_SHELL: Final = frozenset("|&;<>()$`\\\"'*?[]#~=%{}\n \t")


@dataclass(slots=True)
class _Terminal:
    limit: int
    output: str = ""
    truncated: bool = False
    exit_code: int | None = None
    job: asyncio.Task[None] | None = None

    def add(self, text: str) -> None:
        self.output += text
        if len(self.output) > self.limit:
            self.truncated = True
            self.output = self.output[-self.limit :]

    def ended(self) -> dict[str, Any] | None:
        if self.exit_code is None:
            return None
        if self.exit_code > 128:
            return {"exitCode": None, "signal": str(self.exit_code - 128)}
        return {"exitCode": self.exit_code, "signal": None}


@dataclass(slots=True)
class Terminals:
    """An asynchronous context manager: no command of it is left when it is closed."""

    place: Workplace
    allow: Callable[[Sequence[str], Mapping[str, str], str], Awaitable[None]]
    """Returns when a command may run, with its variables, in a root-relative folder. Raises Refused when it may not."""
    changed: Callable[[], None]
    _terminals: dict[str, _Terminal] = field(default_factory=dict)
    _released: dict[str, str] = field(default_factory=dict)
    """What those printed that are gone, the end of it: the tool call that they belong to may end later."""
    _made: int = 0

    @property
    def busy(self) -> bool:
        return any(each.exit_code is None for each in self._terminals.values())

    async def create(self, params: Mapping[str, Any]) -> dict[str, Any]:
        argv, env = argv_of(params), _environ(params.get("env"))
        if len(self._terminals) >= _MOST:
            raise Refused("Too many terminals are open: release some.")
        cwd = params.get("cwd")
        try:
            folder = "" if not isinstance(cwd, str) or not cwd else _folder(self.place, cwd)
        except KiroError as refused:
            raise Refused(str(refused)) from None
        await self.allow(argv, env, folder)
        await self.place.refresh()
        limit = params.get("outputByteLimit")
        terminal = _Terminal(min(limit, _KEPT) if isinstance(limit, int) and limit > 0 else _KEPT)
        self._made += 1
        identifier = f"terminal-{self._made}"
        self._terminals[identifier] = terminal
        terminal.job = asyncio.create_task(self._run(terminal, argv, folder, env))
        return {"terminalId": identifier}

    async def output(self, params: Mapping[str, Any]) -> dict[str, Any]:
        terminal = self._named(params)
        said: dict[str, Any] = {"output": terminal.output, "truncated": terminal.truncated}
        ended = terminal.ended()
        return said if ended is None else said | {"exitStatus": ended}

    async def wait_for_exit(self, params: Mapping[str, Any]) -> dict[str, Any]:
        terminal = self._named(params)
        if terminal.job is not None:
            await asyncio.wait([terminal.job])
        return terminal.ended() or {"exitCode": None, "signal": None}

    async def kill(self, params: Mapping[str, Any]) -> dict[str, Any]:
        await self._stop(self._named(params))
        return {}

    async def release(self, params: Mapping[str, Any]) -> dict[str, Any]:
        identifier, terminal = params["terminalId"], self._named(params)
        await self._stop(terminal)
        del self._terminals[identifier]
        self._released[identifier] = terminal.output[-_REMEMBERED:]
        if len(self._released) > _MOST:
            del self._released[next(iter(self._released))]
        return {}

    def printed(self, identifier: str) -> str:
        """What a terminal has printed so far; of one that was released the end."""
        terminal = self._terminals.get(identifier)
        return terminal.output if terminal is not None else self._released.get(identifier, "")

    async def __aenter__(self) -> Terminals:
        return self

    async def __aexit__(self, *_: object) -> None:
        for terminal in self._terminals.values():
            if terminal.job is not None:
                terminal.job.cancel()
        for terminal in list(self._terminals.values()):
            await self._stop(terminal)

    async def _run(self, terminal: _Terminal, argv: Sequence[str], folder: str, env: Mapping[str, str]) -> None:
        try:
            ended = await self.place.run(argv, cwd=folder, extra_env=env, on_output=terminal.add)
            terminal.exit_code = ended.exit_code
        except (OSError, KiroError) as error:
            terminal.add(f"{error}\n")
            terminal.exit_code = 127
        finally:
            if terminal.exit_code is None:
                terminal.exit_code = 128 + 15
            self.changed()

    async def _stop(self, terminal: _Terminal) -> None:
        if terminal.job is not None:
            terminal.job.cancel()
            with suppress(asyncio.CancelledError):
                await terminal.job

    def _named(self, params: Mapping[str, Any]) -> _Terminal:
        identifier = params.get("terminalId")
        terminal = self._terminals.get(identifier) if isinstance(identifier, str) else None
        if terminal is None:
            raise Refused(f"There is no terminal {str(identifier)[:80]!r}.")
        return terminal


def argv_of(params: Mapping[str, Any]) -> tuple[str, ...]:
    """The argument list to run. A command without arguments that only a shell understands goes to one."""
    command, args = params.get("command"), params.get("args") or []
    if not isinstance(command, str) or not command.strip():
        raise Refused("No command was named.")
    if not isinstance(args, list) or not all(isinstance(part, str) for part in args):
        raise Refused("The arguments must be texts.")
    if not args and not _SHELL.isdisjoint(command):
        return ("sh", "-c", command)
    return (command, *args)


def line_of(argv: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    """A command as a person reads it, with nothing hidden in it."""
    script = argv[2] if argv[:2] == ("sh", "-c") and len(argv) == 3 else shlex.join(argv)
    before = "".join(f"{name}={shlex.quote(value)} " for name, value in (env or {}).items())
    return unicode.visible(before + script)


def _environ(listed: object) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in listed if isinstance(listed, list) else []:
        if isinstance(entry, Mapping) and len(found) < _VARIABLES:
            name, value = entry.get("name"), entry.get("value")
            if isinstance(name, str) and name.isidentifier() and isinstance(value, str) and "\0" not in value:
                found[name] = value
    return found


def _folder(place: Workplace, cwd: str) -> str:
    """The root-relative folder of a path as the agent spells it."""
    if cwd.rstrip("/") in (str(place.path), "."):
        return ""
    return place.relative(cwd)
