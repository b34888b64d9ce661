"""What an agent's program says line by line while it works: one module a format, found by its place.

Such a module has a class `Reader`. It gets every line that is a JSON object, yields what is to be seen as the updates of ACP
(whose words all agents share here) or as a phase, and keeps in its fields how the work goes and ended. Reading is lenient:
programs of all ages are read, and a line that means nothing to a reader is passed over. A reader knows no process.
"""

from __future__ import annotations

import importlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Final

import orjson

from kiro_lsp.budget import Usage
from kiro_lsp.errors import ErrorKind, ExecutorError
from kiro_lsp.events import Phase

Json = Mapping[str, Any]
Shown = Json | Phase

LONGEST_LINE: Final = 32 * 1024 * 1024
"""Longer lines are passed over: they hold a whole file that a tool has read, never what this is about."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*\Z")
_STATUSES: Final[Mapping[int, ErrorKind]] = {
    401: "auth",
    402: "payment",
    403: "auth",
    408: "timeout",
    413: "max-tokens",
    429: "rate-limit",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """How the work failed in the program's own words. `kind` is None where only the words tell."""

    said: str
    kind: ErrorKind | None = None


@dataclass(slots=True)
class Told(ABC):
    """How the work goes, as far as a program has said it."""

    resumed: bool = False
    """It goes on with an earlier session: totals that it states may hold what that one has used."""
    session_id: str | None = None
    usages: list[tuple[str, Usage]] = field(default_factory=list)
    """(model or "", usage) of what was answered since somebody took them out."""
    over: bool = False
    """The program has said that its work has ended."""
    failure: Failure | None = None
    summary: str = ""
    """Its last words, where the stream says which these are."""
    denied: list[str] = field(default_factory=list)
    """What it wanted to do and was not allowed to."""
    offline: bool = False
    """It waits for a network that it does not find, for as long as it takes."""
    began: bool = False
    """It has done something: it cannot simply be started again."""

    @abstractmethod
    def read(self, line: Json) -> Iterator[Shown]:
        """Take one line; what it is to be shown as."""

    def waiting(self, errors: str) -> str:  # noqa: ARG002  # for the programs that say it only there
        """What its error output, as far as it is kept, says that it waits for; "" for nothing."""
        return ""

    def exited(self, code: int) -> ErrorKind | None:  # noqa: ARG002  # for the formats whose codes say something
        """What the exit code of a program that never said how it ended tells."""
        return None


@dataclass(slots=True)
class Lines:
    """Takes bytes as they come and gives the JSON objects that are whole lines; holds no more than one line."""

    longest: int = LONGEST_LINE
    passed_over: int = 0
    """Lines that were no JSON object."""
    _held: list[bytes] = field(default_factory=list)
    _size: int = 0
    _skipping: bool = False

    def feed(self, data: bytes) -> Iterator[Json]:
        """`data` is what came next; b"" is the end, which ends a last line."""
        *whole, rest = data.split(b"\n")
        for part in whole:
            yield from self._line(part)
        if rest:
            self._hold(rest)
        elif not data and self._size:
            yield from self._line(b"")

    def _hold(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self.longest:
            self._held, self._skipping = [], True
        elif not self._skipping:
            self._held.append(part)

    def _line(self, end: bytes) -> Iterator[Json]:
        self._hold(end)
        line, skipped = b"".join(self._held).strip(), self._skipping
        self._held, self._size, self._skipping = [], 0, False
        if skipped:
            self.passed_over += 1
            return
        if not line:
            return
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            # Broken UTF-8 must not cost the line that says how it ended.
            try:
                value = orjson.loads(line.decode("utf-8", "replace"))
            except orjson.JSONDecodeError:
                value = None
        if isinstance(value, dict):
            yield value
        else:
            self.passed_over += 1


def known() -> list[str]:
    """The names of the formats."""
    files = (entry.name for entry in resources.files(__package__).iterdir())
    return sorted(name.removesuffix(".py") for name in files if name.endswith(".py") and not name.startswith("_"))


def reader_of(name: str) -> Told:
    """A new reader of a format. Raises ExecutorError for one that does not exist."""
    if not _NAME.match(name) or name not in known():
        raise ExecutorError(
            "agent",
            f"There is no stream format {name!r}.",
            hint=f"Set stream of the agent to one of {', '.join(known())}.",
        )
    made: Told = importlib.import_module(f"{__package__}.{name}").Reader()
    return made


# What the formats share


def kind_of_status(status: object) -> ErrorKind | None:
    """The kind of failure that an HTTP status means."""
    return _STATUSES.get(status) if isinstance(status, int) else None


def message(text: object) -> Iterator[Json]:
    if isinstance(text, str) and text:
        yield {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}


def thought(text: object) -> Iterator[Json]:
    if isinstance(text, str) and text:
        yield {"sessionUpdate": "agent_thought_chunk", "content": {"type": "text", "text": text}}


def plan(entries: Sequence[tuple[object, object]]) -> Json:
    """(text, status) of every entry."""
    listed = [{"content": text, "status": status} for text, status in entries]
    return {"sessionUpdate": "plan", "entries": listed}


def tool(
    identifier: object,
    *,
    status: str,
    kind: str = "",
    title: str = "",
    path: object = None,
    command: object = None,
    output: str = "",
) -> Json:
    """A tool call, or what is new about one; what is empty is not said."""
    update: dict[str, Any] = {"sessionUpdate": "tool_call", "toolCallId": identifier, "status": status}
    if kind:
        update["kind"] = kind
    if title:
        update["title"] = title
    if path:
        update["locations"] = [{"path": path}]
    if command:
        update["rawInput"] = {"command": command}
    if output:
        update["content"] = [{"type": "content", "content": {"type": "text", "text": output}}]
    return update


def of(value: object, name: str) -> Json:
    """The object below `name`; an empty one where there is none."""
    inner = value.get(name) if isinstance(value, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def listed(value: object, name: str) -> list[Json]:
    """The objects of the list below `name`."""
    inner = value.get(name) if isinstance(value, Mapping) else None
    return [entry for entry in inner if isinstance(entry, Mapping)] if isinstance(inner, list) else []


def text(value: object, name: str) -> str:
    inner = value.get(name) if isinstance(value, Mapping) else None
    return inner if isinstance(inner, str) else ""


def count(value: object, name: str) -> int:
    inner = value.get(name) if isinstance(value, Mapping) else None
    return inner if isinstance(inner, int) and not isinstance(inner, bool) and inner > 0 else 0
