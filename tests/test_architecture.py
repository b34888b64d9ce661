"""The rules of docs/architecture.md that a program can check: layers, sizes, names, types, lint, dependencies."""

from __future__ import annotations

import ast
import importlib.metadata
import io
import os
import re
import shutil
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from kiro_lsp.settings.providers import STANDARD_KEYS
from tests.conftest import REPO

PACKAGE = REPO / "kiro_lsp"
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text("utf-8"))

LONGEST_FILE = 500
LONGEST_FUNCTION = 50

LONG_FUNCTIONS: dict[str, str] = {
    "kiro_lsp/spec/blocks.py::run": "called for each line of a file that is opened, calls in it would double the time",
}
"""`path::function` → why it may be longer than LONGEST_FUNCTION lines."""

HOSTS = {
    "127.0.0.1",
    "localhost",
    "example.com",
    "example.org",
    "example.test",
    "console.anthropic.com",
    "docs.anthropic.com",
    "keepachangelog.com",
    "semver.org",
    "microsoft.github.io",
    "www.apache.org",
    "github.com",
    "json-schema.org",
    "www.w3.org",
    "www.python.org",
    "pypi.org",
}
"""Hosts that the project may name, besides the providers'. Mirrors of a machine it was built on are not among them."""


def sources(*suffixes: str, below: Path = REPO) -> list[Path]:
    """The project's own files with these suffixes, as git knows them: tracked, or new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPO,
        capture_output=True,
        check=True,
    ).stdout.decode()
    paths = (REPO / name for name in listed.split("\0") if name.endswith(suffixes or ("",)))
    return [path for path in paths if path.is_file() and path.is_relative_to(below)]


def functions(path: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node


def lint_layers(project: Path) -> subprocess.CompletedProcess[str]:
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True, no_logo=True))"
    environ = os.environ | {"PYTHONPATH": str(project), "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        cwd=project,
        env=environ,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )


def test_layers_import_only_what_stands_below_them() -> None:
    result = lint_layers(REPO)
    assert result.returncode == 0, result.stdout + result.stderr


PLANTED = {
    "Layers: a layer imports": ("spec/tasks.py", "import kiro_lsp.engine"),
    "Pure layers": ("changes/diff.py", "import subprocess"),
    "Only the LSP face": ("engine/engine.py", "import pygls"),
    "Only the terminal face": ("engine/engine.py", "import rich"),
    "Only the store": ("terminal/task_files.py", "import sqlite3"),
    "Only its own executor": ("executors/toolloop.py", "import anthropic"),
    "Only the modules that speak MCP": ("executors/toolloop.py", "import mcp"),
    "Only the wire of agents that speak ACP": ("executors/acp_session.py", "import acp"),
}
"""The beginning of a contract's name → where an import is written that breaks it."""


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A project to plant something in."""
    shutil.copytree(PACKAGE, tmp_path / "kiro_lsp", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPO / "pyproject.toml", tmp_path)
    return tmp_path


def plant(project: Path, where: str, line: str) -> None:
    with (project / "kiro_lsp" / where).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")


def test_planted_imports_break_their_contracts(copied: Path) -> None:
    """All at once, since the whole project is read each time: each contract says what broke it."""
    for where, line in PLANTED.values():
        plant(copied, where, line)
    result = lint_layers(copied)
    said = result.stdout + result.stderr
    assert result.returncode != 0
    broken = re.findall(r"^(.+) BROKEN", said, re.MULTILINE)
    assert {contract for contract in PLANTED if any(name.startswith(contract) for name in broken)} == set(PLANTED), said
    for where, line in PLANTED.values():
        importer = f"kiro_lsp/{where}".removesuffix(".py").replace("/", ".")
        assert re.search(rf"{importer} -> {line.removeprefix('import ')}\b", said), said


def test_a_module_in_no_layer_is_found(copied: Path) -> None:
    plant(copied, "helpers.py", "")
    result = lint_layers(copied)
    assert result.returncode != 0
    assert "helpers" in result.stdout + result.stderr


def test_executors_do_not_know_each_other() -> None:
    """A module with an executor may be imported by its own parts (`NAME_…`) only; the registry finds it by name."""
    modules = {path.stem: tree(path) for path in (PACKAGE / "executors").glob("*.py")}
    executors = {
        name
        for name, module in modules.items()
        if name != "protocol"
        and any(isinstance(node, ast.ClassDef) and node.name.endswith("Executor") for node in module.body)
    }
    assert {"anthropic", "replay"} <= executors
    known = {
        f"{name} → {other}"
        for name, module in modules.items()
        for other in executors - {name}
        if not name.startswith(f"{other}_") and f"kiro_lsp.executors.{other}" in imported_modules(module)
    }
    assert known == set()


def imported_modules(module: ast.Module) -> set[str]:
    """Every module that is imported anywhere in it, `from x import y` counted as both `x` and `x.y`."""
    found: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_no_file_is_too_long() -> None:
    too_long = {
        str(path.relative_to(REPO)): lines
        for path in sources(".py", ".lua")
        if (lines := len(path.read_text("utf-8").splitlines())) > LONGEST_FILE
    }
    assert too_long == {}


def test_no_function_is_too_long_without_a_reason() -> None:
    long = {
        f"{path.relative_to(REPO).as_posix()}::{name}": node.end_lineno - node.lineno + 1
        for path in sources(".py")
        for name, node in functions(path)
        if node.end_lineno is not None and node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION
    }
    assert {name: lines for name, lines in long.items() if name not in LONG_FUNCTIONS} == {}
    assert set(LONG_FUNCTIONS) <= set(long), "a reason is given for a function that is short, or gone"


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(REPO))
        for path in sources(".py", below=PACKAGE)
        if path.read_text("utf-8").strip() and ast.get_docstring(tree(path)) is None
    ]
    assert silent == []


def test_every_module_postpones_its_annotations() -> None:
    eager = [
        str(path.relative_to(REPO))
        for path in sources(".py")
        if any(
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.AnnAssign) for node in ast.walk(tree(path))
        )
        and "from __future__ import annotations" not in path.read_text("utf-8")
    ]
    assert eager == []


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def test_names_say_what_a_thing_is() -> None:
    vague = re.compile(r"(^|_)(utils?|helpers?|manager|common|misc)(_|$)", re.IGNORECASE)
    modules = [str(p.relative_to(REPO)) for p in sources(".py", below=PACKAGE) if vague.search(p.stem)]
    classes = [
        f"{path.relative_to(REPO)}::{node.name}"
        for path in sources(".py", below=PACKAGE)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef) and re.search(r"(Utils?|Helper|Manager)$", node.name)
    ]
    prefixed = [
        f"{path.relative_to(REPO)}::{name}"
        for path in sources(".py", below=PACKAGE)
        for name, _ in functions(path)
        if name.lstrip("_").startswith(("get_", "handle_"))
    ]
    assert (modules, classes, prefixed) == ([], [], [])


def test_comments_draw_no_banners() -> None:
    banners = [
        f"{path.relative_to(REPO)}:{token.start[0]}"
        for path in sources(".py")
        for token in tokenize.generate_tokens(io.StringIO(path.read_text("utf-8")).readline)
        if token.type == tokenize.COMMENT and re.search(r"[-=#*~─═]{4,}", token.string)
    ]
    assert banners == []


def run_tool(*arguments: str) -> None:
    result = subprocess.run([sys.executable, "-m", *arguments], check=False, cwd=REPO, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.timeout(600)
def test_types_are_strict() -> None:
    run_tool("mypy")


def test_lint_is_clean() -> None:
    run_tool("ruff", "check", "--no-cache", ".")


def test_the_formatter_has_nothing_to_change() -> None:
    run_tool("ruff", "format", "--no-cache", "--check", ".")


def dependencies() -> set[str]:
    return {re.split(r"[<>=!~\[;\s]", line, maxsplit=1)[0] for line in PROJECT["project"]["dependencies"]}


def test_everything_imported_is_a_declared_dependency() -> None:
    provided = importlib.metadata.packages_distributions()
    imported: dict[str, str] = {}
    for path in sources(".py", below=PACKAGE):
        for name in imported_modules(tree(path)):
            imported.setdefault(name.partition(".")[0], str(path.relative_to(REPO)))
    foreign = {name: where for name, where in imported.items() if name not in sys.stdlib_module_names | {"kiro_lsp"}}
    undeclared = {
        name: where
        for name, where in foreign.items()
        if not {d.lower() for d in provided.get(name, [])} & dependencies()
    }
    assert undeclared == {}


def text_files() -> Iterator[tuple[Path, str]]:
    for path in sources():
        try:
            yield path, path.read_text("utf-8")
        except UnicodeDecodeError:
            continue


def test_no_path_of_a_machine_is_in_the_project() -> None:
    # The words are put together here so that this file does not hold them.
    places = re.compile(r"(?<![\w/])/(?:" + "|".join(["ro" + "ot/", "work" + "/(?:main|env|shared|plan)\\b"]) + ")")
    found = [
        f"{path.relative_to(REPO)}: {match[0]}"
        for path, text in text_files()
        if (match := places.search(text)) is not None
    ]
    settings = [str(path.relative_to(REPO)) for path, text in text_files() if "index" + "-url" in text]
    assert (found, settings) == ([], [])


def test_only_known_hosts_are_named() -> None:
    providers = {urlsplit(url).hostname for urls in STANDARD_KEYS.values() for url in urls}
    found = {
        f"{path.relative_to(REPO)}: {host}"
        for path, text in text_files()
        for host in re.findall(r"https?://([A-Za-z0-9.-]+\.[A-Za-z0-9-]+)", text)
        if host not in HOSTS | providers
        and not host.endswith((".example", ".test", ".invalid", ".example.com", ".example.org"))
    }
    assert found == set()
