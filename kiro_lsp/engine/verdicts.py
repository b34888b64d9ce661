"""What is known of whether a change was verified, as faces show it: read from the run's events. Nothing is run here."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from kiro_lsp.changes.review import Review
from kiro_lsp.events import Phase, RunEvent, RunState, Verify, Verifying
from kiro_lsp.store import RunRecord, Store

STOPPED = "The verify command is stopped; the review stays open."


def command_of(asked: Sequence[str] | None, configured: Sequence[str]) -> tuple[str, ...]:
    """The command that a run is verified with: what was asked for with it, else the configured one; () for none."""
    return tuple(configured if asked is None else asked)


def state_of(argv: Sequence[str]) -> RunState:
    """The state in which a review opens."""
    return "verifying" if argv else "review"


def opening(argv: Sequence[str]) -> tuple[RunEvent, ...]:
    """The events with which it opens."""
    return (Verifying(tuple(argv)), Phase("verifying", shlex.join(argv))) if argv else (Phase("review"),)


def verify_json(store: Store, record: RunRecord, review: Review) -> dict[str, Any] | None:
    """`verify` of the `kiro/review` object: the last verdict, or that one is waited for; None without any."""
    last = store.last_event(record.run_id, "verifying", "verify")
    if last is None:
        return None
    if isinstance(last.event, Verifying):
        running = record.state == "verifying"
        return {
            "command": list(last.event.command),
            "ok": None,
            "seconds": None,
            "summary": "verifying…" if running else "stopped before it had ended",
            "revision": None,
            "running": running,
            "outdated": False,
        }
    verdict = last.event
    assert isinstance(verdict, Verify)
    return {
        "command": list(verdict.command),
        "ok": verdict.ok,
        "seconds": verdict.seconds,
        "summary": verdict.summary,
        "revision": verdict.revision,
        "running": False,
        "outdated": verdict.contents is not None and verdict.contents != review.contents(),
    }


def verdict_on(store: Store, record: RunRecord) -> bool | None:
    """The last verdict on a change that waits for review, whatever it was about exactly; quick."""
    last = store.last_event(record.run_id, "verifying", "verify") if record.state == "review" else None
    return last.event.ok if last is not None and isinstance(last.event, Verify) else None


def verified(store: Store, record: RunRecord, review: Review) -> bool | None:
    """Whether the verify command was content with exactly this; None where none was to be run."""
    told = verify_json(store, record, review)
    return None if told is None else told["ok"] is True and not told["outdated"]


def in_words(told: Mapping[str, Any] | None) -> str:
    """The line above a review, and below it what failed; "" where nothing was verified."""
    if told is None:
        return ""
    command, summary = shlex.join(told["command"]), str(told["summary"])
    if told["ok"] is None:
        return f"… verifying: {command}" if told["running"] else f"? not verified: {command} was {summary}"
    result, _, failing = summary.partition("\n")
    as_of = f" (as of revision {told['revision']}: the change has moved on)" if told["outdated"] else ""
    verdict = "✓ verified" if told["ok"] else "✗ verify failed"
    line = f"{verdict}{as_of}: {command}, {told['seconds']:.1f} s: {result}"
    return f"{line}\n{failing}" if failing else line


def line_of(event: Verify) -> str:
    """A verdict in one line, for a message."""
    result = event.summary.partition("\n")[0]
    return f"{'Verified' if event.ok else 'The verify command failed'}: {shlex.join(event.command)}: {result}"
