"""The edit engine on a million random answers: undeclared exceptions, hangs, broken promises, with small reproducers.

    python -m benchmarks.edit_fuzz [--executions 1000000] [--seed N] [--processes 2] [--state FILE]

The state file is written after every batch; started again with it, a run goes on where it ended. An execution that does
not come back even from its own time limit is found by the batch that it belongs to.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from tests.changes.edits.grading import real_cases
from tests.support import edit_fuzz
from tests.support.edit_fuzz import Execution, Fault, Report

REPO = Path(__file__).resolve().parent.parent
BATCH = 2_000
_STUCK = 300.0
_SMALL = 4_000
"""Real cases of at most so many bytes, reply and files together, are damaged, too."""


def pool(shared: Path) -> tuple[Execution, ...]:
    own = edit_fuzz.own_pool()
    if not (shared / "edit_cases").is_dir():
        return own
    real = [
        Execution(case.response, "auto", tuple(case.before.items()), case.file)
        for case in real_cases(shared)
        if len(case.response) + sum(map(len, case.before.values())) < _SMALL
    ]
    return (*own, *real)


def worker(seed: int, shared: Path, orders: Connection) -> None:
    """Batches by number, until None."""
    known = pool(shared)
    while (number := orders.recv()) is not None:
        seeds = (f"{seed}/{index}" for index in range(number * BATCH, (number + 1) * BATCH))
        orders.send((number, edit_fuzz.run(seeds, pool=known)))


def fuzz(state: dict[str, Any], batches: int, processes: int, shared: Path) -> Iterator[dict[str, Any]]:
    """Run what is not done yet; the state after every batch."""
    waiting = [number for number in range(batches) if number not in set(state["done"])][::-1]
    running: dict[Connection, tuple[Any, int, float]] = {}
    while waiting or running:
        while waiting and len(running) < processes:
            ours, theirs = multiprocessing.Pipe()
            process = multiprocessing.Process(target=worker, args=(state["seed"], shared, theirs), daemon=True)
            process.start()
            theirs.close()
            _order(running, ours, process, waiting.pop())
        for ready in wait(list(running), timeout=5):
            assert isinstance(ready, Connection)
            process, number, _since = running.pop(ready)
            try:
                _add(state, *ready.recv())
            except EOFError:
                state["faults"][f"batch {number}"] = {"kind": "crash", "where": f"batch {number}"}
                continue
            if waiting:
                _order(running, ready, process, waiting.pop())
            else:
                ready.send(None)
                process.join()
            yield state
        for stuck, (process, number, since) in list(running.items()):
            if time.monotonic() - since > _STUCK:
                process.kill()
                del running[stuck]
                state["faults"][f"batch {number}"] = {"kind": "hang", "where": f"batch {number}"}


def _order(running: dict[Connection, tuple[Any, int, float]], to: Connection, process: Any, number: int) -> None:
    to.send(number)
    running[to] = (process, number, time.monotonic())


def _add(state: dict[str, Any], number: int, report: Report) -> None:
    state["done"].append(number)
    state["executions"] += report.executions
    for end, count in report.ends.items():
        state["ends"][end] = state["ends"].get(end, 0) + count
    for where, fault in report.faults.items():
        state["faults"].setdefault(where, _as_json(fault))


def _as_json(fault: Fault) -> dict[str, Any]:
    shown = asdict(replace(fault, execution=replace(fault.execution, files=())))
    shown["execution"]["files"] = {path: data.decode("latin-1") for path, data in fault.execution.files}
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, help="a new one when not given")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--state", type=Path, help="where to note what is done, and to go on from")
    parser.add_argument("--shared", type=Path, default=REPO.parent / "shared", help="the folder with edit_cases/")
    args = parser.parse_args()
    if args.state and args.state.exists():
        state = json.loads(args.state.read_text("utf-8"))
    else:
        seed = args.seed if args.seed is not None else random.SystemRandom().randrange(10**9)
        state = {"seed": seed, "executions": 0, "ends": {}, "faults": {}, "done": []}
    started, before = time.monotonic(), state["executions"]
    said = 0.0
    for after in fuzz(state, -(-args.executions // BATCH), args.processes, args.shared):
        if args.state:
            args.state.write_text(json.dumps(after, indent=1), "utf-8")
        if time.monotonic() - said > 10:
            said = time.monotonic()
            rate = (after["executions"] - before) / (said - started)
            print(f"{after['executions']} done, {rate:.0f}/s, {len(after['faults'])} faults", flush=True)
    seconds = time.monotonic() - started
    rate = (state["executions"] - before) / max(seconds, 1e-9)
    print(f"seed {state['seed']}: {state['executions']} executions, {rate:.0f}/s in {args.processes} processes")
    print("ends:", json.dumps(dict(sorted(state["ends"].items(), key=lambda item: -item[1]))))
    for fault in state["faults"].values():
        print(json.dumps(fault, indent=1))
    print(f"{len(state['faults'])} faults")


if __name__ == "__main__":
    main()
