"""Kiro's command-line agent: a session by ACP where the program speaks it, else one answer of its chat.

Who calls sees neither the program nor which of the two it was. What it is told is brief.py, byte for byte what `kiro-lsp prompt`
prints where there is a spec. It works in a copy of the project; its own questions are switched off only where our own
sandbox holds it. Kiro CLI could not be had for tests: this follows its documentation.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, cast

from kiro_lsp.errors import ExecutorError
from kiro_lsp.events import Chunk, Phase
from kiro_lsp.executors import acp_turn, brief
from kiro_lsp.executors.metering import metered
from kiro_lsp.executors.program_failures import NOT_STARTED, Program, failed, kind_of, not_logged_in, not_started
from kiro_lsp.executors.protocol import ExecutorRequest, ExecutorResult, Question, RunContext, Workplace
from kiro_lsp.executors.ways import needs_of
from kiro_lsp.executors.worker import WorkerPool
from kiro_lsp.sandbox.processes import Finished
from kiro_lsp.settings import AgentSettings, Settings

if TYPE_CHECKING:
    from kiro_lsp.executors.metering import Meter

log = logging.getLogger(__name__)

ACP_SINCE: Final = (1, 25)
"""The first version with `kiro-cli acp`."""
ARGUMENT_BYTES: Final = 120_000
"""Of the prompt, which the chat takes as an argument: Linux passes no longer one than 128 KiB."""
_VERSION_SECONDS: Final = 30.0
_SAID: Final = 2000
_LOG_LINES: Final = 50
_ESCAPES: Final = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])|[\x00-\x08\x0b-\x1f\x7f]"
)
_VERSION: Final = re.compile(r"(\d+)\.(\d+)")


class KiroExecutor:
    """`environ` is where its key is looked up when the request brings no environment, for one that is paid by use."""

    def __init__(
        self,
        agent: AgentSettings,
        workers: WorkerPool | None = None,  # noqa: ARG002  # every executor is made alike
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._agent = agent
        self._environ = environ or {}

    async def execute(self, request: ExecutorRequest, run: RunContext) -> ExecutorResult:
        """As Executor.execute. Raises ExecutorError, of kind "timeout" at `execution.kiro_session_timeout`."""
        agent = request.agent or self._agent
        prompt = prompt_of(request)  # a request without a task starts nothing
        seconds = (request.settings or Settings()).execution.kiro_session_timeout
        log.info("kiro: session of run %s begins, %d s at most", run.run_id, seconds)
        try:
            async with _limited(run, seconds) as clocked:
                result = await self._session(agent, request, clocked, prompt)
        except BaseException as error:
            log.info("kiro: session of run %s failed: %s", run.run_id, type(error).__name__)
            raise
        changed = f"kiro: changed {', '.join(result.changed_files) or 'no files'}"
        log.info("kiro: session of run %s ended; %s", run.run_id, changed)
        return replace(result, logs=("kiro: session begins", *result.logs, "kiro: session ended", changed))

    async def _session(
        self, agent: AgentSettings, request: ExecutorRequest, run: RunContext, prompt: str
    ) -> ExecutorResult:
        environ = {**agent.env, **(request.environ or self._environ)}
        async with metered(run, agent, environ) as meter, run.workplace(meter.needs(needs_of(agent))) as place:
            if await _speaks_acp(agent, place, environ):
                argv = (agent.command or "", *(agent.args or ()), "acp")
                turn = acp_turn.Turn(agent, request, run, place, meter)
                return await turn.carried_out(argv, environ, acp_turn.texts_of(request))
            return await _Chat(agent, request, run, place, meter).carried_out(prompt, environ)


def prompt_of(request: ExecutorRequest) -> str:
    """What the chat is told: system text, documents, task. Where that is too long for an argument, the names of the documents,
    which lie in its folder. Raises ExecutorError when there is no task, or when that is too long too.
    """
    whole = "\n\n".join(acp_turn.texts_of(request))
    if len(whole.encode("utf-8", "replace")) <= ARGUMENT_BYTES:
        return whole
    prompt = request.prompt
    if prompt is not None and prompt.shared:
        listed = "\n".join(
            ["Read these documents of the spec first:", *(f"- {each.path}" for each in prompt.documents)]
        )
        whole = "\n\n".join((prompt.system, listed, *brief.task_texts(request)))
    if len(whole.encode("utf-8", "replace")) > ARGUMENT_BYTES:
        raise ExecutorError(
            "max-tokens",
            f"The task is longer than the {ARGUMENT_BYTES // 1000} kB that Kiro's chat takes.",
            hint="Split the task, or update Kiro CLI: from version 1.25 on it takes longer ones.",
        )
    return whole


async def _speaks_acp(agent: AgentSettings, place: Workplace, environ: Mapping[str, str]) -> bool:
    """By its version. One that says none is spoken to as the oldest."""
    argv = (agent.command or "", *(agent.args or ()), "--version")
    try:
        told = await place.run(argv, extra_env=environ, timeout=_VERSION_SECONDS)
    except NOT_STARTED as error:
        raise not_started(Program.of(agent), error) from error
    found = _VERSION.search(told.output) if told.exit_code == 0 else None
    return found is not None and (int(found[1]), int(found[2])) >= ACP_SINCE


@dataclass(slots=True)
class _Chat:
    """`kiro-cli chat --no-interactive PROMPT`: what it prints is what it says; what it changed is seen in its folder."""

    agent: AgentSettings
    request: ExecutorRequest
    run: RunContext
    place: Workplace
    meter: Meter
    _rest: str = ""
    _said: list[str] = field(default_factory=list)

    async def carried_out(self, prompt: str, environ: Mapping[str, str]) -> ExecutorResult:
        """Raises ExecutorError when the program says by its exit code that it failed."""
        program = Program.of(self.agent, self.request.redact)
        self.run.emit(Phase("starting", program.label))
        try:
            ended = await self.place.run(
                self._arguments(program.redact(prompt)),
                extra_env={"NO_COLOR": "1", "TERM": "dumb", **environ, **self.meter.environ},
                on_output=self._hear,
            )
        except NOT_STARTED as error:
            raise not_started(program, error) from error
        self._hear("\n" if self._rest else "")
        changed = {change.to or change.path for change in await self.place.absorb()}
        self._judge(program, ended)
        # Its last answer begins with `> `; before that stands what it did.
        said = "\n".join(["", *self._said]).rpartition("\n> ")[2]
        return ExecutorResult(
            success=True,
            changed_files=tuple(sorted(changed)),
            logs=tuple(line for line in self._said[-_LOG_LINES:] if line.strip()),
            stop_reason="end_turn",
            summary=acp_turn.last_paragraph(said) or f"{program.label} ended without a closing word.",
        )

    def _arguments(self, prompt: str) -> list[str]:
        agent = self.agent
        held = self.place.level == "bubblewrap"
        return [
            agent.command or "",
            *(agent.args or ()),
            "chat",
            "--no-interactive",
            *((agent.sandbox_args if held else agent.copy_args) or ()),
            *(argument.replace("{model}", agent.model or "") for argument in (agent.model_args or ()) if agent.model),
            prompt,
        ]

    def _hear(self, text: str) -> None:
        """Whole lines, without what only a terminal understands."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            plain = _ESCAPES.sub("", line)
            self._said.append(plain)
            self.run.emit(Chunk(plain + "\n"))

    def _judge(self, program: Program, ended: Finished) -> None:
        if ended.exit_code == 0:
            return
        said = "\n".join(self._said)[-_SAID:]
        kind = kind_of(said)
        if kind == "auth":
            raise not_logged_in(program, said)
        raise failed(program, f"{program.label} failed (exit code {ended.exit_code})", said, kind=kind)


@asynccontextmanager
async def _limited(run: RunContext, seconds: float) -> AsyncIterator[RunContext]:
    """The run with a time limit of its own. Raises ExecutorError when it is over."""
    try:
        async with asyncio.timeout(seconds) as timeout:
            yield cast("RunContext", _Clocked(run, timeout))
    except TimeoutError as error:
        if not timeout.expired():
            raise
        raise ExecutorError(
            "timeout",
            f"The session of Kiro was stopped after {seconds:g} s (execution.kiro_session_timeout).",
            hint="What it changed until then can be reviewed. Raise the limit in your own configuration, or retry.",
        ) from error


class _Clocked:
    """A run whose questions to the person stop the clock; everything else is the run's own."""

    def __init__(self, run: RunContext, timeout: asyncio.Timeout) -> None:
        self._run, self._timeout = run, timeout

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)

    async def ask(self, question: Question) -> str:
        with self._stopped():
            return await self._run.ask(question)

    @contextlib.contextmanager
    def _stopped(self) -> Any:
        loop = asyncio.get_running_loop()
        deadline = self._timeout.when()
        self._timeout.reschedule(None)
        before = loop.time()
        try:
            yield
        finally:
            self._timeout.reschedule(None if deadline is None else deadline + loop.time() - before)
