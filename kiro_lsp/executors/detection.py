"""What is there to reach agents with, looked at now: programs on the PATH and their versions, servers that answer, and the
folders in a project that tell which agents it is used with.

Looking blocks, so it is for threads, never for an event loop. Of a project that is not trusted only names are looked at: no
program is started and no connection made. What was found is kept for moments (`FRESH_SECONDS`), so that a program which was
installed or a server that was started shows without a restart; a version is kept for as long as the program's file is the
same one.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import re
import socket
import stat
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic
from types import MappingProxyType
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from kiro_lsp.sandbox import processes, programs
from kiro_lsp.settings.values import is_loopback, origin

FRESH_SECONDS: Final = 2.0
VERSION_SECONDS: Final = 3.0
HERE_SECONDS: Final = 0.25
"""A server on this machine answers at once or not at all."""
AWAY_SECONDS: Final = 1.5
_NEUTRAL: Final = os.path.abspath(os.sep)
_AT_ONCE: Final = 8
_ANSWER_BYTES: Final = 512 * 1024
_VERSION: Final = re.compile(r"(?<![\w.])v?(\d+\.\d+(?:\.\d+)?(?:[-+.][0-9A-Za-z.]+)?)")

TRACES: Final[Mapping[str, tuple[str, ...]]] = {
    "claude": (".claude", "CLAUDE.md"),
    "codex": (".codex",),
    "gemini": (".gemini", "GEMINI.md"),
    "kiro": (".kiro",),
    "": ("AGENTS.md",),
}
"""Agent → names in a project's root that it reads or writes; "" for what most agents read."""

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Program:
    """A program that a way needs. Without a path there is none; `version` is None where nobody asked it."""

    path: str | None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """How an address answered. `models` is None where it did not say."""

    answers: bool
    said: str
    version: str | None = None
    models: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Places:
    """Where to look: bare names or absolute paths of programs, and (type of the agent, base address) of servers."""

    programs: frozenset[str] = frozenset()
    servers: frozenset[tuple[str, str]] = frozenset()
    files: frozenset[str] = frozenset()
    """Of which it counts whether they are there: a person's logins. `~/` is the home folder."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found. What was not looked at is not in it."""

    programs: Mapping[str, Program] = field(default_factory=lambda: MappingProxyType({}))
    servers: Mapping[tuple[str, str], Server] = field(default_factory=lambda: MappingProxyType({}))
    traces: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    files: Mapping[str, bool] = field(default_factory=lambda: MappingProxyType({}))


NOTHING: Final = Found()


@dataclass(slots=True)
class Detector:
    """Looks, and keeps what it saw. One for a project; any thread may call it."""

    root: Path
    environ: Mapping[str, str]
    clock: Callable[[], float] = monotonic
    _kept: dict[object, tuple[float, Any]] = field(default_factory=dict)
    _servers: dict[tuple[str, str], tuple[float, Server]] = field(default_factory=dict)
    """Until when an answer counts, and the answer."""
    _versions: dict[tuple[object, ...], str | None] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self, places: Places, *, trusted: bool, thorough: bool = False) -> Found:
        """What is there. `thorough` asks programs for their version and servers elsewhere too, which may take seconds.

        In a project that is not trusted nothing is started and nothing connected to, whatever `thorough` says.
        """
        servers = self._ask_servers(places.servers, thorough=thorough) if trusted else {}
        with self._lock:
            paths = {name: self._fresh(("program", name), partial(self._program, name)) for name in places.programs}
            traces = self._fresh("traces", self._traces)
            files = {name: self._fresh(("file", name), partial(self._is_there, name)) for name in places.files}
        if trusted and thorough:
            self._ask_programs(path for path in paths.values() if path is not None)
        found = {name: Program(path, self._known_version(path)) for name, path in paths.items()}
        return Found(found, servers, traces, files)

    def _fresh(self, key: object, find: Callable[[], Value]) -> Value:
        known = self._kept.get(key)
        if known is None or self.clock() >= known[0]:
            found = find()
            known = self._kept[key] = (self.clock() + FRESH_SECONDS, found)
        value: Value = known[1]
        return value

    def _program(self, name: str) -> str | None:
        if os.path.isabs(name):
            path = name if os.access(name, os.X_OK) and not programs.inside(name, (self.root,)) else None
        else:
            path = programs.find_program(name, self.environ, (self.root,))
        return path if path is not None and _is_safe(path) else None

    def _is_there(self, name: str) -> bool:
        home = self.environ.get("HOME", "")
        return bool(home) and os.path.exists(os.path.join(home, name.removeprefix("~/")))

    def _traces(self) -> dict[str, tuple[str, ...]]:
        found = {
            agent: tuple(name for name in names if os.path.lexists(self.root / name)) for agent, names in TRACES.items()
        }
        return {agent: names for agent, names in found.items() if names}

    # Versions

    def _known_version(self, path: str | None) -> str | None:
        stamp = None if path is None else _stamp(path)
        return None if stamp is None else self._versions.get(stamp)

    def _ask_programs(self, paths: Iterable[str]) -> None:
        stamps = {stamp: path for path in paths if (stamp := _stamp(path)) is not None and stamp not in self._versions}
        if stamps:
            answers = asyncio.run(_versions(list(stamps.values()), self.environ, self.root))
            self._versions.update(zip(stamps, answers, strict=True))

    # Servers

    def _ask_servers(self, places: Iterable[tuple[str, str]], *, thorough: bool) -> dict[tuple[str, str], Server]:
        """What servers say, those elsewhere only if `thorough` or if they were asked a moment ago.

        All are asked at the same time: one that hangs costs its own time limit only.
        """
        now = self.clock()
        known = {place: self._servers[place][1] for place in places if self._servers.get(place, (now, None))[0] > now}
        wanted = [place for place in places if place not in known and (thorough or _is_here(place[1]))]
        if wanted:
            with ThreadPoolExecutor(min(len(wanted), _AT_ONCE)) as pool:
                answers = dict(zip(wanted, pool.map(lambda place: probe(*place), wanted), strict=True))
            until = self.clock() + FRESH_SECONDS
            self._servers.update({place: (until, server) for place, server in answers.items()})
            known |= answers
        return known


