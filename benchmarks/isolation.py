"""What a run's own copy of a project costs, as a ratio to `cp -a --reflink=auto` of the same files in the same minute.

    python -m benchmarks.isolation --rounds 3 [--folder DIR] [--files 20000] [--megabytes 200]

In every round, in this order: cp, a first copy of files, the same reused after ten changes of the project, an overlay;
then 50 changes are made in overlay and copy, found and taken over. Times are medians, the smallest and largest beside
them; disk is what was allocated. Nothing is written outside DIR (default: a temporary folder), which should lie on the
disk that matters: the ratio differs between file systems.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from kiro_lsp.sandbox.copy import materialise
from kiro_lsp.sandbox.layered import CannotOverlay, lay_over

FOLDERS = 1000
CHANGES = 50
GOALS = {"first copy": 1.2, "reused copy": 0.3, "overlay": 1 / 20}
Result = TypeVar("Result")


def make_project(root: Path, files: int, megabytes: int) -> list[Path]:
    rnd = random.Random(1)
    block = rnd.randbytes(1 << 16)
    made = []
    for number in range(files):
        place = root / f"d{number % FOLDERS // 50}" / f"e{number % FOLDERS}"
        if number < FOLDERS:
            place.mkdir(parents=True, exist_ok=True)
        size = megabytes * 1_000_000 // files
        start = rnd.randrange(len(block) - size % len(block))
        made.append(place / f"f{number}.txt")
        made[-1].write_bytes((block[start:] + block * (size // len(block) + 1))[:size])
    return made


def timed(times: list[float], work: Callable[[], Result]) -> Result:
    os.sync()  # what an earlier step left to be written must not slow down this one
    begun = time.perf_counter()
    result = work()
    times.append(time.perf_counter() - begun)
    return result


def allocated(folder: Path) -> int:
    """Bytes on disk below a folder."""
    places = (Path(top) / name for top, folders, names in os.walk(folder) for name in [*folders, *names])
    return sum(place.lstat().st_blocks * 512 for place in places)


def change(files: list[Path], root: Path, where: Path) -> None:
    """50 changes: 40 contents, 5 new files, 5 deletions."""
    for path in files[:40]:
        target = where / path.relative_to(root)
        target.write_bytes(target.read_bytes() + b"changed\n")
    for number in range(5):
        (where / f"new{number}.txt").write_text("new\n")
    for path in files[40:45]:
        (where / path.relative_to(root)).unlink()


def one_round(base: Path, files: list[Path], times: dict[str, list[float]], disk: dict[str, int]) -> None:
    root, plain, held = base / "project", base / "cp", base / "copy"
    command = ["cp", "-a", "--reflink=auto", str(root), str(plain)]
    timed(times["cp"], lambda: subprocess.run(command, check=True))
    disk["cp"] = allocated(plain)
    shutil.rmtree(plain)
    copy = timed(times["first copy"], lambda: materialise(root, [], {}, held, trusted=False))
    disk["first copy"] = allocated(copy.path)
    timed(times["put away"], copy.put_away)
    for path in random.sample(files, 10):
        path.write_bytes(path.read_bytes() + b"x")
    copy = timed(times["reused copy"], lambda: materialise(root, [], {}, held, trusted=False, reuse=True))
    change(files, root, copy.path)
    found = timed(times["50 changes, copy"], copy.absorb)
    copy.remove()
    if len(found) != CHANGES:
        raise SystemExit(f"the copy shows {len(found)} changes instead of {CHANGES}")
    try:
        layered = timed(times["overlay"], lambda: lay_over(root, [], {}, held, trusted=False))
    except CannotOverlay as reason:
        print(f"no overlay here: {reason}")
        return
    disk["overlay"] = allocated(held)
    change(files, root, Path(layered.mounted.place))
    found = timed(times["50 changes, overlay"], layered.absorb)
    timed(times["overlay removed"], layered.remove)
    if len(found) != CHANGES:
        raise SystemExit(f"the overlay shows {len(found)} changes instead of {CHANGES}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="where to work; default: the temporary folder of the system")
    args = parser.parse_args()
    names = ["cp", "first copy", "put away", "reused copy", "50 changes, copy", "overlay", "50 changes, overlay"]
    times: dict[str, list[float]] = {name: [] for name in [*names, "overlay removed"]}
    disk: dict[str, int] = {}
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        base = Path(name)
        files = make_project(base / "project", args.files, args.megabytes)
        for _ in range(args.rounds):
            one_round(base, files, times, disk)
    reference = statistics.median(times["cp"])
    for what, each in times.items():
        if each:
            middle = statistics.median(each)
            ratios = sorted(one / other for one, other in zip(each, times["cp"], strict=True))
            said = f"{what:20} {middle:8.3f} s ({min(each):.3f} to {max(each):.3f})  {middle / reference:6.3f} of cp"
            said += f", by round {ratios[0]:.3f} to {ratios[-1]:.3f}" + (
                f", goal {GOALS[what]:.3f}" if what in GOALS else ""
            )
            print(said + (f", {disk[what] / 1e6:.1f} MB on disk" if what in disk else ""))


if __name__ == "__main__":
    main()
