"""What an agent says over ACP while it works, as events of a run: text, thoughts, plans, tool calls, usage.

Read leniently: agents are of all ages and kinds, and what is only shown must not end a run. Whatever has no place here is
passed over, and everything is bounded. It knows no wire.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast, get_args

from kiro_lsp.budget import Usage
from kiro_lsp.errors import PathRefused
from kiro_lsp.events import Chunk, Phase, Plan, PlanEntry, RunEvent, Thought, Tool
from kiro_lsp.executors.tools.text import shown

Status = Literal["pending", "in_progress", "completed", "failed"]
Json = Mapping[str, Any]

KINDS: Final = frozenset(
    {"read", "edit", "delete", "move", "search", "execute", "think", "fetch", "switch_mode", "other"}
)
CHANGING: Final = frozenset({"edit", "delete", "move", "execute", "other"})
"""Kinds after which files may have changed."""
_DOING: Final = {"read": "reading", "search": "reading", "edit": "editing", "delete": "editing", "move": "editing"}
_RUNS: Final = frozenset({"execute", "fetch"})
_STATUSES: Final = frozenset(get_args(Status))
_TITLE: Final = 500
_CALLS: Final = 5_000
_ENTRIES: Final = 200
TEXT_BYTES: Final = 8 * 1024 * 1024
"""Of all that an agent says and thinks in a run; what goes beyond is not shown."""
_SUMMARY: Final = 64 * 1024


@dataclass(slots=True)
class Call:
    """A tool call as far as it is known."""

    id: str
    kind: str = "other"
    title: str = ""
    status: Status = "pending"
    path: str | None = None
    shown: Tool | None = None
    command: str = ""
    """What it runs, where it says so."""
    output: str = ""
    """What it printed, or why it failed."""
    terminals: tuple[str, ...] = ()
    """Those of ours that it runs in."""

    @property
    def over(self) -> bool:
        return self.status in ("completed", "failed")


@dataclass(slots=True)
class Updates:
    """Gets every `session/update` in order and emits what it means."""

    emit: Callable[[RunEvent], None]
    relative: Callable[[str], str]
    """Of a path as the agent spells it. Raises PathRefused."""
    changed: Callable[[], None]
    """Called when files may have changed."""
    printed: Callable[[str], str] = lambda _terminal: ""
    """What a terminal of ours has printed so far, by its id."""
    muted: bool = False
    """While a session is opened again it tells its whole past."""
    said: str = ""
    """What the agent has said since its last tool call, the end of it."""
    calls: dict[str, Call] = field(default_factory=dict)
    cost: float | None = None
    """US dollars, where the agent counts them."""
    _phase: Phase | None = None
    _size: int = 0

    def take(self, update: Json) -> None:
        if self.muted:
            return
        match update.get("sessionUpdate"):
            case "agent_message_chunk":
                self._text(Chunk, update.get("content"))
            case "agent_thought_chunk":
                self._text(Thought, update.get("content"))
            case "plan":
                self.emit(Plan(tuple(_entries(update.get("entries")))))
            case "tool_call" | "tool_call_update":
                self._call(update)
            case "usage_update":
                self.cost = _dollars(update.get("cost"), self.cost)

    def call_of(self, given: Json) -> Call | None:
        """The tool call that an update, or a question, is about, with what that says anew. None when there are too many."""
        identifier = _short(given.get("toolCallId")) or "?"
        call = self.calls.get(identifier)
        if call is None:
            if len(self.calls) >= _CALLS:
                return None
            call = self.calls[identifier] = Call(identifier)
        kind = given.get("kind")
        if kind is not None:
            call.kind = kind if isinstance(kind, str) and kind in KINDS else "other"
        call.title = _short(given.get("title")) or call.title
        call.command = command_of(given) or call.command
        content = _listed(given.get("content"))
        texts = (text_of(entry.get("content")) for entry in content if entry.get("type") == "content")
        call.output = "\n".join(text for text in texts if text)[-_SUMMARY:] or call.output
        ids = (_short(entry.get("terminalId")) for entry in content if entry.get("type") == "terminal")
        call.terminals = tuple(ids) or call.terminals
        for path in paths_of(given):
            try:
                call.path = self.relative(path)
                break
            except PathRefused:
                continue
        return call

    def _text(self, kind: type[Chunk] | type[Thought], content: object) -> None:
        text = text_of(content)
        before = self._size
        self._size += len(text)
        if before > TEXT_BYTES or not text:
            return
        if self._size > TEXT_BYTES:
            text = text[: max(0, TEXT_BYTES - before)] + "\n[the agent says more; it is not shown]\n"
        if kind is Chunk:
            self.said = (self.said + text)[-_SUMMARY:]
            self.doing(Phase("thinking"))
        self.emit(kind(text))

    def _call(self, update: Json) -> None:
        was_over = (known := self.calls.get(_short(update.get("toolCallId")) or "?")) is not None and known.over
        call = self.call_of(update)
        if call is None:
            return
        status = update.get("status")
        if status in _STATUSES:
            call.status = cast("Status", status)
        self.said = ""
        self.show(call)
        if call.over and not was_over and call.kind in CHANGING:
            self.changed()

    def show(self, call: Call) -> None:
        """Emit a tool call if there is news of it."""
        told = call.over and (call.kind == "execute" or call.status == "failed")
        output = shown("\n".join([*map(self.printed, call.terminals), call.output])) if told else None
        tool = Tool(call.id, call.kind, call.title or call.kind, call.status, call.path, output)
        if tool == call.shown:
            return
        call.shown = tool
        if call.status == "in_progress" or (call.status == "pending" and (call.path or call.command)):
            what = call.path or call.command or call.title or None
            self.doing(Phase("running" if call.kind in _RUNS else _DOING.get(call.kind, "thinking"), what))
        self.emit(tool)

    def doing(self, phase: Phase) -> None:
        if phase != self._phase:
            self._phase = phase
            self.emit(phase)


def text_of(content: object) -> str:
    """The text of a content block, or what stands for one that is no text."""
    if not isinstance(content, Mapping):
        return ""
    match content.get("type"):
        case "text":
            text = content.get("text")
            return text if isinstance(text, str) else ""
        case "resource_link":
            return _short(content.get("uri"))
        case "image" | "audio":
            return f"[{content['type']}]"
    return ""


def paths_of(given: Json) -> Iterator[str]:
    """The files that a tool call says it is about, as it spells them."""
    for key in ("locations", "content"):
        for entry in _listed(given.get(key)):
            path = entry.get("path")
            if isinstance(path, str) and path:
                yield path


def command_of(given: Json) -> str:
    """The command that a tool call is about to run, "" where it does not say."""
    told = given.get("rawInput")
    command = told.get("command") if isinstance(told, Mapping) else None
    if isinstance(command, str):
        return command
    if isinstance(command, list) and all(isinstance(part, str) for part in command):
        return " ".join(command)
    return ""


def usage_of(answer: Json) -> Usage | None:
    """What a turn used, from its answer: in the protocol's own field, or where Gemini says it. None for no report."""
    quota = _of(_of(answer, "_meta"), "quota")
    for told in (_of(answer, "usage"), _of(quota, "token_count")):
        usage = _counted(told)
        if usage is not None:
            return usage
    models = [usage for entry in _listed(quota.get("model_usage")) if (usage := _counted(_of(entry, "token_count")))]
    return sum(models, Usage()) if models else None


