"""`review`, `undo`, `commit`, `restore`: deciding on a run's changes, the same review as in an editor.

Looking prints the diff. Where a person sits at a terminal they are asked what to do with it, whole, by file or by hunk;
everywhere else the flags decide. What accept and undo do to files is the engine's business, and where a language server
has the project open, that server does it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from kiro_lsp import events
from kiro_lsp.changes.changeset import unified_diff
from kiro_lsp.changes.model import FileChange, Hunk
from kiro_lsp.changes.review import Review
from kiro_lsp.engine import checks
from kiro_lsp.engine.engine import Engine, Settled
from kiro_lsp.engine.resume import superseding
from kiro_lsp.engine.verdicts import in_words, verify_json
from kiro_lsp.engine.wire import review_json
from kiro_lsp.errors import RunRefused, UsageError
from kiro_lsp.store import RunRecord
from kiro_lsp.terminal.console import Console, visible
from kiro_lsp.terminal.diff import WORD, counted, print_changes
from kiro_lsp.terminal.project import BY, project_root, with_engine
from kiro_lsp.terminal.questions import Choice, Terminal

OPEN = ("review", "verifying")


def review(args: argparse.Namespace, console: Console) -> int:
    """Show a run's review, decide on it, or have it changed. 1 when something was refused or is in conflict."""
    if args.comment is not None or args.repair:
        from kiro_lsp.terminal.running import follow_up

        return follow_up(args, console)
    if (args.file or args.hunk) and not (args.accept or args.reject):
        raise UsageError(
            "--file and --hunk say what it is about.", hint="Add --accept, --reject or --comment 'what to change'."
        )

    async def work(engine: Engine) -> int:
        record, found = reviewed(engine, args.run)
        if args.accept or args.reject:
            path = None if args.file is None else path_in(found, record, args.file)
            decide = engine.accept if args.accept else engine.reject
            settled = await decide(record.run_id, revision=args.revision, path=path, hunks=args.hunk, by=BY)
            return _report(record.run_id, settled, console)
        if args.verify is not None:
            await _verify(engine, record, args.verify, trust_once=args.trust)
            record = engine.store.run(record.run_id)
        if console.json:
            console.value(with_diffs(review_json(engine.store, record, found), found))
            return 0
        return await _look(engine, record, console)

    return with_engine(work)


def undo(args: argparse.Namespace, console: Console) -> int:
    """Take back what was accepted. 1 on conflict."""
    return _settle("undo", args, console)


def restore(args: argparse.Namespace, console: Console) -> int:
    """Write the backup back. 1 on conflict."""
    return _settle("restore", args, console)


def commit(args: argparse.Namespace, console: Console) -> int:
    """Commit the accepted paths of a run."""

    async def work(engine: Engine) -> int:
        run_id = engine.store.run(args.run).run_id
        return _report(run_id, await engine.commit(run_id, args.message, by=BY), console)

    return with_engine(work)


def _settle(verb: str, args: argparse.Namespace, console: Console) -> int:
    async def work(engine: Engine) -> int:
        run_id = engine.store.run(args.run).run_id
        act = engine.undo if verb == "undo" else engine.restore
        return _report(run_id, await act(run_id, by=BY), console)

    return with_engine(work)


def _report(run_id: str, settled: Settled, console: Console) -> int:
    if console.json:
        console.value(
            {
                "runId": run_id,
                "ok": settled.ok,
                "state": settled.state,
                "message": settled.message,
                "files": list(settled.files),
                "conflicts": list(settled.conflicts),
                "merged": list(settled.merged),
                "ticked": settled.ticked,
                "commit": settled.commit,
            }
        )
    elif settled.ok:
        console.line(settled.message)
    else:
        console.say(f"kiro-lsp: {settled.message}")
    return 0 if settled.ok else 1


def reviewed(engine: Engine, given: str | None) -> tuple[RunRecord, Review]:
    """The run that is meant, with its review."""
    record = _record(engine, given)
    return record, engine.review(record.run_id)


