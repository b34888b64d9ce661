"""The extension's sources and package, without a VS Code: node, npm and the programs of client-vscode/node_modules."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from tests.conftest import REPO, missing
from tests.support.vscode import CLIENT, Programs

__all__ = ["CLIENT", "manifest", "node", "sources", "tools", "words"]


@cache
def tools() -> Programs:
    """Node and npm, as `packaged` and `npm` want them. What is missing fails or skips the test by name."""
    folder = Path(os.environ.get("KIRO_LSP_VSCODE") or REPO / ".ci/vscode") / "bin"
    found = [str(folder / name) if (folder / name).exists() else shutil.which(name) for name in ("node", "npm")]
    if None in found:
        missing("node", "run .ci/programs/install-vscode")
    if not (CLIENT / "node_modules").is_dir():
        missing("client-vscode/node_modules", "run npm ci in client-vscode")
    program, npm = map(str, found)
    return Programs(program, (npm,), Path(), "")


def node(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """A program of node_modules by its script; what it prints comes back, with its exit code."""
    argv = [tools().node, *arguments]
    environ = {**os.environ, "NO_COLOR": "1"}
    return subprocess.run(
        argv, cwd=CLIENT, env=environ, capture_output=True, text=True, timeout=600, check=False, **more
    )


def manifest() -> dict[str, Any]:
    return dict(json.loads((CLIENT / "package.json").read_text("utf-8")))


def words(name: str) -> dict[str, str]:
    """A file of words of the extension: `package.nls.json`, `l10n/bundle.l10n.de.json` …"""
    return dict(json.loads((CLIENT / name).read_text("utf-8")))


def sources() -> dict[str, str]:
    """The TypeScript of the extension by its path in src/."""
    found = sorted((CLIENT / "src").rglob("*.ts"))
    return {path.relative_to(CLIENT / "src").as_posix(): path.read_text("utf-8") for path in found}
