"""kill -9 at every point of accept, undo, restore and tick, and of the recovery itself: before or after, nothing else."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kiro_lsp.engine import faults, recovery
from kiro_lsp.engine.recovery import Outcome
from kiro_lsp.store import Store
from tests.conftest import REPO
from tests.support import apply_child
from tests.support.apply_child import Prepared
from tests.support.project import SETS, everything, lay_out, record_run, review_of
from tests.support.tree import Tree, snapshot

PASSES = {1: (1, 2), 3: (1, 2, 3), 20: (1, 2, 10, 19, 20)}
"""At which pass of a point to kill, by the size of the set: the first ones, the middle, the last ones."""

FORWARD = [point for point in faults.POINTS if point.startswith(("apply.", "disk.")) and point not in ("disk.back",)]


@pytest.fixture(scope="module")
def kill() -> Callable[..., int | None]:
    made = apply_child.context()

    def run(target: Callable[..., None], *arguments: object) -> int | None:
        process = made.Process(target=target, args=arguments)  # type: ignore[attr-defined]
        process.start()
        process.join()
        code: int | None = process.exitcode
        return code

    return run


class Case:
    """A set of files before and after a verb, and a fresh copy of the state before it for every kill."""

    def __init__(self, folder: Path, size: int, verb: str) -> None:
        self.verb = verb
        self._folder = folder
        self._count = 0
        root, state = folder / "original/project", folder / "original/state"
        root.mkdir(parents=True)
        lay_out(root, SETS[size])
        store = Store.open(state)
        record_run(store, root, SETS[size])
        if verb == "accept merged":
            edited = root / "src/app.py"
            edited.write_bytes(b"somebody else's\r\n" + edited.read_bytes())
        if verb in ("undo", "restore"):
            asyncio.run(apply_child.carry_out(store, root, "accept"))
            asyncio.run(apply_child.carry_out(store, root, "tick"))
        if verb == "restore":
            next(file for file in root.rglob("*") if file.is_file() and "src" in file.parts).write_bytes(b"later")
        store.close()
        self._original = Prepared(root, state)
        self.before = snapshot(root, times=False)
        done = self.fresh()
        store = self.open(done)
        assert asyncio.run(apply_child.carry_out(store, done.root, verb)) == "verified"
        self.after = snapshot(done.root, times=False)
        self.decisions = store.decisions("run-1")
        store.close()
        assert self.before != self.after

    def fresh(self) -> Prepared:
        """A copy at a place of its own; the run it holds is moved there."""
        self._count += 1
        prepared = self._original.copy(self._folder / f"copy-{self._count}")
        store = Store.open(prepared.state)
        real = os.path.realpath(prepared.root)
        store.submit(lambda db: db.execute("UPDATE runs SET root=?", (real,))).result()
        store.close()
        return prepared

    def open(self, prepared: Prepared) -> Store:
        return Store.open(prepared.state)

    def check_whole(self, prepared: Prepared, outcome: Outcome, where: str) -> Tree:
        """The tree is before or after, the record says the same, and the verb can be carried out to its end."""
        tree = snapshot(prepared.root, times=False)
        assert tree in (self.before, self.after), where
        store = self.open(prepared)
        try:
            assert not store.journals(states=("PREPARED", "APPLYING")), where
            kind = self.verb.split()[0]
            done = [journal.kind for journal in store.journals(states=("VERIFIED",))][-1:] == [kind]
            assert done is (tree == self.after), where
            if kind == "accept":
                assert (store.decisions("run-1") == self.decisions) is (tree == self.after), where
                assert outcome.state == ("verified" if tree == self.after else "rolled-back"), where
            if tree == self.before:
                assert asyncio.run(apply_child.carry_out(store, prepared.root, self.verb)) == "verified"
                assert snapshot(prepared.root, times=False) == self.after
        finally:
            store.close()
        shutil.rmtree(prepared.root.parent)
        return tree


def recovered(prepared: Prepared) -> Outcome:
    store = Store.open(prepared.state)
    try:
        return recovery.recover(store, prepared.root, "run-1")
    finally:
        store.close()


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, str], Case]:
    made: dict[tuple[int, str], Case] = {}

    def case(size: int, verb: str) -> Case:
        if (size, verb) not in made:
            made[size, verb] = Case(tmp_path_factory.mktemp(f"{verb}-{size}"), size, verb)
        return made[size, verb]

    return case


@pytest.mark.parametrize("where", FORWARD)
@pytest.mark.parametrize(
    ("size", "verb"),
    [
        (1, "accept"),
        (3, "accept"),
        (20, "accept"),
        (3, "accept in the editor"),
        (3, "accept merged"),
        (3, "undo"),
        (20, "undo"),
        (3, "restore"),
        (1, "tick"),
    ],
)
def test_killed_at_any_point_the_set_is_before_or_after(
    cases: Callable[[int, str], Case], kill: Callable[..., int | None], size: int, verb: str, where: str
) -> None:
    case = cases(size, verb)
    reached = 0
    for number in PASSES[size]:
        prepared = case.fresh()
        code = kill(apply_child.work, prepared, verb, f"{where}:{number}")
        if code == 0:
            break
        assert code == -signal.SIGKILL, (where, number, code)
        reached += 1
        case.check_whole(prepared, recovered(prepared), f"{verb} of {size} killed at {where}:{number}")
    makes_folders = verb.startswith("accept") and size > 1
    passed_by = where in ("apply.buffers", "apply.edited") and "editor" not in verb
    assert reached or passed_by or (where == "disk.folder" and not makes_folders), f"{where} was never passed"


@pytest.mark.parametrize(
    "again", ["recover.begin", "recover.file", "disk.back", "disk.swap", "disk.sweep", "disk.synced"]
)
@pytest.mark.parametrize("first", ["disk.laid", "disk.swapped", "apply.verified", "disk.sweep"])
def test_a_recovery_that_is_killed_too_is_finished_by_the_next(
    cases: Callable[[int, str], Case], kill: Callable[..., int | None], first: str, again: str
) -> None:
    case = cases(3, "accept")
    for number in (1, 2):
        prepared = case.fresh()
        assert kill(apply_child.work, prepared, "accept", f"{first}:2" if first.startswith("disk") else first) != 0
        if kill(apply_child.recover, prepared, f"{again}:{number}") == 0:
            recovered(prepared)
        case.check_whole(prepared, recovered(prepared), f"{first}, then {again}:{number}")


_CHILD = """
import sys
from pathlib import Path
from tests.support.apply_child import Prepared, work
work(Prepared(Path(sys.argv[1]), Path(sys.argv[2])), "accept", sys.argv[3])
"""

MOMENTS = [
    "apply.planned",
    "apply.prepared",
    "apply.applying",
    "disk.temporary",
    "disk.laid",
    "disk.swap:3",
    "apply.swapped",
]


@pytest.mark.parametrize("path", ["src/app.py", "new/deep/file.txt", "old/only.txt"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_what_somebody_writes_while_files_are_written_is_never_overwritten(
    cases: Callable[[int, str], Case], moment: str, path: str
) -> None:
    case = cases(3, "accept")
    prepared = case.fresh()
    child = stopped_child(prepared, f"{moment}:stop" if ":" in moment else f"{moment}:1:stop")
    theirs = prepared.root / path
    theirs.parent.mkdir(parents=True, exist_ok=True)
    theirs.unlink(missing_ok=True)
    theirs.write_bytes(b"theirs")
    os.kill(child.pid, signal.SIGCONT)
    assert child.wait() == 3
    assert theirs.read_bytes() == b"theirs"
    theirs.unlink()
    rest = snapshot(prepared.root, times=False).contents()
    before = case.before.contents()
    assert rest == {name: entry for name, entry in before.items() if name != path}


@pytest.mark.parametrize("path", ["src/app.py", "old/only.txt"])
def test_the_same_change_by_somebody_else_is_theirs_and_stays(cases: Callable[[int, str], Case], path: str) -> None:
    """At the very moment of our own write a file gets just what we wanted: going back must not take it away."""
    case = cases(3, "accept")
    prepared = case.fresh()
    child = stopped_child(prepared, "disk.swap:1:stop")
    wanted = SETS[3][path].after
    if wanted is None:
        (prepared.root / path).unlink()
    else:
        (prepared.root / path).write_bytes(wanted)
    os.kill(child.pid, signal.SIGCONT)
    assert child.wait() == 3
    assert ((prepared.root / path).read_bytes() if wanted is not None else None) == wanted
    assert (prepared.root / path).exists() is (wanted is not None)


def stopped_child(prepared: Prepared, fault: str) -> subprocess.Popen[bytes]:
    """A process that accepts and has stopped at a point."""
    child = subprocess.Popen([sys.executable, "-c", _CHILD, str(prepared.root), str(prepared.state), fault], cwd=REPO)
    _pid, status = os.waitpid(child.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    return child


def test_the_next_apply_in_the_project_finishes_what_a_dead_process_left(
    cases: Callable[[int, str], Case], kill: Callable[..., int | None]
) -> None:
    case = cases(3, "accept")
    prepared = case.fresh()
    assert kill(apply_child.work, prepared, "accept", "disk.swapped:2") == -signal.SIGKILL
    assert snapshot(prepared.root, times=False) not in (case.before, case.after)
    store = case.open(prepared)
    assert asyncio.run(apply_child.carry_out(store, prepared.root, "tick")) == "verified"
    assert [(journal.kind, journal.state) for journal in store.journals()] == [
        ("accept", "ROLLED_BACK"),
        ("tick", "VERIFIED"),
    ]
    assert review_of(store) != everything(review_of(store))
    store.close()
