"""What an agent's use costs, before it is used: its model, its address and what the person says of its price."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kiro_lsp.budget import Usage, cost_nano, estimated, from_nano, provider_at
from kiro_lsp.engine.workspace import Workspace
from kiro_lsp.executors import registry
from kiro_lsp.executors.protocol import AgentInfo
from kiro_lsp.settings import Settings
from kiro_lsp.spec import tasks
from kiro_lsp.spec.selection import analyse


def price_of(agent: AgentInfo, settings: Settings, usage: Usage) -> int | None:
    """Nano-dollars; None where nobody knows. Blocking the first time, when the list of prices is read."""
    endpoint = registry.settings_for(agent.name, settings, model=agent.model, kind=agent.type).endpoint
    provider = None if endpoint is None else provider_at(endpoint)
    return cost_nano(agent.model, usage, provider, price=settings.prices.get(agent.model))


def estimates(
    workspace: Workspace, path: str | Path, selector: str, agents: Sequence[AgentInfo]
) -> dict[str, str | None]:
    """Agent → what a task may cost with it, as a decimal string in US dollars: a guess. None where it is not metered, or
    nobody knows the price. Blocking. Raises what finding the task raises.
    """
    settings = workspace.settings().settings
    file = workspace.read_tasks(path)
    task = tasks.find(file.tasks, selector)
    prompt, _intent = workspace.prompt(file, task)
    usage = estimated(len(prompt.render()), analyse(task).complexity)
    found: dict[str, str | None] = {}
    for agent in agents:
        nano = price_of(agent, settings, usage) if agent.billing == "metered" else None
        found[agent.name] = None if nano is None else from_nano(nano)
    return found
