"""Spenders of several processes against one cap: `python -m benchmarks.budget --trials 1000`.

In every trial 64 spenders in 4 processes reserve and settle at once against a day's cap of $1.00, each until its first
refusal. A request reserves half a cent to a cent and costs 85 to 100 % of that. What may never happen is that reserved
and spent money pass the cap; how much of the cap was used says whether the guard is too shy.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from multiprocessing.synchronize import Barrier
from pathlib import Path
from tempfile import TemporaryDirectory

from kiro_lsp.budget import from_nano, to_nano
from kiro_lsp.store import Refusal, Store

PROCESSES = 4
SPENDERS = 64
CAP = to_nano("1.00")
FIRST_DAY = date(2030, 1, 1)


@dataclass(frozen=True, slots=True)
class Trial:
    """What stood in the ledger at the end of one trial, in nano-dollars."""

    spent: int
    reserved: int

    @property
    def overspent(self) -> int:
        return max(0, self.spent + self.reserved - CAP)


def trials(count: int, seed: int) -> list[Trial]:
    """Run that many trials on one ledger, each on a day of its own."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        Store.open(folder).close()
        context = multiprocessing.get_context("spawn")
        barrier = context.Barrier(PROCESSES)
        processes = [
            context.Process(target=_process, args=(name, number, count, seed, barrier)) for number in range(PROCESSES)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        if any(process.exitcode for process in processes):
            raise RuntimeError("a process of spenders failed")
        store = Store.open(folder)
        try:
            return [_read(store, trial) for trial in range(count)]
        finally:
            store.close()


def _read(store: Store, trial: int) -> Trial:
    rows = store.read(
        lambda db: db.execute(
            "SELECT coalesce(sum(charged), 0), coalesce(sum(CASE WHEN charged IS NULL THEN reserved END), 0)"
            " FROM ledger WHERE day=?",
            (_day(trial),),
        ).fetchone()
    )
    return Trial(*rows)


def _process(folder: str, number: int, count: int, seed: int, barrier: Barrier) -> None:
    store = Store.open(Path(folder))
    try:
        with ThreadPoolExecutor(SPENDERS // PROCESSES) as pool:
            for trial in range(count):
                barrier.wait()
                seeds = [f"{seed}/{trial}/{number}/{n}" for n in range(SPENDERS // PROCESSES)]
                for done in [pool.submit(_spend, store, trial, one) for one in seeds]:
                    done.result()
    finally:
        store.close()


def _spend(store: Store, trial: int, seed: str) -> None:
    """One spender: until the first refusal, which is where a run ends."""
    dice = random.Random(seed)
    while True:
        most = dice.randint(CAP // 200, CAP // 100)
        granted = store.reserve(seed, "/p", "claude", most, cap_day=CAP, cap_run=CAP, day=_day(trial)).result()
        if isinstance(granted, Refusal):
            return
        store.settle(granted, most * dice.randint(85, 100) // 100).result()


def _day(trial: int) -> str:
    return (FIRST_DAY + timedelta(days=trial)).isoformat()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    begun = time.monotonic()
    found = trials(args.trials, args.seed)
    used = [trial.spent / CAP for trial in found]
    print(f"{len(found)} trials, {SPENDERS} spenders in {PROCESSES} processes, cap ${from_nano(CAP)}")
    print(f"overspend ${from_nano(max(trial.overspent for trial in found))} at worst")
    print(f"utilisation {min(used):.1%} at worst, {sum(used) / len(used):.1%} on average")
    print(f"{time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