def _counted(told: Json) -> Usage | None:
    """Tokens as one of two ways to spell them gives them; zeros are no report."""
    fresh = _count(told, "inputTokens", "input_tokens")
    output = _count(told, "outputTokens", "output_tokens")
    read = _count(told, "cachedReadTokens", "cachedInputTokens", "cached_read_tokens")
    written = _count(told, "cachedWriteTokens", "cacheWriteInputTokens", "cached_write_tokens")
    total = _count(told, "totalTokens", "total_tokens")
    if not fresh + output + read + written:
        return None
    # Most count what came from a cache apart from the input, some within it: the total tells which.
    within = read + written and total == fresh + output
    return Usage(fresh if within else fresh + read + written, output, read, written)


def _count(told: Json, *names: str) -> int:
    found = (told.get(name) for name in names)
    return next((value for value in found if isinstance(value, int) and not isinstance(value, bool) and value > 0), 0)


def _dollars(cost: object, known: float | None) -> float | None:
    if not isinstance(cost, Mapping) or cost.get("currency") != "USD":
        return known
    amount = cost.get("amount")
    fine = isinstance(amount, int | float) and not isinstance(amount, bool) and 0 <= amount < float("inf")
    return float(cast("float", amount)) if fine else known


def _entries(listed: object) -> Iterator[PlanEntry]:
    for entry in _listed(listed)[:_ENTRIES]:
        text, status = _short(entry.get("content")), entry.get("status")
        if text:
            yield PlanEntry(text, status if status in ("pending", "in_progress", "completed") else "pending")


def _listed(value: object) -> list[Json]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []


def _of(value: Json, name: str) -> Json:
    inner = value.get(name)
    return inner if isinstance(inner, Mapping) else {}


def _short(value: object) -> str:
    return value[:_TITLE] if isinstance(value, str) else ""
