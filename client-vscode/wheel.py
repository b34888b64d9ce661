"""Builds the server's wheel into `wheel/`, with a note of what it is and which packages language features need.

The note is what the installer reads: `{file, version, digest, python, first}`. `first` are the requirements of
[tool.kiro-lsp] in pyproject.toml with the bounds of [project]; with them the server starts before the rest is there.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent
TARGET = HERE / "wheel"


def build(target: Path) -> Path:
    """The wheel of the project, made by its build backend where that is installed, else by pip in a place of its own."""
    if importlib.util.find_spec("hatchling") is not None:
        argv = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    else:
        argv = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(target), str(PROJECT)]
    environ = {**os.environ, "SOURCE_DATE_EPOCH": "1577836800"}  # the same content gives the same bytes
    subprocess.run(argv, cwd=PROJECT, env=environ, check=True, stdout=subprocess.DEVNULL)
    (wheel,) = target.glob("*.whl")
    return wheel


def first_requirements(project: dict) -> list[str]:
    """What language features need, with the bounds that the project sets. Raises KeyError for a name it does not require."""
    required = {re.split(r"[^A-Za-z0-9._-]", line)[0]: line for line in project["project"]["dependencies"]}
    return [required[name] for name in project["tool"]["kiro-lsp"]["language-features"]]


def main() -> None:
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir()
    wheel = build(TARGET)
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))
    note = {
        "file": wheel.name,
        "version": wheel.name.split("-")[1],
        "digest": hashlib.sha256(wheel.read_bytes()).hexdigest(),
        "python": project["project"]["requires-python"],
        "first": first_requirements(project),
    }
    (TARGET / "wheel.json").write_text(json.dumps(note, indent=2) + "\n", "utf-8")


main()
