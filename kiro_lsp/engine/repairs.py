"""What failed is given back to the agent: follow-up runs, so many as the person allows, and none that changes nothing."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal

from kiro_lsp.engine import followup
from kiro_lsp.engine.failing import same_failure
from kiro_lsp.errors import RunRefused, UnknownRun
from kiro_lsp.events import Verify
from kiro_lsp.store import RunRecord, Store

if TYPE_CHECKING:
    from kiro_lsp.engine.engine import Engine

BY: Final = "the verify command"
_CHAIN: Final = 32


def comment_of(verdict: Verify) -> str:
    """What the agent is told."""
    return (
        f"The check of this project, `{shlex.join(verdict.command)}`, failed with your change:\n\n"
        f"```\n{verdict.summary.replace('```', '` ` `')}\n```\n\n"
        "Find the cause and repair it. Do not weaken or remove the check."
    )


async def begin(engine: Engine, run_id: str, verdict: Verify, argv: Sequence[str], at_most: int) -> str | None:
    """Start the next repair of a run whose change failed; None where there shall be none. Raises RunRefused."""
    record = engine.store.run(run_id)
    earlier = _repaired(engine.store, record)
    if len(earlier) >= at_most or not record.path or record.replay:
        return None
    if earlier and same_failure(verdict.summary, earlier[0].summary):
        return None
    return await followup.follow_up(
        engine,
        run_id,
        comment_of(verdict),
        by=BY,
        confirmed=True,
        trust="refuse",
        reason=_reason(len(earlier) + 1, at_most),
        verify=argv,
    )


async def asked_for(
    engine: Engine,
    run_id: str,
    *,
    by: str,
    trust: Literal["ask", "once", "refuse"] = "ask",
    allowed_commands: Sequence[Sequence[str]] = (),
) -> str:
    """A repair that the person asks for, of what the last verdict of a run says. Raises RunRefused where nothing failed."""
    last = engine.store.last_event(run_id, "verify")
    if last is None or not isinstance(last.event, Verify) or last.event.ok:
        raise RunRefused(f"Nothing that was verified in run {run_id} failed.", code="nothing-failed")
    return await followup.follow_up(
        engine,
        run_id,
        comment_of(last.event),
        by=by,
        confirmed=True,
        trust=trust,
        allowed_commands=allowed_commands,
        verify=last.event.command,
    )


def _reason(number: int, at_most: int) -> str:
    return f"repair {number} of at most {at_most}: the verify command failed"


def _repaired(store: Store, record: RunRecord) -> list[Verify]:
    """The failures that this run, and those before it, were to repair; the newest first."""
    found: list[Verify] = []
    at = record
    while len(found) < _CHAIN and at.continues is not None and (at.reason or "").startswith("repair "):
        try:
            at = store.run(at.continues)
        except UnknownRun:
            break
        last = store.last_event(at.run_id, "verify")
        if last is None or not isinstance(last.event, Verify):
            break
        found.append(last.event)
    return found
