"""Which agent and model a task gets when the person named none, and why. Pure: a task, what is available, settings, history.

In this order: what the task file says (`_Agent: gemini_` or `<!-- agent: gemini -->`), what `[routing]` says for tasks of
this kind, a configured default agent, the built-in table, the recommended agent. Only what is available is chosen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from kiro_lsp.errors import RunRefused
from kiro_lsp.executors import registry
from kiro_lsp.executors.protocol import AgentInfo
from kiro_lsp.executors.ways import provider_of
from kiro_lsp.settings import MODELS, Settings
from kiro_lsp.spec.metadata import AGENT_COMMENT
from kiro_lsp.spec.model import Task
from kiro_lsp.spec.selection import Analysis, Complexity, analyse

STRONG: Final[Mapping[str, str]] = {"anthropic-api": "claude-opus-5-5", "google-api": "gemini-3.1-pro-preview"}
"""Type of an agent → its model for what is complex and asks for thought."""

_IN_TITLE: Final = re.compile(r"(?<![\w_])_agent[ \t]*:[ \t]*([\w.-]{1,64}?)_(?![\w_])", re.IGNORECASE)
_HARDER: Final[Mapping[Complexity, Complexity]] = {"simple": "moderate", "moderate": "complex", "complex": "complex"}
_ENOUGH: Final = 2
"""How many tasks of a spec an agent must have failed at, or done, before that counts for the others."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an agent did at a task of a spec: the person took its work, or it failed, or the work was rejected."""

    task_key: str
    agent: str
    worked: bool


@dataclass(frozen=True, slots=True)
class Past:
    """What became of the tasks of one spec, the newest outcome of each; what ended for other reasons is left out."""

    outcomes: tuple[Outcome, ...] = ()

    def of(self, task: Task) -> Outcome | None:
        return next((outcome for outcome in self.outcomes if outcome.task_key == task.key), None)

    def counts(self, agent: str) -> tuple[int, int]:
        """(worked, failed)"""
        mine = [outcome.worked for outcome in self.outcomes if outcome.agent == agent]
        return sum(mine), len(mine) - sum(mine)

    def is_against(self, agent: str) -> bool:
        worked, failed = self.counts(agent)
        return not worked and failed >= _ENOUGH


NO_PAST: Final = Past()


def past_of(outcomes: Iterable[tuple[str, str, bool | None]]) -> Past:
    """The history of a spec from (task key, agent, whether it worked), newest first; None is no outcome."""
    newest: dict[str, Outcome] = {}
    for key, agent, worked in outcomes:
        if worked is not None:
            newest.setdefault(key, Outcome(key, agent, worked))
    return Past(tuple(newest[key] for key in sorted(newest)))


def worked(state: str, output_tokens: int, *, replay: bool) -> bool | None:
    """What a run that ended so says of its agent; None: nothing. Who never answered did not fail at the task."""
    if replay:
        return None
    if state == "applied":
        return True
    failed = state == "rejected" or (state in ("failed", "budget") and output_tokens > 0)
    return False if failed else None


@dataclass(frozen=True, slots=True)
class Choice:
    """`agent` carries the model to use. `reason` is one line for a person; a guess says that it is one."""

    agent: AgentInfo
    reason: str
    analysis: Analysis


def choose(
    task: Task,
    known: Sequence[AgentInfo],
    settings: Settings,
    past: Past = NO_PAST,
    told: Analysis | None = None,
) -> Choice | None:
    """The agent for a task, None when nothing is available. `told` is what a model said of the task; None: the rules say.

    Raises RunRefused when the task file names an agent that exists and is not available: somebody wanted exactly that one.
    """
    analysis = told or analysis_of(task)
    written = written_agent(task, known)
    if written is not None:
        if not written.available:
            raise RunRefused(
                f"The task asks for {written.label}, which is not available: {written.reason}",
                code="no-agent",
                hint="Make it available, name another agent in the task, or pick one for this run.",
            )
        return Choice(written, f"the task file asks for {written.name}", analysis)
    recommended = registry.recommended(known, settings)
    if settings.kiro.coder_mode == "kiro":
        return None if recommended is None else Choice(recommended, "kiro.coder_mode", analysis)
    routed = _named(known, getattr(settings.routing, analysis.kind.replace("-", "_")))
    if routed is not None and routed.available and not analysis.is_guess:
        return Choice(routed, f"routing.{analysis.kind.replace('-', '_')}: {_because(analysis)}", analysis)
    if recommended is None:
        return None
    if settings.kiro.default_agent != "auto":
        return Choice(recommended, "your default agent", analysis)
    return _automatic(task, analysis, known, recommended, settings=settings, past=past)


def can_differ(known: Sequence[AgentInfo]) -> bool:
    """Whether there is anything to choose from."""
    return sum(info.available and info.way != "replay" for info in known) > 1


def depends_on_kind(task: Task, known: Sequence[AgentInfo], settings: Settings) -> bool:
    """Whether the kind of a task decides anything here, so that it is worth asking somebody about it."""
    if settings.kiro.coder_mode == "kiro":
        return False
    routes = any(
        _named(known, getattr(settings.routing, name))
        for name in ("code_generation", "bug_fix", "refactor", "documentation", "testing")
    )
    return written_agent(task, known) is None and (routes or settings.kiro.default_agent == "auto")


