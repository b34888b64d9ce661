"""What stands above each task: run, stop, review, accept; above each requirement how far its tasks are.

The titles of tasks are made in `kiro_lsp/lsp/lenses.py`.

Lenses are complete in small files, and for clients that would resolve every one (Neovim). In a large file other clients get
lenses without commands, and ask for those of the lines that they show.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from kiro_lsp.lsp.client import Client

if TYPE_CHECKING:
    from kiro_lsp.lsp.lens_bytes import LensBytes, Style
    from kiro_lsp.lsp.lenses import Lens
    from kiro_lsp.lsp.surroundings import Around
    from kiro_lsp.lsp.views import View, Views

NEEDS = ("kiro_lsp.lsp.lens_bytes", "kiro_lsp.spec.navigation.coverage")
COMPLETE_TASKS = 300
"""Up to so many tasks every client gets complete lenses."""
_KEPT = "code lens"
_REQUIREMENTS = frozenset({"requirements.md", "bugfix.md", "spec.md"})


def capabilities(client: Client) -> dict[str, Any]:
    return {"codeLensProvider": {"resolveProvider": not client.resolves_every_lens}}


async def handle(view: View, _params: Mapping[str, Any]) -> Any:
    from kiro_lsp.lsp.lens_bytes import LensBytes
    from kiro_lsp.lsp.lenses import now_utc

    if not view.is_task_file:
        return await _of_requirements(view)
    parsed, around = await view.read(), await view.around()
    style = _style(view, len(parsed.rows.keys), around)
    runs = {run.task_key: run for run in around.runs if run.path == view.path}
    if runs or style.chooses(len(parsed.rows.keys)):
        await view.task_list()
    kept: LensBytes | None = view.kept.get(_KEPT)
    if kept is None:
        found = await view.made(lambda: LensBytes.made(parsed, style))
    else:
        found = kept.carried(parsed, style)
    view.kept[_KEPT] = found
    return found.wire(runs, now_utc())


async def _of_requirements(view: View) -> list[dict[str, Any]]:
    """How many tasks each requirement has and how many are done: words only, complete for every client."""
    from kiro_lsp.spec.navigation.coverage import coverage_of

    if view.path.rpartition("/")[2].lower() not in _REQUIREMENTS:
        return []
    found = []
    for tasks in await view.task_views():
        parsed, index = await tasks.parsed(), await tasks.requirements()
        for one in await tasks.made(partial(coverage_of, parsed, index, view.path)):
            if one.line < len(view.lines):
                command = {"title": one.title, "command": ""}
                found.append({"range": view.range(one.line, 0, 0), "command": command})
    return found


def _style(view: View, tasks: int, around: Around) -> Style:
    from kiro_lsp.lsp.lens_bytes import Style

    complete = tasks <= COMPLETE_TASKS or view.client.resolves_every_lens
    return Style(view.uri, view.views.number_of(view.uri), around.offer.in_file(view.path), complete)


async def resolve(views: Views, params: Mapping[str, Any]) -> Any:
    from kiro_lsp.lsp.endpoint import CONTENT_MODIFIED, INVALID_PARAMS, ResponseError
    from kiro_lsp.lsp.lens_bytes import resolved
    from kiro_lsp.lsp.lenses import now_utc

    data = params.get("data")
    if not isinstance(data, list) or [type(item) for item in data] != [int, str, int]:
        raise ResponseError(INVALID_PARAMS, "this is no lens of ours")
    view = await views.of_number(data[0])
    if view is not None:
        parsed, around = await view.parsed(), await view.around()
        lens = resolved(_style(view, len(parsed.rows.keys), around), parsed, data, now_utc())
        if lens is not None:
            return {**params, "command": lens["command"]}
    raise ResponseError(CONTENT_MODIFIED, "the task of this lens is gone")


async def lenses_of(view: View) -> list[Lens]:
    """The lenses of a task file; none for other documents."""
    from kiro_lsp.lsp.lenses import lenses, now_utc

    if not view.is_task_file:
        return []
    task_list, around = await view.task_list(), await view.around()
    runs = {run.task_key: run for run in around.runs if run.path == view.path}
    return lenses(view.uri, task_list, runs, around.offer.in_file(view.path), now_utc())


METHODS = {"textDocument/codeLens": handle}
WORKSPACE_METHODS = {"codeLens/resolve": resolve}
