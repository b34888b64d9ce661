"""Parsing never fails, whatever the text, and never takes longer than the text is long."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiro_lsp.spec.tasks import parse, split_lines, summary, tasks_json

KIRO = ".kiro/specs/login/tasks.md"

SNIPPETS = st.sampled_from(
    [
        *[
            "- [ ] 1. a",
            "- [x] 1.1 b",
            "  - [-] c",
            "- [] T001 [P] [US1] d",
            "* [~]* e",
            "1. [✅] f",
            "### [ ] 2. g",
            "### Task 3: h",
        ],
        *[
            "| ID | Task | Status |",
            "|--|--|--|",
            "| 1 | a | done |",
            "```json",
            '{"waves": [[1], {"tasks": ["1.1"]}]}',
            "```",
            "~~~",
        ],
        *[
            "  - _Requirements: 1.1_",
            "  - _Prompt: a",
            "    b_",
            "**Criteria**:",
            "<details>",
            "<!--",
            "-->",
            "---",
            "a: b",
            "",
            "## Legend",
        ],
        *[
            "`[ ] open`, `[~] doing`",
            "T001 → T002",
            "\ufeff",
            "> - [ ] q",
            "\u2028- [ ] x",
            "- [ ] \ud800",
            "\x00",
            "- [ ] (depends on T001)",
        ],
    ]
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(SNIPPETS | st.text(max_size=30), max_size=12).map("\n".join) | st.text(max_size=200),
    st.sampled_from(["", KIRO, "specs/001-a/tasks.md", "x\\y.md", "\x00"]),
)
def test_any_text_can_be_parsed(text: str, path: str) -> None:
    tasks = parse(text, path)
    lines = split_lines(text)
    assert "".join(lines) == text
    keys = [found.key for found in tasks.tasks]
    assert len(set(keys)) == len(keys)
    counts = summary(tasks)
    assert counts.total == counts.open + counts.in_progress + counts.done + counts.blocked + counts.unknown
    for found in tasks.tasks:
        assert found.line < found.end_line <= len(lines)
        assert found.parent is None or found.parent in keys
        assert found.parent != found.key
        if found.mark_column is not None:
            end = found.mark_column + len(found.mark)
            assert lines[found.line][found.mark_column - 1 : end + 1] == f"[{found.mark}]"
    for problem in tasks.problems:
        assert 0 <= problem.line <= max(len(lines) - 1, 0)
    tasks_json(path, tasks)


@pytest.mark.parametrize(
    "unit",
    [
        *[
            "- [ ] 1. a\n",
            "- [ ] a\n",
            "  - _Prompt: a\n",
            "# T1 a\n",
            "### Task 1: a\n",
            "| 1 | a | done |\n",
            "- [ \n",
            "[x]",
            "`[~]` ",
        ],
        *[
            "- [ ] ",
            "- ",
            "> ",
            "  - [ ]\n",
            "T1 → T2\n",
            "T1 → ",
            "```\n",
            "<!--",
            "<details>\n",
            "**a**:\n",
            "_a: b\n",
            "\t",
            " ",
            "\r",
            "|",
        ],
    ],
)
def test_no_text_takes_longer_than_it_is_long(unit: str) -> None:
    """Two hundred thousand characters of one thing; anything quadratic would hit the suite's time limit."""
    text = unit * (200_000 // len(unit))
    parse(text)
    parse(f"- [ ] 1. {text}")


def test_large_files_are_read() -> None:
    """A hundred thousand lines, and a line of a million characters."""
    text = "".join(f"- [ ] {number}. Task\n  - detail\n" for number in range(1, 50_001))
    assert len(parse(text).tasks) == 50_000
    assert len(parse(f"- [ ] 1. {'a b ' * 250_000}\n").tasks) == 1
