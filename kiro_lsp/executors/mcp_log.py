"""Telling a spec-workflow MCP server what a task came to: one call of its tool log-implementation, in a copy of the project.

Nothing is run or changed by it here: what the server wrote in the copy is handed back, reduced to the folder of the spec and
without its task file, whose boxes are ours to tick.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kiro_lsp.changes.model import FileChange
from kiro_lsp.errors import ExecutorError
from kiro_lsp.executors.local import LocalRun
from kiro_lsp.executors.mcp_client import connected
from kiro_lsp.executors.mcp_servers import needs_of_servers, server_of
from kiro_lsp.settings import McpServerSettings

TOOL: Final = "log-implementation"
SPECS: Final = ".spec-workflow/specs/"
_CONNECT_SECONDS: Final = 30.0
_CALL_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Entry:
    """What is told of a task."""

    spec: str
    task: str
    summary: str
    modified: tuple[str, ...]
    created: tuple[str, ...]
    added: int
    """Lines."""
    removed: int


async def log_implementation(
    root: Path, table: McpServerSettings, entry: Entry, environ: Mapping[str, str]
) -> tuple[FileChange, ...]:
    """What the server wrote about it, as changes of files of the spec. Raises ExecutorError."""
    server = server_of(table)
    if server.url is not None:
        raise ExecutorError("agent", f"The MCP server {server.name} is reached by HTTP and cannot write into a copy.")
    folder = f"{SPECS}{entry.spec}/"
    async with LocalRun(root, trusted=True, environ=environ) as run:
        async with (
            run.workplace(needs_of_servers([table])) as place,
            connected(server, run, place, connect_seconds=_CONNECT_SECONDS) as session,
        ):
            if TOOL not in {offer.name for offer in await session.offers()}:
                raise ExecutorError("agent", f"The MCP server {server.name} has no tool {TOOL}.")
            given = {
                "projectPath": str(place.path),
                "specName": entry.spec,
                "taskId": entry.task,
                "summary": entry.summary,
                "filesModified": list(entry.modified),
                "filesCreated": list(entry.created),
                "statistics": {"linesAdded": entry.added, "linesRemoved": entry.removed},
                # Which functions and components these are, nobody has looked at: nothing is made up.
                "artifacts": {},
            }
            answer = await session.call(TOOL, given, lambda _progress: None, seconds=_CALL_SECONDS)
        if answer.is_error:
            raise ExecutorError("agent", f"The MCP server {server.name} refused it: {answer.text.strip()[:500]}")
        return tuple(
            change
            for change in run.changes().files
            if change.path.startswith(folder)
            and change.path != f"{folder}tasks.md"
            and change.action in ("create", "modify")
        )
