"""The block structure of a Markdown file, as far as a task list needs it: one pass over the lines, no tree.

Follows CommonMark 0.31 for what decides whether a box is a list item: lists and their nesting, lazy continuation, block
quotes, fenced and indented code, HTML blocks and comments, headings, thematic breaks; and YAML front matter, which
CommonMark does not know. It goes beyond the specification in one case: a list directly below `<details>` or `<summary>`
is a list, as its reader means it, although CommonMark sees raw HTML up to the next blank line; such boxes are flagged.

Inline markup is not looked at, and neither is what a box or its text means. Columns are character offsets.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from kiro_lsp.spec.front_matter import front_matter_end
from kiro_lsp.spec.patterns import pattern
from kiro_lsp.spec.raw_html import ends_html, raw_html

TEXT: Final = 0
CONTINUATION: Final = 1  # a further line of the paragraph above
BLANK: Final = 2
HEADING: Final = 3
CODE: Final = 4  # fence lines, what is between them, and indented code
HTML: Final = 5
FRONT_MATTER: Final = 6
ITEM: Final = 7  # begins a list item; whether with a box is told by `Blocks.boxes`
BREAK: Final = 8

_LEADING: Final = pattern(r"[ \t]*")
_MARKER: Final = pattern(r"(?:[-+*]|\d{1,9}[.)])(?=[ \t\r\n]|$)")
_ATX: Final = pattern(r"#{1,6}(?=[ \t\r\n]|$)")
_SETEXT: Final = pattern(r"(?:=+|-+)[ \t]*[\r\n]*$")
_BREAK: Final = pattern(r"(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})[\r\n]*$")
_FENCE: Final = pattern(r"(`{3,})([^`\r\n]*)[\r\n]*$|(~{3,})([^\r\n]*)[\r\n]*$")
_BOX: Final = pattern(r"\[([^\r\n\]]\ufe0f?|\]\ufe0f?(?=\])|)\](?![(\[:])")
_PLAIN_MARKS: Final = frozenset(" xX-~")
_SPECIAL: Final = "-+*0123456789>#`~<=_\t"
"""Signs that may begin something else than a paragraph."""
_BULLETS: Final = frozenset("-+*")
_BLANKS: Final = frozenset(("", "\r", "\n"))
_AFTER_BULLET: Final = " \t\r\n-+*0123456789>#`~<=_"
"""Signs behind a bullet and its blank with which the item holds more than a paragraph, or is none."""
_WORDS: Final = pattern(r"_(?=\w)|`(?!``)|\*\*(?=[^\s*])|\d+(?![\d.)])")
"""What may begin with such a sign and is a paragraph all the same: `_Key: …`, code, bold words, a number."""
_DEEPEST: Final = 100
"""Containers inside each other; what goes deeper is text. Keeps hostile lines such as `- > - > …` linear."""


class Box(NamedTuple):
    """A list item that begins with a box. `mark` is what stands in it, "" for `[]`."""

    line: int
    mark: str
    mark_column: int
    after: int
    """Column behind the closing bracket."""
    depth: int
    """How many list items are around this one, with or without a box."""
    parent: int
    """Index of the innermost box around this one, -1 for none."""
    folded: bool
    """Stands in what CommonMark takes for raw HTML."""


class Heading(NamedTuple):
    line: int
    level: int
    text: str


class Fence(NamedTuple):
    """A fenced code block: lines `start` to `end`, fence lines included, `end` exclusive."""

    start: int
    end: int
    info: str
    closed: bool


class Blocks(NamedTuple):
    """`kinds` and `owners` have one entry a line: what the line is, and the innermost box whose item holds it or -1."""

    boxes: list[Box]
    headings: list[Heading]
    fences: list[Fence]
    kinds: bytearray
    owners: list[int]
    unclosed_html: int | None = None
    """Line of a comment or raw HTML block that runs to the end of the file without its end mark."""


class Container:
    """A list item or block quote that is open."""

    __slots__ = ("content", "owner", "width")

    def __init__(self, width: int, owner: int, content: int) -> None:
        self.width = width
        """How far a line must be indented beyond the container around to belong to this item; -1 for a block quote."""
        self.owner = owner
        self.content = content
        """The column from which lines belong to it; nothing that is used inside block quotes."""


PARAGRAPH: Final = 1
FENCED: Final = 2
INDENTED: Final = 3
RAW: Final = 4


class Scan:
    """The state between two lines, and a cursor in the current one: `start` is the next character, `column` its column
    and `base` the column from which the innermost matched container measures indentation."""

    def __init__(self, lines: Sequence[str], kinds: bytearray, owners: list[int]) -> None:
        self.lines, self.kinds, self.owners = lines, kinds, owners
        self.boxes: list[Box] = []
        self.headings: list[Heading] = []
        self.fences: list[Fence] = []
        self.stack: list[Container] = []
        self.quotes = 0
        self.leaf = 0
        self.leaf_start = 0
        self.empty_item = -1
        """Line of the innermost item while it has no content yet."""
        self.fence_mark = self.fence_info = ""
        self.html_end: str | re.Pattern[str] | None = None
        """What ends the open HTML block; None: a blank line."""
        self.html_folds = False
        self.folded = False
        """Inside a list that CommonMark takes for part of an HTML block."""
        self.number = 0
        self.text = ""
        self.start = self.column = self.base = self.matched = 0
        self.setext = -1
        """The last line that made a heading of the paragraph above it."""

    def run(self, first: int, end: int) -> None:  # noqa: PLR0912  # its branches are the kinds of lines
        """Take lines `first` to `end`. Plain text, plain bullets and blank lines, nearly all of a file, go the short way.

        One long loop without calls: this is where a large file is opened, at two microseconds a line.
        """
        lines, kinds, owners, stack, boxes = self.lines, self.kinds, self.owners, self.stack, self.boxes
        leaf = self.leaf
        for number in range(first, end):
            text = lines[number]
            if leaf > PARAGRAPH or self.quotes or self.empty_item >= 0:
                self._line(number, text)
                leaf = self.leaf
                continue
            rest = text.lstrip(" ")
            sign = rest[:1]
            if sign in _BULLETS and rest[1:2] == " " and (rest[2:3] not in _AFTER_BULLET or _WORDS.match(rest, 2)):
                # A list item `- text`, its text a paragraph.
                start, depth = len(text) - len(rest), len(stack)
                while depth and stack[depth - 1].content > start:
                    depth -= 1
                base = stack[depth - 1].content if depth else 0
                if start - base < 4 and depth < _DEEPEST:
                    owner = stack[depth - 1].owner if depth else -1
                    kinds[number] = ITEM
                    leaf = self.leaf = PARAGRAPH
                    self.leaf_start = number
                    if rest[2] == "[":
                        mark, after = rest[3:4], start + 5
                        if mark not in _PLAIN_MARKS or rest[4:6] != "] ":
                            box = _box_at(text, start + 2)
                            mark, after = (box[1], box.end()) if box else ("", 0)
                        if after:
                            box_here = (number, mark, start + 3, after, depth, owner, self.folded)
                            boxes.append(tuple.__new__(Box, box_here))  # as `Box(…)`, in half the time
                            owner = len(boxes) - 1
                    owners[number] = owner
                    if depth < len(stack) and stack[depth].content == start + 2:
                        stack[depth].owner = owner  # the item above at this place is over, its container serves again
                        del stack[depth + 1 :]
                    else:
                        stack[depth:] = [Container(start - base + 2, owner, start + 2)]
                    continue
            elif sign in _BLANKS:
                leaf = self.leaf = 0
                self.folded = False
                kinds[number] = BLANK
                if stack:
                    owners[number] = stack[-1].owner
                continue
            elif leaf and sign not in _SPECIAL:
                kinds[number] = CONTINUATION
                if stack:
                    owners[number] = stack[-1].owner
                continue
            self._line(number, text)
            leaf = self.leaf

    def _line(self, number: int, text: str) -> None:
        """Take one more line: match the open containers, then continue the open leaf or start new blocks."""
        self.number, self.text = number, text
        start = _LEADING.match(text).end()  # type: ignore[union-attr]
        column = start if "\t" not in text[:start] else _column(text, start)
        blank = start == len(text) or text[start] in "\r\n"
        base = matched = 0
        for container in self.stack:
            width = container.width
            if width < 0:
                if blank or text[start] != ">" or column - base > 3:
                    break
                start, base, column = _past_quote(text, start, column)
                blank = start == len(text) or text[start] in "\r\n"
            elif blank:
                if self.empty_item >= 0 and container is self.stack[-1]:
                    break
            elif column - base >= width:
                base += width
            else:
                break
            matched += 1
        self.start, self.column, self.base, self.matched = start, column, base, matched
        if self.leaf > PARAGRAPH and self._continue_leaf(blank):
            return
        if blank:
            self._blank(number, matched)
        else:
            self._start_blocks()

    def _continue_leaf(self, blank: bool) -> bool:
        """Whether the line belonged to the open code or HTML block. Closes the block when it ends here or before."""
        number, text, start = self.number, self.text, self.start
        indent = self.column - self.base
        if self.matched < len(self.stack):
            self._close_leaf(number)
            return False
        owner = self.stack[-1].owner if self.stack else -1
        if self.leaf == FENCED:
            self.kinds[number], self.owners[number] = CODE, owner
            mark = self.fence_mark
            if indent <= 3 and text.startswith(mark, start) and not text[start:].lstrip(mark[0]).strip(" \t\r\n"):
                self.leaf = 0
                self.fences.append(Fence(self.leaf_start, number + 1, self.fence_info, True))
            return True
        if self.leaf == INDENTED:
            if not blank and indent < 4:
                self.leaf = 0
                return False
            self.kinds[number], self.owners[number] = (BLANK if blank else CODE), owner
            return True
        if self.html_end is None:
            if blank:
                self.leaf = 0
                return False
            if self.html_folds and _begins_with_box(text, start):
                self.leaf = 0
                self.folded = True
                return False
        self.kinds[number], self.owners[number] = HTML, owner
        if ends_html(self.html_end, text, start):
            self.leaf = 0
        return True

    def _close_leaf(self, number: int) -> None:
        if self.leaf == FENCED:
            self.fences.append(Fence(self.leaf_start, number, self.fence_info, False))
        self.leaf = 0

    def _blank(self, number: int, matched: int) -> None:
        self.leaf = 0
        self.folded = False
        self._close_to(matched)
        self.kinds[number] = BLANK
        self.owners[number] = self.stack[-1].owner if self.stack else -1

    def _close_to(self, matched: int) -> None:
        if matched < len(self.stack):
            if self.quotes:
                self.quotes -= sum(container.width < 0 for container in self.stack[matched:])
            del self.stack[matched:]
            self.empty_item = -1

    def _start_blocks(self) -> None:
        """Open the blocks that begin on this line, outermost first, down to its leaf."""
        stack, number = self.stack, self.number
        lazy = self.leaf == PARAGRAPH
        in_item = False
        while len(stack) < _DEEPEST or self.matched < _DEEPEST:
            if self.column - self.base >= 4:
                if lazy:
                    break
                self._close_to(self.matched)
                self._open(number, INDENTED, CODE)
                return
            sign = self.text[self.start]
            if sign == ">":
                if self._quote():
                    return
                lazy = in_item = False
            elif self._leaf_start(sign, lazy, in_item):
                return
            elif (sign in "-+*" or "0" <= sign <= "9") and (found := _MARKER.match(self.text, self.start)):
                if not self._item(found, lazy):
                    break
                if self.empty_item >= 0:
                    return
                lazy, in_item = False, True
            else:
                break
        if lazy:
            self.kinds[number] = CONTINUATION
            self.owners[number] = stack[-1].owner if stack else -1
            return
        self._close_to(self.matched)
        self._paragraph(number, self.text, self.start, in_item)

    def _quote(self) -> bool:
        """Open a block quote. Whether nothing follows on its line."""
        stack, text = self.stack, self.text
        self._close_to(self.matched)
        stack.append(Container(-1, stack[-1].owner if stack else -1, 0))
        self.quotes += 1
        self.matched += 1
        self.leaf, self.empty_item = 0, -1
        self.start, self.base, self.column = _past_quote(text, self.start, self.column)
        if self.start < len(text) and text[self.start] not in "\r\n":
            return False
        self.kinds[self.number], self.owners[self.number] = BLANK, stack[-1].owner
        return True

    def _leaf_start(self, sign: str, lazy: bool, in_item: bool) -> bool:
        """Whether a heading, a fence, raw HTML or a thematic break begins here; it is then taken."""
        number, text, start = self.number, self.text, self.start
        if sign == "#" and (found := _ATX.match(text, start)):
            self._close_to(self.matched)
            self._heading(number, found.end() - start, heading_text(text[found.end() :]), in_item)
            return True
        if sign in "`~" and (found := _FENCE.match(text, start)):
            self._close_to(self.matched)
            self._open(number, FENCED, CODE)
            self.fence_mark = found[1] or found[3]
            self.fence_info = (found[2] or found[4] or "").strip()
            return True
        if sign == "<":
            return self._html(lazy)
        if lazy and sign in "=-" and self.matched == len(self.stack) and _SETEXT.match(text, start):
            self._setext(number, 1 if sign == "=" else 2)
            return True
        if sign in "*-_" and _BREAK.match(text, start):
            self._close_to(self.matched)
            self.leaf, self.empty_item = 0, -1
            self.kinds[number] = ITEM if in_item else BREAK
            self.owners[number] = self.stack[-1].owner if self.stack else -1
            return True
        return False

    def _item(self, marker: re.Match[str], lazy: bool) -> bool:
        """Open a list item. False if its marker may not interrupt the paragraph above."""
        stack, text, number = self.stack, self.text, self.number
        start, end = marker.span()
        content = _LEADING.match(text, end).end()  # type: ignore[union-attr]
        empty = content == len(text) or text[content] in "\r\n"
        other_number = end - start > 1 and text[start : end - 1] != "1"
        if lazy and self.matched == len(stack) and (empty or other_number):
            return False
        marker_end = self.column + end - start
        tabs = "\t" in text[end:content]
        content_column = _column(text, content) if tabs else marker_end + content - end
        spaces = content_column - marker_end
        self._close_to(self.matched)
        width = marker_end - self.base + (spaces if 0 < spaces < 5 and not empty else 1)
        stack.append(Container(width, stack[-1].owner if stack else -1, self.base + width))
        self.matched += 1
        self.leaf = 0
        self.kinds[number], self.owners[number] = ITEM, stack[-1].owner
        self.empty_item = number if empty else -1
        self.start, self.column, self.base = content, content_column, self.base + width
        return True

    def _paragraph(self, number: int, text: str, start: int, in_item: bool) -> None:
        begins_item = in_item or self.empty_item >= 0
        self.leaf, self.leaf_start, self.empty_item = PARAGRAPH, number, -1
        if begins_item and text[start] == "[" and (found := _box_at(text, start)):
            container = self.stack[-1]
            self.boxes.append(
                Box(
                    number,
                    found[1],
                    found.start(1),
                    found.end(),
                    len(self.stack) - self.quotes - 1,
                    container.owner,
                    self.folded,
                )
            )
            container.owner = len(self.boxes) - 1
            self.kinds[number] = ITEM
        elif in_item:
            self.kinds[number] = ITEM
        self.owners[number] = self.stack[-1].owner if self.stack else -1

    def _open(self, number: int, leaf: int, kind: int) -> None:
        self.leaf, self.leaf_start, self.empty_item = leaf, number, -1
        self.kinds[number] = kind
        self.owners[number] = self.stack[-1].owner if self.stack else -1

    def _heading(self, number: int, level: int, text: str, in_item: bool) -> None:
        self.leaf, self.empty_item = 0, -1
        self.kinds[number] = ITEM if in_item else HEADING
        self.owners[number] = self.stack[-1].owner if self.stack else -1
        if not self.stack:
            self.headings.append(Heading(number, level, text))

    def _setext(self, number: int, level: int) -> None:
        first = self.leaf_start
        self.leaf, self.setext = 0, number
        self.kinds[number] = HEADING
        self.owners[number] = self.stack[-1].owner if self.stack else -1
        if not self.stack:
            self.kinds[first:number] = bytes([HEADING]) * (number - first)
            self.headings.append(Heading(first, level, " ".join(line.strip() for line in self.lines[first:number])))

    def _html(self, lazy: bool) -> bool:
        """Whether raw HTML begins here; it is then taken, with what will end it."""
        begin = raw_html(self.text, self.start, interrupts=lazy)
        if begin is None:
            return False
        self._close_to(self.matched)
        self._open(self.number, RAW, HTML)
        self.html_end, self.html_folds = begin
        if ends_html(self.html_end, self.text, self.start):
            self.leaf = 0
        return True


def scan(lines: Sequence[str]) -> Blocks:
    """The block structure of lines as `split_lines` gives them. Takes any text; linear in its length."""
    state = begin(lines)
    state.run(front_matter_end(lines), len(lines))
    return finish(state)


def begin(lines: Sequence[str]) -> Scan:
    """The state before the first line behind the front matter."""
    count, first = len(lines), front_matter_end(lines)
    state = Scan(lines, bytearray(count), [-1] * count)
    state.kinds[:first] = bytes([FRONT_MATTER]) * first
    return state


def finish(state: Scan) -> Blocks:
    """What was found, once the last line was taken."""
    unclosed = None
    if state.leaf == FENCED:
        state.fences.append(Fence(state.leaf_start, len(state.lines), state.fence_info, False))
    elif state.leaf == RAW and state.html_end is not None:
        unclosed = state.leaf_start
    return Blocks(state.boxes, state.headings, state.fences, state.kinds, state.owners, unclosed)


def _column(text: str, end: int) -> int:
    """The column of a character, with tab stops at every fourth."""
    column = 0
    for char in text[:end]:
        column = column + 4 - column % 4 if char == "\t" else column + 1
    return column


def _past_quote(text: str, start: int, column: int) -> tuple[int, int, int]:
    """Behind a `>`: (start of the content, base column of the quote, column of the content)."""
    content = _LEADING.match(text, start + 1).end()  # type: ignore[union-attr]
    base = column + 2 if content > start + 1 else column + 1
    return content, base, _column(text, content) if "\t" in text[:content] else column + content - start


def _box_at(text: str, start: int) -> re.Match[str] | None:
    """The box at this place. One letter or digit other than x is a tag, not a box."""
    found = _BOX.match(text, start)
    if found is None:
        return None
    mark = found[1]
    return found if mark in "xX" or not mark[0].isalnum() else None


def heading_text(text: str) -> str:
    """The text of an ATX heading without a closing row of `#`."""
    text = text.strip()
    bare = text.rstrip("#")
    return bare.rstrip() if not bare or bare[-1] in " \t" else text


def _begins_with_box(text: str, start: int) -> bool:
    marker = _MARKER.match(text, start)
    if marker is None:
        return False
    content = _LEADING.match(text, marker.end()).end()  # type: ignore[union-attr]
    return text.startswith("[", content) and _box_at(text, content) is not None
