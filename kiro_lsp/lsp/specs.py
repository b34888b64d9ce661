"""The specs of the open projects with their tasks, for clients that show them as a tree."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from kiro_lsp.lsp.aside import aside
from kiro_lsp.lsp.views import View, Views
from kiro_lsp.spec.model import Task
from kiro_lsp.spec.tasks import summary


async def specs_json(views: Views, root: Path | None, uri: str | None) -> list[dict[str, Any]]:
    """Every task file of the open projects, of one project, or (with `uri`) that one alone, which then lists its tasks."""
    if uri is not None:
        one = await views.of(uri)
        listed = [one] if one is not None and one.is_task_file else []
    else:
        listed = [view for view in await views.task_views() if root is None or view.root == root]
    return [await views.as_it_is(view, partial(_spec, with_tasks=uri is not None)) for view in listed]


async def _spec(view: View, *, with_tasks: bool) -> dict[str, Any]:
    parsed = await view.read()
    listed = await view.task_list()
    counts = await aside(summary, listed)
    spec: dict[str, Any] = {
        "root": str(view.root),
        "path": view.path,
        "uri": view.uri,
        "name": _name(view.path),
        "dialect": parsed.dialect,
        "total": counts.total,
        "done": counts.done,
    }
    return spec | {"tasks": await aside(_tasks, listed.tasks)} if with_tasks else spec


def _tasks(tasks: tuple[Task, ...]) -> list[Mapping[str, Any]]:
    return [
        {"key": task.key, "id": task.id, "title": task.title, "status": task.status, "line": task.line}
        | {"depth": task.depth, "parent": task.parent}
        for task in tasks
        if not task.criterion and not task.withdrawn
    ]


def _name(path: str) -> str:
    """The spec's folder, as people call it; of a file that lies in none its own name."""
    folder, _, name = path.rpartition("/")
    return folder.rpartition("/")[2] or name
