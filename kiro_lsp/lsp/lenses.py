"""Where a lens title is made: what stands above each task, and the command behind it.

Pure: tasks, runs and agents in, lenses out. The titles are a contract with users and clients (docs/protocol.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from kiro_lsp.engine.engine import LiveRun
from kiro_lsp.errors import RunRefused
from kiro_lsp.executors import choice
from kiro_lsp.executors.protocol import AgentInfo
from kiro_lsp.settings import Settings
from kiro_lsp.spec import tasks
from kiro_lsp.spec.model import Task, TaskList

SHOWN_AGENTS: Final = 3
_RUNNING: Final = frozenset({"queued", "running", "applying"})
_PENDING: Final = frozenset({"verifying", "review", "conflict"})
_LEFT: Final = frozenset({"failed", "cancelled", "budget", "interrupted"})
_TITLE_CHARACTERS: Final = 60
WAITING_AT_MOST: Final = 500
"""Tasks of a file of which is said what they wait for: an edit of one changes what others wait for."""


@dataclass(frozen=True, slots=True)
class Lens:
    """`line` is 0-based. Without a command it only says something."""

    line: int
    title: str
    command: str
    argument: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """What the project offers now."""

    agents: Sequence[AgentInfo]
    recommended: AgentInfo | None
    mode: str
    """`recommended`, `all` or `off`."""
    enabled: bool
    why_not: str = ""
    """Why nothing can be run here (restricted mode); shown instead of a run lens."""
    settings: Settings | None = None
    """What the choice of an agent for a task follows; None where there is nothing to choose from."""
    pasts: Mapping[str, choice.Past] = field(default_factory=dict)
    """Task file → what became of its tasks so far."""
    past: choice.Past = choice.NO_PAST

    def in_file(self, path: str) -> Offer:
        """The offer for the tasks of one file; equal for as long as nothing that decides there changes."""
        return replace(self, past=self.pasts.get(path, choice.NO_PAST), pasts={})

    def agent_for(self, task: Task) -> AgentInfo | None:
        """The agent that a plain click runs this task with, as the engine would choose it."""
        if self.settings is None:
            return self.recommended
        try:
            chosen = choice.choose(task, self.agents, self.settings, self.past)
        except RunRefused:
            return self.recommended  # the click says what the task asks for and why it cannot be had
        return chosen.agent if chosen is not None else None


def lenses(uri: str, task_list: TaskList, runs: Mapping[str, LiveRun], offer: Offer, now: datetime) -> list[Lens]:
    """The lenses of a task file, in the order of its lines."""
    selectors, waits = tasks.selectors(task_list), waiting(uri, task_list)
    found: list[Lens] = []
    for task in task_list.tasks:
        above = lenses_of(task, runs.get(task.key), {"uri": uri, "task": selectors[task.key]}, offer, now)
        if above and task.key in waits and task.key not in runs:
            above.append(waits[task.key])
        found += above
    return found


def waiting(uri: str, task_list: TaskList) -> dict[str, Lens]:
    """By key what is said of a task that the file lets depend on an open one. A click shows that one.

    Of a task that only stands behind others nothing is said, nor in a very long file; where the pointer rests, all is said.
    """
    if len(task_list.tasks) > WAITING_AT_MOST or not any(task.depends_on for task in task_list.tasks):
        return {}
    from kiro_lsp.spec.order import order_of  # the first lens of most files need not wait for it

    order, selectors = order_of(task_list), tasks.selectors(task_list)
    found = {}
    for task in task_list.tasks:
        other = order.waits_for(task)
        if other is not None:
            name = other.id if other.id is not None else f"“{_short(other.title)}”"
            shown = {"uri": uri, "task": selectors[other.key]}
            found[task.key] = Lens(task.line, f"waits for {name}", "kiroLsp.showTasks", shown)
    return found


def lenses_of(task: Task, run: LiveRun | None, about: Mapping[str, str], offer: Offer, now: datetime) -> list[Lens]:
    """The lenses of one task; `about` names it to commands (`uri`, `task`)."""
    if offer.mode == "off":
        return []
    found = _of_run(task, run, about["uri"], now) if run is not None else []
    return [*found, *_to_run(task, run, about, offer)]


def _of_run(task: Task, run: LiveRun, uri: str, now: datetime) -> list[Lens]:
    line, of = task.line, {"runId": run.run_id}
    if run.state == "waiting" and run.question is not None:
        asked = run.question.title.splitlines()[0] if run.question.kind == "consent" else _asked(run)
        return [
            Lens(line, f"? {run.label} asks: {_short(asked)}", "kiroLsp.openReview", of),
            Lens(line, "Stop", "kiroLsp.cancelRun", of),
        ]
    if run.state in _RUNNING or run.state == "waiting":
        return [Lens(line, f"● {' · '.join(_live_parts(run, now))} — Stop", "kiroLsp.cancelRun", of)]
    if run.state in _PENDING or (run.state in _LEFT and run.files):
        what = "Conflict, review" if run.state == "conflict" else "Review"
        return [
            Lens(line, f"{what} {_count(run.files)}", "kiroLsp.openReview", of),
            Lens(line, "Accept", "kiroLsp.accept", of),
            Lens(line, "Reject", "kiroLsp.reject", of),
            *([Lens(line, "Retry", "kiroLsp.retryRun", of)] if run.state in _LEFT else []),
            *_verdict(run, line),
            *_cost(run, line),
        ]
    if run.state == "applied":
        more = {"uri": uri, "task": tasks.selector_of_key(task.key)}
        return [
            Lens(line, "✓ View changes", "kiroLsp.openReview", of),
            Lens(line, "⋯", "kiroLsp.pickAgent", more),
            *_cost(run, line),
        ]
    if run.state in _LEFT:
        ended = f"✗ {run.label} {_ended(run.state)} — Retry"
        return [Lens(line, ended, "kiroLsp.retryRun", of), *_cost(run, line)]
    return []


def _to_run(task: Task, run: LiveRun | None, about: Mapping[str, str], offer: Offer) -> list[Lens]:
    """The run lenses of an open task that nothing is going on with."""
    if not offer.enabled or (
        run is not None and (run.state in _RUNNING | _PENDING or run.state in ("waiting", "applied"))
    ):
        return []
    if run is not None and run.state in _LEFT and run.files:
        return []
    if task.status in ("done", "blocked") or task.criterion or task.withdrawn:
        return []
    if offer.why_not:
        return [Lens(task.line, f"▶ {offer.why_not}", "kiroLsp.trustWorkspace", {})]
    recommended = offer.agent_for(task)
    if recommended is None:
        recorded = next((agent for agent in offer.agents if agent.way == "replay" and agent.available), None)
        pair = [Lens(task.line, f"▶ Run with {_everyday(offer)} (set up)", "kiroLsp.doctor", {})]
        if recorded is not None:
            pair.append(Lens(task.line, "▶ Try it (recorded)", "kiroLsp.runTask", {**about, "agent": recorded.name}))
        return pair
    found = [Lens(task.line, f"▶ Run with {recommended.label}", "kiroLsp.runTask", about)]
    if offer.mode == "all":
        others = [agent for agent in offer.agents if agent.available and agent.name != recommended.name]
        found += [
            Lens(task.line, f"▶ {agent.label}", "kiroLsp.runTask", {**about, "agent": agent.name})
            for agent in others[: SHOWN_AGENTS - 1]
        ]
    return [*found, Lens(task.line, "⋯", "kiroLsp.pickAgent", about)]


def _everyday(offer: Offer) -> str:
    if offer.settings is not None and offer.settings.kiro.coder_mode == "kiro":
        return next((agent.label for agent in offer.agents if agent.type == "kiro"), "Kiro")
    return next((agent.label for agent in offer.agents if agent.way != "replay"), "Claude")


def _live_parts(run: LiveRun, now: datetime) -> list[str]:
    seconds = max(0, int((now - datetime.fromisoformat(run.started_at)).total_seconds()))
    parts = [run.label, _short(run.phase or run.state), f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"]
    return [*parts, run.used] if run.used else parts


def _cost(run: LiveRun, line: int) -> list[Lens]:
    """What a run has cost, beside what can be done with it; nothing where nothing was used."""
    return [Lens(line, run.used, "kiroLsp.openReview", {"runId": run.run_id})] if run.used else []


def _verdict(run: LiveRun, line: int) -> list[Lens]:
    """What is known of whether the change was verified; nothing where no command was to say so."""
    of = {"runId": run.run_id}
    if run.state == "verifying":
        return [Lens(line, "● verifying… — Stop", "kiroLsp.cancelRun", of)]
    if run.verified is None:
        return []
    if run.verified:
        return [Lens(line, "✓ verified", "kiroLsp.openReview", of)]
    failed = [Lens(line, "✗ verify failed", "kiroLsp.openReview", of)]
    return [*failed, Lens(line, "Repair", "kiroLsp.repairRun", of)] if run.state == "review" else failed


def _asked(run: LiveRun) -> str:
    detail = run.question.detail if run.question is not None else None
    return f"run {' '.join(detail.argv)}" if detail is not None else (run.question.title if run.question else "")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _TITLE_CHARACTERS else line[: _TITLE_CHARACTERS - 1] + "…"


def _count(files: int) -> str:
    return "1 file" if files == 1 else f"{files} files"


def _ended(state: str) -> str:
    return {"budget": "stopped at the budget"}.get(state, state)


def now_utc() -> datetime:
    return datetime.now(UTC)


def to_wire(found: Sequence[Lens]) -> list[dict[str, Any]]:
    """CodeLens objects, complete: a client that would resolve every one has nothing to ask."""
    return [
        {
            "range": {"start": {"line": lens.line, "character": 0}, "end": {"line": lens.line, "character": 1}},
            "command": {
                "title": lens.title,
                "command": lens.command,
                **({} if lens.argument is None else {"arguments": [lens.argument]}),
            },
        }
        for lens in found
    ]
