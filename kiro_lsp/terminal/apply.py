"""`apply`: a model's answer, in whatever edit format it came, as a diff; with `--write` as changed files.

Looking opens no store and starts nothing. Writing and `--review` go through a run of their own (engine/pasted.py), so the
journal, `undo` and `review` know it like any other; what becomes of open documents is the engine's business.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from kiro_lsp.changes.changeset import unified_diff
from kiro_lsp.changes.edits.answer import Failure, Outcome
from kiro_lsp.changes.model import FileChange
from kiro_lsp.changes.review import is_protected
from kiro_lsp.engine import pasted
from kiro_lsp.errors import KiroError, UnreadableFile, UsageError
from kiro_lsp.sandbox import paths
from kiro_lsp.terminal.console import Console
from kiro_lsp.terminal.diff import WORD, counted, print_changes
from kiro_lsp.terminal.project import BY, project_root, with_engine

if TYPE_CHECKING:
    from kiro_lsp.engine.engine import Engine, Settled


def apply(args: argparse.Namespace, console: Console) -> int:
    """Show what an answer would change, write it, or keep it for review. 1 when it cannot be applied whole."""
    try:
        root = _root(args.root)
        outcome = _read(root, args, console)
        if not outcome.ok:
            return _refuse(outcome, console)
        if args.write or args.review:
            return _keep(root, outcome, args, console)
    except UsageError:
        raise
    except KiroError as error:
        console.refuse(error, **(_wire(Outcome("", ())) | {"ok": False}))
        return 1
    if console.json:
        console.value(_wire(outcome))
    else:
        _show(outcome, console)
        console.say(f"{_summary(outcome.changes)}. Nothing is written yet: add --write, or --review to decide later.")
    return 0


def _root(given: str | None) -> Path:
    """The folder that the answer's paths start from: exactly the given one, else the project around this folder."""
    if given is None:
        return project_root()
    if not os.path.isdir(given):
        raise UsageError(f"{given!r} is not a folder.", hint="--root names the folder that the paths start from.")
    return Path(os.path.abspath(given))


def _read(root: Path, args: argparse.Namespace, console: Console) -> Outcome:
    text = _text(args.answer, console)
    file = None if args.file is None else _file_in(root, args.file)
    return pasted.read(text, pasted.ProjectFiles(root), format=args.format, file=file)


def _file_in(root: Path, given: str) -> str:
    """`--file` as a path in the project: as a file from here, else as the project spells it."""
    if os.path.isfile(given) or not os.path.isfile(root / given):
        return paths.resolve(root, os.path.abspath(given))
    return paths.resolve(root, given)


def _text(given: str, console: Console) -> str:
    """The answer's text from a file or from standard input. Raises UnreadableFile."""
    if given == "-":
        if sys.stdin.isatty():
            console.say("Paste the answer, then end it with Ctrl-D on a line of its own.")
        return _decoded(_bounded(sys.stdin.buffer), "standard input")
    try:
        with open(given, "rb") as file:
            return _decoded(_bounded(file), repr(given))
    except OSError as error:
        raise UnreadableFile(f"{given!r} cannot be read: {error.strerror}.", hint="Name a file, or - .") from error


def _bounded(stream: BinaryIO) -> bytes:
    data = stream.read(pasted.ANSWER_LIMIT + 1)
    if len(data) > pasted.ANSWER_LIMIT:
        raise UnreadableFile(
            f"The answer is too large: more than {pasted.ANSWER_LIMIT} bytes.", hint="Apply it in several parts."
        )
    return data


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        what = "it is UTF-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else f"byte {error.start} is not UTF-8"
        raise UnreadableFile(f"{name} is not UTF-8 text: {what}.", hint="Save the answer as UTF-8.") from error


# Writing