def _record(engine: Engine, given: str | None) -> RunRecord:
    """Without a name the only run that waits for review in the project around this folder."""
    if given is not None:
        return engine.store.run(given)
    waiting = [
        record
        for record in engine.runs(project_root())
        if record.state in OPEN and superseding(engine.store, record) is None
    ]
    if not waiting:
        raise RunRefused("No run waits for review in this project.", code="no-review", hint="See: kiro-lsp runs")
    if len(waiting) > 1:
        listed = "\n".join(f"  {record.run_id}  {record.title}" for record in waiting)
        raise RunRefused(
            f"{len(waiting)} runs wait for review:\n{listed}", code="which-run", hint="Name one: kiro-lsp review RUN"
        )
    return waiting[0]


def path_in(found: Review, record: RunRecord, given: str) -> str:
    """The path of the review that the person means: as the review spells it, or as a file from here."""
    paths = [change.path for change in found.changes.files]
    if given in paths:
        return given
    real = os.path.realpath(given)
    relative = Path(real).relative_to(record.root).as_posix() if Path(real).is_relative_to(record.root) else given
    if relative in paths:
        return relative
    raise RunRefused(
        f"{given!r} is not in the review of run {record.run_id}.",
        code="unknown-file",
        hint=f"It has: {', '.join(paths) or 'no files'}.",
    )


def with_diffs(wire: dict[str, Any], found: Review) -> dict[str, Any]:
    """The `kiro/review` object, with the diff of each file."""
    diffs = {change.path: unified_diff(change) for change in found.changes.files}
    for file in wire["files"]:
        file["diff"] = diffs[file["path"]]
    return wire


def pending_changes(found: Review) -> tuple[FileChange, ...]:
    """What is still to be decided, as changes of the files as they are after what was accepted."""
    pending = [change for change in found.changes.files if found.file_status(change.path) == "pending"]
    return tuple(
        change
        if change.to is not None
        else replace(change, base=found.current(change.path), proposed=found.proposed(change.path))
        for change in pending
    )


async def _verify(engine: Engine, record: RunRecord, given: str, *, trust_once: bool) -> None:
    """Verify what is pending, and wait for the verdict. Raises RunRefused."""
    root = Path(record.root)
    settings = (await asyncio.to_thread(engine.workspace(root).settings)).settings
    argv = await asyncio.to_thread(checks.asked_for, given, settings.execution.verify_command, root)
    await engine.verify(record.run_id, argv, trust_once=trust_once)
    await engine.verifications.ended(record.run_id)


async def after_run(engine: Engine, run_id: str, console: Console) -> int:
    """A run has completed: show its change, and where a person is there, ask. 0 while it is pending or when applied.

    The verify command may still go on: its verdict is shown when it comes, and waited for unless the person has decided.
    """
    record = engine.store.run(run_id)
    if record.state not in OPEN:  # the person's configuration skips the review
        return 0 if record.state == "applied" else 1
    telling = asyncio.create_task(_tell_verdict(engine, run_id, console))
    try:
        code = await _look(engine, record, console)
        if engine.store.run(run_id).state in OPEN:
            await telling
        return code
    finally:
        telling.cancel()


async def _tell_verdict(engine: Engine, run_id: str, console: Console) -> None:
    if engine.verifications.is_running(run_id):
        await engine.verifications.ended(run_id)
        console.say(_verdict(engine, run_id))


def _verdict(engine: Engine, run_id: str) -> str:
    """What is known of whether the change was verified, for the top of its review; "" where there is nothing to say."""
    return in_words(verify_json(engine.store, engine.store.run(run_id), engine.review(run_id)))


async def _look(engine: Engine, record: RunRecord, console: Console) -> int:
    found = engine.review(record.run_id)
    changes = pending_changes(found)
    if verdict := _verdict(engine, record.run_id):
        console.line(verdict)
    print_changes(changes or found.changes.files, console)
    if record.state not in events.REVIEWABLE_STATES or not (changes or record.state in OPEN):
        console.say(f"Run {record.run_id} is {record.state}.")
        return 0
    if not console.is_interactive:
        console.say(f"{_summary(changes)}. Nothing is applied yet: kiro-lsp review {record.run_id} --accept | --reject")
        return 0
    with Terminal.open() as terminal:
        if terminal is None:
            return 0
        decision = _Decision(engine, record, console, terminal)
        code = await decision.whole()
    if decision.comment:
        from kiro_lsp.terminal.running import commented

        return await commented(engine, record.run_id, decision.comment, console)
    return code


