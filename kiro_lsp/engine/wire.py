"""Runs, agents and costs as the JSON objects that every face gives out (architecture: contracts). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kiro_lsp import events
from kiro_lsp.budget import from_nano
from kiro_lsp.changes.review import Review
from kiro_lsp.engine.verdicts import verify_json
from kiro_lsp.executors.choice import Choice
from kiro_lsp.executors.protocol import AgentInfo
from kiro_lsp.executors.ways import label_of
from kiro_lsp.settings import Settings
from kiro_lsp.spec.model import Task
from kiro_lsp.store import By, RunRecord, Store


def run_json(record: RunRecord) -> dict[str, object]:
    """A run as `runs --json` lists it."""
    owner = record.owner
    return {
        "runId": record.run_id,
        "root": record.root,
        "path": record.path,
        "task": record.task_key if record.path else "",
        "title": record.title,
        "agent": record.agent,
        "label": label_of(record.agent),
        "way": record.way,
        "model": record.model,
        "state": record.state,
        "startedAt": record.started_at,
        "endedAt": record.ended_at,
        "cost": record.cost,
        "charged": record.charged,
        "inputTokens": record.input_tokens,
        "outputTokens": record.output_tokens,
        "cachedTokens": record.cached_tokens,
        "turns": record.turns,
        "billing": record.billing,
        "files": record.files,
        "replay": record.replay,
        "continues": record.continues,
        "owner": None
        if owner is None
        else {"pid": owner.pid, "startTicks": owner.start_ticks, "bootId": owner.boot_id},
    }


def costs_json(store: Store, settings: Settings, by: By, day: str) -> dict[str, Any]:
    """The object of `costs --json`; money as decimal strings in US dollars."""
    spent = store.spent(day)
    return {
        "day": store.ledger_day(day),
        "spent": from_nano(spent.spent),
        "reserved": from_nano(spent.reserved),
        "unknown": spent.unknown,
        "cap": str(settings.cost.max_cost_per_day),
        "warnAt": str(settings.cost.warn_at_cost),
        "capRun": str(settings.cost.max_cost_per_run),
        "rows": [
            {
                "key": row.key,
                "runs": row.runs,
                "inputTokens": row.input_tokens,
                "outputTokens": row.output_tokens,
                "cachedTokens": row.cached_tokens,
                "cost": None if row.nano is None else from_nano(row.nano),
                "unknown": row.unknown,
                "charged": from_nano(row.charged),
                "turns": row.turns,
                "metered": row.metered,
            }
            for row in store.cost_rows(by=by)
        ],
    }


def agent_json(
    info: AgentInfo, recommended: AgentInfo | None, estimate: str | None = None, why: str | None = None
) -> dict[str, object]:
    """An agent as `agents --json` lists it. The estimate is for a task, in US dollars; without one it is unknown. `why` is the
    reason for the recommended one.
    """
    is_recommended = recommended is not None and info.name == recommended.name
    return {
        "name": info.name,
        "label": info.label,
        "type": info.type,
        "way": info.way,
        "model": info.model,
        "available": info.available,
        "reason": info.reason,
        "version": info.version,
        "recommended": is_recommended,
        "why": why if is_recommended else None,
        "estimate": estimate,
        "billing": info.billing,
        "ways": [
            {
                "type": way.type,
                "way": way.way,
                "command": way.command,
                "available": way.available,
                "reason": way.reason,
                "version": way.version,
                "inUse": way.in_use,
                "login": list(way.login) if way.login is not None else None,
                "key": way.key,
            }
            for way in info.ways
        ],
        "traces": list(info.traces),
    }


def choice_json(task: Task, chosen: Choice | None, estimate: str | None = None) -> dict[str, object]:
    """What `agents --explain --json` says of a task; without an available agent, `agent` is null."""
    if chosen is None:
        return {"task": task.key, "agent": None, "model": None, "reason": "no agent is available"}
    analysis = chosen.analysis
    return {
        "task": task.key,
        "agent": chosen.agent.name,
        "model": chosen.agent.model,
        "reason": chosen.reason,
        "kind": analysis.kind,
        "complexity": analysis.complexity,
        "requiresReasoning": analysis.reasoning,
        "hasTests": analysis.has_tests,
        "confidence": analysis.confidence,
        "guess": analysis.is_guess,
        "estimate": estimate,
    }


def review_json(store: Store, record: RunRecord, review: Review, root: Path | None = None) -> dict[str, Any]:
    """The `kiro/review` object: files and hunks with the ranges of whole lines in the texts that are compared.

    `root` is the project as whoever asks spells it; without it the run's own, where links lead.
    """
    root = Path(record.root) if root is None else root
    wire = review.wire(
        record.run_id,
        record.state,
        uri_of=lambda path: (root / path).as_uri(),
        verify=verify_json(store, record, review),
        cost=record.cost,
        conflicts=_conflicts(store, record) if record.state == "conflict" else None,
    )
    for file in wire["files"]:
        for hunk in file["hunks"]:
            for side in ("baseRange", "proposedRange"):
                hunk[side] = whole_lines(hunk[side])
    return wire


def whole_lines(span: Sequence[int]) -> dict[str, Any]:
    """A first line and the line after the last as a Range."""
    start, end = span
    return {"start": {"line": start, "character": 0}, "end": {"line": end, "character": 0}}


def _conflicts(store: Store, record: RunRecord) -> dict[str, str]:
    """Path → why the last accept could not write it."""
    found = [envelope.event for envelope in store.events(record.run_id)]
    last = next((event for event in reversed(found) if isinstance(event, events.ConflictFound)), None)
    if last is None:
        return {}
    unknown = ("it changed since the run read it",) * len(last.files)
    return dict(zip(last.files, last.reasons or unknown, strict=True))
