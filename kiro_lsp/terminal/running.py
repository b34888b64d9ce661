"""`run` and `retry`: one run from the command to its end, and to its review where someone is there to decide.

Ctrl-C cancels the run and waits until it has ended, so that no process is left. Questions are put to the person at the
terminal, to the program that reads our JSON, or, where there is neither, answered with no; a person may also answer
them in an editor, then the prompt here goes away.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kiro_lsp import events
from kiro_lsp.engine import checks, followup, repairs, verdicts
from kiro_lsp.engine.engine import Engine
from kiro_lsp.engine.execute import StartRun
from kiro_lsp.errors import KiroError, RunRefused, UnreadableFile, UsageError
from kiro_lsp.events import Envelope, Permission
from kiro_lsp.terminal.console import Console
from kiro_lsp.terminal.live import View, view_for
from kiro_lsp.terminal.project import BY, project_root, with_engine
from kiro_lsp.terminal.questions import AnswerLines, Choice, Terminal
from kiro_lsp.terminal.reviewing import after_run, path_in, reviewed

if TYPE_CHECKING:
    from kiro_lsp.engine.execute import TrustMode

INTERRUPTED = 130


def run(args: argparse.Namespace, console: Console) -> int:
    """Run one task. 0 when its review is pending, or with `--accept` when it was applied."""
    path: str = args.path
    if not os.path.isfile(path):
        raise UnreadableFile(f"There is no file {path!r}.", hint="Name a task file, such as .kiro/specs/NAME/tasks.md.")
    allowed = tuple(argv_of(text) for text in args.allow_command)
    root, file = project_root(path), os.path.abspath(path)

    async def start(engine: Engine, trust: TrustMode) -> str:
        verify = await asyncio.to_thread(verify_asked_for, engine, root, args)
        return await engine.start(
            StartRun(
                root,
                file,
                args.task,
                args.agent,
                args.model,
                note=args.note,
                trust=trust,
                confirmed=True,
                allowed_commands=allowed,
                by=BY,
                verify=verify,
            )
        )

    return with_engine(lambda engine: carry_out(engine, start, args, console))


def verify_asked_for(engine: Engine, root: Path, args: argparse.Namespace) -> tuple[str, ...] | None:
    """What `--verify` and `--no-verify` say; None for the configured command. Blocks. Raises RunRefused."""
    if args.verify is None:
        return () if args.no_verify else None
    configured = engine.workspace(root).asked_for().settings.execution.verify_command
    return checks.asked_for(args.verify, configured, root)


def retry(args: argparse.Namespace, console: Console) -> int:
    """Run the task of an earlier run again, from what that one left or from zero."""

    allowed = tuple(argv_of(text) for text in args.allow_command)

    async def start(engine: Engine, trust: TrustMode) -> str:
        return await followup.retry(
            engine, args.run, fresh=args.fresh, by=BY, confirmed=True, trust=trust, allowed_commands=allowed
        )

    return with_engine(lambda engine: carry_out(engine, start, args, console))


def follow_up(args: argparse.Namespace, console: Console) -> int:
    """`review RUN --comment` and `--repair`: the agent changes what a person, or the verify command, says of its changes;
    ends as a run does.
    """
    allowed = tuple(argv_of(text) for text in args.allow_command)

    async def start(engine: Engine, trust: TrustMode) -> str:
        record, found = reviewed(engine, args.run)
        if args.repair:
            return await repairs.asked_for(engine, record.run_id, by=BY, trust=trust, allowed_commands=allowed)
        path = None if args.file is None else path_in(found, record, args.file)
        return await followup.follow_up(
            engine,
            record.run_id,
            args.comment,
            path=path,
            hunk=args.hunk[0] if args.hunk else None,
            by=BY,
            confirmed=True,
            trust=trust,
            allowed_commands=allowed,
        )

    return with_engine(lambda engine: carry_out(engine, start, args, console))


async def commented(engine: Engine, run_id: str, text: str, console: Console) -> int:
    """The same from within a review at a terminal."""

    async def start(engine: Engine, trust: TrustMode) -> str:
        return await followup.follow_up(engine, run_id, text, by=BY, confirmed=True, trust=trust)

    return await carry_out(engine, start, argparse.Namespace(accept=False, trust=False), console)


def argv_of(text: str) -> tuple[str, ...]:
    """The argument list that `--allow-command` names. Raises UsageError when it cannot be read as one."""
    try:
        argv = tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"--allow-command {text!r}: {error}.", hint="Quote it as in a shell.") from error
    if not argv:
        raise UsageError("--allow-command names no command.", hint="For example: --allow-command 'pytest -q'")
    return argv


async def carry_out(
    engine: Engine,
    start: Callable[[Engine, TrustMode], Awaitable[str]],
    args: argparse.Namespace,
    console: Console,
    view: View | None = None,
) -> int:
    """Start a run, show it in `view`, have its questions answered, and bring its review before the person."""
    async with AsyncExitStack() as stack:
        terminal = None if console.json else stack.enter_context(Terminal.open())
        trust: TrustMode = "once" if args.trust else "ask" if terminal is not None or console.json else "refuse"
        run_id = await start(engine, trust)
        view = view or view_for(console)
        stack.callback(view.close)
        answers = _Answers(engine, run_id, console, view, terminal)
        stack.push_async_callback(answers.close)
        watched = _Watched(engine, run_id, view, answers)
        try:
            while isinstance((await watched.until_ended()).event, events.Complete):
                run_id = watched.run_id
                if not await _waits_for_verdict(engine, run_id, args, console):
                    break
                if (repair := await watched.until_verified()) is None:
                    break
                watched.go_on_with(repair)
            else:
                return 1
            if args.accept:
                return await _accept(engine, run_id, watched)
        except (asyncio.CancelledError, BrokenPipeError) as stop:
            return await _stopped(engine, watched.run_id, watched, stop)
    return await _review(engine, run_id, console)


async def _waits_for_verdict(engine: Engine, run_id: str, args: argparse.Namespace, console: Console) -> bool:
    """Where a person is there the review opens at once. A program gets the whole story, an accept what is verified."""
    if args.accept or console.json:
        return True
    settings = await asyncio.to_thread(engine.workspace(Path(engine.store.run(run_id).root)).settings)
    return settings.settings.execution.verify_repairs > 0


@dataclass(slots=True)
class _Watched:
    """The events of one run, shown as they come. `last` is the number of the last one that was shown."""

    engine: Engine
    run_id: str
    view: View
    answers: _Answers
    last: int = 0

    async def until_ended(self) -> Envelope:
        """Show events up to the one that says how the executor ended, and return that one."""
        with closing(self.engine.follow(self.run_id)) as stream:
            async for envelope in stream:
                self._take(envelope)
                if isinstance(envelope.event, events.ENDED):
                    await self._job_done()
                    return envelope
        raise KiroError(f"The events of run {self.run_id} ended before the run did.", hint="See: kiro-lsp runs")

    async def until_verified(self) -> str | None:
        """Wait for the verdict and show it; the run that repairs what failed, if there is one."""
        repair = await self.engine.verifications.ended(self.run_id)
        self.rest()
        return repair

    def go_on_with(self, run_id: str) -> None:
        self.run_id, self.last = run_id, 0
        self.answers.run_id = run_id

    def rest(self) -> None:
        """Show what has been recorded since."""
        for envelope in self.engine.store.events(self.run_id, self.last):
            self._take(envelope)

    def _take(self, envelope: Envelope) -> None:
        self.last = envelope.seq
        self.view.show(envelope)
        if isinstance(envelope.event, Permission):
            self.answers.ask(envelope.event)
        elif isinstance(envelope.event, events.Answer):
            self.answers.settled(envelope.event.request_id)

    async def _job_done(self) -> None:
        """An applied-without-review run still writes after `complete`; leaving the engine now would interrupt that."""
        await self.engine.run_ended(self.run_id)


async def _accept(engine: Engine, run_id: str, watched: _Watched) -> int:
    record, review = engine.store.run(run_id), engine.review(run_id)
    told = verdicts.verify_json(engine.store, record, review)
    if told is not None and told["ok"] is not True:
        watched.answers.say(f"Not applied, because it is not verified. All the same: kiro-lsp review {run_id} --accept")
        return 1
    if record.state == "applied":  # the person's configuration skips the review
        return 0
    settled = await engine.accept(run_id, by=BY)
    watched.rest()
    if settled.message:
        watched.answers.say(settled.message)
    return 0 if settled.ok else 1


async def _stopped(engine: Engine, run_id: str, watched: _Watched, stop: BaseException) -> int:
    """The person pressed Ctrl-C, or nobody reads our output any more: stop the run and wait until it is gone."""
    this = asyncio.current_task()
    if isinstance(stop, asyncio.CancelledError) and this is not None:
        this.uncancel()
    handle = engine.handles.get(run_id)
    if handle is not None:
        await engine.cancel(run_id, by=BY)
        await engine.run_ended(run_id)
        await handle.written()
    if isinstance(stop, BrokenPipeError):
        raise stop
    watched.rest()
    watched.answers.say(f"Stopped. What was staged is kept: kiro-lsp review {run_id}")
    return INTERRUPTED


async def _review(engine: Engine, run_id: str, console: Console) -> int:
    if console.json:
        return 0
    return await after_run(engine, run_id, console)


@dataclass(slots=True)
class _Answers:
    """Where answers to a run's questions come from. One prompt at a time; each can be overtaken from elsewhere."""

    engine: Engine
    run_id: str
    console: Console
    view: View
    terminal: Terminal | None
    _lines: AnswerLines | None = None
    _ended: bool = False
    """Standard input has ended: every question from now on is answered with no."""
    _open: dict[str, Permission] = field(default_factory=dict)
    _prompts: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)
    _sent: set[asyncio.Task[None]] = field(default_factory=set)

    def ask(self, question: Permission) -> None:
        """Get an answer for a question; returns at once."""
        self._open[question.request_id] = question
        if self.terminal is not None:
            prompt = asyncio.create_task(self._prompt(self.terminal, question))
            self._prompts[question.request_id] = prompt
        elif self.console.json and not self._ended:
            if self._lines is None:
                self._lines = AnswerLines(self._from_line, self._end, self.console.say)
            self._lines.start()
        else:
            self._deny(question)

    def settled(self, request_id: str) -> None:
        """The question was answered, here or elsewhere."""
        self._open.pop(request_id, None)
        prompt = self._prompts.pop(request_id, None)
        if prompt is not None:
            prompt.cancel()

    def say(self, text: str) -> None:
        with self.view.held():
            self.console.say(text)

    async def close(self) -> None:
        for prompt in [*self._prompts.values(), *self._sent]:
            prompt.cancel()
        await asyncio.gather(*self._prompts.values(), *self._sent, return_exceptions=True)
        if self._lines is not None:
            self._lines.close()

    async def _prompt(self, terminal: Terminal, question: Permission) -> None:
        choices = [Choice(option.id, option.label) for option in question.options]
        async with self._one_at_a_time:
            with self.view.held():
                text, deny = None, deny_of(question)
                words = next((option.id for option in question.options if option.kind != "deny"), None)
                if question.words and words is not None:
                    option, text = await terminal.ask_words_later(asked(question), choices, deny, words=words)
                else:
                    option = await terminal.ask_later(asked(question), choices, deny)
        await self._answer(question.request_id, option, text)

    def _from_line(self, request_id: str, option: str, text: str | None) -> None:
        self._send(request_id, option, text)

    def _end(self) -> None:
        self._ended = True
        for question in list(self._open.values()):
            self._deny(question)

    def _deny(self, question: Permission) -> None:
        self.say(f"Denied, because there is nobody to ask: {question.title}\n  {flag_for(question)}")
        self._send(question.request_id, deny_of(question))

    def _send(self, request_id: str, option: str, text: str | None = None) -> None:
        sending = asyncio.create_task(self._answer(request_id, option, text))
        self._sent.add(sending)
        sending.add_done_callback(self._sent.discard)

    async def _answer(self, request_id: str, option: str, text: str | None) -> None:
        try:
            await self.engine.answer(self.run_id, request_id, option, by=BY, text=text)
        except RunRefused as refusal:
            self.say(f"kiro-lsp: {refusal}")


