"""Models by OpenAI's two APIs: translates a run's conversation to the wire of the official SDK and back.

The Responses API is spoken with OpenAI, Chat Completions with every other address (vLLM, LM Studio, llama.cpp, OpenRouter …)
unless `api` of the agent says otherwise. Nothing stays at the provider: each request brings the whole conversation, with the
model's own reasoning as it was encrypted or given. The SDK itself runs in a worker process (openai_worker.py); this module
imports none. What decides is toolloop.py, what is said is brief.py, what a failure means is provider_failures.py.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Final

import orjson

from kiro_lsp.budget import Usage
from kiro_lsp.executors import brief, toolloop
from kiro_lsp.executors.counting import openai_usage
from kiro_lsp.executors.openai_failures import MANNER
from kiro_lsp.executors.protocol import ExecutorRequest, ExecutorResult, RunContext
from kiro_lsp.executors.provider import FRAME_TOKENS, OWN_BYTES_PER_TOKEN, WorkerBacked, address, foreign_tokens, show
from kiro_lsp.executors.provider_failures import Reached, failure, no_key
from kiro_lsp.executors.toolloop import Stop, ToolUse, Turn
from kiro_lsp.executors.tools import Toolbox, ToolResult
from kiro_lsp.executors.tools.mcp import offered
from kiro_lsp.executors.worker import Worker
from kiro_lsp.settings import DEFAULT_ENDPOINTS, MODELS, AgentSettings
from kiro_lsp.settings.redact import Redactor
from kiro_lsp.settings.values import is_loopback, origin
from kiro_lsp.spec.instructions import SYSTEM

SCRIPT: Final = Path(__file__).with_name("openai_worker.py")

_IDLE_SECONDS: Final = 300.0
"""Without a single byte. These APIs send no pings, and a model may think for minutes; the run's own limit bounds the turn."""

_USUAL: Final = Reached(
    "OpenAI",
    "codex",
    MODELS["openai"].default,
    DEFAULT_ENDPOINTS["openai-api"],
    "OPENAI_API_KEY",
    "the Responses API",
    "OPENAI_BASE_URL",
)
_THINKS_NOT: Final = re.compile(r"(.*/)?(gpt-3|gpt-4|chatgpt-4)")
"""Models that refuse a request which asks for reasoning."""
_MARKED: Final = re.compile(r"(.*/)?gpt-(5\.([6-9]|\d\d)|[6-9]|\d\d)")
"""Models that find in their cache what ended at a mark, and nothing shorter; by themselves they mark the last message."""
_MARK: Final = {"prompt_cache_breakpoint": {"mode": "explicit"}}
_CAN_GO: Final = ("prompt_cache_breakpoint", "prompt_cache_options", "prompt_cache_key", "reasoning", "include")
"""What a request does without where it is refused for it: summaries, for one, are for some accounts only."""
_STOPS: Final[Mapping[str, Stop]] = {
    "completed": "end_turn",
    "max_output_tokens": "max_tokens",
    "content_filter": "refusal",
    "stop": "end_turn",
    "tool_calls": "tool_use",
    "length": "max_tokens",
}
_THOUGHTS: Final = ("reasoning_details", "reasoning_content", "reasoning")
"""What vendors call a model's reasoning in Chat Completions; they take it back under the same name."""


class OpenaiExecutor(WorkerBacked):
    IDLE_SECONDS = _IDLE_SECONDS

    async def execute(self, request: ExecutorRequest, run: RunContext) -> ExecutorResult:
        """As Executor.execute. Raises ExecutorError; "auth" when there is no key."""
        agent = request.agent or self._agent
        system, *documents = brief.stable_texts(request)
        task = brief.whole_text(request)
        reached, key, responses = _reached(agent, request.environ or self._environ)
        redactor = Redactor((key,) if key else ())
        redact = request.redact or redactor.redact
        # The SDK sends no request without a key, and servers that need none ignore it.
        order = {**self._order(reached, key or "none"), "wire": "responses" if responses else "chat"}
        caches = request.settings is None or request.settings.cost.cache_prompts
        texts = [redact(text) for text in (system, *documents)]
        wire = _Responses if responses else _Chat
        cache_key = _cache_key(request) if caches else None
        async with offered(request, run, redact) as toolbox, self._worker(SCRIPT) as worker:
            fixed = wire.fixed(reached, agent.max_tokens, texts, cache_key, toolbox)
            if request.schema is not None:
                fixed = _answering(fixed, request.schema, responses=responses)
            conversation = wire(worker, order, reached, fixed, redactor)
            conversation.begin("\n\n".join(texts[1:]), redact(task), marks=caches)
            return await toolloop.work(conversation, run, redact=redact, toolbox=toolbox)


