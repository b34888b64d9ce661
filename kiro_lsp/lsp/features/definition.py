"""From an id to its task or requirement, from a path to its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from kiro_lsp.lsp.client import Client

if TYPE_CHECKING:
    from kiro_lsp.lsp.views import View
    from kiro_lsp.spec.model import Task
    from kiro_lsp.spec.navigation.targets import Named, Spot, TaskPlaces
    from kiro_lsp.spec.requirements import Requirement

NEEDS = ("kiro_lsp.spec.navigation.targets", "kiro_lsp.lsp.features.links")

Goal = tuple[str, dict[str, Any], dict[str, Any]]
"""URI, range of the whole, range of the name in it."""


def capabilities(_client: Client) -> dict[str, Any]:
    return {"definitionProvider": True}


async def definition(view: View, params: Mapping[str, Any]) -> Any:
    line, column = view.position(params.get("position"))  # type: ignore[arg-type]
    tasks = await task_view(view)
    if tasks is not None:
        named = await task_at(view, tasks, line, column)
        if named is not None:
            return _answer(view, named.spot, [await _task_goal(tasks, named.key)])
        found = await requirements_at(view, tasks, line, column)
        if found is not None:
            return _answer(view, found[0], [await requirement_goal(tasks, entry) for entry in found[1]])
    return await _file(view, line, column)


async def _file(view: View, line: int, column: int) -> Any:
    from kiro_lsp.lsp import convert
    from kiro_lsp.lsp.features.links import files_of
    from kiro_lsp.spec.navigation.targets import paths_in_line

    here = [place for place in paths_in_line(await view.parsed(), line) if place.spot.holds(line, column)]
    for place, path in await files_of(view, here):
        start = {"line": place.at or 0, "character": 0}
        whole = {"start": start, "end": start}
        return _answer(view, place.spot, [(convert.uri_of(view.root / path), whole, whole)])
    return None


def _answer(view: View, origin: Spot, goals: Sequence[Goal]) -> list[dict[str, Any]]:
    if not view.client.takes_location_links:
        return [{"uri": uri, "range": name} for uri, _whole, name in goals]
    return [
        {
            "originSelectionRange": range_of(view, origin),
            "targetUri": uri,
            "targetRange": whole,
            "targetSelectionRange": name,
        }
        for uri, whole, name in goals
    ]


async def _task_goal(tasks: View, key: str) -> Goal:
    parsed, places = await tasks.parsed(), await task_places(tasks)
    task = next(task for task in parsed.task_list.tasks if task.key == key)
    last = max(task.line, min(task.end_line, len(tasks.lines)) - 1)
    whole = tasks.span((task.line, 0), (last, len(tasks.lines[last].rstrip("\r\n"))))
    own = places.own.get(key)
    return tasks.uri, whole, line_of(tasks, task.line) if own is None else range_of(tasks, own)


async def requirement_goal(tasks: View, entry: Requirement) -> Goal:
    """Where a requirement is defined, in its document as it is in the editor."""
    from kiro_lsp.lsp import convert
    from kiro_lsp.spec.lines import split_lines
    from kiro_lsp.spec.navigation.targets import definition_in

    document = await tasks.sibling(entry.path)
    if document is not None:
        uri, lines = document.uri, document.lines
    else:
        uri = convert.uri_of(tasks.root / entry.path)
        lines = split_lines((await tasks.documents()).get(entry.path, ""))
    spot = definition_in(lines, entry)
    end = len(lines[entry.line].rstrip("\r\n")) if entry.line < len(lines) else 0
    whole = convert.range_in(lines, entry.line, 0, end, tasks.encoding)
    return uri, whole, convert.range_in(lines, spot.line, spot.start, spot.end, tasks.encoding)


# What references, highlights and lenses share


async def task_view(view: View) -> View | None:
    return next(iter(await view.task_views()), None)


async def task_places(tasks: View) -> TaskPlaces:
    """Where a task file defines and names its tasks, found once for each text."""
    from kiro_lsp.spec.navigation.targets import task_places as find

    if "task places" not in tasks.cache:
        parsed = await tasks.parsed()
        tasks.cache["task places"] = await tasks.made(lambda: find(parsed))
    return cast("TaskPlaces", tasks.cache["task places"])


async def named_in(view: View, tasks: View) -> Sequence[Named]:
    """The places of a document that name tasks of the task file; the tasks' own ids are none."""
    from kiro_lsp.spec.navigation.targets import mentions_of_tasks

    places = await task_places(tasks)
    if view.is_task_file:
        return places.named
    kept = view.cache.get("mentions of tasks")
    if kept is None or kept[0] is not places:
        kept = (places, await view.made(lambda: mentions_of_tasks(view.lines, places)))
        view.cache["mentions of tasks"] = kept
    return cast("Sequence[Named]", kept[1])


async def task_at(view: View, tasks: View, line: int, column: int) -> Named | None:
    """The task whose id, or a reference to it, stands at a place."""
    from kiro_lsp.spec.navigation.targets import named_at, own_at

    found = own_at(await task_places(tasks), line, column) if view.is_task_file else None
    return found or named_at(await named_in(view, tasks), line, column)


async def requirements_at(
    view: View, tasks: View, line: int, column: int
) -> tuple[Spot, tuple[Requirement, ...]] | None:
    """The requirements that are named at a place."""
    from kiro_lsp.spec.navigation.targets import requirements_at as find

    index = await tasks.requirements()
    return find(view.lines, index, view.path, line, column, tasks=view.is_task_file)


async def covering(tasks: View) -> Mapping[tuple[str, int], list[Task]]:
    """(Path, line) of a requirement → the tasks that cover it, found once for each text and what stands beside it."""
    from kiro_lsp.spec.navigation.targets import tasks_by_requirement

    index, parsed = await tasks.requirements(), await tasks.parsed()
    kept = tasks.cache.get("covering")
    if kept is None or kept[0] is not index:
        kept = (index, await tasks.made(lambda: tasks_by_requirement(parsed.task_list.tasks, index)))
        tasks.cache["covering"] = kept
    return cast("Mapping[tuple[str, int], list[Task]]", kept[1])


def range_of(view: View, spot: Spot) -> dict[str, Any]:
    return view.range(spot.line, spot.start, spot.end)


def line_of(view: View, line: int) -> dict[str, Any]:
    text = view.lines[line].rstrip("\r\n")
    return view.range(line, len(text) - len(text.lstrip()), len(text))


METHODS = {"textDocument/definition": definition}