def _stamp(path: str) -> tuple[object, ...] | None:
    """What a program's file is told by: another one at the same path has another version."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return os.path.realpath(path), status.st_mtime_ns, status.st_size, status.st_ino


def _is_safe(path: str) -> bool:
    """Whether only this person and the system's administrator could have put a program there."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    if not hasattr(os, "getuid"):
        return True
    return status.st_uid in (0, os.getuid()) and not status.st_mode & stat.S_IWOTH


async def _versions(paths: Sequence[str], environ: Mapping[str, str], root: Path) -> list[str | None]:
    return await asyncio.gather(*(_version(path, environ, root) for path in paths))


async def _version(path: str, environ: Mapping[str, str], root: Path) -> str | None:
    """What `PROGRAM --version` prints, without a key in its environment and not in the project's folder."""
    try:
        ended = await processes.run(
            [path, "--version"],
            cwd=_NEUTRAL,
            env=environ,
            timeout=VERSION_SECONDS,
            limit=4096,
            outside=(root,),
        )
    except OSError:
        return None
    said = _VERSION.search(ended.output) if ended.exit_code == 0 else None
    return said.group(1) if said is not None else None


# Servers


def probe(kind: str, url: str) -> Server:
    """Ask a server whether it is there, and for its models. No key is sent, nothing is followed, an answer is bounded."""
    where = origin(url)
    if where is None:
        return Server(False, "not an address")
    seconds = HERE_SECONDS if is_loopback(where[1]) else AWAY_SECONDS
    try:
        if kind == "ollama":
            version = _get(where, f"{_path(url)}/api/version", seconds).get("version")
            models = _names(_get(where, f"{_path(url)}/api/tags", seconds).get("models"), "name")
            return Server(True, "answers", version if isinstance(version, str) else None, models)
        return Server(True, "answers", None, _names(_get(where, f"{_path(url)}/models", seconds).get("data"), "id"))
    except TimeoutError:
        return Server(False, f"no answer within {seconds:g} s")
    except ConnectionRefusedError:
        return Server(False, "nothing answers there")
    except (OSError, http.client.HTTPException) as error:
        return Server(False, str(error) or type(error).__name__)


def _is_here(url: str) -> bool:
    where = origin(url)
    return where is not None and is_loopback(where[1])


def _path(url: str) -> str:
    return urlsplit(url).path.rstrip("/")


def _get(where: tuple[str, str, int], path: str, seconds: float) -> dict[str, Any]:
    """The JSON object at a path, {} for any other answer: whatever it is, something answers."""
    scheme, host, port = where
    make = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
    connection = make(host, port, timeout=seconds)
    # The time limit of a connection is one for every single read; a server that drips must not get one for each byte.
    deadline = threading.Timer(2 * seconds, _cut, (connection,))
    deadline.start()
    with contextlib.closing(connection):
        try:
            connection.request("GET", path, headers={"Accept": "application/json", "Accept-Encoding": "identity"})
            answer = connection.getresponse()
            data = answer.read(_ANSWER_BYTES)
        finally:
            deadline.cancel()
    try:
        value = json.loads(data) if answer.status == 200 else {}
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _cut(connection: http.client.HTTPConnection) -> None:
    if connection.sock is not None:
        with contextlib.suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)


def _names(listed: object, key: str) -> tuple[str, ...] | None:
    if not isinstance(listed, list):
        return None
    names = (entry.get(key) for entry in listed if isinstance(entry, dict))
    return tuple(name[:200] for name in names if isinstance(name, str))[:500]
