"""One task of an agent that speaks ACP: its program started in its place, told the task, counted, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from kiro_lsp.budget import Usage
from kiro_lsp.errors import ErrorKind, ExecutorError
from kiro_lsp.events import Phase
from kiro_lsp.executors import brief
from kiro_lsp.executors.metering import Meter
from kiro_lsp.executors.program_failures import Program
from kiro_lsp.executors.protocol import ExecutorRequest, ExecutorResult, RunContext, StopReason, Workplace
from kiro_lsp.settings import AgentSettings

if TYPE_CHECKING:
    from kiro_lsp.executors.acp_session import AcpSession, Ended, Patience

_STOPS: Final[Mapping[str, tuple[ErrorKind, str, str]]] = {
    "max_tokens": ("max-tokens", "reached the limit of its answer", "Split the task, or raise the agent's limit."),
    "max_turn_requests": ("loop", "reached its limit of requests in one turn", "Retry to go on, or split the task."),
    "refusal": ("refusal", "refused the task", "Read the task's wording, or pick another agent or model."),
}
_SUMMARY: Final = 2000


@dataclass(frozen=True, slots=True)
class Turn:
    agent: AgentSettings
    request: ExecutorRequest
    run: RunContext
    place: Workplace
    meter: Meter
    patience: Patience | None = None

    async def carried_out(
        self, argv: tuple[str, ...], environ: Mapping[str, str], texts: tuple[str, ...]
    ) -> ExecutorResult:
        """Start the program and have it do the task. Raises ExecutorError."""
        # What the SDK's neighbours import is loaded with the first run, not with the list of agents.
        from kiro_lsp.executors import acp_session

        agent, request, run = self.agent, self.request, self.run
        program = Program.of(agent, request.redact)
        run.emit(Phase("starting", program.label))
        environ = {**environ, **self.meter.environ}
        async with acp_session.opened(run, self.place, program, argv, environ, patience=self.patience) as session:
            resume = request.resume.session_id if request.resume is not None else None
            await session.begin(
                resume=resume, model=agent.model or "", mode=agent.sandbox_mode, auth_method=agent.auth_method
            )
            if session.resumed:
                texts = (brief.resumed_text(request, in_session=True),)
            return await carried_out(session, agent, request, texts, self.meter)


async def carried_out(
    session: AcpSession, agent: AgentSettings, request: ExecutorRequest, texts: tuple[str, ...], meter: Meter
) -> ExecutorResult:
    """One turn in an open session, counted, and what came of it. Raises ExecutorError."""
    redact = request.redact or str
    if agent.billing == "metered" and not meter.counts and request.settings is not None:
        session.cost_cap = float(request.settings.cost.max_cost_per_run)
    session.updates.doing(Phase("thinking"))
    # What a program asks its provider for, only a proxy sees: else nothing is reserved, and what it used charged at its end.
    async with meter.spend(agent.model or session.model, Usage()) as spending:
        ended = await session.prompt([redact(text) for text in texts])
        if ended.usage is not None:
            await spending.used(ended.usage)
    logs = (f"agent: {session.agent or agent.command}", f"session: {session.session_id}")
    return ExecutorResult(
        success=True,
        changed_files=tuple(sorted(session.changed_files)),
        logs=logs,
        stop_reason=_stopped(ended, session.program, denied=session.permissions.denied),
        usage=ended.usage,
        summary=last_paragraph(ended.said) or "The agent ended without a closing word.",
    )


def texts_of(request: ExecutorRequest) -> tuple[str, ...]:
    texts = (*brief.stable_texts(request), *brief.task_texts(request))
    if request.schema is None:
        return texts
    return (*texts, f"The form of the answer, as JSON Schema:\n{orjson.dumps(dict(request.schema)).decode()}")


def _stopped(ended: Ended, program: Program, *, denied: bool) -> StopReason:
    """Why the turn ended, where that is no failure. Raises ExecutorError where it is one."""
    if ended.stop in _STOPS:
        kind, what, hint = _STOPS[ended.stop]
        said = f" It said: {program.shown(ended.said)}" if ended.said else ""
        raise ExecutorError(kind, f"{program.label} {what}.{said}", hint=hint)
    if ended.stop == "cancelled":
        if denied:  # some agents end their turn when they are told no
            return "cancelled"
        raise ExecutorError("agent", f"{program.label} gave up its turn.", hint="Retry; what was staged is kept.")
    return "end_turn"


def last_paragraph(text: str) -> str:
    """What an agent said last, as the summary of its work."""
    paragraphs = [part.strip() for part in text.split("\n\n") if part.strip()]
    return paragraphs[-1][:_SUMMARY] if paragraphs else ""
