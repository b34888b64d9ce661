from __future__ import annotations

import multiprocessing
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kiro_lsp import events
from kiro_lsp.errors import StoreError
from kiro_lsp.store import Owner, Store, current_owner, locks
from tests.store.rows import AT, Other, add_run, run_record


def owner_of(told: dict[str, str]) -> Owner:
    pid, ticks, serial, boot = told["key"].split("-", 3)
    return Owner(int(pid), int(ticks), boot, serial)


def test_this_process_lives_until_it_lets_go(store: Store) -> None:
    lock = store.register_owner()
    assert store.owner_alive(lock.owner)
    lock.release()
    lock.release()
    assert not store.owner_alive(lock.owner)


def test_two_engines_of_one_process_are_told_apart(store: Store) -> None:
    one, two = store.register_owner(), store.register_owner()
    one.release()
    assert (store.owner_alive(one.owner), store.owner_alive(two.owner)) == (False, True)
    two.release()


def test_a_killed_process_is_dead_at_once(store: Store, folder: Path) -> None:
    with Other(folder, "own", run=None, root=None) as other:
        owner = owner_of(other.hear())
        assert store.owner_alive(owner)
        assert store.owner_alive(owner), "asking does not take the lock away"
        other.kill()
        assert not store.owner_alive(owner)


def test_a_number_that_is_used_again_is_not_mistaken(store: Store) -> None:
    lock = store.register_owner()
    for other in (
        replace(lock.owner, start_ticks=lock.owner.start_ticks + 1),
        replace(lock.owner, boot_id="another-boot"),
        replace(lock.owner, serial="00000000"),
    ):
        assert not store.owner_alive(other)
    lock.release()


def test_one_identity_cannot_be_held_twice(store: Store) -> None:
    lock = store.register_owner()
    with pytest.raises(StoreError, match="holds"):
        locks.OwnerLock(lock.owner, store.owners_folder)
    assert store.owner_alive(lock.owner)
    lock.release()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_does_not_keep_its_parent_alive(store: Store) -> None:
    lock = store.register_owner()
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def live() -> None:
        theirs.send("up")
        theirs.recv()

    child = context.Process(target=live)
    child.start()
    assert ours.recv() == "up"
    # Without the rule for forks the child's copy of the open file would hold the lock on.
    lock.drop()
    alive = store.owner_alive(lock.owner)
    ours.send("end")
    child.join()
    assert not alive


def test_lock_files_of_the_dead_are_swept_away_and_those_of_the_living_stay(store: Store, folder: Path) -> None:
    with Other(folder, "own", run=None, root=None) as other:
        dead = owner_of(other.hear())
        other.kill()
    living = store.register_owner()
    old = {locks.lock_path(store.owners_folder, owner) for owner in (dead, living.owner)}
    for path in old:
        os.utime(path, (0, 0))
    another = store.register_owner()
    left = set(store.owners_folder.iterdir())
    assert left == {locks.lock_path(store.owners_folder, owner) for owner in (living.owner, another.owner)}
    living.release()
    another.release()


