"""A file that changed meanwhile: the change of an accept is merged into it, or it is named and left; undo is exact."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kiro_lsp.changes.model import FileChange
from kiro_lsp.engine.apply import Applier
from kiro_lsp.store import Store
from tests.support.documents import Documents, Way
from tests.support.project import (
    TASK_FILE,
    File,
    anchor,
    check_untouched,
    everything,
    lay_out,
    prepare,
    record_changes,
    review_of,
)
from tests.support.tree import differences, snapshot

TEXT = "".join(f"{number}\n" for number in range(9))
BASE = TEXT.encode()
CHANGED = TEXT.replace("1\n", "one\n").replace("7\n", "seven\n").encode()
FILES = {"a.txt": File(BASE, CHANGED), "b.txt": File(b"x\n", b"y\n")}

MERGED: dict[str, tuple[bytes, bytes]] = {
    "another line": (BASE.replace(b"4\n", b"four\n"), CHANGED.replace(b"4\n", b"four\n")),
    "a line more": (BASE + b"9\n", CHANGED + b"9\n"),
    "lines less": (BASE.replace(b"3\n4\n5\n", b""), CHANGED.replace(b"3\n4\n5\n", b"")),
    "a part of the change": (BASE.replace(b"1\n", b"one\n"), CHANGED),
    "other line ends": (BASE.replace(b"\n", b"\r\n") + b"9\r\n", CHANGED.replace(b"\n", b"\r\n") + b"9\r\n"),
    "one line with another end": (BASE.replace(b"4\n", b"4\r\n"), CHANGED.replace(b"4\n", b"4\r\n")),
    "a byte order mark": ("\ufeff".encode() + BASE + b"9\n", "\ufeff".encode() + CHANGED + b"9\n"),
    "no final newline": (BASE + b"9", CHANGED + b"9"),
}


@pytest.mark.parametrize("name", MERGED)
async def test_a_change_that_goes_together_with_what_changed_meanwhile_is_merged(
    root: Path, store: Store, name: str
) -> None:
    review = everything(prepare(root, store, FILES))
    meanwhile, expected = MERGED[name]
    (root / "a.txt").write_bytes(meanwhile)
    (root / "a.txt").chmod(0o640)
    before = snapshot(root, times=False)
    applier = Applier(store, root, Documents())
    outcome = await applier.accept("run-1", review)
    assert (outcome.state, outcome.files, outcome.merged) == ("verified", ("a.txt", "b.txt"), ("a.txt",))
    assert ((root / "a.txt").read_bytes(), (root / "b.txt").read_bytes()) == (expected, b"y\n")
    assert stat.S_IMODE((root / "a.txt").stat().st_mode) == 0o640
    assert (await applier.undo("run-1")).state == "verified"
    assert snapshot(root, times=False) == before


async def test_a_document_that_was_edited_meanwhile_is_merged_by_the_editor(root: Path, store: Store) -> None:
    review = everything(prepare(root, store, FILES))
    typed = TEXT.replace("4\n", "four\n")
    editor = Documents({root / "a.txt": typed}, unsaved={root / "a.txt"})
    applier = Applier(store, root, editor)
    outcome = await applier.accept("run-1", review)
    assert (outcome.state, outcome.merged) == ("verified", ("a.txt",))
    assert editor.texts[root / "a.txt"] == CHANGED.decode().replace("4\n", "four\n")
    assert (root / "a.txt").read_bytes() == BASE, "the editor saves, not we"
    assert (await applier.undo("run-1")).state == "verified"
    assert editor.texts[root / "a.txt"] == typed


@pytest.mark.parametrize("way", ["refuses", "lies", "gone before", "first place of each file"])
async def test_an_editor_that_does_not_take_the_merged_text_is_brought_back(root: Path, store: Store, way: Way) -> None:
    review = everything(prepare(root, store, FILES))
    typed = TEXT.replace("4\n", "four\n")
    editor = Documents({root / "a.txt": typed}, [way, "honest"], unsaved={root / "a.txt"})
    before = snapshot(root)
    check_untouched(root, before, store, await Applier(store, root, editor).accept("run-1", review), "rolled-back")
    assert editor.texts[root / "a.txt"] == typed


CONFLICTS: dict[str, tuple[bytes, str]] = {
    "the same line": (
        BASE.replace(b"1\n", b"uno\n"),
        "a.txt: it changed since the run read it, and both changed line 2",
    ),
    "a line beside it": (BASE.replace(b"2\n", b"two\n"), "both changed lines 2–3"),
    "two places": (
        b"first\n" + BASE.replace(b"1\n", b"uno\n").replace(b"7\n", b"sette\n"),
        "both changed line 3, line 9",
    ),
    "became binary": (b"\0" + BASE, "it changed since the run read it."),
    "became another encoding": (b"\xff" + BASE, "it changed since the run read it."),
}


@pytest.mark.parametrize("name", CONFLICTS)
async def test_a_change_that_meets_what_changed_meanwhile_is_refused_with_the_place(
    root: Path, store: Store, name: str
) -> None:
    review = everything(prepare(root, store, FILES))
    meanwhile, told = CONFLICTS[name]
    (root / "a.txt").write_bytes(meanwhile)
    before = snapshot(root)
    outcome = await Applier(store, root, Documents()).accept("run-1", review)
    check_untouched(root, before, store, outcome, "conflict")
    assert outcome.conflicts == ("a.txt",)
    assert told in outcome.message
    assert len(outcome.reasons) == 1
    assert store.changes("run-1").files[0].proposed == CHANGED, "the other version is kept"


NEVER: dict[str, tuple[FileChange, bytes]] = {
    "to be deleted": (FileChange("a.txt", "delete", BASE, None, 0o644), BASE + b"9\n"),
    "to be created": (FileChange("a.txt", "create", None, BASE, None, 0o644), BASE + b"9\n"),
    "to be renamed": (FileChange("a.txt", "rename", BASE, CHANGED, 0o644, 0o644, to="c.txt"), BASE + b"9\n"),
    "binary": (FileChange("a.txt", "modify", b"\0" + BASE, b"\0" + CHANGED, 0o644, 0o644), b"\0" + BASE + b"9\n"),
    "protected": (FileChange(".github/workflows/ci.yml", "modify", BASE, CHANGED, 0o644, 0o644), BASE + b"9\n"),
}


@pytest.mark.parametrize("name", NEVER)
async def test_only_texts_that_stay_where_they_are_are_merged(root: Path, store: Store, name: str) -> None:
    change, meanwhile = NEVER[name]
    lay_out(root, {change.path: File(meanwhile, None)})
    record_changes(store, root, [change])
    before = snapshot(root)
    outcome = await Applier(store, root, Documents()).accept("run-1", everything(review_of(store)))
    check_untouched(root, before, store, outcome, "conflict")
    assert "both changed" not in outcome.message


async def test_parts_that_are_accepted_one_by_one_are_merged_each_and_undone_together(root: Path, store: Store) -> None:
    """Somebody writes before the first accept and between the two: what they wrote is still there after the undo."""
    prepare(root, store, FILES)
    file, applier = root / "a.txt", Applier(store, root, Documents())
    first, second = (hunk.id for hunk in review_of(store).hunks("a.txt"))
    file.write_bytes(b"before\n" + BASE.replace(b"0\n", b"0\n0.5\n"))
    assert (await applier.accept("run-1", review_of(store).decide("accepted", hunks=[second]))).merged == ("a.txt",)
    file.write_bytes(file.read_bytes().replace(b"4\n", b"four\n"))
    refused = await applier.accept("run-1", review_of(store).decide("accepted", hunks=[first]))
    assert (refused.state, refused.conflicts) == ("conflict", ("a.txt",)), "0.5 touches the first change"
    file.write_bytes(file.read_bytes().replace(b"0.5\n", b""))
    assert (await applier.accept("run-1", review_of(store).decide("accepted", hunks=[first]))).state == "verified"
    assert file.read_bytes() == b"before\n" + CHANGED.replace(b"4\n", b"four\n")
    assert (await applier.undo("run-1")).state == "verified"
    assert file.read_bytes() == b"before\n" + BASE.replace(b"4\n", b"four\n")


async def test_an_undo_of_parts_that_somebody_built_upon_is_refused(root: Path, store: Store) -> None:
    prepare(root, store, FILES)
    file, applier = root / "a.txt", Applier(store, root, Documents())
    first, second = (hunk.id for hunk in review_of(store).hunks("a.txt"))
    assert (await applier.accept("run-1", review_of(store).decide("accepted", hunks=[first]))).state == "verified"
    file.write_bytes(file.read_bytes().replace(b"one\n", b"one, and more\n"))
    assert (await applier.accept("run-1", review_of(store).decide("accepted", hunks=[second]))).state == "verified"
    before = snapshot(root, times=False)
    outcome = await applier.undo("run-1")
    assert (outcome.state, outcome.conflicts) == ("conflict", ("a.txt",))
    assert not differences(before, snapshot(root, times=False))
    assert (await applier.restore("run-1")).state == "verified"
    assert file.read_bytes() == BASE
    assert (await applier.undo("run-1")).state == "verified"
    assert not differences(before, snapshot(root, times=False))


async def test_a_change_that_somebody_made_already_leaves_nothing_to_write(root: Path, store: Store) -> None:
    review = everything(prepare(root, store, FILES))
    (root / "a.txt").write_bytes(CHANGED + b"9\n")
    applier = Applier(store, root, Documents())
    outcome = await applier.accept("run-1", review)
    assert (outcome.state, outcome.files) == ("verified", ("b.txt",))
    assert (root / "a.txt").read_bytes() == CHANGED + b"9\n"


async def test_the_box_is_ticked_after_a_merge_as_after_any_accept(root: Path, store: Store) -> None:
    review = everything(prepare(root, store, FILES))
    (root / "a.txt").write_bytes(BASE + b"9\n")
    before = snapshot(root, times=False)
    applier = Applier(store, root, Documents())
    assert (await applier.accept("run-1", review)).state == "verified"
    assert (await applier.tick("run-1", TASK_FILE, anchor(), "done")).ticked
    assert (await applier.undo("run-1")).state == "verified"
    assert snapshot(root, times=False) == before


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["new\n", "", "new\r\n", "é\n"])), max_size=3))
async def test_whatever_changed_meanwhile_it_is_merged_or_left_and_comes_back(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, str]]
) -> None:
    folder = tmp_path_factory.mktemp("merge")
    root = folder / "project"
    root.mkdir()
    store = Store.open(folder / "state")
    try:
        review = everything(prepare(root, store, FILES))
        lines = TEXT.splitlines(keepends=True)
        for at, text in edits:
            lines[at : at + 1] = [text]
        (root / "a.txt").write_bytes("".join(lines).encode())
        before = snapshot(root, times=False)
        applier = Applier(store, root, Documents())
        outcome = await applier.accept("run-1", review)
        if outcome.state == "conflict":
            assert snapshot(root, times=False) == before
            return
        assert {b"one", b"seven"} <= set((root / "a.txt").read_bytes().split())
        assert (await applier.undo("run-1")).state == "verified"
        assert snapshot(root, times=False) == before
    finally:
        store.close()
