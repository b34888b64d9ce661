"""What every provider's executor is held to: one description of a provider, and how a task runs with it.

A provider is one value of `PROVIDERS`; the scenarios are in test_contract.py and know nothing of any wire.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kiro_lsp.errors import ExecutorError
from kiro_lsp.executors.anthropic import SCRIPT as ANTHROPIC_SCRIPT
from kiro_lsp.executors.anthropic import AnthropicExecutor
from kiro_lsp.executors.openai import SCRIPT as OPENAI_SCRIPT
from kiro_lsp.executors.openai import OpenaiExecutor
from kiro_lsp.executors.protocol import ExecutorRequest
from kiro_lsp.executors.worker import WorkerPool
from kiro_lsp.settings import AgentSettings
from tests.support import anthropic_server, openai_server, planted
from tests.support.anthropic_server import AnthropicServer, Step
from tests.support.claude import CountingRun, Ended
from tests.support.openai_server import OpenaiServer

KEY = planted.KEYS["bearer"]


@dataclass(frozen=True)
class Provider:
    name: str
    server: type[AnthropicServer]
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
    results: Callable[[Mapping[str, Any]], list[str]]
    """The texts of the tool results in a request."""
    cut_short: str = "max_tokens"
    """How it says that an answer reached its limit."""
    no_usage: Mapping[str, Any] | None = None
    """A usage that says nothing."""

    def environ(self, url: str) -> dict[str, str]:
        assert self.agent.api_key_env is not None
        return {self.agent.api_key_env: KEY, self.address: url}

    async def execute(
        self, root: Path, pool: WorkerPool, url: str, *, idle_seconds: float = 60.0, **agent: Any
    ) -> Ended:
        """One task as a run would have it; an ExecutorError is an end, every other exception a fault."""
        run = CountingRun(root)
        request = ExecutorRequest(root_dir=root, ticket_markdown="Make the number two.", environ=self.environ(url))
        executor = self.executor(replace(self.agent, **agent), pool, idle_seconds=idle_seconds)
        try:
            return Ended(run, await executor.execute(request, run), None)
        except ExecutorError as error:
            return Ended(run, None, error)


def _anthropic_results(request: Mapping[str, Any]) -> list[str]:
    blocks = [block for message in request["messages"] for block in message["content"]]
    return [block["content"] for block in blocks if block["type"] == "tool_result"]


def _openai(name: str, api: Any, made: Callable[[Step, str], Any], end: str, **more: Any) -> Provider:
    agent = AgentSettings("codex", type="openai-api", label="Codex", model="gpt-6.1-sol", max_tokens=4096, api=api)
    return Provider(
        name,
        OpenaiServer,
        OpenaiExecutor,
        OPENAI_SCRIPT,
        replace(agent, api_key_env="OPENAI_API_KEY"),
        "OPENAI_BASE_URL",
        lambda step: list(made(step, "gpt-6.1-sol")),
        openai_server.encoded,
        end,
        no_usage={},
        **more,
    )


PROVIDERS = (
    Provider(
        "anthropic",
        AnthropicServer,
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
        anthropic_server.sse,
        "message_stop",
        _anthropic_results,
        no_usage={"input_tokens": -5},
    ),
    _openai(
        "openai-responses",
        "responses",
        openai_server.responses_of,
        "response.completed",
        results=lambda request: [
            item["output"] for item in request["input"] if item.get("type") == "function_call_output"
        ],
        cut_short="max_output_tokens",
    ),
    _openai(
        "openai-chat",
        "chat",
        openai_server.chunks_of,
        "end",
        results=lambda request: [message["content"] for message in request["messages"] if message["role"] == "tool"],
        cut_short="length",
    ),
)
