"""Checks that a project seems to have, to be offered as its verify command. They are shown, never run unasked.

Only names of files and a few well-known places in them are looked at; nothing of the project is executed.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import tomli

from kiro_lsp.errors import PathRefused, RunRefused, UnreadableFile
from kiro_lsp.sandbox import files

_LIMIT = 256 * 1024
_NO_TEST = "no test specified"


@dataclass(frozen=True, slots=True)
class Check:
    argv: tuple[str, ...]
    why: str
    """The file that says so."""


def checks_of(root: Path) -> list[Check]:
    """The checks of a project, the likeliest first. Blocks."""
    found: dict[tuple[str, ...], Check] = {}
    for look in (_pytest, _node, _cargo, _go, _make, _others):
        for check in look(root):
            found.setdefault(check.argv, check)
    return list(found.values())


def asked_for(given: str, configured: tuple[str, ...], root: Path) -> tuple[str, ...]:
    """The command that a person means by `--verify [COMMAND]`: what they wrote, the configured one, the only one found.

    Raises RunRefused where that says nothing, or too much.
    """
    if given.strip():
        try:
            return tuple(shlex.split(given))
        except ValueError as error:
            raise RunRefused(
                f"{given!r} cannot be read as a command: {error}.", hint="Quote it as in a shell."
            ) from error
    if configured:
        return configured
    found = checks_of(root)
    if len(found) == 1:
        return found[0].argv
    listed = "; ".join(shlex.join(check.argv) for check in found)
    raise RunRefused(
        f"Several checks were found: {listed}." if found else "No check was found in this project.",
        code="which-check",
        hint="Name it: --verify 'COMMAND', or set execution.verify_command.",
    )


def offered(root: Path, configured: tuple[str, ...]) -> str:
    """A line about what a change would be verified with, or could be; "" where nothing is configured or found."""
    if configured:
        return f"Then verified with: {shlex.join(configured)}, in a copy of the project."
    found = checks_of(root)
    if not found:
        return ""
    return (
        f"Not verified: no verify_command is set. Found here: {'; '.join(shlex.join(check.argv) for check in found)}."
    )


def _pytest(root: Path) -> Iterator[Check]:
    why = _where_pytest_is_configured(root)
    if not why:
        return
    own = next((path for path in (".venv/bin/python", "venv/bin/python") if _is_file(root, path)), None)
    if own is None and _exists(root, "uv.lock"):
        yield Check(("uv", "run", "pytest", "-q"), why)
    else:
        yield Check((own or "python", "-m", "pytest", "-q"), why)


def _where_pytest_is_configured(root: Path) -> str:
    for name in ("pytest.ini", "conftest.py", "tests/conftest.py"):
        if _exists(root, name):
            return name
    if "pytest" in _table(root, "pyproject.toml", "tool"):
        return "pyproject.toml"
    for name, section in (("setup.cfg", "[tool:pytest]"), ("tox.ini", "[pytest]")):
        if section in _text(root, name):
            return name
    return "tests/" if _names(root, "tests", r"test_.*\.py|.*_test\.py") else ""


def _node(root: Path) -> Iterator[Check]:
    try:
        package = json.loads(_text(root, "package.json") or "{}")
    except ValueError:
        return
    scripts = package.get("scripts") if isinstance(package, dict) else None
    test = scripts.get("test") if isinstance(scripts, dict) else None
    if not isinstance(test, str) or not test.strip() or _NO_TEST in test:
        return
    locks = (("pnpm-lock.yaml", "pnpm"), ("yarn.lock", "yarn"), ("bun.lock", "bun"), ("bun.lockb", "bun"))
    manager = next((name for lock, name in locks if _exists(root, lock)), "npm")
    yield Check((manager, "run", "test") if manager == "bun" else (manager, "test"), "package.json")


def _cargo(root: Path) -> Iterator[Check]:
    if _exists(root, "Cargo.toml"):
        yield Check(("cargo", "test"), "Cargo.toml")


def _go(root: Path) -> Iterator[Check]:
    if _exists(root, "go.mod"):
        yield Check(("go", "test", "./..."), "go.mod")


def _make(root: Path) -> Iterator[Check]:
    for name in ("Makefile", "makefile", "GNUmakefile"):
        target = re.search(r"^(check|test|tests)\s*:(?!=)", _text(root, name), re.MULTILINE)
        if target is not None:
            yield Check(("make", target[1]), name)
            return
    for name in ("justfile", "Justfile", ".justfile"):
        if re.search(r"^test\b[^:=\n]*:(?!=)", _text(root, name), re.MULTILINE):
            yield Check(("just", "test"), name)
            return


_BY_FILE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("gradlew", ("./gradlew", "test")),
    ("build.gradle", ("gradle", "test")),
    ("build.gradle.kts", ("gradle", "test")),
    ("mvnw", ("./mvnw", "-q", "test")),
    ("pom.xml", ("mvn", "-q", "test")),
    ("mix.exs", ("mix", "test")),
    ("deno.json", ("deno", "test")),
    (".rspec", ("bundle", "exec", "rspec")),
    ("pubspec.yaml", ("dart", "test")),
    ("Package.swift", ("swift", "test")),
)


def _others(root: Path) -> Iterator[Check]:
    seen: set[str] = set()
    for name, argv in _BY_FILE:
        tool = {"./gradlew": "gradle", "./mvnw": "mvn"}.get(argv[0], argv[0])
        if tool not in seen and _exists(root, name):
            seen.add(tool)
            yield Check(argv, name)
    solution = _names(root, "", r".*\.slnx?")
    if solution:
        yield Check(("dotnet", "test"), solution)


def _text(root: Path, path: str) -> str:
    try:
        data = files.safe_read(root, path, limit=_LIMIT)
    except (PathRefused, UnreadableFile, OSError):
        return ""
    return "" if data is None else data.decode("utf-8-sig", "replace")


def _table(root: Path, path: str, name: str) -> dict[str, object]:
    try:
        table = tomli.loads(_text(root, path)).get(name)
    except tomli.TOMLDecodeError:
        return {}
    return table if isinstance(table, dict) else {}


def _exists(root: Path, path: str) -> bool:
    return _asked(lambda: os.path.lexists(root / path))


def _is_file(root: Path, path: str) -> bool:
    return _asked((root / path).is_file)


def _asked(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except (OSError, ValueError):
        return False


def _names(root: Path, folder: str, pattern: str) -> str:
    """The first name in a folder that matches, "" without any."""
    try:
        names = sorted(os.listdir(root / folder))
    except OSError:
        return ""
    return next((name for name in names if re.fullmatch(pattern, name)), "")
