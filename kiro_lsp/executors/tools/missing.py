"""What to tell a model that names a file which is not there."""

from __future__ import annotations

import difflib
from posixpath import basename

from kiro_lsp.executors.protocol import RunContext
from kiro_lsp.executors.tools.definition import ToolKind, ToolResult


async def not_found(path: str, run: RunContext, *, kind: ToolKind) -> ToolResult:
    """An error result with up to five files that may have been meant: same name elsewhere, else a similar name."""
    listed = await run.list("")
    if any(other.startswith(f"{path}/") for other in listed):
        return ToolResult(
            f"{path} is a folder. Use list_files to see what is in it.", is_error=True, path=path, kind=kind
        )
    name = basename(path)
    meant = [other for other in listed if basename(other).casefold() == name.casefold()]
    meant += difflib.get_close_matches(path, listed[:5000], n=5, cutoff=0.8)
    close = list(dict.fromkeys(meant))[:5]
    hint = f" Did you mean: {', '.join(close)}?" if close else " Use list_files to see which files exist."
    return ToolResult(f"There is no file {path}.{hint}", is_error=True, path=path, kind=kind)
