"""The tools of the configured MCP servers, offered beside our own: `mcp__SERVER__TOOL`.

    async with offered(request, run, redact) as toolbox:
        ...

What a server says of its tools is read by the model, so it is kept as it was when the server was first looked at; when it
has changed, the person is asked before any model sees it. Each tool is asked for before it is called: once, for the run, or
always, and always means as it is described now. A server is started when its tools are not known yet or one of them is
called, in the run's copy of the project, and is gone with the run; what it changes there is staged after each call. One
that is reached by HTTP sees no file. A server that fails costs its own tools, not the run.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from kiro_lsp.errors import ExecutorError
from kiro_lsp.events import OptionKind, Phase, Thought
from kiro_lsp.executors.mcp_client import Offer, Progress, Server, Session, connected
from kiro_lsp.executors.mcp_servers import needs_of_servers, server_of
from kiro_lsp.executors.protocol import ExecutorRequest, Needs, Question, RunContext, Workplace
from kiro_lsp.executors.tools import Toolbox
from kiro_lsp.executors.tools.definition import ForeignTool, ToolResult
from kiro_lsp.executors.tools.text import shortened

CHARACTERS: Final = 30_000
"""Of an answer that the model gets."""
_TOOLS: Final = 64
_DESCRIPTION: Final = 4000
_SCHEMA_BYTES: Final = 20_000
_NAME: Final = 64
_MOST: Final = 100
"""Of all servers together; providers take 128, ours among them."""
_AT_NO_TOP: Final = frozenset({"$schema", "anyOf", "oneOf", "allOf", "not", "enum"})
"""What providers refuse at the top of a schema. It only narrows what the server checks by itself."""
_PROPERTY: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_KEPT_SECONDS: Final = 24 * 3600
"""A server that is not called for longer is looked at again: it may offer more by now."""
_SHOWN_CHANGES: Final = 5
_OPTIONS: Final[tuple[tuple[str, str, OptionKind], ...]] = (
    ("accept", "Use them as they are now", "allow-always"),
    ("deny", "Leave them out", "deny"),
)


@asynccontextmanager
async def offered(
    request: ExecutorRequest, run: RunContext, redact: Callable[[str], str] = str
) -> AsyncIterator[Toolbox]:
    """The tools for a task: our own, and those of the servers that the settings name. Raises what `workplace` raises."""
    tables = (
        [] if request.settings is None else sorted(request.settings.mcp_servers.values(), key=lambda each: each.name)
    )
    used = [table for table in tables if table.enabled]
    if not used or request.schema is not None:
        yield Toolbox(run)
        return
    async with AsyncExitStack() as stack:
        place = _Place(run, needs_of_servers(used), stack)
        tools: dict[str, ForeignTool] = {}
        for table in used:
            try:
                served = _Served(server_of(table), run, place, stack)
                await served.look()
            except ExecutorError as problem:
                run.emit(Thought(f"{problem.message} Its tools are left out.\n"))
                continue
            for offer in list(served.offers.values())[: _MOST - len(tools)]:
                tool = served.tool(offer, tools, redact)
                tools[tool.name] = tool
        yield Toolbox(run, foreign=tools.values())


@dataclass(slots=True)
class _Place:
    """The run's copy, opened when the first server needs it."""

    run: RunContext
    needs: Needs
    stack: AsyncExitStack
    _opened: Workplace | None = None

    async def opened(self) -> Workplace:
        if self._opened is None:
            self._opened = await self.stack.enter_async_context(self.run.workplace(self.needs))
        return self._opened


