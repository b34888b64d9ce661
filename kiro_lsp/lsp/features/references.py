"""Everything in a spec that names a task, and the tasks that cover a requirement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from kiro_lsp.lsp.client import Client
from kiro_lsp.lsp.features import definition

if TYPE_CHECKING:
    from kiro_lsp.lsp.views import View
    from kiro_lsp.spec.requirements import Requirement

NEEDS = ("kiro_lsp.spec.navigation.targets",)
_READ: Final = 2
_WRITE: Final = 3


def capabilities(_client: Client) -> dict[str, Any]:
    return {"referencesProvider": True, "documentHighlightProvider": True}


async def references(view: View, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    line, column = view.position(params.get("position"))  # type: ignore[arg-type]
    context = params.get("context")
    declared = isinstance(context, Mapping) and context.get("includeDeclaration") is True
    tasks = await definition.task_view(view)
    if tasks is None:
        return []
    named = await definition.task_at(view, tasks, line, column)
    if named is not None:
        return await _of_task(tasks, named.key, declared=declared)
    found = await definition.requirements_at(view, tasks, line, column)
    entries = found[1] if found is not None else await _begun(view, tasks, line)
    return await _of_requirements(tasks, entries, declared=declared)


async def _of_task(tasks: View, key: str, *, declared: bool) -> list[dict[str, Any]]:
    """The task file first, then the documents beside it."""
    own = (await definition.task_places(tasks)).own.get(key)
    found = [_location(tasks, definition.range_of(tasks, own))] if declared and own is not None else []
    beside = [await tasks.sibling(path) for path in await tasks.documents()]
    for document in (tasks, *beside):
        if document is None or (document is not tasks and document.is_task_file):
            continue
        named = await definition.named_in(document, tasks)
        found += [_location(document, definition.range_of(document, one.spot)) for one in named if one.key == key]
    return found


async def _begun(view: View, tasks: View, line: int) -> tuple[Requirement, ...]:
    """The requirement whose heading or criterion a line of its document is."""
    from kiro_lsp.spec.navigation.targets import requirement_in_line

    entry = None if view.is_task_file else requirement_in_line(await tasks.requirements(), view.path, line)
    return () if entry is None else (entry,)


async def _of_requirements(tasks: View, entries: tuple[Requirement, ...], *, declared: bool) -> list[dict[str, Any]]:
    if not entries:
        return []
    found = []
    if declared:
        for entry in entries:
            uri, _whole, name = await definition.requirement_goal(tasks, entry)
            found.append({"uri": uri, "range": name})
    covering = await definition.covering(tasks)
    lines = {task.line for entry in entries for task in covering.get((entry.path, entry.line), ())}
    return [*found, *(_location(tasks, definition.line_of(tasks, line)) for line in sorted(lines))]


async def highlight(view: View, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The places of this document that name the task at the cursor."""
    line, column = view.position(params.get("position"))  # type: ignore[arg-type]
    tasks = await definition.task_view(view)
    here = await definition.task_at(view, tasks, line, column) if tasks is not None else None
    if tasks is None or here is None:
        return []
    own = (await definition.task_places(tasks)).own.get(here.key) if view.is_task_file else None
    found = [{"range": definition.range_of(view, own), "kind": _WRITE}] if own is not None else []
    named = await definition.named_in(view, tasks)
    found += [{"range": definition.range_of(view, one.spot), "kind": _READ} for one in named if one.key == here.key]
    return found


def _location(view: View, where: dict[str, Any]) -> dict[str, Any]:
    return {"uri": view.uri, "range": where}


METHODS = {"textDocument/references": references, "textDocument/documentHighlight": highlight}
EMPTY: dict[str, Any] = {"textDocument/references": [], "textDocument/documentHighlight": []}
