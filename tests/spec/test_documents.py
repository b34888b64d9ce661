"""Which documents each dialect keeps, in which order, and when steering applies."""

from __future__ import annotations

import pytest

from kiro_lsp.spec.documents import applies, document_patterns, front_matter, matches, select, spec_folder

KIRO = ".kiro/specs/login/tasks.md"


def order(dialect: str, task_path: str, *paths: str) -> list[str]:
    docs = {path: f"text of {path}" for path in paths}
    return [document.path for document in select(dialect, task_path, docs).stable]


@pytest.mark.parametrize(
    ("dialect", "task_path", "in_order", "not_sent"),
    [
        (
            "kiro",
            KIRO,
            [
                ".kiro/steering/product.md", ".kiro/steering/tech.md", "AGENTS.md", "CLAUDE.md", "GEMINI.md",
                ".kiro/specs/login/requirements.md", ".kiro/specs/login/design.md", ".kiro/specs/login/research.md",
            ],
            [
                ".kiro/specs/other/requirements.md", ".kiro/steering/archive/old.md", ".kiro/specs/login/notes.md",
                ".spec-workflow/steering/tech.md", KIRO, ".kiro/settings/templates/specs/requirements.md",
            ],
        ),
        (
            "kiro",
            "apps/web/.kiro/specs/箱子/fix it/tasks.md",
            [
                ".kiro/steering/tech.md", "apps/web/.kiro/steering/tech.md", "AGENTS.md", "apps/web/AGENTS.md",
                "apps/web/.kiro/specs/箱子/fix it/bugfix.md", "apps/web/.kiro/specs/箱子/fix it/design.md",
            ],
            ["apps/other/AGENTS.md"],
        ),
        (
            "spec-kit",
            "specs/001-login/tasks.md",
            [
                ".specify/memory/constitution.md", "AGENTS.md", "specs/001-login/spec.md", "specs/001-login/plan.md",
                "specs/001-login/research.md", "specs/001-login/data-model.md", "specs/001-login/contracts/api.yaml",
                "specs/001-login/contracts/v2/api.md", "specs/001-login/quickstart.md",
                "specs/001-login/checklists/requirements.md",
            ],
            ["specs/001-login/contracts/logo.png", "specs/002-x/spec.md", ".kiro/steering/tech.md"],
        ),
        (
            "kiro",
            "specs/002-numbered/tasks.md",
            [".specify/memory/constitution.md", ".kiro/steering/tech.md", "specs/002-numbered/spec.md"],
            [],
        ),
        (
            "spec-kit",
            "kitty-specs/057-x/tasks/WP01-first.md",
            [
                ".kittify/constitution/constitution.md", "kitty-specs/057-x/spec.md", "kitty-specs/057-x/plan.md",
                "kitty-specs/057-x/tasks.md",
            ],
            ["kitty-specs/057-x/tasks/WP02-second.md"],
        ),
        (
            "spec-workflow",
            ".spec-workflow/archive/specs/crm/tasks.md",
            [
                ".spec-workflow/steering/product.md", ".spec-workflow/steering/tech.md",
                ".spec-workflow/steering/structure.md", ".spec-workflow/archive/specs/crm/requirements.md",
                ".spec-workflow/archive/specs/crm/design.md",
            ],
            [".spec-workflow/steering/UPDATE_2025.md", ".spec-workflow/archive/specs/crm/REPORT.md"],
        ),
        (
            "openspec",
            "openspec/changes/archive/2026-01-01-add-x/tasks.md",
            [
                "openspec/project.md", "openspec/AGENTS.md", "openspec/config.yaml", "AGENTS.md",
                "openspec/changes/archive/2026-01-01-add-x/proposal.md",
                "openspec/changes/archive/2026-01-01-add-x/specs/cli-init/spec.md",
                "openspec/changes/archive/2026-01-01-add-x/design.md", "openspec/specs/cli-init/spec.md",
            ],
            ["openspec/specs/cli-other/spec.md", "openspec/changes/b/proposal.md"],
        ),
        ("openspec", "pscode/changes/a/tasks.md", ["pscode/project.md", "pscode/changes/a/proposal.md"], []),
        ("kiro", ".claude/specs/a/tasks.md", [".claude/steering/tech.md", ".claude/specs/a/requirements.md"], []),
        ("checklist", "docs/ticket.md", ["AGENTS.md", "docs/plan.md"], ["plan.md", "docs/other.md", "README.md"]),
        ("checklist", "TODO.md", ["AGENTS.md", "plan.md"], ["src/plan.md"]),
    ],
)  # fmt: skip
def test_a_dialect_keeps_its_documents_in_a_stable_order(
    dialect: str, task_path: str, in_order: list[str], not_sent: list[str]
) -> None:
    assert order(dialect, task_path, *reversed([*in_order, *not_sent])) == in_order
    patterns = document_patterns(dialect, task_path)
    for path in in_order:
        assert any(matches(path, pattern, anchored=True) for pattern in patterns), f"nobody would read {path}"


