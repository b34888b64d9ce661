"""Agents that speak the Agent Client Protocol: a program of somebody else that works in a copy of the project.

What is said to it is brief.py, one task in it acp_turn.py, the conversation acp_session.py, its wire acp_wire.py (which alone
knows the SDK), what it says and asks acp_updates.py, acp_permissions.py and acp_terminals.py. Which program, and what it needs
of its place, says the agent's TOML file; another agent is another file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kiro_lsp.executors import acp_turn
from kiro_lsp.executors.metering import metered
from kiro_lsp.executors.protocol import ExecutorRequest, ExecutorResult, RunContext
from kiro_lsp.executors.ways import needs_of
from kiro_lsp.executors.worker import WorkerPool
from kiro_lsp.settings import AgentSettings

if TYPE_CHECKING:
    from kiro_lsp.executors.acp_session import Patience


class AcpExecutor:
    """`environ` is where its key is looked up when the request brings no environment, for an agent that is paid by use."""

    def __init__(
        self,
        agent: AgentSettings,
        workers: WorkerPool | None = None,  # noqa: ARG002  # every executor is made alike
        environ: Mapping[str, str] | None = None,
        *,
        patience: Patience | None = None,
    ) -> None:
        self._agent = agent
        self._environ = environ or {}
        self._patience = patience

    async def execute(self, request: ExecutorRequest, run: RunContext) -> ExecutorResult:
        """As Executor.execute. Raises ExecutorError."""
        agent = request.agent or self._agent
        texts = acp_turn.texts_of(request)  # a request without a task starts nothing
        environ = {**agent.env, **(request.environ or self._environ)}
        async with metered(run, agent, environ) as meter, run.workplace(meter.needs(needs_of(agent))) as place:
            argv = (agent.command or "", *(agent.args or ()), *meter.args)
            turn = acp_turn.Turn(agent, request, run, place, meter, self._patience)
            return await turn.carried_out(argv, environ, texts)
