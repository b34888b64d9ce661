"""Claude by the Messages API: translates a run's conversation to the wire of the official SDK and back.

The SDK itself runs in a worker process (anthropic_worker.py); this module imports none. What decides is toolloop.py, what
is said is brief.py, what a failure means to a person is provider_failures.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from kiro_lsp.budget import Usage
from kiro_lsp.executors import brief, toolloop
from kiro_lsp.executors.anthropic_failures import MANNER
from kiro_lsp.executors.counting import anthropic_usage
from kiro_lsp.executors.protocol import ExecutorRequest, ExecutorResult, RunContext
from kiro_lsp.executors.provider import FRAME_TOKENS, OWN_BYTES_PER_TOKEN, WorkerBacked, address, foreign_tokens, show
from kiro_lsp.executors.provider_failures import Reached, failure, no_key
from kiro_lsp.executors.toolloop import Stop, ToolUse, Turn
from kiro_lsp.executors.tools import Toolbox, ToolResult
from kiro_lsp.executors.tools.mcp import offered
from kiro_lsp.executors.worker import Worker
from kiro_lsp.settings import DEFAULT_ENDPOINTS, MODELS, AgentSettings
from kiro_lsp.settings.redact import Redactor
from kiro_lsp.spec.instructions import SYSTEM

SCRIPT: Final = Path(__file__).with_name("anthropic_worker.py")

_IDLE_SECONDS: Final = 120.0
"""Without a single byte; the API sends pings while a model thinks. The whole turn is bounded by the run's own limit."""

_USUAL: Final = Reached(
    "Claude",
    "claude",
    MODELS["anthropic"].default,
    DEFAULT_ENDPOINTS["anthropic-api"],
    "ANTHROPIC_API_KEY",
    "the Messages API",
    "ANTHROPIC_BASE_URL",
)
_STOPS: Final[Mapping[str, Stop]] = {
    "end_turn": "end_turn",
    "stop_sequence": "end_turn",
    "tool_use": "tool_use",
    "max_tokens": "max_tokens",
    "pause_turn": "pause",
    "refusal": "refusal",
    "model_context_window_exceeded": "context",
}
_THINKS: Final = re.compile(r"claude-[a-z]+-(4[.-]([6-9]|\d\d)(?!\d)|[5-9](?!\d)|\d\d(?!\d))")
"""Models that take what follows; the newer of them hand their thoughts out only when they are asked to."""
_THINKING: Final = {"type": "adaptive", "display": "summarized"}
_CACHED: Final = {"cache_control": {"type": "ephemeral"}}
_FOR_AN_HOUR: Final = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
"""For what the tasks of a spec share: a review between two of them takes longer than the usual five minutes."""


class AnthropicExecutor(WorkerBacked):
    IDLE_SECONDS = _IDLE_SECONDS

    async def execute(self, request: ExecutorRequest, run: RunContext) -> ExecutorResult:
        """As Executor.execute. Raises ExecutorError; "auth" when there is no key."""
        agent = request.agent or self._agent
        environ = request.environ or self._environ
        task = brief.task_texts(request)
        reached, key = address(agent, environ, _USUAL)
        if not key:
            raise no_key(reached)
        redactor = Redactor((key,))
        redact = request.redact or redactor.redact
        caches = request.settings is None or request.settings.cost.cache_prompts
        texts = [redact(text) for text in brief.stable_texts(request)]
        async with offered(request, run, redact) as toolbox, self._worker(SCRIPT) as worker:
            fixed = _fixed(agent, texts, caches, toolbox)
            if request.schema is not None:
                fixed = _answering(fixed, request.schema)
            conversation = _Conversation(worker, self._order(reached, key), reached, fixed, caches, redactor)
            conversation.add_user([{"type": "text", "text": redact(text)} for text in task])
            return await toolloop.work(conversation, run, redact=redact, toolbox=toolbox)


@dataclass(slots=True)
class _Message:
    """One message as encoded once; `marked` ends with a cache breakpoint."""

    plain: bytes
    marked: bytes | None = None


