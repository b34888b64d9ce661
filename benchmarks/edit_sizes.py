"""How the time of one edit grows with the file: found near the end, absent, shifted, and among equal lines.

Seconds of CPU, best of some runs, reading and applying together; the figures that count are the ratios, 10 for linear.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from kiro_lsp.changes.edits import apply_answer, read_answer

SIZES = (1_000, 10_000, 100_000)
_PATH = "src/large.py"
_FORMS = (
    "def step_{0}(self, value):",
    "    total_{0} = compute(value, {0})",
    "    if total_{0} > limit:",
    "        return total_{0}",
    "    # the next step begins here",
    "",
)


@dataclass(frozen=True, slots=True)
class Growth:
    """Seconds at each of the sizes; `expected` is what every run must end with."""

    name: str
    seconds: tuple[float, ...]
    expected: str

    @property
    def ratios(self) -> tuple[float, ...]:
        return tuple(later / max(earlier, 1e-9) for earlier, later in zip(self.seconds, self.seconds[1:], strict=False))


def growths(times: int = 3, sizes: tuple[int, ...] = SIZES) -> list[Growth]:
    return [
        _growth("hunk at 90 % of the file", _at_90_percent, "applied", times, sizes),
        _growth("text absent, diagnosis included", _absent, "not-found", times, sizes),
        _growth("indentation shifted", _shifted, "applied", times, sizes),
        _growth("equal lines", _equal_lines, "ambiguous", times, sizes),
        _growth("SEARCH/REPLACE, text absent", _absent_block, "not-found", times, sizes),
    ]


def _growth(
    name: str, make: Callable[[int], tuple[str, str]], expected: str, times: int, sizes: tuple[int, ...]
) -> Growth:
    seconds = []
    for size in sizes:
        text, reply = make(size)
        data = text.encode()
        seconds.append(min(_once(data, reply, expected) for _ in range(times)))
    return Growth(name, tuple(seconds), expected)


def _once(data: bytes, reply: str, expected: str) -> float:
    started = time.process_time()
    outcome = apply_answer(read_answer(reply), {_PATH: data})
    seconds = time.process_time() - started
    found = "applied" if outcome.ok else outcome.failures[0].reason
    assert found == expected, f"{found} instead of {expected}"
    return seconds


def _lines(count: int) -> list[str]:
    return [_FORMS[number % len(_FORMS)].format(number // len(_FORMS)) for number in range(count)]


def _hunk(lines: list[str], at: int) -> list[str]:
    old = lines[at : at + 7]
    return [*(f" {line}" for line in old[:3]), f"-{old[3]}", f"+{old[3]}  # changed", *(f" {line}" for line in old[4:])]


def _reply(hunk: list[str]) -> str:
    return "\n".join([f"--- a/{_PATH}", f"+++ b/{_PATH}", "@@ ... @@", *hunk, ""])


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _at_90_percent(count: int) -> tuple[str, str]:
    lines = _lines(count)
    return _text(lines), _reply(_hunk(lines, _start(count)))


def _start(count: int) -> int:
    """Where a function begins at 90 % of the file."""
    return count * 9 // 10 // len(_FORMS) * len(_FORMS)


def _absent(count: int) -> tuple[str, str]:
    lines = _lines(count)
    hunk = _hunk(lines, _start(count))
    hunk[1] = hunk[1].replace("compute", "reckon")
    hunk[3] = hunk[3].replace("return", "yield")
    return _text(lines), _reply(hunk)


def _absent_block(count: int) -> tuple[str, str]:
    lines = _lines(count)
    old = [line.replace("compute", "reckon") for line in lines[_start(count) : _start(count) + 5]]
    return _text(lines), "\n".join([_PATH, "<<<<<<< SEARCH", *old, "=======", "pass", ">>>>>>> REPLACE", ""])


def _shifted(count: int) -> tuple[str, str]:
    lines = _lines(count)
    hunk = _hunk(lines, _start(count))
    return _text(lines), _reply([f"{line[:1]}    {line[1:]}" if line.strip() else line for line in hunk])


def _equal_lines(count: int) -> tuple[str, str]:
    return "    same = True\n" * count, _reply(
        ["     same = True", "-    same = True", "+    other = True", "     same = True"]
    )