def agent_for_model(
    spelled: str, known: Sequence[AgentInfo], preferred: AgentInfo | None = None
) -> tuple[AgentInfo | None, str]:
    """Who answers for a configured model, and its name there: `AGENT/MODEL`, or a name whose provider shows in it.

    `preferred` is taken where it fits; a name that shows nothing is its. The agent may be one that is not available; None
    where nobody fits.
    """
    name, slash, model = spelled.partition("/")
    if slash and (agent := _named(known, name)) is not None:
        return agent, model
    kind = provider_of(spelled)
    if preferred is not None and kind in (None, preferred.type):
        return preferred, spelled
    fitting = [info for info in known if info.type == kind]
    return next((info for info in fitting if info.available), fitting[0] if fitting else None), spelled


def written_agent(task: Task, known: Sequence[AgentInfo]) -> AgentInfo | None:
    """The agent that the file names for a task. Words that name none are somebody else's (a role, a persona)."""
    for key, value in task.metadata.items():
        if key.casefold() == "agent":
            return _named(known, value.strip().strip("`"))
    found = AGENT_COMMENT.search(task.body) or _IN_TITLE.search(task.title)
    return _named(known, found.group(1)) if found is not None else None


def analysis_of(task: Task) -> Analysis:
    """What the rules say of a task; kept, since lenses ask for every task of a file."""
    return _analysis(task.title, task.body, task.section, task.files, task.requirements)


# The built-in table


def _automatic(
    task: Task,
    analysis: Analysis,
    known: Sequence[AgentInfo],
    recommended: AgentInfo,
    *,
    settings: Settings,
    past: Past,
) -> Choice:
    """By the table, after what this spec has shown so far."""
    usual = _not_against(recommended, known, past)
    if analysis.is_guess:
        proven = _proven(known, past)
        if proven is not None:
            done = past.counts(proven.name)[0]
            reason = f"did {done} tasks of this spec (guess: {_because(analysis)})"
            return Choice(proven, reason, analysis)
        return Choice(usual, f"recommended (guess: {_because(analysis)})", analysis)
    last = past.of(task)
    failed = last is not None and not last.worked
    if failed:
        analysis = replace(analysis, complexity=_HARDER[analysis.complexity], reasoning=True)
    wanted, hard = _by_table(analysis, known, usual, local=not failed)
    said = [_because(analysis)]
    if last is not None and failed:
        said.append(f"a step up, because the last run with {registry.label_of(last.agent)} failed")
    if past.is_against(wanted.name) and not past.is_against(usual.name):
        said.append(f"not {wanted.label}, which failed at {past.counts(wanted.name)[1]} tasks of this spec")
        wanted = usual
    elif usual is not recommended:
        said.append(f"not {recommended.label}, which failed at {past.counts(recommended.name)[1]} tasks of this spec")
    model = _sized(wanted, analysis, settings, hard=hard)
    if model != wanted.model:
        said.append(f"so {model}")
    return Choice(replace(wanted, model=model), ", ".join(said), analysis)


def _by_table(
    analysis: Analysis, known: Sequence[AgentInfo], usual: AgentInfo, *, local: bool
) -> tuple[AgentInfo, bool]:
    """Who does what, and whether it is hard: what is hard Claude, new code the usual agent, fixes with tests Codex,
    documentation Gemini, and the rest a model on this machine, if there is one; where nobody is, the usual agent.
    """
    if analysis.complexity == "complex" and analysis.reasoning:
        return _available(known, "claude") or usual, True
    if analysis.kind == "bug-fix" and analysis.has_tests:
        return _available(known, "codex") or usual, False
    if analysis.kind == "documentation":
        return _available(known, "gemini") or usual, False
    if analysis.kind == "code-generation" or not local:
        return usual, False
    return next((info for info in known if _is_local(info)), usual), False


def _sized(agent: AgentInfo, analysis: Analysis, settings: Settings, *, hard: bool) -> str:
    """The model of an agent for a task's size. One that the person configured is left alone."""
    provider = MODELS.get(agent.type.removesuffix("-api"))
    if provider is None or agent.model != provider.default or agent.name in _with_model(settings):
        return agent.model
    if hard:
        return STRONG.get(agent.type, agent.model)
    if analysis.complexity == "simple" and settings.cost.prefer_cheap_for_simple_tasks:
        return provider.cheap
    return agent.model


def _not_against(recommended: AgentInfo, known: Sequence[AgentInfo], past: Past) -> AgentInfo:
    """The recommended agent, or the next one where this spec speaks against it and not against that."""
    if not past.is_against(recommended.name):
        return recommended
    others = (info for info in known if info.available and info.way != "replay" and not past.is_against(info.name))
    return next(others, recommended)


def _proven(known: Sequence[AgentInfo], past: Past) -> AgentInfo | None:
    """Who did most tasks of this spec and failed at none."""
    able = [info for info in known if info.available and past.counts(info.name)[0] >= _ENOUGH]
    spotless = [info for info in able if not past.counts(info.name)[1]]
    return max(spotless, key=lambda info: past.counts(info.name)[0], default=None)


def _is_local(info: AgentInfo) -> bool:
    return info.available and info.billing == "local" and info.way != "replay"


def _with_model(settings: Settings) -> set[str]:
    return {name for name, agent in settings.agents.items() if agent.model}


def _because(analysis: Analysis) -> str:
    return f"{analysis.complexity} {analysis.kind}: {'; '.join(analysis.reasons)}"


def _named(known: Sequence[AgentInfo], name: str) -> AgentInfo | None:
    wanted = name.casefold()
    return next((info for info in known if wanted and wanted in (info.name.casefold(), info.label.casefold())), None)


def _available(known: Sequence[AgentInfo], name: str) -> AgentInfo | None:
    return next((info for info in known if info.name == name and info.available), None)


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
