"""The kind of a task by its own words: a table, and real tasks that a reader labelled before the rules were tried on them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.selection import agreement, sets
from kiro_lsp.spec import tasks
from kiro_lsp.spec.model import Task
from kiro_lsp.spec.selection import DEFAULT, Analysis, analyse


def task(text: str) -> Task:
    return tasks.parse(text, "tasks.md").tasks[0]


@pytest.mark.parametrize(
    ("text", "kind", "complexity"),
    [
        ("- [ ] 1. Implement the token store", "code-generation", "simple"),
        ("- [ ] 1. Write unit tests for the token store in `tests/test_store.py`", "testing", "simple"),
        ("- [ ] 1. Fix the crash on empty input", "bug-fix", "simple"),
        ("- [ ] 1. Rename `Store` to `Vault` everywhere", "refactor", "simple"),
        ("- [ ] 1. Update README.md with the new flags", "documentation", "simple"),
        ("- [ ] 1. Create user documentation", "documentation", "simple"),
        ("- [ ] 1. Add a regression test", "testing", "simple"),
        ("- [ ] 1. Implement the parser with unit tests", "code-generation", "simple"),
        ("- [ ] 1. Delete `docs/templates/tests.ts`", "refactor", "simple"),
        ("# Tasks Document\n\n- [ ] 1. Add the fallback", "code-generation", "simple"),
        ("- [ ] 1. 新增接口文档", "documentation", "simple"),
        ("- [ ] 1. 修复登录崩溃", "bug-fix", "simple"),
        ("- [ ] 1. ログイン機能を実装", "code-generation", "simple"),
        ("- [ ] 1. Добавить вход по паролю", "code-generation", "simple"),
        ("- [ ] 1. Verificar que el import funciona", "testing", "simple"),
        (
            "- [ ] 1. Create the sign-up flow\n  - form\n  - - -\n"
            + "".join(f"  - step {number} in `src/a{number}.py`\n" for number in range(6))
            + "  - _Requirements: 1.1, 1.2, 2.1_\n",
            "code-generation",
            "complex",
        ),
    ],
)
def test_a_task_is_what_its_words_say(text: str, kind: str, complexity: str) -> None:
    found = analyse(task(text))
    assert (found.kind, found.complexity) == (kind, complexity)
    assert not found.is_guess
    assert found.reasons


def test_a_task_whose_words_say_nothing_is_a_guess() -> None:
    found = analyse(task("- [ ] 1. Colours"))
    assert (found.kind, found.is_guess, found.reasons) == (DEFAULT, True, ("nothing in its words tells",))


@given(st.text(max_size=200))
def test_any_text_has_one_answer(text: str) -> None:
    found = tasks.parse(f"- [ ] 1. {text}", "tasks.md").tasks
    for one in found:
        first, second = analyse(one), analyse(one)
        assert first == second
        assert isinstance(first, Analysis)
        assert 0 <= first.confidence <= 1


@pytest.mark.parametrize(("name", "least", "margin"), [("labels", 48, 20), ("draw 1", 44, 15), ("draw 2", 44, 15)])
def test_real_tasks_are_mostly_recognised_and_better_than_by_always_saying_new_code(
    name: str, least: int, margin: int, shared: Path
) -> None:
    found = agreement(shared / "corpus", sets()[name])
    assert found.asked.total() == 60
    assert found.right.total() >= least, found
    assert found.right.total() >= found.asked[DEFAULT] + margin
    assert found.right["testing"] * 3 >= found.asked["testing"] * 2
    assert found.right[DEFAULT] * 5 >= found.asked[DEFAULT] * 4
