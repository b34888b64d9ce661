"""How much of what is sent comes from the providers' caches: `python -m benchmarks.prompt_cache`.

A recorded spec of ten tasks (recorded_spec/) is carried out task after task, each accepted and ticked before the next, by the
real executors and SDKs against local servers that count as the providers' pages describe their caches (tests/support/
prefix_cache.py). Three times: as it is by default, without `reuse_context`, and without `cache_prompts`. Shares and prices do
not depend on the machine. With `--project FOLDER --tasks FILE` the tasks of another spec are sent, with answers that only look.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kiro_lsp.budget import Usage, cost_nano, from_nano
from kiro_lsp.events import Tool
from kiro_lsp.executors.anthropic import AnthropicExecutor
from kiro_lsp.executors.google import GoogleExecutor
from kiro_lsp.executors.ollama import OllamaExecutor
from kiro_lsp.executors.openai import OpenaiExecutor
from kiro_lsp.executors.protocol import ExecutorRequest
from kiro_lsp.executors.worker import WorkerPool
from kiro_lsp.settings import AgentSettings, CostSettings, Settings
from kiro_lsp.spec import tasks
from kiro_lsp.spec.documents import document_patterns, matches
from kiro_lsp.spec.prompt import Prompt, build_prompt
from tests.support.claude import CountingRun
from tests.support.prefix_cache import (
    Beginnings,
    ByMarks,
    CachingAnthropic,
    CachingGoogle,
    CachingOllama,
    CachingOpenai,
)
from tests.support.provider_server import Step

RECORDED = Path(__file__).with_name("recorded_spec")
TASKS = ".kiro/specs/shelf/tasks.md"
LOOKING = [Step(tools=[("list_files", {})]), Step(tools=[("search", {"pattern": "TODO"})]), Step(text="Done.")]
MODES: Mapping[str, CostSettings] = {
    "default": CostSettings(),
    "`reuse_context = false`": CostSettings(reuse_context=False),
    "`cache_prompts = false`": CostSettings(cache_prompts=False),
}


@dataclass(frozen=True)
class Provider:
    label: str
    server: Callable[[], Any]
    executor: Callable[..., Any]
    agent: AgentSettings
    address: str
    prices: str | None = None
    """Whose prices hold; None: it costs nothing."""


def _openai(label: str, model: str, cache: Callable[[], Any], api: Any, prices: str | None) -> Provider:
    agent = AgentSettings("codex", type="openai-api", model=model, api=api, api_key_env="OPENAI_API_KEY")
    return Provider(label, lambda: CachingOpenai(cache()), OpenaiExecutor, agent, "OPENAI_BASE_URL", prices)


PROVIDERS: Sequence[Provider] = (
    Provider(
        "Claude Sonnet 5.5",
        CachingAnthropic,
        AnthropicExecutor,
        AgentSettings("claude", type="anthropic-api", model="claude-sonnet-5-5", api_key_env="ANTHROPIC_API_KEY"),
        "ANTHROPIC_BASE_URL",
        "anthropic",
    ),
    _openai(
        "OpenAI gpt-6.1-sol (marks)", "gpt-6.1-sol", lambda: ByMarks(1024, last_message=True), "responses", "openai"
    ),
    _openai("OpenAI gpt-5.5 (beginnings)", "gpt-5.5", lambda: Beginnings(1024, 128), "responses", "openai"),
    Provider(
        "Gemini 3.5 Flash",
        CachingGoogle,
        GoogleExecutor,
        AgentSettings("gemini", type="google-api", model="gemini-3.5-flash", api_key_env="GOOGLE_API_KEY"),
        "GOOGLE_GEMINI_BASE_URL",
        "google",
    ),
    _openai("Chat Completions, own server", "local", lambda: Beginnings(0, 16), "chat", None),
    Provider(
        "Ollama",
        CachingOllama,
        OllamaExecutor,
        AgentSettings("ollama", type="ollama", model="local"),
        "OLLAMA_HOST",
    ),
)


@dataclass(frozen=True, slots=True)
class Spec:
    """A project with a task file, and what is answered to each of its tasks."""

    root: Path
    task_path: str
    answers: Sequence[Sequence[Step]]

    def prompt(self, number: int, *, shared: bool) -> Prompt:
        parsed = tasks.parse((self.root / self.task_path).read_text("utf-8"), self.task_path)
        found = (path for path in sorted(self.root.rglob("*")) if path.is_file())
        relative = {path.relative_to(self.root).as_posix(): path for path in found}
        patterns = document_patterns(parsed.dialect, self.task_path)
        docs = {
            name: path.read_text("utf-8", "replace")
            for name, path in relative.items()
            if name != self.task_path and any(matches(name, pattern, anchored=True) for pattern in patterns)
        }
        task = parsed.tasks[number]
        return build_prompt(parsed.dialect, parsed, task, self.task_path, docs, shared=shared)

    def accept(self, run: CountingRun) -> None:
        """Write what the run staged, and tick the task."""
        for change in run.changes().files:
            target = self.root / change.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(change.proposed or b"")
        file = self.root / self.task_path
        file.write_text(file.read_text("utf-8").replace("- [ ]", "- [x]", 1), "utf-8")


@dataclass(frozen=True, slots=True)
class Figures:
    """Of all tasks of a spec: what was sent, what of it came from the cache, and what it would cost."""

    tokens: int
    read: int
    begun: int
    """Of the first requests of the second and later tasks."""
    begun_read: int
    nano: int | None

    @property
    def share(self) -> float:
        return self.read / self.tokens

    @property
    def begun_share(self) -> float:
        return self.begun_read / self.begun


async def carry_out(provider: Provider, server: Any, spec: Spec, cost: CostSettings, pool: WorkerPool) -> Figures:
    """Every task of a spec with one provider; `server` is one of its own, whose cache is empty at the beginning."""
    used: list[list[Usage]] = []
    for number, steps in enumerate(spec.answers):
        server.steps = list(steps)
        before = len(server.counted)
        run = await _one_task(provider, server, spec, number, cost, pool)
        used.append([usage for _reserved, usage in run.requests if usage is not None])
        counted = server.counted[before:]
        if len(used[-1]) != len(counted):
            raise RuntimeError("the executor did not settle every request")
        if provider.address == "OLLAMA_HOST":  # it reports nothing, so what its model of a cache found is taken
            used[-1] = [replace(usage, cached_tokens=one.read) for usage, one in zip(used[-1], counted, strict=True)]
        spec.accept(run)
    return _figures(used, provider)


async def _one_task(
    provider: Provider, server: Any, spec: Spec, number: int, cost: CostSettings, pool: WorkerPool
) -> CountingRun:
    run = CountingRun(spec.root)
    environ = {provider.address: server.url}
    if provider.agent.api_key_env is not None:
        environ[provider.agent.api_key_env] = "local-key-for-the-benchmark"
    prompt = spec.prompt(number, shared=cost.reuse_context)
    request = ExecutorRequest(spec.root, prompt=prompt, settings=Settings(cost=cost), environ=environ)
    await provider.executor(provider.agent, pool).execute(request, run)
    failed = [event.title for event in run.events if isinstance(event, Tool) and event.status == "failed"]
    if failed:
        raise RuntimeError(f"task {number + 1} does not go as recorded: {failed}")
    return run


def _figures(used: Sequence[Sequence[Usage]], provider: Provider) -> Figures:
    every = [usage for task in used for usage in task]
    first = [task[0] for task in used[1:]]
    costs = [cost_nano(str(provider.agent.model), usage, provider.prices) for usage in every]
    known = None if provider.prices is None or None in costs else sum(nano or 0 for nano in costs)
    return Figures(
        sum(usage.input_tokens for usage in every),
        sum(usage.cached_tokens for usage in every),
        sum(usage.input_tokens for usage in first),
        sum(usage.cached_tokens for usage in first),
        known,
    )


def answers() -> list[list[Step]]:
    """The recorded answers, task by task."""
    recorded: list[list[dict[str, Any]]] = json.loads((RECORDED / "answers.json").read_text("utf-8"))
    return [[Step(text=step["text"], tools=step["tools"]) for step in steps] for steps in recorded]


def table(rows: Sequence[tuple[str, str, Figures]]) -> str:
    """Markdown."""
    lines = [
        "| provider | settings | tokens in | from the cache | of a task's first request | cost of input and output |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for label, mode, found in rows:
        price = "–" if found.nano is None else f"${float(from_nano(found.nano)):.3f}"
        lines.append(f"| {label} | {mode} | {found.tokens:,} | {found.share:.0%} | {found.begun_share:.0%} | {price} |")
    return "\n".join(lines)


async def measure(project: Path, task_path: str, answered: Sequence[Sequence[Step]], only: str) -> str:
    rows = []
    pool = WorkerPool(os.environ)
    try:
        for provider in PROVIDERS:
            for mode, cost in MODES.items():
                if only.lower() not in provider.label.lower():
                    continue
                with TemporaryDirectory(prefix="kiro-cache-") as folder:
                    root = Path(shutil.copytree(project, Path(folder) / "project"))
                    with provider.server() as server:
                        found = await carry_out(provider, server, Spec(root, task_path, answered), cost, pool)
                rows.append((provider.label, mode, found))
    finally:
        await pool.close()
    return table(rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prompt_cache")
    parser.add_argument("--project", type=Path, help="another project, which is copied and not changed")
    parser.add_argument("--tasks", help="its task file, root-relative")
    parser.add_argument("--only", default="", help="providers whose name holds this")
    given = parser.parse_args()
    if (given.project is None) != (given.tasks is None):
        parser.error("--project and --tasks belong together")
    if given.project is None:
        print(asyncio.run(measure(RECORDED / "project", TASKS, answers(), given.only)))
    else:
        print(asyncio.run(measure(given.project, given.tasks, [LOOKING] * 10, given.only)))


if __name__ == "__main__":
    main()
