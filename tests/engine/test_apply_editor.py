"""Open documents: the editor changes them, and what counts is what they hold, whatever it answers."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from kiro_lsp.engine import faults, rootlock
from kiro_lsp.engine.apply import Applier
from kiro_lsp.store import Store
from tests.support.documents import Documents, Way
from tests.support.project import (
    SETS,
    File,
    actual,
    check_untouched,
    everything,
    expected,
    prepare,
    states,
)
from tests.support.tree import snapshot

THREE = SETS[3]


def opened(root: Path, *paths: str) -> Documents:
    return Documents({root / path: (root / path).read_bytes().decode() for path in paths})


TWO = {
    "a.txt": File(b"1\n2\n3\n4\n5\n6\n", b"one\n2\n3\n4\n5\nsix\n"),
    "b.txt": File(b"x\n", b"y\n"),
    "closed.txt": File(b"c\n", b"d\n"),
}


async def test_open_documents_are_changed_by_the_editor_and_closed_files_by_us(root: Path, store: Store) -> None:
    review = everything(prepare(root, store, TWO))
    editor = opened(root, "a.txt", "b.txt")
    applier = Applier(store, root, editor)
    assert (await applier.accept("run-1", review)).state == "verified"
    assert len(editor.asked) == 1, "one edit for all documents"
    assert editor.texts == {root / "a.txt": "one\n2\n3\n4\n5\nsix\n", root / "b.txt": "y\n"}
    assert (root / "a.txt").read_bytes() == TWO["a.txt"].before, "the editor saves, not we"
    assert (root / "closed.txt").read_bytes() == b"d\n"
    assert (await applier.undo("run-1")).state == "verified"
    assert editor.texts == {root / "a.txt": "1\n2\n3\n4\n5\n6\n", root / "b.txt": "x\n"}
    assert (root / "closed.txt").read_bytes() == b"c\n"


REFUSING: dict[str, list[Way]] = {
    "refuses": ["refuses"],
    "says yes and does nothing": ["lies"],
    "is gone before": ["gone before"],
    "does one of several": ["one file of several", "honest"],
    "does one place of a file": ["first place of each file", "honest"],
}


@pytest.mark.parametrize("name", REFUSING)
async def test_an_editor_that_does_not_do_all_of_it_is_brought_back_to_before(
    root: Path, store: Store, name: str
) -> None:
    review = everything(prepare(root, store, TWO))
    before = snapshot(root)
    editor = opened(root, "a.txt", "b.txt")
    texts = dict(editor.texts)
    editor.ways = list(REFUSING[name])
    outcome = await Applier(store, root, editor).accept("run-1", review)
    check_untouched(root, before, store, outcome, "rolled-back")
    assert "a.txt" in outcome.message or "b.txt" in outcome.message
    assert editor.texts == texts
    assert states(store) == [("accept", "ROLLED_BACK")]


@pytest.mark.parametrize("way", ["says no but does it", "gone after", "late", "saves and closes", "own line ends"])
async def test_what_counts_is_what_the_documents_hold(root: Path, store: Store, way: Way) -> None:
    review = everything(prepare(root, store, TWO))
    editor = opened(root, "a.txt", "b.txt")
    editor.ways = [way]
    accepting = asyncio.create_task(Applier(store, root, editor).accept("run-1", review))
    if way == "late":
        while not editor.asked:
            await asyncio.sleep(0)
        assert not accepting.done()
        assert (root / "closed.txt").read_bytes() == b"c\n", "nothing is written before the editor has answered"
        editor.answer.set()
    assert (await accepting).state == "verified"
    assert (root / "closed.txt").read_bytes() == b"d\n"
    editor.ways = ["honest"]
    assert (await Applier(store, root, editor).undo("run-1")).state == "verified"
    texts = [
        (editor.texts.get(root / path) or (root / path).read_bytes().decode()).replace("\r\n", "\n")
        for path in ("a.txt", "b.txt")
    ]
    assert texts == ["1\n2\n3\n4\n5\n6\n", "x\n"]


async def test_an_editor_that_neither_does_it_nor_undoes_it_is_named(root: Path, store: Store) -> None:
    review = everything(prepare(root, store, TWO))
    before = snapshot(root)
    editor = opened(root, "a.txt", "b.txt")
    editor.ways = ["first place of each file", "refuses"]
    outcome = await Applier(store, root, editor).accept("run-1", review)
    check_untouched(root, before, store, outcome, "conflict")
    assert outcome.conflicts == ("a.txt", "b.txt") or outcome.conflicts == ("a.txt",)
    assert states(store) == [("accept", "CONFLICT")]
    files = {file.path: file for file in store.journals(run_id="run-1")[0].files}
    assert (files["a.txt"].before, files["a.txt"].after) == (TWO["a.txt"].before, TWO["a.txt"].after)


async def test_what_a_person_types_meanwhile_is_never_taken_back(root: Path, store: Store) -> None:
    review = everything(prepare(root, store, TWO))
    editor = opened(root, "a.txt", "b.txt")
    editor.ways = ["stale", "refuses"]
    outcome = await Applier(store, root, editor).accept("run-1", review)
    assert outcome.state in ("conflict", "rolled-back")
    assert editor.texts[root / "b.txt"] == "x\ntyped\n"
    assert (root / "closed.txt").read_bytes() == b"c\n"
    assert len(editor.asked) == 1, "a text that is not ours is not edited back"


@pytest.mark.parametrize("path", ["a.txt", "closed.txt"])
async def test_a_document_that_was_edited_since_is_refused(root: Path, store: Store, path: str) -> None:
    review = everything(prepare(root, store, TWO))
    editor = opened(root, path)
    editor.texts[root / path] += "typed\n"
    editor.unsaved.add(root / path)
    before = snapshot(root)
    outcome = await Applier(store, root, editor).accept("run-1", review)
    check_untouched(root, before, store, outcome, "conflict")
    assert outcome.conflicts == (path,)
    assert editor.asked == []


async def test_a_run_on_unsaved_text_is_applied_to_that_text(root: Path, store: Store) -> None:
    """The run saw the buffer, not the disk; so must the accept."""
    files = {"a.txt": File(b"unsaved\n", b"changed\n")}
    review = everything(prepare(root, store, files))
    (root / "a.txt").write_bytes(b"on disk\n")
    editor = Documents({root / "a.txt": "unsaved\n"}, unsaved={root / "a.txt"})
    assert (await Applier(store, root, editor).accept("run-1", review)).state == "verified"
    assert editor.texts[root / "a.txt"] == "changed\n"
    assert (root / "a.txt").read_bytes() == b"on disk\n"


async def test_a_document_with_line_ends_of_its_own_gets_the_change_in_them(root: Path, store: Store) -> None:
    files = {"a.txt": File(b"1\r\n2\n3\r\n", b"1\r\ntwo\n3\r\n")}
    review = everything(prepare(root, store, files))
    editor = Documents({root / "a.txt": "1\r\n2\r\n3\r\n"})
    applier = Applier(store, root, editor)
    assert (await applier.accept("run-1", review)).state == "verified"
    assert editor.texts[root / "a.txt"] == "1\r\ntwo\r\n3\r\n"


async def test_the_mark_of_a_file_does_not_confuse_an_editor_that_hides_it(root: Path, store: Store) -> None:
    files = {"a.txt": File("\ufeffone\n".encode(), "\ufefftwo\n".encode())}
    review = everything(prepare(root, store, files))
    editor = Documents({root / "a.txt": "one\n"})
    applier = Applier(store, root, editor)
    assert (await applier.accept("run-1", review)).state == "verified"
    assert editor.texts[root / "a.txt"] == "two\n"
    (root / "a.txt").write_bytes("\ufefftwo\n".encode())
    editor.texts.clear()
    assert (await applier.undo("run-1")).state == "verified"
    assert (root / "a.txt").read_bytes() == "\ufeffone\n".encode()


async def test_the_mode_of_an_open_document_changes_with_its_text(root: Path, store: Store) -> None:
    files = {"run.sh": File(b"a\n", b"b\n", 0o644, 0o755)}
    review = everything(prepare(root, store, files))
    editor = opened(root, "run.sh")
    applier = Applier(store, root, editor)
    assert (await applier.accept("run-1", review)).state == "verified"
    assert editor.texts[root / "run.sh"] == "b\n"
    assert stat.S_IMODE((root / "run.sh").stat().st_mode) == 0o755
    assert (await applier.undo("run-1")).state == "verified"
    assert editor.texts[root / "run.sh"] == "a\n"
    assert stat.S_IMODE((root / "run.sh").stat().st_mode) == 0o644


async def test_an_open_document_that_is_to_be_deleted_needs_to_be_saved(root: Path, store: Store) -> None:
    files = {"a.txt": File(b"1\n", None)}
    review = everything(prepare(root, store, files))
    editor = Documents({root / "a.txt": "1\ntyped\n"}, unsaved={root / "a.txt"})
    before = snapshot(root)
    check_untouched(root, before, store, await Applier(store, root, editor).accept("run-1", review), "conflict")
    editor.texts[root / "a.txt"] = "1\n"
    assert (await Applier(store, root, editor).accept("run-1", review)).state == "verified"
    assert not (root / "a.txt").exists()


async def test_a_disk_that_fails_after_the_editor_takes_the_documents_back_too(
    root: Path, store: Store, no_faults: pytest.MonkeyPatch
) -> None:
    review = everything(prepare(root, store, TWO))
    before = snapshot(root)
    editor = opened(root, "a.txt", "b.txt")
    texts = dict(editor.texts)
    no_faults.setenv(faults.VARIABLE, "disk.swap:1:ENOSPC")
    faults.reset()
    outcome = await Applier(store, root, editor).accept("run-1", review)
    check_untouched(root, before, store, outcome, "rolled-back")
    assert editor.texts == texts
    assert len(editor.asked) == 2


async def test_a_cancelled_caller_does_not_stop_an_apply_half_way(root: Path, store: Store) -> None:
    review = everything(prepare(root, store, TWO))
    editor = opened(root, "a.txt")
    editor.ways = ["late"]
    accepting = asyncio.create_task(Applier(store, root, editor).accept("run-1", review))
    while not editor.asked:
        await asyncio.sleep(0)
    accepting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await accepting
    editor.answer.set()
    async with rootlock.held(store.directory, root):
        assert states(store) == [("accept", "VERIFIED")]
    assert (root / "closed.txt").read_bytes() == b"d\n"


async def test_two_applies_in_one_project_take_turns(root: Path, store: Store) -> None:
    review = everything(prepare(root, store, TWO))
    applier = Applier(store, root, Documents())
    outcomes = await asyncio.gather(*(applier.accept("run-1", review) for _ in range(4)))
    assert {outcome.state for outcome in outcomes} == {"verified"}
    assert actual(root, TWO) == expected(root, TWO)


async def test_what_an_editor_saved_with_its_own_line_ends_is_undone_in_them(root: Path, store: Store) -> None:
    review = everything(prepare(root, store, TWO))
    editor = opened(root, "a.txt")
    editor.ways = ["own line ends"]
    applier = Applier(store, root, editor)
    assert (await applier.accept("run-1", review)).state == "verified"
    await editor.save([root / "a.txt"])
    editor.texts.clear()
    assert (root / "a.txt").read_bytes() == b"one\r\n2\r\n3\r\n4\r\n5\r\nsix\r\n"
    assert (await applier.undo("run-1")).state == "verified"
    assert (root / "a.txt").read_bytes() == b"1\r\n2\r\n3\r\n4\r\n5\r\n6\r\n"


async def test_what_the_person_took_over_in_the_editor_is_undone_too(root: Path, store: Store) -> None:
    review = everything(prepare(root, store, TWO))
    (root / "b.txt").write_bytes(b"y\n")  # the editor has opened, changed, saved and closed it
    editor = Documents({root / "a.txt": "one\r\n2\r\n3\r\n4\r\n5\r\nsix\r\n"})
    applier = Applier(store, root, editor)
    assert (await applier.accept("run-1", review, taken=["a.txt", "b.txt"])).state == "verified"
    assert editor.asked == [], "nothing is left to edit"
    assert (root / "closed.txt").read_bytes() == b"d\n"
    assert (await applier.undo("run-1")).state == "verified"
    assert editor.texts == {root / "a.txt": "1\r\n2\r\n3\r\n4\r\n5\r\n6\r\n"}
    assert ((root / "b.txt").read_bytes(), (root / "closed.txt").read_bytes()) == (b"x\n", b"c\n")


async def test_what_the_person_took_over_stays_when_the_rest_cannot_be_written(
    root: Path, store: Store, no_faults: pytest.MonkeyPatch
) -> None:
    review = everything(prepare(root, store, TWO))
    editor = Documents({root / "a.txt": "one\n2\n3\n4\n5\nsix\n"})
    no_faults.setenv(faults.VARIABLE, "disk.swap:1:ENOSPC")
    outcome = await Applier(store, root, editor).accept("run-1", review, taken=["a.txt"])
    assert outcome.state == "rolled-back"
    assert editor.texts == {root / "a.txt": "one\n2\n3\n4\n5\nsix\n"}
    assert ((root / "b.txt").read_bytes(), (root / "closed.txt").read_bytes()) == (b"x\n", b"c\n")
    assert store.decisions("run-1")[0] == {}


async def test_a_change_that_is_there_already_is_not_ours_to_undo(root: Path, store: Store) -> None:
    review = everything(prepare(root, store, TWO))
    editor = Documents({root / "a.txt": "one\n2\n3\n4\n5\nsix\n"})
    applier = Applier(store, root, editor)
    assert (await applier.accept("run-1", review)).state == "verified"
    assert (await applier.undo("run-1")).state == "verified"
    assert editor.texts == {root / "a.txt": "one\n2\n3\n4\n5\nsix\n"}
