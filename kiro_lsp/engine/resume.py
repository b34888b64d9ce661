"""Going on from an earlier run: what it left, what the next one is told of it, and which review counts then.

A run that goes on from another begins with the other's staged changes, in its own record, before anything else happens.
From then on the earlier review is superseded: its changes are decided on in the newer one, or again in the older one once
the newer was rejected. Nothing of the older run is changed or forgotten.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from kiro_lsp import events
from kiro_lsp.changes.changeset import unified_diff
from kiro_lsp.changes.model import Decision, FileAction, FileChange, Hunk
from kiro_lsp.changes.review import Review
from kiro_lsp.engine import faults
from kiro_lsp.engine.run import RunHandle, now
from kiro_lsp.errors import RunRefused, UnknownRun
from kiro_lsp.events import RunEvent, RunState
from kiro_lsp.executors.protocol import AgentInfo, Resume
from kiro_lsp.store import RunRecord, Store

TRANSCRIPT_CHARACTERS: Final = 32_000
"""Of what was said and done before, in all; its beginning and its end are kept."""
_BEGINNING: Final = 4_000
_CHAIN: Final = 8
"""So many runs back is told of at most."""
_LEFT: Final[frozenset[RunState]] = frozenset({"failed", "cancelled", "budget", "interrupted"})
_SHOWN: Final[frozenset[Decision]] = frozenset({"accepted", "pending"})
_EVERY: Final[frozenset[Decision]] = frozenset({"accepted", "pending", "rejected"})


@dataclass(frozen=True, slots=True)
class Continued:
    """The run that another goes on from."""

    record: RunRecord
    changes: tuple[FileChange, ...]
    """What the new run begins with."""
    resume: Resume

    def resume_for(self, agent: AgentInfo) -> Resume:
        """What the agent of the new run is told; only the same one, reached by the same way, has a session to open."""
        same = (agent.name, agent.way) == (self.record.agent, self.record.way)
        return replace(self.resume, session_id=self.record.session if same else None)


async def lay_out(store: Store, handle: RunHandle, continued: Continued) -> None:
    """Begin a run with what another left; when it is kept, the other's review is superseded."""
    await handle.stage.lay(continued.changes)
    faults.point("resume.laid")
    if continued.changes:
        superseded = events.Superseded(handle.run_id)
        appended = await asyncio.wrap_future(
            store.append(continued.record.run_id, [superseded], durable=True, at=now())
        )
        handle.publish(appended)


# What a run left


def review_of(store: Store, run_id: str) -> Review:
    """The change set of a run with the decisions taken so far."""
    decisions, revision = store.decisions(run_id)
    return Review(store.changes(run_id), decisions, revision, store.mine(run_id))


def continued_from(store: Store, record: RunRecord) -> Continued:
    """What there is to go on from. Blocking. Raises StoreError when a kept content is damaged."""
    recorded = store.events(record.run_id)
    changes = left_by(review_of(store, record.run_id), record.state, _in_conflict(record.state, recorded))
    resume = Resume(
        record.run_id,
        ended=how_it_ended([envelope.event for envelope in recorded], record.state),
        transcript=bounded(_told(store, record, recorded)),
        staged=tuple(change.path for change in changes),
    )
    return Continued(record, changes, resume)


def left_by(review: Review, state: RunState, without: Iterable[str] = ()) -> tuple[FileChange, ...]:
    """What a run that goes on begins with: what is pending, on top of what was accepted, which is in the files by now.

    Of a run that was rejected, or taken back, as a whole everything is there again. `without` are files that somebody
    else changed in the same places: there the person's version is what counts.
    """
    before: frozenset[Decision] = frozenset({"accepted"})
    after = _SHOWN
    if state in ("rejected", "undone"):
        before, after = frozenset(), _EVERY
    found: list[FileChange] = []
    for path in review.touched():
        base, proposed = review.content(path, before), review.content(path, after)
        mode = proposed.mode if proposed.mode is not None else base.mode
        if base.data == proposed.data and (base.data is None or mode == base.mode):
            continue
        action: FileAction = "create" if base.data is None else "delete" if proposed.data is None else "modify"
        found.append(
            FileChange(path, action, base.data, proposed.data, base.mode, None if proposed.data is None else mode)
        )
    left_out = set(without)
    return tuple(change for change in found if change.path not in left_out)


def _in_conflict(state: RunState, recorded: Sequence[events.Envelope]) -> tuple[str, ...]:
    if state != "conflict":
        return ()
    found = (item.event.files for item in reversed(recorded) if isinstance(item.event, events.ConflictFound))
    return next(found, ())


def superseding(store: Store, record: RunRecord) -> RunRecord | None:
    """The run whose review counts instead of this one's; None while this one's does.

    A newer one that was rejected, or that ended without anything staged, has given the review back.
    """
    newer = store.continuing(record.run_id)
    return next((run for run in newer if not (run.state == "rejected" or (run.state in _LEFT and not run.files))), None)


# What the next one is told


