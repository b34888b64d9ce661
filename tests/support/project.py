"""A small project with a run that has staged changes: what accept, undo, restore and tick start from."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kiro_lsp.changes.model import ChangeSet, FileAction, FileChange
from kiro_lsp.changes.review import Review
from kiro_lsp.engine.apply import Outcome
from kiro_lsp.spec import tasks
from kiro_lsp.spec.model import TaskAnchor
from kiro_lsp.store import RunRecord, Store
from tests.support.tree import differences, snapshot

TASKS = "# Plan\r\n\r\n- [ ] 1. First task\r\n- [ ] 2. Second task ✅\r\n- [x] 3. Third task"
TASK_FILE = ".kiro/specs/demo/tasks.md"


@dataclass(frozen=True, slots=True)
class File:
    """A file as it is and as it shall be; None: not there."""

    before: bytes | None
    after: bytes | None
    before_mode: int = 0o644
    after_mode: int | None = None


def modes_of(file: File) -> tuple[int | None, int | None]:
    before = None if file.before is None else file.before_mode
    if file.after is None:
        return before, None
    return before, before if file.after_mode is None else file.after_mode


def change_of(path: str, file: File) -> FileChange:
    action: FileAction = "create" if file.before is None else "delete" if file.after is None else "modify"
    before_mode, after_mode = modes_of(file)
    return FileChange(path, action, file.before, file.after, before_mode, after_mode)


def lay_out(root: Path, files: Mapping[str, File], tasks_text: str = TASKS) -> None:
    """The project before the run is accepted, with bystanders that nothing may touch."""
    task_file = root / TASK_FILE
    task_file.parent.mkdir(parents=True)
    task_file.write_bytes(tasks_text.encode())
    (root / "bystander.txt").write_bytes(b"not part of it\n")
    (root / "link").symlink_to("bystander.txt")
    for path, file in files.items():
        if file.before is not None:
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.before)
            target.chmod(file.before_mode)


def expected(root: Path, files: Mapping[str, File]) -> dict[str, tuple[bytes, int] | None]:
    """What each path shall hold after an accept; None: nothing."""
    umask = os.umask(0)
    os.umask(umask)
    result: dict[str, tuple[bytes, int] | None] = {}
    for path, file in files.items():
        if file.after is None:
            result[path] = None
            continue
        mode = file.after_mode if file.after_mode is not None else file.before_mode
        result[path] = (file.after, mode & ~umask if file.before is None else mode)
    return result


def actual(root: Path, files: Mapping[str, File]) -> dict[str, tuple[bytes, int] | None]:
    found: dict[str, tuple[bytes, int] | None] = {}
    for path in files:
        file = root / path
        found[path] = (file.read_bytes(), file.stat().st_mode & 0o7777) if file.is_file() else None
    return found


def anchor(key: str = "1", text: str = TASKS) -> TaskAnchor:
    found = tasks.parse(text, TASK_FILE)
    return tasks.anchor_of(found, tasks.find(found, key))


def record_run(store: Store, root: Path, files: Mapping[str, File], run_id: str = "run-1", *, task: str = "1") -> str:
    """A completed run with these changes staged, in state `review`."""
    return record_changes(store, root, [change_of(path, file) for path, file in files.items()], run_id, task=task)


def record_changes(
    store: Store, root: Path, changes: Sequence[FileChange], run_id: str = "run-1", *, task: str = "1"
) -> str:
    """The same for changes of any kind."""
    record = RunRecord(
        run_id=run_id,
        root=os.path.realpath(root),
        path=TASK_FILE,
        task_key=task,
        title="First task",
        agent="claude",
        way="api",
        model="m",
        billing="metered",
        state="running",
        started_at="2026-11-21T00:00:00.000Z",
        anchor=anchor(task),
        task_id=task,
    )
    assert store.create_run(record).result()
    for change in changes:
        store.stage(run_id, change).result()
    assert store.transition(run_id, ["running"], "review").result()
    return run_id


def review_of(store: Store, run_id: str = "run-1") -> Review:
    decisions, revision = store.decisions(run_id)
    return Review(store.changes(run_id), decisions, revision)


def everything(review: Review) -> Review:
    """All hunks accepted, also those that need their own yes."""
    return review.decide(
        "accepted", hunks=[hunk.id for change in review.changes.files for hunk in review.hunks(change.path)]
    )


SETS: dict[int, dict[str, File]] = {
    1: {"src/app.py": File(b"a\r\nb\r\nc", b"a\r\nB\r\nc", 0o640)},
    3: {
        "src/app.py": File(b"1\n2\n3\n", b"1\ntwo\n3\n4\n", 0o755),
        "new/deep/file.txt": File(None, b"created\n", after_mode=0o666),
        "old/only.txt": File(b"goes away\n", None, 0o600),
    },
    20: {
        **{f"src/m{n}.txt": File(f"{n}\nsame\n".encode(), f"{n}!\nsame\n".encode()) for n in range(9)},
        **{f"fresh/{n % 3}/c{n}.txt": File(None, f"new {n}".encode(), after_mode=0o666) for n in range(4)},
        **{f"gone/d{n}.bin": File(bytes([0, n]), None, 0o640) for n in range(3)},
        "bin/tool": File(b"#!/bin/sh\n", b"#!/bin/sh\n", 0o644, 0o755),
        "bin/both": File(b"x", b"y", 0o644, 0o755),
        "data.bin": File(b"\0\1", b"\0\2", 0o600),
        "bom.txt": File("\ufeffé\n".encode(), "\ufeffè\n".encode()),
    },
}
"""Sets of 1, 3 and 20 files with every kind of change."""


def change_set(files: Mapping[str, File]) -> ChangeSet:
    return ChangeSet(tuple(change_of(path, file) for path, file in sorted(files.items())))


def prepare(root: Path, store: Store, files: Mapping[str, File]) -> Review:
    lay_out(root, files)
    return review_of(store, record_run(store, root, files))


def states(store: Store, run_id: str = "run-1") -> list[tuple[str, str]]:
    return [(journal.kind, journal.state) for journal in store.journals(run_id=run_id)]


def check_untouched(root: Path, before: object, store: Store, outcome: Outcome, state: str) -> None:
    """Nothing happened: the tree is the same to the nanosecond, nothing is decided, and the outcome says why."""
    assert outcome.state == state, outcome
    assert outcome.message
    after = snapshot(root)
    assert not differences(before, after), differences(before, after)  # type: ignore[arg-type]
    assert store.decisions("run-1")[0] == {}
