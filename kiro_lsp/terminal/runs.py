"""`runs`, `costs`, `cancel`, `answer`: looking at runs of any process, and speaking to one that goes on elsewhere."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import Any

from kiro_lsp.engine.engine import Engine
from kiro_lsp.engine.wire import costs_json, run_json
from kiro_lsp.errors import UsageError
from kiro_lsp.store import RunRecord, Store, local_day
from kiro_lsp.terminal.console import Console
from kiro_lsp.terminal.diff import counted, print_changes
from kiro_lsp.terminal.project import BY, open_project, open_store, project_root, with_engine


def runs(args: argparse.Namespace, console: Console) -> int:
    """List runs, newest first, or show one with its events' outcome and, on request, its changes."""
    _pick_up_orphans()
    with open_store() as store:
        if args.run is not None:
            return _one(store, store.run(args.run), args, console)
        root = None if args.root is None else os.path.realpath(project_root(args.root))
        records = store.runs(root=root, limit=args.limit)
    if console.json:
        console.value([run_json(record) for record in records])
        return 0
    if not records:
        console.say("No runs yet. Start one with: kiro-lsp run PATH TASK")
    for record in records:
        console.line(_run_line(record))
    return 0


def _pick_up_orphans() -> None:
    """Show no run as live whose process is gone: entering an engine brings it to where it stands."""

    async def nothing(_engine: Engine) -> None:
        return None

    with open_store() as store:
        orphans = store.orphans()
    if orphans:
        with_engine(nothing)


def _one(store: Store, record: RunRecord, args: argparse.Namespace, console: Console) -> int:
    changes = store.changes(record.run_id)
    if console.json:
        body = run_json(record)
        if args.diff:
            from kiro_lsp.changes.changeset import unified_diff

            body["diffs"] = [
                {"path": change.path, "action": change.action, "diff": unified_diff(change)} for change in changes.files
            ]
        console.value([body])
        return 0
    console.line(_run_line(record))
    console.line(f"  project   {record.root}")
    if record.path:
        console.line(f"  task      {record.path}: {record.task_key}")
        console.line(
            f"  agent     {record.agent} ({'RECORDED, ' if record.replay else ''}{record.way}) {record.model}".rstrip()
        )
    else:
        console.line("  agent     none: a pasted answer, without a task")
    if record.continues:
        console.line(f"  goes on from {record.continues}")
    console.line(f"  started   {record.started_at}" + (f", ended {record.ended_at}" if record.ended_at else ""))
    console.line(f"  cost      {_cost(record)}")
    for change in changes.files:
        console.line(f"  {change.action:<9} {change.path}")
    if args.diff:
        print_changes(changes.files, console)
    return 0


def _run_line(record: RunRecord) -> str:
    called = f"{record.task_id} {record.title}" if record.task_id else record.title
    return f"{record.run_id}  {record.state:<11}  {counted(record.files, 'file'):<8}  {record.agent:<10}  {called}"


def _cost(record: RunRecord) -> str:
    used = f"{record.input_tokens} tokens in, {record.output_tokens} out, {counted(record.turns, 'turn')}"
    if record.billing != "metered":
        return f"{record.billing}: {used}"
    return f"unknown, charged as ${record.charged}; {used}" if record.cost is None else f"${record.cost}; {used}"


def costs(args: argparse.Namespace, console: Console) -> int:
    """What was spent today against the caps, and rows by day, agent, spec or task."""
    with open_project() as project:
        settings = project.workspace.settings().settings
        body = costs_json(project.store, settings, args.by, local_day())
    if console.json:
        console.value(body)
        return 0
    console.line(
        f"{body['day']}: spent ${body['spent']}, reserved ${body['reserved']}, at most ${body['cap']} a day"
        f" (${body['capRun']} a run, warning at ${body['warnAt']})"
    )
    if body["unknown"]:
        console.line(f"  {counted(body['unknown'], 'request')} of unknown cost, charged as reserved")
    for row in body["rows"]:
        console.line(f"  {row['key']}: {_cost_line(row)}")
    return 0


def _cost_line(row: Mapping[str, Any]) -> str:
    tokens = f"{row['inputTokens']} tokens in, {row['outputTokens']} out, {row['cachedTokens']} from cache"
    parts = [counted(row["runs"], "run"), counted(row["turns"], "turn"), tokens]
    if row["metered"]:
        parts.append("cost unknown" if row["cost"] is None else f"${row['cost']}")
    if row["unknown"]:
        parts.append(f"{row['unknown']} of unknown cost, with them charged ${row['charged']}")
    return ", ".join(parts)


def cancel(args: argparse.Namespace, console: Console) -> int:
    """Stop a run, in whatever process it goes on."""

    async def work(engine: Engine) -> int:
        run_id = engine.store.run(args.run).run_id
        message = await engine.cancel(run_id, by=BY)
        if console.json:
            console.value({"runId": run_id, "ok": True, "message": message})
        else:
            console.line(message)
        return 0

    return with_engine(work)


def answer(args: argparse.Namespace, console: Console) -> int:
    """Answer a run's question."""
    if args.option is None and not args.text:
        raise UsageError("There is no answer.", hint="Name an option, or say it in words: --text TEXT")

    async def work(engine: Engine) -> int:
        run_id = engine.store.run(args.run).run_id
        await engine.answer(run_id, args.request, args.option or "", by=BY, text=args.text)
        if console.json:
            console.value({"runId": run_id, "ok": True})
        else:
            console.line(f"Answered {args.option or 'in words'}.")
        return 0

    return with_engine(work)