def test_without_locks_the_process_table_is_asked(store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_lock", lambda _file: "unsupported")
    lock = store.register_owner()
    assert store.owner_alive(lock.owner)
    with Other(folder, "own", run=None, root=None) as other:
        owner = owner_of(other.hear())
        assert store.owner_alive(owner)
        other.kill()
    # A process that ended but was not waited for is dead as well; this one was waited for.
    assert not store.owner_alive(owner)
    if sys.platform == "linux":
        assert not locks.process_exists(replace(lock.owner, start_ticks=1))
    assert not locks.process_exists(replace(lock.owner, boot_id="before"))
    lock.release()


def test_the_identity_is_of_this_process() -> None:
    owner = current_owner()
    assert owner.pid == os.getpid()
    assert owner != current_owner()
    if sys.platform == "linux":
        assert owner.start_ticks > 0
        assert len(owner.boot_id) == 36


# Orphans


def test_a_run_is_an_orphan_when_its_process_is_gone(store: Store, folder: Path) -> None:
    mine = store.register_owner()
    add_run(store, "mine", owner=mine.owner)
    add_run(store, "nobody's", owner=None)
    add_run(store, "done", owner=None, state="review")
    with Other(folder, "own", run="theirs", root=None) as other:
        other.hear()
        assert [run.run_id for run in store.orphans()] == ["nobody's"]
        other.kill()
        assert sorted(run.run_id for run in store.orphans()) == ["nobody's", "theirs"]
    mine.release()


def test_one_process_gets_to_recover_an_orphan(store: Store, folder: Path) -> None:
    add_run(store, "left", owner=None, state="applying")
    others = [Other(folder, "claim", run="left") for _ in range(4)]
    for other in others:
        assert other.hear() == "ready"
    for other in others:
        other.go()
    assert sorted(other.hear() for other in others) == [False, False, False, True]
    mine = store.register_owner()
    assert store.claim("left", mine.owner).result() is False, "the one that has it lives"
    for other in others:
        other.__exit__()
    assert store.claim("left", mine.owner).result() is True
    assert store.run("left").owner == mine.owner
    assert store.claim("nobody", mine.owner).result() is False
    mine.release()


# Who holds a project


def test_the_first_living_server_holds_a_project_and_the_next_follows(store: Store, folder: Path) -> None:
    assert store.holder_of("/project") is None
    with (
        Other(folder, "own", run=None, root="/project") as one,
        Other(folder, "own", run=None, root="/project") as two,
    ):
        owners = {owner_of(one.hear()), owner_of(two.hear())}
        first = store.holder_of("/project")
        assert first in owners
        assert store.holder_of("/other") is None
        (one if first.pid == one.process.pid else two).kill()
        (second,) = owners - {first}
        assert store.holder_of("/project") == second
        mine = store.register_owner()
        store.hold_root("/project", mine.owner).result()
        store.hold_root("/project", mine.owner).result()
        assert store.holder_of("/project") == second
        (one if second.pid == one.process.pid else two).kill()
        assert store.holder_of("/project") == mine.owner
        store.release_root("/project", mine.owner).result()
        assert store.holder_of("/project") is None
        mine.release()


# Requests


def test_a_request_reaches_its_process_once_and_its_answer_comes_back(store: Store, folder: Path) -> None:
    with Other(folder, "answer") as other:
        owner = owner_of(other.hear())
        number = store.post("cancel", "run-1", {"by": "terminal", "text": "half \ud83d"}, to=owner, by="terminal")
        mine = store.register_owner()
        assert store.take(mine.owner) == []
        assert store.result(number) is None
        assert not store.was_taken(number)
        other.go()
        assert other.hear() == 1
    assert store.was_taken(number)
    expected = {"kind": "cancel", "args": {"by": "terminal", "text": "half \ud83d"}, "by": "terminal"}
    assert store.result(number) == expected
    assert store.take(owner) == []
    assert store.result(999) is None
    mine.release()


def test_requests_come_in_their_order_and_old_answers_are_forgotten(store: Store) -> None:
    lock = store.register_owner()
    first = store.post("cancel", "a", {}, to=lock.owner, by="terminal")
    store.submit(lambda db: db.execute("UPDATE control SET created_at='2020-01-01'")).result()
    assert store.result(first) is None
    numbers = [store.post(kind, "a", {}, to=lock.owner, by="terminal") for kind in ("accept", "undo")]
    assert [(row.id, row.kind) for row in store.take(lock.owner)] == [(numbers[0], "accept"), (numbers[1], "undo")]
    lock.release()


def test_a_run_record_keeps_its_owner(store: Store) -> None:
    lock = store.register_owner()
    assert store.create_run(run_record(owner=lock.owner)).result()
    assert store.run("run-1").owner == lock.owner
    store.append("run-1", [events.State("running", "review")], durable=True, at=AT).result()
    assert store.orphans() == []
    lock.release()


def test_of_several_holders_the_preferred_one_counts_and_else_the_first(store: Store) -> None:
    first, second, stranger = (store.register_owner() for _ in range(3))
    for lock in (first, second):
        store.hold_root("/p", lock.owner).result()
    assert store.holder_of("/p") == first.owner
    assert store.holder_of("/p", second.owner) == second.owner
    assert store.holder_of("/p", stranger.owner) == first.owner
    second.release()
    assert store.holder_of("/p", second.owner) == first.owner
