from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiro_lsp import events
from kiro_lsp.errors import StoreError, UnknownRun
from kiro_lsp.events import Chunk, Envelope, RunEvent
from kiro_lsp.store import Store
from tests.store.rows import ANCHOR, AT, Other, add_run, run_record


def test_a_run_comes_back_as_it_was_recorded(store: Store, folder: Path) -> None:
    owner = store.register_owner().owner
    record = run_record(
        "20261121-050000-3f9a",
        owner=owner,
        note="mind the café",
        intent={"goal": "x", "requirements": []},
        task_id="1.2",
        replay=True,
        reason="chosen by you",
    )
    assert store.create_run(record).result()
    store.close()
    again = Store.open(folder)
    assert again.run("20261121-050000-3f9a") == record
    assert again.runs() == [record]
    assert again.runs(root="/project") == [record]
    assert again.runs(root="/proj") == []
    again.close()


def test_the_unique_beginning_of_an_id_is_enough(store: Store) -> None:
    add_run(store, "20261121-05-aaaa", task_key="1")
    add_run(store, "20261121-05-aabb", task_key="2")
    add_run(store, "20261121-05-aa", task_key="3")
    assert store.run("20261121-05-aaaa").task_key == "1"
    assert store.run("20261121-05-aab").task_key == "2"
    assert store.run("20261121-05-aa").task_key == "3", "a whole id is not the beginning of others"
    for wrong, says in (("2026", "several"), ("9", "no run"), ("", "no run"), ("%", "no run"), ("2026112_", "no run")):
        with pytest.raises(UnknownRun, match=says):
            store.run(wrong)


def test_runs_are_listed_newest_first(store: Store) -> None:
    for number in (1, 3, 2):
        add_run(store, f"run-{number}", started_at=f"2026-11-2{number}T05:00:00.000Z")
    assert [run.run_id for run in store.runs()] == ["run-3", "run-2", "run-1"]
    assert [run.run_id for run in store.runs(limit=2)] == ["run-3", "run-2"]


def test_a_task_has_one_live_run(store: Store) -> None:
    lock = store.register_owner()
    add_run(store, "first", task_key="1", owner=lock.owner)
    assert store.create_run(run_record("second", task_key="1")).result() is False
    assert store.create_run(run_record("other-task", task_key="2")).result() is True
    store.append("first", [events.State("running", "review")], durable=True, at=AT).result()
    assert store.create_run(run_record("third", task_key="1")).result() is True
    lock.release()


def test_a_dead_process_does_not_block_its_task_unless_it_died_applying(store: Store) -> None:
    owner = store.register_owner()
    add_run(store, "dead", task_key="1", owner=owner.owner)
    add_run(store, "applying", task_key="2", owner=owner.owner, state="applying")
    owner.release()
    assert store.create_run(run_record("new-1", task_key="1")).result() is True
    assert store.create_run(run_record("new-2", task_key="2")).result() is False


def test_columns_learnt_later_are_kept_and_others_refused(store: Store) -> None:
    add_run(store)
    store.update_run("run-1", intent={"goal": "later"}, model="claude-opus-5-5").result()
    assert (store.run("run-1").intent, store.run("run-1").model) == ({"goal": "later"}, "claude-opus-5-5")
    with pytest.raises(ValueError, match="state"):
        store.update_run("run-1", state="applied")
    with pytest.raises(UnknownRun):
        store.update_run("nobody", note="x").result()


# Events

CHOICES: dict[Any, st.SearchStrategy[Any]] = {
    "text": st.text(),
    "tokens": st.integers(0, 10**7),
}


def event_strategy() -> st.SearchStrategy[RunEvent]:
    st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
    return st.one_of(*(st.from_type(kind) for kind in get_args(RunEvent)))


