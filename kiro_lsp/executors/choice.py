"""Which agent and model a task gets when the person named none, and why. Pure: a task, what is available, settings.

In this order: what the task file says (`_Agent: gemini_` or `<!-- agent: gemini -->`), what `[routing]` says for tasks of
this kind, a configured default agent, the built-in table, the recommended agent. Only what is available is chosen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from kiro_lsp.errors import RunRefused
from kiro_lsp.executors import registry
from kiro_lsp.executors.protocol import AgentInfo
from kiro_lsp.settings import MODELS, Settings
from kiro_lsp.spec.model import Task
from kiro_lsp.spec.selection import Analysis, analyse

STRONG: Final[Mapping[str, str]] = {"anthropic-api": "claude-opus-5-5"}
"""Type of an agent → its model for what is complex and asks for thought."""

_PROVIDER: Final[Mapping[str, str]] = {"anthropic-api": "anthropic", "openai-api": "openai", "google-api": "google"}
_COMMENT: Final = re.compile(r"<!--[ \t]*agent[ \t]*:[ \t]*([\w.-]{1,64})[ \t]*-->", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Choice:
    """`agent` carries the model to use. `reason` is one line for a person; a guess says that it is one."""

    agent: AgentInfo
    reason: str
    analysis: Analysis


def choose(task: Task, known: Sequence[AgentInfo], settings: Settings) -> Choice | None:
    """The agent for a task, None when nothing is available.

    Raises RunRefused when the task file names an agent that exists and is not available: somebody wanted exactly that one.
    """
    analysis = _analysed(task)
    written = _written(task, known)
    if written is not None:
        if not written.available:
            raise RunRefused(
                f"The task asks for {written.label}, which is not available: {written.reason}",
                code="no-agent",
                hint="Make it available, name another agent in the task, or pick one for this run.",
            )
        return Choice(written, f"the task file asks for {written.name}", analysis)
    recommended = registry.recommended(known, settings)
    routed = _named(known, getattr(settings.routing, analysis.kind.replace("-", "_")))
    if routed is not None and routed.available and not analysis.is_guess:
        return Choice(routed, f"routing.{analysis.kind.replace('-', '_')}: {_because(analysis)}", analysis)
    if recommended is None:
        return None
    if settings.kiro.default_agent != "auto":
        return Choice(recommended, "your default agent", analysis)
    if analysis.is_guess:
        return Choice(recommended, f"recommended (guess: {_because(analysis)})", analysis)
    return _by_table(analysis, known, recommended, settings)


def can_differ(known: Sequence[AgentInfo]) -> bool:
    """Whether there is anything to choose from."""
    return sum(info.available and info.way != "replay" for info in known) > 1


def _by_table(analysis: Analysis, known: Sequence[AgentInfo], recommended: AgentInfo, settings: Settings) -> Choice:
    """The built-in table: fixes with tests to Codex, documentation to Gemini, the rest to the recommended agent."""
    wanted = recommended
    hard = analysis.complexity == "complex" and analysis.reasoning
    if hard:
        wanted = _available(known, "claude") or recommended
    elif analysis.kind == "bug-fix" and analysis.has_tests:
        wanted = _available(known, "codex") or recommended
    elif analysis.kind == "documentation":
        wanted = _available(known, "gemini") or recommended
    model = wanted.model
    provider = MODELS.get(_PROVIDER.get(wanted.type, ""))
    # A model that the person configured is left alone.
    if provider is not None and model == provider.default and wanted.name not in _with_model(settings):
        if hard:
            model = STRONG.get(wanted.type, model)
        elif analysis.complexity == "simple" and settings.cost.prefer_cheap_for_simple_tasks:
            model = provider.cheap
    told = "" if model == wanted.model else f", so {model}"
    return Choice(replace(wanted, model=model), f"{_because(analysis)}{told}", analysis)


def _with_model(settings: Settings) -> set[str]:
    return {name for name, agent in settings.agents.items() if agent.model}


def _because(analysis: Analysis) -> str:
    return f"{analysis.complexity} {analysis.kind}: {'; '.join(analysis.reasons)}"


def _written(task: Task, known: Sequence[AgentInfo]) -> AgentInfo | None:
    """The agent that the file names for a task. Words that name none are somebody else's (a role, a persona)."""
    for key, value in task.metadata.items():
        if key.casefold() == "agent":
            return _named(known, value.strip().strip("`"))
    comment = _COMMENT.search(task.body) or _COMMENT.search(task.title)
    return _named(known, comment.group(1)) if comment is not None else None


def _named(known: Sequence[AgentInfo], name: str) -> AgentInfo | None:
    wanted = name.casefold()
    return next((info for info in known if wanted and wanted in (info.name.casefold(), info.label.casefold())), None)


def _available(known: Sequence[AgentInfo], name: str) -> AgentInfo | None:
    return next((info for info in known if info.name == name and info.available), None)


def _analysed(task: Task) -> Analysis:
    return _analysis(task.title, task.body, task.section, task.files, task.requirements)


@lru_cache(maxsize=4096)
def _analysis(
    title: str, body: str, section: str | None, files: tuple[str, ...], requirements: tuple[str, ...]
) -> Analysis:
    return analyse(
        Task(
            "",
            None,
            title,
            "open",
            " ",
            0,
            None,
            1,
            0,
            section=section,
            files=files,
            requirements=requirements,
            body=body,
        )
    )
