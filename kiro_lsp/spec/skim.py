"""The outline of a plainly written file in one sweep of a single expression: what a client waits for when it opens a large one.

Most lines of most files are plain: a heading, a box with a number and words, a bullet, a sentence, a blank. A text that holds
anything else, or anything that another line may change the meaning of, is not skimmed but read (`assemble.drafted`). What is
skimmed is what would have been read: a property that the tests try over odd texts, and over real files.

Own code beside the scanner's because it takes a fourth of the time, which is what an editor's first outline of a file costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from kiro_lsp.spec import outline
from kiro_lsp.spec.blocks import Heading, heading_text
from kiro_lsp.spec.dialects import Signs, detect, has_nested, is_legend_heading, legend_of, status_of
from kiro_lsp.spec.patterns import pattern
from kiro_lsp.spec.titles import DOUBTFUL, read_title

if TYPE_CHECKING:
    from kiro_lsp.spec.model import TaskStatus

_BLANK, _HEADING, _FENCE, _BREAK, _TEXT = 2, 4, 5, 6, 7
_WORDS: Final = r"[a-z0-9 ,;:'\"/+&%=#@!?.-]"
_END: Final = r"\r?\n?\Z"
_USUAL: Final = pattern(
    r"( *- (?:\[[ xX-]\]\*? |(?=[^ \t\r\n\-+*0-9>#`~<=_\[]|\[\w\w|_\w|`(?!``)|\*\*[^\s*]|\d+(?![\d.)]))))"
    r"(?:(?=\d+\.)(\d{1,6}(?:\.\d{1,6}){0,12})(?:\.|(?! [xhmsdwpcokgKMG])) "
    rf"([A-Za-z](?:{_WORDS}*(?! ){_WORDS})?)\r?\n|[^\n]*\n)"
    r"|\r?\n|([^\n]+)\n"
)
"""A bullet with or without a box, in front of a number and words or of something else; a blank line; any other line. Nearly all
lines are of the first two kinds, and one call finds them in a whole text. What may be an amount (`1.5 hours`) is something else."""
_OTHER: Final = pattern(
    rf"( *)(?:({_END})|(#{{1,6}})(?=[ \r\n])([^\r\n]*)|(`{{3,}}(?=[^`\r\n]*{_END})|~{{3,}})|(-{{3,}}{_END})"
    r"|((?=[^\-+*0-9>#`~<=_\s\ufeff]|\*\*[^\s*]|_[^\W_]|`(?!``))))"
)
"""The other lines that are plain: one group for each kind, told by the last group that took part."""
_FENCE_END: Final = pattern(r" {0,3}(`{3,}|~{3,})[ \t]*\r?\n?\Z")
_SENTENCE, _TITLE = 1, 2
"""The paragraph that is open: any, or that of a task's title, which a further line would make longer."""
_BULLETS: Final = ("-", "*", "+")
_DEEPEST: Final = 50
_NOT_PLAIN: Final = 0
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
    return Skimmed(lines, sweep.headings, rows, not sweep.withdrawn and not sweep.parallel)


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
        self.states: dict[tuple[int, ...], _State] = {}
        self.file = self.state = _State((0,), self.states)
        self.behind = 0
        """First line behind the last fence."""
        self.stories = 0
        self.withdrawn = 0
        """Boxes that are criteria or withdrawn, or may be: without any other, boxes mean something else."""
        self.stars = self.parallel = False

    def run(self) -> bool:
        """Whether all lines are plain. One loop with few calls, as `blocks.Scan.run`."""
        lines, at, ids, titles, marks, around = self.lines, self.at, self.ids, self.titles, self.marks, self.around
        text = "".join(lines)
        found = _USUAL.findall(text if text.endswith("\n") else f"{text}\n")
        if len(found) != len(lines):
            return False  # a lone "\r" ends a line, too
        explains = "`[" in text
        owners = [-1] * (_DEEPEST + 2)
        """By depth: the innermost box around what is in the list item there."""
        paragraph = behind = 0
        state = self.file
        for number, (prefix, identifier, title, other) in enumerate(found):
            if number < behind:
                continue
            if prefix:
                depth, state, mark = state[prefix]
                if not depth:
                    return False
                owner = owners[depth - 1]
                if not mark:
                    owners[depth] = owner
                    paragraph = _SENTENCE
                    if explains and "`[" in lines[number]:
                        self.explaining.append(lines[number])
                    continue
                if title:
                    ids.append(identifier)
                    titles.append(title)
                elif not self._any_title(lines[number][len(prefix) :].rstrip("\r\n")):
                    return False
                paragraph = _TITLE
                owners[depth] = len(at)
                at.append(number)
                marks.append(mark)
                around.append(owner)
            elif not other:
                paragraph = 0
            else:
                self.state = state
                paragraph = self._between(number, paragraph)
                if paragraph < 0:
                    return False
                behind, state = self.behind, self.state
        self.stars |= any("]*" in prefix for known in self.states.values() for prefix in known)
        return len(ids) > self.withdrawn

    def _between(self, number: int, paragraph: int) -> int:
        """Take a line that is no item: what paragraph is open behind it, -1 if it is not plain."""
        found = _OTHER.match(self.lines[number])
        if found is None:
            return -1
        kind, start = found.lastindex, found.end(1)
        if kind == _BLANK:
            return 0
        if kind == _TEXT:
            if "[" in self.lines[number]:
                self.explaining.append(self.lines[number])
            if paragraph:
                return -1 if paragraph == _TITLE else paragraph
            self.state = self.state.around(start)
            return -1 if start - self.state.contents[-1] > 3 else _SENTENCE
        if start or (kind == _BREAK and paragraph):
            return -1
        self.state = self.file
        if kind == _HEADING:
            heading = Heading(number, len(found[3]), heading_text(found[4]))
            self.headings.append(heading)
            return -1 if "`[" in heading.text or is_legend_heading(heading.text) else 0
        if kind == _FENCE:
            self.behind = self._behind_fence(number, found[5])
            return 0 if self.behind else -1
        return 0

    def _behind_fence(self, first: int, mark: str) -> int:
        """First line behind a fence, 0 if nothing closes it."""
        for number in range(first + 1, len(self.lines)):
            end = _FENCE_END.match(self.lines[number])
            if end is not None and end[1].startswith(mark):
                return number + 1
        return 0

    def _any_title(self, text: str) -> bool:
        """Take a title of another shape; False where the rest of the file decides what it says, or there is a second box."""
        if text.lstrip()[:1] in _BULLETS:
            return False
        title = read_title(text)
        self.ids.append(title.id)
        self.titles.append(title.title)
        self.stars |= title.optional
        self.parallel |= title.parallel
        self.stories += title.story is not None or (title.parallel and title.id is not None and title.id[0] == "T")
        self.withdrawn += title.withdrawn or title.id is None
        return title.certainty != DOUBTFUL

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