@settings(max_examples=60, deadline=None)
@given(groups=st.lists(st.lists(event_strategy(), min_size=1, max_size=4), max_size=5))
def test_any_event_survives_the_store_and_numbers_have_no_gap(groups: list[list[RunEvent]]) -> None:
    with TemporaryDirectory() as name:
        store = Store.open(Path(name))
        try:
            add_run(store)
            futures = [store.append("run-1", group, durable=False, at=AT) for group in groups]
            acknowledged = [envelope for future in futures for envelope in future.result()]
            sent = [event for group in groups for event in group]
            assert acknowledged == [Envelope("run-1", seq, AT, event) for seq, event in enumerate(sent, 1)]
            assert store.events("run-1") == acknowledged
            assert store.run("run-1").state == (events.state_of(sent) if _has_state(sent) else "running")
            for after in range(len(sent)):
                assert store.events("run-1", after=after, limit=2) == acknowledged[after : after + 2]
        finally:
            store.close()


def _has_state(sent: list[RunEvent]) -> bool:
    return any(isinstance(event, events.State) for event in sent)


def test_half_a_surrogate_pair_from_a_model_is_kept(store: Store) -> None:
    add_run(store, "run-2", title="broken \ud83d", note="\udc80")
    half = Chunk("half \ud83d of a pair")
    store.append("run-2", [half], durable=False, at=AT).result()
    assert store.events("run-2")[0].event == half
    assert store.run("run-2").title == "broken \\ud83d"


def test_a_nonsense_number_of_tokens_is_kept_small_enough_to_add_up(store: Store) -> None:
    add_run(store)
    store.append("run-1", [events.UsageReport(10**30, -5, 0, None, "metered")], durable=True, at=AT).result()
    run = store.run("run-1")
    assert (run.input_tokens, run.output_tokens, run.cost) == (2**53, 0, None)


@pytest.mark.parametrize(
    ("event", "column", "value"),
    [
        (events.State("running", "waiting"), "state", "waiting"),
        (events.Complete((), 0, 0, 0, 0, ""), "ended_at", AT),
        (events.Error("auth", "no key", ""), "ended_at", AT),
        (events.Cancelled(), "ended_at", AT),
        (events.State("running", "interrupted"), "ended_at", AT),
        (events.State("running", "review"), "ended_at", None),
        (events.UsageReport(10, 20, 5, "0.12", "metered"), "cost", "0.12"),
        (events.UsageReport(10, 20, 5, None, "metered"), "cost", None),
        (events.UsageReport(10, 20, 5, "0.12", "metered"), "output_tokens", 20),
        (events.Start("codex", "cli", "gpt-6.1-sol", "1", "asked"), "agent", "codex"),
    ],
)
def test_the_run_follows_its_events(store: Store, event: RunEvent, column: str, value: object) -> None:
    add_run(store)
    store.append("run-1", [event], durable=True, at=AT).result()
    assert getattr(store.run("run-1"), column) == value


def test_a_group_of_events_is_kept_whole_or_not_at_all(store: Store) -> None:
    add_run(store)
    with pytest.raises(KeyError):
        store.append("run-1", [Chunk("one"), "no event"], durable=True, at=AT).result()  # type: ignore[list-item]
    assert store.events("run-1") == []


def test_events_of_an_unknown_run_are_refused(store: Store) -> None:
    with pytest.raises(UnknownRun):
        store.append("nobody", [Chunk("x")], durable=True, at=AT).result()
    assert store.last_event_row() == 0


def test_an_event_that_only_a_newer_version_knows_is_passed_over(store: Store) -> None:
    add_run(store)
    store.append("run-1", [Chunk("1"), Chunk("2"), Chunk("3")], durable=True, at=AT).result()
    store.submit(lambda db: db.execute("UPDATE events SET type='hologram' WHERE seq=2").rowcount).result()
    assert [envelope.seq for envelope in store.events("run-1")] == [1, 3]


def test_a_damaged_event_is_an_error_with_a_name(store: Store) -> None:
    add_run(store)
    store.append("run-1", [Chunk("1")], durable=True, at=AT).result()
    store.submit(lambda db: db.execute("UPDATE events SET body='{\"te'").rowcount).result()
    with pytest.raises(StoreError, match="damaged"):
        store.events("run-1")


