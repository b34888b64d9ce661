"""A model on this machine by Ollama's HTTP API: translates a run's conversation to its wire and back.

The requests are made by a worker process (ollama_worker.py). What decides is toolloop.py, what is said is brief.py, what a
failure means to a person is provider_failures.py. A model that cannot call tools is told to write its edits as text and to
name the files it wants to read; the loop stages the edits of its answer.
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
from kiro_lsp.events import Phase
from kiro_lsp.executors import brief, toolloop
from kiro_lsp.executors.ollama_failures import MANNER, no_model
from kiro_lsp.executors.protocol import ExecutorRequest, ExecutorResult, RunContext
from kiro_lsp.executors.provider import WorkerBacked, show
from kiro_lsp.executors.provider_failures import Reached, failure
from kiro_lsp.executors.toolloop import NotCharged, Stop, ToolUse, Turn
from kiro_lsp.executors.tools import Toolbox, ToolResult
from kiro_lsp.executors.tools.mcp import offered
from kiro_lsp.executors.tools.textanswer import edits_in
from kiro_lsp.executors.ways import OLLAMA_PORT
from kiro_lsp.executors.worker import Worker
from kiro_lsp.sandbox import paths
from kiro_lsp.settings import DEFAULT_ENDPOINTS, AgentSettings
from kiro_lsp.settings.redact import Redactor
from kiro_lsp.settings.values import origin, server_address

SCRIPT: Final = Path(__file__).with_name("ollama_worker.py")

_IDLE_SECONDS: Final = 600.0
"""Without a single byte: loading a large model and reading a long prompt may take minutes on a small machine."""
_BYTES_PER_TOKEN: Final = 3
_SMALLEST_CONTEXT: Final = 16_384
"""Ollama's own default is a few thousand tokens, and it drops what does not fit without a word."""
_KEPT: Final = "30m"
"""How long the model stays loaded with what it has read, from Ollama's 5 minutes: a person reviews between two tasks."""
_NO_TOOLS: Final = re.compile(r"does not support tools", re.IGNORECASE)
_STOPS: Final[Mapping[str, Stop]] = {"stop": "end_turn", "length": "max_tokens"}
_ASKS: Final = re.compile(r"^READ:[ \t]*`?([^`\n]+?)`?[ \t]*$", re.MULTILINE)
_ASKED_AT_MOST: Final = 16
_LISTED_AT_MOST: Final = 400
_GIVEN_BYTES: Final = 96 * 1024
_OWN_ID: Final = "call-"
_NO_SECRETS: Final = Redactor(())

WITHOUT_TOOLS: Final = """\
In this conversation you have no tools: what is said above about tools is done in writing.

- To read a file, answer with lines of the form `READ: path/of/the/file` and nothing else. You get the contents and go on.
- To change files, write the edits into your answer. For each change: the file's path on a line of its own, then

```
<<<<<<< SEARCH
the lines as they stand in the file, exactly, enough of them to be found only once
=======
the lines that take their place
>>>>>>> REPLACE
```

An empty SEARCH part makes a new file. Several blocks may follow each other. Every SEARCH part is about the files as you \
read them, before any of your edits.
- Edits that cannot be used come back to you with the reason. An answer with edits that can be used ends your work: send all \
of them in one answer, with a short summary after them."""


class OllamaExecutor(WorkerBacked):
    IDLE_SECONDS = _IDLE_SECONDS

    async def execute(self, request: ExecutorRequest, run: RunContext) -> ExecutorResult:
        """As Executor.execute. Raises ExecutorError."""
        agent = request.agent or self._agent
        task = brief.whole_text(request)
        reached = _reached(agent, request.environ or self._environ)
        redact = request.redact or _NO_SECRETS.redact
        order = self._order(reached, "")
        async with offered(request, run, redact) as toolbox, self._worker(SCRIPT) as worker:
            run.emit(Phase("starting", reached.model))
            model = await _shown(worker, order, reached)
            caches = request.settings is None or request.settings.cost.cache_prompts
            conversation = _Conversation(worker, order, reached, model, agent.max_tokens, caches, _declared(toolbox))
            for text in brief.stable_texts(request):
                conversation.add("system", redact(text))
            conversation.schema = request.schema
            if request.schema is None:
                conversation.files = redact(await _files(request, task, run))
            conversation.add_text(redact(task))
            return await toolloop.work(conversation, run, redact=redact, toolbox=toolbox)


@dataclass(slots=True)
class _Model:
    """What Ollama says about a model."""

    tools: bool
    thinks: bool
    context: int | None
    """Tokens that it can take at all."""
    loaded: int
    """Tokens that it can take as it is loaded now, 0 when it is not."""
    stays: bool
    """Whether it is kept loaded for longer than we would ask."""