@dataclass(slots=True)
class _Conversation:
    worker: Worker
    order: Mapping[str, Any]
    reached: Reached
    fixed: dict[str, Any]
    """model, max_tokens, system, tools, thinking: the same bytes for every task of a spec."""
    caches: bool
    redactor: Redactor
    messages: list[_Message] = field(default_factory=list)
    _known_tokens: int | None = None
    """Of everything up to and including the last answer, as the provider counted it."""
    _new_bytes: int = 0
    """Of what was added since."""

    @property
    def model(self) -> str:
        return str(self.fixed["model"])

    def at_most(self) -> Usage:
        """What was counted for the last request and its answer, and one token for every byte that is new."""
        known = self._known_tokens if self._known_tokens is not None else self._fixed_tokens()
        hour = self._fixed_tokens() if self._keeps_for_an_hour() else 0
        total = known + self._new_bytes + FRAME_TOKENS
        return Usage(total, int(self.fixed["max_tokens"]), hour_write_tokens=min(hour, total))

    async def turn(self, run: RunContext) -> Turn:
        last = await self._ask(run)
        if _objects_to(last, "thinking") and self.fixed.pop("thinking", None) is not None:
            last = await self._ask(run)
        if _objects_to(last, "ttl") and self._keeps_for_an_hour():
            self.fixed["system"] = [block | (_CACHED if "cache_control" in block else {}) for block in self._system()]
            last = await self._ask(run)
        if last["event"] != "done":
            raise failure(last, self.reached, self.redactor, MANNER)
        return self._done(last)

    async def _ask(self, run: RunContext) -> dict[str, Any]:
        order = {**self.order, "request": {**self.fixed, "messages": self._on_the_wire()}}
        return await self.worker.ask(order, lambda line: show(line, run, self.reached.url))

    def add_user(self, content: Sequence[Mapping[str, Any]]) -> None:
        plain = orjson.dumps({"role": "user", "content": content})
        marked = orjson.dumps({"role": "user", "content": [*content[:-1], {**content[-1], **_CACHED}]})
        self.messages.append(_Message(plain, marked))
        self._new_bytes += len(plain)

    def add_results(self, results: Sequence[tuple[ToolUse, ToolResult]]) -> None:
        self.add_user(
            [
                {
                    "type": "tool_result",
                    "tool_use_id": use.id,
                    "content": result.text or "(nothing)",
                    **({"is_error": True} if result.is_error else {}),
                }
                for use, result in results
            ]
        )

    def add_text(self, text: str) -> None:
        self.add_user([{"type": "text", "text": text}])

    def _on_the_wire(self) -> list[orjson.Fragment]:
        """The messages, with a cache breakpoint at the end of the last two of ours.

        The next turn then reads all of this one from the cache, also when it brings more blocks than a lookup goes back.
        """
        ours = [index for index, message in enumerate(self.messages) if message.marked is not None]
        points = set(ours[-2:]) if self.caches else set()
        return [
            orjson.Fragment(message.marked if index in points and message.marked else message.plain)
            for index, message in enumerate(self.messages)
        ]

    def _done(self, line: Mapping[str, Any]) -> Turn:
        uses: list[ToolUse] = []
        sent: list[Mapping[str, Any]] = []
        texts: list[str] = []
        for block in line["content"]:
            match block["type"]:
                case "tool_use":
                    raw = block.pop("input_json", "")
                    args = _arguments(raw, block.get("input"))
                    uses.append(ToolUse(block["id"], block["name"], args, raw))
                    sent.append(block | {"input": args if isinstance(args, dict) else {}})
                case "text":
                    texts.append(block.get("text", ""))
                    if texts[-1].strip():
                        sent.append({"type": "text", "text": texts[-1]})
                case "thinking":
                    if block.get("signature"):  # the API takes thoughts back as it signed them, or not at all
                        sent.append(block)
                case _:
                    sent.append(block)
        encoded = orjson.dumps({"role": "assistant", "content": sent})
        if sent:  # the API refuses a message without content
            self.messages.append(_Message(encoded))
        usage = anthropic_usage(line["usage"], for_an_hour=self._keeps_for_an_hour())
        if usage is None:
            self._new_bytes += len(encoded)
        else:
            self._known_tokens, self._new_bytes = usage.input_tokens + usage.output_tokens, 0
        stop = line["stop"]
        return Turn("".join(texts), tuple(uses), _STOPS.get(stop or "", "unknown"), usage, stop or "no reason given")

    def _system(self) -> list[dict[str, Any]]:
        return list(self.fixed["system"])

    def _keeps_for_an_hour(self) -> bool:
        return any(block.get("cache_control") == _FOR_AN_HOUR["cache_control"] for block in self._system())

    def _fixed_tokens(self) -> int:
        """A bound for what every request holds: our own words by their length, all others a byte a token."""
        own = len(orjson.dumps(self.fixed.get("tools"))) + len(SYSTEM.encode())
        texts = [block["text"] for block in self.fixed["system"]]
        foreign = sum(len(text.encode()) for text in texts if text != SYSTEM)
        return own // OWN_BYTES_PER_TOKEN + foreign + foreign_tokens(self.fixed.get("tools") or ())


def _fixed(agent: AgentSettings, texts: Sequence[str], caches: bool, toolbox: Toolbox) -> dict[str, Any]:
    system: list[dict[str, Any]] = [{"type": "text", "text": text} for text in texts]
    if caches:
        # The documents are those of one spec and change now and then; what stands before them is read all the same.
        for block in (system[0], system[-1]):
            block.update(_FOR_AN_HOUR if len(system) > 1 else _CACHED)
    tools = [
        {"name": tool.name, "description": tool.description, "input_schema": tool.schema} for tool in toolbox.tools
    ]
    model = agent.model or MODELS["anthropic"].default
    thinking = {"thinking": _THINKING} if _THINKS.search(model) else {}
    return {"model": model, "max_tokens": agent.max_tokens, "system": system, "tools": tools, **thinking}


def _answering(fixed: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """For one answer as data: no tools, and no thoughts that nobody reads."""
    kept = {name: value for name, value in fixed.items() if name not in ("tools", "thinking")}
    return {**kept, "output_config": {"format": {"type": "json_schema", "schema": dict(schema)}}}


def _objects_to(line: Mapping[str, Any], name: str) -> bool:
    """A gateway or a model that does not know a field works without it."""
    said = str(line["said"]).lower() if line["event"] == "error" and line["status"] == 400 else ""
    return re.search(rf"(?<![a-z]){name}(?![a-z])", said) is not None


def _arguments(raw: str, given: object) -> object:
    """The arguments of a call: what was streamed, or what came with the block; None when it is not JSON."""
    if not raw:
        return given if given else {}
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
