"""Our edit engine and the tools beside it on edits with a known right answer: who is right, who is wrong, how fast.

    python -m benchmarks.edit_cases [--seed N]... [--write-docs] [--json FILE] [--shared DIR]

The cases lie beside a development checkout. Without `--seed` a seed is drawn and printed, so that nobody can have
prepared for it. `--write-docs` puts the tables between their markers in docs/edits.md.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import edit_peers, edit_report, edit_sizes
from tests.changes.edits.grading import (
    FORMATS,
    NOT_PORTABLE,
    Case,
    Result,
    Tally,
    Verdict,
    by_us,
    real_cases,
    synthetic_cases,
    verdict,
)

REPO = Path(__file__).resolve().parent.parent
RECORDED_SEED = 20251
OURS, OURS_NAMED = "kiro-lsp", "kiro-lsp, format named"


@dataclass(slots=True)
class Column:
    """One tool on one set of cases."""

    tool: str
    tally: Tally = field(default_factory=Tally)
    kinds: dict[str, Tally] = field(default_factory=dict)
    musts: dict[str, Tally] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    said: dict[str, str] = field(default_factory=dict)

    def add(self, case: Case, found: Verdict, result: Result) -> None:
        self.tally.add(case, found)
        self.kinds.setdefault(case.kind, Tally()).add(case, found)
        self.musts.setdefault(case.must, Tally()).add(case, found)
        self.seconds.append(result.seconds)
        if found in ("wrong", "partial", "refused"):
            self.said[case.id] = result.said


@dataclass(slots=True)
class Figures:
    """Everything the tables are made of."""

    synthetic: dict[int, list[Column]]
    real: list[Column]
    peers_on_diffs: list[Column]
    not_portable: dict[str, int]
    sizes: list[edit_sizes.Growth]
    versions: dict[str, str]
    date: str


def column(tool: str, run: Callable[[Case], Result], cases: Sequence[Case]) -> Column:
    found = Column(tool)
    for case in cases:
        result = run(case)
        found.add(case, verdict(case, result), result)
    return found


def ours(cases: Sequence[Case]) -> list[Column]:
    return [
        column(OURS, by_us, cases),
        column(OURS_NAMED, lambda case: by_us(case, FORMATS[case.format]), cases),
    ]


def peers(cases: Sequence[Case]) -> list[Column]:
    return [column(name, run, cases) for name, run in edit_peers.PEERS.items()]


def left_out(cases: Sequence[Case]) -> dict[str, int]:
    """What we do with the cases that are not portable; nobody's verdict, but nothing to hide either."""
    found = {"refused": 0, "as their source does": 0, "otherwise": 0}
    for case in cases:
        result = by_us(case)
        right = verdict(case, result) in ("good", "ws")
        found["as their source does" if right else "otherwise" if result.ok else "refused"] += 1
    return found


def measure(shared: Path, seeds: Sequence[int], with_peers: bool) -> Figures:
    real = real_cases(shared)
    portable = [case for case in real if case.id not in NOT_PORTABLE]
    with tempfile.TemporaryDirectory(prefix="kiro-lsp-bench-") as folder:
        sets = {seed: synthetic_cases(shared, seed, Path(folder)) for seed in dict.fromkeys([RECORDED_SEED, *seeds])}
    synthetic = {seed: ours(cases) for seed, cases in sets.items()}
    on_diffs: list[Column] = []
    versions = {"kiro-lsp": revision(), "Python": sys.version.partition(" ")[0]}
    if with_peers:
        with edit_peers.installed():
            for seed, cases in sets.items():
                synthetic[seed] += peers(cases)
            on_diffs = peers([case for case in portable if case.format == "udiff"])
        versions |= edit_peers.versions()
    return Figures(
        synthetic=synthetic,
        real=ours(portable),
        peers_on_diffs=on_diffs,
        not_portable=left_out([case for case in real if case.id in NOT_PORTABLE]),
        sizes=edit_sizes.growths(),
        versions=versions,
        date=time.strftime("%Y-%m-%d"),
    )


def revision() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=REPO, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def as_json(figures: Figures) -> dict[str, Any]:
    def one(found: Column) -> dict[str, Any]:
        return {
            "verdicts": found.tally.counts,
            "not_good": found.tally.cases,
            "said": found.said,
            "median_ms": statistics.median(found.seconds) * 1000,
            "worst_ms": max(found.seconds) * 1000,
        }

    return {
        "synthetic": {
            seed: {found.tool: one(found) for found in columns} for seed, columns in figures.synthetic.items()
        },
        "real": {found.tool: one(found) for found in [*figures.real, *figures.peers_on_diffs]},
        "not_portable": figures.not_portable,
        "sizes": {growth.name: {"seconds": growth.seconds, "ratios": growth.ratios} for growth in figures.sizes},
        "versions": figures.versions,
    }


def shortfalls(figures: Figures) -> list[str]:
    """Everything of ours that is not right, one line each."""
    rows = []
    for name, columns in [("real", figures.real), *((f"seed {seed}", of) for seed, of in figures.synthetic.items())]:
        for found in columns:
            if found.tool in (OURS, OURS_NAMED):
                rows += [
                    f"{name}, {found.tool}: {case} {bad}: {found.said.get(case, '')[:200]}"
                    for case, bad in found.tally.cases.items()
                    if bad != "ws"
                ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, action="append", help="a seed for the generator; a new one when not given")
    parser.add_argument("--shared", type=Path, default=REPO.parent / "shared", help="the folder with edit_cases/")
    parser.add_argument("--no-peers", action="store_true", help="measure kiro-lsp alone")
    parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/edits.md")
    parser.add_argument("--json", type=Path, help="write everything there")
    args = parser.parse_args()
    seeds = args.seed or [random.SystemRandom().randrange(10**5, 10**9)]
    print("seeds:", *seeds)
    figures = measure(args.shared, seeds, not args.no_peers)
    for name, table in edit_report.tables(figures).items():
        print(f"\n## {name}\n\n{table}")
    print("\nnot right:", *(shortfalls(figures) or ["nothing"]), sep="\n")
    if args.json:
        args.json.write_text(json.dumps(as_json(figures), indent=1), "utf-8")
    if args.write_docs:
        edit_report.write(REPO / "docs" / "edits.md", edit_report.tables(figures))


if __name__ == "__main__":
    main()
