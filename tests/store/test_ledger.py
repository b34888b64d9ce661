from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiro_lsp import events
from kiro_lsp.store import CostRow, Refusal, Reservation, Spent, Store
from tests.store.rows import AT, Other, add_run

DAY = "2026-11-21"


def reserve(
    store: Store, nano: int, *, run: str = "run-1", day: str = DAY, cap_day: int = 1000, cap_run: int = 1000
) -> Reservation | Refusal:
    return store.reserve(run, "/p", "claude", nano, cap_day=cap_day, cap_run=cap_run, day=day).result()


def granted(store: Store, nano: int, **arguments: object) -> Reservation:
    reservation = reserve(store, nano, **arguments)  # type: ignore[arg-type]
    assert isinstance(reservation, Reservation), reservation
    return reservation


def test_what_fits_is_reserved_and_what_does_not_is_refused_with_the_numbers(store: Store) -> None:
    granted(store, 600_000_000, cap_run=10**9, cap_day=10**10)
    refusal = reserve(store, 400_000_001, cap_run=10**9, cap_day=10**10)
    assert isinstance(refusal, Refusal)
    assert all(amount in refusal.message for amount in ("$0.400000001", "$0.6", "$1", "this run"))
    granted(store, 400_000_000, cap_run=10**9, cap_day=10**10)
    assert store.spent(DAY) == Spent(0, 10**9, 0)


def test_the_day_is_capped_over_all_runs(store: Store) -> None:
    granted(store, 700, run="a")
    refusal = reserve(store, 301, run="b")
    assert isinstance(refusal, Refusal)
    assert "today" in refusal.message
    granted(store, 300, run="b")


def test_settling_frees_what_was_not_used(store: Store) -> None:
    reservation = granted(store, 1000)
    assert isinstance(reserve(store, 1), Refusal)
    store.settle(reservation, 250).result()
    assert store.spent(DAY) == Spent(250, 0, 0)
    granted(store, 750)


@pytest.mark.parametrize("report", [None, -1])
def test_an_unknown_cost_stays_charged_as_reserved(store: Store, report: int | None) -> None:
    store.settle(granted(store, 900), report).result()
    assert store.spent(DAY) == Spent(900, 0, 1)
    assert isinstance(reserve(store, 101), Refusal)


@pytest.mark.parametrize(
    ("first", "second", "charged"),
    [(100, 100, 100), (100, 50, 100), (100, 200, 200), (100, None, 100), (None, 50, 900)],
)
def test_a_report_that_comes_twice_gives_no_money_back(
    store: Store, first: int | None, second: int | None, charged: int
) -> None:
    reservation = granted(store, 900)
    store.settle(reservation, first).result()
    store.settle(reservation, second).result()
    assert store.spent(DAY).spent == charged


def test_more_than_was_reserved_is_charged_in_full(store: Store) -> None:
    store.settle(granted(store, 10), 5000).result()
    assert store.spent(DAY).spent == 5000
    assert isinstance(reserve(store, 1), Refusal)


def test_amounts_and_days_that_are_none_are_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="-5"):
        reserve(store, -5)
    for day in ("tomorrow", "zzzz-99-99", ""):
        with pytest.raises(ValueError, match=r"."):
            reserve(store, 5, day=day)
    assert isinstance(reserve(store, 10**40, cap_day=10**50, cap_run=10**50), Refusal)
    store.settle(granted(store, 5), 10**40).result()
    assert store.spent(DAY).spent == 2**53


def test_a_clock_that_goes_back_gives_no_new_budget(store: Store) -> None:
    granted(store, 1000, run="a", day="2026-11-22")
    refusal = reserve(store, 1, run="b", day="2026-11-21")
    assert isinstance(refusal, Refusal)
    assert "2026-11-22" in refusal.message
    assert store.ledger_day("2026-11-21") == "2026-11-22"
    assert store.spent("2026-11-21") == Spent(0, 1000, 0)
    granted(store, 1000, run="c", day="2026-11-23")


@settings(max_examples=25, deadline=None)
@given(days=st.lists(st.dates(), min_size=1, max_size=15))
def test_however_the_clock_jumps_each_day_is_spent_once_and_the_ledger_never_goes_back(days: list[object]) -> None:
    with TemporaryDirectory() as name:
        store = Store.open(Path(name))
        try:
            seen = ""
            for number, day in enumerate(map(str, days)):
                reserve(store, 1000, run=str(number), day=day)
                now = store.ledger_day(day)
                assert now >= seen
                seen = now
                assert store.spent(day).reserved <= 1000
        finally:
            store.close()


