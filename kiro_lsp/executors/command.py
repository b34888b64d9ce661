"""Agents that are run for one answer: a program gets the prompt, works in a copy of the project, says line by line what it does.

Which program, with which arguments, says the agent's TOML file; what its lines mean, a module of streams/. So another agent
is another file, and another format another module.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson

from kiro_lsp.budget import Usage
from kiro_lsp.errors import ExecutorError
from kiro_lsp.events import Chunk, Phase, Session
from kiro_lsp.executors import brief
from kiro_lsp.executors.acp_updates import Updates
from kiro_lsp.executors.metering import Meter, metered
from kiro_lsp.executors.program_failures import Program, failed, kind_of, not_logged_in, talking
from kiro_lsp.executors.protocol import ExecutorRequest, ExecutorResult, RunContext, Workplace
from kiro_lsp.executors.streams import Lines, Told, reader_of
from kiro_lsp.executors.ways import needs_of
from kiro_lsp.executors.worker import WorkerPool
from kiro_lsp.sandbox.processes import Conversation
from kiro_lsp.settings import AgentSettings

_READ: Final = 256 * 1024
_ABSORBING_SHARE: Final = 4
"""A look at a copy that took long is not repeated before so many times as long."""
_SAID: Final = 2000


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds a program is waited for."""

    offline: float = 45.0
    """While it waits for a network, which some do without an end."""
    end: float = 10.0
    """To end, after it has said that it is done."""


class CommandExecutor:
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
        self._patience = patience or Patience()

    async def execute(self, request: ExecutorRequest, run: RunContext) -> ExecutorResult:
        """As Executor.execute. Raises ExecutorError."""
        agent = request.agent or self._agent
        prompt = _prompt(request)  # a request without a task starts nothing
        reader_of(agent.stream or "")
        environ = {**agent.env, **(request.environ or self._environ)}
        session = request.resume.session_id if request.resume is not None else None
        async with metered(run, agent, environ) as meter, run.workplace(meter.needs(needs_of(agent))) as place:
            run.emit(Phase("starting", agent.label or agent.name))

            def turn() -> _Turn:
                return _Turn(Program.of(agent, request.redact), agent, run, place, meter, self._patience)

            if session is not None and agent.resume_args:
                again = turn()
                try:
                    return await again.carried_out(brief.resumed_text(request, in_session=True), environ, session)
                except ExecutorError as error:
                    # The session may be gone, or belong to a copy that was in another folder: then all is told again.
                    if again.told.began or error.kind != "agent":
                        raise
            return await turn().carried_out(prompt, environ, None)