@dataclass(slots=True)
class _Served:
    """One server: what it offers, and its session once it was needed."""

    server: Server
    run: RunContext
    place: _Place
    stack: AsyncExitStack
    offers: dict[str, Offer] = field(default_factory=dict)
    """As the person has let pass, by the server's own names."""
    _session: Session | None = None
    _checked: bool = False
    _failed: str = ""

    async def look(self) -> None:
        """Know the tools: as they were kept, or by asking the server. Raises ExecutorError."""
        kept = await self.run.recall(self._key)
        known = _read(kept.text) if kept is not None else None
        if kept is None or known is None or known[0] != self._config:
            self.offers = _usable(await (await self._started()).offers())
            self._checked = True
            await self._keep()
            return
        self.offers = known[1]
        if kept.age > _KEPT_SECONDS:
            await self._check()

    async def call(self, name: str, args: Mapping[str, object], shown: str) -> ToolResult:
        """Call a tool if the person allows it. Raises PermissionError, and ExecutorError for a write outside the copy."""
        if self._failed:
            return ToolResult(self._failed, is_error=True)
        try:
            await self._check()
            if name not in self.offers:
                return ToolResult(
                    f"The server has changed {shown}, and it may not be used as it is now.", is_error=True
                )
            await self.run.allow_tool(shown, self._digest(self.offers[name]), self._question(name, shown, args))
            session = await self._started()
        except ExecutorError as problem:
            return self._fail(problem)
        place = None if self.server.url is not None else await self.place.opened()
        if place is not None:
            await place.refresh()
        try:
            answer = await session.call(name, args, self._progress(shown))
        except ExecutorError as problem:
            return self._fail(problem)
        finally:
            if place is not None:
                await place.absorb()
        text, _cut = shortened(answer.text, CHARACTERS)
        return ToolResult(text, is_error=answer.is_error)

    def tool(self, offer: Offer, taken: Mapping[str, Any], redact: Callable[[str], str]) -> ForeignTool:
        """A tool as it is offered to a model."""
        name = _offered_name(self.server.name, offer.name, taken)

        async def call(args: Mapping[str, object]) -> ToolResult:
            return await self.call(offer.name, args, name)

        words = f"{redact(offer.description)}\n(A tool of the MCP server {self.server.name}.)".strip()
        return ForeignTool(name, words, offer.schema, lambda args: f"{name} {_brief(args)}".strip(), call)

    async def _started(self) -> Session:
        if self._session is None:
            place = None if self.server.url is not None else await self.place.opened()
            self.run.emit(Phase("starting", f"MCP server {self.server.name}"))
            self._session = await self.stack.enter_async_context(connected(self.server, self.run, place))
        return self._session

    async def _check(self) -> None:
        """Compare what the server says of its tools with what was kept; the person decides on differences."""
        if self._checked:
            return
        now = _usable(await (await self._started()).offers())
        self._checked = True
        changed = [offer for name, offer in now.items() if self.offers.get(name) != offer]
        if not changed:
            self.offers = {name: offer for name, offer in self.offers.items() if name in now}
            return
        if await self.run.ask(Question("tool", self._changes(changed), _OPTIONS)) == "accept":
            self.offers = now
            await self._keep()
        else:
            self.offers = {name: offer for name, offer in now.items() if self.offers.get(name) == offer}

    def _changes(self, changed: Sequence[Offer]) -> str:
        parts = [
            f"The MCP server {self.server.name} says other things of its tools than before; agents act on these words."
        ]
        for offer in changed[:_SHOWN_CHANGES]:
            before = self.offers.get(offer.name)
            was = "it was not there" if before is None else _described(before)
            parts.append(f"{offer.name}\n  before: {was}\n  now: {_described(offer)}")
        if len(changed) > _SHOWN_CHANGES:
            parts.append(f"and {len(changed) - _SHOWN_CHANGES} more")
        return "\n".join(parts)

    def _question(self, name: str, shown: str, args: Mapping[str, object]) -> str:
        where = "outside of every sandbox" if self.server.url is not None else "in the copy of the project"
        return f"{shown}: call {name} of the MCP server {self.server.name}, {where}, with {_brief(args, 1000)}"

    def _progress(self, shown: str) -> Callable[[Progress], None]:
        return lambda progress: self.run.emit(Phase("running", f"{shown} · {progress}"))

    def _fail(self, problem: ExecutorError) -> ToolResult:
        """A server that is gone stays gone: it is not started again and again."""
        if problem.kind != "timeout":
            self._failed = problem.message
        return ToolResult(problem.message, is_error=True)

    async def _keep(self) -> None:
        listed = [[offer.name, offer.description, offer.schema] for offer in self.offers.values()]
        await self.run.keep(self._key, orjson.dumps({"config": self._config, "tools": listed}).decode())

    @property
    def _key(self) -> str:
        return f"mcp/{self.server.name}"

    @property
    def _config(self) -> str:
        """What the server is: another program, argument or address is another server."""
        parts = [self.server.url, list(self.server.argv), sorted(self.server.env.items())]
        return hashlib.sha256(orjson.dumps(parts)).hexdigest()

    def _digest(self, offer: Offer) -> str:
        """What a permission covers: this tool of this server, as it is described now."""
        parts = [self._config, offer.name, offer.description, offer.schema]
        return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _usable(offers: Sequence[Offer]) -> dict[str, Offer]:
    """What can be offered, bounded; the first of a name counts."""
    found: dict[str, Offer] = {}
    for offer in offers[:_TOOLS]:
        schema = {name: value for name, value in offer.schema.items() if name not in _AT_NO_TOP}
        schema = {"properties": {}, **schema, "type": "object"}
        if len(orjson.dumps(schema)) <= _SCHEMA_BYTES and _is_taken(schema):
            found.setdefault(offer.name, Offer(offer.name, offer.description[:_DESCRIPTION], schema))
    return found


def _is_taken(schema: Mapping[str, Any]) -> bool:
    """Whether providers take a schema: with one that they do not, they refuse the whole request."""
    from jsonschema import Draft202012Validator, SchemaError  # type: ignore[import-untyped]

    properties = schema["properties"]
    try:
        Draft202012Validator.check_schema(schema)
    except (SchemaError, RecursionError):
        return False
    return all(_PROPERTY.fullmatch(name) for name in properties)


def _read(text: str) -> tuple[str, dict[str, Offer]] | None:
    """(configuration, tools) as they were kept."""
    try:
        kept = orjson.loads(text)
        return kept["config"], {name: Offer(name, description, schema) for name, description, schema in kept["tools"]}
    except (ValueError, KeyError, TypeError):
        return None


def _offered_name(server: str, tool: str, taken: Mapping[str, Any]) -> str:
    """A name that every provider takes, and no other tool has."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", f"mcp__{server}__{tool}")
    if len(name) > _NAME or name in taken:
        name = f"{name[: _NAME - 9]}_{hashlib.sha256(f'{server} {tool}'.encode()).hexdigest()[:8]}"
    return name


def _described(offer: Offer) -> str:
    names = ", ".join(offer.schema.get("properties") or {}) or "nothing"
    return f"{offer.description[:500] or 'no words'} (takes {names})"


def _brief(args: Mapping[str, object], limit: int = 120) -> str:
    text = orjson.dumps(args, default=str).decode()
    return text if len(text) <= limit else f"{text[:limit]}…"