# Several processes


def test_eight_processes_never_pass_the_cap_and_use_it_well(store: Store, folder: Path) -> None:
    cap, nano, actual = 10_000, 97, 83
    others = [
        Other(folder, "reserve", run=f"run-{n}", nano=nano, actual=actual, times=1000, cap_day=cap, cap_run=cap)
        for n in range(8)
    ]
    for other in others:
        assert other.hear() == "ready"
    for other in others:
        other.go()
    told = [other.hear() for other in others]
    for other in others:
        other.__exit__()
    spent = store.spent(DAY)
    assert spent.spent == sum(one["charged"] for one in told)
    assert spent.reserved == 0
    assert spent.spent <= cap
    # Everybody stops at its first refusal, so all eight may have held a reservation beside what is spent.
    assert spent.spent > cap - 8 * nano
    assert sum(one["granted"] for one in told) * actual == spent.spent


def test_eight_processes_whose_costs_stay_unknown_never_pass_the_cap(store: Store, folder: Path) -> None:
    others = [
        Other(folder, "reserve", run="shared", nano=100, actual=None, times=1000, cap_day=10**9, cap_run=2_550)
        for _ in range(8)
    ]
    for other in others:
        assert other.hear() == "ready"
    for other in others:
        other.go()
    told = [other.hear() for other in others]
    for other in others:
        other.__exit__()
    assert sum(one["granted"] for one in told) == 25
    assert store.spent(DAY, run_id="shared") == Spent(2500, 0, 25)


def test_a_process_killed_between_reserve_and_settle_stays_charged(store: Store, folder: Path) -> None:
    add_run(store)
    with Other(folder, "reserve_and_wait", run="run-1", nano=800) as other:
        assert other.hear() == {"granted": True}
        other.kill()
    assert store.spent(DAY) == Spent(0, 800, 0)
    assert isinstance(reserve(store, 300), Refusal)
    store.append("run-1", [events.State("running", "interrupted")], durable=True, at=AT).result()
    assert store.run("run-1").cost is None, "nobody knows what the request cost"
    (row,) = store.cost_rows("agent")
    assert (row.nano, row.unknown) == (None, 1)


# What was spent on what


def test_costs_are_summed_by_day_agent_spec_and_task(store: Store) -> None:
    add_run(store, "a", task_key="1", path="specs/one/tasks.md", agent="claude")
    add_run(store, "b", task_key="2", path="specs/one/tasks.md", agent="claude")
    add_run(store, "c", task_key="1", path="specs/two/tasks.md", agent="free", billing="subscription")
    store.append("a", [events.UsageReport(100, 10, 5, "0.1", "metered")], durable=True, at=AT).result()
    store.append("c", [events.UsageReport(7, 3, 0, "0", "subscription")], durable=True, at=AT).result()
    store.settle(granted(store, 500, run="a"), 100).result()
    store.settle(granted(store, 500, run="a", day="2026-11-22"), 50).result()
    store.settle(granted(store, 500, run="b", day="2026-11-22"), None).result()
    assert store.cost_rows("agent") == [CostRow("claude", 2, 100, 10, 5, 150, 1), CostRow("free", 1, 7, 3, 0, 0, 0)]
    assert store.cost_rows("spec") == [
        CostRow("specs/one/tasks.md", 2, 100, 10, 5, 150, 1),
        CostRow("specs/two/tasks.md", 1, 7, 3, 0, 0, 0),
    ]
    assert [(row.key, row.nano, row.unknown) for row in store.cost_rows("task")] == [
        ("specs/one/tasks.md 1", 150, 0),
        ("specs/one/tasks.md 2", None, 1),
        ("specs/two/tasks.md 1", 0, 0),
    ]
    by_day = {row.key: row for row in store.cost_rows("day")}
    assert (by_day["2026-11-21"].nano, by_day["2026-11-22"].nano, by_day["2026-11-22"].unknown) == (100, 50, 1)
    assert sum(row.input_tokens for row in by_day.values()) == 107
