"""The other process of the store's tests: opens the store, says "ready", waits for a line, does one thing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from kiro_lsp.changes.model import FileChange
from kiro_lsp.events import Chunk, Phase, Warned
from kiro_lsp.store import Refusal, Store, Warn
from tests.store.rows import AT, run_record


def say(value: Any) -> None:
    print(json.dumps(value), flush=True)


def reserve(store: Store, *, run: str, nano: int, actual: int | None, times: int, cap_day: int, cap_run: int) -> None:
    """Reserve and settle again and again until refused; says what it was charged."""
    charged = granted_times = 0
    for _ in range(times):
        granted = store.reserve(run, "/p", "claude", nano, cap_day=cap_day, cap_run=cap_run, day="2026-11-21").result()
        if isinstance(granted, Refusal):
            break
        granted_times += 1
        store.settle(granted, actual).result()
        charged += nano if actual is None else actual
    say({"charged": charged, "granted": granted_times})


def warned(store: Store, *, run: str, nano: int, times: int, at: int) -> None:
    """Spend again and again; says how often it was told that the day has reached `at`."""
    warn, told = Warn(at, lambda day, _spent: Warned("budget", day, ""), AT), 0
    for _ in range(times):
        granted = store.reserve(run, "/p", "claude", nano, cap_day=10**6, cap_run=10**6, day="2026-11-21").result()
        assert not isinstance(granted, Refusal)
        told += len(store.settle(granted, nano, warn=warn).result())
    say(told)


def reserve_and_wait(store: Store, *, run: str, nano: int) -> None:
    granted = store.reserve(run, "/p", "claude", nano, cap_day=10**12, cap_run=10**12, day="2026-11-21").result()
    say({"granted": not isinstance(granted, Refusal)})
    sys.stdin.readline()


def transition(store: Store, *, run: str, from_: str, to: str, revision: int | None) -> None:
    say(store.transition(run, [from_], to, revision=revision).result())  # type: ignore[list-item,arg-type]


def append(store: Store, *, run: str, times: int, text: str) -> None:
    say(
        [
            store.append(run, [Phase("editing", text), Chunk(text)], durable=False, at=AT).result()[0].seq
            for _ in range(times)
        ]
    )


def write_until_killed(store: Store, *, run: str) -> None:
    """Stage files and append events as fast as it goes, and say what was acknowledged."""
    number = 0
    while True:
        number += 1
        data = f"content {number}\n".encode() * 50
        events = store.append(run, [Chunk(f"text {number}")], durable=number % 3 == 0, at=AT)
        staged = store.stage(run, FileChange(f"src/file{number % 40}.py", "modify", b"old\n", data))
        say(["event", events.result()[0].seq, f"text {number}"])
        staged.result()
        say(["file", f"src/file{number % 40}.py", number])


def own(store: Store, *, run: str | None, root: str | None) -> None:
    """Register, own a live run, hold a root; then wait."""
    lock = store.register_owner()
    if run is not None:
        store.create_run(run_record(run, owner=lock.owner)).result()
    if root is not None:
        store.hold_root(root, lock.owner).result()
    say({"key": lock.owner.key, "pid": lock.owner.pid})
    sys.stdin.readline()


def answer(store: Store) -> None:
    """Take one request and answer it by its own arguments."""
    lock = store.register_owner()
    say({"key": lock.owner.key})
    sys.stdin.readline()
    rows = store.take(lock.owner)
    for row in rows:
        store.finish(row.id, {"kind": row.kind, "args": dict(row.args), "by": row.by}).result()
    say(len(rows))


def open_only(store: Store) -> None:
    say({"runs": len(store.runs()), "notices": store.notices})


def claim(store: Store, *, run: str) -> None:
    lock = store.register_owner()
    say(store.claim(run, lock.owner).result())
    sys.stdin.readline()


VERBS = {
    verb.__name__: verb
    for verb in (
        reserve,
        warned,
        reserve_and_wait,
        transition,
        append,
        write_until_killed,
        own,
        answer,
        open_only,
        claim,
    )
}


def main() -> None:
    folder, verb, arguments = sys.argv[1:]
    if verb == "open_only":
        # Everybody opens at the same moment: that is what is tested.
        say("ready")
        sys.stdin.readline()
    store = Store.open(Path(folder))
    if verb in ("reserve", "warned", "transition", "append", "claim"):
        say("ready")
        sys.stdin.readline()
    VERBS[verb](store, **json.loads(arguments))
    store.close()


if __name__ == "__main__":
    main()
