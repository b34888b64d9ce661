"""The sheet at the first click: what it says follows from pressing Run; and the checks that it offers."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from kiro_lsp.engine.checks import checks_of, offered
from kiro_lsp.engine.execute import consent_sheet
from kiro_lsp.executors import registry
from kiro_lsp.settings import Sources, load_settings
from tests.support import planted

ASKS = "[routing]\nclassifier_model = 'claude-haiku-5-5'\n"


@pytest.mark.parametrize(
    ("toml", "is_named", "is_said"), [(ASKS, False, True), (ASKS, True, False), ("", False, False)]
)
def test_that_a_model_is_asked_before_an_agent_is_chosen_is_said(toml: str, is_named: bool, is_said: bool) -> None:
    loaded = load_settings(
        Sources(user_toml=toml, environ={"ANTHROPIC_API_KEY": planted.KEYS["anthropic"]}), trusted=True
    )
    claude = registry.named(registry.agents(loaded.settings, loaded.secrets), "claude")
    sheet = consent_sheet(claude, "Greet", loaded, with_values=False, is_named=is_named)
    assert ("claude-haiku-5-5 is asked what kind of work it is" in sheet) is is_said
    assert "Agent: Claude by api, model claude-sonnet-5-5." in sheet


@pytest.mark.parametrize(
    ("configured", "files", "said"),
    [
        (("pytest", "-q"), {}, "Then verified with: pytest -q, in a copy of the project."),
        ((), {"go.mod": ""}, "Not verified: no verify_command is set. Found here: go test ./...."),
        ((), {}, ""),
    ],
)
def test_what_a_change_is_verified_with_is_said(
    root: Path, configured: tuple[str, ...], files: dict[str, str], said: str
) -> None:
    for name, text in files.items():
        (root / name).write_text(text, "utf-8")
    loaded = load_settings(Sources(environ={"ANTHROPIC_API_KEY": planted.KEYS["anthropic"]}), trusted=True)
    claude = registry.named(registry.agents(loaded.settings, loaded.secrets), "claude")
    checked = offered(root, configured)
    assert checked == said
    lines = consent_sheet(claude, "Greet", loaded, with_values=False, checked=checked).splitlines()
    assert lines[-1] == (said or "Your files change only after you accept the review.")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"pytest.ini": ""}, ["python -m pytest -q"]),
        ({"pyproject.toml": "[tool.pytest.ini_options]\n", ".venv/bin/python": ""}, [".venv/bin/python -m pytest -q"]),
        ({"tests/test_a.py": "", "uv.lock": ""}, ["uv run pytest -q"]),
        ({"setup.cfg": "[tool:pytest]\n"}, ["python -m pytest -q"]),
        ({"package.json": '{"scripts": {"test": "vitest run"}}', "pnpm-lock.yaml": ""}, ["pnpm test"]),
        ({"package.json": '{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'}, []),
        ({"package.json": "{not json"}, []),
        ({"package.json": '["scripts"]'}, []),
        ({"Cargo.toml": "", "Makefile": "build:\n\ttrue\ntest: build\n\ttrue\n"}, ["cargo test", "make test"]),
        ({"Makefile": "test := 1\nbuild:\n"}, []),
        ({"gradlew": "", "build.gradle": ""}, ["./gradlew test"]),
        ({"pyproject.toml": "= broken ["}, []),
        ({"src/tests/test_a.py": ""}, []),
    ],
)
def test_checks_are_found_by_what_lies_in_a_project(root: Path, files: dict[str, str], expected: list[str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")
    assert [shlex.join(check.argv) for check in checks_of(root)] == expected


PROGRAM = "[agents.paid]\ntype = 'cli'\ncommand = 'paid'\nbilling = 'metered'\n"


@pytest.mark.parametrize(
    ("toml", "capped"), [(PROGRAM, False), (PROGRAM + "meter = 'anthropic'\nbase_url_env = 'URL'\n", True)]
)
def test_a_program_whose_spending_cannot_be_limited_is_labelled(toml: str, capped: bool) -> None:
    loaded = load_settings(Sources(user_toml=toml), trusted=True)
    paid = registry.named(registry.agents(loaded.settings, loaded.secrets), "paid")
    sheet = consent_sheet(paid, "Greet", loaded, with_values=False)
    assert paid.capped is capped
    assert ("not capped" in paid.reason) is not capped
    assert ("Cost: not capped." in sheet) is not capped
    assert ("Cost: at most $2" in sheet) is capped


@pytest.mark.parametrize(
    ("traces", "said"), [((".claude", "CLAUDE.md"), ": .claude."), (("CLAUDE.md", "AGENTS.md"), "")]
)
def test_what_of_the_project_configures_the_agent_is_named(traces: tuple[str, ...], said: str) -> None:
    loaded = load_settings(Sources(user_toml=PROGRAM), trusted=True)
    paid = replace(registry.named(registry.agents(loaded.settings, loaded.secrets), "paid"), traces=traces)
    sheet = consent_sheet(paid, "Greet", loaded, with_values=False)
    assert ("The project configures this agent" in sheet) is bool(said)
    assert said in sheet
