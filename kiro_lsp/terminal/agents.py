"""`agents`: every agent with the ways behind its name, whether each can be used here, and why; and who would do a task.

Nothing is sent to any agent. In a trusted project installed programs are asked for their version and servers of your own
whether they are there, both within seconds and without a key; in others nobody is asked anything.
"""

from __future__ import annotations

import argparse

from kiro_lsp.budget import about
from kiro_lsp.engine.pick import pasts_in
from kiro_lsp.engine.prices import estimates
from kiro_lsp.engine.wire import agent_json, choice_json
from kiro_lsp.executors import choice
from kiro_lsp.executors.protocol import AgentInfo
from kiro_lsp.spec import tasks
from kiro_lsp.terminal.console import Console, visible
from kiro_lsp.terminal.project import Project, open_project

_NONE = "No agent is available here. What to do: kiro-lsp doctor. Without a key: kiro-lsp demo"


def agents(args: argparse.Namespace, console: Console) -> int:
    """List every agent, whether it is available, and why; or explain a choice."""
    if args.explain is not None:
        path, selector = args.explain
        return explain(path, selector, console)
    with open_project(args.root) as project:
        known = project.workspace.agents(thorough=True)
        recommended = project.workspace.recommended()
        is_trusted = project.workspace.trust() != "untrusted"
    if console.json:
        console.value([agent_json(info, recommended) for info in known])
        return 0
    for info in known:
        _print(info, recommended is not None and info.name == recommended.name, console)
    if not is_trusted:
        console.say("This project is not trusted: no program was asked for its version, no server whether it is there.")
    if recommended is None:
        console.say(_NONE)
    return 0


def _print(info: AgentInfo, is_recommended: bool, console: Console) -> None:
    state = "ready" if info.available else "not available"
    star = "*" if is_recommended else " "
    several = len(info.ways) > 1
    why = "" if several else f": {visible(info.reason)}"  # else it stands beside its way
    console.line(f"{star} {info.name:<12} {info.label:<12} {info.way:<7} {info.model or '-':<20} {state}{why}")
    for way in info.ways if several else ():
        sign = ">" if way.in_use else " "
        console.line(f"    {sign} {way.way:<7} {way.command or way.type:<18} {visible(way.reason)}")
    if info.traces:
        console.line(f"      this project has {visible(', '.join(info.traces))}")


def explain(path: str, selector: str, console: Console) -> int:
    """Which agent a task would get and why; 1 when none is available. No model is asked."""
    with open_project(path) as project:
        settings = project.workspace.settings().settings
        known = project.workspace.agents()
        file = project.read_tasks(path)
        task = tasks.find(file.tasks, selector)
        chosen = choice.choose(task, known, settings, _past(project, file.path))
        picked = [chosen.agent] if chosen is not None else []
        cost = next(iter(estimates(project.workspace, file.path, selector, picked).values()), None)
    asks = settings.routing.classifier_model if choice.depends_on_kind(task, known, settings) else ""
    if console.json:
        console.value(choice_json(task, chosen, cost) | {"asksFirst": asks or None})
    elif chosen is not None:
        analysis, agent = chosen.analysis, chosen.agent
        guess = (
            f" (guess, {analysis.confidence:.0%} sure)" if analysis.is_guess else f" ({analysis.confidence:.0%} sure)"
        )
        more = [*(["asks for thought"] if analysis.reasoning else []), *(["has tests"] if analysis.has_tests else [])]
        console.line(f"{task.key} {visible(task.title)}")
        console.line(f"  agent   {agent.name} by {agent.way} {agent.model}".rstrip())
        console.line(f"  because {visible(chosen.reason)}")
        console.line(f"  kind    {', '.join([analysis.kind, analysis.complexity, *more])}{guess}")
        if cost is not None:
            ceiling = settings.cost.max_cost_per_run
            console.line(f"  cost    {about(cost)} (a guess), at most ${ceiling} a run")
        if asks:
            console.line(f"  a run asks {visible(asks)} first (routing.classifier_model), which may decide otherwise")
    if chosen is None:
        console.say(_NONE)
    return 0 if chosen is not None else 1


def _past(project: Project, path: str) -> choice.Past:
    return pasts_in(project.store, project.workspace.real_root).get(path, choice.NO_PAST)
