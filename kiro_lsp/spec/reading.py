"""From blocks to tasks: what each box of a file is, what belongs to it, and what stands around it.

One `Reading` holds a file's lines and blocks while its tasks are put together; nothing of it survives in the result.
Boxes are decided by blocks.py, titles by titles.py, details by details.py; here they are joined.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import count
from typing import Final

from kiro_lsp.spec.blocks import BLANK, BREAK, CONTINUATION, HEADING, ITEM, TEXT, Blocks, Box, Heading
from kiro_lsp.spec.dialects import explains_mark, is_legend_heading
from kiro_lsp.spec.metadata import AGENT_COMMENT, begins_metadata, read_metadata
from kiro_lsp.spec.patterns import pattern
from kiro_lsp.spec.titles import Title, plain_title, read_title, settle

CRITERIA: Final = pattern(
    r"(?:success|acceptance|completion|exit|done|quality|validation|verification|review)\s+(?:criteri|check|gates?\b)"
    r"|definition[ -]of[ -]done|\bDoD\b|acceptance\s+tests?\b|\bacceptance\s*[:：*]*$|crit[eé]rios? d[eo]|criterios? de|критери"
    r"|erfolgskriteri|abnahmekriteri|crit[eè]res d|验收|驗收|完成标准|成功标准|受け?入れ?(?:基準|条件)"
    r"|完了(?:条件|基準)|완료\s?조건|수락\s?기준|수용\s?기준",
    re.IGNORECASE,
)
NO_METADATA: Final[Mapping[str, str]] = {}
_DETAIL: Final = (TEXT, CONTINUATION, ITEM, BLANK)
_ENDS_LABEL: Final = (HEADING, BREAK)
_MAY_LABEL: Final = (TEXT, ITEM)
_LABEL: Final = pattern(
    r"(?:[-*+][ \t]+|\d+[.)][ \t]+)?(?:\*\*|__)?[^\r\n]{1,80}?[:：]?(?:\*\*|__)?[ \t]*[:：]?[ \t]*$"
)
_DOUBLED: Final = pattern(r"[ \t]+[-*+][ \t]+\[(?:[^\r\n\]\w]|[xX ]|)\](?![(\[:])")
_STARS: Final = ("*", "\\*")
_OPTIONAL: Final = pattern(r"(?:\*|\\\*)(?=[ \t]|$)")


class Reading:
    """A file's lines and blocks, and what was found out about its boxes so far (one entry a box)."""

    def __init__(self, lines: Sequence[str], blocks: Blocks) -> None:
        self.lines, self.blocks = lines, blocks
        self.boxes: list[Box] = []
        """Boxes that are tasks or criteria; those of a legend are left out."""
        self.titles: list[Title] = []
        self.optional: list[bool] = []
        self.doubled: list[int] = []
        """Lines with a second box behind the first."""
        self.legend_lines: set[int] = set()
        self.own_lines: list[list[int]] = []
        """Lines below the title that belong to the item itself and not to a task inside it, blank ones at their end included."""
        self.raw: list[Title] = []
        """Titles before the file's numbering decided the doubtful ids."""
        self.labelled: list[bool] = []
        """Whether the last label above the box announces criteria."""
        self.title_ends: list[int] = []
        self.parents: list[int] = []
        """Index of the innermost box around, -1 for none."""

    def read(self) -> None:
        """Titles, bodies and nesting of every box."""
        found = self.blocks.boxes
        legend = set(self._legend_boxes())
        renumber: Sequence[int] = range(len(found))
        if legend:
            self.legend_lines = {found[number].line for number in legend}
            places = count()
            renumber = [-1 if number in legend else next(places) for number in range(len(found))]
        self.boxes = [box for box in found if box.line not in self.legend_lines] if legend else found
        self.parents = [renumber[box.parent] if box.parent >= 0 else -1 for box in self.boxes]
        raw, optional, ends, lines = self.raw, self.optional, self.title_ends, self.lines
        wrapped = [kind == CONTINUATION for kind in self.blocks.kinds[1:]]
        wrapped.append(False)
        for number, box in enumerate(found):
            if number in legend:
                continue
            line = box.line
            plain = None if wrapped[line] else plain_title(lines[line][box.after :].strip())
            if plain is not None:
                raw.append(plain)
                optional.append(False)
                ends.append(line + 1)
            else:
                title, end, is_optional = self.title_at(number, box)
                raw.append(title)
                optional.append(is_optional)
                ends.append(end)
        self.own_lines = [[] for _ in self.boxes]
        self.titles = settle(raw)
        self._collect_bodies(renumber)

    def title_at(self, number: int, box: Box) -> tuple[Title, int, bool]:
        """(title of a box, first line behind it, whether it is optional); notes a second box."""
        text, end, optional = self._title_text(number, box)
        title = read_title(text)
        return title, end, optional or title.optional

    def _title_text(self, number: int, box: Box) -> tuple[str, int, bool]:
        """(text of the title with its wrapped lines, first line behind it, whether a star makes it optional)."""
        at, start = box.line, box.after
        line, end = self.lines[at], at + 1
        optional = False
        if line.startswith(_STARS, start) and (star := _OPTIONAL.match(line, start)):
            optional, start = True, star.end()
        if box.mark and line.find("[", start) > 0 and (second := _DOUBLED.match(line, start)):
            self.doubled.append(at)
            start = second.end()
        text = line[start:].strip()
        kinds = self.blocks.kinds
        if end < len(kinds) and kinds[end] == CONTINUATION:
            owners = self.blocks.owners
            parts = [text]
            while end < len(kinds) and kinds[end] == CONTINUATION and owners[end] == number:
                more = self.lines[end].strip().lstrip(">").strip()
                if begins_metadata(more):
                    break
                parts.append(more)
                end += 1
            if len(parts) > 1:
                text = " ".join(part for part in parts if part)
        return text, end, optional

    def _collect_bodies(self, renumber: Sequence[int]) -> None:
        owners = self.blocks.owners
        ends = self.title_ends
        own = self.own_lines
        for number, owner in enumerate(owners):
            if owner >= 0 and (task := renumber[owner]) >= 0 and number >= ends[task]:
                own[task].append(number)

    def own(self, number: int) -> list[int]:
        """The lines of a task's own body, without blank ones at its end."""
        lines, kinds = self.own_lines[number], self.blocks.kinds
        end = len(lines)
        if end and kinds[lines[-1]] != BLANK:
            return lines
        while end and kinds[lines[end - 1]] == BLANK:
            end -= 1
        return lines[:end]

    def _legend_boxes(self) -> Iterator[int]:
        """Boxes that explain marks: a list under a legend's heading whose titles are names of a status."""
        path: list[Heading] = [heading for heading in self.blocks.headings if is_legend_heading(heading.text)]
        if not path:
            return
        starts = [heading.line for heading in self.blocks.headings]
        for number, box in enumerate(self.blocks.boxes):
            at = bisect_right(starts, box.line) - 1
            title = self.lines[box.line][box.after :].strip(" \t\r\n:=→–—-")
            if at >= 0 and is_legend_heading(self.blocks.headings[at].text) and explains_mark(title):
                yield number

    def body(self, number: int) -> str:
        """The lines of a task's own body, without the indentation that all share and without trailing blanks."""
        return dedented([self.lines[line] for line in self.own(number)]) if self.own_lines[number] else ""

    def detail_lines(self, number: int) -> list[str]:
        """Body lines that can hold metadata: code blocks, comments and wrapped titles of other items excluded."""
        kinds, lines = self.blocks.kinds, self.lines
        return [lines[line] for line in self.own(number) if kinds[line] in _DETAIL]

    def metadata(self, number: int) -> Mapping[str, str]:
        """What the body says in entries with a key, and an agent that a comment behind the title names."""
        found = read_metadata(self.detail_lines(number)) if self.own_lines[number] else NO_METADATA
        line = self.lines[self.boxes[number].line]
        named = AGENT_COMMENT.search(line) if "<!--" in line else None
        return {"Agent": named[1], **found} if named is not None else found

    def end_line(self, number: int) -> int:
        """First line behind the title and the part of the body that follows it directly."""
        if not self.own_lines[number]:
            return self.title_ends[number]
        end = self.title_ends[number]
        kinds = self.blocks.kinds
        for line in self.own(number):
            directly = end
            while directly < line and kinds[directly] == BLANK:
                directly += 1
            if line > directly:
                break
            end = line + 1
        return end

    def criteria_lines(self) -> list[bool]:
        """For each box: whether it stands under a heading or label that announces criteria."""
        headings = self.blocks.headings
        under = [False] * len(headings)
        stack: list[tuple[int, bool]] = []
        for at, heading in enumerate(headings):
            while stack and stack[-1][0] >= heading.level:
                stack.pop()
            under[at] = (bool(stack) and stack[-1][1]) or CRITERIA.search(heading.text) is not None
            stack.append((heading.level, under[at]))
        found: list[bool] = []
        starts = [*(heading.line for heading in headings), len(self.lines)]
        labelled = False
        previous, at = 0, -1
        for box in self.boxes:
            line = box.line
            if previous < line:
                labelled = self.label_state(labelled, previous, line)
                while starts[at + 1] <= line:
                    at += 1
            previous = line + 1
            self.labelled.append(labelled)
            found.append(labelled or (at >= 0 and under[at]))
        return found

    def label_state(self, labelled: bool, first: int, end: int) -> bool:
        """Whether criteria are announced behind these lines, which hold no task, given whether they were above them."""
        kinds, lines = self.blocks.kinds, self.lines
        for line in range(first, end):
            kind = kinds[line]
            if kind in _ENDS_LABEL:
                labelled = False
            elif kind in _MAY_LABEL and line not in self.legend_lines:
                announced = _announces(lines[line])
                labelled = labelled if announced is None else announced
        return labelled


@lru_cache(maxsize=16384)
def _announces(line: str) -> bool | None:
    """Whether a line that announces what follows announces criteria, None if it is an ordinary one.

    Remembered, since between two keystrokes nearly all lines stay what they were.
    """
    text = line.strip()
    if len(text) > 100 or not (text.startswith(("*", "_", "-", "+")) or text.endswith((":", "：", "**"))):
        return None
    if _LABEL.match(text) and (text.rstrip("*_ ").endswith((":", "：")) or "**" in text):
        return CRITERIA.search(text) is not None
    return None


def dedented(lines: Sequence[str]) -> str:
    """Lines as one text with LF ends, without the indentation that all of them share."""
    plain = [line.rstrip("\r\n") for line in lines]
    indents = [len(line) - len(line.lstrip(" \t")) for line in plain if line.strip()]
    common = min(indents, default=0)
    return "\n".join(line[common:] if line.strip() else "" for line in plain).strip("\n")