@dataclass(slots=True)
class _Turn:
    """One run of the program, from its start to its end."""

    program: Program
    agent: AgentSettings
    run: RunContext
    place: Workplace
    meter: Meter
    patience: Patience
    told: Told = field(init=False)
    _updates: Updates = field(init=False)
    _usage: Usage = field(default_factory=Usage)
    _changed: set[str] = field(default_factory=set)
    _touches: asyncio.Event = field(default_factory=asyncio.Event)
    _session: str | None = None
    _waits: str = ""
    _deadline: float | None = None

    def __post_init__(self) -> None:
        self.told = reader_of(self.agent.stream or "")
        self._updates = Updates(self.run.emit, self.place.relative, self._touches.set)

    async def carried_out(self, prompt: str, environ: Mapping[str, str], session: str | None) -> ExecutorResult:
        """Run the program to its end. Raises ExecutorError when the work did not succeed, whatever its exit code says."""
        prompt = self.program.redact(prompt)
        self.told.resumed = session is not None
        argv, by_argument = self._arguments(prompt, session)
        copied = {} if self._sandboxed else self.agent.copy_env or {}
        environ = {**environ, **copied, **self.meter.environ}
        async with talking(self.place, argv, environ, self.program) as pipes:
            code = await self._work(pipes, "" if by_argument else prompt)
            errors = pipes.errors()
        await self._absorb()
        self._judge(code, errors)
        return self._result()

    @property
    def _sandboxed(self) -> bool:
        """Whether our own sandbox holds the program, so that its own questions protect nothing more."""
        return self.place.level == "bubblewrap"

    def _arguments(self, prompt: str, session: str | None) -> tuple[list[str], bool]:
        """The argument list, and whether the prompt is in it. Otherwise it comes by the standard input."""
        agent = self.agent
        templates = [
            *(agent.args or ()),
            *((agent.sandbox_args if self._sandboxed else agent.copy_args) or ()),
            *((agent.model_args or ()) if agent.model else ()),
            *self.meter.args,
            *((agent.resume_args or ()) if session else ()),
        ]
        values = {"{model}": agent.model or "", "{session}": session or "", "{prompt}": prompt}
        filled = [self.program.command]
        for template in templates:
            place = next((name for name in values if name in template), None)
            filled.append(template if place is None else template.replace(place, values[place]))
        return filled, any("{prompt}" in template for template in templates)

    async def _work(self, pipes: Conversation, prompt: str) -> int | None:
        """Tell it the prompt and listen until it ends; its exit code, None for one that does not end by itself."""
        loop = asyncio.get_running_loop()
        telling = asyncio.create_task(_tell(pipes, prompt))
        absorbing = asyncio.create_task(self._absorb_while_working())
        listening = asyncio.create_task(self._listen(pipes))
        try:
            while not listening.done():
                limit = None if self._deadline is None else max(self._deadline - loop.time(), 0.01)
                # Every second, for what a deadline may have become, and for what it says besides.
                await asyncio.wait(
                    {listening, absorbing}, timeout=min(limit or 1.0, 1.0), return_when="FIRST_COMPLETED"
                )
                self._look_at_errors(pipes.errors())
                if absorbing.done():
                    absorbing.result()
                if self._deadline is not None and loop.time() >= self._deadline and not listening.done():
                    self._give_up()
                    return None
            listening.result()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.patience.end):
                    return await pipes.ended()
            return None
        finally:
            for each in (telling, absorbing, listening):
                each.cancel()
            await asyncio.wait((telling, absorbing, listening))

    async def _listen(self, pipes: Conversation) -> None:
        lines = Lines()
        data = b"begin"
        while data:
            data = await pipes.stdout.read(_READ)
            for line in lines.feed(data):
                for shown in self.told.read(line):
                    if isinstance(shown, Phase):
                        self._updates.doing(shown)
                    else:
                        self._updates.take(shown)
                self._look_at_state()
            await self._charge()

    def _look_at_state(self) -> None:
        """What the last line has changed, besides what was shown."""
        told = self.told
        if told.session_id is not None and told.session_id != self._session:
            self._session = told.session_id
            self.run.emit(Session(told.session_id))
        patience = self.patience.end if told.over else self.patience.offline if told.offline else None
        if patience is None:
            self._deadline = None
        elif self._deadline is None:
            self._deadline = asyncio.get_running_loop().time() + patience

    def _look_at_errors(self, errors: str) -> None:
        waits = self.told.waiting(errors)
        if waits and waits != self._waits:
            self._waits = waits
            self._updates.doing(Phase("waiting", waits))

    def _give_up(self) -> None:
        """It waits for a network for ever; or it is done and does not end, which costs nobody anything."""
        if not self.told.over:
            said = self.told.failure.said if self.told.failure is not None else ""
            what = f"{self.program.label} finds no network for {self.patience.offline:g} s and was stopped"
            raise failed(self.program, what, said, kind="network")

    async def _charge(self) -> None:
        """Count what was answered. Raises BudgetExceeded when that passes a cap, which ends the program."""
        while self.told.usages:
            model, usage = self.told.usages.pop(0)
            self._usage += usage
            async with self.meter.spend(model or self.agent.model or "", usage) as spending:
                await spending.used(usage)

    # What changes in the workplace

    async def _absorb_while_working(self) -> None:
        """Files that may have changed are staged while the work goes on."""
        loop = asyncio.get_running_loop()
        while await self._touches.wait():
            self._touches.clear()
            started = loop.time()
            await self._absorb()
            await asyncio.sleep((loop.time() - started) * _ABSORBING_SHARE)

    async def _absorb(self) -> None:
        self._changed.update(change.path for change in await self.place.absorb())

    # How it ended

    def _judge(self, code: int | None, errors: str) -> None:
        """Raises ExecutorError when the work failed. The stream is believed, not the exit code: those lie both ways."""
        program, told = self.program, self.told
        if told.failure is not None:
            kind = told.failure.kind or kind_of(told.failure.said)
            if kind == "auth":
                raise self._refused(told.failure.said)
            raise failed(program, f"{program.label} failed", told.failure.said, kind=kind)
        if told.over:
            return
        said = errors.strip()[-_SAID:]
        kind = told.exited(code or 0) or kind_of(said)
        if kind == "auth":
            raise self._refused(said)
        how = "" if code is None else f" (exit code {code})"
        raise failed(program, f"{program.label} ended before it was done{how}", said, kind=kind)

    def _refused(self, said: str) -> ExecutorError:
        """Who it was that it worked for, was not accepted."""
        if self.agent.billing != "metered":
            return not_logged_in(self.program, said)
        key = self.agent.api_key_env or "its key"
        shown = self.program.shown(said)
        return ExecutorError(
            "auth", f"{self.program.label} was refused: {shown}", hint=f"Check {key} of [agents.{self.agent.name}]."
        )

    def _result(self) -> ExecutorResult:
        told = self.told
        if told.denied:
            listed = ", ".join(dict.fromkeys(told.denied))[:_SAID]
            self.run.emit(Chunk(f"\n[not allowed here, and left out: {listed}]\n"))
        return ExecutorResult(
            success=True,
            changed_files=tuple(sorted(self._changed)),
            logs=(f"agent: {self.program.command}", f"session: {told.session_id or 'none'}"),
            stop_reason="end_turn",
            usage=self._usage,
            summary=_last_paragraph(told.summary or self._updates.said)
            or f"{self.program.label} ended without a closing word.",
        )


def _prompt(request: ExecutorRequest) -> str:
    """All that the program is told. Raises ExecutorError when the request has no task."""
    texts: Sequence[str] = (*brief.stable_texts(request), *brief.task_texts(request))
    if request.schema is not None:
        texts = (*texts, f"The form of the answer, as JSON Schema:\n{orjson.dumps(dict(request.schema)).decode()}")
    return "\n\n".join(texts)


async def _tell(pipes: Conversation, prompt: str) -> None:
    """One that ends before it has read everything has its reasons, and says them elsewhere."""
    with contextlib.suppress(ConnectionError):
        pipes.stdin.write(prompt.encode("utf-8", "replace"))
        await pipes.stdin.drain()
    pipes.stdin.close()


def _last_paragraph(text: str) -> str:
    paragraphs = [part.strip() for part in text.split("\n\n") if part.strip()]
    return paragraphs[-1][:_SAID] if paragraphs else ""
