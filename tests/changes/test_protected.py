"""Which files need their own yes, under every spelling that some file system would take for the same."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiro_lsp.changes.protected import protected

PROTECTED = """
.git/config .git/hooks/pre-commit .git .gitmodules sub/.git/HEAD .vscode/settings.json .vscode/tasks.json
.idea/workspace.xml .claude/settings.json .claude/commands/x.md .codex/config.toml .gemini/settings.json .cursor/mcp.json .mcp.json
.kiro/settings/mcp.json .kiro/hooks/on-save.kiro.hook .spec-workflow/kiro.toml .github/workflows/ci.yml .gitlab-ci.yml
Jenkinsfile .circleci/config.yml .husky/pre-commit .githooks/pre-push hooks/pre-commit tools/hooks/post-checkout
.envrc .env .env.local .bashrc home/.zshrc .profile .npmrc .yarnrc.yml .pre-commit-config.yaml .devcontainer/devcontainer.json
my.code-workspace .zed/settings.json .helix/languages.toml .nvim.lua .exrc .config/fish/config.fish .ssh/authorized_keys
.cargo/config.toml
""".split()  # noqa: SIM905  # reads better as it stands in a folder

FREE = """
src/app.py README.md .gitignore .gitattributes .kiro/specs/login/tasks.md .kiro/steering/product.md .github/CODEOWNERS
src/hooks/useAuth.ts hooks/README.md .env.example docs/git.md src/git/config.py src/.eslintrc.json environment.py
.spec-workflow/specs/x/tasks.md AGENTS.md CLAUDE.md vscode/settings.json update src/update tests/.gitkeep
""".split()  # noqa: SIM905  # reads better as it stands in a folder


@pytest.mark.parametrize("path", PROTECTED)
def test_files_that_make_programs_run_are_protected(path: str) -> None:
    assert protected(path)


@pytest.mark.parametrize("path", FREE)
def test_ordinary_files_are_not(path: str) -> None:
    assert not protected(path)


SPELLINGS = {
    "upper case": str.upper,
    "mixed case": str.title,
    "full width": lambda path: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" and c != "/" else c for c in path),
    "zero width joiner": lambda path: path.replace("i", "i\u200d"),
    "soft hyphen": lambda path: path.replace("g", "g\u00ad"),
    "variation selector": lambda path: path.replace("t", "t\ufe0f"),
    "trailing dot": lambda path: "/".join(part + "." for part in path.split("/")),
    "trailing blank": lambda path: "/".join(part + " " for part in path.split("/")),
    "backslashes": lambda path: path.replace("/", "\\"),
    "doubled separators": lambda path: path.replace("/", "//"),
    "a stream of the file": lambda path: path + "::$DATA",
    "decomposed": lambda path: unicodedata.normalize("NFD", path),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("path", PROTECTED)
def test_no_spelling_gets_around_it(path: str, spelling: str) -> None:
    assert protected(SPELLINGS[spelling](path))


def test_the_short_name_of_a_git_folder_is_one_too() -> None:
    assert protected("GIT~1/config")


@given(st.text(max_size=40))
def test_any_text_is_a_path_to_ask_about(path: str) -> None:
    assert protected(path) in (True, False)
