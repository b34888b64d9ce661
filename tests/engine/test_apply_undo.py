"""Undo and restore: exactly as before, and never over what somebody wrote since."""

from __future__ import annotations

from pathlib import Path

import pytest

from kiro_lsp.engine.apply import Applier
from kiro_lsp.errors import RunRefused
from kiro_lsp.store import Store
from tests.support.documents import Documents
from tests.support.project import (
    SETS,
    actual,
    everything,
    expected,
    prepare,
)
from tests.support.tree import differences, snapshot

THREE = SETS[3]


@pytest.mark.parametrize("path", ["src/app.py", "new/deep/file.txt", "old/only.txt"])
async def test_an_undo_never_clobbers_what_changed_since(root: Path, store: Store, path: str) -> None:
    review = everything(prepare(root, store, THREE))
    applier = Applier(store, root, Documents())
    await applier.accept("run-1", review)
    file = root / path
    file.write_bytes(b"theirs")
    before = snapshot(root)
    outcome = await applier.undo("run-1")
    assert (outcome.state, outcome.conflicts) == ("conflict", (path,))
    assert not differences(before, snapshot(root))


async def test_a_folder_that_is_in_use_by_now_stays_when_its_first_file_goes(root: Path, store: Store) -> None:
    review = everything(prepare(root, store, THREE))
    applier = Applier(store, root, Documents())
    await applier.accept("run-1", review)
    (root / "new/mine.txt").write_bytes(b"mine")
    assert (await applier.undo("run-1")).state == "verified"
    assert (root / "new/mine.txt").read_bytes() == b"mine"
    assert not (root / "new/deep").exists()


async def test_a_restore_goes_over_later_changes_and_can_itself_be_undone(root: Path, store: Store) -> None:
    review = everything(prepare(root, store, THREE))
    before = snapshot(root, times=False)
    applier = Applier(store, root, Documents())
    await applier.accept("run-1", review)
    (root / "src/app.py").write_bytes(b"later work")
    (root / "new/deep/file.txt").write_bytes(b"later too")
    later = snapshot(root, times=False)
    outcome = await applier.restore("run-1")
    assert (outcome.state, outcome.kind) == ("verified", "restore")
    assert snapshot(root, times=False) == before
    assert (await applier.undo("run-1")).state == "verified"
    assert snapshot(root, times=False) == later
    assert (await applier.restore("run-1")).state == "verified"
    assert snapshot(root, times=False) == before


async def test_a_restore_after_an_undo_brings_the_contents_from_before_the_run(root: Path, store: Store) -> None:
    review = everything(prepare(root, store, THREE))
    before = snapshot(root, times=False)
    applier = Applier(store, root, Documents())
    await applier.accept("run-1", review)
    await applier.undo("run-1")
    (root / "src/app.py").write_bytes(b"broken since")
    assert (await applier.restore("run-1")).state == "verified"
    assert snapshot(root, times=False) == before


async def test_a_restore_refuses_links_and_folders_in_the_way(root: Path, store: Store) -> None:
    review = everything(prepare(root, store, THREE))
    applier = Applier(store, root, Documents())
    await applier.accept("run-1", review)
    (root / "src/app.py").unlink()
    (root / "src/app.py").symlink_to("../bystander.txt")
    outcome = await applier.restore("run-1")
    assert (outcome.state, outcome.conflicts) == ("conflict", ("src/app.py",))
    assert (root / "bystander.txt").read_bytes() == b"not part of it\n"


async def test_nothing_to_undo_is_refused(root: Path, store: Store) -> None:
    review = everything(prepare(root, store, THREE))
    applier = Applier(store, root, Documents())
    for verb in (applier.undo, applier.restore):
        with pytest.raises(RunRefused):
            await verb("run-1")
    await applier.accept("run-1", review)
    await applier.undo("run-1")
    with pytest.raises(RunRefused, match="nothing that could be undone"):
        await applier.undo("run-1")


async def test_undoing_a_restore_leaves_the_accept_to_be_undone(root: Path, store: Store) -> None:
    review = everything(prepare(root, store, THREE))
    before = snapshot(root, times=False)
    applier = Applier(store, root, Documents())
    await applier.accept("run-1", review)
    await applier.restore("run-1")
    assert (await applier.undo("run-1")).state == "verified"
    assert actual(root, THREE) == expected(root, THREE)
    assert (await applier.undo("run-1")).state == "verified"
    assert snapshot(root, times=False) == before
