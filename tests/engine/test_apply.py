"""Accept, undo and restore: all or nothing, by content, whatever the editor answers and whoever writes meanwhile."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from kiro_lsp.changes.model import FileChange
from kiro_lsp.engine import faults
from kiro_lsp.engine.apply import Applier
from kiro_lsp.errors import StoreError
from kiro_lsp.store import Store
from tests.support.documents import Documents
from tests.support.project import (
    SETS,
    TASK_FILE,
    File,
    actual,
    anchor,
    check_untouched,
    everything,
    expected,
    lay_out,
    prepare,
    record_changes,
    record_run,
    review_of,
    states,
)
from tests.support.tree import differences, snapshot

THREE = SETS[3]


# The whole way


@pytest.mark.parametrize("size", SETS)
async def test_accepted_is_what_was_proposed_and_undone_is_what_was_before(root: Path, store: Store, size: int) -> None:
    files = SETS[size]
    review = everything(prepare(root, store, files))
    before = snapshot(root, times=False)
    applier = Applier(store, root, Documents())
    outcome = await applier.accept("run-1", review)
    assert (outcome.state, outcome.kind) == ("verified", "accept")
    assert outcome.files == tuple(sorted(files))
    assert actual(root, files) == expected(root, files)
    assert store.decisions("run-1") == (review.decisions, review.revision)
    assert (root / "bystander.txt").read_bytes() == b"not part of it\n"
    undone = await applier.undo("run-1")
    assert (undone.state, undone.kind) == ("verified", "undo")
    assert snapshot(root, times=False) == before
    assert states(store) == [("accept", "VERIFIED"), ("undo", "VERIFIED")]


async def test_only_the_accepted_hunks_reach_the_file_and_the_rest_can_follow(root: Path, store: Store) -> None:
    text = "".join(f"{n}\n" for n in range(9))
    files = {"a.txt": File(text.encode(), text.replace("1\n", "one\n").replace("7\n", "seven\n").encode())}
    review = prepare(root, store, files)
    first, second = (hunk.id for hunk in review.hunks("a.txt"))
    applier = Applier(store, root, Documents())
    partly = review.decide("accepted", hunks=[second])
    assert (await applier.accept("run-1", partly)).state == "verified"
    assert (root / "a.txt").read_text() == text.replace("7\n", "seven\n")
    assert store.decisions("run-1")[0] == {"a.txt": {second: "accepted"}}
    assert (await applier.accept("run-1", review_of(store).decide("accepted", hunks=[first]))).state == "verified"
    assert (root / "a.txt").read_bytes() == files["a.txt"].after
    assert (await applier.undo("run-1")).state == "verified"
    assert (root / "a.txt").read_text() == text


async def test_a_set_without_files_is_decided_all_the_same(root: Path, store: Store) -> None:
    review = prepare(root, store, {}).decide("accepted")
    outcome = await Applier(store, root, Documents()).accept("run-1", review)
    assert (outcome.state, outcome.files) == ("verified", ())
    assert store.decisions("run-1")[1] == review.revision


async def test_a_rename_moves_the_file_and_back(root: Path, store: Store) -> None:
    lay_out(root, {"a.txt": File(b"1", None)})
    record_changes(store, root, [FileChange("a.txt", "rename", b"1", b"2", 0o644, 0o644, to="d/b.txt")])
    before = snapshot(root, times=False)
    applier = Applier(store, root, Documents())
    assert (await applier.accept("run-1", everything(review_of(store)))).files == ("a.txt", "d/b.txt")
    assert not (root / "a.txt").exists()
    assert (root / "d/b.txt").read_bytes() == b"2"
    assert (await applier.undo("run-1")).state == "verified"
    assert snapshot(root, times=False) == before


async def test_a_file_that_is_already_as_wanted_is_no_conflict(root: Path, store: Store) -> None:
    review = everything(prepare(root, store, THREE))
    (root / "src/app.py").write_bytes(THREE["src/app.py"].after or b"")
    outcome = await Applier(store, root, Documents()).accept("run-1", review)
    assert outcome.state == "verified"
    assert actual(root, THREE) == expected(root, THREE)


async def test_only_touching_a_file_or_giving_it_other_rights_does_not_block(root: Path, store: Store) -> None:
    review = everything(prepare(root, store, THREE))
    os.utime(root / "src/app.py", (1, 1))
    (root / "src/app.py").chmod(0o700)
    assert (await Applier(store, root, Documents()).accept("run-1", review)).state == "verified"
    assert stat.S_IMODE((root / "src/app.py").stat().st_mode) == 0o700


async def test_the_mark_of_a_file_stays_when_the_run_saw_the_text_without_it(root: Path, store: Store) -> None:
    files = {"a.txt": File(b"one\n", b"two\n")}
    review = everything(prepare(root, store, files))
    (root / "a.txt").write_bytes("\ufeffone\n".encode())
    assert (await Applier(store, root, Documents()).accept("run-1", review)).state == "verified"
    assert (root / "a.txt").read_bytes() == "\ufefftwo\n".encode()


# Stale files


def _write(data: bytes) -> Callable[[Path], object]:
    return lambda file: file.write_bytes(data)


def _replace(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def replace(file: Path) -> None:
        if file.is_file() and not file.is_symlink():
            file.unlink()
        file.parent.mkdir(parents=True, exist_ok=True)
        make(file)

    return replace


def _same_size_and_time(file: Path) -> None:
    status = file.stat()
    file.write_bytes(file.read_bytes()[::-1])
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


STALE: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "changed": ("src/app.py", _write(b"theirs"), "changed since"),
    "changed to the same size and time": ("src/app.py", _same_size_and_time, "changed since"),
    "deleted": ("src/app.py", lambda file: file.unlink(), "deleted or moved"),
    "renamed": ("src/app.py", lambda file: file.rename(file.with_name("moved.py")), "deleted or moved"),
    "became a folder": ("src/app.py", _replace(lambda file: file.mkdir()), "a folder"),
    "became a link": ("src/app.py", _replace(lambda file: file.symlink_to("../bystander.txt")), "a symbolic link"),
    "became a pipe": ("src/app.py", _replace(os.mkfifo), "device, pipe or socket"),
    "read-only": ("src/app.py", lambda file: file.chmod(0o444), "read-only"),
    "to be deleted, changed": ("old/only.txt", _write(b"theirs"), "changed since"),
    "to be deleted, read-only": ("old/only.txt", lambda file: file.chmod(0o400), "read-only"),
    "to be deleted, gone and a folder": ("old/only.txt", _replace(lambda file: file.mkdir()), "a folder"),
    "to be created, exists": ("new/deep/file.txt", _replace(_write(b"theirs")), "created by somebody else"),
    "to be created, a folder": ("new/deep/file.txt", _replace(lambda file: file.mkdir()), "a folder"),
    "to be created, a dangling link": ("new/deep/file.txt", _replace(lambda file: file.symlink_to("x")), "link"),
    "to be created below a file": ("new", _write(b"theirs"), "not a folder"),
    "to be created below a link": ("new", lambda file: file.symlink_to("src"), "not a folder"),
    "to be created, differs in case": ("new/deep/FILE.txt", _replace(_write(b"theirs")), "upper and lower case"),
    "its folder differs in case": ("New", lambda file: file.mkdir(), "upper and lower case"),
}


@pytest.mark.parametrize("name", STALE)
async def test_a_file_that_is_not_what_it_was_is_named_and_nothing_is_written(
    root: Path, store: Store, name: str
) -> None:
    path, intrude, reason = STALE[name]
    review = everything(prepare(root, store, THREE))
    intrude(root / path)
    before = snapshot(root)
    outcome = await Applier(store, root, Documents()).accept("run-1", review)
    check_untouched(root, before, store, outcome, "conflict")
    assert len(outcome.conflicts) == 1
    assert outcome.conflicts[0].lower().startswith(path.lower())
    assert reason in outcome.message


async def test_every_stale_file_is_named(root: Path, store: Store) -> None:
    review = everything(prepare(root, store, THREE))
    (root / "src/app.py").write_bytes(b"theirs")
    (root / "old/only.txt").unlink()
    (root / "old/only.txt").mkdir()
    outcome = await Applier(store, root, Documents()).accept("run-1", review)
    assert outcome.conflicts == ("old/only.txt", "src/app.py")


async def test_two_new_files_that_differ_in_case_only_are_refused(root: Path, store: Store) -> None:
    review = everything(prepare(root, store, {"A.txt": File(None, b"1"), "a.txt": File(None, b"2")}))
    assert (await Applier(store, root, Documents()).accept("run-1", review)).state == "conflict"


async def test_of_two_runs_on_one_file_the_second_is_refused_and_nothing_is_lost(root: Path, store: Store) -> None:
    first = everything(prepare(root, store, {"a.txt": File(b"1\n", b"2\n")}))
    second_run = record_run(store, root, {"a.txt": File(b"1\n", b"3\n")}, "run-2", task="2")
    applier = Applier(store, root, Documents())
    assert (await applier.accept("run-1", first)).state == "verified"
    outcome = await applier.accept(second_run, everything(review_of(store, second_run)))
    assert (outcome.state, outcome.conflicts) == ("conflict", ("a.txt",))
    assert (root / "a.txt").read_bytes() == b"2\n"
    assert store.changes(second_run).files[0].proposed == b"3\n"


# Failing disks


@pytest.mark.parametrize("lasting", ["", "+"], ids=["once", "from then on"])
@pytest.mark.parametrize("error", ["ENOSPC", "EACCES", "EIO", "EROFS"])
@pytest.mark.parametrize("where", [point for point in faults.POINTS if point.startswith("disk.")])
async def test_an_error_at_any_step_leaves_before_or_after_and_no_temporary_file(
    root: Path, store: Store, no_faults: pytest.MonkeyPatch, where: str, error: str, lasting: str
) -> None:
    review = everything(prepare(root, store, THREE))
    before = snapshot(root, times=False)
    reached = 0
    for number in range(1, 10):
        no_faults.setenv(faults.VARIABLE, f"{where}:{number}{lasting}:{error}")
        faults.reset()
        outcome = await Applier(store, root, Documents()).accept("run-1", review)
        passed = sum(faults._passes.values())
        no_faults.delenv(faults.VARIABLE)
        if outcome.state == "verified":
            assert passed < number
            break
        reached += 1
        assert outcome.state == "rolled-back" or lasting, outcome
        assert os.strerror(getattr(errno, error)) in outcome.message
        # What a lasting error kept from going back goes back with the next apply, which is refused here by a stale plan.
        probe = await Applier(store, root, Documents()).tick("run-1", TASK_FILE, anchor(), "open")
        assert not probe.ticked
        assert not differences(before, snapshot(root, times=False)), (where, number, outcome)
        assert store.decisions("run-1")[0] == {}
    assert reached or where in ("disk.back",)
    assert actual(root, THREE) == expected(root, THREE)


async def test_a_store_that_cannot_record_the_end_takes_everything_back(
    root: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    review = everything(prepare(root, store, THREE))
    before = snapshot(root, times=False)
    original = store.journal_state

    def failing(identifier: int, state: str) -> object:
        if state == "VERIFIED":
            raise StoreError("The disk with the state folder is full.")
        return original(identifier, state)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "journal_state", failing)
    outcome = await Applier(store, root, Documents()).accept("run-1", review)
    assert outcome.state == "rolled-back"
    assert "state folder is full" in outcome.message
    assert not differences(before, snapshot(root, times=False))
