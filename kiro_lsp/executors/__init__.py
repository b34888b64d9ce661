"""The executors layer: what carries a task out, behind one small interface.

Planners outside this project import from here; importing it imports no SDK and starts nothing:

    from kiro_lsp.executors import ExecutorRequest, LocalRun, agent_named

    async with LocalRun(root) as run:
        result = await agent_named("claude").execute(ExecutorRequest(root_dir=root, ticket_markdown=text), run)
        changes = run.changes()
"""

from __future__ import annotations

from kiro_lsp.errors import ExecutorError
from kiro_lsp.executors.local import LocalRun
from kiro_lsp.executors.protocol import (
    AgentInfo,
    CommandResult,
    Executor,
    ExecutorRequest,
    ExecutorResult,
    Question,
    Reply,
    Resume,
    RunContext,
    Spend,
)
from kiro_lsp.executors.registry import agent_named
from kiro_lsp.spec.intent import IntentContract

__all__ = [
    "AgentInfo",
    "CommandResult",
    "Executor",
    "ExecutorError",
    "ExecutorRequest",
    "ExecutorResult",
    "IntentContract",
    "LocalRun",
    "Question",
    "Reply",
    "Resume",
    "RunContext",
    "Spend",
    "agent_named",
]
