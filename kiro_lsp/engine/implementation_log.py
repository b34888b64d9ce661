"""After a task of a spec-workflow spec was accepted and ticked: its entry in the implementation log, where a person asks for it.

The entry is the server's, written in a copy; here it is put into the project, file by file, each only if it still is what the
copy was made from. It is a record of what happened, so undo leaves it.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from kiro_lsp import events
from kiro_lsp.changes.model import FileChange
from kiro_lsp.changes.review import Review
from kiro_lsp.engine.disk import Change, Changed, Disk
from kiro_lsp.engine.workspace import Workspace
from kiro_lsp.errors import KiroError
from kiro_lsp.store import RunRecord, Store

if TYPE_CHECKING:
    from kiro_lsp.executors.mcp_log import Entry

_TASK_FILE: Final = re.compile(r"\.spec-workflow/specs/([^/]+)/tasks\.md")


async def logged(workspace: Workspace, store: Store, record: RunRecord, review: Review) -> list[str]:
    """Lines for the person; none where nobody asked for a log."""
    spec = _TASK_FILE.fullmatch(record.path)
    servers = (await asyncio.to_thread(workspace.settings)).settings.mcp_servers
    wanted = [server for server in servers.values() if server.enabled and server.log_implementation]
    if spec is None or not wanted:
        return []
    # Hardly anybody asks for it: what speaks to servers is imported for those who do.
    from kiro_lsp.executors.mcp_log import log_implementation

    entry = _entry(spec[1], store, record, review)
    notes = []
    for server in wanted:
        try:
            changes = await log_implementation(workspace.root, server, entry, workspace.environ)
            written = await asyncio.to_thread(_write, workspace, changes)
        except (KiroError, Changed, OSError) as problem:
            said = problem.message if isinstance(problem, KiroError) else str(problem)
            notes.append(f"No entry in the implementation log: {said}")
        else:
            notes.append(f"Logged by {server.name}: {', '.join(written) or 'nothing in the folder of the spec'}.")
    return notes


def _entry(spec: str, store: Store, record: RunRecord, review: Review) -> Entry:
    from kiro_lsp.executors.mcp_log import Entry

    accepted = set(review.accepted_files())
    files = [change for change in review.changes.files if change.path in accepted]
    hunks = [hunk for change in files for hunk in review.hunks(change.path)]
    said = [each.event for each in store.events(record.run_id) if isinstance(each.event, events.Complete)]
    return Entry(
        spec,
        record.task_id or record.task_key,
        (said[-1].summary if said else "") or record.title,
        tuple(change.path for change in files if change.action != "create"),
        tuple(change.path for change in files if change.action == "create"),
        sum(len(hunk.new) for hunk in hunks),
        sum(len(hunk.old) for hunk in hunks),
    )


def _write(workspace: Workspace, changes: Sequence[FileChange]) -> list[str]:
    """Put the files into the project. Raises Changed for one that is not what it was, OSError."""
    disk, written = Disk(workspace.root, f"log-{secrets.token_hex(4)}"), []
    for number, found in enumerate(changes):
        change = Change(
            found.path,
            found.base,
            found.proposed,
            found.base_mode,
            found.mode if found.base is None else found.base_mode,
            disk.missing_folders(found.path),
        )
        try:
            disk.lay(change, number)
            disk.swap(change, number)
        finally:
            disk.sweep(change, number)
        written.append(found.path)
    return written
