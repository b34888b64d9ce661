"""Random edit sequences: is an edited file read exactly as the whole of it would be, and how often which way was taken.

python -m benchmarks.incremental --sequences 100000
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from random import Random

from kiro_lsp.spec.assemble import drafted
from kiro_lsp.spec.incremental import updated, within
from kiro_lsp.spec.lines import split_lines
from tests.spec.test_incremental import PATHS, same
from tests.support.edits import edits_of, text_of


def sequence(seed: int, edits: int, ways: Counter[str]) -> None:
    random = Random(seed)
    path, text = random.choice(PATHS), text_of(random)
    draft = drafted(split_lines(text), path)
    for lines, edit in edits_of(random, text, edits):
        new = within(draft, lines, edit)
        ways["within" if new is not None else "around or all"] += 1
        draft = new if new is not None else updated(draft, lines, edit)
        same(draft, drafted(lines, path))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=1000)
    parser.add_argument("--edits", type=int, default=4, help="of one sequence")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    args = parser.parse_args()
    ways: Counter[str] = Counter()
    begun, failed = time.perf_counter(), []
    for seed in range(args.first, args.first + args.sequences):
        try:
            sequence(seed, args.edits, ways)
        except AssertionError:
            failed.append(seed)
            print(f"seed {seed}: different", flush=True)
    taken = time.perf_counter() - begun
    print(f"{args.sequences} sequences of {args.edits} edits in {taken:.0f} s: {len(failed)} differ; {dict(ways)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
