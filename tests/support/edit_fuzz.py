"""Random answers for the edit engine, and what must hold for each: no undeclared exception, no hang, no half edit.

An execution is made from a seed and a number alone, so that every one of a million can be made again. Most are answers
as models write them, damaged the way answers get damaged; some are noise.
"""

from __future__ import annotations

import random
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from types import FrameType

from kiro_lsp.changes.edits import AnswerReader, apply_answer, read_answer
from kiro_lsp.changes.edits.answer import Answer, Outcome
from tests.changes.edits.grading import applied
from tests.support import renderings

FORMATS = ("udiff", "search-replace", "apply-patch", "str-replace", "multi-edit", "insert-line", "whole-file")
_PATH = "src/a.py"

_LINES = (
    "def f(x):",
    "    return x",
    "    pass",
    "",
    "x = 1",
    "}",
    "\tif y:",
    "é = “ü”",
    "# ...",
    "-- a",
    "++ b",
    "😀",
)
_MARKERS = (
    "```",
    "````",
    "~~~",
    "```diff",
    "```python src/a.py",
    "--- a/src/a.py",
    "+++ b/src/a.py",
    "--- /dev/null",
    "+++ /dev/null",
    "diff --git a/src/a.py b/src/a.py",
    "diff --git a/src/a.py b/src/b.py",
    "rename from src/a.py",
    "rename to src/b.py",
    "copy to src/b.py",
    "new file mode 100755",
    "deleted file mode 100644",
    "old mode 100644",
    "similarity index 90%",
    "index 123..456 100644",
    "GIT binary patch",
    "@@ -1,3 +1,4 @@",
    "@@ ... @@",
    "@@",
    "@@ def f(x):",
    "@@ -99999999999999999999,3 +0 @@",
    "@@@ -1 -1 +1 @@@",
    "\\ No newline at end of file",
    "<<<<<<< SEARCH",
    ":start_line:1",
    "-------",
    "=======",
    ">>>>>>> REPLACE",
    "+++++++ REPLACE",
    "<<<<<<< HEAD",
    "*** Begin Patch",
    "*** End Patch",
    "*** Update File: src/a.py",
    "*** Add File: src/new.py",
    "*** Delete File: src/a.py",
    "*** Move to: src/moved.py",
    "*** End of File",
    "apply_patch <<'EOF'",
    "EOF",
    "src/a.py",
    "**src/a.py**",
    "...",
    "# ... existing code ...",
    "…",
    '{"path": "src/a.py", "old_str": "x = 1", "new_str": "x = 2"}',
    '{"path": "src/a.py", "edits": [{"old_string": "", "new_string": "é"}]}',
    '{"command": "insert", "path": "src/a.py", "insert_line": 1, "insert_text": "new"}',
    "Index: src/a.py",
)
_CHARACTERS = "\x00\r\n\t\f\v\x85\u2028\ufeff\u00a0\ud800`~<>=+-@*{}[]\"'\\ aé😀"


