"""The packages behind each type of agent, and the sentence where one is not there.

An editor starts the server before they are all installed, so each look may find more than the one before; what was found
stays. Nothing is imported to find out.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from typing import Final

INSTALLING: Final = "KIRO_LSP_INSTALLING"
"""Names a file that is there for as long as somebody is installing packages."""

_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "anthropic-api": ("anthropic", "httpx2"),
    "openai-api": ("openai", "httpx2"),
    "google-api": ("google", "google.genai", "httpx2"),
    "ollama": ("httpx2",),
    "acp": ("acp", "h11"),
    "kiro": ("acp", "h11"),
    "cli": ("h11",),
    "mcp": ("mcp", "anyio"),
}
"""Type of agent → what its modules import, parents first."""
_found: set[str] = set()


def lacking(kind: str | None) -> str | None:
    """Why agents of a type cannot be used yet, None where all is there."""
    for name in _NEEDED.get(kind or "", ()):
        if name not in _found:
            if importlib.util.find_spec(name) is None:
                return _sentence(name.partition(".")[0])
            _found.add(name)
    return None


def _sentence(package: str) -> str:
    if os.path.exists(os.environ.get(INSTALLING, "")):
        return f"being installed: its package {package!r} comes in a moment"
    return f"its package {package!r} is not installed: install kiro-lsp again, with all it needs"
