"""Retry, follow-up, going on in a terminal: new runs of a run's task that go on from what it left (see resume.py)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kiro_lsp import events
from kiro_lsp.engine.execute import StartRun
from kiro_lsp.engine.pick import again
from kiro_lsp.engine.resume import Continued, about, continued_from, review_of
from kiro_lsp.errors import RunRefused, UsageError
from kiro_lsp.executors import ways
from kiro_lsp.executors.protocol import Executor
from kiro_lsp.spec import tasks
from kiro_lsp.store import RunRecord

if TYPE_CHECKING:
    from kiro_lsp.engine.engine import Engine


async def retry(
    engine: Engine,
    run_id: str,
    *,
    fresh: bool = False,
    by: str = "editor",
    confirmed: bool = False,
    trust: Literal["ask", "once", "refuse"] = "ask",
    allowed_commands: Sequence[Sequence[str]] = (),
) -> str:
    """A new run of the same task that goes on from what the run left, or with `fresh` from zero; returns its id.

    `routing.retry_model` does it, or else the same agent and model. A recording is always played from its beginning, and
    after an accept there is nothing to go on from. Raises RunRefused as `Engine.start` does, and for a run without a task.
    """
    record = engine.store.run(run_id)
    if not record.path:
        raise RunRefused(f"Run {record.run_id} has no task to run again.", hint="Apply the answer again instead.")
    from_zero = fresh or record.replay or record.state == "applied"
    continued = None if from_zero else await asyncio.to_thread(continued_from, engine.store, record)
    agent, model, reason = await asyncio.to_thread(again, engine.workspace(Path(record.root)), record)
    start = _start(record, agent, model, reason, continued)
    return await engine.start(
        replace(start, by=by, confirmed=confirmed, trust=trust, allowed_commands=allowed_commands)
    )


async def follow_up(
    engine: Engine,
    run_id: str,
    text: str,
    *,
    path: str | None = None,
    hunk: str | None = None,
    reason: str | None = None,
    verify: Sequence[str] | None = None,
    by: str = "editor",
    confirmed: bool = False,
    trust: Literal["ask", "once", "refuse"] = "ask",
    allowed_commands: Sequence[Sequence[str]] = (),
) -> str:
    """A new run in which the same agent changes what a person said of a run's changes; returns its id.

    `path` and `hunk` say which change the comment is about. Raises RunRefused as `Engine.start` does, and for a run that
    nobody can be told anything about, a file or hunk that it does not have, and one that still works.
    """
    record = engine.store.run(run_id)
    if not text.strip():
        raise UsageError("The comment is empty.", hint="Say what shall be different.")
    if not record.path or record.replay:
        what = "is a recording" if record.replay else "has no task and no agent"
        raise RunRefused(
            f"Run {record.run_id} {what}: there is nobody to tell.", code="no-agent", hint="Run the task with an agent."
        )
    if record.state in events.LIVE_STATES - {"verifying"}:
        raise RunRefused(
            f"Run {record.run_id} is still {record.state}.", code="busy", hint="Wait for it, or cancel it first."
        )

    def prepared() -> Continued:
        continued = continued_from(engine.store, record)
        named, excerpt = about(review_of(engine.store, record.run_id), path, hunk)
        resume = replace(continued.resume, comment=text.strip(), path=named, excerpt=excerpt)
        return replace(continued, resume=resume)

    reason = reason or f"your comment on run {record.run_id}"
    start = _start(record, record.agent, record.model or None, reason, await asyncio.to_thread(prepared))
    start = replace(start, by=by, confirmed=confirmed, trust=trust, allowed_commands=allowed_commands, verify=verify)
    newer = await engine.start(start)
    engine.verifications.stop(record.run_id, f"run {newer} goes on from it")
    return newer


async def in_terminal(
    engine: Engine,
    run_id: str,
    executor: Executor,
    *,
    by: str,
    trust: Literal["ask", "once", "refuse"] = "ask",
) -> str:
    """A new run in which the person works on in the agent's own session; `executor` shows it. Returns its id.

    Raises RunRefused as `Engine.start` and `session_of` do.
    """
    record = engine.store.run(run_id)
    await asyncio.to_thread(session_of, engine, record)
    continued = await asyncio.to_thread(continued_from, engine.store, record)
    reason = f"you go on from run {record.run_id} in a terminal"
    start = _start(record, record.agent, record.model or None, reason, continued)
    return await engine.start(replace(start, by=by, confirmed=True, trust=trust, executor=executor))


def session_of(engine: Engine, record: RunRecord) -> str:
    """The agent's own session of a run, which a terminal can open. Blocking. Raises RunRefused where there is none."""
    _ended_or_refuse(record)
    loaded = engine.workspace(Path(record.root)).settings()
    known = ways.ways_of(record.agent, loaded.settings) if record.way in ("cli", "acp") else ()
    opens = any(way.continue_command for way in known)
    if record.session is None or not opens:
        label = ways.label_of(record.agent)
        why = f"{label} by {record.way} has no session that a terminal can open"
        if opens:
            why = f"{label} said no session"
        raise RunRefused(
            f"Run {record.run_id} cannot be continued in a terminal: {why}.",
            code="no-session",
            hint=f"Tell the agent what to change: kiro-lsp review {record.run_id} --comment TEXT",
        )
    return record.session


def _ended_or_refuse(record: RunRecord) -> None:
    """What is still being verified can be commented on as it can be accepted."""
    if record.state in events.LIVE_STATES - {"verifying"}:
        raise RunRefused(
            f"Run {record.run_id} is still {record.state}.", code="busy", hint="Wait for it, or cancel it first."
        )


def _start(
    record: RunRecord, agent: str, model: str | None, reason: str | None, continued: Continued | None
) -> StartRun:
    task = tasks.selector_of_key(record.task_key)
    return StartRun(
        Path(record.root), record.path, task, agent, model=model, reason=reason, note=record.note, continued=continued
    )
