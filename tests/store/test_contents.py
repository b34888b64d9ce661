from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiro_lsp import events
from kiro_lsp.changes.model import ChangeSet, FileChange
from kiro_lsp.errors import RunRefused, StaleRevision, StoreError
from kiro_lsp.store import Journal, JournalFile, JournalState, Store
from tests.store.rows import AT, add_run

BINARY = bytes(range(256)) * 10


def blobs(store: Store) -> int:
    count: int = store.read(lambda db: db.execute("SELECT count(*) FROM blobs").fetchone()[0])
    return count


def test_a_change_set_comes_back_byte_for_byte_in_path_order(store: Store, folder: Path) -> None:
    add_run(store)
    changes = (
        FileChange("src/z.py", "modify", b"a\r\nb", b"a\r\nc\n", 0o100644, 0o100755),
        FileChange("new/leer", "create", None, b""),
        FileChange("old.bin", "delete", BINARY, None),
        FileChange("src/a.py", "rename", b"x", b"x", to="src/b.py"),
        FileChange("日本/ä.txt", "create", None, BINARY),
    )
    for change in changes:
        store.stage("run-1", change).result()
    store.close()
    again = Store.open(folder)
    assert again.changes("run-1") == ChangeSet(tuple(sorted(changes, key=lambda change: change.path)))
    assert again.run("run-1").files == 5
    assert again.changes("nobody") == ChangeSet(())
    again.close()


def test_restaging_a_file_replaces_it_and_keeps_no_content_that_nobody_needs(store: Store) -> None:
    add_run(store)
    for number in range(20):
        store.stage("run-1", FileChange("a.py", "modify", b"base", b"try %d" % number)).result()
    assert store.changes("run-1").files == (FileChange("a.py", "modify", b"base", b"try 19"),)
    assert blobs(store) == 2
    store.stage("run-1", FileChange("b.py", "create", None, b"base")).result()
    store.unstage("run-1", "a.py").result()
    assert [change.path for change in store.changes("run-1").files] == ["b.py"]
    assert blobs(store) == 1, "b.py still needs the content that was also the base of a.py"


@pytest.mark.parametrize("state", ["review", "applying", "applied", "interrupted", "failed", "cancelled"])
def test_what_is_reviewed_does_not_change_any_more(store: Store, state: events.RunState) -> None:
    add_run(store)
    store.stage("run-1", FileChange("a.py", "create", None, b"shown")).result()
    store.append("run-1", [events.State("running", state)], durable=True, at=AT).result()
    with pytest.raises(RunRefused, match=state):
        store.stage("run-1", FileChange("a.py", "create", None, b"slipped in")).result()
    with pytest.raises(RunRefused, match=state):
        store.unstage("run-1", "a.py").result()
    assert store.changes("run-1").files[0].proposed == b"shown"


def test_a_flipped_bit_in_a_content_is_noticed(store: Store) -> None:
    add_run(store)
    store.stage("run-1", FileChange("a.py", "create", None, b"good")).result()
    store.submit(lambda db: db.execute("UPDATE blobs SET data=?", (b"gooe",)).rowcount).result()
    with pytest.raises(StoreError, match="damaged"):
        store.changes("run-1")
    store.stage("run-1", FileChange("b.py", "create", None, b"good")).result()
    assert store.changes("run-1").files[0].proposed == b"good", "the same content coming again mends it"


def test_a_missing_content_is_noticed(store: Store) -> None:
    add_run(store)
    store.stage("run-1", FileChange("a.py", "create", None, b"good")).result()
    store.submit(lambda db: db.execute("DELETE FROM blobs").rowcount).result()
    with pytest.raises(StoreError, match="missing"):
        store.changes("run-1")


def test_a_name_that_is_no_text_is_refused_and_the_next_job_goes_on(store: Store) -> None:
    add_run(store)
    with pytest.raises(StoreError, match="not text"):
        store.stage("run-1", FileChange("a\udcff.py", "create", None, b"")).result()
    store.stage("run-1", FileChange("a.py", "create", None, b"")).result()
    assert len(store.changes("run-1").files) == 1


def test_files_that_are_staged_together_are_kept_together(store: Store) -> None:
    add_run(store)
    good, bad = FileChange("a.py", "create", None, b"x"), FileChange("a\udcff.py", "create", None, b"y")
    with pytest.raises(StoreError, match="not text"):
        store.stage_together("run-1", [good, bad]).result()
    assert store.changes("run-1") == ChangeSet(())
    assert blobs(store) == 0
    other = FileChange("b.py", "delete", b"y", None)
    store.stage_together("run-1", [other, good]).result()
    assert store.changes("run-1") == ChangeSet((good, other))


