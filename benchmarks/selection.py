"""How often the rules name the kind of a task as a reader did, and what choosing costs.

`python -m benchmarks.selection --corpus FOLDER`. The labels are beside the tests. "default" is what always answering new code
would get right; time is for one task, the analysis and the choice among three agents, nothing kept from before.
"""

from __future__ import annotations

import argparse
import statistics
import time
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kiro_lsp.executors import choice, registry
from kiro_lsp.settings import Sources, load_settings
from kiro_lsp.spec import tasks
from kiro_lsp.spec.model import Task
from kiro_lsp.spec.selection import DEFAULT, analyse

LABELS = Path(__file__).parent.parent / "tests" / "executors"
_KEYS = {"ANTHROPIC_API_KEY": "none", "OPENAI_API_KEY": "none", "GEMINI_API_KEY": "none"}


@dataclass
class Agreement:
    """Of one set of labels, by the label."""

    asked: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)
    guesses: int = 0

    def take(self, label: str, said: str, *, guess: bool) -> None:
        self.asked[label] += 1
        self.right[label] += said == label
        self.said[said] += 1
        self.guesses += guess


def sets() -> dict[str, list[dict[str, Any]]]:
    """The labels, by the draw that they come from."""
    first = tomllib.loads((LABELS / "selection_labels.toml").read_text("utf-8"))["task"]
    others = tomllib.loads((LABELS / "selection_held_out.toml").read_text("utf-8"))["task"]
    return {
        "labels": first,
        **{f"draw {number}": [one for one in others if one["draw"] == number] for number in (1, 2)},
    }


def agreement(corpus: Path, labels: Sequence[dict[str, Any]]) -> Agreement:
    found = Agreement()
    for label in labels:
        analysis = analyse(_task(corpus, label["file"], label["key"]))
        found.take(label["type"], analysis.kind, guess=analysis.is_guess)
    return found


def _task(corpus: Path, file: str, key: str) -> Task:
    text = (corpus / file).read_text("utf-8", "replace")
    return next(one for one in tasks.parse(text, file).tasks if one.key == key)


def milliseconds(corpus: Path) -> list[float]:
    """Of every task of the corpus' task files, each chosen for once."""
    loaded = load_settings(Sources(environ=_KEYS), trusted=True)
    known = registry.agents(loaded.settings, loaded.secrets)
    found = []
    for path in sorted((corpus / "tasks").rglob("*.md")):
        for task in tasks.parse(path.read_text("utf-8", "replace"), path.name).tasks:
            start = time.perf_counter()
            choice.choose(task, known, loaded.settings)
            found.append((time.perf_counter() - start) * 1000)
    return sorted(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    corpus = parser.parse_args().corpus
    for name, labels in sets().items():
        found = agreement(corpus, labels)
        print(
            f"{name}: {found.right.total()} of {found.asked.total()}, default {found.asked[DEFAULT]}, {found.guesses} guesses"
        )
        for kind, asked in found.asked.most_common():
            print(f"  {kind:<16} {found.right[kind]:>3} of {asked:>3}, said {found.said[kind]:>3} times")
    took = milliseconds(corpus)
    rare = took[len(took) * 99 // 100]
    print(f"{len(took)} tasks: median {statistics.median(took):.3f} ms, 99 % {rare:.3f} ms, most {took[-1]:.3f} ms")


if __name__ == "__main__":
    main()
