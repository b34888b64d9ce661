"""The agent of a run: the one that was named, else the one that suits the task."""

from __future__ import annotations

from dataclasses import replace

from kiro_lsp.engine.execute import StartRun
from kiro_lsp.engine.workspace import Workspace
from kiro_lsp.errors import RunRefused
from kiro_lsp.executors import choice, registry
from kiro_lsp.executors.protocol import AgentInfo
from kiro_lsp.settings import LoadedSettings
from kiro_lsp.spec.model import Task
from kiro_lsp.spec.selection import Analysis
from kiro_lsp.store import RunRecord, Store

_RUNS_AT_MOST = 200


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
    agent = fitting if fitting is not None and fitting.available else chosen.agent
    return replace(agent, model=model), f"you chose {start.model}"


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