@settings(max_examples=30, deadline=None)
@given(
    contents=st.dictionaries(
        st.text(st.characters(codec="utf-8"), min_size=1),
        st.tuples(st.none() | st.binary(max_size=50), st.none() | st.binary(max_size=50)),
        max_size=6,
    )
)
def test_any_contents_survive(contents: dict[str, tuple[bytes | None, bytes | None]]) -> None:
    with TemporaryDirectory() as name:
        store = Store.open(Path(name))
        try:
            add_run(store)
            for path, (base, proposed) in contents.items():
                store.stage("run-1", FileChange(path, "modify", base, proposed)).result()
            found = {change.path: (change.base, change.proposed) for change in store.changes("run-1").files}
            assert found == contents
        finally:
            store.close()


# Decisions


def test_decisions_move_the_revision_on_and_an_old_one_is_refused(store: Store) -> None:
    add_run(store)
    assert store.decisions("run-1") == ({}, 1)
    store.decide("run-1", {"a.py": {"h1": "accepted", "h2": "rejected"}}, 2).result()
    assert store.decisions("run-1") == ({"a.py": {"h1": "accepted", "h2": "rejected"}}, 2)
    for stale in (1, 2):
        with pytest.raises(StaleRevision):
            store.decide("run-1", {"a.py": {"h1": "rejected"}}, stale).result()
    store.decide("run-1", {"b.py": {"h3": "accepted"}}, 3).result()
    assert store.decisions("run-1")[0]["a.py"]["h1"] == "accepted"
    assert store.run("run-1").revision == 3


# The journal


def journal(**changed: object) -> Journal:
    files = (
        JournalFile("src/a.py", "disk", b"before", b"after", 0o644, 0o755),
        JournalFile("open.py", "buffer", b"", b"typed"),
        JournalFile("new/deep/b.bin", "disk", None, BINARY, None, 0o600, ("new", "new/deep")),
        JournalFile("gone.py", "disk", b"x", None),
    )
    return Journal("run-1", "accept", files, decisions={"src/a.py": {"h1": "accepted"}}, revision=2, **changed)  # type: ignore[arg-type]


def test_a_journal_comes_back_with_both_contents_of_every_file(store: Store, folder: Path) -> None:
    add_run(store)
    identifier = store.journal_prepare(journal()).result()
    store.close()
    again = Store.open(folder)
    (found,) = again.journals("run-1")
    assert (found.id, found.state, found.kind, found.files) == (identifier, "PREPARED", "accept", journal().files)
    assert found.decisions == {"src/a.py": {"h1": "accepted"}}
    assert again.journals("other") == []
    assert again.journals(states=["APPLYING"]) == []
    assert [entry.id for entry in again.journals(states=["PREPARED", "APPLYING"])] == [identifier]
    again.close()


def test_decisions_count_when_the_journal_is_verified_and_not_before(store: Store) -> None:
    add_run(store)
    identifier = store.journal_prepare(journal()).result()
    store.journal_state(identifier, "APPLYING").result()
    assert store.decisions("run-1") == ({}, 1)
    store.journal_state(identifier, "VERIFIED").result()
    assert store.decisions("run-1") == ({"src/a.py": {"h1": "accepted"}}, 2)
    store.journal_state(identifier, "VERIFIED").result()
    assert store.decisions("run-1")[1] == 2


@pytest.mark.parametrize("end", ["VERIFIED", "ROLLED_BACK", "CONFLICT"])
def test_an_end_is_an_end(store: Store, end: JournalState) -> None:
    add_run(store)
    identifier = store.journal_prepare(journal()).result()
    store.journal_state(identifier, end).result()
    others: list[JournalState] = ["PREPARED", "APPLYING", "VERIFIED", "ROLLED_BACK", "CONFLICT"]
    for state in others:
        if state != end:
            with pytest.raises(StoreError, match=end):
                store.journal_state(identifier, state).result()
    assert store.journals("run-1")[0].state == end
    assert (store.decisions("run-1")[1] == 2) == (end == "VERIFIED")


def test_a_journal_that_does_not_exist_is_an_error(store: Store) -> None:
    with pytest.raises(StoreError, match="no journal 7"):
        store.journal_state(7, "VERIFIED").result()


def test_contents_of_a_journal_outlive_their_change_set(store: Store) -> None:
    add_run(store)
    store.stage("run-1", FileChange("src/a.py", "modify", b"before", b"after")).result()
    store.journal_prepare(journal()).result()
    store.unstage("run-1", "src/a.py").result()
    assert store.journals("run-1")[0].files[0].after == b"after"