def deny_of(question: Permission) -> str:
    """The option that means no."""
    return next((option.id for option in question.options if option.kind == "deny"), "deny")


def asked(question: Permission) -> str:
    """The question as it is put: a command in full, one argument a line, so that nothing hides in a long line."""
    detail = question.detail
    if detail is None:
        return "\n" + question.title
    arguments = "\n".join(f"    {argument!r}" for argument in detail.argv)
    environment = "".join(f"\n    {name}={value!r}" for name, value in sorted(detail.env.items()))
    where = f"in {detail.cwd!r} of a copy of the project (not sandboxed)"
    return f"\nThe agent wants to run, {where}:\n{arguments}{environment}"


def flag_for(question: Permission) -> str:
    """What would have allowed it."""
    if question.kind == "consent":
        return "To run in this project without asking: --trust"
    if question.detail is not None:
        return f"To allow exactly this command: --allow-command {shlex.quote(shlex.join(question.detail.argv))}"
    if question.kind == "tool":
        name = question.title.partition(":")[0]
        return (
            f"To allow this tool: --allow-command {shlex.quote(name)}"
            if name.startswith("mcp__")
            else "Look at it where somebody can be asked."
        )
    return f"It can be answered from elsewhere while it is open: kiro-lsp answer RUN {question.request_id} OPTION"
