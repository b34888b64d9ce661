"""What a selection grows to: word, title, line, task with its body, sub-tree, phase, file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from kiro_lsp.spec.assemble import Parsed
from kiro_lsp.spec.editing.edits import without_end
from kiro_lsp.spec.editing.places import title_column
from kiro_lsp.spec.navigation.tree import Tree

Point = tuple[int, int]
_WORD: Final = re.compile(r"\w+(?:[.\-]\w+)*")
_LONGEST_LINE: Final = 5000
_INDENT: Final = re.compile(r"[ \t]*")


def grown(parsed: Parsed, tree: Tree, line: int, column: int) -> list[tuple[Point, Point]]:
    """Spans around a place, the smallest first, each inside the next and smaller; at least one, whatever the place."""
    lines = parsed.lines
    if not lines:
        return [((0, 0), (0, 0))]
    if line >= len(lines) and without_end(lines[-1]) != lines[-1]:
        end = (len(lines), 0)  # behind the last line end, where a cursor stands in a line that holds nothing
        return [(end, end), ((0, 0), end)]
    line = min(max(line, 0), len(lines) - 1)
    at = (line, min(max(column, 0), len(without_end(lines[line]))))
    found: list[tuple[Point, Point]] = []
    for start, end in _around(parsed, tree, at):
        if not start <= at <= end:
            continue
        if not found or (start <= found[-1][0] and end >= found[-1][1] and (start, end) != found[-1]):
            found.append((start, end))
    return found


def _around(parsed: Parsed, tree: Tree, at: Point) -> Iterator[tuple[Point, Point]]:
    lines, (line, column) = parsed.lines, at
    text = without_end(lines[line])
    path, tasks = tree.path(line), parsed.task_list.tasks
    task_of = {node: tasks[tree.rows[node]] for node in path if tree.rows[node] >= 0}
    if len(text) <= _LONGEST_LINE:
        for match in _WORD.finditer(text):
            if match.start() <= column <= match.end():
                yield (line, match.start()), (line, match.end())
                break
    task = task_of.get(path[-1]) if path and tree.lines[path[-1]] == line else None
    begins = title_column(text, task) if task is not None else None
    if begins is not None:
        yield (line, begins), (line, len(text.rstrip()))
    indent = _INDENT.match(text)
    yield (line, indent.end() if indent is not None else 0), (line, len(text.rstrip()))
    yield (line, 0), (line, len(text))
    for node in reversed(path):
        first = tree.lines[node]
        if node in task_of and line < task_of[node].end_line:
            yield (first, 0), _end(lines, first, task_of[node].end_line)
        yield (first, 0), _end(lines, first, tree.ends[node])
    last = len(lines) - 1
    yield (0, 0), (last, len(without_end(lines[last])))


def _end(lines: Sequence[str], first: int, after: int) -> Point:
    """The end of the last line before `after` that is not blank."""
    last = min(after, len(lines)) - 1
    while last > first and not lines[last].strip():
        last -= 1
    return last, len(without_end(lines[last]))