@dataclass(slots=True)
class _Conversation(ABC):
    """What both APIs share. A wire says how things are written (`fixed`, `_request`, `add_*`) and read (`_done`)."""

    worker: Worker
    order: Mapping[str, Any]
    reached: Reached
    fixed_part: dict[str, Any]
    """Everything but the messages: the same bytes for every task of a spec."""
    redactor: Redactor
    messages: list[orjson.Fragment] = field(default_factory=list)
    """Each encoded once."""
    _kind_of_text: ClassVar[str]
    _known_tokens: int | None = None
    """Of everything up to and including the last answer, as the provider counted it."""
    _new_bytes: int = 0
    """Of what was added since."""
    _unmarked: orjson.Fragment | None = None
    """The first message without the mark that it has."""

    @property
    def model(self) -> str:
        return self.reached.model

    def at_most(self) -> Usage:
        """What was counted for the last request and its answer, and one token for every byte that is new."""
        known = self._known_tokens if self._known_tokens is not None else self._fixed_tokens()
        return Usage(known + self._new_bytes + FRAME_TOKENS, self._answer_tokens())

    async def turn(self, run: RunContext) -> Turn:
        last = await self._ask(run)
        while last["event"] == "error" and self._leaves_out(_objected(last)):
            last = await self._ask(run)
        if last["event"] != "done":
            raise failure(last, self.reached, self.redactor, MANNER)
        turn = self._done(last)
        if turn.usage is not None:
            self._known_tokens, self._new_bytes = turn.usage.input_tokens + turn.usage.output_tokens, 0
        return turn

    def begin(self, documents: str, task: str, *, marks: bool) -> None:
        """The first message; a mark in it ends what the tasks of a spec share, where the model goes by marks."""
        self.add_text("\n\n".join(text for text in (documents, task) if text))
        if documents and marks and self._takes_marks():
            kind = self._kind_of_text
            parts = [{"type": kind, "text": documents, **_MARK}, {"type": kind, "text": task}]
            (self._unmarked,) = self.messages
            self.messages = [orjson.Fragment(orjson.dumps({"role": "user", "content": parts}))]

    def add_text(self, text: str) -> None:
        self._add({"role": "user", "content": text})

    def add_results(self, results: Sequence[tuple[ToolUse, ToolResult]]) -> None:
        for use, result in results:
            text = result.text or "(nothing)"
            self._add(self._result(use.id, f"Error: {text}" if result.is_error else text))

    def _leaves_out(self, part: str) -> bool:
        """Whether the request had that part; it has it no longer."""
        if part == "prompt_cache_breakpoint" and self._unmarked is not None:
            self.messages[0], self._unmarked = self._unmarked, None
            return True
        return self.fixed_part.pop(part, None) is not None

    def _takes_marks(self) -> bool:
        return _MARKED.match(self.model) is not None

    async def _ask(self, run: RunContext) -> dict[str, Any]:
        order = {**self.order, "request": self._request()}
        return await self.worker.ask(order, lambda line: show(line, run, self.reached.url))

    def _add(self, message: Mapping[str, Any]) -> None:
        encoded = orjson.dumps(message)
        self.messages.append(orjson.Fragment(encoded))
        self._new_bytes += len(encoded)

    def _fixed_tokens(self) -> int:
        """A bound for what every request holds: our own words by their length, all others a byte a token."""
        everything = len(orjson.dumps(self.fixed_part))
        own = len(orjson.dumps(self.fixed_part.get("tools"))) + (len(SYSTEM.encode()) if self._says_system() else 0)
        foreign = foreign_tokens(self.fixed_part.get("tools") or ())
        return own // OWN_BYTES_PER_TOKEN + foreign + max(everything - own, 0)

    @staticmethod
    @abstractmethod
    def fixed(
        reached: Reached, max_tokens: int, texts: Sequence[str], cache_key: str | None, toolbox: Toolbox
    ) -> dict[str, Any]: ...

    @abstractmethod
    def _request(self) -> dict[str, Any]: ...

    @abstractmethod
    def _answer_tokens(self) -> int: ...

    @abstractmethod
    def _says_system(self) -> bool: ...

    @abstractmethod
    def _result(self, identifier: str, text: str) -> dict[str, Any]: ...

    @abstractmethod
    def _done(self, line: Mapping[str, Any]) -> Turn: ...


