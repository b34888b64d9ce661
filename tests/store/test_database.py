from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest

from kiro_lsp.errors import RunRefused, StoreError, UnknownRun
from kiro_lsp.events import Chunk
from kiro_lsp.store import Store, database, state_dir
from tests.store.rows import AT, REPO, Other, add_run, integrity

FILE = "kiro-lsp.db"


def count(table: str) -> Callable[[sqlite3.Connection], int]:
    return lambda db: int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def block(store: Store) -> tuple[threading.Event, Future[None]]:
    """Keep the writer thread busy until the event is set, so that what follows waits in one group."""
    begun, go = threading.Event(), threading.Event()

    def job(_db: sqlite3.Connection) -> None:
        begun.set()
        go.wait(30)

    future = store.submit(job)
    assert begun.wait(30)
    return go, future


# The folder


def test_the_state_folder_can_be_named(tmp_path: Path) -> None:
    assert state_dir({"KIRO_LSP_STATE_DIR": str(tmp_path)}) == tmp_path
    assert state_dir({}).name == "kiro-lsp"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits")
def test_nobody_else_may_look_into_the_folder_or_its_files(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder = tmp_path / "a" / "state"
        store = Store.open(folder)
        add_run(store)
        lock = store.register_owner()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        modes = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in folder.rglob("*")}
        assert {f"{FILE}-wal", FILE, "owners"} <= set(modes)
        assert {mode for name, mode in modes.items() if name != "owners"} == {"0o600"}
        assert modes["owners"] == "0o700"
        lock.release()
        store.close()
    finally:
        os.umask(before)


def test_a_file_in_the_place_of_the_folder_is_an_error_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("mine")
    with pytest.raises(StoreError, match="KIRO_LSP_STATE_DIR"):
        Store.open(tmp_path / "state")
    with pytest.raises(StoreError, match="KIRO_LSP_STATE_DIR"):
        Store.open(tmp_path / "state" / "below")
    assert (tmp_path / "state").read_text() == "mine"


def test_a_folder_with_strange_signs_in_its_name_works(tmp_path: Path) -> None:
    folder = tmp_path / "a b?mode=ro#x%20ü"
    store = Store.open(folder)
    add_run(store)
    store.close()
    assert (folder / FILE).exists()


# Jobs


def test_a_future_is_resolved_after_its_commit_and_not_before(store: Store, folder: Path) -> None:
    seen: list[int] = []
    outside = sqlite3.connect(folder / FILE, check_same_thread=False)
    future = store.submit(lambda db: db.execute("INSERT INTO consents VALUES ('/p', 'now')").rowcount)
    future.add_done_callback(
        lambda _future: seen.append(outside.execute("SELECT count(*) FROM consents").fetchone()[0])
    )
    assert future.result() == 1
    store.close()
    outside.close()
    assert seen == [1]


