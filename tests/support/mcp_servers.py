"""Our own MCP server as tests use it: over its pipes, or by HTTP on 127.0.0.1 for as long as a context lasts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kiro_lsp.settings import AgentSettings, McpServerSettings

SCRIPT = str(Path(__file__).with_name("mcp_own_server.py"))


def own_server(how: str = "", **more: Any) -> McpServerSettings:
    """The table `[mcp.servers.own]`."""
    return McpServerSettings("own", command=sys.executable, args=(SCRIPT, "stdio", *([how] if how else [])), **more)


def own_agent(tool: str | None, how: str = "", **more: Any) -> AgentSettings:
    """An agent of type "mcp" with our server, without network."""
    server = own_server(how)
    given = {"command": server.command, "args": server.args, "network": "none", **more}
    return AgentSettings("own", type="mcp", label="Own", tool=tool, **given)


@contextmanager
def by_http() -> Iterator[str]:
    """The address of our server, run as somebody else's process."""
    with subprocess.Popen([sys.executable, SCRIPT, "http"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/mcp"
        finally:
            process.kill()
