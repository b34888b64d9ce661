"""What `costs` and `runs` say of money: known, unknown, and what was never paid by the token."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kiro_lsp import events
from kiro_lsp.budget import to_nano
from kiro_lsp.cli import main
from kiro_lsp.store import Reservation, Store, local_day, state_dir
from kiro_lsp.terminal.live import worded
from tests.store.rows import AT, add_run

TASKS = ".kiro/specs/login/tasks.md"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The person's store with three runs: one paid, one of unknown cost, one by subscription."""
    environ = {"KIRO_LSP_STATE_DIR": str(tmp_path / "state"), "KIRO_LSP_CONFIG": str(tmp_path / "config.toml")}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    opened = Store.open(state_dir(environ))
    add_run(opened, "paid", state="review", task_key="1")
    add_run(opened, "unclear", state="failed", task_key="2")
    add_run(opened, "free", state="review", task_key="3", agent="login", billing="subscription")
    for run, reserved, cost in (("paid", "0.50", "0.25"), ("unclear", "0.40", None)):
        nano = None if cost is None else to_nano(cost)
        opened.settle(reserve(opened, run, reserved), nano).result()
        opened.append(run, [events.UsageReport(900, 100, 800, cost, "metered", 3)], durable=True, at=AT).result()
    reserve(opened, "paid", "0.10")
    opened.append("free", [events.UsageReport(70, 7, 0, "0", "subscription", 2)], durable=True, at=AT).result()
    yield opened
    opened.close()


def reserve(store: Store, run: str, dollars: str) -> Reservation:
    caps = {"cap_day": to_nano(10), "cap_run": to_nano(10)}
    granted = store.reserve(run, "/project", "claude", to_nano(dollars), **caps, day=local_day()).result()
    assert isinstance(granted, Reservation)
    return granted


def test_costs_tell_known_unknown_and_unmetered_use_apart(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["costs", "--by", "task"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{local_day()}: spent $0.65, reserved $0.1, at most $10 a day ($2 a run, warning at $5)",
        "  1 request of unknown cost, charged as reserved",
        f"  {TASKS} 1: 1 run, 3 turns, 900 tokens in, 100 out, 800 from cache, $0.25,"
        " 1 of unknown cost, with them charged $0.35",
        f"  {TASKS} 2: 1 run, 3 turns, 900 tokens in, 100 out, 800 from cache, cost unknown,"
        " 1 of unknown cost, with them charged $0.4",
        f"  {TASKS} 3: 1 run, 2 turns, 70 tokens in, 7 out, 0 from cache",
    ]


@pytest.mark.parametrize(
    ("by", "rows"),
    [
        ("agent", [("claude", "0.25", "0.75", 2), ("login", "0", "0", 0)]),
        ("spec", [(TASKS, "0.25", "0.75", 2)]),
        (
            "task",
            [(f"{TASKS} 1", "0.25", "0.35", 1), (f"{TASKS} 2", None, "0.4", 1), (f"{TASKS} 3", "0", "0", 0)],
        ),
    ],
)
def test_costs_as_json(
    store: Store, by: str, rows: list[tuple[str, str | None, str, int]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["costs", "--by", by, "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert (body["day"], body["spent"], body["reserved"], body["unknown"]) == (local_day(), "0.65", "0.1", 1)
    assert [(row["key"], row["cost"], row["charged"], row["unknown"]) for row in body["rows"]] == rows


@pytest.mark.parametrize(
    ("run", "line"),
    [
        ("paid", "unknown, charged as $0.35; 900 tokens in, 100 out, 3 turns"),
        ("unclear", "unknown, charged as $0.4; 900 tokens in, 100 out, 3 turns"),
        ("free", "subscription: 70 tokens in, 7 out, 2 turns"),
    ],
)
def test_a_run_says_what_it_cost(store: Store, run: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", run]) == 0
    assert f"  cost      {line}" in capsys.readouterr().out.splitlines()


def test_the_warning_is_a_line_on_the_terminal() -> None:
    warned = events.Warned("budget", "The cost of today has reached $5.", "Ten is the cap.")
    assert worded(warned) == "Warning: The cost of today has reached $5.\n  Ten is the cap."
    used = events.UsageReport(900, 100, 800, "0.25", "metered", 1)
    assert worded(used) == "usage: 900 tokens in, 100 out, 800 from cache, 1 turn; $0.25"
