"""The agent's own session, opened again in a terminal: the person works with it, in the run's copy.

The program gets a pseudo terminal (sandbox/pseudo_terminal.py) and never the person's; what it leaves in the copy is staged
as any run's work. Who shows the terminal is the face's business.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kiro_lsp.errors import ExecutorError
from kiro_lsp.events import Phase, Session
from kiro_lsp.executors.metering import metered
from kiro_lsp.executors.program_failures import Program, talking
from kiro_lsp.executors.protocol import ExecutorRequest, ExecutorResult, RunContext
from kiro_lsp.executors.ways import needs_of
from kiro_lsp.settings import AgentSettings

if TYPE_CHECKING:
    from kiro_lsp.sandbox.processes import Conversation

_TERMINAL = ("TERM", "COLORTERM", "LANG", "LC_ALL", "LC_CTYPE")
"""What a program wants to know of the terminal that it is shown in."""


class AttachedExecutor:
    """`show` brings the program's terminal before the person, and returns when the program has ended."""

    def __init__(
        self, show: Callable[[Conversation], Awaitable[int]], size: tuple[int, int], environ: Mapping[str, str]
    ) -> None:
        self._show, self._size, self._environ = show, size, environ

    async def execute(self, request: ExecutorRequest, run: RunContext) -> ExecutorResult:
        """As Executor.execute. Raises ExecutorError."""
        agent = request.agent
        session = request.resume.session_id if request.resume is not None else None
        if agent is None or session is None or not agent.continue_command:
            raise ExecutorError(
                "agent", "There is no session of this agent to open.", hint="Comment on the change instead."
            )
        environ = {**agent.env, **request.environ}
        shown_in = {name: self._environ[name] for name in _TERMINAL if name in self._environ}
        program, *rest = _command(agent, session, self._environ)
        async with metered(run, agent, environ) as meter:
            needs = meter.needs(needs_of(agent))
            async with run.workplace(replace(needs, programs=(*needs.programs, program))) as place:
                run.emit(Phase("running", f"{agent.label or agent.name} in a terminal"))
                argv = [*_on_a_terminal(self._size), program, *meter.args, *rest]
                shown = {**environ, **shown_in, **meter.environ}
                async with talking(place, argv, shown, Program.of(agent)) as pipes:
                    code = await self._show(pipes)
        run.emit(Session(session))
        said = "" if code == 0 else f" It ended with exit code {code}."
        return ExecutorResult(True, stop_reason="end_turn", summary=f"Continued in a terminal.{said}")


def _on_a_terminal(size: tuple[int, int]) -> list[str]:
    # As text, so that nothing but the interpreter must be readable in the copy.
    from kiro_lsp.sandbox import pseudo_terminal

    source = Path(pseudo_terminal.__file__).read_text("utf-8")
    return [sys.executable, "-I", "-S", "-c", source, *map(str, size)]


def _command(agent: AgentSettings, session: str, environ: Mapping[str, str]) -> list[str]:
    """The argument list; its program is the configured one where that is the same by name."""
    program, *rest = agent.continue_command or ()
    configured = agent.command or ""
    if Path(configured).name == program:
        program = configured
    found = shutil.which(program, path=environ.get("PATH")) or program
    return [found, *(part.replace("{session}", session) for part in rest)]
