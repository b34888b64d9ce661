"""How much is done below headings and inside tasks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiro_lsp.spec.navigation.progress import progress_of
from kiro_lsp.spec.tasks import parsed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("# P\n\nwords\n", []),
        ("- [ ] 1. a\n- [x] 2. b\n", []),
        ("# P\n\n- [ ] 1. a\n- [x] 2. b\n", [(0, 1, 2)]),
        ("- [ ] 1. a\n  - [x] 1.1 b\n  - [ ] 1.2 c\n", [(0, 1, 2)]),
        ("# P\n## A\n- [x] T001 a\n## B\n- [x] T002 b\n- [ ] T003 c\n", [(0, 2, 3), (1, 1, 1), (3, 1, 2)]),
        ("# P\n- [x] 1. a\n  - [x] 1.1 b\n    - [ ] 1.1.1 c\n  - [x] 1.2 d\n", [(0, 1, 2), (1, 1, 2), (2, 0, 1)]),
    ],
)
def test_progress(text: str, expected: list[tuple[int, int, int]]) -> None:
    assert [tuple(one) for one in progress_of(parsed(text, "tasks.md"))] == expected


@given(
    st.lists(
        st.sampled_from(["# A\n", "## B\n", "- [x] 1. a\n", "  - [ ] 1.1 b\n", "    - [x] c\n", "\n"]), max_size=20
    )
)
def test_counts_are_of_lines_in_order(pieces: list[str]) -> None:
    found = progress_of(parsed("".join(pieces), "tasks.md"))
    assert [one.line for one in found] == sorted({one.line for one in found})
    assert all(0 <= one.done <= one.total and one.total for one in found)
