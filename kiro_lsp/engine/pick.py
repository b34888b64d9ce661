"""The agent of a run: the one that was named, else the one that suits the task."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from kiro_lsp import events
from kiro_lsp.engine.execute import StartRun
from kiro_lsp.engine.run import RunHandle
from kiro_lsp.engine.workspace import Workspace
from kiro_lsp.errors import KiroError, RunRefused
from kiro_lsp.executors import choice, classifier, registry
from kiro_lsp.executors.protocol import AgentInfo
from kiro_lsp.executors.worker import WorkerPool
from kiro_lsp.settings import LoadedSettings
from kiro_lsp.spec import tasks
from kiro_lsp.spec.model import Task
from kiro_lsp.spec.selection import Analysis
from kiro_lsp.store import RunRecord, Store

log = logging.getLogger(__name__)

_RUNS_AT_MOST = 200
_KINDS_AT_MOST = 1000


def picked(
    workspace: Workspace, loaded: LoadedSettings, start: StartRun, task: Task, told: Analysis | None = None
) -> tuple[AgentInfo, str]:
    """The agent with its model, and why. `told` is what a model said of the task. Blocks, as `Workspace.agents` does.

    Raises RunRefused (no-agent) when none is available, or not the one wanted.
    """
    known = workspace.agents_of(loaded)
    if start.agent is not None:
        agent, reason = _named(known, start.agent), start.reason or "chosen by you"
        return (replace(agent, model=start.model), reason) if start.model else (agent, reason)
    past = pasts_in(workspace.store, workspace.real_root).get(workspace.relative(start.path), choice.NO_PAST)
    chosen = choice.choose(task, known, loaded.settings, past, told)
    if chosen is None:
        reasons = "; ".join(f"{info.label}: {info.reason}" for info in known if info.way != "replay")
        raise RunRefused(
            f"No agent is available. {reasons}",
            code="no-agent",
            hint="Set a key, or try the recorded demonstration: kiro-lsp demo.",
        )
    if not start.model:
        return chosen.agent, chosen.reason
    fitting, model = choice.agent_for_model(start.model, known, chosen.agent)
    agent = chosen.agent if fitting is None else fitting
    if not agent.available:
        raise RunRefused(
            f"{model} is a model of {agent.label}, which is not available: {agent.reason}",
            code="no-agent",
            hint="Make it available, or name the agent that has such a model too.",
        )
    return replace(agent, model=model), f"you chose {start.model}"


@dataclass(slots=True)
class Kinds:
    """What models said of tasks in this process: the same task is asked about once."""

    environ: Mapping[str, str]
    workers: WorkerPool
    _known: dict[tuple[object, ...], Analysis] = field(default_factory=dict)

    async def of(
        self, handle: RunHandle, known: list[AgentInfo], loaded: LoadedSettings, start: StartRun, task: Task
    ) -> tuple[Analysis | None, str]:
        """What `routing.classifier_model` says of a run's task, charged to the run; None where the rules decide.

        The text says why a model that should have decided did not, "" otherwise.
        """
        model = asks_model(start, task, known, loaded)
        if not model:
            return None, ""
        agent, name = choice.agent_for_model(model, known)
        if agent is None or not agent.available:
            return (
                None,
                f"{model} cannot be asked: {agent.reason if agent is not None else 'no agent has such a model'}",
            )
        key = (agent.name, name, task.title, task.body, task.section)
        if key not in self._known:
            try:
                found = await self._ask(handle, replace(agent, model=name), loaded, task)
            except TimeoutError:
                return None, f"{name} did not answer within {classifier.SECONDS:g} s"
            except (KiroError, ValueError) as error:
                log.info("asking %s about a task: %s", name, type(error).__name__)
                return None, f"{name} did not help: {error}"
            while len(self._known) >= _KINDS_AT_MOST:
                del self._known[next(iter(self._known))]
            self._known[key] = found
        return self._known[key], ""

    async def _ask(self, handle: RunHandle, agent: AgentInfo, loaded: LoadedSettings, task: Task) -> Analysis:
        settings = registry.settings_for(agent.name, loaded.settings, model=agent.model, kind=agent.type)
        handle.agent, handle.settings = agent, loaded.settings  # whose money it is
        handle.emit(events.Phase("queued", f"asking {agent.model} what kind of work it is"))
        environ = registry.environ_of(settings, self.environ, loaded.secrets)
        return await classifier.classified(
            task,
            agent,
            loaded.settings,
            handle,
            environ=environ,
            workers=self.workers,
            redact=handle.redactor.redact,
            seconds=classifier.SECONDS,
        )


def asks_model(start: StartRun, task: Task, known: list[AgentInfo], loaded: LoadedSettings) -> str:
    """The model that is asked what kind of work a task is before its agent is chosen, "" for none."""
    if start.agent is not None or not choice.depends_on_kind(task, known, loaded.settings):
        return ""
    return loaded.settings.routing.classifier_model


def again(workspace: Workspace, record: RunRecord) -> tuple[str, str | None, str | None]:
    """Who runs a task again: the agent's name, the model, and why. `routing.retry_model` first, if there is one.

    A recording is played again, whatever is configured: nobody asked for a run that costs.
    """
    loaded = workspace.settings()
    stronger = loaded.settings.routing.retry_model
    if record.replay:
        return record.agent, None, None
    same = record.agent, record.model or None
    if not stronger:
        return *same, f"again as run {record.run_id}"
    known = workspace.agents_of(loaded)
    own = next((info for info in known if info.name == record.agent), None)
    agent, model = choice.agent_for_model(stronger, known, own)
    if agent is None or not agent.available:
        why = agent.reason if agent is not None else "no agent has such a model"
        return *same, f"again as run {record.run_id}; routing.retry_model = {stronger} cannot be had: {why}"
    return agent.name, model, f"run {record.run_id} again with routing.retry_model"


def choice_for(
    workspace: Workspace, path: str | Path, selector: str, known: Sequence[AgentInfo]
) -> choice.Choice | None:
    """Who does a task where the person names nobody, as the rules say it; None when nobody is available. Blocking.

    Raises RunRefused when the task asks for an agent that is not available, and what finding the task raises.
    """
    file = workspace.read_tasks(path)
    past = pasts_in(workspace.store, workspace.real_root).get(workspace.relative(str(path)), choice.NO_PAST)
    return choice.choose(tasks.find(file.tasks, selector), known, workspace.settings().settings, past)


def pasts_in(store: Store, root: str) -> dict[str, choice.Past]:
    """Task file → what became of its tasks so far; files without any outcome are left out."""
    found: dict[str, list[tuple[str, str, bool | None]]] = {}
    for record in store.runs(root=root, limit=_RUNS_AT_MOST):
        worked = choice.worked(record.state, record.output_tokens, replay=record.replay)
        if worked is not None:
            found.setdefault(record.path, []).append((record.task_key, record.agent, worked))
    return {path: choice.past_of(outcomes) for path, outcomes in found.items()}


def _named(known: list[AgentInfo], name: str) -> AgentInfo:
    agent = registry.named(known, name)
    if not agent.available:
        others = ", ".join(info.name for info in known if info.available) or "none"
        raise RunRefused(
            f"Agent {agent.name} is not available: {agent.reason}",
            code="no-agent",
            hint=f"Available now: {others}.",
        )
    return agent
