"""What a script wants done, in the words of the tools that a real agent program offers to its model.

A step of a script may hold `("@read", {"path"})`, `("@write", {"path", "text"})`, `("@edit", {"path", "old", "new"})` with
whole lines, and `("@run", {"command"})`. Paths are relative to the project. Which tools there are, and how they are called,
differs between programs; what the program sends along says which program it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

Json = dict[str, Any]
Call = Sequence[Any]

CODEX: Final = "functions.exec"
"""Codex has one tool, which runs JavaScript that calls the others."""


def are_wishes(calls: Sequence[Call]) -> bool:
    """Whether it is said what shall be done, and not with which tool."""
    return any(str(call[0]).startswith("@") for call in calls)


def with_tools(calls: Sequence[Call], offered: Collection[str]) -> list[Call]:
    """The calls with tools that were offered. Raises AssertionError where none fits."""
    return [_call(call, offered) for call in calls]


def _call(call: Call, offered: Collection[str]) -> Call:
    if not str(call[0]).startswith("@"):
        return call
    operation, given = call[0], call[1]
    for name, made in _TOOLS[operation].items():
        if name in offered:
            return (name, made(given))
    raise AssertionError(f"no tool for {operation} among {sorted(offered)}")


def _script(source: str) -> str:
    return f"text(await tools.{source});"


def _patch(*lines: str) -> str:
    patch = "\n".join(["*** Begin Patch", *lines, "*** End Patch"])
    return _script(f"apply_patch({json.dumps(patch)})")


def _command(command: str) -> str:
    return _script(f"exec_command({json.dumps({'cmd': command})})")


def _marked(mark: str, text: str) -> list[str]:
    return [f"{mark}{line}" for line in text.rstrip("\n").split("\n")]


_TOOLS: Final[Mapping[str, Mapping[str, Callable[[Json], Any]]]] = {
    "@read": {
        "Read": lambda given: {"file_path": given["path"]},
        "read_file": lambda given: {"file_path": given["path"]},
        "read": lambda given: {"filePath": given["path"]},
        CODEX: lambda given: _command(f"cat {given['path']}"),
    },
    "@write": {
        "Write": lambda given: {"file_path": given["path"], "content": given["text"]},
        "write_file": lambda given: {"file_path": given["path"], "content": given["text"]},
        "write": lambda given: {"filePath": given["path"], "content": given["text"]},
        CODEX: lambda given: _patch(f"*** Add File: {given['path']}", *_marked("+", given["text"])),
    },
    "@edit": {
        "Edit": lambda given: {
            "file_path": given["path"],
            "old_string": given["old"],
            "new_string": given["new"],
        },
        "replace": lambda given: {
            "file_path": given["path"],
            "old_string": given["old"],
            "new_string": given["new"],
            "instruction": "as the task says",
        },
        "edit": lambda given: {"filePath": given["path"], "oldString": given["old"], "newString": given["new"]},
        CODEX: lambda given: _patch(
            f"*** Update File: {given['path']}",
            "@@",
            *_marked("-", given["old"]),
            *_marked("+", given["new"]),
        ),
    },
    "@run": {
        "Bash": lambda given: {"command": given["command"], "description": "as the task says"},
        "run_shell_command": lambda given: {"command": given["command"], "description": "as the task says"},
        "bash": lambda given: {"command": given["command"], "description": "as the task says"},
        CODEX: lambda given: _command(given["command"]),
    },
}
