"""What an MCP server wants to know from the person: one question of the run for each field of its form.

A field with choices becomes a question with these; any other is answered in words. One no declines the whole form. The
words of a form are the server's: they are shown with its name, bounded, and without characters that nobody sees. A server
that sends the person to an address is declined: nothing is opened for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from kiro_lsp.events import OptionKind, Thought
from kiro_lsp.executors.protocol import Question, RunContext
from kiro_lsp.spec import unicode

if TYPE_CHECKING:
    from mcp.client import ClientRequestContext
    from mcp.types import ElicitRequestParams, ElicitResult

_FORMS: Final = 20
_FIELDS: Final = 10
_CHOICES: Final = 12
_CHARACTERS: Final = 1000
_DECLINE: Final[tuple[str, str, OptionKind]] = ("deny", "Decline", "deny")
_ACCEPT: Final[tuple[str, str, OptionKind]] = ("accept", "Accept", "allow-once")
_GIVE: Final[tuple[str, str, OptionKind]] = ("answer", "Answer", "allow-once")
_WITHOUT: Final[tuple[str, str, OptionKind]] = ("without", "Leave it out", "allow-once")
_AS_GIVEN: Final[tuple[str, str, OptionKind]] = ("default", "Use what it proposes", "allow-once")


class Declined(Exception):
    """The person said no, or something that is no answer."""


@dataclass(slots=True)
class Questions:
    """The questions of one server in one run."""

    run: RunContext
    server: str
    asked: int = 0
    _clocks: set[asyncio.Timeout] = field(default_factory=set)
    """Time limits that stand still while the person thinks."""

    @contextmanager
    def stopping(self, clock: asyncio.Timeout) -> Iterator[None]:
        self._clocks.add(clock)
        try:
            yield
        finally:
            self._clocks.discard(clock)

    async def answer(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:  # noqa: ARG002
        """The SDK's callback. Never raises: what cannot be asked is declined."""
        from mcp.types import ElicitResult

        self.asked += 1
        schema = getattr(params, "requested_schema", None)
        if schema is None or self.asked > _FORMS:
            why = "it may not send you to an address" if schema is None else "it asks too much"
            self.run.emit(Thought(f"{self.server} asked for something; that was declined: {why}.\n"))
            return ElicitResult(action="decline")
        left = [(clock, _seconds_left(clock)) for clock in self._clocks]
        for clock, _ in left:
            clock.reschedule(None)
        try:
            return ElicitResult(action="accept", content=await self._filled(_shown(params.message), schema))
        except Declined:
            return ElicitResult(action="decline")
        finally:
            for clock, seconds in left:
                if seconds is not None and clock in self._clocks and not clock.expired():
                    clock.reschedule(asyncio.get_running_loop().time() + seconds)

    async def _filled(self, message: str, schema: Mapping[str, Any]) -> dict[str, Any]:
        fields = schema.get("properties") or {}
        required = set(schema.get("required") or ())
        if len(fields) > _FIELDS:
            raise Declined
        title = f"The MCP server {self.server} asks: {message}"
        if not fields and await self.run.ask(Question("elicitation", title, (_ACCEPT, _DECLINE))) != _ACCEPT[0]:
            raise Declined
        filled: dict[str, Any] = {}
        for name, spec in fields.items():
            value = await self._value(f"{title}\n{_label(name, spec)}", spec, name in required)
            if value is not None:
                filled[name] = value
        return filled

    async def _value(self, title: str, spec: Mapping[str, Any], required: bool) -> Any:
        """What the person says to one field; None leaves it out. Raises Declined."""
        more = [] if spec.get("default") is None else [_AS_GIVEN]
        more += [] if required else [_WITHOUT]
        choices = _choices(spec)
        shown = [(f"choice-{n}", _shown(label), "allow-once") for n, (_, label) in enumerate(choices)]
        words = not choices
        options: list[Any] = [*([_GIVE] if words else shown), *more, _DECLINE]
        reply = await self.run.ask_in_words(Question("elicitation", title, tuple(options), words))
        match reply.option:
            case "without":
                return None
            case "default":
                return spec["default"]
            case "answer" if reply.text:
                return _read(reply.text, spec)
            case chosen if chosen.startswith("choice-"):
                value = choices[int(chosen.removeprefix("choice-"))][0]
                return [value] if spec.get("type") == "array" else value
        raise Declined


def _choices(spec: Mapping[str, Any]) -> list[tuple[Any, str]]:
    """(value, label) of a field with few values; empty for one that is answered in words."""
    if spec.get("type") == "boolean":
        return [(True, "Yes"), (False, "No")]
    source = spec.get("items", {}) if spec.get("type") == "array" else spec
    titled = source.get("oneOf") or source.get("anyOf")
    if titled:
        found = [(each.get("const"), str(each.get("title", each.get("const")))) for each in titled]
    else:
        names = source.get("enumNames") or source.get("enum") or ()
        found = list(zip(source.get("enum") or (), map(str, names), strict=False))
    return found if len(found) <= _CHOICES else []


def _read(text: str, spec: Mapping[str, Any]) -> Any:
    """The words of a person as the value that a field wants. Raises Declined."""
    text = text.strip()
    try:
        match spec.get("type"):
            case "integer":
                return int(text)
            case "number":
                return float(text)
            case "array":
                return [part.strip() for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise Declined from error
    return text


def _label(name: str, spec: Mapping[str, Any]) -> str:
    title, description = spec.get("title") or name, spec.get("description")
    proposed = f" (proposed: {spec['default']})" if spec.get("default") is not None else ""
    return _shown(f"{title}{f': {description}' if description else ''}{proposed}")


def _shown(text: str) -> str:
    text = unicode.strip(text.replace("\0", ""))
    return text if len(text) <= _CHARACTERS else f"{text[:_CHARACTERS]}…"


def _seconds_left(clock: asyncio.Timeout) -> float | None:
    when = clock.when()
    return None if when is None else when - asyncio.get_running_loop().time()
