"""The kind of a task by its own words: a table, and sixty real tasks that were labelled before the rules were written."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiro_lsp.spec import tasks
from kiro_lsp.spec.model import Task
from kiro_lsp.spec.selection import DEFAULT, Analysis, analyse

LABELS = Path(__file__).parent.parent / "executors" / "selection_labels.toml"


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


def test_real_tasks_are_mostly_recognised_and_better_than_by_always_saying_new_code(shared: Path) -> None:
    corpus = shared / "corpus"
    right: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for label in tomllib.loads(LABELS.read_text("utf-8"))["task"]:
        text = (corpus / label["file"]).read_text("utf-8", "replace")
        found = next(one for one in tasks.parse(text, label["file"]).tasks if one.key == label["key"])
        asked[label["type"]] += 1
        right[label["type"]] += analyse(found).kind == label["type"]
    assert asked.total() == 60
    assert right.total() >= 48, right
    assert right.total() >= asked[DEFAULT] + 15
    assert right["testing"] * 4 >= asked["testing"] * 3
