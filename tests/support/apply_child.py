"""A process of its own that applies, and may be killed while it does: imported by a fork server, run in its children."""

from __future__ import annotations

import asyncio
import multiprocessing
import multiprocessing.context
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from kiro_lsp.engine import faults
from kiro_lsp.engine.apply import Applier
from kiro_lsp.store import Store
from tests.support.documents import Documents
from tests.support.project import TASK_FILE, anchor, everything, review_of


def context() -> multiprocessing.context.BaseContext:
    """Children fork from a small server that has everything imported: a kill costs milliseconds, not a start."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["tests.support.apply_child"])
    return made


@dataclass(frozen=True)
class Prepared:
    """A project and a state folder, ready for one verb; copied for every kill."""

    root: Path
    state: Path

    def copy(self, where: Path) -> Prepared:
        copied = Prepared(where / "project", where / "state")
        shutil.copytree(self.root, copied.root, symlinks=True)
        shutil.copytree(self.state, copied.state)
        return copied


async def carry_out(store: Store, root: Path, verb: str) -> str:
    """One verb on `run-1`; the state it ended in."""
    is_open = verb.endswith("in the editor")
    documents = Documents({root / "src/app.py": (root / "src/app.py").read_bytes().decode()} if is_open else {})
    applier = Applier(store, root, documents)
    match verb.partition(" ")[0]:
        case "accept":
            return (await applier.accept("run-1", everything(review_of(store)))).state
        case "undo":
            return (await applier.undo("run-1")).state
        case "restore":
            return (await applier.restore("run-1")).state
        case _:
            return "verified" if (await applier.tick("run-1", TASK_FILE, anchor(), "done")).ticked else "refused"


def work(prepared: Prepared, verb: str, fault: str) -> None:
    """What the child does. It ends with 0 when the fault was not reached and the verb succeeded."""
    os.environ[faults.VARIABLE] = fault
    store = Store.open(prepared.state)
    state = asyncio.run(carry_out(store, prepared.root, verb))
    store.close()
    raise SystemExit(0 if state == "verified" else 3)


def recover(prepared: Prepared, fault: str) -> None:
    """A recovery that may be killed too."""
    from kiro_lsp.engine import recovery

    os.environ[faults.VARIABLE] = fault
    store = Store.open(prepared.state)
    recovery.recover(store, prepared.root, "run-1")
    store.close()
    raise SystemExit(0)
