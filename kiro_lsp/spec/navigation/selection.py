"""What a selection grows to: word, title, line, task with its body, sub-tree, phase, file."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Final

from kiro_lsp.spec.assemble import Parsed
from kiro_lsp.spec.editing.edits import without_end
from kiro_lsp.spec.editing.places import title_column
from kiro_lsp.spec.navigation.tree import Node

Point = tuple[int, int]
_WORD: Final = re.compile(r"\w+(?:[.\-]\w+)*")
_LONGEST_LINE: Final = 5000
_INDENT: Final = re.compile(r"[ \t]*")


def grown(parsed: Parsed, roots: Sequence[Node], line: int, column: int) -> list[tuple[Point, Point]]:
    """Spans around a place, the smallest first, each inside the next and smaller; at least one, whatever the place."""
    lines = parsed.lines
    if not lines:
        return [((0, 0), (0, 0))]
    line = min(max(line, 0), len(lines) - 1)
    at = (line, min(max(column, 0), len(without_end(lines[line]))))
    found: list[tuple[Point, Point]] = []
    for start, end in _around(parsed, roots, at):
        if not start <= at <= end:
            continue
        if not found or (start <= found[-1][0] and end >= found[-1][1] and (start, end) != found[-1]):
            found.append((start, end))
    return found


def _around(parsed: Parsed, roots: Sequence[Node], at: Point) -> Iterator[tuple[Point, Point]]:
    lines, (line, column) = parsed.lines, at
    text = without_end(lines[line])
    path = _path(roots, line)
    if len(text) <= _LONGEST_LINE:
        for match in _WORD.finditer(text):
            if match.start() <= column <= match.end():
                yield (line, match.start()), (line, match.end())
                break
    task = path[-1].task if path and path[-1].line == line else None
    begins = title_column(text, task) if task is not None else None
    if begins is not None:
        yield (line, begins), (line, len(text.rstrip()))
    indent = _INDENT.match(text)
    yield (line, indent.end() if indent is not None else 0), (line, len(text.rstrip()))
    yield (line, 0), (line, len(text))
    for node in reversed(path):
        if node.task is not None and line < node.task.end_line:
            yield (node.line, 0), _end(lines, node.line, node.task.end_line)
        yield (node.line, 0), _end(lines, node.line, node.end_line)
    last = len(lines) - 1
    yield (0, 0), (last, len(without_end(lines[last])))


def _path(roots: Sequence[Node], line: int) -> list[Node]:
    """The nodes that hold a line, the outermost first."""
    found: list[Node] = []
    nodes = roots
    while nodes:
        place = bisect_right(nodes, line, key=lambda node: node.line) - 1
        if place < 0 or line >= nodes[place].end_line:
            break
        found.append(nodes[place])
        nodes = nodes[place].children
    return found


def _end(lines: Sequence[str], first: int, after: int) -> Point:
    """The end of the last line before `after` that is not blank."""
    last = min(after, len(lines)) - 1
    while last > first and not lines[last].strip():
        last -= 1
    return last, len(without_end(lines[last]))
