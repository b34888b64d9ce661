"""The agent of a run: the one that was named, else the one that suits the task."""

from __future__ import annotations

from dataclasses import replace

from kiro_lsp.engine.execute import StartRun
from kiro_lsp.errors import RunRefused
from kiro_lsp.executors import choice, registry
from kiro_lsp.executors.protocol import AgentInfo
from kiro_lsp.settings import LoadedSettings
from kiro_lsp.spec.model import Task


def picked(loaded: LoadedSettings, start: StartRun, task: Task) -> tuple[AgentInfo, str]:
    """The agent with its model, and why. Raises RunRefused (no-agent) when none is available, or not the one wanted."""
    known = registry.agents(loaded.settings, loaded.secrets)
    if start.agent is None:
        chosen = choice.choose(task, known, loaded.settings)
        if chosen is None:
            reasons = "; ".join(f"{info.label}: {info.reason}" for info in known if info.way != "replay")
            raise RunRefused(
                f"No agent is available. {reasons}",
                code="no-agent",
                hint="Set a key, or try the recorded demonstration: kiro-lsp demo.",
            )
        agent, reason = chosen.agent, chosen.reason
    else:
        agent, reason = registry.named(known, start.agent), "chosen by you"
        if not agent.available:
            others = ", ".join(info.name for info in known if info.available) or "none"
            raise RunRefused(
                f"Agent {agent.name} is not available: {agent.reason}",
                code="no-agent",
                hint=f"Available now: {others}.",
            )
    return (replace(agent, model=start.model), reason) if start.model else (agent, reason)
