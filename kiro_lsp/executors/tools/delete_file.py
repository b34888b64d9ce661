"""delete_file: remove one file."""

from __future__ import annotations

from collections.abc import Mapping

from kiro_lsp.executors.protocol import RunContext
from kiro_lsp.executors.tools.arguments import Arguments
from kiro_lsp.executors.tools.definition import Parameter, Tool, ToolResult
from kiro_lsp.executors.tools.missing import not_found


async def _execute(args: Arguments, run: RunContext) -> ToolResult:
    path = args.text("path")
    try:
        await run.delete(path)
    except FileNotFoundError:
        return await not_found(path, run, kind="delete")
    return ToolResult(f"Deleted {path}.", path=path, kind="delete")


def _title(args: Mapping[str, object]) -> str:
    return f"Delete {args.get('path') or '?'}"


TOOL = Tool(
    name="delete_file",
    kind="delete",
    phase="editing",
    description="Delete one file. Folders cannot be deleted; one without files disappears by itself.",
    parameters=(Parameter("path", "file", "Path of the file, relative to the project root.", example='"src/old.py"'),),
    execute=_execute,
    title=_title,
    writes=True,
)
