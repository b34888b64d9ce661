"""Who would be chosen for a task of one file, as features show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from kiro_lsp.engine.prices import price_of
from kiro_lsp.errors import RunRefused
from kiro_lsp.executors import choice
from kiro_lsp.executors.protocol import AgentInfo
from kiro_lsp.settings import Settings
from kiro_lsp.spec.facts import AgentFact
from kiro_lsp.spec.model import Task


@dataclass(frozen=True, slots=True)
class Chooser:
    """Equal for as long as nothing that decides changes, so that whoever keeps answers can tell."""

    agents: Sequence[AgentInfo]
    settings: Settings
    past: choice.Past

    def __call__(self, task: Task) -> AgentFact | None:
        """The agent of a plain click with the reason; None when nothing is available."""
        try:
            chosen = choice.choose(task, self.agents, self.settings, self.past)
        except RunRefused as refused:
            written = choice.written_agent(task, self.agents)
            label = written.label if written is not None else ""
            return AgentFact(written.name if written else "", label, False, refused.message)
        if chosen is None:
            return None
        agent = chosen.agent
        known = AgentFact(agent.name, agent.label, agent.available, chosen.reason, way=agent.way, model=agent.model)
        if agent.billing != "metered":
            return known
        cost = self.settings.cost
        ceiling = f"${cost.max_cost_per_run} a run, ${cost.max_cost_per_day} a day"
        return replace(known, ceiling=ceiling, price=partial(price_of, agent, self.settings))
