"""The program as such: version, help, usage, what is imported, streams and exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from kiro_lsp import __version__
from kiro_lsp.cli import MODULE_OF, build_parser, function_of, main

HEAVY = {
    "asyncio",
    "sqlite3",
    "rich",
    "tomli",
    "pygls",
    "lsprotocol",
    "anthropic",
    "argparse",
    "importlib.metadata",
    "json",
}


def program(*arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
    """The real program in a process and session of its own, so that it has no terminal."""
    options: dict[str, object] = {
        "capture_output": True,
        "text": True,
        "encoding": "utf-8",
        "stdin": subprocess.DEVNULL,
    }
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-m", "kiro_lsp", *arguments], check=False, start_new_session=True, **(options | more)
    )


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_version_is_printed(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([flag]) == 0
    assert capsys.readouterr().out == f"kiro-lsp {__version__}\n"


def test_version_imports_nothing_that_costs_time() -> None:
    code = (
        "import sys; from kiro_lsp.cli import main; main(['--version']);"
        "print(*sorted(name for name in sys.modules), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    loaded = set(result.stderr.split())
    assert "kiro_lsp.cli" in loaded
    assert loaded & HEAVY == set()
    assert {name for name in loaded if name.startswith("kiro_lsp")} == {"kiro_lsp", "kiro_lsp.cli"}


@pytest.mark.parametrize("verb", sorted(MODULE_OF))
def test_every_verb_has_its_function_and_its_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(getattr(import_module(MODULE_OF[verb]), function_of(verb)))
    assert main([verb, "--help"]) == 0
    assert f"usage: kiro-lsp {verb}" in capsys.readouterr().out


def test_the_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out
    assert [verb for verb in MODULE_OF if f"\n    {verb}" not in listed] == []


def test_every_verb_of_the_grammar_has_a_module() -> None:
    subparsers = next(action for action in build_parser()._actions if action.dest == "verb")
    assert set(subparsers.choices or ()) == set(MODULE_OF)


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-verb"],
        ["tasks"],
        ["mark", "tasks.md", "1", "finished"],
        ["run", "tasks.md"],
        ["completion", "tcsh"],
        ["review", "--accept", "--reject"],
        ["runs", "--limit", "0"],
        ["--no-such-flag"],
    ],
)
def test_wrong_usage_is_2_and_prints_nothing_on_stdout(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "usage: kiro-lsp" in err


def test_the_module_is_the_same_program(tmp_path: Path) -> None:
    result = program("--version", cwd=tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, f"kiro-lsp {__version__}\n", "")


def test_main_can_be_called_again_and_again(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "tasks.md"
    file.write_text("- [ ] 1. One\n", "utf-8")
    first = [main(["--version"]), main(["nonsense"]), main(["tasks", "--json", str(file)])]
    once = capsys.readouterr().out
    second = [main(["--version"]), main(["nonsense"]), main(["tasks", "--json", str(file)])]
    assert first == second == [0, 2, 0]
    assert capsys.readouterr().out == once


def test_a_reader_that_leaves_early_is_no_failure(tmp_path: Path) -> None:
    file = tmp_path / "tasks.md"
    file.write_text("".join(f"- [ ] {number}. Task number {number}\n" for number in range(1, 20000)), "utf-8")
    read, write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "kiro_lsp", "tasks", str(file)],
        stdout=write,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    os.close(write)
    assert os.read(read, 10)
    os.close(read)
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait() == 0


def test_output_survives_a_stream_that_cannot_encode_it(tmp_path: Path) -> None:
    file = tmp_path / "tasks.md"
    file.write_text("- [ ] 1. Straße ▶ 日本\n", "utf-8")
    environ = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    plain = program("tasks", str(file), env=environ)
    assert plain.returncode == 0
    assert "Stra\\xdfe" in plain.stdout
    listed = program("tasks", "--json", str(file), env=environ)
    assert json.loads(listed.stdout)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows paths are Unicode already")
def test_a_path_that_is_no_utf8_is_printed_as_it_was_given(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/t\xffsks.md"
    with open(name, "wb") as file:
        file.write(b"- [ ] 1. One\n")
    result = subprocess.run([sys.executable, "-m", "kiro_lsp", "tasks", name], capture_output=True, check=True)
    assert name in result.stdout


def test_a_bare_start_without_a_terminal_is_the_server(tmp_path: Path) -> None:
    """What an editor does: no arguments, a pipe on standard input that ends at once."""
    result = program(cwd=tmp_path)
    assert "usage:" not in result.stdout + result.stderr
    assert "VERB" not in result.stdout
