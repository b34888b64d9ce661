"""Everything that a feature needs to know about one task file: the file itself, and what stands around it.

A frozen value, so that checks and answers are plain functions of it. The language server fills it from open documents, disk,
store and settings (`lsp/views.py`); tests and the command line make one with `facts_of`. What is not known is empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from kiro_lsp.budget import Usage
from kiro_lsp.spec.blocks import Blocks
from kiro_lsp.spec.model import Task, TaskList
from kiro_lsp.spec.requirements import RequirementIndex, index_requirements, requirement_paths
from kiro_lsp.spec.tasks import Parsed, parsed


@dataclass(frozen=True, slots=True)
class RunFact:
    """The newest run of a task."""

    run_id: str
    task_key: str
    label: str
    """The agent's name in front of people."""
    state: str
    """As in events.py: `running`, `review`, `applied`, `failed` …"""
    phase: str = ""
    started_at: str = ""
    """ISO 8601."""
    cost: str | None = None
    """US dollars; None is unknown."""
    files: int = 0
    """How many files it proposes to change."""
    used: str = ""
    """What it has cost, or counted where it is not metered, in words."""

    @property
    def is_live(self) -> bool:
        return self.state in ("queued", "running", "verifying", "applying", "waiting")


@dataclass(frozen=True, slots=True)
class AgentFact:
    name: str
    label: str
    available: bool
    reason: str
    """Why it is available or not."""
    recommended: bool = False
    way: str = ""
    """How it is reached: `api`, `acp`, `cli` …"""
    model: str = ""
    ceiling: str = ""
    """What a run of it may cost at most, in words; "" where it is not metered."""
    price: Callable[[Usage], int | None] | None = field(default=None, compare=False)
    """Nano-dollars for a usage, None where nobody knows. None: it is not metered."""


@dataclass(frozen=True, slots=True)
class Facts:
    path: str
    """Root-relative with `/`."""
    parsed: Parsed
    documents: Mapping[str, str] = field(default_factory=dict)
    """Root-relative path → text of the spec's other documents (requirements.md, design.md …)."""
    requirements: RequirementIndex = field(default_factory=RequirementIndex)
    """What those documents define; empty when none of them defines requirements."""
    existing: Mapping[str, bool] = field(default_factory=dict)
    """Path as a task writes it → whether it is there. A path that is not a key was not looked at, or lies outside the root."""
    runs: Mapping[str, RunFact] = field(default_factory=dict)
    """Task key → newest run."""
    agents: Sequence[AgentFact] = ()
    chosen_for: Callable[[Task], AgentFact | None] | None = None
    """Who would do a task, with the reason why. None: nobody knows here."""

    @property
    def tasks(self) -> TaskList:
        return self.parsed.task_list

    @property
    def blocks(self) -> Blocks:
        return self.parsed.blocks

    @property
    def lines(self) -> Sequence[str]:
        """With their ends, as `split_lines` gives them."""
        return self.parsed.lines


def facts_of(
    text: str,
    path: str = "tasks.md",
    *,
    documents: Mapping[str, str] | None = None,
    existing: Mapping[str, bool] | None = None,
    runs: Mapping[str, RunFact] | None = None,
    agents: Sequence[AgentFact] = (),
) -> Facts:
    """The facts of a text, for whoever has no editor."""
    documents = documents or {}
    return Facts(path, parsed(text, path), documents, requirements_in(documents), existing or {}, runs or {}, agents)


def requirements_in(documents: Mapping[str, str]) -> RequirementIndex:
    """What root-relative path → text defines, the binding documents first."""
    return index_requirements([(path, documents[path]) for path in requirement_paths(documents)])
