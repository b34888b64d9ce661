"""As much of a plainly written file as a word about one of its tasks needs, without reading the rest.

What a pointer rests on first, in a large file that was just opened, need not wait until all its tasks are made and put in order:
where nothing in the file says what depends on what, a task waits for the first one that is left, and for nothing else. So that
one is made, the task itself, and what is inside it; each is what reading the whole file would have made of it. Where the file says
more than that, nobody glances at it, it is read.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import compress
from operator import lt
from typing import Final

from kiro_lsp.spec.assemble import Draft, Parsed, Rows, drafted, rows_of
from kiro_lsp.spec.blocks import Blocks
from kiro_lsp.spec.finishing import task_at
from kiro_lsp.spec.model import Task, TaskList
from kiro_lsp.spec.outline import Sections
from kiro_lsp.spec.skim import Skimmed

_RELATING: Final = (
    *("depend", "deps", "block", "prerequisite", "after", "before", "precedes", "requires", "needs", "->", "=>"),
    *(
        "→",
        "⇒",
        "⟶",
        "⟵",
        "←",
        "依赖",
        "依存",
        "前置",
        "前提",
        "의존",
        "선행",
        "зависи",
        "abhängig",
        "hängt ab",
        "dépend",
    ),
)
"""What every sentence and every key that relates tasks to each other holds, in lower case (`details.py`, `graph.py`)."""
_ASCII: Final = tuple(word for word in _RELATING if word.isascii())
_ASCII_WORDS: Final = tuple(word for word in _ASCII if ">" not in word)
_ELSEWHERE: Final = ('"waves"', "parallelkey", "parallel key")
"""What says by itself that tasks stand in another order than that of the file."""
_OWN_NUMBER: Final = re.compile(r" *- \[[ x-]\]\*? \d{1,6}(?:\.\d{1,6}){0,12}\.? ")
_NAMES_A_TASK: Final = re.compile(r"[\d:：]")
"""Without a digit a line names no task; a value below a key needs the colon behind that key."""
_NAMING: Final = "0123456789:"
"""The same in a title of words."""
_NEXT_COLON: Final = re.compile(r"[ \t]*[:：]")
_FENCES: Final = ("```", "~~~")
_HEADING: Final = re.compile(r"#{1,6}[ \t\r\n]")
_OPTIONAL_AT_MOST: Final = 20
_INSIDE_AT_MOST: Final = 100
_LINES_AT_MOST: Final = 1000
"""Where more than this would have to be looked at, the whole file is read."""


class Glimpse(Parsed):
    """A file of which only some tasks are known; the others are not in its rows and its task list."""

    def __init__(self, lines: Sequence[str], rows: Rows, tasks: Sequence[Task]) -> None:
        super().__init__(lines, Blocks([], [], [], bytearray(), []), rows, "kiro")
        self._task_list = TaskList("kiro", tuple(tasks), ())

    @property
    def task_list(self) -> TaskList:
        return self._task_list


def glimpse(found: Skimmed, line: int) -> Glimpse | None:
    """The last task at or above a line with all that its hover says of others; None where that takes the whole file.

    What the dialect or the blocks of the file are is not in it.
    """
    rows = found.rows
    asked = bisect_right(rows.lines, line) - 1
    above_their_parents = not all(map(lt, rows.parents, range(len(rows.parents))))
    if asked < 0 or above_their_parents or not found.is_simple or _relates(_beside_words(found)):
        return None
    left = [number for number, status in enumerate(rows.statuses) if status != "done"]
    groups = _around(rows.parents, left)
    needed = _inside(rows.parents, asked) if asked in groups else {asked}
    if len(needed) > _INSIDE_AT_MOST:
        return None
    make = _Maker(found)
    try:
        first = _first(make, (number for number in left if number not in groups))
        tasks = [make.task(number) for number in sorted(needed | ({first} if first is not None else set()))]
    except _Unclear:
        return None
    return Glimpse(found.lines, rows_of(tasks), tasks)


def _first(make: _Maker, left: Iterable[int]) -> int | None:
    """The first of the tasks that are left that is not optional, which all behind it wait for."""
    for count, number in enumerate(left):
        if count == _OPTIONAL_AT_MOST:
            raise _Unclear
        if not make.task(number).optional:
            return number
    return None


def _inside(parents: Sequence[int], outer: int) -> set[int]:
    """A task and all that is inside it, where everything stands below what it is inside."""
    found = {outer}
    for number in range(outer + 1, len(parents)):
        if parents[number] in found:
            found.add(number)
    return found


def _around(parents: Sequence[int], inner: Sequence[int]) -> set[int]:
    """Everything that something of `inner` is inside."""
    found: set[int] = set()
    further = {parents[number] for number in inner}
    while further := further - found - {-1}:
        found |= further
        further = {parents[number] for number in further}
    return found


def _beside_words(found: Skimmed) -> str:
    """The text without the titles that name nothing, where all are so: half of a file, and a word in them relates no tasks.

    No line behind such a title begins with a colon: that would be a part of the title, and the file not skimmed.
    """
    rows, titles = found.rows, "\n".join(found.rows.titles)
    if any(sign in titles for sign in _NAMING):
        return "".join(found.lines)
    wanted = bytearray(b"\1") * len(found.lines)
    for line in rows.lines:
        wanted[line] = 0
    for row in found.odd:
        wanted[rows.lines[row]] = 1
    return "".join(compress(found.lines, wanted))


def _relates(text: str) -> bool:
    """Whether anything in a file may say what comes before what. Longer to read, never wrong, where it need not have been said."""
    folded = text.casefold()
    words: Sequence[str] = _RELATING
    if folded.isascii():
        words = _ASCII if ">" in folded else _ASCII_WORDS  # one sign is looked for much faster than two
    else:
        folded = folded.replace("i\u0307", "i").replace("\u0131", "i")  # as expressions that ignore case see them
    if ('"' in folded or "parallel" in folded) and any(word in folded for word in _ELSEWHERE):
        return True
    return any(_names_one(folded, word) for word in words)


def _names_one(text: str, word: str) -> bool:
    """Whether a line that holds the word may name a task, or be the key of lines that do."""
    at = text.find(word)
    while at >= 0:
        start, end = text.rfind("\n", 0, at) + 1, text.find("\n", at)
        end = end if end >= 0 else len(text)
        own = _OWN_NUMBER.match(text, start, end)
        if _NAMES_A_TASK.search(text, own.end() if own is not None else start, end) or _NEXT_COLON.match(text, end + 1):
            return True
        at = text.find(word, end)
    return False


class _Unclear(Exception):
    """That takes the whole file."""


class _Maker:
    """Makes single tasks of a skimmed file, from the lines of the outermost list items that they are in."""

    def __init__(self, found: Skimmed) -> None:
        self._found = found
        self._sections = Sections(found.headings)
        self._made: dict[int, Task] = {}
        self._drafts: dict[int, Draft] = {}

    def task(self, number: int) -> Task:
        """Raises _Unclear for one that says more than a simple one does."""
        if number not in self._made:
            self._made[number] = task = self._task(number)
            if task.depends_on or task.parallel:
                raise _Unclear
        return self._made[number]

    def _task(self, number: int) -> Task:
        rows = self._found.rows
        line, parent = rows.lines[number], rows.parents[number]
        first, draft = self._draft(line)
        at = next(at for at, box in enumerate(draft.reading.boxes) if box.line == line - first)
        task = task_at(draft, at, draft.dialect, None)
        path = self._sections.path(line)
        depth, above = 0, parent
        while above >= 0:
            depth, above = depth + 1, rows.parents[above]
        return replace(
            task,
            key=self._key(number),
            line=line,
            end_line=task.end_line + first,
            status=rows.statuses[number],
            depth=depth,
            section=path[-1] if path else None,
            heading_path=path,
            parent=self._key(parent) if parent >= 0 else None,
            criterion=False,
            withdrawn=False,
        )

    def _draft(self, line: int) -> tuple[int, Draft]:
        """The draft of the lines around one that are read alike by themselves, and where they begin."""
        first, end = self._item(line)
        if end - first > _LINES_AT_MOST:
            raise _Unclear
        if first not in self._drafts:
            # Behind a blank line, since the beginning of a file means more (front matter, a byte order mark).
            self._drafts[first] = drafted(["\n", *self._found.lines[first:end]], "")
        return first - 1, self._drafts[first]

    def _key(self, number: int) -> str:
        """As `keys.keys_for` has it for a task with an id."""
        identifier = self._found.rows.ids[number] or ""
        before = self._found.rows.ids[:number].count(identifier)
        return f"{identifier}~{before + 1}" if before else identifier

    def _item(self, line: int) -> tuple[int, int]:
        """From where no list item is open to where none is."""
        lines = self._found.lines
        first = line
        while first > 0 and not lines[first].startswith("- ") and not _stands_alone(lines[first - 1]):
            first -= 1
        end = line + 1
        while end < len(lines) and not lines[end].startswith("- ") and not _stands_alone(lines[end]):
            end += 1
        return first, end


def _stands_alone(line: str) -> bool:
    """Whether a line of a plain file ends every list item above it: a heading, or the first or last line of a fence."""
    return (line.startswith("#") and _HEADING.match(line) is not None) or line.lstrip(" ").startswith(_FENCES)