def test_a_job_that_raises_is_taken_back_alone(store: Store) -> None:
    go, _blocked = block(store)

    def bad(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO consents VALUES ('/bad', 'now')")
        raise RunRefused("no")

    def insert(root: str) -> Callable[[sqlite3.Connection], int]:
        return lambda db: db.execute("INSERT INTO consents VALUES (?, 'now')", (root,)).rowcount

    futures = [store.submit(insert("/a")), store.submit(bad), store.submit(insert("/a")), store.submit(insert("/b"))]
    go.set()
    assert futures[0].result() == 1
    with pytest.raises(RunRefused):
        futures[1].result()
    with pytest.raises(StoreError):
        futures[2].result()
    assert futures[3].result() == 1
    assert [store.consented(root) for root in ("/a", "/bad", "/b")] == [True, False, True]


def test_a_job_with_bad_sql_takes_nobody_down(store: Store) -> None:
    go, _blocked = block(store)
    futures = [
        store.remember_consent("/a"),
        store.submit(lambda db: db.execute("SELECT * FROM nowhere")),
        store.remember_consent("/b"),
    ]
    go.set()
    with pytest.raises(StoreError, match="nowhere"):
        futures[1].result()
    futures[0].result()
    futures[2].result()
    assert store.consented("/a")
    assert store.consented("/b")


def test_what_was_submitted_is_written_although_nobody_waits_any_more(store: Store) -> None:
    go, _blocked = block(store)
    future = store.remember_consent("/p")
    assert future.cancel() is False
    go.set()
    store.submit(lambda _db: None).result()
    assert store.consented("/p")


def test_closing_writes_what_was_submitted_and_refuses_what_comes_later(folder: Path) -> None:
    store = Store.open(folder)
    futures = [store.remember_consent(f"/{number}") for number in range(500)]
    store.close()
    store.close()
    assert [future.result() for future in futures] == [None] * 500
    with pytest.raises(StoreError, match="closed"):
        store.remember_consent("/late").result()
    with pytest.raises(StoreError, match="closed"):
        store.consented("/late")
    again = Store.open(folder)
    assert again.read(count("consents")) == 500
    again.close()


def test_jobs_are_done_in_the_order_of_their_submission(store: Store) -> None:
    order: list[int] = []
    futures = [store.submit(lambda _db, number=number: order.append(number)) for number in range(1000)]  # type: ignore[misc]
    for future in futures:
        future.result()
    assert order == list(range(1000))


def test_a_transaction_with_a_durable_job_waits_for_the_disk_and_others_do_not(store: Store) -> None:
    def synchronous(db: sqlite3.Connection) -> int:
        return int(db.execute("PRAGMA synchronous").fetchone()[0])

    assert store.submit(synchronous, durable=True).result() == 2
    assert store.submit(synchronous, durable=False).result() == 1
    go, _blocked = block(store)
    mixed = [store.submit(synchronous, durable=False), store.submit(synchronous, durable=True)]
    go.set()
    assert [future.result() for future in mixed] == [2, 2]


def test_a_read_is_of_one_moment_and_cannot_write(store: Store) -> None:
    def query(db: sqlite3.Connection) -> tuple[int, int]:
        first = count("consents")(db)
        store.remember_consent("/p").result()
        return first, count("consents")(db)

    assert store.read(query) == (0, 0)
    assert store.read(count("consents")) == 1
    with pytest.raises(StoreError, match="readonly"):
        store.read(lambda db: db.execute("DELETE FROM consents"))


def test_a_query_that_raises_leaves_nothing_open(store: Store, folder: Path) -> None:
    def broken(_db: sqlite3.Connection) -> None:
        raise UnknownRun("no")

    for _ in range(5):
        with pytest.raises(UnknownRun):
            store.read(broken)
    store.remember_consent("/p").result()
    assert store.consented("/p")
    assert len(store._readers) <= 1


def test_many_threads_share_few_connections(store: Store) -> None:
    add_run(store)
    wrong: list[object] = []

    def work() -> None:
        for _ in range(30):
            store.append("run-1", [Chunk("x")], durable=False, at=AT).result()
            if store.run("run-1").run_id != "run-1":
                wrong.append("run")

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(store.events("run-1")) == 360
    assert len(store._readers) <= 12


def test_the_data_version_moves_when_something_was_committed_and_only_then(store: Store, folder: Path) -> None:
    version = store.data_version()
    assert store.data_version() == version
    store.remember_consent("/p").result()
    here = store.data_version()
    assert here != version
    with Other(folder, "append", run="run-1", times=1, text="x") as other:
        add_run(store)
        here = store.data_version()
        other.hear()
        other.go()
        other.hear()
        assert store.data_version() != here


# A folder that is full, gone, or locked


@pytest.mark.skipif(sys.platform == "win32", reason="removing an open file is refused on Windows")
@pytest.mark.parametrize("removed", ["file", "folder"])
def test_a_store_whose_file_was_removed_says_so_and_begins_anew(folder: Path, removed: str) -> None:
    store = Store.open(folder)
    add_run(store)
    for path in folder.glob(f"{FILE}*"):
        path.unlink()
    if removed == "folder":
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    with pytest.raises(StoreError, match="removed or replaced"):
        store.append("run-1", [Chunk("x")], durable=True, at=AT).result()
    assert store.runs() == []
    add_run(store, "after")
    assert store.run("after").run_id == "after"
    assert store.data_version() > 0
    store.close()


@pytest.mark.skipif(sys.platform == "win32", reason="removing an open file is refused on Windows")
def test_a_reader_notices_that_the_file_was_replaced(folder: Path) -> None:
    store = Store.open(folder)
    add_run(store)
    (folder / FILE).rename(folder / "elsewhere")
    with pytest.raises(StoreError, match="removed or replaced"):
        store.runs()
    assert store.runs() == []
    store.close()


FULL = """
import resource, signal, sys
from pathlib import Path
from kiro_lsp.changes.model import FileChange
from kiro_lsp.errors import StoreError
from kiro_lsp.store import Store
from tests.store.rows import add_run

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = Store.open(Path(sys.argv[1]))
add_run(store)
store.stage("run-1", FileChange("kept.py", "create", None, b"kept")).result()
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
large = store.stage("run-1", FileChange("large.bin", "create", None, bytes(2_000_000)))
small = store.stage("run-1", FileChange("small.py", "create", None, b"small"))
try:
    large.result()
except StoreError as error:
    print("refused:", error.hint)
small.result()
print([change.path for change in store.changes("run-1").files])
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.stage("run-1", FileChange("large.bin", "create", None, bytes(2_000_000))).result()
print([change.path for change in store.changes("run-1").files])
store.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no RLIMIT_FSIZE on Windows")
def test_when_there_is_no_room_one_job_fails_and_work_goes_on(folder: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", FULL, str(folder)], check=False, cwd=REPO, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    refused, during, after = run.stdout.splitlines()
    assert refused.startswith("refused: ")
    assert "disk" in refused
    assert during == "['kept.py', 'small.py']"
    assert after == "['kept.py', 'large.bin', 'small.py']"
    assert integrity(folder) == "ok"


def test_a_store_that_another_program_locks_is_waited_for_and_then_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.2)
    store = Store.open(folder)
    outside = sqlite3.connect(folder / FILE, isolation_level=None, check_same_thread=False)
    outside.execute("BEGIN IMMEDIATE")
    futures = [store.remember_consent(f"/{number}") for number in range(3)]
    for future in futures:
        with pytest.raises(StoreError, match="locked") as refused:
            future.result()
    assert "try again" in refused.value.hint
    assert not store.consented("/0"), "reading goes on meanwhile"
    outside.execute("ROLLBACK")
    store.remember_consent("/p").result()
    assert store.consented("/p")
    outside.close()
    store.close()


def test_a_short_lock_is_sat_out(store: Store, folder: Path) -> None:
    outside = sqlite3.connect(folder / FILE, isolation_level=None, check_same_thread=False)
    outside.execute("BEGIN IMMEDIATE")
    future = store.remember_consent("/p")
    assert not future.done()
    outside.execute("COMMIT")
    future.result()
    outside.close()


# kill -9


@pytest.mark.parametrize("acknowledged", [1, 2, 7, 40, 150])
def test_what_was_acknowledged_before_a_kill_is_there_and_whole(folder: Path, acknowledged: int) -> None:
    store = Store.open(folder)
    add_run(store)
    store.close()
    with Other(folder, "write_until_killed", run="run-1") as other:
        told = [other.hear() for _ in range(acknowledged)]
        other.kill()
        told += other.rest()
    store = Store.open(folder)
    assert store.notices == []
    texts = {envelope.seq: envelope.event for envelope in store.events("run-1")}
    assert sorted(texts) == list(range(1, len(texts) + 1))
    files = {change.path: change.proposed for change in store.changes("run-1").files}
    latest = {}
    for line in told:
        if line[0] == "event":
            assert texts[line[1]] == Chunk(line[2])
        else:
            latest[line[1]] = line[2]
    for path, number in latest.items():
        data = files[path]
        assert data is not None
        assert int(data.split(b"\n")[0].split()[1]) >= number
    store.close()
    assert integrity(folder) == "ok"
