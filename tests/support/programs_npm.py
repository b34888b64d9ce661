"""The agent programs from npm that tests drive: where `.ci/programs/install` puts them.

They are looked for in the folder that KIRO_LSP_AGENTS names, else in `.ci/agents` of the checkout. In CI a missing one fails
its test, elsewhere it skips it by name.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.conftest import REPO, missing

FOLDER = Path(os.environ.get("KIRO_LSP_AGENTS") or REPO / ".ci" / "agents")


def program(name: str) -> Path:
    """The program's path: claude, codex, gemini, opencode, claude-agent-acp, codex-acp, mcp-server-everything or node."""
    found = FOLDER / "bin" / name
    if not (FOLDER / "installed").is_file() or not os.access(found, os.X_OK):
        missing(name, f"there is no {found}; .ci/programs/install installs it")
    return found


def search_path() -> str:
    """A PATH on which all of them are, and the node that they run on."""
    return os.pathsep.join([str(program("node").parent), os.environ.get("PATH", os.defpath)])
