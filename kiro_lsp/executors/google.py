"""Gemini by the Gemini API: translates a run's conversation to the wire of the official SDK and back.

The SDK itself runs in a worker process (google_worker.py); this module imports none. What decides is toolloop.py, what is
said is brief.py, what a failure means to a person is provider_failures.py. Caching is the provider's own: it finds prefixes
that it has seen, so what is stable stands first and has the same bytes for every task of a spec.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from kiro_lsp.budget import Usage
from kiro_lsp.errors import ExecutorError
from kiro_lsp.executors import brief, toolloop
from kiro_lsp.executors.counting import google_usage
from kiro_lsp.executors.google_failures import MANNER
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

SCRIPT: Final = Path(__file__).with_name("google_worker.py")

_IDLE_SECONDS: Final = 300.0
"""Without a single byte; this API sends nothing while a model thinks without summaries."""
_USUAL: Final = Reached(
    "Gemini",
    "gemini",
    MODELS["google"].default,
    DEFAULT_ENDPOINTS["google-api"],
    "GOOGLE_API_KEY",
    "the Gemini API",
    "GOOGLE_GEMINI_BASE_URL",
)
_NO_THOUGHTS: Final = re.compile(r"(?!gemini-)|gemini-(1|2\.0)")
"""Models that refuse to be asked for summaries of their thoughts."""

_STOPS: Final[Mapping[str, Stop]] = {
    "STOP": "end_turn",
    "MAX_TOKENS": "max_tokens",
    **dict.fromkeys(
        (
            *("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "ESCALATION"),
            *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "MODEL_ARMOR", "PUP_LIMITED_DISABLED"),
        ),
        "refusal",
    ),
}
_BROKEN_CALLS: Final = frozenset(
    {"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MALFORMED_RESPONSE"}
)


class GoogleExecutor(WorkerBacked):
    IDLE_SECONDS = _IDLE_SECONDS

    async def execute(self, request: ExecutorRequest, run: RunContext) -> ExecutorResult:
        """As Executor.execute. Raises ExecutorError; "auth" when there is no key."""
        agent = request.agent or self._agent
        task = brief.whole_text(request)
        reached, key = _reached(agent, request.environ or self._environ)
        redactor = Redactor((key,))
        redact = request.redact or redactor.redact
        order = self._order(reached, key)
        texts = [redact(text) for text in brief.stable_texts(request)]
        async with offered(request, run, redact) as toolbox, self._worker(SCRIPT) as worker:
            config = _config(reached.model, agent, texts, request.schema, toolbox)
            conversation = _Conversation(worker, order, reached, config, redactor)
            conversation.add_text(redact(task))
            return await toolloop.work(conversation, run, redact=redact, toolbox=toolbox)


@dataclass(slots=True)
class _Conversation:
    worker: Worker
    order: Mapping[str, Any]
    reached: Reached
    config: Mapping[str, Any]
    """Output limit, system text, tools: the same bytes for every task of a spec."""
    redactor: Redactor
    contents: list[bytes] = field(default_factory=list)
    """Each message as encoded once."""
    _known_tokens: int | None = None
    _new_bytes: int = 0
    _calls: int = 0

    @property
    def model(self) -> str:
        return self.reached.model

    def at_most(self) -> Usage:
        """What was counted for the last request and its answer, and one token for every byte that is new."""
        known = self._known_tokens if self._known_tokens is not None else _fixed_tokens(self.config)
        return Usage(known + self._new_bytes + FRAME_TOKENS, int(self.config["max_output_tokens"]))

    async def turn(self, run: RunContext) -> Turn:
        contents = [orjson.Fragment(content) for content in self.contents]
        request = {"model": self.model, "contents": contents, "config": self.config}
        last = await self.worker.ask({**self.order, "request": request}, lambda line: show(line, run, "it"))
        if last["event"] != "done":
            raise failure(last, self.reached, self.redactor, MANNER)
        return self._done(last)

    def add_text(self, text: str) -> None:
        self._add({"role": "user", "parts": [{"text": text}]})

    def add_results(self, results: Sequence[tuple[ToolUse, ToolResult]]) -> None:
        self._add({"role": "user", "parts": [_response(use, result) for use, result in results]})

    def _add(self, content: Mapping[str, Any]) -> None:
        encoded = orjson.dumps(content)
        self.contents.append(encoded)
        self._new_bytes += len(encoded)

    def _done(self, line: Mapping[str, Any]) -> Turn:
        uses: list[ToolUse] = []
        texts: list[str] = []
        for part in line["parts"]:
            if (call := part.get("function_call")) is not None:
                self._calls += 1
                # Few models name their calls; the API matches the others by their order.
                uses.append(ToolUse(call.get("id") or f"{_OWN_ID}{self._calls}", call["name"], call.get("args") or {}))
            elif not part.get("thought"):
                texts.append(part.get("text", ""))
        usage = google_usage(line["usage"])
        broken = line["stop"] in _BROKEN_CALLS
        # A call that is not answered, or a message without parts, would make the API refuse the next request.
        parts = [part for part in line["parts"] if not broken or "function_call" not in part]
        if parts:
            self._add({"role": "model", "parts": parts})
        if usage is not None:
            self._known_tokens, self._new_bytes = usage.input_tokens + usage.output_tokens, 0
        text = "".join(texts)
        stop, said = _stop(line["stop"], bool(uses)), str(line["stop"])
        if broken:
            return Turn(text, (), "broken", usage, said)
        if stop == "refusal":
            reason = " ".join(part for part in (said, line["said"]) if part)
            text = f"{text}\n{reason}".strip()
        return Turn(text, tuple(uses), stop, usage, said)


_OWN_ID: Final = "call-"


def _stop(word: str, calls: bool) -> Stop:
    if word.startswith("blocked: "):
        return "refusal"
    stop = _STOPS.get(word, "unknown")
    return "tool_use" if stop == "end_turn" and calls else stop


def _response(use: ToolUse, result: ToolResult) -> dict[str, Any]:
    named = {} if use.id.startswith(_OWN_ID) else {"id": use.id}
    body = {"error" if result.is_error else "output": result.text or "(nothing)"}
    return {"function_response": {**named, "name": use.name, "response": body}}


def _reached(agent: AgentSettings, environ: Mapping[str, str]) -> tuple[Reached, str]:
    """Where the request goes and with which key. Raises ExecutorError where there is no key, or none may go there."""
    reached, key = address(agent, environ, _USUAL)
    if not key:
        raise no_key(reached)
    if not re.fullmatch(r"[\w.:/@-]+", reached.model) or ".." in reached.model:
        raise ExecutorError(
            "agent", f"{reached.model!r} is no name of a model.", hint=f"Check model of [agents.{agent.name}]."
        )
    return reached, key


def _config(
    model: str, agent: AgentSettings, texts: Sequence[str], schema: Mapping[str, Any] | None, toolbox: Toolbox
) -> dict[str, Any]:
    declared = [
        {"name": tool.name, "description": tool.description, "parameters_json_schema": tool.schema}
        for tool in toolbox.tools
    ]
    config: dict[str, Any] = {
        "system_instruction": {"role": "user", "parts": [{"text": text} for text in texts]},
        "tools": [{"function_declarations": declared}],
        "max_output_tokens": agent.max_tokens,
    }
    if schema is not None:
        del config["tools"]
        return {**config, "response_mime_type": "application/json", "response_json_schema": dict(schema)}
    if _NO_THOUGHTS.match(model) is None:
        config["thinking_config"] = {"include_thoughts": True}
    return config


def _fixed_tokens(config: Mapping[str, Any]) -> int:
    """A bound for what every request holds: our own words by their length, all others a byte a token."""
    texts = [part["text"] for part in config["system_instruction"]["parts"]]
    own = len(orjson.dumps(config.get("tools"))) + len(SYSTEM.encode())
    foreign = foreign_tokens(each for tools in config.get("tools") or () for each in tools["function_declarations"])
    return own // OWN_BYTES_PER_TOKEN + foreign + sum(len(text.encode()) for text in texts if text != SYSTEM)