def _keep(root: Path, outcome: Outcome, args: argparse.Namespace, console: Console) -> int:
    """Make a run of the answer, then write it, or leave it for review."""
    guarded = [change.path for change in outcome.changes if is_protected(change)]
    if args.write and guarded and not args.protected:
        raise KiroError(
            f"The answer changes {', '.join(guarded)}: such a file can make programs run something, so it needs a yes "
            "of its own. Nothing was written.",
            hint="Look at the diff, then add --protected, or use --review.",
        )

    async def work(engine: Engine) -> int:
        run_id = await pasted.record(engine, root, outcome)
        if args.write:
            everything = engine.review(run_id).pending
            return _report(run_id, outcome, await engine.accept(run_id, hunks=everything, by=BY), console)
        if console.json:
            console.value(_wire(outcome) | {"runId": run_id, "written": False})
            return 0
        _notes(outcome, console)
        from kiro_lsp.terminal.reviewing import after_run

        return await after_run(engine, run_id, console)

    return with_engine(work)


def _report(run_id: str, outcome: Outcome, settled: Settled, console: Console) -> int:
    if console.json:
        failures = [Failure(path, 0, "conflict", settled.message) for path in settled.conflicts]
        wire = _wire(outcome) | {"runId": run_id, "written": settled.ok, "message": settled.message}
        console.value(wire | {"ok": settled.ok, "failures": [_failure_wire(failure) for failure in failures]})
    elif settled.ok:
        _show(outcome, console)
        console.say(f"{settled.message} Take it back with: kiro-lsp undo {run_id}")
    else:
        console.say(f"kiro-lsp: {settled.message}")
        console.say(f"  Nothing was written; the changes are kept: kiro-lsp review {run_id}")
    return 0 if settled.ok else 1


# Showing


def _show(outcome: Outcome, console: Console) -> None:
    print_changes(outcome.changes, console)
    _notes(outcome, console)


def _notes(outcome: Outcome, console: Console) -> None:
    """Where an edit did not fit to the letter, and what looks odd about the result."""
    for placed in outcome.placed:
        if placed.note:
            console.say(f"{placed.path}, edit {placed.edit + 1} at line {placed.line}: {placed.note}")
    for warning in outcome.warnings:
        console.say(f"warning: {warning}")


def _summary(changes: Sequence[FileChange]) -> str:
    actions = [WORD[change.action] for change in changes]
    counts = ", ".join(f"{actions.count(word)} {word}" for word in WORD.values() if word in actions)
    return f"{counted(len(changes), 'file')}: {counts}"


def _refuse(outcome: Outcome, console: Console) -> int:
    if console.json:
        console.value(_wire(outcome))
    console.say("kiro-lsp: the answer cannot be applied, so nothing was changed.")
    for line in pasted.told_all(outcome):
        console.say(f"  {line}")
    if any(failure.reason == "path" and not failure.path for failure in outcome.failures):
        console.say("  If all of it is about one file, say which: --file PATH.")
    console.say("  Send these lines back to the model, or correct the answer and apply it again.")
    return 1


# On the wire


def _wire(outcome: Outcome) -> dict[str, Any]:
    return {
        "ok": outcome.ok,
        "format": outcome.format,
        "files": [_file_wire(change) for change in outcome.changes],
        "failures": [_failure_wire(failure) for failure in outcome.failures],
        "placed": [
            {"path": placed.path, "edit": placed.edit, "line": placed.line, "tier": placed.tier, "note": placed.note}
            for placed in outcome.placed
        ],
        "warnings": list(outcome.warnings),
        "protected": [change.path for change in outcome.changes if is_protected(change)],
    }


def _file_wire(change: FileChange) -> dict[str, Any]:
    to = {} if change.to is None else {"to": change.to}
    return {"path": change.path, "action": change.action, **to, "diff": unified_diff(change)}


def _failure_wire(failure: Failure) -> dict[str, Any]:
    found: dict[str, Any] = {
        "path": failure.path,
        "edit": failure.edit,
        "reason": failure.reason,
        "hint": failure.hint,
        "candidates": list(failure.candidates),
    }
    if failure.difference is not None:
        differs = failure.difference
        found["difference"] = {"line": differs.line, "sent": differs.sent, "found": differs.found}
    return found
