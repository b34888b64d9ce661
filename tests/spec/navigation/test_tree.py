"""A file's headings and tasks as a tree whose nodes lie inside each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiro_lsp.spec.navigation.tree import Tree, tree_of
from kiro_lsp.spec.tasks import parsed

PIECES = [
    "# A\n",
    "## B\n",
    "- [ ] 1. a\n",
    "  - [x] 1.1 b\r\n",
    "- [ ] 1.2 c\n",
    "\n",
    "    text \U0001f600\n",
    "```\n",
    "- [-] T1 z\r",
]


def shape(tree: Tree, above: int = -1) -> list[object]:
    nodes = [node for node, outer in enumerate(tree.above) if outer == above]
    return [(tree.names[node], tree.lines[node], tree.ends[node], shape(tree, node)) for node in nodes]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (
            "# P\n\n- [ ] 1. a\n  - [x] 1.1 b\n\n- [ ] 2. c\n\n",
            [("P", 0, 6, [("1 a", 2, 4, [("1.1 b", 3, 4, [])]), ("2 c", 5, 6, [])])],
        ),
        ("# P\n## Q\n# R\n", [("P", 0, 2, [("Q", 1, 2, [])]), ("R", 2, 3, [])]),
        (
            "## One\n- [ ] T001 a\n## Two\n- [ ] T002 b",
            [("One", 0, 2, [("T001 a", 1, 2, [])]), ("Two", 2, 4, [("T002 b", 3, 4, [])])],
        ),
    ],
)
def test_tree(text: str, expected: list[object]) -> None:
    assert shape(tree_of(parsed(text, "tasks.md"))) == expected


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_nodes_lie_inside_the_node_above_and_none_is_lost(text: str) -> None:
    found = parsed(text, "tasks.md")
    tree = tree_of(found)
    assert [row for row in tree.rows if row >= 0] == list(range(len(found.task_list.tasks)))
    assert tree.lines == sorted(tree.lines)
    for node, (line, end, above) in enumerate(zip(tree.lines, tree.ends, tree.above, strict=True)):
        assert line < end <= len(found.lines)
        assert above < node
        assert above < 0 or tree.lines[above] <= line < end <= tree.ends[above]
    for line in range(len(found.lines)):
        holding = [node for node, first in enumerate(tree.lines) if first <= line < tree.ends[node]]
        assert tree.path(line) == holding
