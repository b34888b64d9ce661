from __future__ import annotations

import os
from pathlib import Path

import pytest

from kiro_lsp.changes.model import FileChange
from kiro_lsp.errors import UnknownRun
from kiro_lsp.events import RUN_STATES, Chunk, RunState, State
from kiro_lsp.store import Journal, JournalFile, Store, retention
from tests.store.rows import AT, add_run


def settled_run(store: Store, number: int, state: RunState, *, data: bytes | None = b"content") -> str:
    run_id = f"{state}-{number:03}-{'empty' if data is None else 'full'}"
    add_run(store, run_id, started_at=f"2026-11-21T05:00:{number:02}.000Z")
    if data is not None:
        store.stage(run_id, FileChange("a.py", "create", None, data)).result()
    store.append(run_id, [Chunk("x"), State("running", state)], durable=True, at=AT).result()
    return run_id


def test_what_may_still_be_decided_is_never_forgotten(store: Store) -> None:
    for state in RUN_STATES:
        settled_run(store, 1, state)
        settled_run(store, 2, state, data=None)
    store.prune(runs=0).result()
    left = {run.run_id for run in store.runs()}
    pending = {
        run.run_id
        for run in store.runs()
        if run.state in ("queued", "running", "waiting", "verifying", "applying", "review", "conflict")
    }
    waiting = {f"{state}-001-full" for state in ("failed", "cancelled", "budget", "interrupted")}
    assert left == pending | waiting
    assert len(pending) == 14


def test_what_a_later_run_took_over_goes_once_that_was_applied(store: Store) -> None:
    older = settled_run(store, 1, "failed")
    add_run(store, "newer", continues=older)
    store.append("newer", [State("running", "review")], durable=True, at=AT).result()
    assert store.prune(runs=0).result() == 0
    store.append("newer", [State("review", "applied")], durable=True, at=AT).result()
    assert store.prune(runs=0).result() == 2


def test_a_run_whose_apply_was_cut_off_is_kept(store: Store) -> None:
    run_id = settled_run(store, 1, "applied")
    identifier = store.journal_prepare(Journal(run_id, "undo", (JournalFile("a.py", "disk", b"x", None),))).result()
    assert store.prune(runs=0).result() == 0
    store.journal_state(identifier, "ROLLED_BACK").result()
    assert store.prune(runs=0).result() == 1


def test_the_oldest_settled_runs_go_with_all_that_is_theirs(store: Store) -> None:
    shared = b"both runs wrote this"
    old, new = settled_run(store, 1, "applied", data=shared), settled_run(store, 2, "applied", data=shared)
    own = settled_run(store, 0, "rejected", data=b"only here")
    journal = Journal(old, "accept", (JournalFile("a.py", "disk", b"pre-image", shared),))
    store.journal_state(store.journal_prepare(journal).result(), "VERIFIED").result()
    store.decide(old, {"a.py": {"h": "accepted"}}, 2).result()
    assert store.prune(runs=1).result() == 2
    assert [run.run_id for run in store.runs()] == [new]
    assert store.changes(new).files[0].proposed == shared
    for run_id in (old, own):
        with pytest.raises(UnknownRun):
            store.run(run_id)
    rows = {
        table: store.read(lambda db, table=table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # type: ignore[misc]
        for table in ("events", "changes", "decisions", "journals", "journal_files", "blobs")
    }
    assert rows == {"events": 2, "changes": 1, "decisions": 0, "journals": 0, "journal_files": 0, "blobs": 1}


def test_what_was_spent_stays_spent(store: Store) -> None:
    run_id = settled_run(store, 1, "applied")
    store.reserve(run_id, "/p", "claude", 500, cap_day=1000, cap_run=1000, day="2026-11-21").result()
    store.prune(runs=0).result()
    assert store.spent("2026-11-21").reserved == 500
    assert [row.key for row in store.cost_rows("task")] == ["(runs no longer kept)"]


def test_a_file_that_grows_too_large_shrinks_again(store: Store, folder: Path) -> None:
    for number in range(30):
        settled_run(store, number, "applied", data=os.urandom(100_000))
    pending = settled_run(store, 59, "review", data=os.urandom(100_000))
    assert store.prune(size=1_000_000).result() > 20
    assert {run.run_id for run in store.runs()} >= {pending, "applied-029-full"}
    store.close()
    assert (folder / "kiro-lsp.db").stat().st_size < 1_100_000


def test_starting_runs_keeps_their_number_down(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention.Retention.prune, "__kwdefaults__", {"runs": 10, "size": 10**9})
    for number in range(25):
        settled_run(store, number, "applied")
    store.submit(lambda _db: None).result()
    assert len(store.runs()) <= 11
    assert store.runs()[0].run_id == "applied-024-full"
