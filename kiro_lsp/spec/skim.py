"""The outline of a plainly written file in one sweep of a single expression: what a client waits for when it opens a large one.

Most lines of most files are plain: a heading, a box with a number and words, a bullet, a sentence, a blank. A text that holds
anything else, or anything that another line may change the meaning of, is not skimmed but read (`assemble.drafted`). What is
skimmed is what would have been read: a property that the tests try over odd texts, and over real files.

Own code beside the scanner's because it takes a fourth of the time, which is what an editor's first outline of a file costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Final, NamedTuple

from kiro_lsp.spec import outline
from kiro_lsp.spec.blocks import Heading, heading_text
from kiro_lsp.spec.dialects import Signs, detect, has_nested, is_legend_heading, legend_of, status_of
from kiro_lsp.spec.patterns import pattern
from kiro_lsp.spec.titles import DOUBTFUL, read_title

if TYPE_CHECKING:
    from kiro_lsp.spec.model import TaskStatus

_BOX, _BLANK, _HEADING, _FENCE, _BREAK, _TEXT = 3, 4, 6, 7, 8, 9
_END: Final = r"\r?\n?\Z"
_USUAL: Final = pattern(
    r"( *- \[[ xX-]\]\*? )(?=[0-9]+\.)([0-9]{1,6}(?:\.[0-9]{1,6}){0,12})(?:\.|(?! (?:[xhmsdwpco]|[KMGkg]i?[Bb]))) "
    r"([A-Za-z][^\n]*)\n"
    r"|( *- )(?=[^ \t\r\n\-+*0-9>#`~<=_\[]|\[\w\w|_\w|`(?!``)|\*\*[^\s*]|\d+(?![\d.)]))[^\n]*\n"
    r"|\n|([^\n]+)\n"
)
"""A box with a number and a title, a bullet, or a blank line, as nearly all lines are: one call finds them in a whole text; or any
other line. What may be an amount (`1.5 hours`) is another."""
_WORDS: Final = b"abcdefghijklmnopqrstuvwxyz0123456789 ,;:'\"/+&%=#@!?.-"
_CAPITALS: Final = bytes.maketrans(b"BCDEFGHIJKLMNOPQRSTUVWXYZ", b"A" * 25)
"""For titles, in which these signs make words and nothing else. What else stands there, three capital letters too, may say more
(`titles.py`)."""
_OTHER: Final = pattern(
    rf"( *)(?:(- \[[ xX-]\]\*? )([^\r\n]*)"
    rf"|({_END})|(#{{1,6}})(?=[ \r\n])([^\r\n]*)|(`{{3,}}(?=[^`\r\n]*{_END})|~{{3,}})|(-{{3,}}{_END})"
    r"|((?=[^\-+*0-9>#`~<=_\s\ufeff]|\*\*[^\s*]|_[^\W_]|`(?!``))))"
)
"""The other lines that are plain: told by the last group that took part."""
_FENCE_END: Final = pattern(r" {0,3}(`{3,}|~{3,})[ \t]*\r?\n?\Z")
_NOTHING, _SENTENCE, _TITLE = 0, 1, 2
"""The paragraph that is open: any, or that of a task's title, which a further line would make longer."""
_BULLETS: Final = ("-", "*", "+")
_DEEPEST: Final = 50
_NOT_PLAIN: Final = 0
_AT_A_TIME: Final = 4000
"""Characters: what is found of so many lines is used while it is in the processor's cache, in half the time."""
_WITH_DASH: Final = ("kiro", "spec-workflow")
_SAME_EVERYWHERE: Final[Mapping[str, TaskStatus]] = {" ": "open", "x": "done", "X": "done"}


_Step = tuple[int, "_State", str]
"""How many list items are around the new one, the file counted; what is open then; what stands in its box, "" without one."""


class Rows(NamedTuple):
    """The tasks column by column, as `assemble.Rows` has them."""

    lines: list[int]
    ids: list[str | None]
    titles: list[str]
    statuses: list[TaskStatus]
    parents: list[int]


class Skimmed(NamedTuple):
    lines: Sequence[str]
    headings: list[Heading]
    rows: Rows
    is_simple: bool
    """Whether every box is a task with an id, to be done or done, and none says that it may run beside others."""
    odd: Set[int]
    """The tasks whose boxes hold anything but a number and words."""


