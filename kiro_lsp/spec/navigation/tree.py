"""A file as a tree: headings by their level, tasks below them, sub-tasks below tasks. What contains a line contains its node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from kiro_lsp.spec.model import Task
from kiro_lsp.spec.tasks import Parsed

_DEEPEST: Final = 50
"""Below so many levels nodes stand beside each other, so that no reader of the answer meets its own limit."""


@dataclass(slots=True)
class Node:
    line: int
    name: str
    task: Task | None
    """None for a heading."""
    level: int = 0
    """Of a heading, 1 is the outermost; 0 for a task in a list."""
    end_line: int = 0
    """First line after everything below it, blank lines at the end left out."""
    children: list[Node] = field(default_factory=list)


def tree_of(parsed: Parsed, *, with_tasks: bool = True) -> list[Node]:
    """The outermost nodes in the order of the file."""
    tasks = parsed.task_list.tasks if with_tasks else ()
    last = _last_lines(parsed.lines)
    roots: list[Node] = []
    stack: list[Node] = []
    for node in _nodes(parsed, tasks):
        while stack and not _holds(stack[-1], node):
            _close(stack.pop(), node.line, last)
        above = stack[: _DEEPEST - 1]
        (above[-1].children if above else roots).append(node)
        stack.append(node)
    while stack:
        _close(stack.pop(), len(parsed.lines), last)
    return roots


def walk(roots: Sequence[Node]) -> list[tuple[Node, Node | None]]:
    """Every node with the one above it, in the order of the file."""
    found: list[tuple[Node, Node | None]] = []
    waiting: list[tuple[Node, Node | None]] = [(node, None) for node in reversed(roots)]
    while waiting:
        node, above = waiting.pop()
        found.append((node, above))
        waiting.extend((child, node) for child in reversed(node.children))
    return found


def _nodes(parsed: Parsed, tasks: Sequence[Task]) -> list[Node]:
    levels = {heading.line: heading.level for heading in parsed.blocks.headings}
    named = [Node(task.line, _name(task), task, levels.get(task.line, 0)) for task in tasks]
    taken = {task.line for task in tasks}
    named.extend(
        Node(heading.line, heading.text.strip(), None, heading.level)
        for heading in parsed.blocks.headings
        if heading.line not in taken
    )
    return sorted(named, key=lambda node: node.line)


def _name(task: Task) -> str:
    return f"{task.id} {task.title}".strip() if task.id else task.title.strip()


def _holds(outer: Node, inner: Node) -> bool:
    if inner.level:
        return 0 < outer.level < inner.level
    if outer.level:
        return True
    parent = inner.task.parent if inner.task is not None else None
    return outer.task is not None and parent is not None and outer.task.key == parent


def _close(node: Node, line: int, last: Sequence[int]) -> None:
    node.end_line = max(node.line, last[line - 1] if line else 0) + 1


def _last_lines(lines: Sequence[str]) -> list[int]:
    """For each line the nearest one at or above it that is not blank."""
    found: list[int] = []
    latest = 0
    for number, line in enumerate(lines):
        if line and not line.isspace():
            latest = number
        found.append(latest)
    return found
