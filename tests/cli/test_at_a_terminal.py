"""What a person sees and types at a real (pseudo) terminal."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("pseudo terminals are POSIX", allow_module_level=True)

from tests.support.terminal import AtTerminal


def test_a_bare_start_at_a_terminal_prints_help(tmp_path: Path) -> None:
    with AtTerminal(cwd=tmp_path) as terminal:
        terminal.expect("usage: kiro-lsp")
        terminal.expect("kiro-lsp demo")
        assert terminal.end() == 0


def test_tasks_are_coloured_unless_no_color_is_set(tmp_path: Path) -> None:
    (tmp_path / "tasks.md").write_text("- [x] 1. Done\n", "utf-8")
    with AtTerminal("tasks", "tasks.md", cwd=tmp_path) as terminal:
        assert terminal.end() == 0
        assert "\x1b[32m[x]\x1b[0m" in terminal.screen
    with AtTerminal("tasks", "tasks.md", cwd=tmp_path, environ=os.environ | {"NO_COLOR": "1"}) as terminal:
        assert terminal.end() == 0
        assert "\x1b" not in terminal.screen


def test_a_title_cannot_paint_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "tasks.md").write_text("- [ ] 1. Harmless \x1b[2J\x1b]0;owned\x07\n", "utf-8")
    with AtTerminal("tasks", "tasks.md", cwd=tmp_path) as terminal:
        assert terminal.end() == 0
        assert "\x1b[2J" not in terminal.screen
        assert "\x07" not in terminal.screen
        assert "\\u{1b}[2J" in terminal.screen


@pytest.mark.parametrize(("typed", "state", "code"), [("y\n", "trusted", 0), ("n\n", None, 1), ("\n", None, 1)])
def test_trust_is_asked_and_only_a_yes_is_a_yes(tmp_path: Path, typed: str, state: str | None, code: int) -> None:
    config = tmp_path / ".spec-workflow" / "kiro.toml"
    config.parent.mkdir()
    config.write_text('[execution]\nverify_command = ["make", "check"]\n', "utf-8")
    with AtTerminal("trust", cwd=tmp_path) as terminal:
        shown = terminal.expect("Trust this project?")
        assert re.search(r"execution\.verify_command = .*make.*check", shown)
        terminal.type(typed)
        assert terminal.end() == code
        assert ("State: trusted" in terminal.screen) is (state is not None)