def skim(lines: Sequence[str], path: str) -> Skimmed | None:
    """Headings and tasks of a plainly written task file; None for every other, and for one without numbered tasks."""
    if not lines or lines[0].startswith("---"):
        return None
    sweep = _Sweep(lines)
    if not sweep.run():
        return None
    statuses = sweep.statuses(path)
    if statuses is None:
        return None
    parents = outline.parents_of(sweep.ids, sweep.around)
    rows = Rows(sweep.at, sweep.ids, sweep.titles, statuses, parents)
    return Skimmed(lines, sweep.headings, rows, not sweep.withdrawn and not sweep.parallel, sweep.odd)


class _State(dict[str, "_Step"]):
    """Which list items are open; by what the next item begins with, what it leads to."""

    def __init__(self, contents: tuple[int, ...], known: dict[tuple[int, ...], _State]) -> None:
        super().__init__()
        self.contents = contents
        """Where the content of each begins, of the file first."""
        self._known = known

    def __missing__(self, prefix: str) -> _Step:
        start = len(prefix) - len(prefix.lstrip(" "))
        outer = self.around(start)
        depth = len(outer.contents)
        if start - outer.contents[-1] > 3 or depth > _DEEPEST:
            depth = _NOT_PLAIN
        step = self[prefix] = (depth, self._of((*outer.contents, start + 2)), prefix[start + 3 : start + 4])
        return step

    def around(self, start: int) -> _State:
        """What is still open at a line that begins in this column."""
        depth = len(self.contents)
        while self.contents[depth - 1] > start:
            depth -= 1
        return self._of(self.contents[:depth])

    def _of(self, contents: tuple[int, ...]) -> _State:
        return self._known.setdefault(contents, self if contents == self.contents else _State(contents, self._known))


