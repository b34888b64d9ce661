"""What `kiro-lsp mcp` answers: tasks, prompts and runs of one project as JSON values, and runs started for a program.

A program may look, and ask for a run. It may not decide: there is no way here to accept, reject, answer a question, trust a
project, tick a box or undo. A run that it asks for waits for the person wherever the person is asked, in an editor or on a
terminal. It knows no protocol.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kiro_lsp import events
from kiro_lsp.changes.changeset import unified_diff
from kiro_lsp.engine.engine import Engine
from kiro_lsp.engine.execute import StartRun
from kiro_lsp.engine.wire import agent_json, run_json
from kiro_lsp.engine.workspace import DOCUMENT_LIMIT, TaskFile, Workspace
from kiro_lsp.errors import RunRefused, UnreadableFile
from kiro_lsp.events import Envelope
from kiro_lsp.sandbox import files
from kiro_lsp.spec import tasks
from kiro_lsp.spec.model import Task
from kiro_lsp.terminal.task_files import task_files

BY: Final = "mcp"
"""Who this face is in control rows."""
MOST_FILES: Final = 200
_MOST_RUNS: Final = 50
_DIFF_CHARACTERS: Final = 100_000
_SENDER: Final = "(from the program that asked for this run, not from the person)"

Told = Callable[[str], Awaitable[None]]
"""Gets a line about how a run goes on."""


@dataclass(frozen=True, slots=True)
class Answers:
    """One project, and the engine that runs its tasks. Methods raise KiroError."""

    engine: Engine
    root: Path

    @property
    def workspace(self) -> Workspace:
        return self.engine.workspace(self.root)

    # Looking

    def task_list(self, path: str | None = None) -> dict[str, Any]:
        """The tasks of one file, or of every task file of the project."""
        paths = [path] if path else list(self._paths())
        return {"root": str(self.root), "files": [self._tasks_of(each) for each in paths]}

    def task(self, path: str, task: str) -> dict[str, Any]:
        """One task with everything that its file says of it, and its newest run."""
        file, found = self._found(path, task)
        listed = tasks.tasks_json(file.path, file.tasks)
        shown = next(each for each in _items(listed, "tasks") if each["key"] == found.key)
        why_not = tasks.why_not_runnable(file.tasks, found)
        newest = next((r for r in self.engine.runs(self.root) if (r.path, r.task_key) == (file.path, found.key)), None)
        run = None if newest is None else self.run(newest.run_id)
        return {"path": file.path, "task": shown, "runnable": not why_not, "whyNot": why_not or None, "run": run}

    def prompt(self, path: str, task: str) -> str:
        """Exactly what an agent would be sent."""
        file, found = self._found(path, task)
        return self.workspace.as_sent(self.workspace.prompt(file, found)[0])

    def agents(self) -> dict[str, Any]:
        recommended = self.workspace.recommended()
        return {"agents": [agent_json(info, recommended) for info in self.workspace.agents()]}

    def runs(self) -> dict[str, Any]:
        """The newest runs of this project."""
        return {"runs": [run_json(record) for record in self.engine.runs(self.root, _MOST_RUNS)]}

    def run(self, run_id: str) -> dict[str, Any]:
        """How a run stands, and what the person can do about it."""
        record = self.engine.store.run(self._ours(run_id))
        question = _open_question(self.engine.store.events(record.run_id)) if record.state == "waiting" else None
        return {**run_json(record), **_outcome(self.engine.store.events(record.run_id)), **_next(record, question)}

    def diff(self, run_id: str) -> str:
        """What a run proposes, as a unified diff."""
        changes = self.engine.store.changes(self._ours(run_id))
        text = "".join(unified_diff(change) for change in changes.files)
        return text if len(text) <= _DIFF_CHARACTERS else f"{text[:_DIFF_CHARACTERS]}\n[… cut]\n"

    # Documents

    def documents(self) -> dict[str, str]:
        """Root-relative path → title of the task files and of the documents of their specs."""
        found: dict[str, str] = {}
        for path in self._paths():
            found[path] = f"Tasks: {path}"
            for document in self.workspace.spec_documents(path):
                found.setdefault(document, document)
        return dict(list(found.items())[:MOST_FILES])

    def document(self, path: str) -> str:
        """The text of one of `documents`; nothing else of the project is read out."""
        relative = self.workspace.relative(path)
        if relative not in self.documents():
            raise UnreadableFile(f"{relative!r} is no document of a spec here.", hint="List the resources.")
        data = files.safe_read(self.root, relative, limit=DOCUMENT_LIMIT)
        text = None if data is None else tasks.decode(data).text
        if text is None:
            raise UnreadableFile(f"{relative!r} is not text.")
        return text

    # Runs

    async def start(
        self,
        path: str,
        task: str,
        *,
        seconds: int,
        told: Told,
        agent: str | None = None,
        model: str | None = None,
        note: str | None = None,
    ) -> dict[str, Any]:
        """Start a run and watch it for at most `seconds`, until it has ended or waits for the person."""
        safety = (await asyncio.to_thread(self.workspace.settings)).settings.safety
        if not safety.review_changes:
            raise RunRefused(
                "Your configuration applies changes without a review (safety.review_changes = false). A program may ask "
                "only for runs that a person reviews.",
                code="unreviewed",
                hint="Run the task yourself: kiro-lsp run, or the lens in your editor.",
            )
        said = f"{_SENDER} {note}" if note else None
        file = await asyncio.to_thread(self.workspace.relative, path)
        run_id = await self.engine.start(
            StartRun(self.root, file, task, agent, model, note=said, trust="refuse", by=BY)
        )
        await self._watch(run_id, seconds, told)
        return await asyncio.to_thread(self.run, run_id)

    async def cancel(self, run_id: str) -> dict[str, Any]:
        """Stop a run of this project; what it staged stays reviewable."""
        return {"runId": run_id, "message": await self.engine.cancel(self._ours(run_id), by=BY)}

    async def _watch(self, run_id: str, seconds: int, told: Told) -> None:
        try:
            async with asyncio.timeout(seconds):
                with closing(self.engine.follow(run_id)) as stream:
                    async for envelope in stream:
                        event = envelope.event
                        if isinstance(event, (*events.ENDED, events.Permission)):
                            return
                        if isinstance(event, events.Phase):
                            await told(f"{event.phase} {event.detail}" if event.detail else event.phase)
        except TimeoutError:
            return

    # Finding

    def _paths(self) -> Iterator[str]:
        """Root-relative paths of the task files of this project."""
        found = (os.path.relpath(path, self.root).replace(os.sep, "/") for path in task_files(str(self.root)))
        return (path for path, _ in zip((path for path in found if path != "."), range(MOST_FILES), strict=False))

    def _tasks_of(self, path: str) -> dict[str, Any]:
        file = self._read(path)
        return dict(tasks.tasks_json(file.path, file.tasks))

    def _found(self, path: str, task: str) -> tuple[TaskFile, Task]:
        file = self._read(path)
        return file, tasks.find(file.tasks, task)

    def _read(self, path: str) -> TaskFile:
        file = self.workspace.read_tasks(path)
        if file.text is None:
            reason = file.problem.message if file.problem else "it is not text"
            raise UnreadableFile(f"{path!r} cannot be read as a task file: {reason}")
        return file

    def _ours(self, run_id: str) -> str:
        """The whole id of a run of this project. Raises UnknownRun, and RunRefused for a run of another one."""
        record = self.engine.store.run(run_id)
        if record.root != self.workspace.real_root:
            raise RunRefused(f"Run {record.run_id} belongs to another project.", code="elsewhere")
        return record.run_id


def _items(listed: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    return list(listed[name])


def _open_question(found: list[Envelope]) -> events.Permission | None:
    asked: events.Permission | None = None
    for envelope in found:
        match envelope.event:
            case events.Permission() as question:
                asked = question
            case events.Answer(request_id=identifier) if asked is not None and asked.request_id == identifier:
                asked = None
    return asked


def _outcome(found: list[Envelope]) -> dict[str, Any]:
    """What the last end of a run says: its summary, or what went wrong."""
    for envelope in reversed(found):
        match envelope.event:
            case events.Complete(summary=summary):
                return {"summary": summary}
            case events.Error(kind=kind, message=message, hint=hint):
                return {"error": {"kind": kind, "message": message, "hint": hint}}
    return {}


def _next(record: Any, question: events.Permission | None) -> dict[str, Any]:
    """What comes next, in words for the agent to pass on. Only the person can do it."""
    if question is not None:
        return {
            "waitsFor": question.title,
            "next": "Only the person can answer this: in their editor, or on a terminal with "
            f"`kiro-lsp answer {record.run_id} {question.request_id} OPTION` "
            f"({', '.join(option.id for option in question.options)}).",
        }
    words = {
        "review": f"Only the person can accept or reject it: in their editor, or with `kiro-lsp review {record.run_id}`.",
        "conflict": f"Their files changed meanwhile; the person decides: `kiro-lsp review {record.run_id}`.",
        "applied": "It is in the person's files.",
        "rejected": "The person rejected it.",
    }
    live = record.state in events.LIVE_STATES
    return {"next": "It goes on; ask again with run_status."} if live else {"next": words.get(record.state, "")}
