"""`init` and `trust`: a project's configuration, and what of it the person allows.

`init` never overwrites a file. `trust` grants exactly what it has shown: the digest covers the project's place and
every value that could start a program, send data elsewhere or spend money.
"""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from kiro_lsp.engine.workspace import PROJECT_CONFIG, Workspace
from kiro_lsp.errors import RunRefused, UnreadableFile, Untrusted, UsageError
from kiro_lsp.settings.templates import init_config_text
from kiro_lsp.spec.templates import init_spec_files
from kiro_lsp.terminal.console import Console
from kiro_lsp.terminal.project import open_project
from kiro_lsp.terminal.questions import Choice, Terminal


def init(args: argparse.Namespace, console: Console) -> int:
    """Write what is missing: the configuration, and with `--spec` a spec to start from."""
    root = Path(args.root if args.root is not None else ".")
    if not root.is_dir():
        raise UnreadableFile(f"{str(root)!r} is not a folder.", hint="Name the project's folder.")
    files: dict[str, str] = {PROJECT_CONFIG: init_config_text()}
    if args.spec is not None:
        files |= _spec_files(args.spec)
    created: list[str] = []
    kept: list[str] = []
    for relative, text in files.items():
        (created if _create(root / relative, text) else kept).append((root / relative).as_posix())
    if console.json:
        console.value({"created": created, "kept": kept})
        return 0
    for path in created:
        console.line(f"wrote {path}")
    for path in kept:
        console.line(f"kept  {path} (it was there)")
    task_file = next((path for path in [*created, *kept] if path.endswith("tasks.md")), None)
    if task_file is not None:
        console.say(f"Next: edit it, then open it in your editor, or: kiro-lsp run {task_file} 1")
    return 0


def _spec_files(name: str) -> Mapping[str, str]:
    try:
        return init_spec_files(name)
    except ValueError as error:
        raise UsageError(
            f"{name!r} cannot be a spec's name: {error}.", hint="Use letters, digits and dashes."
        ) from error


def _create(path: Path, text: str) -> bool:
    """Write a new file; False when there is one already, which stays as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


def trust(args: argparse.Namespace, console: Console) -> int:
    """Show, grant or take back a project's trust."""
    with open_project(args.path) as project:
        workspace = project.workspace
        if args.revoke:
            workspace.revoke()
        elif args.yes is not None:
            workspace.grant(args.yes)
        elif args.once:
            workspace.grant(workspace.digest(), once=True)
        elif not args.show:
            _ask(workspace, console)
        _report(workspace, console)
        if args.once:
            console.say("That ends with this command. For one run: kiro-lsp run --trust PATH TASK")
    return 0


def _ask(workspace: Workspace, console: Console) -> None:
    digest = workspace.digest()
    if workspace.trust() == "trusted":
        return
    with Terminal.open() as terminal:
        if terminal is None or console.json:
            raise Untrusted(
                f"The project {str(workspace.root)!r} is not trusted, and there is nobody to ask.",
                digest=digest,
                hint=f"Look with --show, then: kiro-lsp trust {_given(workspace)} --yes {digest}",
            )
        terminal.show(_shown(workspace))
        choices = [Choice("yes", "yes, trust exactly this"), Choice("no", "no")]
        if terminal.ask("Trust this project?", choices, "no") != "yes":
            raise RunRefused(
                "Nothing was trusted.", code="untrusted", hint="Tasks can be read and marked, but not run."
            )
    workspace.grant(digest)


def _given(workspace: Workspace) -> str:
    relative = os.path.relpath(workspace.root)
    return relative if not relative.startswith("..") else str(workspace.root)


def _shown(workspace: Workspace) -> str:
    values = workspace.asked_for().trust_values
    lines = [f"Project: {workspace.root}"]
    if values:
        lines.append("It asks for these values, which have no effect before it is trusted:")
        lines += [f"  {value.key} = {value.value}  ({value.source})" for value in values]
    else:
        lines.append("It asks for nothing that needs trust.")
    return "\n".join(lines) + "\n"


def _report(workspace: Workspace, console: Console) -> None:
    allowed = workspace.store.allowed_argv(workspace.real_root).values()
    if console.json:
        console.value(
            {
                "root": str(workspace.root),
                "state": workspace.trust(),
                "digest": workspace.digest(),
                "values": [
                    {"key": value.key, "value": value.value, "source": value.source}
                    for value in workspace.asked_for().trust_values
                ],
                "allowedCommands": [list(argv) for argv in allowed],
            }
        )
        return
    console.line(_shown(workspace).rstrip("\n"))
    for argv in allowed:
        console.line(f"Always allowed: {shlex.join(argv)}")
    console.line(f"State: {workspace.trust()}")
    console.line(f"Digest: {workspace.digest()}")
