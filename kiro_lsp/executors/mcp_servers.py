"""From `[mcp.servers.NAME]` and an agent's own settings to a server that can be reached, and what it needs of its place."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace

from kiro_lsp.errors import ExecutorError
from kiro_lsp.executors.mcp_client import Server
from kiro_lsp.executors.protocol import Needs
from kiro_lsp.executors.ways import ANY_HOST, needs_of
from kiro_lsp.settings import AgentSettings, McpServerSettings


def server_of(settings: McpServerSettings) -> Server:
    """Raises ExecutorError for a table that says neither a program nor an address, or both."""
    if (settings.command is None) == (settings.url is None):
        raise ExecutorError(
            "agent",
            f"[mcp.servers.{settings.name}] names {'both a command and' if settings.url else 'neither a command nor'} a url.",
            hint="Name the program of a stdio server, or the address of an HTTP server.",
        )
    argv = (settings.command, *settings.args) if settings.command else ()
    return Server(settings.name, argv, dict(settings.env), settings.url)


def needs_of_servers(servers: Iterable[McpServerSettings]) -> Needs:
    """What one copy must allow, so that all of them can work in it."""
    programs = [server for server in servers if server.command is not None]
    hosts = tuple(sorted({host for server in programs for host in server.hosts}))
    paths = _paths(part for server in programs for part in (server.command or "", *server.args))
    if ANY_HOST in hosts:
        return Needs("open", programs=paths)
    return Needs("hosts" if hosts else "none", hosts, programs=paths)


def server_of_agent(agent: AgentSettings) -> Server:
    """The server of an agent of type "mcp", whose settings hold those of the server that it names. Raises ExecutorError."""
    if (agent.command is None) == (agent.endpoint is None):
        raise ExecutorError(
            "agent",
            f"agents.{agent.name} does not say which MCP server is meant.",
            hint=f"Set agents.{agent.name}.server to one of [mcp.servers], or command, or endpoint.",
        )
    argv = (agent.command, *(agent.args or ())) if agent.command else ()
    return Server(agent.server or agent.name, argv, dict(agent.env), agent.endpoint)


def needs_of_agent(agent: AgentSettings, server: Server) -> Needs:
    """A server that is reached by HTTP runs outside of every sandbox: only a path that it can see is of use to it."""
    return replace(needs_of(agent), programs=_paths(server.argv), shared=server.url is not None)


def _paths(parts: Iterable[str]) -> tuple[str, ...]:
    return tuple(part for part in parts if os.path.isabs(part))
