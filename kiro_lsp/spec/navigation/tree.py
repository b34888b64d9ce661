"""A file as a tree: headings by their level, tasks below them, sub-tasks below tasks. What contains a line contains its node."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
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
    tree = _nodes(found.headings, tasks)
    lines, _, rows, levels, above, ends = tree
    parents = () if tasks is None else tasks.parents
    stack: list[int] = []
    for node, (line, row, level) in enumerate(zip(lines, rows, levels, strict=True)):
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
        if stack:
            above[node] = stack[-1] if len(stack) <= _DEEPEST else stack[_DEEPEST - 1]
        stack.append(node)
    end = _filled(text, len(text))
    for node in stack:
        ends[node] = max(lines[node] + 1, end)
    return tree


def _nodes(headings: Sequence[Heading], tasks: Rows | None) -> Tree:
    """The nodes in the order of lines, each by itself. Tasks between two headings are taken together."""
    tree = Tree([], [], [], [], [], [])
    starts: Sequence[int] = () if tasks is None else tasks.lines
    names = [] if tasks is None else list(map(_named, tasks.ids, tasks.titles))
    row = 0
    for heading in headings:
        behind = bisect_left(starts, heading.line, row)
        _add_tasks(tree, starts, names, row, behind)
        row = behind
        if row < len(starts) and starts[row] == heading.line:  # a task that stands in a heading
            tree.names.append(names[row])
            tree.rows.append(row)
            row += 1
        else:
            tree.names.append(heading.text.strip())
            tree.rows.append(-1)
        tree.lines.append(heading.line)
        tree.levels.append(heading.level)
    _add_tasks(tree, starts, names, row, len(starts))
    tree.above.extend([-1] * len(tree.lines))
    tree.ends.extend([0] * len(tree.lines))
    return tree


def _add_tasks(tree: Tree, starts: Sequence[int], names: Sequence[str], first: int, end: int) -> None:
    tree.lines.extend(starts[first:end])
    tree.names.extend(names[first:end])
    tree.rows.extend(range(first, end))
    tree.levels.extend([0] * (end - first))


def _named(identifier: str | None, title: str) -> str:
    return (f"{identifier} {title}" if identifier else title).strip()


def _filled(lines: Sequence[str], end: int) -> int:
    """First line after the last one before `end` that is not blank."""
    while end and (not lines[end - 1] or lines[end - 1].isspace()):
        end -= 1
    return end
