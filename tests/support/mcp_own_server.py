"""An MCP server of our own for the tests: a real program, over its pipes or by HTTP, that can also misbehave.

    python mcp_own_server.py stdio|http [HOW]

Its tools work on the folder that they are given, or on the one that it was started in. HOW is how it misbehaves: `silent`
never answers, `mute` only greets, `flood` writes without end, `dies` ends at the first call, `newest` knows only the newest
handshake, `noise` writes what is no message before its own.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

HOW = sys.argv[2] if len(sys.argv) > 2 else ""

if HOW == "silent":
    while sys.stdin.readline():
        pass
    sys.exit(0)
if HOW == "mute":
    import json

    asked = json.loads(sys.stdin.readline())
    hello = {
        "protocolVersion": "2025-11-25",
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "m", "version": "1"},
    }
    os.write(1, json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": hello}).encode() + b"\n")
    while sys.stdin.readline():
        pass
    sys.exit(0)
if HOW == "flood":
    while True:
        os.write(1, b'{"jsonrpc": "2.0", "method": "notifications/message", "params": {}}\n' * 500)
if HOW == "newest":
    import json

    while line := sys.stdin.readline():
        asked = json.loads(line)
        answers: dict[str, Any] = {
            "server/discover": {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}},
            "tools/list": {"tools": [{"name": "only", "inputSchema": {"type": "object", "properties": {}}}]},
            "tools/call": {"content": [{"type": "text", "text": "the newest"}]},
        }
        answer = answers.get(asked.get("method"))
        base = {"resultType": "complete", "ttlMs": 0, "cacheScope": "public"}
        said = (
            {"result": base | answer}
            if answer
            else {
                "error": {"code": -32022, "message": "too old", "data": {"supported": ["2026-07-28"], "requested": ""}}
            }
        )
        if "id" in asked:
            os.write(1, json.dumps({"jsonrpc": "2.0", "id": asked["id"], **said}).encode() + b"\n")
    sys.exit(0)
if HOW == "noise":
    os.write(1, b"Loading model...\n\xff\xfe not text\n[]\n{}\n")

from mcp import MCPError  # noqa: E402  # the misbehaving ones need no SDK
from mcp.server.mcpserver import Context, MCPServer  # noqa: E402  # the misbehaving ones need no SDK
from mcp.server.mcpserver.exceptions import ToolError  # noqa: E402
from mcp.types import SamplingMessage, TextContent  # noqa: E402
from pydantic import BaseModel  # noqa: E402

server = MCPServer("own")


class Tone(BaseModel):
    polite: bool
    name: str = "World"


WORDS = Path("words.txt")
"""In the folder that it is started in: what it says of its first tool."""


@server.tool(description=WORDS.read_text("utf-8") if WORDS.exists() else "Carries out a task by editing the project.")
async def run_task(instructions: str, project_path: str, ctx: Context[Any]) -> str:
    if HOW == "dies":
        sys.stderr.write("out of memory\n")
        sys.stderr.flush()
        os._exit(7)
    root = Path(project_path)
    Path(os.environ["MCP_OWN_LOG"]).write_text(instructions, "utf-8") if "MCP_OWN_LOG" in os.environ else None
    await ctx.report_progress(1, 3, "looking around")
    (root / "greeter.py").write_text("print('Good day')\n", "utf-8")
    await ctx.report_progress(2, 3, "editing greeter.py")
    (root / "docs").mkdir(exist_ok=True)
    (root / "docs" / "new.md").write_text("# New\n", "utf-8")
    (root / "old.txt").unlink(missing_ok=True)
    await ctx.report_progress(3, 3, "done")
    return "Greets politely now."


@server.tool(description="Fails after a change.")
async def fail(prompt: str) -> str:
    Path("half.txt").write_text("half\n", "utf-8")
    raise ToolError(f"cannot do it: {len(prompt)} characters are too many")


@server.tool(description="Never comes to an end.")
async def hang(prompt: str, ctx: Context[Any]) -> str:
    Path("begun.txt").write_text("begun\n", "utf-8")
    await ctx.report_progress(1, None, "hanging")
    await asyncio.to_thread(time.sleep, 3600)
    return ""


@server.tool(description="Asks how to greet.")
async def ask(task: str, ctx: Context[Any]) -> str:
    answer = await ctx.elicit("How shall it greet?", Tone)
    if answer.action != "accept":
        return f"nobody said: {answer.action}"
    Path("tone.txt").write_text(f"{answer.data.polite} {answer.data.name}\n", "utf-8")
    return f"polite={answer.data.polite} name={answer.data.name}"


@server.tool(description="Where the client says that the project is.")
async def roots(ctx: Context[Any]) -> str:
    listed = await ctx.session.list_roots()
    return f"roots: {' '.join(str(root.uri) for root in listed.roots)}"


@server.tool(description="Wants to use the client's model.")
async def sample(ctx: Context[Any]) -> str:
    message = SamplingMessage(role="user", content=TextContent(text="hello"))
    try:
        return str(await ctx.session.create_message([message], max_tokens=10))
    except MCPError as refused:
        return f"refused: {refused}"


@server.tool(description="Adds a line to a file of the project and says what it holds.")
async def note(path: str, line: str) -> str:
    file = Path(path)
    with file.open("a", encoding="utf-8") as opened:
        opened.write(line + "\n")
    return file.read_text("utf-8")


@server.tool(description="Says a lot.")
async def shout(size: int) -> str:
    return "x" * size


@server.tool(description="What it can see of the environment.")
async def environment() -> str:
    return "\n".join(f"{name}={value}" for name, value in sorted(os.environ.items()))


@server.tool(description="Whether an address can be reached.")
async def reach(port: int) -> str:
    import socket

    try:
        socket.create_connection(("127.0.0.1", port), 2).close()
    except OSError as error:
        return f"no: {error}"
    return "yes"


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        import uvicorn

        listening = uvicorn.Server(
            uvicorn.Config(server.streamable_http_app(), host="127.0.0.1", port=0, log_level="error")
        )
        original = listening.startup

        async def startup(sockets: Any = None) -> None:
            await original(sockets)
            print(listening.servers[0].sockets[0].getsockname()[1], flush=True)

        listening.startup = startup  # type: ignore[method-assign]
        listening.run()