def _summary(changes: Collection[FileChange]) -> str:
    return f"{counted(len(changes), 'file')} to review" if changes else "No files changed; accepting ticks the task"


class _Decision:
    """A person decides at the terminal. Leaving at any point keeps what is undecided pending."""

    def __init__(self, engine: Engine, record: RunRecord, console: Console, terminal: Terminal) -> None:
        self._engine, self._run_id, self._console, self._terminal = engine, record.run_id, console, terminal
        self._can_be_told = bool(record.path) and not record.replay
        self.comment = ""
        """What shall be different, if that is what the person said."""

    async def whole(self) -> int:
        found = self._engine.review(self._run_id)
        choices = [Choice("accept", "accept everything"), Choice("reject", "reject everything")]
        if pending_changes(found):
            choices.append(Choice("files", "file by file"))
        if self._can_be_told:
            choices.append(Choice("comment", "say what shall be different"))
        choices.append(Choice("later", "later (it stays pending)"))
        question = f"\n{_summary(pending_changes(found))}. What shall become of it?"
        match await self._terminal.ask_later(question, choices, "later"):
            case "accept":
                return _report(
                    self._run_id, await self._engine.accept(self._run_id, revision=found.revision, by=BY), self._console
                )
            case "reject":
                _report(
                    self._run_id, await self._engine.reject(self._run_id, revision=found.revision, by=BY), self._console
                )
                return 1
            case "files":
                return await self._files(found)
            case "comment":
                self.comment = await self._terminal.words_later("\nWhat shall be different?")
                return 0
            case _:
                self._console.say(f"It stays pending: kiro-lsp review {self._run_id}")
                return 0

    async def _files(self, found: Review) -> int:
        """Collect the decisions first, then reject and accept, so that the tree changes once."""
        rejected: list[tuple[str, list[str] | None]] = []
        accepted: list[tuple[str, list[str] | None]] = []
        for change in pending_changes(found):
            hunks = [shown.hunk for shown in found.shown_hunks(change.path) if shown.status == "pending"]
            choices = [Choice("accept", "accept this file"), Choice("reject", "reject this file")]
            if len(hunks) > 1:
                choices.append(Choice("hunks", "hunk by hunk"))
            choices.append(Choice("later", "leave it pending"))
            print_changes([change], self._console)
            match await self._terminal.ask_later(f"\n{WORD[change.action]}: {visible(change.path)}", choices, "later"):
                case "accept":
                    accepted.append((change.path, None))
                case "reject":
                    rejected.append((change.path, None))
                case "hunks":
                    yes, no = await self._hunks(change, hunks)
                    accepted += [(change.path, yes)] if yes else []
                    rejected += [(change.path, no)] if no else []
        return await self._carry_out(accepted, rejected)

    async def _hunks(self, change: FileChange, hunks: list[Hunk]) -> tuple[list[str], list[str]]:
        yes: list[str] = []
        no: list[str] = []
        choices = [
            Choice("accept", "accept this hunk"),
            Choice("reject", "reject this hunk"),
            Choice("later", "leave it pending"),
        ]
        for number, hunk in enumerate(hunks, start=1):
            shown = "".join([*(f"  -{line}" for line in hunk.old), *(f"  +{line}" for line in hunk.new)])
            question = f"\n{visible(change.path)}, hunk {number} of {len(hunks)}\n{shown.rstrip()}"
            match await self._terminal.ask_later(question, choices, "later"):
                case "accept":
                    yes.append(hunk.id)
                case "reject":
                    no.append(hunk.id)
        return yes, no

    async def _carry_out(
        self, accepted: list[tuple[str, list[str] | None]], rejected: list[tuple[str, list[str] | None]]
    ) -> int:
        code = 0
        for path, hunks in rejected:
            code |= _report(
                self._run_id, await self._engine.reject(self._run_id, path=path, hunks=hunks, by=BY), self._console
            )
        for path, hunks in accepted:
            code |= _report(
                self._run_id, await self._engine.accept(self._run_id, path=path, hunks=hunks, by=BY), self._console
            )
        return code
