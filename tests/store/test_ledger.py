from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiro_lsp import events
from kiro_lsp.store import CostRow, Refusal, Reservation, Spent, Store, Warn, local_day
from tests.store.rows import AT, Other, add_run, together

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
    told = together(others)
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
    told = together(others)
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
    store.append("a", [events.UsageReport(100, 10, 5, "0.1", "metered", 4)], durable=True, at=AT).result()
    store.append("c", [events.UsageReport(7, 3, 0, "0", "subscription", 2)], durable=True, at=AT).result()
    store.settle(granted(store, 500, run="a"), 100).result()
    store.settle(granted(store, 500, run="a", day="2026-11-22"), 50).result()
    store.settle(granted(store, 500, run="b", day="2026-11-22"), None).result()
    claude = CostRow("claude", 2, 100, 10, 5, 150, 1, turns=4, charged=650, metered=True)
    free = CostRow("free", 1, 7, 3, 0, 0, 0, turns=2)
    assert store.cost_rows("agent") == [claude, free]
    assert store.cost_rows("spec") == [
        replace(claude, key="specs/one/tasks.md"),
        replace(free, key="specs/two/tasks.md"),
    ]
    assert [(row.key, row.nano, row.unknown) for row in store.cost_rows("task")] == [
        ("specs/one/tasks.md 1", 150, 0),
        ("specs/one/tasks.md 2", None, 1),
        ("specs/two/tasks.md 1", 0, 0),
    ]
    by_day = {row.key: row for row in store.cost_rows("day")}
    assert (by_day["2026-11-21"].nano, by_day["2026-11-22"].nano, by_day["2026-11-22"].unknown) == (100, 50, 1)
    assert sum(row.input_tokens for row in by_day.values()) == 107


# The warning


def warn_at(nano: int) -> Warn:
    def said(day: str, spent: Spent) -> events.RunEvent:
        return events.Warned("budget", f"{day} {spent.spent}", "")

    return Warn(nano, said, AT)


def spend(store: Store, nano: int | None, warn: int, *, run: str = "run-1", day: str = DAY) -> list[str]:
    """Settle one request of 100 at most; what was said."""
    told = store.settle(granted(store, 100, run=run, day=day), nano, warn=warn_at(warn)).result()
    assert [envelope.event for envelope in told] == warnings(store, run)[len(warnings(store, run)) - len(told) :]
    return [envelope.event.message for envelope in told if isinstance(envelope.event, events.Warned)]


def warnings(store: Store, run: str) -> list[events.RunEvent]:
    return [envelope.event for envelope in store.events(run) if isinstance(envelope.event, events.Warned)]


def test_the_warning_is_said_once_a_day_by_the_request_that_reaches_it(store: Store) -> None:
    add_run(store)
    add_run(store, "run-2")
    assert spend(store, 50, 100) == []
    assert spend(store, 49, 100, run="run-2") == []
    assert spend(store, 1, 100, run="run-2") == [f"{DAY} 100"]
    assert spend(store, 50, 100) == []
    assert spend(store, 99, 100, day="2026-11-22") == []
    assert spend(store, 99, 100, day="2026-11-22") == ["2026-11-22 198"]
    assert len(warnings(store, "run-1")) == len(warnings(store, "run-2")) == 1


def test_unknown_cost_counts_towards_the_warning_as_it_is_charged_and_nothing_does_not(store: Store) -> None:
    add_run(store)
    assert spend(store, 0, 0) == [], "nothing was spent, so there is nothing to warn of"
    assert spend(store, None, 100) == [f"{DAY} 100"]


def test_an_earlier_warning_that_a_project_asks_for_does_not_use_up_the_persons_own(store: Store) -> None:
    add_run(store)
    assert spend(store, 60, 50) == [f"{DAY} 60"]
    assert spend(store, 60, 100) == [f"{DAY} 120"]
    assert spend(store, 60, 50) == []
    assert spend(store, 60, 100) == []


def test_a_request_without_a_run_leaves_the_warning_to_the_next_run(store: Store) -> None:
    add_run(store)
    store.settle(granted(store, 100, run="doctor-1"), 100).result()
    assert spend(store, 1, 100) == [f"{DAY} 101"]


def test_processes_that_spend_together_warn_once(store: Store, folder: Path) -> None:
    runs = [f"run-{number}" for number in range(6)]
    others = []
    for run in runs:
        add_run(store, run)
        others.append(Other(folder, "warned", run=run, nano=5, times=40, at=500))
    told = together(others)
    assert store.spent(DAY).spent == 6 * 40 * 5
    assert sum(told) == 1
    assert sum(len(warnings(store, run)) for run in runs) == 1


