"""Diagnostics of real task files, drawn at random with a fixed seed, with what stands around them: for a second reader.

python -m benchmarks.diagnostics_sample --seed 1 --count 100
python -m benchmarks.diagnostics_sample --code id-order --count 20
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

from kiro_lsp.spec.checks import Finding, findings
from kiro_lsp.spec.decoding import decode
from kiro_lsp.spec.facts import Facts, facts_of

_DOCUMENTS = frozenset({"requirements.md", "bugfix.md", "spec.md", "design.md", "plan.md", "proposal.md"})
_AROUND = 2


def corpus(folder: Path) -> Iterator[tuple[str, Facts]]:
    """(name, facts) of every task file, under the path that it had, and with its documents where those are kept too."""
    with (folder / "tasks" / "INDEX.tsv").open(encoding="utf-8", newline="") as file:
        paths = {row["file"]: row["path"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}
    for name in sorted(paths):
        place = folder / "tasks" / name
        text = decode(place.read_bytes()).text if place.is_file() else None
        if text is not None:
            yield f"tasks/{name}", facts_of(text, paths[name])
    for place in sorted((folder / "specs").glob("*/*/tasks.md")):
        text = decode(place.read_bytes()).text
        if text is not None:
            path = f"specs/{place.parent.name}/tasks.md"
            yield place.relative_to(folder).as_posix(), facts_of(text, path, documents=_documents(place.parent))


def _documents(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.rglob("*.md")):
        relative = path.relative_to(folder)
        if path.name in _DOCUMENTS and "_project" not in relative.parts:
            text = decode(path.read_bytes()).text
            if text is not None:
                found[f"specs/{folder.name}/{relative.as_posix()}"] = text
    return found


def show(name: str, facts: Facts, finding: Finding) -> str:
    """A finding with the lines around it."""
    head = f"{name}:{finding.line + 1}:{finding.column + 1} [{facts.tasks.dialect}] {finding.severity} {finding.code}"
    lines = [head, f"    {finding.message}"]
    for related in finding.related[:3]:
        text = facts.lines[related.line] if not related.path and related.line < len(facts.lines) else ""
        lines.append(f"    see {related.path}:{related.line + 1} {related.message} | {text.strip()[:140]}")
    for number in range(max(0, finding.line - _AROUND), min(len(facts.lines), finding.line + _AROUND + 1)):
        sign = ">" if number == finding.line else " "
        lines.append(f"  {sign} {number + 1:>5} {facts.lines[number].rstrip()[:200]}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, default=Path("../shared/corpus"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--code", action="append", help="only this code")
    args = parser.parse_args()
    found = [
        (name, facts, finding)
        for name, facts in corpus(args.corpus)
        for finding in findings(facts)
        if not args.code or finding.code in args.code
    ]
    print(f"{len(found)} diagnostics: {dict(Counter(finding.code for _, _, finding in found).most_common())}\n")
    for number, one in enumerate(Random(args.seed).sample(found, min(args.count, len(found))), 1):
        print(f"{number}. {show(*one)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
