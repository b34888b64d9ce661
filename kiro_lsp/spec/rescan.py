"""The block structure of an edited text from that of the text before: lines are taken again from a mark above the edit until
the scan stands, at a mark below it, where it stood before; everything after that is as it was, only moved.

A mark is kept at about every sixteenth line that does not go on with a paragraph: a heading underlined below such a line cannot
reach above it. An edit that opens or closes a fence, a comment or raw HTML finds no such place before that ends, at worst
at the end of the text: the scan is then longer, never wrong.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from kiro_lsp.spec.blocks import (
    CONTINUATION,
    FENCED,
    PARAGRAPH,
    RAW,
    Blocks,
    Box,
    Container,
    Fence,
    Heading,
    Scan,
    begin,
    finish,
)
from kiro_lsp.spec.front_matter import front_matter_end
from kiro_lsp.spec.lines import Edit, spliced

_EVERY: Final = 16


class Mark(NamedTuple):
    """The state of a scan before a line, and how much it had found."""

    line: int
    boxes: int
    headings: int
    fences: int
    stack: tuple[tuple[int, int], ...]
    quotes: int
    leaf: int
    leaf_start: int
    empty_item: int
    leaf_end: tuple[Any, ...]
    """What ends an open fence or raw HTML."""
    folded: bool


class Scanned(NamedTuple):
    blocks: Blocks
    marks: Sequence[Mark]


class Region(NamedTuple):
    """What was taken again: lines `first` to `end` of the new text, boxes `box` to `box_end`. All else is as before, moved."""

    first: int
    end: int
    old_end: int
    box: int
    box_end: int
    old_box_end: int
    base: int
    """Boxes above the edited lines themselves."""
    open_boxes: frozenset[int]
    """Boxes that also own lines behind the region."""

    @property
    def boxes_moved(self) -> int:
        return self.box_end - self.old_box_end


def scan_marked(lines: Sequence[str]) -> Scanned:
    """The blocks of a text, with the marks that make it cheap to scan it again."""
    state = begin(lines)
    marks: list[Mark] = []
    _run(state, front_matter_end(lines), len(lines), marks)
    return Scanned(finish(state), marks)


def rescan(old: Scanned, old_count: int, lines: Sequence[str], edit: Edit) -> tuple[Scanned, Region] | None:
    """The same for an edited text, and what of it was taken again; None where only a whole scan will do."""
    if not old.marks or _front_matter_moves(old, old_count, lines, edit):
        return None
    first = bisect_right(old.marks, edit.start, key=_line) - 1
    if first >= 0 and old.marks[first].line == edit.start and old.marks[first].leaf == PARAGRAPH:
        first -= 1  # the edited line may now go on with the paragraph above
    if first < 0:
        return None
    return _Rescan(old, lines, edit, first).run()


def _line(mark: Mark) -> int:
    return mark.line


def _front_matter_moves(old: Scanned, old_count: int, lines: Sequence[str], edit: Edit) -> bool:
    """Whether the edit may change where the front matter ends, which depends on the first lines alone."""
    end = front_matter_end(lines)
    return end != old.marks[0].line or edit.start < end or old_count == 0


class _Rescan:
    def __init__(self, old: Scanned, lines: Sequence[str], edit: Edit, first: int) -> None:
        self.old, self.lines, self.edit, self.first = old, lines, edit, first
        mark = self.mark = old.marks[first]
        blocks = old.blocks
        self.base = bisect_left(blocks.boxes, edit.start, key=_box_line)
        """Boxes above the edit: the same in both texts."""
        kinds = blocks.kinds.copy()
        kinds[edit.start : edit.old_end] = bytes(edit.new_end - edit.start)
        owners = spliced(blocks.owners, edit.start, edit.old_end, [-1] * (edit.new_end - edit.start))
        state = self.state = Scan(lines, kinds, owners)
        state.boxes = blocks.boxes[: mark.boxes]
        state.headings = blocks.headings[: mark.headings]
        state.fences = blocks.fences[: mark.fences]
        _restore(state, mark)
        self.marks: list[Mark] = list(old.marks[:first])

    def run(self) -> tuple[Scanned, Region]:
        old_marks, edit, at = self.old.marks, self.edit, self.mark.line
        candidate = bisect_left(old_marks, edit.old_end, self.first, key=_line)
        while candidate < len(old_marks):
            target = old_marks[candidate].line + edit.moved
            self._take(at, target)
            at = target
            if self._stands_as(old_marks[candidate]):
                return self._joined(candidate)
            candidate += 1
        self._take(at, len(self.lines))
        region = Region(
            self.mark.line,
            len(self.lines),
            len(self.lines) - edit.moved,
            self.mark.boxes,
            len(self.state.boxes),
            len(self.old.blocks.boxes),
            self.base,
            frozenset(),
        )
        return Scanned(finish(self.state), self.marks), region

    def _take(self, first: int, end: int) -> None:
        state = self.state
        state.kinds[first:end] = bytes(end - first)
        state.owners[first:end] = [-1] * (end - first)
        _run(state, first, end, self.marks)

    def _line_now(self, line: int) -> int:
        """Where a line of the old text is now, if it is outside the edit."""
        return line if line < self.edit.start else line + self.edit.moved

    def _stands_as(self, mark: Mark) -> bool:
        """Whether the scan stands where it stood at a mark of the old text."""
        state, now = self.state, _mark(self.state, 0)
        if (now.leaf, now.quotes, now.leaf_end, now.folded) != (mark.leaf, mark.quotes, mark.leaf_end, mark.folded):
            return False
        shift = len(state.boxes) - mark.boxes
        return (
            now.stack == tuple((width, self._owner_now(owner, shift)) for width, owner in mark.stack)
            # A box that is gone must not be taken for one above it.
            and all(owner < self.base or owner + shift >= self.base for _, owner in mark.stack)
            and (mark.leaf_start < 0 or now.leaf_start == self._line_now(mark.leaf_start))
            and now.empty_item == (-1 if mark.empty_item < 0 else self._line_now(mark.empty_item))
            and (now.leaf_start < 0) == (mark.leaf_start < 0)
        )

    def _owner_now(self, owner: int, shift: int) -> int:
        return owner if owner < self.base else owner + shift

    def _joined(self, candidate: int) -> tuple[Scanned, Region]:
        """The scan so far and the rest of the old one, moved."""
        mark, state, blocks, moved = self.old.marks[candidate], self.state, self.old.blocks, self.edit.moved
        region = Region(
            self.mark.line,
            mark.line + moved,
            mark.line,
            self.mark.boxes,
            len(state.boxes),
            mark.boxes,
            self.base,
            frozenset(container.owner for container in state.stack if container.owner >= 0),
        )
        shift, headings_moved = len(state.boxes) - mark.boxes, len(state.headings) - mark.headings
        fences_moved = len(state.fences) - mark.fences
        boxes, headings, fences = (
            blocks.boxes[mark.boxes :],
            blocks.headings[mark.headings :],
            blocks.fences[mark.fences :],
        )
        marks = self.old.marks[candidate:]
        if shift or moved:
            boxes = [self._box_now(box, shift) for box in boxes]
            headings = [Heading(heading.line + moved, heading.level, heading.text) for heading in headings]
            fences = [
                Fence(self._line_now(fence.start), fence.end + moved, fence.info, fence.closed) for fence in fences
            ]
        if shift:
            base = self.base
            owners = state.owners[region.end :]
            state.owners[region.end :] = [owner if owner < base else owner + shift for owner in owners]
        if shift or moved or headings_moved or fences_moved:
            marks = [self._mark_now(item, shift, headings_moved, fences_moved) for item in marks]
        state.boxes += boxes
        state.headings += headings
        state.fences += fences
        unclosed = None if blocks.unclosed_html is None else self._line_now(blocks.unclosed_html)
        joined = Blocks(state.boxes, state.headings, state.fences, state.kinds, state.owners, unclosed)
        return Scanned(joined, [*self.marks, *marks]), region

    def _box_now(self, box: Box, shift: int) -> Box:
        parent = box.parent if box.parent < self.base else box.parent + shift
        return Box(box.line + self.edit.moved, box.mark, box.mark_column, box.after, box.depth, parent, box.folded)

    def _mark_now(self, mark: Mark, shift: int, headings_moved: int, fences_moved: int) -> Mark:
        return Mark(
            mark.line + self.edit.moved,
            mark.boxes + shift,
            mark.headings + headings_moved,
            mark.fences + fences_moved,
            tuple((width, self._owner_now(owner, shift)) for width, owner in mark.stack),
            mark.quotes,
            mark.leaf,
            mark.leaf_start if mark.leaf_start < 0 else self._line_now(mark.leaf_start),
            mark.empty_item if mark.empty_item < 0 else self._line_now(mark.empty_item),
            mark.leaf_end,
            mark.folded,
        )


def _box_line(box: Box) -> int:
    return box.line


def _run(state: Scan, number: int, end: int, marks: list[Mark]) -> None:
    """Take lines up to `end`, and leave a mark at about every sixteenth that does not go on with a paragraph."""
    while number < end:
        mark = _mark(state, number)
        state.run(number, number + 1)
        if state.kinds[number] == CONTINUATION or state.setext == number:
            number += 1
        else:
            marks.append(mark)
            stop = min(end, number + _EVERY)
            state.run(number + 1, stop)
            number = stop


def _mark(state: Scan, line: int) -> Mark:
    leaf = state.leaf
    ends: tuple[Any, ...] = ()
    if leaf == FENCED:
        ends = (state.fence_mark, state.fence_info)
    elif leaf == RAW:
        ends = (state.html_end, state.html_folds)
    return Mark(
        line,
        len(state.boxes),
        len(state.headings),
        len(state.fences),
        tuple([(container.width, container.owner) for container in state.stack]),
        state.quotes,
        leaf,
        state.leaf_start if leaf in (FENCED, RAW) else -1,
        state.empty_item,
        ends,
        state.folded,
    )


def _restore(state: Scan, mark: Mark) -> None:
    content = 0
    for width, owner in mark.stack:
        content += max(width, 0)
        state.stack.append(Container(width, owner, content))
    state.quotes, state.leaf, state.leaf_start = mark.quotes, mark.leaf, mark.leaf_start
    state.empty_item, state.folded = mark.empty_item, mark.folded
    if mark.leaf == FENCED:
        state.fence_mark, state.fence_info = mark.leaf_end
    elif mark.leaf == RAW:
        state.html_end, state.html_folds = mark.leaf_end
