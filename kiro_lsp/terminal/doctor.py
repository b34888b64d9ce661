"""`doctor`: what is found, missing and wrong on this machine and in this project, and what to do about it.

Looking starts no agent and prints no key; in a trusted project servers of your own are asked whether they are there, without
a key. Only `doctor --live AGENT` makes a call: one, the smallest there is, priced and confirmed first, and booked like any
other.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from kiro_lsp import __version__
from kiro_lsp.engine.checks import checks_of
from kiro_lsp.engine.workspace import PROJECT_CONFIG, Workspace, user_config_path
from kiro_lsp.errors import KiroError, StoreError
from kiro_lsp.sandbox import programs
from kiro_lsp.settings.providers import STANDARD_KEYS
from kiro_lsp.store import state_dir
from kiro_lsp.terminal.console import Console
from kiro_lsp.terminal.logfile import log_path
from kiro_lsp.terminal.project import open_project

Status = Literal["ok", "note", "warning", "error"]
_MARK: dict[Status, str] = {"ok": "✓", "note": "·", "warning": "!", "error": "✗"}
_COLOUR: dict[Status, int] = {"ok": 32, "note": 2, "warning": 33, "error": 31}

TASK_FILES = (
    ".kiro/specs/*/tasks.md",
    ".spec-workflow/specs/*/tasks.md",
    "specs/*/tasks.md",
    "openspec/changes/*/tasks.md",
)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `hint` says what to do, where there is something to do."""

    name: str
    status: Status
    message: str
    hint: str = ""


def doctor(args: argparse.Namespace, console: Console) -> int:
    """Look at everything. 1 when something is wrong, 0 also when something is missing that not everybody needs."""
    if args.live:
        from kiro_lsp.terminal import live_call

        return live_call.make(args.live, args.root, confirmed=args.yes, console=console)
    checks = [*_machine(), *_project(args.root)]
    ok = all(check.status != "error" for check in checks)
    if console.json:
        listed = [
            {"name": check.name, "status": check.status, "message": check.message, "hint": check.hint}
            for check in checks
        ]
        console.value({"ok": ok, "version": __version__, "python": platform.python_version(), "checks": listed})
    else:
        for check in checks:
            _print(check, console)
    return 0 if ok else 1


def _print(check: Check, console: Console) -> None:
    from kiro_lsp.terminal.console import visible

    mark = console.styled(_MARK[check.status], _COLOUR[check.status])
    console.print(f"{mark} {check.name}: {visible(check.message)}")
    if check.hint:
        console.print(f"    → {visible(check.hint)}")