@dataclass(slots=True)
class _Conversation:
    worker: Worker
    order: Mapping[str, Any]
    reached: Reached
    able: _Model
    most_output: int
    caches: bool
    declared: list[dict[str, Any]]
    """The tools, for a model that can call some."""
    files: str = ""
    """What a model without tools is shown before its task."""
    schema: Mapping[str, Any] | None = None
    """Of an answer that is to be data."""
    messages: list[bytes] = field(default_factory=list)
    """Each message as encoded once."""
    _known_tokens: int = 0
    _new_bytes: int = 0
    _window: int = 0
    _calls: int = 0

    @property
    def model(self) -> str:
        return self.reached.model

    def at_most(self) -> Usage:
        return Usage(self._input_tokens(), self.most_output)

    async def turn(self, run: RunContext) -> Turn:
        last = await self._asked(run)
        if last["event"] != "done" and self.able.tools and _NO_TOOLS.search(str(last["said"])):
            self.able.tools = False  # an older version says so only when it is asked
            last = await self._asked(run)
        if last["event"] != "done":
            raise failure(last, self.reached, _NO_SECRETS, MANNER)
        return self._done(last)

    def add_text(self, text: str) -> None:
        self.add("user", text)

    def add_results(self, results: Sequence[tuple[ToolUse, ToolResult]]) -> None:
        if not self.able.tools:
            self.add("user", "\n\n".join(f"{_about(use)}\n{result.text or '(empty)'}" for use, result in results))
            return
        for use, result in results:
            text = result.text or "(nothing)"
            named = {} if use.id.startswith(_OWN_ID) else {"tool_call_id": use.id}
            self.add("tool", f"Error: {text}" if result.is_error else text, tool_name=use.name, **named)

    def add(self, role: str, text: str, **more: Any) -> None:
        encoded = orjson.dumps({"role": role, "content": text, **more})
        self.messages.append(encoded)
        self._new_bytes += len(encoded)

    async def _asked(self, run: RunContext) -> Mapping[str, Any]:
        options = {"num_ctx": self._grown(), "num_predict": self.most_output}
        request: dict[str, Any] = {"model": self.model, "stream": True, "options": options}
        messages = [orjson.Fragment(message) for message in self.messages]
        if self.schema is not None:
            request["format"] = dict(self.schema)
        elif self.able.tools:
            request["tools"] = self.declared
        else:
            told = {"role": "system", "content": f"{WITHOUT_TOOLS}\n\n{self.files}".strip()}
            messages.insert(_systems(self.messages), orjson.Fragment(orjson.dumps(told)))
        if self.able.thinks:
            request["think"] = self.schema is None
        if self.caches and not self.able.stays:
            request["keep_alive"] = _KEPT
        order = {**self.order, "request": {**request, "messages": messages}}
        return await self.worker.ask(order, lambda line: show(line, run, self.reached.url, "Ollama"))

    def _input_tokens(self) -> int:
        own = len(orjson.dumps(self.declared)) if self.able.tools else len((WITHOUT_TOOLS + self.files).encode())
        fixed = 0 if self._known_tokens else own // _BYTES_PER_TOKEN + 500
        return self._known_tokens + self._new_bytes // _BYTES_PER_TOKEN + fixed

    def _grown(self) -> int:
        """The context to ask for: what is loaded, if that is enough, then growing in powers of two.

        Each change makes Ollama load the model again and forget what it has read, that of other tasks too.

        Raises NotCharged when the conversation is larger than the model can take.
        """
        needed = self._input_tokens() + min(self.most_output, 4096)
        most = self.able.context or max(needed, 131_072)
        if needed > most:
            raise NotCharged(
                "max-tokens",
                f"The conversation needs about {needed} tokens; {self.model} takes {most}.",
                hint="Split the task, shorten the spec's documents, or pick a model with a larger window.",
            )
        window = max(self._window, self.able.loaded, _SMALLEST_CONTEXT)
        while window < needed:
            window *= 2
        self._window = min(window, most)
        return self._window

    def _done(self, line: Mapping[str, Any]) -> Turn:
        text: str = line["content"]
        uses = tuple(self._use(call) for call in line["calls"]) if self.able.tools else self._asks(text)
        wire = line["usage"]
        usage = None
        if len(wire) == 2:
            usage = Usage(wire["prompt_eval_count"], wire["eval_count"])
        calls = [{"function": {"name": call["name"], "arguments": call["arguments"]}} for call in line["calls"]]
        thought = {"thinking": line["thinking"]} if line["thinking"] else {}
        self.add("assistant", text, **thought, **({"tool_calls": calls} if calls else {}))
        # A prompt that Ollama found in its cache is counted low by some versions: a smaller count than before is no news.
        if usage is not None and usage.input_tokens >= self._known_tokens:
            self._known_tokens, self._new_bytes = usage.input_tokens + usage.output_tokens, 0
        stop = _STOPS.get(line["stop"], "unknown")
        if stop == "max_tokens" and usage is not None and usage.input_tokens + usage.output_tokens >= self._window - 1:
            stop = "context"
        return Turn(text, uses, "tool_use" if stop == "end_turn" and uses else stop, usage, line["stop"])

    def _use(self, call: Mapping[str, Any]) -> ToolUse:
        self._calls += 1
        args, given = call["arguments"], call["id"]
        raw = args if isinstance(args, str) else ""
        if isinstance(args, str):  # some templates hand on the text that the model wrote
            try:
                args = orjson.loads(args or "{}")
            except orjson.JSONDecodeError:
                args = None
        else:
            args = {} if args is None else args
        return ToolUse(
            given if isinstance(given, str) and given else f"{_OWN_ID}{self._calls}", call["name"], args, raw
        )

    def _asks(self, text: str) -> tuple[ToolUse, ...]:
        """The files that a model without tools wants to read; none once it has written edits."""
        asked = list(dict.fromkeys(_ASKS.findall(text)))[:_ASKED_AT_MOST]
        if not asked or edits_in(text) is not None:
            return ()
        self._calls += 1
        return tuple(
            ToolUse(f"{_OWN_ID}{self._calls}-{number}", "read_file", {"path": path})
            for number, path in enumerate(asked)
        )


