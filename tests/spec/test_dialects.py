"""Which dialect a file is written in, and what its marks mean."""

from __future__ import annotations

import pytest

from kiro_lsp.spec.model import Dialect, TaskStatus
from kiro_lsp.spec.tasks import is_task_file, parse

KIRO = ".kiro/specs/login/tasks.md"
OPENSPEC_FILE = """\
## 1. Core

- [x] 1.1 Create `src/a.ts`
- [ ] 1.2 Test it

## 2. Docs

- [ ] 2.1 Write them
"""

NUMBERED = "- [ ] 1. A\n  - _Requirements: 1_\n- [ ] 1.1 B\n"
T_IDS = "- [ ] T001 [P] [US1] A\n- [ ] T002 [US1] B\n"


@pytest.mark.parametrize(
    ("path", "text", "dialect"),
    [
        (".kiro/specs/a/b/tasks.md", "- [ ] a\n", "kiro"),
        ("C:\\p\\.kiro\\specs\\a\\tasks.md", "- [ ] a\n", "kiro"),
        (".sce/specs/a/tasks.md", "- [ ] a\n", "kiro"),
        ("/home/u/p/.spec-workflow/specs/a/tasks.md", NUMBERED, "spec-workflow"),
        (".spec-workflow/archive/specs/a/tasks.md", NUMBERED, "spec-workflow"),
        (".claude/specs/a/tasks.md", "- [ ] 1. A\n", "spec-workflow"),
        ("openspec/changes/a/tasks.md", "- [ ] a\n", "openspec"),
        ("openspec/changes/archive/2025-01-01-a/tasks.md", OPENSPEC_FILE, "openspec"),
        ("specs/001-a/tasks.md", "- [ ] a\n", "spec-kit"),
        ("specs/001-a/tasks.md", "- [ ] T001 a\n", "spec-kit"),
        ("specs/001-a/tasks.md", NUMBERED, "kiro"),
        ("specs/001-a/tasks.md", OPENSPEC_FILE, "openspec"),
        (".specify/specs/001-a/tasks.md", "- [ ] a\n", "spec-kit"),
        ("kitty-specs/a/tasks/WP01-x.md", "- [ ] a\n", "spec-kit"),
        ("tasks.md", NUMBERED, "kiro"),
        ("tasks.md", T_IDS, "spec-kit"),
        (".kiro/specs/a/tasks.md", T_IDS, "spec-kit"),
        ("TODO.md", "- [ ] a\n- [x] b\n", "checklist"),
        ("", "", "checklist"),
    ],
)
def test_the_path_is_a_hint_and_the_content_decides(path: str, text: str, dialect: Dialect) -> None:
    assert parse(text, path).dialect == dialect


@pytest.mark.parametrize(
    ("path", "mark", "status"),
    [
        *((path, " ", "open") for path in ("a.md", KIRO, "specs/001-a/tasks.md", "openspec/changes/a/tasks.md")),
        *((path, "", "open") for path in ("a.md", KIRO)),
        *(
            (path, "x", "done")
            for path in ("a.md", KIRO, "openspec/changes/a/tasks.md", ".spec-workflow/specs/a/tasks.md")
        ),
        *((path, "X", "done") for path in ("a.md", KIRO, "kitty-specs/a/tasks.md", ".spec-workflow/specs/a/tasks.md")),
        *((path, "✅", "done") for path in ("a.md", KIRO)),
        (KIRO, "-", "in-progress"),
        (".spec-workflow/specs/a/tasks.md", "-", "in-progress"),
        ("kitty-specs/a/tasks.md", "-", "unknown"),
        ("openspec/changes/a/tasks.md", "-", "unknown"),
        ("a.md", "-", "unknown"),
        (KIRO, "~", "unknown"),
        (".spec-workflow/specs/a/tasks.md", "~", "blocked"),
        ("kitty-specs/a/tasks.md", "~", "unknown"),
        ("openspec/changes/a/tasks.md", "~", "unknown"),
        ("kitty-specs/a/tasks.md", "/", "in-progress"),
        ("kitty-specs/a/tasks.md", ">", "in-progress"),
        ("kitty-specs/a/tasks.md", "!", "blocked"),
        ("a.md", "/", "in-progress"),
        ("a.md", "!", "blocked"),
        (KIRO, "/", "unknown"),
        ("a.md", "❌", "unknown"),
        ("a.md", "?", "unknown"),
    ],
)
def test_a_mark_means_what_its_dialect_says(path: str, mark: str, status: TaskStatus) -> None:
    (found,) = parse(f"- [{mark}] a\n", path).tasks
    assert (found.mark, found.status) == (mark, status)


@pytest.mark.parametrize(
    "legend",
    [
        "States: `[ ] not started`, `[~] in progress`, `[!] blocked`, `[-] dropped`, `[x] done`.",
        "**Legend**: [ ] open | [~] doing | [!] blocked | [-] won't do | [x] done",
        "| Mark | Meaning |\n|--|--|\n| `[ ]` | Pending |\n| `[~]` | In progress |\n| `[!]` | Blocked |\n| `[-]` | Skipped |",
        "Estados: `[ ] não iniciada`, `[~] em andamento`, `[!] bloqueada`, `[-] descartada`, `[x] concluída`.",
        "> `[ ]` 未开始 `[~]` 进行中 `[!]` 阻塞 `[-]` 取消 `[x]` 已完成",
    ],
)
def test_a_legend_in_the_file_wins(legend: str) -> None:
    tasks = parse(
        f"# T\n\n{legend}\n\n- [ ] a\n- [~] b\n- [!] c\n- [x] d\n- [-] e\n", ".spec-workflow/specs/a/tasks.md"
    ).tasks
    assert [found.status for found in tasks] == ["open", "in-progress", "blocked", "done", "unknown"]
    assert [found.withdrawn for found in tasks] == [False, False, False, False, True]


def test_the_list_of_a_legend_holds_no_tasks() -> None:
    tasks = parse("## Legend\n\n- [ ] Not started\n- [~] In progress\n- [x] Done\n\n## Tasks\n\n- [~] a\n", KIRO)
    assert [(found.title, found.status) for found in tasks.tasks] == [("a", "in-progress")]


def test_prose_that_shows_one_mark_is_no_legend() -> None:
    assert parse("Mark `[x]` when done.\n\n- [x] a\n").legend == {}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("tasks.md", True),
        (".kiro/specs/a/tasks.md", True),
        ("C:\\p\\.kiro\\specs\\a\\Tasks.md", True),
        ("kitty-specs/a/tasks/WP01-core.md", True),
        ("tickets/002.md", True),
        ("TODO.md", True),
        ("README.md", False),
        ("requirements.md", False),
        ("tasks.py", False),
        ("node_modules/x/tasks.md", False),
        (".spec-workflow/templates/tasks.md", False),
    ],
)
def test_which_files_may_be_task_files(path: str, expected: bool) -> None:
    assert is_task_file(path) is expected
