"""What of a project no agent is shown: files that may hold secrets, and, until the project is trusted, agents' own
configuration, which can make an agent start programs that nobody was asked about.

Texts for agents (AGENTS.md, CLAUDE.md, specs and steering documents) are not configuration: they are data, as every
other file of the project.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from kiro_lsp.sandbox import listing, paths

_FOLDERS: Final = frozenset(
    """
    .claude .codex .gemini .qwen .opencode .cursor .agents .cline .goose .roo .windsurf .amazonq .continue .copilot
    """.split()  # noqa: SIM905  # as in `protected`: a list to read
)
_KIRO: Final = frozenset({"settings", "hooks", "agents"})
"""Below `.kiro`: its other folders are specs and steering documents, the person's own work."""
_FIRST: Final = (".", "o", "O")
"""What every name here begins with, so that nearly all files are told by one look."""
_FILES: Final = frozenset({".mcp.json", ".claude.json", "opencode.json", "opencode.jsonc", ".aider.conf.yml"})


def configures_agents(path: str) -> bool:
    """Whether a root-relative path is configuration of an agent, or lies in a folder of it."""
    if "/." not in path and path[:1] not in _FIRST:
        return path.rpartition("/")[2].casefold() in _FILES
    parts = path.casefold().split("/")
    if parts[-1] in _FILES or not _FOLDERS.isdisjoint(parts):
        return True
    return any(one == ".kiro" and other in _KIRO for one, other in itertools.pairwise(parts))


def hidden(path: str, *, trusted: bool) -> str | None:
    """Why a file is not shown, None when it is."""
    if "/." not in path and path[0] != "." and "opencode.json" not in path.casefold():
        return None  # nearly every file: all other names here begin with a dot
    if paths.holds_secrets(path):
        return "it may hold secrets, which no command is given"
    if not trusted and configures_agents(path):
        return "it configures agents, and the project is not trusted"
    return None


def find(root: Path | str, *, trusted: bool) -> Iterator[tuple[str, str]]:
    """(path, reason) of everything below `root` that is hidden; a folder is named instead of what it holds.

    Folders that tools fill by themselves (caches, node_modules, virtual environments) and git's own are not looked into:
    no person puts a secret there.
    """
    real = os.path.realpath(root)
    todo = [""]
    while todo:
        folder = todo.pop()
        try:
            with os.scandir(f"{real}/{folder}") as scanned:
                entries = list(scanned)
        except OSError:
            continue
        if folder and not listing.MARKERS.isdisjoint([entry.name for entry in entries]):
            continue
        in_kiro = folder.casefold().endswith(".kiro")
        for entry in entries:
            name = entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            if name[0] not in _FIRST and not is_folder:
                continue
            if name in listing.METADATA or name in listing.GENERATED:
                continue
            path = f"{folder}/{name}" if folder else name
            reason = _reason(path, name, is_folder=is_folder, in_kiro=in_kiro, trusted=trusted)
            if reason is not None:
                yield path, reason
            elif is_folder:
                todo.append(path)


def _reason(path: str, name: str, *, is_folder: bool, in_kiro: bool, trusted: bool) -> str | None:
    lowered = name.casefold()
    if lowered in _FOLDERS or lowered in _FILES or (in_kiro and is_folder and lowered in _KIRO):
        return hidden(path, trusted=trusted)
    return hidden(path, trusted=trusted) if not is_folder and paths.holds_secrets(name) else None