# A process that is gone


def test_what_a_killed_run_had_reserved_is_charged_and_unknown_once_the_run_is_interrupted(store: Store) -> None:
    add_run(store)
    held = granted(store, 700)
    store.settle(granted(store, 100), 40).result()
    assert store.spent(DAY) == Spent(40, 700, 0)
    store.append("run-1", [events.State("running", "interrupted")], durable=True, at=AT).result()
    assert store.spent(DAY) == Spent(740, 0, 1)
    assert (store.run("run-1").cost, store.run("run-1").charged) == (None, "0.00000074")
    store.settle(held, 10).result()  # a report that comes late proves nothing: it could be of another attempt
    assert store.spent(DAY) == Spent(740, 0, 1)


def test_what_another_run_has_reserved_stays_reserved(store: Store) -> None:
    add_run(store)
    add_run(store, "run-2")
    granted(store, 300, run="run-2")
    store.append("run-1", [events.State("running", "interrupted")], durable=True, at=AT).result()
    assert store.spent(DAY) == Spent(0, 300, 0)


def test_a_refusal_names_the_cap_that_stands_in_the_way_and_what_has_used_it(store: Store) -> None:
    store.settle(granted(store, 500), 400).result()
    granted(store, 300)
    refusal = reserve(store, 301)
    assert isinstance(refusal, Refusal)
    assert (refusal.setting, refusal.cap, refusal.spent, refusal.reserved) == ("max_cost_per_run", 1000, 400, 300)
    by_day = reserve(store, 301, run="run-2", cap_run=5000)
    assert isinstance(by_day, Refusal)
    assert (by_day.setting, by_day.spent, by_day.reserved) == ("max_cost_per_day", 400, 300)
    for word in ("max_cost_per_day = $0.000001", "$0.0000004 spent", "$0.0000003 reserved"):
        assert word in by_day.message


# Days


@pytest.mark.parametrize(
    ("zone", "instant", "day"),
    [
        ("UTC", "2026-11-21T23:59:59+00:00", "2026-11-21"),
        ("UTC", "2026-11-22T00:00:00+00:00", "2026-11-22"),
        ("Pacific/Kiritimati", "2026-11-21T12:00:00+00:00", "2026-11-22"),
        ("Etc/GMT+12", "2026-11-21T11:59:59+00:00", "2026-11-20"),
        ("Europe/Berlin", "2026-10-25T00:59:59+00:00", "2026-10-25"),  # the hour that comes twice
        ("Europe/Berlin", "2026-10-25T01:30:00+00:00", "2026-10-25"),
        ("Europe/Berlin", "2026-10-25T22:59:59+00:00", "2026-10-25"),
        ("Europe/Berlin", "2026-03-28T23:00:00+00:00", "2026-03-29"),  # the day that lacks an hour
        ("Africa/Cairo", "2026-04-23T22:00:00+00:00", "2026-04-24"),  # there midnight itself is left out
    ],
)
def test_a_day_is_the_local_one(zone: str, instant: str, day: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert local_day(datetime.fromisoformat(instant)) == day
    finally:
        monkeypatch.undo()
        time.tzset()


@settings(max_examples=25, deadline=None)
@given(
    moves=st.lists(
        st.tuples(st.integers(0, 40), st.integers(-72, 72), st.sampled_from(["UTC", "Etc/GMT+12", "Etc/GMT-14"])),
        min_size=1,
        max_size=12,
    )
)
def test_hours_that_pass_clocks_that_jump_and_zones_that_change_give_each_day_once(
    moves: list[tuple[int, int, str]],
) -> None:
    """Real hours pass, and the clock shows something else in some zone: no day is ever spent twice."""
    real = datetime(2026, 11, 21, 12, tzinfo=UTC)
    with TemporaryDirectory() as name:
        store = Store.open(Path(name))
        try:
            shown: set[str] = set()
            for number, (hours, ahead, zone) in enumerate(moves):
                real += timedelta(hours=hours)
                day = (real + timedelta(hours=ahead)).astimezone(ZoneInfo(zone)).date().isoformat()
                shown.add(day)
                for part in range(3):
                    reserve(store, 600, run=f"{number}-{part}", day=day)
            rows = store.cost_rows("day")
            assert all(row.charged <= 1000 for row in rows)
            assert sum(row.charged for row in rows) <= 1000 * len(shown)
            assert {row.key for row in rows} <= shown
        finally:
            store.close()
