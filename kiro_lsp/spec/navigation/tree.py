"""A file as a tree: headings by their level, tasks below them, sub-tasks below tasks. What contains a line contains its node."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, Protocol

from kiro_lsp.spec.blocks import Heading

_DEEPEST: Final = 50
"""Below so many levels nodes stand beside each other, so that no reader of the answer meets its own limit."""


class Rows(Protocol):
    """The tasks column by column, as far as a tree needs them."""

    @property
    def lines(self) -> Sequence[int]: ...
    @property
    def ids(self) -> Sequence[str | None]: ...
    @property
    def titles(self) -> Sequence[str]: ...
    @property
    def parents(self) -> Sequence[int]: ...


class Outlined(Protocol):
    """A file of which headings and tasks are known: read (`assemble.Parsed`) or skimmed."""

    @property
    def lines(self) -> Sequence[str]: ...
    @property
    def headings(self) -> Sequence[Heading]: ...
    @property
    def rows(self) -> Rows: ...


class Tree(NamedTuple):
    """The nodes column by column, in the order of the file: an outline is asked for after every keystroke."""

    lines: list[int]
    names: list[str]
    rows: list[int]
    """Index of the task among the tasks of the file, -1 for a heading."""
    levels: list[int]
    """Of a heading, 1 is the outermost; 0 for a task in a list."""
    above: list[int]
    """Index of the node that this one is in, always a smaller one; -1 for an outermost one."""
    ends: list[int]
    """First line after everything below the node, blank lines at the end left out."""

    def path(self, line: int) -> list[int]:
        """The nodes that hold a line, the outermost first."""
        node = bisect_right(self.lines, line) - 1
        while node >= 0 and line >= self.ends[node]:
            node = self.above[node]
        found = []
        while node >= 0:
            found.append(node)
            node = self.above[node]
        return found[::-1]


def tree_of(found: Outlined, *, with_tasks: bool = True) -> Tree:
    """The headings and tasks of a file; without tasks for a file in which boxes are no tasks."""
    text, tasks = found.lines, found.rows if with_tasks else None
    tree = Tree([], [], [], [], [], [])
    lines, names, rows, levels, above, ends = tree
    parents = () if tasks is None else tasks.parents
    stack: list[int] = []
    for node, (line, name, row, level) in enumerate(_nodes(found.headings, tasks)):
        parent = parents[row] if row >= 0 and not level else -1
        end = -1
        while stack:
            top = stack[-1]
            if (0 < levels[top] < level) if level else (levels[top] or (parent >= 0 and rows[top] == parent)):
                break
            if end < 0:
                end = line if not text[line - 1].isspace() else _filled(text, line)
            ends[top] = end if end > lines[top] else lines[top] + 1
            stack.pop()
        lines.append(line)
        names.append(name)
        rows.append(row)
        levels.append(level)
        above.append(stack[min(len(stack), _DEEPEST - 1) - 1] if stack else -1)
        ends.append(0)
        stack.append(node)
    end = _filled(text, len(text))
    for node in stack:
        ends[node] = max(lines[node] + 1, end)
    return tree


def _nodes(headings: Sequence[Heading], tasks: Rows | None) -> Iterator[tuple[int, str, int, int]]:
    """(line, name, row, level) of every node in the order of lines."""
    count = len(headings)
    at = 0
    if tasks is not None:
        for row, (line, identifier, title) in enumerate(zip(tasks.lines, tasks.ids, tasks.titles, strict=True)):
            level = 0
            while at < count and headings[at].line <= line:
                heading = headings[at]
                at += 1
                if heading.line == line:
                    level = heading.level  # a task that stands in a heading
                else:
                    yield heading.line, heading.text.strip(), -1, heading.level
            yield line, (f"{identifier} {title}" if identifier else title).strip(), row, level
    for heading in headings[at:]:
        yield heading.line, heading.text.strip(), -1, heading.level


def _filled(lines: Sequence[str], end: int) -> int:
    """First line after the last one before `end` that is not blank."""
    while end and (not lines[end - 1] or lines[end - 1].isspace()):
        end -= 1
    return end
