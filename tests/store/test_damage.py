from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kiro_lsp.changes.model import FileChange
from kiro_lsp.errors import StoreError
from kiro_lsp.store import Store, database, schema
from tests.store.rows import REPO, Other, add_run, integrity, together

FILE = "kiro-lsp.db"


# Schemas


def test_a_file_of_a_newer_version_is_refused_and_left_alone(folder: Path) -> None:
    store = Store.open(folder)
    add_run(store)
    store.submit(lambda db: db.execute("PRAGMA user_version=99")).result()
    store.close()
    with pytest.raises(StoreError, match="newer kiro-lsp") as refused:
        Store.open(folder)
    assert "Update" in refused.value.hint
    assert sorted(path.name for path in folder.iterdir() if ".damaged-" in path.name) == []
    connection = sqlite3.connect(folder / FILE)
    assert connection.execute(
        "SELECT count(*), (SELECT user_version FROM pragma_user_version) FROM runs"
    ).fetchone() == (1, 99)
    connection.close()


def test_an_older_file_is_taken_through_the_steps_it_lacks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open(folder)
    add_run(store)
    store.close()
    step = "ALTER TABLE runs ADD COLUMN colour TEXT; UPDATE runs SET colour='green'"
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step))
    newer = Store.open(folder)
    assert newer.read(lambda db: db.execute("SELECT colour FROM runs").fetchall()) == [("green",)]
    assert newer.run("run-1").title == "Add a login form"
    newer.close()


def test_a_step_that_fails_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open(folder)
    add_run(store)
    store.close()
    steps = schema.MIGRATIONS
    monkeypatch.setattr(
        schema, "MIGRATIONS", (*steps, "ALTER TABLE runs ADD COLUMN colour TEXT; UPDATE nowhere SET x=1")
    )
    with pytest.raises(StoreError, match="nowhere"):
        Store.open(folder)
    monkeypatch.setattr(schema, "MIGRATIONS", steps)
    again = Store.open(folder)
    columns = again.read(lambda db: [row[1] for row in db.execute("PRAGMA table_info(runs)")])
    assert "colour" not in columns
    assert again.run("run-1").title == "Add a login form"
    again.close()


def test_several_processes_may_create_the_store_at_once(folder: Path) -> None:
    others = [Other(folder, "open_only") for _ in range(5)]
    for other in others:
        assert other.hear() == "ready"
    for other in others:
        other.go()
    assert [other.hear() for other in others] == [{"runs": 0, "notices": []}] * 5
    for other in others:
        other.__exit__()
    assert integrity(folder) == "ok"


# Damage


def filled(folder: Path) -> None:
    store = Store.open(folder)
    add_run(store)
    store.reserve("run-1", "/p", "claude", 700, cap_day=1000, cap_run=1000, day="2026-11-21").result()
    for number in range(200):
        store.stage("run-1", FileChange(f"f{number}", "create", None, os.urandom(2000))).result()
    store.close()


