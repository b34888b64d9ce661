"""A seeded share of `python -m benchmarks.budget`."""

from __future__ import annotations

from benchmarks.budget import CAP, trials


def test_spenders_of_four_processes_never_pass_the_cap_and_use_most_of_it() -> None:
    found = trials(5, seed=7)
    assert [trial.overspent for trial in found] == [0] * 5
    assert all(trial.reserved == 0 for trial in found)
    assert min(trial.spent for trial in found) >= CAP * 9 // 10
