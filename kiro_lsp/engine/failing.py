"""What of a test command's output a person, or an agent, has to read: one line of result, and the part that failed. Pure.

Runners are known by what they print, not by the command's name, since that is often a script or `make test`. Of one that
is not known the end is shown, which is where most say what went wrong.
"""

from __future__ import annotations

import re
from typing import Final

MOST_LINES: Final = 60
MOST_CHARACTERS: Final = 6000
_LINE_CHARACTERS: Final = 400
_TAIL: Final = 25
_BLOCK: Final = 14

_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

_RESULTS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"^=*\s*(?:\d+ (?:failed|passed|errors?|skipped|xfailed|xpassed|warnings?|deselected)\b.*|no tests ran) in [\d.]+s",
        r"^test result: ",  # cargo
        r"^\s*Tests:? +.*\b(?:failed|passed)\b",  # jest, vitest
        r"^(?:FAILED \(|OK\b(?: \(|$))",  # unittest
        r"^[#ℹ] fail \d+",  # node --test
        r"^\s*\d+ (?:failing|passing)\b",  # mocha
        r"^(?:FAIL|ok)\s+\S+\s+(?:[\d.]+s|\[|\(cached\))",  # go
        r"^Found \d+ errors?\b",  # tsc
        r"^\d+ (?:examples?|tests?|runs?), .*\bfailures?\b",  # rspec, minitest
    )
)
"""The line in which a runner says how it went. Of several the last that is bad counts."""
_BAD: Final = re.compile(r"^FAIL\b|\bFAILED\b|\b[1-9]\d* (?:failed|failing|failures?|errors?)\b|\bfail [1-9]")

_FAILURES: Final = tuple(
    (re.compile(pattern), after)
    for pattern, after in (
        (r"^_{3,} .+ _{3,}$", 0),  # pytest: the name of a test
        (r"^E {1,7}\S", 0),
        (r"^>  +\S", 0),
        (r"^\S+:\d+: [\w.]*(?:Error|Exception|Failed|Warning|Exit)\b", 0),
        (r"^(?:FAILED|ERROR) \S+", 0),
        (r"^(?:FAIL|ERROR): \w", 10),  # unittest
        (r"^\s*● .+ › |^\s*● \S", _BLOCK),  # jest
        (r"^\s*(?:FAIL|✗|✕|×|❯)\s+\S+", 2),  # jest, vitest
        (r"^(?:AssertionError|TypeError|ReferenceError|SyntaxError|Error): ", 6),
        (r"^\s*not ok \d+", 12),  # TAP, node --test
        (r"^\s*✖ (?!failing)\S", 6),
        (r"^---- .+ ----$", 10),  # cargo
        (r"^error(?:\[E\d+\])?: ", 0),
        (r"^\s*--> \S+:\d+", 5),
        (r"\bpanicked at\b", 4),
        (r"^test .+ \.\.\. FAILED$", 0),
        (r"^\s*--- FAIL: ", 6),  # go
        (r"^panic: ", 6),
        (r"^\s*\S+\.go:\d+(?::\d+)?: ", 0),
        (r"\(\d+,\d+\): error |:\d+:\d+ - error |:\d+:\d+: (?:fatal )?error: ", 2),  # tsc, compilers
        (r"^\s+\d+:\d+\s+error\s", 0),  # eslint
        (r"^\s+\d+\) .+", 8),  # mocha, rspec
        (r"^make(?:\[\d+\])?: \*\*\* ", 0),
        (r"^Traceback \(most recent call last\):", 8),
    )
)
"""Where a failure shows, and how many lines behind that belong to it."""


def failing_part(output: str) -> str:
    """The lines that say what failed, with `…` where others stood between; at most `MOST_LINES`. "" for no output."""
    lines = _lines(output)
    kept: set[int] = set()
    for number, line in enumerate(lines):
        after = next((after for pattern, after in _FAILURES if pattern.search(line)), None)
        if after is not None:
            kept.update(range(number, min(len(lines), number + 1 + after)))
    kept.update(number for number, line in enumerate(lines) if any(pattern.search(line) for pattern in _RESULTS))
    if not any(lines[number].strip() for number in kept):
        kept = set(range(max(0, len(lines) - _TAIL), len(lines)))
    return _bounded(lines, sorted(kept))


def result_line(output: str) -> str:
    """The one line in which the runner says how it went, else its last one; "" for no output."""
    lines = [line.strip() for line in _lines(output) if line.strip()]
    told = [line for line in lines if any(pattern.search(line) for pattern in _RESULTS)]
    bad = [line for line in told if _BAD.search(line)]
    return (bad or told or lines or [""])[-1].strip("= ")[:_LINE_CHARACTERS]


def same_failure(one: str, other: str) -> bool:
    """Whether two failing parts say the same, whatever took how long and stood at which address."""
    return _timeless(one) == _timeless(other)


def _timeless(text: str) -> list[str]:
    found = []
    for line in text.splitlines():
        plain = re.sub(r"0x[0-9a-fA-F]+", "0x", line)
        plain = re.sub(r"\d+(?:\.\d+)?\s?(?:ms|µs|s|sec|seconds?|m)\b", "", plain)
        found.append(" ".join(re.sub(r"duration_ms:? [\d.]+|thread '.*?' \(\d+\)", "", plain).split()))
    return [line for line in found if line]


def _lines(output: str) -> list[str]:
    """Without colours and control characters; of a line that was written over, what stood there at last."""
    plain = _ESCAPES.sub("", output).replace("\r\n", "\n")
    last = (line.rstrip("\r").rpartition("\r")[2] for line in plain.split("\n"))
    return [_CONTROLS.sub("", line)[:_LINE_CHARACTERS].rstrip() for line in last]


def _bounded(lines: list[str], kept: list[int]) -> str:
    """The kept lines; of too many the first third and the end: the first failure, and what the runner says last."""
    if len(kept) > MOST_LINES:
        first = MOST_LINES // 3
        kept = [*kept[:first], *kept[first - MOST_LINES :]]
    shown: list[str] = []
    before = -1
    for number in kept:
        if number > before + 1 and any(line.strip() for line in lines[before + 1 : number]):
            shown.append("…")
        if lines[number].strip() or (shown and shown[-1]):
            shown.append(lines[number])
        before = number
    text = "\n".join(shown).strip("\n")
    if len(text) > MOST_CHARACTERS:
        half = MOST_CHARACTERS // 2
        text = f"{text[:half]}\n…\n{text[-half:]}"
    return text
