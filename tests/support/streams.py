"""Lines of an agent's program, read as a run reads them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kiro_lsp.errors import PathRefused
from kiro_lsp.events import Phase, RunEvent
from kiro_lsp.executors.acp_updates import Updates
from kiro_lsp.executors.streams import Told, reader_of

ROOT = "/srv/shop"
"""Where the program sees the project."""


def relative(path: str) -> str:
    if path.startswith(f"{ROOT}/"):
        return path.removeprefix(f"{ROOT}/")
    if path.startswith("/"):
        raise PathRefused(f"{path} is outside")
    return path


def read(name: str, lines: Iterable[Any], *, resumed: bool = False) -> tuple[Told, list[RunEvent]]:
    """A reader after these lines, and the events of a run that they became."""
    events: list[RunEvent] = []
    told = reader_of(name)
    told.resumed = resumed
    updates = Updates(events.append, relative, lambda: None)
    for line in lines:
        for shown in told.read(line):
            if isinstance(shown, Phase):
                events.append(shown)
            else:
                updates.take(shown)
    return told, events