def _machine() -> Iterator[Check]:
    yield Check("kiro-lsp", "ok", f"{__version__}, run by {sys.executable}")
    yield Check("Python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield _state_folder()
    for package in ("pygls", "lsprotocol", "anthropic", "openai"):
        yield _package(package)
    yield _program(
        "git", "warning", "Without it accepted changes cannot be committed, and ignore rules are read by us."
    )
    yield _program("rg", "note", "Searching works without ripgrep; it is slower in large projects.")
    yield Check(
        "isolation",
        "note",
        "commands of agents run in a plain copy of the project, not sandboxed; each one is asked for",
    )


def _state_folder() -> Check:
    folder = state_dir(os.environ)
    try:
        with open_project(None) as project:
            count = len(project.store.runs(root=None, limit=1000))
    except (StoreError, OSError) as error:
        return Check(
            "state", "error", str(error), "Make the folder writable, or name another one with KIRO_LSP_STATE_DIR."
        )
    return Check("state", "ok", f"{folder} ({count} runs); log: {log_path()}")


def _package(name: str) -> Check:
    try:
        return Check(name, "ok", metadata.version(name))
    except metadata.PackageNotFoundError:
        return Check(
            name, "error", "not installed", f"Install kiro-lsp again: {sys.executable} -m pip install kiro-lsp"
        )


def _program(name: str, missing: Status, hint: str) -> Check:
    path = programs.find_program(name, os.environ, [Path.cwd()])
    return Check(name, "ok", path) if path is not None else Check(name, missing, "not found on PATH", hint)


def _project(given: str | None) -> Iterator[Check]:
    try:
        with open_project(given) as project:
            workspace = project.workspace
            yield Check("project", "ok", str(workspace.root))
            yield from _configuration(workspace)
            yield _trust(workspace)
            yield _verify(workspace)
            yield from _task_files(workspace.root)
            yield from _agents(workspace)
            yield from _mcp_servers(workspace)
    except StoreError:
        return  # said by the check of the state folder
    except KiroError as error:
        yield Check("project", "error", error.message, error.hint)


def _configuration(workspace: Workspace) -> Iterator[Check]:
    loaded = workspace.settings()
    for path in (workspace.root / PROJECT_CONFIG, user_config_path(os.environ)):
        found = path.is_file()
        yield Check("configuration", "ok" if found else "note", f"{path}" + ("" if found else " (none; defaults)"))
    for path in (workspace.root / "kiro.toml", workspace.root / ".kiro/kiro.toml"):
        if path.is_file():
            hint = f"Move it to {workspace.root / PROJECT_CONFIG}."
            yield Check("configuration", "warning", f"{path} is not read: no limit that it sets holds", hint)
    for problem in loaded.problems:
        status: Status = (
            "error" if problem.severity == "error" else "warning" if problem.severity == "warning" else "note"
        )
        yield Check(
            "configuration", status, f"{problem.path}:{problem.line + 1}:{problem.column + 1}: {problem.message}"
        )
    if not loaded.settings.kiro.enabled:
        yield Check(
            "running tasks",
            "warning",
            "switched off (kiro.enabled = false)",
            "Set KIRO_ENABLED=true, or kiro.enabled = true.",
        )


def _trust(workspace: Workspace) -> Check:
    state = workspace.trust()
    values = workspace.asked_for().trust_values
    if state == "untrusted" and values:
        names = ", ".join(value.key for value in values)
        return Check(
            "trust", "warning", f"not trusted; these have no effect yet: {names}", "Look at them: kiro-lsp trust --show"
        )
    if state == "untrusted":
        return Check("trust", "note", "not asked yet; the first run asks once")
    return Check("trust", "ok", state)


def _verify(workspace: Workspace) -> Check:
    """What changes are verified with, or could be. Nothing of it is run."""
    configured = workspace.settings().settings.execution.verify_command
    if configured:
        return Check("verify", "ok", shlex.join(configured))
    found = [f"{shlex.join(check.argv)} ({check.why})" for check in checks_of(workspace.root)]
    if not found:
        return Check("verify", "note", "no verify command is set, and no check of this project was found")
    hint = "Set execution.verify_command in kiro.toml, or ask for it in a run: kiro-lsp run PATH TASK --verify"
    return Check("verify", "note", f"no verify command is set; found here: {', '.join(found)}", hint)


def _mcp_servers(workspace: Workspace) -> Iterator[Check]:
    """Where the configured servers are. None is started or connected to."""
    for server in workspace.settings().settings.mcp_servers.values():
        name = f"MCP server {server.name}"
        hint = f"Set command, or url, of [mcp.servers.{server.name}]."
        if not server.enabled:
            yield Check(name, "note", "switched off")
        elif (server.command is None) == (server.url is None):
            yield Check(
                name, "error", "it has neither a command nor a url" if server.url is None else "it has both", hint
            )
        elif server.command is None:
            yield Check(name, "ok", f"{server.url}, outside of every sandbox")
        else:
            path = programs.find_program(server.command, os.environ, [workspace.root])
            said = f"{path}, started in the copy of a run" if path else f"{server.command} was not found on the PATH"
            yield Check(name, "ok" if path else "error", said, "" if path else hint)


def _task_files(root: Path) -> Iterator[Check]:
    found = sorted(path.relative_to(root).as_posix() for pattern in TASK_FILES for path in root.glob(pattern))
    if not found:
        yield Check("task files", "note", "none in the usual places", "Start one with: kiro-lsp init --spec NAME")
        return
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    yield Check("task files", "ok", ", ".join(found[:5]) + more)


def _agents(workspace: Workspace) -> Iterator[Check]:
    known = workspace.agents()
    recommended = workspace.recommended()
    wanted = workspace.settings().settings.kiro.default_agent
    for info in known:
        yield Check(
            f"agent {info.name}", "ok" if info.available else "note", f"{info.label} by {info.way}: {info.reason}"
        )
    for name in STANDARD_KEYS:
        if os.environ.get(name):
            yield Check("key", "ok", f"{name} is set")
    if wanted != "auto" and wanted not in {info.name for info in known}:
        names = ", ".join(info.name for info in known)
        yield Check(
            "default agent", "error", f"{wanted!r} is no agent", f"Set kiro.default_agent to one of: auto, {names}"
        )
    elif recommended is None:
        hint = "Set ANTHROPIC_API_KEY where the editor or this shell is started; or see it without a key: kiro-lsp demo"
        yield Check("recommended agent", "warning", "none is available", hint)
    else:
        yield Check(
            "recommended agent",
            "ok",
            f"{recommended.label} by {recommended.way}, model {recommended.model or 'its own'}",
        )