@dataclass(frozen=True, slots=True)
class Execution:
    """One answer, the files it is applied to, and where its stream is cut."""

    reply: str
    format: str = "auto"
    files: tuple[tuple[str, bytes], ...] = ()
    file: str | None = None
    cuts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong: `where` is the same for the same defect, so that one reproducer of each is kept."""

    kind: str
    where: str
    execution: Execution
    seed: str = ""
    details: str = ""


@dataclass(slots=True)
class Report:
    """What a number of executions came to."""

    executions: int = 0
    ends: dict[str, int] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)

    def count(self, end: str, times: int = 1) -> None:
        self.ends[end] = self.ends.get(end, 0) + times


class Hang(BaseException):
    """An execution took longer than it may. No Exception, so that nothing in between takes it for its own."""


class Broken(AssertionError):
    """Something that must hold for every answer does not."""


Engine = Callable[[Execution], Outcome]


def engine(execution: Execution) -> Outcome:
    """Read whole and in pieces, apply, and check what holds for every answer. Raises Broken."""
    answer = read_answer(execution.reply, execution.format, file=execution.file)
    if execution.cuts:
        _check_same(answer, _streamed(execution))
    files = dict(execution.files)
    outcome = apply_answer(answer, files)
    if files != dict(execution.files):
        raise Broken("the files that were handed in were changed")
    if outcome.ok != bool(outcome.changes):
        raise Broken("changes and failures at once, or neither")
    if not outcome.ok and any(not failure.hint for failure in outcome.failures):
        raise Broken("a failure without a word")
    for change in outcome.changes:
        for name in (change.path, change.to or change.path):
            if name not in files and _leads_out(name):
                raise Broken("a name that leads out of the project")
    applied(files, outcome.changes)
    return outcome


def _leads_out(name: str) -> bool:
    parts = name.split("/")
    return (
        "" in parts
        or ".." in parts
        or "\0" in name
        or (name[1:2] == ":" and name[0].isalpha())
        or name.startswith(("\\", "~/"))
    )


def _streamed(execution: Execution) -> Answer:
    reader = AnswerReader(execution.format, file=execution.file)
    position = 0
    for cut in (*sorted(execution.cuts), len(execution.reply)):
        reader.feed(execution.reply[position:cut])
        position = cut
    return reader.close()


def _check_same(whole: Answer, streamed: Answer) -> None:
    if whole != streamed:
        raise Broken("a streamed answer is read in another way than a whole one")


def execution(seed: str, pool: tuple[Execution, ...] | None = None) -> Execution:
    """The execution of a seed, the same one every time."""
    dice = random.Random(seed)
    known = own_pool() if pool is None else pool
    kind = dice.random()
    if kind < 0.05:
        made = _noise(dice)
    elif kind < 0.15:
        made = _soup(dice)
    else:
        made = _damaged(dice, known)
    if dice.random() < 0.5:
        length = len(made.reply)
        made = replace(made, cuts=tuple(sorted(dice.randint(0, length) for _ in range(dice.randint(1, 6)))))
    return made


def _files(dice: random.Random) -> tuple[tuple[str, bytes], ...]:
    lines = [dice.choice(_LINES) for _ in range(dice.randint(0, 12))]
    end = dice.choice(["\n", "\n", "\r\n", "\r"])
    data = end.join(lines).encode() + dice.choice([b"", end.encode()])
    if dice.random() < 0.03:
        data += dice.choice([b"\x00", b"\xff\xfe", b"\xed\xa0\x80"])
    other = (("src/b.py", b"x = 1\n"),) if dice.random() < 0.3 else ()
    return ((_PATH, data), *other)


def _noise(dice: random.Random) -> Execution:
    data = dice.randbytes(dice.randint(0, 300))
    reply = data.decode(dice.choice(["latin-1", "utf-8"]), "replace")
    return Execution(reply, _format(dice), _files(dice), dice.choice([None, _PATH]))


def _soup(dice: random.Random) -> Execution:
    rows = [
        dice.choice(_MARKERS) if dice.random() < 0.5 else dice.choice(["", " ", "-", "+"]) + dice.choice(_LINES)
        for _ in range(dice.randint(1, 30))
    ]
    return Execution("\n".join(rows), _format(dice), _files(dice), dice.choice([None, _PATH]))


def _format(dice: random.Random) -> str:
    return dice.choice(FORMATS) if dice.random() < 0.25 else "auto"


@cache
def own_pool(size: int = 400) -> tuple[Execution, ...]:
    """Right answers in every format for small files."""
    dice = random.Random("pool")
    return tuple(_right(dice) for _ in range(size))


def _right(dice: random.Random) -> Execution:
    old = [f"{dice.choice(_LINES)}{number if dice.random() < 0.6 else ''}" for number in range(dice.randint(1, 14))]
    new = list(old)
    for _ in range(dice.randint(1, 3)):
        at = dice.randint(0, len(new))
        new[at : at + dice.randint(0, 2)] = [f"new {dice.randint(0, 99)}" for _ in range(dice.randint(0, 2))]
    new = new if new != old else [*new, "more"]
    before, after = (f"{chr(10).join(lines)}\n" if lines else "" for lines in (old, new))
    special = dice.random()
    files = ((_PATH, before.encode()), ("src/b.py", b"x = 1\ny = 2\n"))
    if special < 0.25:
        return Execution(dice.choice(_specials(before, after)), "auto", files)
    format, write = dice.choice(sorted(renderings.RENDERINGS.items()))
    return Execution(write(_PATH, before, after), "auto" if dice.random() < 0.7 else format, files)


def _specials(before: str, after: str) -> list[str]:
    """Answers that no rendering of one change gives: other operations, wrappers, several files."""
    diff = renderings.as_diff(_PATH, before, after)
    patch = renderings.as_apply_patch(_PATH, before, after)
    block = renderings.as_search_replace(_PATH, before, after)
    body = "".join(f"+{line}\n" for line in renderings.lines_of(after))
    git = "diff --git a/src/b.py b/src/b.py\n"
    rename = f"diff --git a/{_PATH} b/src/c.py\nsimilarity index 80%\nrename from {_PATH}\nrename to src/c.py\n"
    move = "*** Update File: src/b.py\n*** Move to: src/c.py\n@@ x = 1\n-y = 2\n+y = 3\n*** End of File\n"
    return [
        f"Here it is:\n\n```diff\n{diff}```\nand that is all.\n",
        f"apply_patch <<'EOF'\n{patch}EOF\n",
        f"```\n{patch}```\n",
        f"{rename}{diff}",
        f"{git}old mode 100644\nnew mode 100755\n",
        f"{git}deleted file mode 100644\n--- a/src/b.py\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-x = 1\n-y = 2\n",
        f"--- /dev/null\n+++ b/src/new.py\n@@ -0,0 +1,{len(renderings.lines_of(after))} @@\n{body}",
        f"*** Begin Patch\n*** Add File: src/new.py\n{body}*** Delete File: src/b.py\n*** End Patch\n",
        f"*** Begin Patch\n{move}*** End Patch\n",
        block.replace("```\n", ""),
        block.replace("SEARCH\n", "SEARCH\n:start_line:1\n-------\n"),
        block.replace("=======", "-------").replace(">>>>>>>", "+++++++").replace("<<<<<<<", "-------"),
        f"{diff}{block}",
        f"{block}\n{renderings.as_whole_file('src/b.py', '', 'x = 3')}",
        renderings.as_whole_file(_PATH, before, f"{after}# ... rest of the code unchanged ...\n"),
        '{"path": "src/b.py", "insert_line": 1, "insert_text": "between\\n"}',
        f"{renderings.as_string_replacements(_PATH, before, after)}\n{diff}",
    ]


def _damaged(dice: random.Random, known: tuple[Execution, ...]) -> Execution:
    made = dice.choice(known)
    reply = made.reply
    for _ in range(dice.choice([0, 1, 1, 1, 2, 2, 3, 5])):
        reply = dice.choice(_DAMAGES)(dice, reply, known)
    if dice.random() < 0.1:
        made = replace(made, files=_files(dice))
    if dice.random() < 0.1:
        made = replace(made, format=_format(dice))
    return replace(made, reply=reply)


_Damage = Callable[[random.Random, str, tuple[Execution, ...]], str]


def _by_lines(change: Callable[[random.Random, list[str]], None]) -> _Damage:
    def damage(dice: random.Random, reply: str, known: tuple[Execution, ...]) -> str:
        lines = reply.split("\n")
        change(dice, lines)
        return "\n".join(lines)

    return damage


def _drop(dice: random.Random, lines: list[str]) -> None:
    del lines[dice.randrange(len(lines))]


def _double(dice: random.Random, lines: list[str]) -> None:
    at = dice.randrange(len(lines))
    lines[at:at] = lines[at : at + dice.randint(1, 4)]


def _swap(dice: random.Random, lines: list[str]) -> None:
    a, b = dice.randrange(len(lines)), dice.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]


def _mark(dice: random.Random, lines: list[str]) -> None:
    lines.insert(dice.randint(0, len(lines)), dice.choice(_MARKERS))


def _unmark(dice: random.Random, lines: list[str]) -> None:
    at = dice.randrange(len(lines))
    lines[at] = lines[at][1:] if dice.random() < 0.5 else dice.choice(" +-\\@~") + lines[at]


def _overwrite(dice: random.Random, lines: list[str]) -> None:
    lines[dice.randrange(len(lines))] = dice.choice(_MARKERS)


def _repeat(dice: random.Random, lines: list[str]) -> None:
    at = dice.randrange(len(lines))
    lines[at:at] = [lines[at]] * (5_000 if dice.random() < 0.005 else dice.randint(2, 60))


def _carriage_returns(dice: random.Random, lines: list[str]) -> None:
    share = dice.choice([1.0, 0.5, 0.1])
    lines[:] = [line + "\r" if dice.random() < share else line for line in lines]


def _cut(dice: random.Random, reply: str, known: tuple[Execution, ...]) -> str:
    return reply[: dice.randint(0, len(reply))]


def _behead(dice: random.Random, reply: str, known: tuple[Execution, ...]) -> str:
    return reply[dice.randint(0, len(reply)) :]


def _character(dice: random.Random, reply: str, known: tuple[Execution, ...]) -> str:
    at = dice.randint(0, len(reply))
    return reply[:at] + dice.choice(_CHARACTERS) * dice.choice([1, 1, 1, 3]) + reply[at + dice.randint(0, 1) :]


def _fence(dice: random.Random, reply: str, known: tuple[Execution, ...]) -> str:
    fence = dice.choice(["```", "~~~", "````"])
    return f"{fence}{dice.choice(['', 'diff', 'python', ' a b'])}\n{reply}\n{fence if dice.random() < 0.6 else ''}"


def _join(dice: random.Random, reply: str, known: tuple[Execution, ...]) -> str:
    return reply + dice.choice(["", "\n", "\n\ntext\n\n"]) + dice.choice(known).reply


def _splice(dice: random.Random, reply: str, known: tuple[Execution, ...]) -> str:
    other = dice.choice(known).reply
    return reply[: dice.randint(0, len(reply))] + other[dice.randint(0, len(other)) :]


_DAMAGES: tuple[_Damage, ...] = (
    *map(_by_lines, (_drop, _double, _swap, _mark, _unmark, _overwrite, _repeat, _carriage_returns)),
    _cut,
    _cut,
    _behead,
    _character,
    _fence,
    _join,
    _splice,
)


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raises Hang when the block takes more CPU time than that. For the main thread of a process only."""

    def over(_signal: int, _frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, over)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def run(
    seeds: Iterator[str] | list[str],
    *,
    limit: float = 5.0,
    run_one: Engine = engine,
    pool: tuple[Execution, ...] | None = None,
) -> Report:
    """Every seed's execution; faults with a reproducer as small as it could be made."""
    report = Report()
    for seed in seeds:
        made = execution(seed, pool)
        report.executions += 1
        found = attempt(made, run_one, limit)
        if isinstance(found, Fault):
            report.count("fault")
            if found.where not in report.faults:
                report.faults[found.where] = replace(minimised(found, run_one, limit), seed=seed)
        else:
            report.count(found)
    return report


