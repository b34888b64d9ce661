"""What recovery makes of a journal by what files and documents hold, without anybody being killed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kiro_lsp.engine import recovery
from kiro_lsp.engine.disk import Disk
from kiro_lsp.store import Journal, JournalFile, JournalKind, JournalState, Store
from tests.support.project import File, lay_out, record_run
from tests.support.tree import snapshot

FILES = {"a.txt": File(b"1", b"2"), "b.txt": File(b"3", b"4")}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    lay_out(folder, FILES)
    return folder


@pytest.fixture
def store(tmp_path: Path, root: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "state")
    record_run(opened, root, FILES)
    yield opened
    opened.close()


A = JournalFile("a.txt", "disk", b"1", b"2", 0o644)
B = JournalFile("b.txt", "disk", b"3", b"4", 0o644)
DOCUMENT = JournalFile("a.txt", "buffer", b"1", b"2")


def journal(store: Store, *files: JournalFile, state: JournalState = "APPLYING", kind: JournalKind = "accept") -> int:
    identifier = store.journal_prepare(
        Journal("run-1", kind, files, revision=2, decisions={"a.txt": {"h": "accepted"}})
    )
    number = identifier.result()
    if state != "PREPARED":
        store.journal_state(number, state).result()
    return number


def state_of(store: Store, number: int) -> str:
    return next(found.state for found in store.journals() if found.id == number)


def test_what_was_only_prepared_has_written_nothing(root: Path, store: Store) -> None:
    number = journal(store, A, B, state="PREPARED")
    before = snapshot(root)
    assert recovery.recover(store, root, "run-1").state == "rolled-back"
    assert state_of(store, number) == "ROLLED_BACK"
    assert snapshot(root) == before


def test_all_files_at_after_is_verified_with_its_decisions(root: Path, store: Store) -> None:
    number = journal(store, A, B)
    (root / "a.txt").write_bytes(b"2")
    (root / "b.txt").write_bytes(b"4")
    outcome = recovery.recover(store, root, "run-1")
    assert (outcome.state, outcome.files, outcome.kind) == ("verified", ("a.txt", "b.txt"), "accept")
    assert state_of(store, number) == "VERIFIED"
    assert store.decisions("run-1") == ({"a.txt": {"h": "accepted"}}, 2)


@pytest.mark.parametrize("done", ["a.txt", "b.txt"])
def test_one_file_at_after_goes_back(root: Path, store: Store, done: str) -> None:
    before = snapshot(root, times=False)
    journal(store, A, B)
    (root / done).write_bytes(FILES[done].after or b"")
    assert recovery.recover(store, root, "run-1").state == "rolled-back"
    assert snapshot(root, times=False) == before
    assert store.decisions("run-1")[0] == {}


def test_a_file_that_somebody_changed_since_stays_and_is_named(root: Path, store: Store) -> None:
    number = journal(store, A, B)
    (root / "a.txt").write_bytes(b"2")
    (root / "b.txt").write_bytes(b"theirs")
    outcome = recovery.recover(store, root, "run-1")
    assert (outcome.state, outcome.conflicts) == ("conflict", ("b.txt",))
    assert "b.txt" in outcome.message
    assert (root / "a.txt").read_bytes() == b"1"
    assert (root / "b.txt").read_bytes() == b"theirs"
    assert state_of(store, number) == "CONFLICT"


def test_temporary_files_of_a_dead_process_are_removed(root: Path, store: Store) -> None:
    before = snapshot(root, times=False)
    number = journal(store, A, B)
    disk = Disk(root, recovery.token(store, number))
    for place, change in recovery.changes_of(store.journals()[0]):
        disk.lay(change, place)
    assert len(os.listdir(root)) > len([path for path in before.entries if "/" not in path])
    recovery.recover(store, root, "run-1")
    assert snapshot(root, times=False) == before


def test_a_document_that_has_the_new_text_takes_the_files_with_it(root: Path, store: Store) -> None:
    journal(store, DOCUMENT, B)
    outcome = recovery.recover(store, root, "run-1", open_text=lambda path: "2" if path.name == "a.txt" else None)
    assert outcome.state == "verified"
    assert (root / "b.txt").read_bytes() == b"4"


def test_a_document_that_was_saved_takes_the_files_with_it(root: Path, store: Store) -> None:
    journal(store, DOCUMENT, B)
    (root / "a.txt").write_bytes(b"2")
    assert recovery.recover(store, root, "run-1").state == "verified"
    assert (root / "b.txt").read_bytes() == b"4"


def test_a_document_that_is_lost_with_its_editor_leaves_everything_before(root: Path, store: Store) -> None:
    journal(store, DOCUMENT, B)
    assert recovery.recover(store, root, "run-1").state == "rolled-back"
    assert (root / "b.txt").read_bytes() == b"3"


def test_files_that_are_all_written_were_written_after_the_documents(root: Path, store: Store) -> None:
    """Documents come first and are proven; a kill after the last file finds the set complete."""
    journal(store, DOCUMENT, B)
    (root / "b.txt").write_bytes(b"4")
    assert recovery.recover(store, root, "run-1").state == "verified"


def test_an_undo_that_was_rolled_back_leaves_the_accept_in_force(root: Path, store: Store) -> None:
    journal(store, A, B, state="VERIFIED")
    (root / "a.txt").write_bytes(b"2")
    (root / "b.txt").write_bytes(b"4")
    backwards = [JournalFile(file.path, "disk", file.after, file.before, 0o644) for file in (A, B)]
    number = journal(store, *backwards, kind="undo")
    outcome = recovery.recover(store, root, "run-1")
    assert (outcome.state, outcome.kind) == ("verified", "accept")
    assert state_of(store, number) == "ROLLED_BACK"


def test_an_undo_that_was_completed_is_reported_as_one(root: Path, store: Store) -> None:
    journal(store, A, state="VERIFIED")
    journal(store, JournalFile("a.txt", "disk", b"2", b"1", 0o644), kind="undo")
    outcome = recovery.recover(store, root, "run-1")
    assert (outcome.state, outcome.kind) == ("verified", "undo")


def test_a_run_that_never_wrote_a_journal_is_where_it_was(root: Path, store: Store) -> None:
    assert recovery.recover(store, root, "run-1").state == "rolled-back"


def test_only_the_projects_own_journals_are_touched(root: Path, store: Store, tmp_path: Path) -> None:
    number = journal(store, A, state="PREPARED")
    other = tmp_path / "other"
    other.mkdir()
    assert recovery.recover_root(store, other) == []
    assert state_of(store, number) == "PREPARED"
    assert [outcome.state for outcome in recovery.recover_root(store, root)] == ["rolled-back"]


def test_what_somebody_else_wrote_before_we_began_is_not_taken_for_ours(root: Path, store: Store) -> None:
    number = journal(store, A, B, state="PREPARED")
    (root / "a.txt").write_bytes(b"2")
    (root / "b.txt").write_bytes(b"4")
    before = snapshot(root)
    assert recovery.recover(store, root, "run-1").state == "rolled-back"
    assert state_of(store, number) == "ROLLED_BACK"
    assert snapshot(root) == before


def test_beside_a_file_that_is_left_alone_nothing_is_left_behind(root: Path, store: Store) -> None:
    number = journal(store, A, B)
    disk = Disk(root, recovery.token(store, number))
    for place, change in recovery.changes_of(store.journals()[0]):
        disk.lay(change, place)
    (root / "b.txt").write_bytes(b"theirs")
    assert recovery.recover(store, root, "run-1").state == "conflict"
    assert [name for name in os.listdir(root) if name.startswith(".kiro-lsp")] == []