def how_it_ended(recorded: Sequence[RunEvent], state: RunState) -> str:
    """How a run ended, as a sentence for the agent that goes on."""
    for event in reversed(recorded):
        match event:
            case events.Complete():
                return "It came to its end; the person has not taken all of it over."
            case events.Error(_, message, _):
                return f"It failed: {_one_line(message)}"
            case events.Cancelled():
                return "The person stopped it."
            case _:
                continue
    return "It was cut off." if state in _LEFT else "It has not come to its end."


def transcript_of(recorded: Iterable[RunEvent]) -> str:
    """What was said and done in a run, a line or more for each event that says so. Thoughts are left out.

    What an agent or a command wrote cannot look like such a line: only those begin with `[`.
    """
    parts: list[str] = []
    text: list[str] = []
    for event in recorded:
        if isinstance(event, events.Chunk):
            text.append(event.text)
            continue
        line = _line_of(event)
        if line is not None:
            parts += [_quoted("".join(text)), line]
            text.clear()
    parts.append(_quoted("".join(text)))
    return "\n".join(part for part in parts if part)


def _quoted(text: str) -> str:
    return re.sub(r"(?m)^(\s*)\[", r" \1[", text.strip())


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _line_of(event: RunEvent) -> str | None:
    match event:
        case events.Start(comment=str(comment)):
            return f"[the person] {comment}"
        case events.Tool(_, kind, title, "completed" | "failed" as status):
            return f"[{kind}] {_one_line(title)}" + (": failed" if status == "failed" else "")
        case events.File(action, path):
            return f"[changed] {action} {_one_line(path)}"
        case events.Permission(_, _, title):
            return f"[asked] {_one_line(title)}"
        case events.Answer(_, option, _, said):
            return f"[the person] {option}" + (f": {said}" if said else "")
        case events.Verify(command, ok, _, summary):
            return f"[verify] {' '.join(command)}: {'ok' if ok else 'failed'}. {_one_line(summary)}"
        case events.Error(_, message, _):
            return f"[failed] {_one_line(message)}"
        case events.Cancelled():
            return "[stopped by the person]"
        case _:
            return None


def _told(store: Store, record: RunRecord, recorded: Sequence[events.Envelope]) -> str:
    """The transcripts of a run and of those that it went on from, the oldest first."""
    told = [transcript_of(envelope.event for envelope in recorded)]
    earlier = record.continues
    while earlier is not None and len(told) < _CHAIN:
        told.insert(0, transcript_of(envelope.event for envelope in store.events(earlier)))
        try:
            earlier = store.run(earlier).continues
        except UnknownRun:  # it was forgotten
            break
    return "\n\n".join(part for part in told if part)


def bounded(text: str, limit: int = TRANSCRIPT_CHARACTERS) -> str:
    """The text, of a long one its beginning and its end; nothing in it ends the element that it is put into."""
    text = text.replace("</transcript", "<\u200a/transcript")
    if len(text) <= limit:
        return text
    begin = min(_BEGINNING, limit // 4)
    left_out = len(text) - limit
    return f"{text[:begin]}\n[{left_out} characters are left out]\n{text[len(text) - (limit - begin) :]}"


def about(review: Review, path: str | None, hunk: str | None) -> tuple[str | None, str | None]:
    """The file that a comment is about, and the change there as a diff. Raises RunRefused for what is not in the review."""
    if path is None and hunk is None:
        return None, None
    files = [change for change in review.changes.files if path in (None, change.path, change.to)]
    if not files:
        known = ", ".join(change.path for change in review.changes.files) or "no files"
        raise RunRefused(f"{path!r} is not in this review.", code="unknown-file", hint=f"It has: {known}.")
    if hunk is None:
        return files[0].path, unified_diff(files[0])
    for change in files:
        for found in review.hunks(change.path):
            if found.id == hunk:
                return change.path, _diff_of(change, found)
    known = ", ".join(found.id for change in files for found in review.hunks(change.path)) or "none"
    raise RunRefused(f"There is no change {hunk} in this review.", code="unknown-hunk", hint=f"It has: {known}.")


def _diff_of(change: FileChange, hunk: Hunk) -> str:
    """One hunk; of a change of the file as a whole, all of it."""
    if hunk.operation != "edit":
        return unified_diff(change)
    head = f"@@ -{hunk.base[0] + 1},{len(hunk.old)} +{hunk.proposed[0] + 1},{len(hunk.new)} @@\n"
    lines = [
        f"{sign}{line.rstrip(chr(13) + chr(10))}\n"
        for sign, part in (("-", hunk.old), ("+", hunk.new))
        for line in part
    ]
    return head + "".join(lines)


def shown_runs(records: Iterable[RunRecord]) -> list[RunRecord]:
    """The runs, without those whose rejection gave the run that they went on from its review back."""
    listed = list(records)
    states: Mapping[str, RunState] = {record.run_id: record.state for record in listed}
    return [
        record
        for record in listed
        if record.state != "rejected" or states.get(record.continues or "") not in events.REVIEWABLE_STATES
    ]