def test_patterns_name_what_matters_most_first() -> None:
    patterns = document_patterns("openspec", "openspec/changes/a/tasks.md")
    assert patterns.index("openspec/changes/a/specs/**/*.md") < patterns.index("openspec/specs/*/spec.md")
    assert not any(pattern.startswith("/") or ".." in pattern for pattern in patterns)


def test_the_same_text_is_sent_once_and_an_empty_one_never() -> None:
    docs = {"AGENTS.md": "rules\n", "CLAUDE.md": "rules\n", "GEMINI.md": " \n", ".kiro/steering/a.md": "---\n---\n"}
    assert [document.path for document in select("kiro", KIRO, docs).stable] == ["AGENTS.md"]


STEERING = {
    ".kiro/steering/always.md": "---\ninclusion: always\n---\nalways",
    ".kiro/steering/plain.md": "no front matter",
    ".kiro/steering/py.md": '---\ninclusion: fileMatch\nfileMatchPattern: "**/*.py"\n---\npython',
    ".kiro/steering/web.md": "---\ninclusion: fileMatch\nfileMatchPattern: ['web/**/*.{ts,tsx}', \"*.css\"]\n---\nweb",
    ".kiro/steering/list.md": "---\ninclusion: fileMatch\nfileMatchPattern:\n  - docs/*.md\n  - 'README*'\n---\ndocs",
    ".kiro/steering/trouble.md": "---\r\ninclusion: manual\r\n---\r\ntrouble",
    ".kiro/steering/auto.md": "---\ninclusion: auto\nname: api\ndescription: How the API is built\n---\nauto",
}


@pytest.mark.parametrize(
    ("files", "words", "names"),
    [
        ([], "", []),
        (["src/app.py"], "", ["py"]),
        (["app.py"], "", ["py"]),
        (["web/src/a/b.tsx"], "", ["web"]),
        (["web/b.ts", "style/x.css"], "", ["web"]),
        (["src/b.ts"], "", []),
        (["docs/a.md", "docs/deep/a.md"], "", ["list"]),
        (["README.de.md"], "", ["list"]),
        ([], "see #trouble for this", ["trouble"]),
        ([], "see ##trouble or #troubles", []),
        ([], "#auto #py", ["auto", "py"]),
    ],
)
def test_steering_applies_by_its_front_matter(files: list[str], words: str, names: list[str]) -> None:
    selection = select("kiro", KIRO, STEERING)
    assert [document.name for document in selection.stable] == ["always", "plain"]
    assert [document.name for document in selection.conditional if applies(document, files, words)] == names


def test_front_matter_is_not_sent() -> None:
    selection = select("kiro", KIRO, STEERING)
    assert all("inclusion" not in document.text for document in (*selection.stable, *selection.conditional))
    [auto] = [document for document in selection.conditional if document.name == "auto"]
    assert auto.description == "How the API is built"


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("---\na: 1\n---\nbody", {"a": "1"}),
        ("\ufeff---\na: 'x: y' # c\n---\nbody", {"a": "x: y"}),
        ("\n---\na: [x, 'y, z']\n---\nbody", {"a": ("x", "y, z")}),
        ('---\na:\n- x\n- "y"\n---\nbody', {"a": ("x", "y")}),
        ("---\nnever closed\n", {}),
        ("# --- no\n---\na: 1\n---\n", {}),
        ("body", {}),
    ],
)
def test_front_matter_of_many_forms(text: str, keys: dict[str, object]) -> None:
    found, body = front_matter(text)
    if keys:
        assert body == "body"
        assert {key: value for key, value in found.items() if value != ""} == keys
    else:
        assert (found, body) == ({}, text)


@pytest.mark.parametrize(
    ("path", "pattern", "hit"),
    [
        ("a/b/c.py", "**/*.py", True),
        ("c.py", "**/*.py", True),
        ("a/c.py", "*.py", True),
        ("a/c.py", "a/*.py", True),
        ("a/b/c.py", "a/*.py", False),
        ("a/b/c.py", "a/**", True),
        ("a", "a/**", False),
        ("src/x.test.ts", "src/*.{test,spec}.ts", True),
        ("a/b.ts", "./a/b.ts", True),
        ("a/b.ts", "/a/b.ts", True),
        ("a/[id]/b.ts", "a/*/b.ts", True),
        ("a/b", "a/b/c", False),
        ("components/Button.tsx", "components/**/*.tsx", True),
    ],
)
def test_globs_read_as_in_editors(path: str, pattern: str, hit: bool) -> None:
    assert matches(path, pattern) is hit


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        (KIRO, ".kiro/specs/login"),
        ("kitty-specs/a/tasks/WP01.md", "kitty-specs/a"),
        ("specs/001/tasks.md", "specs/001"),
        ("backlog/tasks/one.md", "backlog/tasks"),
        ("TODO.md", ""),
    ],
)
def test_the_folder_of_a_spec(path: str, folder: str) -> None:
    assert spec_folder(path) == folder