def test_events_of_all_runs_are_read_from_a_row_on(store: Store) -> None:
    add_run(store, "a")
    add_run(store, "b")
    store.append("a", [Chunk("1")], durable=True, at=AT).result()
    row = store.last_event_row()
    assert store.events_since_row(row) == (row, [])
    store.append("b", [Chunk("2")], durable=True, at=AT).result()
    store.append("a", [Chunk("3")], durable=True, at=AT).result()
    last, found = store.events_since_row(row)
    assert [(envelope.run_id, envelope.seq) for envelope in found] == [("b", 1), ("a", 2)]
    assert store.events_since_row(last) == (last, [])
    assert store.has_event("a", "chunk")
    assert not store.has_event("a", "complete")


def test_two_processes_append_to_one_run_and_no_number_comes_twice(store: Store, folder: Path) -> None:
    add_run(store)
    with (
        Other(folder, "append", run="run-1", times=60, text="x") as one,
        Other(folder, "append", run="run-1", times=60, text="y") as two,
    ):
        assert (one.hear(), two.hear()) == ("ready", "ready")
        one.go()
        two.go()
        mine = [store.append("run-1", [Chunk("mine")], durable=True, at=AT).result()[0].seq for _ in range(30)]
        firsts = one.hear() + two.hear()
    seqs = mine + [seq for first in firsts for seq in (first, first + 1)]
    assert sorted(seqs) == list(range(1, 271))
    assert [envelope.seq for envelope in store.events("run-1")] == list(range(1, 271))


# The compare-and-swap


def test_events_that_are_bound_to_a_state_are_kept_in_that_state_only(store: Store) -> None:
    add_run(store, state="verifying")
    verdict = events.Verify(("pytest",), True, 1.5, "3 passed", 1, "ab")
    group = [verdict, events.State("verifying", "review")]
    kept = store.append_while("run-1", ["verifying"], group, at=AT).result()
    assert [envelope.event for envelope in kept] == group
    assert store.run("run-1").state == "review"
    assert store.append_while("run-1", ["verifying"], group, at=AT).result() == []
    assert store.last_event("run-1", "verify", "complete") == kept[0]
    assert store.last_event("run-1", "complete") is None


def test_a_run_that_is_being_verified_does_not_keep_its_task_busy(store: Store) -> None:
    lock = store.register_owner()
    add_run(store, "run-1", task_key="1", state="verifying", owner=lock.owner)
    assert store.create_run(run_record("run-2", task_key="1", owner=lock.owner)).result() is True
    assert store.create_run(run_record("run-3", task_key="1", owner=lock.owner)).result() is False, (
        "the second one works"
    )
    lock.release()


def test_a_transition_needs_the_state_and_the_revision(store: Store) -> None:
    add_run(store, state="review", revision=3)
    assert store.transition("run-1", ["running"], "applying").result() is False
    assert store.transition("run-1", ["review"], "applying", revision=2).result() is False
    assert store.run("run-1").state == "review"
    owner = store.register_owner().owner
    assert store.transition("run-1", ["conflict", "review"], "applying", revision=3, owner=owner).result() is True
    assert (store.run("run-1").state, store.run("run-1").owner) == ("applying", owner)
    assert store.transition("run-1", ["review"], "applying", revision=3).result() is False
    assert store.transition("nobody", ["review"], "applying").result() is False


def test_of_many_processes_one_gets_to_apply(store: Store, folder: Path) -> None:
    add_run(store, state="review")
    others = [Other(folder, "transition", run="run-1", from_="review", to="applying", revision=1) for _ in range(4)]
    for other in others:
        assert other.hear() == "ready"
    for other in others:
        other.go()
    won = [other.hear() for other in others]
    for other in others:
        other.__exit__()
    assert sorted(won) == [False, False, False, True]


def test_the_anchor_of_the_task_is_kept_with_the_run(store: Store) -> None:
    add_run(store)
    assert store.run("run-1").anchor == ANCHOR
    assert json.dumps(store.run("run-1").task_key) == '"run-1"'
