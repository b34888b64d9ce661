"""What every provider's executor is held to: one description of a provider, and how a task runs with it.

A provider is one value of `PROVIDERS`; the scenarios are in test_contract.py and test_contract_faults.py and know nothing
of any wire.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from kiro_lsp import events
from kiro_lsp.budget import Usage
from kiro_lsp.errors import ErrorKind, ExecutorError
from kiro_lsp.executors.anthropic import SCRIPT as ANTHROPIC_SCRIPT
from kiro_lsp.executors.anthropic import AnthropicExecutor
from kiro_lsp.executors.google import SCRIPT as GOOGLE_SCRIPT
from kiro_lsp.executors.google import GoogleExecutor
from kiro_lsp.executors.ollama import SCRIPT as OLLAMA_SCRIPT
from kiro_lsp.executors.ollama import OllamaExecutor
from kiro_lsp.executors.openai import SCRIPT as OPENAI_SCRIPT
from kiro_lsp.executors.openai import OpenaiExecutor
from kiro_lsp.executors.protocol import ExecutorRequest
from kiro_lsp.executors.worker import WorkerPool
from kiro_lsp.settings import AgentSettings
from kiro_lsp.settings.redact import Redactor
from tests.support import anthropic_server, google_server, ollama_server, openai_server, planted, provider_server
from tests.support.claude import CountingRun, Ended
from tests.support.provider_server import Json, ProviderServer, Step

KEY = planted.KEYS["bearer"]
FILE = "src/number.py"
READ = ("read_file", {"path": FILE})
EDIT = ("edit", {"path": FILE, "old_text": "NUMBER = 1", "new_text": "NUMBER = 2"})
CALL = Step(thinking="Hm.", text="Now the edit 🦊.", tools=[EDIT], pieces=9)
BROKEN = Step(tools=[("edit", '{"path": "src/number.py", "old_te')])
"""A call whose arguments nobody can read."""

Usages = Mapping[str, tuple[Mapping[str, Any], Usage | None]]
"""Name of a variant → (what the wire says, what is counted; None: charged as reserved)."""


@dataclass(frozen=True)
class Provider:
    name: str
    server: Callable[..., ProviderServer]
    executor: Callable[..., Any]
    script: Path
    agent: AgentSettings
    address: str
    """The variable that moves its address."""
    stream: Callable[[Step], list[tuple[str, Any]]]
    """(name, data) of every event of an answer."""
    encode: Callable[[str, Any], bytes]
    """One event as it goes over the wire."""
    end: str
    """Name of the event with which an answer is whole, whatever comes after it."""
    history: str
    """The field of a request that grows from turn to turn."""
    results: Callable[[Json], list[str]]
    """The texts of the tool results in a request."""
    usages: Usages
    cut_short: str = "max_tokens"
    """How it says that an answer reached its limit."""
    refused: str | None = "refusal"
    announced: str | None = None
    """How it says that an answer ends with tool calls, or that it could read none of them."""
    spare: int = 0
    """Bytes at the end of the `end` event without which it is whole too."""
    calls: bool = True
    """False: what it reads and edits is written into its answers."""
    names_calls: bool = True
    """A call without an id cannot be answered."""

    @property
    def metered(self) -> bool:
        return self.agent.api_key_env is not None

    def environ(self, url: str) -> dict[str, str]:
        keys = {self.agent.api_key_env: KEY} if self.agent.api_key_env is not None else {}
        return {**keys, self.address: url}

    def said(self, step: Step) -> str:
        """The text of an answer as it is shown."""
        return step.text if self.calls else ollama_server.written(step).text

    def body(self, step: Step) -> bytes:
        return b"".join(self.encode(name, data) for name, data in self.stream(step))

    async def execute(
        self,
        root: Path,
        pool: WorkerPool,
        url: str,
        *,
        idle_seconds: float = 60.0,
        environ: Mapping[str, str] | None = None,
        **agent: Any,
    ) -> Ended:
        """One task as a run would have it; an ExecutorError is an end, every other exception a fault."""
        run = CountingRun(root)
        request = ExecutorRequest(
            root_dir=root,
            ticket_markdown="Make the number two.",
            environ=self.environ(url) if environ is None else environ,
            redact=None if self.metered else Redactor((KEY,)).redact,
        )
        executor = self.executor(replace(self.agent, **agent), pool, idle_seconds=idle_seconds)
        try:
            return Ended(run, await executor.execute(request, run), None)
        except ExecutorError as error:
            return Ended(run, None, error)


def check(ended: Ended, kind: ErrorKind, *says: str) -> None:
    """A failure with its kind, words for a person and a next step; no tool ran for it."""
    assert ended.error is not None, f"it succeeded: {ended.result}"
    assert ended.error.kind == kind, ended.error
    for words in says:
        assert words in str(ended.error), str(ended.error)
    assert ended.error.hint
    assert "Traceback" not in ended.error.message
    assert KEY not in str(ended.error)
    assert ended.staged == {}
    assert ended.of(events.Tool) == []
    assert ended.of(events.File) == []


def _anthropic_results(request: Json) -> list[str]:
    blocks = [block for message in request["messages"] for block in message["content"]]
    return [block["content"] for block in blocks if block["type"] == "tool_result"]


def _google_results(request: Json) -> list[str]:
    parts = [part for content in request["contents"] for part in content["parts"]]
    answers = [part["functionResponse"]["response"] for part in parts if "functionResponse" in part]
    return [str(answer.get("output", answer.get("error"))) for answer in answers]


ANTHROPIC = Provider(
    "anthropic",
    anthropic_server.AnthropicServer,
    AnthropicExecutor,
    ANTHROPIC_SCRIPT,
    AgentSettings(
        "claude",
        type="anthropic-api",
        label="Claude",
        model="claude-sonnet-5-5",
        max_tokens=4096,
        api_key_env="ANTHROPIC_API_KEY",
    ),
    "ANTHROPIC_BASE_URL",
    lambda step: list(anthropic_server.events_of(step, "claude-sonnet-5-5")),
    provider_server.sse,
    "message_stop",
    "messages",
    _anthropic_results,
    {
        "plain": ({"input_tokens": 10, "output_tokens": 7}, Usage(10, 7)),
        "cached": (
            {
                "input_tokens": 10,
                "cache_read_input_tokens": 300,
                "cache_creation_input_tokens": 40,
                "output_tokens": 7,
            },
            Usage(350, 7, 300, 40),
        ),
        "reasoning": ({"input_tokens": 10, "output_tokens": 7, "thinking_tokens": 5}, Usage(10, 7)),
        "missing": ({"input_tokens": None, "output_tokens": None}, None),
        "half": ({"input_tokens": None, "output_tokens": 7}, None),
        "nonsense": ({"input_tokens": -5, "cache_read_input_tokens": True, "output_tokens": "many"}, None),
    },
    announced="tool_use",
)


def _openai(name: str, api: Any, made: Callable[[Step, str], Any], **more: Any) -> Provider:
    agent = AgentSettings("codex", type="openai-api", label="Codex", model="gpt-6.1-sol", max_tokens=4096, api=api)
    return Provider(
        name,
        openai_server.OpenaiServer,
        OpenaiExecutor,
        OPENAI_SCRIPT,
        replace(agent, api_key_env="OPENAI_API_KEY"),
        "OPENAI_BASE_URL",
        lambda step: list(made(step, "gpt-6.1-sol")),
        openai_server.encoded,
        **more,
    )


RESPONSES = _openai(
    "openai-responses",
    "responses",
    openai_server.responses_of,
    end="response.completed",
    history="input",
    results=lambda request: [item["output"] for item in request["input"] if item.get("type") == "function_call_output"],
    cut_short="max_output_tokens",
    usages={
        "plain": ({"input_tokens": 350, "output_tokens": 7}, Usage(350, 7)),
        "cached": (
            {
                "input_tokens": 350,
                "output_tokens": 7,
                "input_tokens_details": {"cached_tokens": 300, "cache_write_tokens": 40},
            },
            Usage(350, 7, 300, 40),
        ),
        "reasoning": (
            {"input_tokens": 9, "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": 5}},
            Usage(9, 7),
        ),
        "missing": ({}, None),
        "half": ({"input_tokens": 350}, None),
        "nonsense": ({"input_tokens": -1, "output_tokens": True}, None),
    },
)

CHAT = _openai(
    "openai-chat",
    "chat",
    openai_server.chunks_of,
    end="end",
    history="messages",
    results=lambda request: [message["content"] for message in request["messages"] if message["role"] == "tool"],
    cut_short="length",
    announced="tool_calls",
    usages={
        "plain": (
            {"prompt_tokens": 350, "completion_tokens": 7, "prompt_tokens_details": None},
            Usage(350, 7),
        ),
        "cached": (
            {"prompt_tokens": 350, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 300}},
            Usage(350, 7, 300),
        ),
        "cached more than all": (
            {"prompt_tokens": 3, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 300}},
            Usage(3, 7, 3),
        ),
        "reasoning": (
            {"prompt_tokens": 9, "completion_tokens": 7, "completion_tokens_details": {"reasoning_tokens": 5}},
            Usage(9, 7),
        ),
        "missing": ({}, None),
        "half": ({"prompt_tokens": 350}, None),
        "nonsense": ({"prompt_tokens": "many", "completion_tokens": 7}, None),
    },
)

GOOGLE = Provider(
    "google",
    google_server.GoogleServer,
    GoogleExecutor,
    GOOGLE_SCRIPT,
    AgentSettings(
        "gemini",
        type="google-api",
        label="Gemini",
        model="gemini-3.8-flash",
        max_tokens=4096,
        api_key_env="GOOGLE_API_KEY",
    ),
    "GOOGLE_GEMINI_BASE_URL",
    lambda step: list(google_server.chunks_of(step)),
    google_server.encoded,
    "end",
    "contents",
    _google_results,
    {
        "plain": ({"promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 120}, Usage(100, 20)),
        "cached": (
            {"promptTokenCount": 9, "candidatesTokenCount": 2, "cachedContentTokenCount": 8},
            Usage(9, 2, 8),
        ),
        "cached more than all": (
            {"promptTokenCount": 9, "candidatesTokenCount": 1, "cachedContentTokenCount": 99},
            Usage(9, 1, 9),
        ),
        "reasoning": ({"promptTokenCount": 9, "candidatesTokenCount": 2, "thoughtsTokenCount": 5}, Usage(9, 7)),
        "of tools": ({"promptTokenCount": 9, "toolUsePromptTokenCount": 3, "thoughtsTokenCount": 5}, Usage(12, 5)),
        "only in all": ({"promptTokenCount": 9, "totalTokenCount": 9}, Usage(9, 0)),
        "missing": ({}, None),
        "half": ({"promptTokenCount": 9}, None),
        "nonsense": ({"promptTokenCount": -9, "candidatesTokenCount": 1}, None),
    },
    cut_short="MAX_TOKENS",
    refused="SAFETY",
    announced="UNEXPECTED_TOOL_CALL",
    spare=3,  # the rest of "\r\n\r\n": a line is a line at its first byte
    names_calls=False,
)

OLLAMA = Provider(
    "ollama",
    ollama_server.OllamaServer,
    OllamaExecutor,
    OLLAMA_SCRIPT,
    AgentSettings("ollama", type="ollama", label="Ollama", model="local:7b", max_tokens=4096, billing="local"),
    "OLLAMA_HOST",
    lambda step: list(ollama_server.lines_of(step)),
    ollama_server.encoded,
    "end",
    "messages",
    lambda request: [message["content"] for message in request["messages"] if message["role"] == "tool"],
    {
        "plain": ({"prompt_eval_count": 7, "eval_count": 3}, Usage(7, 3)),
        "cached": ({"eval_count": 3}, None),  # some versions do not count a prompt that they found in their cache
        "reasoning": ({"prompt_eval_count": 7, "eval_count": 3, "thinking_count": 2}, Usage(7, 3)),
        "missing": ({}, None),
        "half": ({"prompt_eval_count": 7}, None),
        "nonsense": ({"prompt_eval_count": True, "eval_count": "3"}, None),
    },
    cut_short="length",
    refused=None,
    names_calls=False,
)

OLLAMA_TEXT = replace(
    OLLAMA,
    name="ollama-text",
    server=ollama_server.PlainOllamaServer,
    stream=lambda step: list(ollama_server.lines_of(ollama_server.written(step))),
    results=lambda request: [message["content"] for message in request["messages"] if message["role"] == "user"][1:],
    calls=False,
)

PROVIDERS = (ANTHROPIC, RESPONSES, CHAT, GOOGLE, OLLAMA, OLLAMA_TEXT)


def each(suits: Callable[[Provider], bool] = lambda _provider: True) -> pytest.MarkDecorator:
    """The scenario for every provider that it suits."""
    chosen = [provider for provider in PROVIDERS if suits(provider)]
    return pytest.mark.parametrize("provider", chosen, ids=[provider.name for provider in chosen])