class _Responses(_Conversation):
    __slots__ = ()
    _kind_of_text = "input_text"

    @staticmethod
    def fixed(
        reached: Reached, max_tokens: int, texts: Sequence[str], cache_key: str | None, toolbox: Toolbox
    ) -> dict[str, Any]:
        found: dict[str, Any] = {
            "model": reached.model,
            "max_output_tokens": max_tokens,
            "instructions": texts[0],
            "tools": [{"type": "function", **_function(tool), "strict": False} for tool in toolbox.tools],
            "store": False,
        }
        if not _THINKS_NOT.match(reached.model):
            found |= {"reasoning": {"summary": "auto"}, "include": ["reasoning.encrypted_content"]}
        return found | _caching(reached, cache_key)

    def _request(self) -> dict[str, Any]:
        return {**self.fixed_part, "input": self.messages}

    def _answer_tokens(self) -> int:
        return int(self.fixed_part["max_output_tokens"])

    def _says_system(self) -> bool:
        return bool(self.fixed_part["instructions"] == SYSTEM)

    def _result(self, identifier: str, text: str) -> dict[str, Any]:
        return {"type": "function_call_output", "call_id": identifier, "output": text}

    def _done(self, line: Mapping[str, Any]) -> Turn:
        uses: list[ToolUse] = []
        texts: list[str] = []
        said = str(line["stop"] or "")
        stop = _STOPS.get(said, "unknown")
        for item in line["items"]:
            if item["type"] == "function_call":
                uses.append(_use(item["call_id"], item["name"], item.get("arguments", "")))
            elif item["type"] == "message":
                for part in item.get("content", ()):
                    texts.append(str(part.get("text") or part.get("refusal") or ""))
                    if part.get("type") == "refusal":
                        stop = "refusal"
            if sent := _sent_back(item):
                self._add(sent)
        if uses and stop == "end_turn":
            stop = "tool_use"
        counts = line["usage"] or {}
        usage = openai_usage(counts, "input_tokens", "output_tokens", counts.get("input_tokens_details"))
        return Turn("".join(texts), tuple(uses), stop, usage, said)


class _Chat(_Conversation):
    __slots__ = ()
    _kind_of_text = "text"

    @staticmethod
    def fixed(
        reached: Reached, max_tokens: int, texts: Sequence[str], cache_key: str | None, toolbox: Toolbox
    ) -> dict[str, Any]:
        openai = _is_openai(reached.url)  # others know fewer fields, and some refuse those that they do not know
        return {
            "model": reached.model,
            "max_completion_tokens" if openai else "max_tokens": max_tokens,
            "messages": [{"role": "system", "content": texts[0]}],
            "tools": [{"type": "function", "function": _function(tool)} for tool in toolbox.tools],
            "stream_options": {"include_usage": True},
            **({"store": False, **_caching(reached, cache_key)} if openai else {}),
        }

    def _takes_marks(self) -> bool:
        return _is_openai(self.reached.url) and super()._takes_marks()

    def _request(self) -> dict[str, Any]:
        return {**self.fixed_part, "messages": [*self.fixed_part["messages"], *self.messages]}

    def _answer_tokens(self) -> int:
        return int(self.fixed_part.get("max_completion_tokens") or self.fixed_part["max_tokens"])

    def _says_system(self) -> bool:
        return bool(self.fixed_part["messages"][0]["content"] == SYSTEM)

    def _result(self, identifier: str, text: str) -> dict[str, Any]:
        return {"role": "tool", "tool_call_id": identifier, "content": text}

    def _done(self, line: Mapping[str, Any]) -> Turn:
        message = line["message"]
        calls = message["tool_calls"]
        text, refusal = message.get("content", ""), message.get("refusal", "")
        sent: dict[str, Any] = {"role": "assistant", "content": text or (None if calls else "")}
        if calls:
            sent |= {name: message[name] for name in _THOUGHTS if name in message}
            sent["tool_calls"] = [_sent_call(call) for call in calls]
        self._add(sent)
        said = str(line["stop"] or "")
        stop: Stop = "refusal" if refusal else _STOPS.get(said, "unknown")
        if calls and stop == "end_turn":
            stop = "tool_use"  # some servers say so
        counts = line["usage"] or {}
        usage = openai_usage(counts, "prompt_tokens", "completion_tokens", counts.get("prompt_tokens_details"))
        uses = tuple(_use(call["id"], call["name"], call["arguments"]) for call in calls)
        return Turn(text + refusal, uses, stop, usage, said)