def _declared(toolbox: Toolbox) -> list[dict[str, Any]]:
    return [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": tool.schema},
        }
        for tool in toolbox.tools
    ]


def _systems(messages: Sequence[bytes]) -> int:
    """How many messages of the system stand first."""
    found = (index for index, message in enumerate(messages) if not message.startswith(b'{"role":"system"'))
    return next(found, len(messages))


def _about(use: ToolUse) -> str:
    return f"{use.args['path']}:" if isinstance(use.args, dict) and "path" in use.args else use.name


async def _shown(worker: Worker, order: Mapping[str, Any], reached: Reached) -> _Model:
    """What the model can do. Raises ExecutorError when Ollama does not run, or the model is not there."""
    last = await worker.ask({**order, "show": reached.model}, lambda _line: None)
    if last["event"] != "done":
        raise failure(last, reached, _NO_SECRETS, MANNER)
    able = last["able"]
    if able is not None and "completion" not in able:
        raise ExecutorError(
            "agent", f"{reached.model} cannot answer: it is no model for text.", hint="`ollama list` shows others."
        )
    tools, thinks = able is None or "tools" in able, able is not None and "thinking" in able
    return _Model(tools, thinks, last["context"], last["loaded"], last["stays"])


async def _files(request: ExecutorRequest, task: str, run: RunContext) -> str:
    """The project's files by name, and the contents of those that the task names: a model without tools sees no others."""
    listed = await run.list("")
    named = [
        path for path in listed if (path in request.target_files or path in task) and not paths.holds_secrets(path)
    ]
    texts, room = [], _GIVEN_BYTES
    for path in named:
        try:
            text = (await run.read(path)).decode()
        except (ExecutorError, OSError, UnicodeDecodeError):
            continue
        room -= len(text.encode())
        if room < 0:
            break
        texts.append(f'<document path="{path}">\n{text}\n</document>')
    more = f"\n… and {len(listed) - _LISTED_AT_MOST} more" if len(listed) > _LISTED_AT_MOST else ""
    names = "\n".join(listed[:_LISTED_AT_MOST])
    return "\n\n".join([f"The project's files:\n{names}{more}", *texts])


def _reached(agent: AgentSettings, environ: Mapping[str, str]) -> Reached:
    """Whom to ask, and where: OLLAMA_HOST may lack a scheme or a port, or name every address of the machine."""
    moved = environ.get("OLLAMA_HOST", "").strip()
    chosen = agent.endpoint if "endpoint" in agent.origins else moved or agent.endpoint
    url = server_address(chosen or DEFAULT_ENDPOINTS["ollama"], OLLAMA_PORT)
    if origin(url) is None:
        raise NotCharged(
            "network",
            f"{url!r} is not an address of Ollama.",
            hint="Set OLLAMA_HOST, or endpoint of the agent, to one.",
        )
    if not agent.model:
        raise no_model(agent.name)
    label = agent.label or "Ollama"
    return Reached(label, agent.name, agent.model, url, "", "Ollama's API", "OLLAMA_HOST")
