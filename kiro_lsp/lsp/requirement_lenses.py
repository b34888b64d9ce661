"""What stands above each requirement: how many tasks cover it and how many of them are done; and what a click shows.

A click sends `kiroLsp.showTasks`, which every client can send. What shows a list of places by itself (Neovim's quickfix list)
carries the command out in the client, by `textDocument/references`; for the others the server asks which task is meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from kiro_lsp.errors import UsageError
from kiro_lsp.lsp.endpoint import ResponseError
from kiro_lsp.lsp.features import definition
from kiro_lsp.lsp.views import View, Views
from kiro_lsp.spec.model import Task
from kiro_lsp.spec.navigation.coverage import Coverage, coverage_of

_DEFINING: Final = frozenset({"requirements.md", "bugfix.md", "spec.md"})
_BUTTONS: Final = 20
_LISTED: Final = 50
_TITLE: Final = 60


async def covered(view: View) -> list[Coverage]:
    """What the tasks do for the requirements of a document; nothing for a document that defines none."""
    if view.path.rpartition("/")[2].lower() not in _DEFINING:
        return []
    found: list[Coverage] = []
    for tasks in await view.task_views():
        covering, index = await definition.covering(tasks), await tasks.requirements()
        found += [one for one in coverage_of(covering, index, view.path) if one.line < len(view.lines)]
    return found


def lens(view: View, one: Coverage) -> dict[str, Any]:
    """Complete for every client."""
    argument = {"uri": view.uri, "requirement": one.ref}
    command = {"title": one.title, "command": "kiroLsp.showTasks", "arguments": [argument]}
    return {"range": view.range(one.line, 0, 0), "command": command}


# The command


async def show_tasks(views: Views, uri: str, requirement: str) -> None:
    """Show the tasks that cover a requirement. Raises UsageError when the document, or that requirement, is not there."""
    view = await views.of(uri)
    tasks = None if view is None else await definition.task_view(view)
    if view is None or tasks is None:
        raise UsageError(f"{uri} is no document of a spec with tasks.", hint="Open its tasks.md first.")
    index = await tasks.requirements()
    entries = [entry for entry in index.resolve([requirement])[0] if entry.path == view.path]
    if not entries:
        raise UsageError(f"{view.path} does not define {requirement}.", hint="Refresh the lenses, and click again.")
    covering = await definition.covering(tasks)
    found = covering.get((entries[0].path, entries[0].line), [])
    if not found:
        _say(views, f"No task of {tasks.path} refers to {requirement}.")
    elif not views.client.shows_documents:
        more = f"\nand {len(found) - _LISTED} more" if len(found) > _LISTED else ""
        _say(views, "\n".join(f"{tasks.path}:{task.line + 1} {_name(task)}" for task in found[:_LISTED]) + more)
    else:
        await _choose(tasks, requirement, found)


async def show_task(views: Views, uri: str, selector: str) -> None:
    """Show one task of a task file. Raises UsageError when it is not there."""
    from kiro_lsp.spec import tasks

    view = await views.of(uri)
    if view is None or not view.is_task_file:
        raise UsageError(f"{uri} is no task file.")
    task = tasks.find(await view.task_list(), selector)
    if views.client.shows_documents:
        await _choose(view, selector, [task])
    else:
        _say(views, f"{view.path}:{task.line + 1} {_name(task)}")


async def _choose(tasks: View, requirement: str, found: Sequence[Task]) -> None:
    """Of several tasks the person says which one, unless the client has no answer; the first is shown then."""
    by_name = {f"{task.line + 1}: {_name(task)}": task for task in found[:_BUTTONS]}
    chosen = found[0]
    try:
        if len(found) > 1:
            actions = [{"title": title} for title in by_name]
            asked = {"type": 3, "message": f"Which task of {requirement}?", "actions": actions}
            answer = await tasks.views.endpoint.request("window/showMessageRequest", asked)
            title = answer.get("title") if isinstance(answer, Mapping) else None
            if title not in by_name:
                return
            chosen = by_name[title]
        at = definition.line_of(tasks, chosen.line)
        await tasks.views.endpoint.request(
            "window/showDocument", {"uri": tasks.uri, "takeFocus": True, "selection": at}
        )
    except ResponseError as error:
        _say(tasks.views, f"The editor did not show the task: {error}")


def _name(task: Task) -> str:
    title = task.title if len(task.title) <= _TITLE else f"{task.title[: _TITLE - 1]}…"
    return f"{task.id} {title} ({task.status})" if task.id else f"{title} ({task.status})"


def _say(views: Views, message: str) -> None:
    views.endpoint.notify("window/showMessage", {"type": 3, "message": message})