def overwrite(path: Path, start: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(data)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "text": lambda path: path.write_text("this is no database, and long enough to be sure about it. " * 50) and None,
    "header": lambda path: overwrite(path, 0, b"\0" * 100),
    "first page": lambda path: overwrite(path, 100, os.urandom(3996)),
    "middle": lambda path: overwrite(path, path.stat().st_size // 2, b"\xa5" * 100_000),
    "half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "odd size": lambda path: os.truncate(path, 5000),
}


@pytest.mark.parametrize("kind", sorted(DAMAGES))
def test_a_damaged_file_is_kept_and_a_new_one_begun_with_a_message(folder: Path, kind: str) -> None:
    filled(folder)
    DAMAGES[kind](folder / FILE)
    broken = (folder / FILE).read_bytes()
    store = Store.open(folder)
    (notice,) = store.notices
    (kept,) = [
        path for path in folder.iterdir() if ".damaged-" in path.name and not path.name.endswith(("-wal", "-shm"))
    ]
    assert "damaged" in notice
    assert str(kept) in notice
    assert kept.read_bytes() == broken
    add_run(store, "new", task_key="new")
    assert store.run("new").state == "running"
    store.close()
    assert integrity(folder) == "ok"
    again = Store.open(folder)
    assert again.notices == []
    again.close()


def test_an_empty_file_is_a_new_store(folder: Path) -> None:
    filled(folder)
    os.truncate(folder / FILE, 0)
    store = Store.open(folder)
    assert (store.runs(), store.notices) == ([], [])
    store.close()


def test_money_and_runs_that_are_readable_are_carried_over(folder: Path) -> None:
    filled(folder)
    overwrite(folder / FILE, (folder / FILE).stat().st_size - 40_960, b"\xa5" * 40_960)
    store = Store.open(folder)
    assert "1 runs and 1 charges" in store.notices[0]
    assert store.spent("2026-11-21").reserved == 700, "a damaged disk gives no new budget"
    assert store.run("run-1").files > 0
    store.close()


def test_damage_that_shows_while_it_is_used_is_mended_and_work_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "CHECKED_AT_OPENING", 0)
    filled(folder)
    DAMAGES["middle"](folder / FILE)
    store = Store.open(folder)
    assert store.notices == [], "this damage does not show at opening"
    with pytest.raises(StoreError, match="damaged"):
        store.read(lambda db: db.execute("SELECT sum(length(data)) FROM blobs").fetchall())
    assert "damaged" in store.notices[0]
    add_run(store, "new", task_key="new")
    assert store.run("new").run_id == "new"
    store.close()
    assert integrity(folder) == "ok"


def test_damage_that_shows_in_a_write_is_mended_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "CHECKED_AT_OPENING", 0)
    filled(folder)
    DAMAGES["middle"](folder / FILE)
    store = Store.open(folder)
    with pytest.raises(StoreError, match="damaged"):
        store.submit(lambda db: db.execute("UPDATE blobs SET data=data||data").rowcount).result()
    add_run(store, "new", task_key="new")
    assert store.data_version() != 0
    assert store.run("new").run_id == "new"
    store.close()
    assert integrity(folder) == "ok"


def test_of_several_processes_one_sets_a_damaged_file_aside(folder: Path) -> None:
    filled(folder)
    DAMAGES["middle"](folder / FILE)
    others = [Other(folder, "open_only") for _ in range(4)]
    told = together(others)
    assert sorted(len(one["notices"]) for one in told) == [0, 0, 0, 1]
    assert (
        len([path for path in folder.iterdir() if path.name.count(".damaged-") and not path.name.endswith("-wal")]) == 1
    )
    assert integrity(folder) == "ok"


def test_a_damaged_file_of_an_older_version_loses_nothing_that_is_readable(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = schema.MIGRATIONS
    monkeypatch.setattr(schema, "MIGRATIONS", steps[:1])
    filled(folder)
    monkeypatch.setattr(schema, "MIGRATIONS", steps)
    DAMAGES["middle"](folder / FILE)
    store = Store.open(folder)
    assert "damaged" in store.notices[0]
    assert store.run("run-1").turns == 0
    store.close()


@pytest.mark.parametrize("part", ["-wal", "-shm"])
def test_a_log_that_is_cut_or_gone_loses_no_more_than_its_end(folder: Path, part: str) -> None:
    add = (
        "import sys; from pathlib import Path; from kiro_lsp.store import Store; from tests.store.rows import add_run;"
    )
    body = "s = Store.open(Path(sys.argv[1])); [add_run(s, f'r{n}') for n in range(20)]; import os; os._exit(9)"
    subprocess.run([sys.executable, "-c", add + body, str(folder)], cwd=REPO, check=False, timeout=60)
    log = folder / (FILE + part)
    assert log.exists()
    if part == "-wal":
        os.truncate(log, log.stat().st_size * 2 // 3)
    else:
        log.unlink()
    store = Store.open(folder)
    numbers = sorted(int(run.run_id[1:]) for run in store.runs())
    assert numbers == list(range(len(numbers)))
    assert len(numbers) == 20 if part == "-shm" else 0 < len(numbers) < 20
    store.close()
    assert integrity(folder) == "ok"
