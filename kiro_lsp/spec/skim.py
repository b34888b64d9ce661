"""The outline of a plainly written file in one sweep of a single expression: what a client waits for when it opens a large one.

Most lines of most files are plain: a heading, a box with a number and words, a bullet, a sentence, a blank. A text that holds
anything else, or anything that another line may change the meaning of, is not skimmed but read (`assemble.drafted`). What is
skimmed is what would have been read: a property that the tests try over odd texts, and over real files.

Own code beside the scanner's because it takes a fourth of the time, which is what an editor's first outline of a file costs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from kiro_lsp.spec import outline
from kiro_lsp.spec.blocks import Heading, heading_text
from kiro_lsp.spec.dialects import Signs, detect, has_nested, is_legend_heading, legend_of, status_of
from kiro_lsp.spec.patterns import pattern
from kiro_lsp.spec.titles import DOUBTFUL, is_amount, read_title

if TYPE_CHECKING:
    from kiro_lsp.spec.model import TaskStatus

_BULLET, _BLANK, _HEADING, _FENCE, _BREAK, _TEXT = 8, 9, 11, 12, 13, 14
_WORDS: Final = r"[a-z0-9 ,;:'\"/+&%=#@!?.-]"
_ID: Final = r"\d{1,6}(?:\.\d{1,6}){0,12}"
_END: Final = r"\r?\n?\Z"
_LINE: Final = pattern(
    rf"( *)(?:- (?:\[([ xX-])\](\*?) (?:({_ID})(\.?) ([A-Za-z](?:{_WORDS}*(?! ){_WORDS})?){_END}|([^\r\n]*))"
    r"|((?=[^ \t\r\n\-+*0-9>#`~<=_\[]|\[\w\w|_\w|`(?!``)|\*\*[^\s*]|\d+(?![\d.)]))))"
    rf"|({_END})|(#{{1,6}})(?=[ \r\n])([^\r\n]*)|(`{{3,}}(?=[^`\r\n]*{_END})|~{{3,}})|(-{{3,}}{_END})"
    r"|((?=[^\-+*0-9>#`~<=_\s\ufeff]|\*\*[^\s*]|_[^\W_]|`(?!``))))"
)
"""One group for each kind of line, told by the last group that took part; other lines are not plain."""
_FENCE_END: Final = pattern(r" {0,3}(`{3,}|~{3,})[ \t]*\r?\n?\Z")
_SENTENCE, _TITLE = 1, 2
"""The paragraph that is open: any, or that of a task's title, which a further line would make longer."""
_BULLETS: Final = ("-", "*", "+")
_DEEPEST: Final = 50
_WITH_DASH: Final = ("kiro", "spec-workflow")
_SAME_EVERYWHERE: Final[Mapping[str, TaskStatus]] = {" ": "open", "x": "done", "X": "done"}


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
    return Skimmed(lines, sweep.headings, Rows(sweep.at, sweep.ids, sweep.titles, statuses, parents))


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
        self.contents, self.owners = [0], [-1]
        """Where the content of each open list item begins, of the file first, and the innermost box around it."""
        self.behind = 0
        """First line behind the last fence."""
        self.stars = False
        self.stories = 0
        self.withdrawn = 0
        """Boxes that are criteria or withdrawn, or may be: without any other, boxes mean something else."""

    def run(self) -> bool:
        """Whether all lines are plain. One loop with few calls, as `blocks.Scan.run`."""
        at, ids, titles, marks, around = self.at, self.ids, self.titles, self.marks, self.around
        contents, owners = self.contents, self.owners
        paragraph = behind = 0
        for number, found in enumerate(map(_LINE.match, self.lines)):
            if number < behind:
                continue
            if found is None:
                return False
            kind: int = found.lastindex  # type: ignore[assignment]  # every branch has a group
            if kind > _BULLET:
                paragraph = self._between(number, kind, found, paragraph)
                if paragraph < 0:
                    return False
                behind = self.behind
                continue
            start = found.end(1)
            while contents[-1] > start:
                del contents[-1], owners[-1]
            if start - contents[-1] > 3 or len(contents) > _DEEPEST:
                return False
            owner = owners[-1]
            contents.append(start + 2)
            if kind == _BULLET:
                owners.append(owner)
                paragraph = _SENTENCE
                if "`[" in self.lines[number]:
                    self.explaining.append(self.lines[number])
                continue
            _, mark, star, identifier, dot, title, other = found.group(1, 2, 3, 4, 5, 6, 7)
            if star:
                self.stars = True
            if title is not None and (dot or ("." in identifier and not is_amount(title))):
                ids.append(identifier)
                titles.append(title)
            elif not self._any_title(other if title is None else f"{identifier}{dot} {title}"):
                return False
            paragraph = _TITLE
            owners.append(len(at))
            at.append(number)
            marks.append(mark)
            around.append(owner)
        return len(ids) > self.withdrawn

    def _between(self, number: int, kind: int, found: re.Match[str], paragraph: int) -> int:
        """Take a line that is no item: what paragraph is open behind it, -1 if it is not plain."""
        if kind == _BLANK:
            return 0
        if kind == _TEXT:
            if "[" in self.lines[number]:
                self.explaining.append(self.lines[number])
            if paragraph:
                return -1 if paragraph == _TITLE else paragraph
            start = found.end(1)
            while self.contents[-1] > start:
                del self.contents[-1], self.owners[-1]
            return -1 if start - self.contents[-1] > 3 else _SENTENCE
        if found.end(1) or (kind == _BREAK and paragraph):
            return -1
        del self.contents[1:], self.owners[1:]
        if kind == _HEADING:
            heading = Heading(number, len(found[10]), heading_text(found[11]))
            self.headings.append(heading)
            return -1 if "`[" in heading.text or is_legend_heading(heading.text) else 0
        if kind == _FENCE:
            self.behind = self._behind_fence(number, found[12])
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