class _Sweep:
    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = lines
        self.at: list[int] = []
        self.ids: list[str | None] = []
        self.titles: list[str] = []
        self.marks: list[str] = []
        self.around: list[int] = []
        self.headings: list[Heading] = []
        self.explaining: list[str] = []
        """Lines that may explain marks."""
        self.odd: set[int] = set()
        self._states: dict[tuple[int, ...], _State] = {}
        self._file = self._state = _State((0,), self._states)
        self._owners = [-1] * (_DEEPEST + 2)
        """By depth: the innermost box around what is in the list item there."""
        self._paragraph = _NOTHING
        self.stories = 0
        self.withdrawn = 0
        """Boxes that are criteria or withdrawn, or may be: without any other, boxes mean something else."""
        self.stars = self.parallel = False

    def run(self) -> bool:
        """Whether all lines are plain."""
        text = "".join(self.lines)
        text = text if text.endswith("\n") else f"{text}\n"
        if "\r" in text:
            text = text.replace("\r\n", "\n")
        if "\r" in text or not self._take(text) or not self._read_odd():
            return False
        if _NOT_PLAIN in (depth for state in self._states.values() for depth, _, _ in state.values()):
            return False
        announced = "\n".join(heading.text for heading in self.headings)  # looked through at once
        if "`[" in announced or is_legend_heading(announced):
            return False
        self.stars |= any("]*" in prefix for state in self._states.values() for prefix in state)
        return len(self.ids) > self.withdrawn

    def _take(self, text: str) -> bool:
        """Take all lines; False at one that is not plain. One loop with few calls, as `blocks.Scan.run`."""
        at, ids, titles, marks, around, owners = self.at, self.ids, self.titles, self.marks, self.around, self._owners
        state, explains = self._state, "`[" in text
        paragraph = _NOTHING
        first, behind, begin = 0, 0, 0
        while begin < len(text):
            end = text.find("\n", begin + _AT_A_TIME) + 1 or len(text)
            found = _USUAL.findall(text, begin, end)
            for number, (box, identifier, title, bullet, other) in enumerate(found, first):
                if number < behind:
                    continue
                if box:
                    depth, state, mark = state[box]
                    around.append(owners[depth - 1])
                    owners[depth] = len(at)
                    at.append(number)
                    ids.append(identifier)
                    titles.append(title)
                    marks.append(mark)
                    paragraph = _TITLE
                elif bullet:
                    depth, state, _ = state[bullet]
                    owners[depth] = owners[depth - 1]
                    paragraph = _SENTENCE
                    if explains and "`[" in self.lines[number]:
                        self.explaining.append(self.lines[number])
                elif not other:
                    paragraph = _NOTHING
                else:
                    self._state, self._paragraph = state, paragraph
                    behind = self._other(number)
                    if not behind:
                        return False
                    state, paragraph = self._state, self._paragraph
            begin = end
            first += len(found)
        return True

    def _other(self, number: int) -> int:
        """Take a line that is not usual, of a fence all its lines: the next line, 0 if it is not plain."""
        found = _OTHER.match(self.lines[number])
        if found is None:
            return 0
        kind, start = found.lastindex, found.end(1)
        if kind == _BOX:
            return number + 1 if self._box(number, found[1] + found[2], found[3]) else 0
        paragraph, self._paragraph = self._paragraph, _NOTHING
        if kind == _BLANK:
            return number + 1
        if kind == _TEXT:
            if "[" in self.lines[number]:
                self.explaining.append(self.lines[number])
            self._paragraph = _SENTENCE
            if paragraph:
                return number + 1 if paragraph == _SENTENCE else 0
            self._state = self._state.around(start)
            return number + 1 if start - self._state.contents[-1] <= 3 else 0
        if start or (kind == _BREAK and paragraph):
            return 0
        self._state = self._file
        if kind == _FENCE:
            return self._behind_fence(number, found[7])
        if kind == _HEADING:
            self.headings.append(Heading(number, len(found[5]), heading_text(found[6])))
        return number + 1

    def _behind_fence(self, first: int, mark: str) -> int:
        """First line behind a fence, 0 if nothing closes it."""
        for number in range(first + 1, len(self.lines)):
            end = _FENCE_END.match(self.lines[number])
            if end is not None and end[1].startswith(mark):
                return number + 1
        return 0

    def _box(self, number: int, prefix: str, text: str) -> bool:
        """Take a box with anything else in it; False as `_read`."""
        depth, self._state, mark = self._state[prefix]
        self.around.append(self._owners[depth - 1])
        self._owners[depth] = len(self.at)
        self.at.append(number)
        self.ids.append(None)
        self.titles.append("")
        self.marks.append(mark)
        self._paragraph = _TITLE
        return self._read(len(self.at) - 1, text)

    def _read(self, row: int, text: str) -> bool:
        """Read a box by itself; False where the rest of the file decides what it says, or a second box follows."""
        title = read_title(text)
        self.odd.add(row)
        self.ids[row], self.titles[row] = title.id, title.title
        self.stars |= title.optional
        self.parallel |= title.parallel
        self.stories += title.story is not None or (title.parallel and title.id is not None and title.id[0] == "T")
        self.withdrawn += title.withdrawn or title.id is None
        return title.certainty != DOUBTFUL and text.lstrip()[:1] not in _BULLETS

    def _read_odd(self) -> bool:
        """Read by themselves the titles that are more than words, as `_read`."""
        titles = "\n".join([*self.titles, ""])
        signs = titles.encode("utf-8", "surrogatepass").translate(_CAPITALS, _WORDS)
        if b"AAA" not in signs and " \n" not in titles and not signs.translate(None, b"A\n"):
            return True
        for row, (title, more) in enumerate(zip(self.titles, signs.split(b"\n"), strict=False)):
            if (b"AAA" in more or title.endswith(" ") or more.strip(b"A")) and row not in self.odd:
                found = _OTHER.match(self.lines[self.at[row]])
                if found is None or not self._read(row, found[3]):
                    return False
        return True

    def statuses(self, path: str) -> list[TaskStatus] | None:
        """What the marks mean; None where that takes more than an outline to tell."""
        if self.explaining and legend_of(self.explaining):
            return None
        marks = set(self.marks)
        if marks <= _SAME_EVERYWHERE.keys():
            return [_SAME_EVERYWHERE[mark] for mark in self.marks]
        # What is not looked at here, metadata and waves, speaks for these two dialects only.
        dialect = detect(path, self._signs())
        if dialect not in _WITH_DASH:
            return None
        known = {mark: status_of(dialect, mark, {}) for mark in marks}
        return [known[mark] for mark in self.marks]

    def _signs(self) -> Signs:
        identifiers = [identifier for identifier in self.ids if identifier is not None]
        return Signs(
            identifiers,
            self.stories,
            frozenset(),
            waves=False,
            optional_stars=self.stars,
            nested_numbers=has_nested(identifiers),
            numbered_sections=outline.Sections(self.headings).numbered(zip(self.at, self.ids, strict=True)),
        )
