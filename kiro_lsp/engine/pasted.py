"""A model's answer that no agent of ours brought: read against a project, and made a review like any other.

A person pasted it from a chat, or piped it into `kiro-lsp apply`. It becomes a run without a task and without an agent
(agent `pasted`, way `paste`, no cost), so that review, accept, undo, journal and commit are the ones of every run; only
a tick never follows. Reading looks at files and writes none; no program is started for it, so trust is not asked for.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kiro_lsp import events
from kiro_lsp.changes import changeset
from kiro_lsp.changes.edits import apply_answer, read_answer
from kiro_lsp.changes.edits.answer import Failure, FileEdit, Outcome
from kiro_lsp.changes.model import ChangeSet, FileChange
from kiro_lsp.engine import faults
from kiro_lsp.engine.run import new_run_id, now
from kiro_lsp.errors import PathRefused, RunRefused, UnreadableFile
from kiro_lsp.sandbox import files, listing, paths
from kiro_lsp.spec.model import TaskAnchor
from kiro_lsp.store import RunRecord

if TYPE_CHECKING:
    from kiro_lsp.engine.engine import Engine

AGENT: Final = "pasted"
ANSWER_LIMIT: Final = 4 * 1024 * 1024
"""In bytes of UTF-8. The longest answer of any model is far shorter, and nonsense of this size is still refused soon."""
FILE_LIMIT: Final = 50 * 1024 * 1024
_HINTS_SHOWN: Final = 20
_NO_TASK: Final = TaskAnchor("", None, "", (), None, None)


@dataclass(slots=True)
class ProjectFiles(Mapping[str, bytes]):
    """The files of a project by any spelling that means one of them, each read when it is asked for and only once.

    Open documents come before the disk. Listing all names is the dear part: it happens only when somebody iterates, and
    leaves out what ignore files hide. `trouble` says why a name that was asked for could not be looked at.
    """

    root: Path
    buffer_bytes: Callable[[str], bytes | None] = lambda _path: None
    open_documents: Callable[[], Sequence[str]] = tuple
    trouble: dict[str, str] = field(default_factory=dict)
    _read: dict[str, bytes | None] = field(default_factory=dict)
    _names: list[str] | None = None

    def __getitem__(self, name: str) -> bytes:
        try:
            path = paths.resolve(self.root, name)
            if path not in self._read:
                buffer = self.buffer_bytes(path)
                self._read[path] = buffer if buffer is not None else files.safe_read(self.root, path, FILE_LIMIT)
        except (PathRefused, UnreadableFile) as error:
            self.trouble[name] = str(error)
            raise KeyError(name) from error
        data = self._read[path]
        if data is None:
            raise KeyError(name)
        return data

    def __iter__(self) -> Iterator[str]:
        if self._names is None:
            on_disk = listing.list_files(self.root, trusted=False)
            self._names = sorted({*on_disk, *self.open_documents()})
        return iter(self._names)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def mode(self, name: str) -> int | None:
        """Permission bits, None when they are not known."""
        try:
            return files.mode_of(self.root, paths.resolve(self.root, name))
        except (PathRefused, UnreadableFile):
            return None


def read(
    text: str, project: ProjectFiles, *, format: str = "auto", file: str | None = None, beside: str | None = None
) -> Outcome:
    """What an answer makes of a project's files: changes of real paths, or failures and no change.

    `file` (root-relative) is what an answer is about that names no file, as somebody said; `beside` is only the one that
    they looked at: it gets edits that find their place in it, and is never replaced by a block that has no name.
    Blocking, for the files that it looks at. A path that leaves the project, belongs to git or cannot be read is a
    failure like any other.
    """
    if len(text) > ANSWER_LIMIT:
        raise UnreadableFile(
            f"The answer is too large: more than {ANSWER_LIMIT} characters.", hint="Apply it in several parts."
        )
    answer = read_answer(text, format, file=file)
    named = (replace(edit, names=(beside,)) if beside and not edit.names else edit for edit in answer.files)
    answer = replace(answer, files=tuple(_relative(edit, project.root) for edit in named))
    outcome = apply_answer(answer, project, modes=project.mode)
    if outcome.failures:
        return replace(outcome, failures=tuple(_explained(failure, project) for failure in outcome.failures))
    if not outcome.changes:
        return replace(outcome, failures=(Failure("", 0, "format", "The answer holds no edit that changes a file."),))
    return _in_real_paths(outcome, project)


def _relative(edit: FileEdit, root: Path) -> FileEdit:
    """The same with absolute names inside the project as the project spells them; others are left to be refused."""

    def inside(name: str) -> str:
        try:
            return paths.resolve(root, name) if os.path.isabs(name) else name
        except PathRefused:
            return name

    return replace(edit, names=tuple(map(inside, edit.names)), to=None if edit.to is None else inside(edit.to))


def _explained(failure: Failure, project: ProjectFiles) -> Failure:
    """A file that could not be looked at is no missing file: the failure says why."""
    # What diff programs put before a name was dropped before the file was looked for.
    met = (why for name, why in project.trouble.items() if f"/{failure.path}".endswith(f"/{name}"))
    trouble = next(met, None)
    if trouble is None:
        return failure
    return replace(failure, reason="path", hint=trouble, candidates=(), difference=None)


def _in_real_paths(outcome: Outcome, project: ProjectFiles) -> Outcome:
    """The changes with the one real path of each file, so that no two of them are about the same one."""
    changes: list[FileChange] = []
    failures: list[Failure] = []
    written: set[str] = set()
    for change in outcome.changes:
        edit = next((placed.edit for placed in outcome.placed if placed.path == change.path), 0)
        try:
            real = _real(change, project)
        except (PathRefused, UnreadableFile) as error:
            failures.append(Failure(change.path, edit, "path", str(error)))
            continue
        touched = {real.path, real.to or real.path}
        if written & touched:
            hint = f"{change.path} is the same file as another one that the answer changes. Name each file in one way."
            failures.append(Failure(change.path, edit, "conflict", hint))
        written |= touched
        changes.append(real)
    if failures:
        return replace(outcome, changes=(), failures=tuple(failures))
    return replace(outcome, changes=tuple(changes))


def _real(change: FileChange, project: ProjectFiles) -> FileChange:
    for name in (change.path, change.to):
        if name is not None and name in project.trouble:
            raise UnreadableFile(project.trouble[name])
    path = paths.resolve(project.root, change.path)
    leaves = change.action in ("delete", "rename")
    if leaves and os.path.islink(os.path.join(project.root, *change.path.split("/"))):
        raise PathRefused(f"{change.path} is a symbolic link to {path}: it is not deleted or renamed through it.")
    return replace(change, path=path, to=None if change.to is None else paths.resolve(project.root, change.to))


def of_project(engine: Engine, root: Path) -> ProjectFiles:
    """The files of a project as a person sees them: open documents over the disk."""
    workspace = engine.workspace(root)
    return ProjectFiles(root, workspace.buffer_bytes, lambda: workspace.open_paths(engine.buffers.paths()))


async def record(engine: Engine, root: Path, outcome: Outcome) -> str:
    """Make a review out of the changes of an answer and return its run's id. Nothing is written in the project.

    Raises RunRefused when the answer failed: an answer is taken whole or not at all.
    """
    if not outcome.ok:
        raise refusal(outcome)
    changes = ChangeSet(tuple(sorted(outcome.changes, key=lambda change: change.path)))
    touched = tuple(change.path for change in changes.files)
    title = f"Pasted answer: {', '.join(touched[:3])}{f' and {len(touched) - 3} more' if len(touched) > 3 else ''}"
    run_id = new_run_id()
    run = RunRecord(
        run_id=run_id,
        root=engine.workspace(root).real_root,
        path="",
        task_key=run_id,  # one run per task at a time: answers do not wait for each other
        title=title,
        agent=AGENT,
        way="paste",
        model="",
        billing="local",
        state="running",
        started_at=now(),
        anchor=_NO_TASK,
        owner=engine.owner,
    )
    store = engine.store
    await asyncio.wrap_future(store.create_run(run))
    faults.point("paste.recorded")
    await asyncio.wrap_future(store.stage_together(run_id, changes.files))
    faults.point("paste.staged")
    counts = changeset.counts(changes)
    ended = events.Complete(touched, counts.created, counts.modified, counts.deleted, counts.tests_added, title)
    group: list[events.RunEvent] = [
        events.Start(AGENT, "paste", "", "", "pasted by you"),
        events.State("running", "review"),
        events.ReviewReady(touched),
        events.Phase("review"),
        ended,
    ]
    envelopes = await asyncio.wrap_future(store.append(run_id, group, durable=True, at=now()))
    engine.publish_foreign(envelopes)
    return run_id


def refusal(outcome: Outcome) -> RunRefused:
    """Why an answer was not taken, with what each edit lacks: the words that go back to the model."""
    message = "The answer cannot be applied, so nothing was changed.\n" + "\n".join(told_all(outcome))
    return RunRefused(message, code="edit")


def told_all(outcome: Outcome) -> list[str]:
    """A line for each failure, for as many as somebody would read."""
    shown = [_told(failure) for failure in outcome.failures[:_HINTS_SHOWN]]
    left = len(outcome.failures) - len(shown)
    return [*shown, f"… and {left} more"] if left else shown


def _told(failure: Failure) -> str:
    """One failure as a line: where, what, the lines to look at, what to do next."""
    lines = f" (lines {', '.join(map(str, failure.candidates))})" if failure.candidates else ""
    where = f"{failure.path}, edit {failure.edit + 1}" if failure.path else f"edit {failure.edit + 1}"
    return f"{where}: {failure.reason}{lines}: {failure.hint}"
