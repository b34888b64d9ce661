"""An MCP server whose only tool does what a script says, in the folder that it is given: {"say", "edits", "last", "then"}."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from mcp.server.mcpserver import Context, MCPServer

SCRIPT = json.loads(sys.argv[1])
server = MCPServer("scripted")


@server.tool()
async def do_task(prompt: str, project_path: str, context: Context) -> str:
    """Do the task."""
    await context.report_progress(1, 2, SCRIPT["say"])
    for path, text in SCRIPT["edits"].items():
        place = Path(project_path, path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, "utf-8")
    if SCRIPT["then"] == "hold":
        await context.report_progress(1, 2, "I think.")
        await asyncio.Event().wait()
    return str(SCRIPT["last"])


server.run("stdio")
