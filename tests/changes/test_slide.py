"""Hunks are drawn where a person would draw them: at blank lines and at the ends of blocks, as git does."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiro_lsp.changes.changeset import hunks_of
from kiro_lsp.changes.diff import Range, hunk_ranges
from kiro_lsp.changes.model import FileChange
from kiro_lsp.changes.slide import readable
from kiro_lsp.spec.lines import split_lines
from tests.changes.strategies import edited


def ranges_of(old: str, new: str) -> list[Range]:
    before, after = split_lines(old), split_lines(new)
    return readable(hunk_ranges(before, after), before, after)


FUNCTION = "def {0}():\n    if {0}:\n        return 1\n    return 2\n\n\n"
CASES: dict[str, tuple[str, str, list[str]]] = {
    "a function among functions": (
        FUNCTION.format("a") + FUNCTION.format("c"),
        FUNCTION.format("a") + FUNCTION.format("b") + FUNCTION.format("c"),
        [FUNCTION.format("b")],
    ),
    "a block among blocks": (
        "for a:\n    do\nend\nfor c:\n    do\nend\n",
        "for a:\n    do\nend\nfor b:\n    do\nend\nfor c:\n    do\nend\n",
        ["for b:\n    do\nend\n"],
    ),
    "braces": (
        "f {\n  x;\n}\n\ng {\n  x;\n}\n",
        "f {\n  x;\n}\n\nh {\n  x;\n}\n\ng {\n  x;\n}\n",
        ["h {\n  x;\n}\n\n"],
    ),
    "a task among tasks": (
        "- [ ] 1. a\n\n- [ ] 3. c\n",
        "- [ ] 1. a\n\n- [ ] 2. b\n\n- [ ] 3. c\n",
        ["- [ ] 2. b\n\n"],
    ),
    "CRLF": ("a\r\n\r\nc\r\n", "a\r\n\r\nb\r\n\r\nc\r\n", ["b\r\n\r\n"]),
}


@pytest.mark.parametrize("name", CASES)
def test_a_hunk_is_a_whole_block(name: str) -> None:
    old, new, expected = CASES[name]
    added = hunks_of(FileChange("f", "modify", old.encode(), new.encode(), 0o644, 0o644))
    removed = hunks_of(FileChange("f", "modify", new.encode(), old.encode(), 0o644, 0o644))
    assert ["".join(hunk.new) for hunk in added] == expected
    assert ["".join(hunk.old) for hunk in removed] == expected


@given(edited())
@settings(max_examples=300)
def test_moved_ranges_rebuild_the_text_and_never_touch(pair: tuple[str, str]) -> None:
    old, new = (split_lines(text) for text in pair)
    rebuilt: list[str] = []
    position = after = -1
    for a0, a1, b0, b1 in ranges_of(*pair):
        assert a0 > position or position == -1
        assert b0 > after or after == -1
        assert old[max(position, 0) : a0] == new[max(after, 0) : b0]
        rebuilt += [*old[max(position, 0) : a0], *new[b0:b1]]
        position, after = a1, b1
    assert "".join([*rebuilt, *old[max(position, 0) :]]) == pair[1]


CODE = st.lists(
    st.sampled_from(
        ["\n", "def f():\n", "    return\n", "    if x:\n", "        y\n", "}\n", "\tz\n", "  \n", "end\n"]
    ),
    max_size=14,
)


@given(CODE, CODE, CODE)
@settings(max_examples=150)
def test_git_draws_an_added_block_at_the_same_place(before: list[str], block: list[str], after: list[str]) -> None:
    old, new = "".join(before + after), "".join(before + block + after)
    assert ranges_of(old, new) == by_git(old, new)
    assert ranges_of(new, old) == by_git(new, old)


def by_git(old: str, new: str) -> list[Range]:
    with TemporaryDirectory() as folder:
        Path(folder, "old").write_bytes(old.encode())
        Path(folder, "new").write_bytes(new.encode())
        argv = ["git", "diff", "--no-index", "--indent-heuristic", "-U0", "--no-color", "old", "new"]
        shown = subprocess.run(argv, cwd=folder, capture_output=True, check=False).stdout.decode()
    found: list[Range] = []
    for groups in re.findall(r"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", shown, re.M):
        spans = [(int(groups[side]), int(groups[side + 1] or 1)) for side in (0, 2)]
        (a0, a1), (b0, b1) = [(at - 1 if n else at, at - 1 + n if n else at) for at, n in spans]
        found.append((a0, a1, b0, b1))
    return found
