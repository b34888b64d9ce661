"""Completion in the real shells."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from kiro_lsp.cli import MODULE_OF, main
from tests.conftest import missing


@pytest.fixture
def script(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Path:
    shell = request.param
    if shutil.which(shell) is None:
        missing(shell, "its completion script is tested in the real shell")
    assert main(["completion", shell]) == 0
    path = tmp_path / f"completion.{shell}"
    path.write_text(capsys.readouterr().out, "utf-8")
    return path


def said(*argv: str) -> list[str]:
    result = subprocess.run(argv, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    assert result.stderr == ""
    return result.stdout.split("\n")


def check_bash(script: Path, words: list[str], expected: set[str]) -> None:
    line = " ".join(f"'{word}'" for word in words)
    asked = f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _kiro_lsp"
    code = f"source {script}; {asked}; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    assert expected <= set(said("bash", "--norc", "-c", code))


@pytest.mark.parametrize("script", ["bash"], indirect=True)
def test_bash_completes_verbs_options_and_words(script: Path) -> None:
    check_bash(script, ["kiro-lsp", ""], set(MODULE_OF))
    check_bash(script, ["kiro-lsp", "ta"], {"tasks"})
    check_bash(
        script,
        ["kiro-lsp", "run", "tasks.md", "1", "--"],
        {"--agent", "--accept", "--trust", "--allow-command", "--json"},
    )
    check_bash(script, ["kiro-lsp", "mark", "tasks.md", "1", ""], {"open", "in-progress", "done"})
    check_bash(script, ["kiro-lsp", "costs", "--by", ""], {"day", "agent", "spec", "task"})
    check_bash(script, ["kiro-lsp", "completion", "z"], {"zsh"})


@pytest.mark.parametrize("script", ["fish"], indirect=True)
def test_fish_completes_verbs_options_and_words(script: Path) -> None:
    def check(line: str, expected: set[str]) -> None:
        offered = said("fish", "--no-config", "-c", f"source {script}; complete -C '{line}'")
        assert expected <= {word.split("\t")[0] for word in offered}

    check("kiro-lsp ", set(MODULE_OF))
    check("kiro-lsp run --", {"--agent", "--accept", "--trust", "--allow-command", "--json"})
    check("kiro-lsp mark tasks.md 1 ", {"open", "in-progress", "done"})
    check("kiro-lsp costs --by ", {"day", "agent", "spec", "task"})


@pytest.mark.parametrize("script", ["zsh"], indirect=True)
def test_zsh_loads_the_script_and_knows_every_verb(script: Path) -> None:
    # zsh offers no way to ask for completions without a terminal; what can be checked is that the script loads, that it
    # registers itself, and that what it describes and hands to _arguments is complete.
    code = (
        f"autoload -Uz compinit; compinit -u -D; source {script}; print -r -- registered=$_comps[kiro-lsp];"
        "_describe() { print -rl -- ${(P)4} };"
        "_arguments() { print -rl -- $@ };"
        "CURRENT=2; words=(kiro-lsp ''); _kiro_lsp;"
        "CURRENT=3; words=(kiro-lsp mark ''); _kiro_lsp;"
        "CURRENT=3; words=(kiro-lsp run ''); _kiro_lsp"
    )
    lines = said("zsh", "-f", "-c", code)
    assert "registered=_kiro_lsp" in lines
    assert set(MODULE_OF) <= {line.split(":")[0] for line in lines}
    assert ":status:(open in-progress done)" in lines
    assert any(line.startswith("--agent[") for line in lines)
