"""The tools a model may call, and the one place where a call is checked before it is carried out.

Every module of this package that defines `TOOL` is a tool: it is found by its place, in alphabetical order, so that the
list has the same bytes in every request and prompt caches hit. A tool works on a `RunContext` only. Whatever a model
gets wrong (a missing argument, a path outside the root, text that is not there) comes back as a result it can read and
act on, never as an exception; what ends a run (a cap, a cancel, a broken store) passes through untouched.

It knows no provider, no message format and no loop: `executors/toolloop.py` does.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from kiro_lsp.changes.edits.answer import Answer
from kiro_lsp.errors import Conflict, PathRefused, UnreadableFile
from kiro_lsp.executors.protocol import RunContext
from kiro_lsp.executors.tools import textanswer
from kiro_lsp.executors.tools.arguments import Arguments, BadArguments, checked
from kiro_lsp.executors.tools.definition import ForeignTool, Parameter, Tool, ToolKind, ToolResult
from kiro_lsp.sandbox import paths

__all__ = [
    "Arguments",
    "ForeignTool",
    "Parameter",
    "Tool",
    "ToolCall",
    "ToolKind",
    "ToolResult",
    "Toolbox",
    "all_tools",
]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """How a call is shown to a person before it ran: `phase` is a word of the `phase` event, `path` as the model spelt
    it.
    """

    title: str
    kind: ToolKind
    phase: str
    path: str | None


@cache
def all_tools() -> tuple[Tool, ...]:
    """Every tool of this package, sorted by name."""
    found: list[Tool] = []
    for module in pkgutil.iter_modules(__path__):
        tool = getattr(importlib.import_module(f"{__name__}.{module.name}"), "TOOL", None)
        if isinstance(tool, Tool):
            found.append(tool)
    return tuple(sorted(found, key=lambda tool: tool.name))


class Toolbox:
    """The tools of one run.

    `guarded` are root-relative paths that no tool may change (the task file: the tool ticks, never the model). `only`
    reduces the tools by name; an unknown name raises KeyError, because it is a mistake of the program. `foreign` are tools
    of somebody else's, offered after ours; their arguments are theirs to check.
    """

    def __init__(
        self,
        run: RunContext,
        *,
        guarded: Collection[str] = (),
        only: Collection[str] | None = None,
        foreign: Iterable[ForeignTool] = (),
    ) -> None:
        known = {tool.name: tool for tool in all_tools()}
        self._tools = known if only is None else {name: known[name] for name in sorted(only)}
        self._foreign = {tool.name: tool for tool in foreign}
        self._run = run
        self._guarded = frozenset(path.casefold() for path in guarded)

    @property
    def tools(self) -> tuple[Tool | ForeignTool, ...]:
        """`name`, `description` and `schema` of each are what a provider is told; the order is stable."""
        return *self._tools.values(), *self._foreign.values()

    def describe(self, name: str, args: object) -> ToolCall:
        """What to show for a call, also a malformed one. Never raises."""
        tool = self._tools.get(name) or self._foreign.get(name)
        if tool is None:
            return ToolCall(f"unknown tool {name!r}", "other", "thinking", None)
        given = args if isinstance(args, Mapping) else {}
        path = given.get("path") if isinstance(tool, Tool) else None
        return ToolCall(tool.title(given), tool.kind, tool.phase, path if isinstance(path, str) and path else None)

    async def call(self, name: str, args: object) -> ToolResult:
        """Carry out one call. `args` is the decoded JSON value the model sent, whatever it is.

        Raises nothing for a mistake of the model; ExecutorError (a cap), StoreError and CancelledError pass through.
        """
        if (foreign := self._foreign.get(name)) is not None:
            return await _called(foreign, args)
        tool = self._tools.get(name)
        if tool is None:
            there = ", ".join([*self._tools, *self._foreign])
            return ToolResult(f"There is no tool {name!r}. The tools are: {there}.", is_error=True)
        path: str | None = None
        try:
            values = checked(tool, args)
            path = self._resolved(tool, values)
            return await tool.execute(Arguments(values), self._run)
        except BadArguments as mistake:
            return ToolResult(str(mistake), is_error=True, path=path, kind=tool.kind)
        except (PathRefused, UnreadableFile, Conflict) as refused:
            return ToolResult(str(refused), is_error=True, path=path, kind=tool.kind)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as problem:
            return ToolResult(_as_sentence(problem), is_error=True, path=path, kind=tool.kind)

    async def stage(self, answer: Answer) -> tuple[ToolResult, tuple[str, ...]]:
        """Stage the edits of an answer; the result for the model, and the paths that changed. Raises as `call` does."""
        try:
            return await textanswer.stage(
                answer, self._run, lambda path: self._allowed(paths.resolve(self._run.root, path))
            )
        except (PathRefused, UnreadableFile, Conflict) as refused:
            return ToolResult(str(refused), is_error=True, kind="edit"), ()

    def _resolved(self, tool: Tool, values: dict[str, Any]) -> str | None:
        """Put the one spelling of each path into `values`; returns the path that the call is about."""
        about: str | None = None
        for parameter in tool.parameters:
            if parameter.type not in ("file", "folder") or parameter.name not in values:
                continue
            resolve = paths.resolve if parameter.type == "file" else paths.resolve_folder
            about = values[parameter.name] = resolve(self._run.root, values[parameter.name])
        return about if about is None else self._allowed(about, writes=tool.writes)

    def _allowed(self, path: str, *, writes: bool = True) -> str:
        """The path itself. Raises PathRefused for one that no agent may read or change."""
        if paths.holds_secrets(path):
            raise PathRefused(
                f"{path} may hold secrets and is not given to agents.",
                hint="Use an example file such as .env.example.",
            )
        if writes and path.casefold() in self._guarded:
            raise PathRefused(
                f"{path} is the task file. Its boxes are ticked by the tool after the person accepted the change, "
                "never by you.",
                hint="Leave it as it is, and end your turn when the work is done.",
            )
        return path


async def _called(tool: ForeignTool, args: object) -> ToolResult:
    """A tool of somebody else's, with whatever object of arguments the model sent."""
    if not isinstance(args, Mapping):
        return ToolResult(f"The arguments of {tool.name} must be a JSON object.", is_error=True, kind=tool.kind)
    try:
        return await tool.call(args)
    except PermissionError as denied:
        return ToolResult(_as_sentence(denied), is_error=True, kind=tool.kind)


def _as_sentence(problem: OSError) -> str:
    """An OSError of our own making is a sentence already; one of the system gets the file it is about."""
    if problem.strerror is None:
        return str(problem)
    return f"{problem.strerror}: {problem.filename}" if problem.filename else problem.strerror