def attempt(made: Execution, run_one: Engine, limit: float) -> Fault | str:
    """The word for how an execution ended, or the fault."""
    try:
        with limited(limit):
            outcome = run_one(made)
    except Hang:
        return Fault("hang", "hang", made)
    except Broken as broken:
        return Fault("broken", str(broken), made)
    except Exception as error:  # noqa: BLE001 - any exception is the defect that is looked for
        frames = traceback.extract_tb(error.__traceback__)
        last = frames[-1]
        where = f"{type(error).__name__} in {last.filename.rpartition('/')[2]}:{last.name}"
        return Fault("exception", where, made, details="".join(traceback.format_exception(error)))
    return "applied" if outcome.ok else outcome.failures[0].reason


def minimised(fault: Fault, run_one: Engine, limit: float) -> Fault:
    """The same fault from less: fewer cuts, files, lines and characters, as far as some hundred tries go."""
    search = _Smaller(fault, run_one, limit, 20 if fault.kind == "hang" else 400)
    search.without_the_rest()
    for unit in ("\n", ""):
        search.shorter(unit)
    return search.best


@dataclass(slots=True)
class _Smaller:
    best: Fault
    run_one: Engine
    limit: float
    tries: int

    def _keeps(self, smaller: Execution) -> bool:
        """Try something smaller; whether the fault is still there."""
        self.tries -= 1
        if self.tries < 0:
            return False
        found = attempt(smaller, self.run_one, self.limit)
        if not isinstance(found, Fault) or found.where != self.best.where:
            return False
        self.best = found
        return True

    def without_the_rest(self) -> None:
        self._keeps(replace(self.best.execution, cuts=()))
        for path, _data in self.best.execution.files:
            kept = tuple(item for item in self.best.execution.files if item[0] != path)
            self._keeps(replace(self.best.execution, files=kept))

    def shorter(self, unit: str) -> None:
        """Leave out runs of lines or of characters, long ones first."""
        size = max(1, len(_units(self.best.execution.reply, unit)) // 2)
        while size and self.tries > 0:
            at = 0
            while at < len(units := _units(self.best.execution.reply, unit)) and self.tries > 0:
                reply = unit.join([*units[:at], *units[at + size :]])
                cuts = tuple(min(cut, len(reply)) for cut in self.best.execution.cuts)
                if not self._keeps(replace(self.best.execution, reply=reply, cuts=cuts)):
                    at += size
            size //= 2


def _units(reply: str, unit: str) -> list[str]:
    return reply.split(unit) if unit else list(reply)
