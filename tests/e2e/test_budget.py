"""The day's cap holds where it matters: real runs with a real SDK in several processes, and processes that are killed while
they pay. What the provider says that it has charged is the measure, not what we believe.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kiro_lsp.budget import from_nano, to_nano
from kiro_lsp.engine import faults
from kiro_lsp.events import Error, Warned
from kiro_lsp.store import Spent, Store, local_day
from tests.support import planted, procs
from tests.support.google_server import GoogleServer
from tests.support.provider_server import Fault, Json, Step
from tests.support.spender import TASK_FILE

PROCESSES, RUNS = 4, 16
SECONDS = 240
"""What a busy machine may take; alone it is a tenth of that."""
ANSWER_TOKENS = 1000
PRICE = 10
"""Dollars for a million tokens of output: a request reserves a cent and costs 85 to 100 % of it."""
CONFIG = """\
[kiro.cost]
max_cost_per_day = {cap}
max_cost_per_run = {cap}
warn_at_cost = 0.05

[execution]
max_parallel = 16

[agents.vendor]
type = "google-api"
billing = "{billing}"
endpoint = "{url}"
model = "spender"
max_tokens = {tokens}
"""
PRICES = f"""
[prices.spender]
input = 0
output = {PRICE}
"""


class Vendor(GoogleServer):
    """It answers with calls that never come to an end, and remembers what it charges. First answers wait for `release`."""

    def __init__(self) -> None:
        super().__init__([step_of(number) for number in range(100)])
        self.all_asked = threading.Event()
        """Set when every spender waits for its first answer."""

    def record(self, path: str, headers: Mapping[str, str], request: Json | None) -> None:
        super().record(path, headers, request)
        if len(self.requests) == PROCESSES * RUNS:
            self.all_asked.set()

    def charged(self) -> int:
        """For all requests that it was sent, in nano-dollars."""
        turns = [sum(content["role"] == "model" for content in request["contents"]) for request in self.requests]
        return sum(answer_tokens(number) * PRICE * 1000 for number in turns)


def answer_tokens(number: int) -> int:
    return ANSWER_TOKENS * (85 + number * 7 % 16) // 100


def step_of(number: int) -> Step:
    used = answer_tokens(number)
    usage = {"promptTokenCount": 500, "candidatesTokenCount": used, "totalTokenCount": 500 + used}
    return Step(tools=[("read_file", {"path": f"missing-{number}.txt"})], usage=usage, hold=number == 0)


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    with Vendor() as server:
        yield server


class Spenders:
    """Projects, one for each process, and the person's one state folder and configuration."""

    def __init__(
        self, folder: Path, vendor: Vendor, *, prices: str = PRICES, billing: str = "metered", cap: str = "0.10"
    ) -> None:
        self.folder, self.state, self.mark = folder, folder / "state", folder.name
        config = folder / "config.toml"
        config.write_text(
            CONFIG.format(url=vendor.url, cap=cap, tokens=ANSWER_TOKENS, billing=billing) + prices, "utf-8"
        )
        config.chmod(0o600)
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),
            "KIRO_LSP_STATE_DIR": str(self.state),
            "KIRO_LSP_CONFIG": str(config),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            procs.NAME: self.mark,
            "GEMINI_API_KEY": planted.KEYS["google"],
            **planted.ENVIRON,
        }

    def project(self, name: str, runs: int) -> Path:
        root = self.folder / name
        (root / TASK_FILE).parent.mkdir(parents=True)
        (root / TASK_FILE).write_text(
            "# Plan\n\n" + "".join(f"- [ ] {number}. Spend\n" for number in range(1, runs + 1))
        )
        return root

    def start(self, name: str, runs: int = 1, fault: str = "") -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "tests.support.spender", str(self.project(name, runs)), "vendor"]
        return subprocess.Popen(
            argv,
            env=self.environ | ({faults.VARIABLE: fault} if fault else {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @contextmanager
    def store(self) -> Iterator[Store]:
        store = Store.open(self.state)
        try:
            yield store
        finally:
            store.close()

    def call(self, *arguments: str) -> Any:
        argv = [sys.executable, "-m", "kiro_lsp", *arguments, "--json"]
        done = subprocess.run(
            argv, env=self.environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def states(process: subprocess.Popen[str]) -> dict[str, str]:
    """Run id → how it ended, of a process that ends by itself."""
    out, error = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, error
    return dict(json.loads(out))


def test_64_runs_in_4_processes_spend_a_dollar_and_not_a_cent_more(tmp_path: Path, vendor: Vendor) -> None:
    spenders = Spenders(tmp_path, vendor, cap="1.00")
    processes = [spenders.start(f"project-{number}", RUNS) for number in range(PROCESSES)]
    assert vendor.all_asked.wait(SECONDS), f"{len(vendor.requests)} have asked"
    vendor.release()
    ended = {run: state for process in processes for run, state in states(process).items()}
    assert len(ended) == PROCESSES * RUNS
    assert set(ended.values()) == {"budget"}

    with spenders.store() as store:
        spent = store.spent(local_day())
        assert spent == Spent(vendor.charged(), 0, 0)
        assert spent.spent <= to_nano("1.00"), "overspent"
        assert spent.spent >= to_nano("0.90"), "the guard is too shy"
        told = [item.event for run in ended for item in store.events(run) if isinstance(item.event, Warned)]
        assert len(told) == 1, "the day's warning is said once, whoever reaches it"
    print(f"spent ${from_nano(spent.spent)} of $1 in {len(vendor.requests)} requests")
    assert not procs.gone_within(procs.marked(spenders.mark))


@pytest.mark.parametrize(
    ("point", "sent", "known"),
    [
        ("spend.reserved", 0, False),
        ("sent", 1, False),
        ("spend.received", 1, False),
        ("spend.settled", 1, True),
        ("spend.reserved:3", 2, False),
        ("spend.received:3", 3, False),
    ],
)
def test_what_a_killed_process_had_reserved_stays_charged_until_it_is_proven_unused(
    point: str, sent: int, known: bool, tmp_path: Path, vendor: Vendor
) -> None:
    spenders = Spenders(tmp_path, vendor)
    if point == "sent":
        process = spenders.start("killed")
        assert vendor.holding.wait(SECONDS)
        process.kill()
    else:
        vendor.release()
        process = spenders.start("killed", fault=point)
    process.communicate(timeout=SECONDS)
    assert process.returncode == -signal.SIGKILL
    assert not procs.gone_within(procs.marked(spenders.mark))
    assert len(vendor.requests) == sent

    reserved = ANSWER_TOKENS * PRICE * 1000
    settled = sum(
        answer_tokens(number) * PRICE * 1000 for number in range(sent if known else int(point[-1] == "3") * 2)
    )
    with spenders.store() as store:
        assert store.spent(local_day()) == Spent(settled, 0 if known else reserved, 0)

    (run,) = spenders.call("runs")  # a new process finds that the run's own is gone
    charged = from_nano(settled + (0 if known else reserved))
    assert (run["state"], run["charged"]) == ("interrupted", charged)
    assert run["cost"] == (charged if known else None)
    costs = spenders.call("costs", "--by", "task")
    assert (costs["spent"], costs["reserved"], costs["unknown"]) == (charged, "0", int(not known))
    assert costs["rows"][0]["charged"] == charged
    assert vendor.charged() <= settled + reserved, "nothing that the provider may have charged is free"

    vendor.release()
    assert set(states(spenders.start("next")).values()) == {"budget"}
    with spenders.store() as store:
        spent = store.spent(local_day())
    assert vendor.charged() <= spent.spent <= to_nano("0.10")
    assert (spent.reserved, spent.unknown) == (0, int(not known))


def test_usage_that_the_provider_does_not_state_is_charged_as_reserved_and_shown_as_unknown(
    tmp_path: Path, vendor: Vendor
) -> None:
    vendor.steps = [Step(text="Done.", usage={})]
    spenders = Spenders(tmp_path, vendor)
    assert set(states(spenders.start("project")).values()) == {"review"}
    (run,) = spenders.call("runs")
    assert (run["cost"], run["charged"], run["turns"]) == (None, "0.01", 1)
    (row,) = spenders.call("costs", "--by", "agent")["rows"]
    assert (row["key"], row["cost"], row["unknown"], row["charged"]) == ("vendor", None, 1, "0.01")


def test_a_model_without_a_price_is_refused_with_the_setting_that_would_help(tmp_path: Path, vendor: Vendor) -> None:
    spenders = Spenders(tmp_path, vendor, prices="")
    (run,) = states(spenders.start("project"))
    with spenders.store() as store:
        (error,) = [item.event for item in store.events(run) if isinstance(item.event, Error)]
        assert store.spent(local_day()) == Spent(0, 0, 0)
    assert error.kind == "budget"
    assert "max_cost_per_run = $0.1" in error.message
    assert '[prices."spender"]' in error.hint
    assert vendor.requests == []


def test_use_that_is_not_metered_counts_tokens_and_turns_and_no_dollars(tmp_path: Path, vendor: Vendor) -> None:
    vendor.steps = [replace(step_of(1), hold=False), Step(text="Done.")]
    spenders = Spenders(tmp_path, vendor, billing="subscription")
    assert set(states(spenders.start("project")).values()) == {"review"}
    (run,) = spenders.call("runs")
    assert (run["cost"], run["charged"], run["turns"]) == ("0", "0", 2)
    assert run["outputTokens"] == answer_tokens(1) + 20
    (row,) = spenders.call("costs", "--by", "spec")["rows"]
    assert (row["turns"], row["metered"], row["unknown"]) == (2, False, 0)


def test_a_request_that_was_refused_costs_nothing_and_is_known_to(tmp_path: Path, vendor: Vendor) -> None:
    vendor.faults = [Fault(400, "INVALID_ARGUMENT")]
    spenders = Spenders(tmp_path, vendor)
    assert set(states(spenders.start("project")).values()) == {"failed"}
    with spenders.store() as store:
        assert store.spent(local_day()) == Spent(0, 0, 0)
    (run,) = spenders.call("runs")
    assert (run["cost"], run["charged"], run["turns"]) == ("0", "0", 0)