def _reached(agent: AgentSettings, environ: Mapping[str, str]) -> tuple[Reached, str, bool]:
    """Where the request goes, with which key ("": none), and whether by the Responses API.

    Raises ExecutorError where there is no key, or none may go there. A server on this machine may need none.
    """
    reached, key = address(agent, environ, _USUAL)
    responses = agent.api == "responses" if agent.api else _is_openai(reached.url)
    if not responses:
        reached = replace(reached, api="Chat Completions")
    where = origin(reached.url)
    if not key and not (where is not None and is_loopback(where[1])):
        raise no_key(reached)
    return reached, key, responses


def _answering(fixed: Mapping[str, Any], schema: Mapping[str, Any], *, responses: bool) -> dict[str, Any]:
    """For one answer as data: no tools, and no thoughts that nobody reads."""
    kept = {name: value for name, value in fixed.items() if name not in ("tools", "reasoning", "include")}
    form = {"name": "answer", "schema": dict(schema), "strict": True}
    if responses:
        return {**kept, "text": {"format": {"type": "json_schema", **form}}}
    return {**kept, "response_format": {"type": "json_schema", "json_schema": form}}


def _is_openai(url: str) -> bool:
    return origin(url) == origin(DEFAULT_ENDPOINTS["openai-api"])


def _objected(line: Mapping[str, Any]) -> str:
    """What can be left out of a request that was refused for it, "" if nothing."""
    param = str(line.get("param", "")) if line["status"] == 400 else ""
    first, last = param.partition(".")[0].partition("[")[0], _MARK.keys() & set(re.split(r"[.\]\[]+", param))
    return next((name for name in _CAN_GO if name == first or name in last), "")


def _caching(reached: Reached, cache_key: str | None) -> dict[str, Any]:
    """What a request says about the cache. Only the models that go by marks can be told to keep nothing."""
    if cache_key:
        return {"prompt_cache_key": cache_key}
    return {"prompt_cache_options": {"mode": "explicit"}} if _MARKED.match(reached.model) else {}


def _cache_key(request: ExecutorRequest) -> str:
    """Leads the tasks of a spec to the same cache, also after a document was edited; it tells nothing about them."""
    prompt = request.prompt
    shared = [document.path for document in prompt.documents] if prompt is not None and prompt.shared else []
    return hashlib.sha256("\0".join(shared).encode("utf-8", "replace")).hexdigest()[:32]


def _function(tool: Any) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "parameters": tool.schema}


def _use(identifier: str, name: str, raw: str) -> ToolUse:
    try:
        args: object = orjson.loads(raw) if raw.strip() else {}
    except orjson.JSONDecodeError:
        args = None
    return ToolUse(identifier, name, args, raw)


def _sent_call(call: Mapping[str, Any]) -> dict[str, Any]:
    """A call as it goes back. Servers parse its arguments for the model's template, so they are always an object."""
    args = _use(call["id"], call["name"], call["arguments"]).args
    raw = call["arguments"] if isinstance(args, dict) and call["arguments"].strip() else "{}"
    more = {"extra_content": call["extra_content"]} if "extra_content" in call else {}
    return {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": raw}, **more}


def _sent_back(item: Mapping[str, Any]) -> dict[str, Any] | None:
    """An item of an answer as it goes back, without what only its own storage at the provider would give a meaning."""
    match item["type"]:
        case "reasoning" if not item.get("encrypted_content"):
            return None  # nothing is stored there that its id could name
        case "message":
            content = [part for part in item.get("content", ()) if part.get("text") or part.get("refusal")]
            kept = {name: item[name] for name in ("id", "status", "phase") if name in item}
            return {"type": "message", "role": "assistant", "content": content, **kept} if content else None
        case _:
            return {name: value for name, value in item.items() if name != "parsed_arguments"}
