"""What stands above each task: run, stop, review, accept; above each requirement how far its tasks are.

The titles of tasks are made in `kiro_lsp/lsp/lenses.py`.

Lenses are complete in small files, and for clients that would resolve every one (Neovim). In a large file other clients get
lenses without commands, and ask for those of the lines that they show.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kiro_lsp.lsp.aside import aside
from kiro_lsp.lsp.client import Client
from kiro_lsp.lsp.features import import_all

if TYPE_CHECKING:
    from kiro_lsp.lsp.endpoint import Raw
    from kiro_lsp.lsp.lens_bytes import LensBytes, Style
    from kiro_lsp.lsp.lenses import Lens
    from kiro_lsp.lsp.surroundings import Around
    from kiro_lsp.lsp.views import View, Views

NEEDS = ("kiro_lsp.lsp.lens_bytes",)
_OF_REQUIREMENTS = ("kiro_lsp.lsp.requirement_lenses", "kiro_lsp.spec.navigation.targets")
"""What only the lenses of requirements need; the first lens of a task file does not wait for it."""
FIRST_LENSES = "first lenses"
"""Where the session keeps who remembers what is offered (`lsp/keeper.py`)."""
_KEPT = "code lens"
_TOLD = "requirement lenses"


def capabilities(client: Client) -> dict[str, Any]:
    return {"codeLensProvider": {"resolveProvider": not client.resolves_every_lens}}


async def handle(view: View, _params: Mapping[str, Any]) -> Any:
    from kiro_lsp.lsp.lens_bytes import LensBytes
    from kiro_lsp.lsp.lenses import WAITING_AT_MOST, now_utc, waiting

    if not view.is_task_file:
        return await _of_requirements(view)
    around = await view.around()
    keeper = view.views.kept.get(FIRST_LENSES)
    if keeper is not None:
        keeper.remember(view.root, around)
    first = await _of_skimmed(view, around)
    if first is not None:
        return first
    parsed = await view.read()
    style = _style(view, len(parsed.rows.keys), around)
    runs = {run.task_key: run for run in around.runs if run.path == view.path}
    looked_at = style.complete and len(parsed.rows.keys) <= WAITING_AT_MOST
    waits = waiting(view.uri, await view.task_list()) if looked_at else {}
    if runs or style.chooses(len(parsed.rows.keys)):
        await view.task_list()
    kept: LensBytes | None = view.kept.get(_KEPT)
    if kept is None:
        found = await view.made(lambda: LensBytes.made(parsed, style))
    else:
        found = kept.carried(parsed, style)
    view.kept[_KEPT] = found
    return found.wire(runs, now_utc(), waits)


async def _of_skimmed(view: View, around: Around) -> Raw | None:
    """Those of a large, simple file that was just opened, of which no more is known yet; None where they say more of a task."""
    from kiro_lsp.lsp.lens_bytes import of_skimmed
    from kiro_lsp.lsp.lenses import WAITING_AT_MOST

    skimmed = await view.skimmed() if not any(run.path == view.path for run in around.runs) else None
    if skimmed is None or not skimmed.is_simple:
        return None
    count = len(skimmed.rows.lines)
    style = _style(view, count, around)
    if style.chooses(count) or (style.complete and count <= WAITING_AT_MOST):
        return None
    found = await view.made(lambda: of_skimmed(skimmed, style))
    view.read_ahead(soon=not style.complete)
    return found


async def _of_requirements(view: View) -> list[dict[str, Any]]:
    await aside(import_all, _OF_REQUIREMENTS)
    from kiro_lsp.lsp import requirement_lenses

    found = view.kept[_TOLD] = await requirement_lenses.covered(view)
    return [requirement_lenses.lens(view, one) for one in found]


async def changed(view: View) -> None:
    """With the tasks the lenses of their requirements change, in a document of which the client sees no edit."""
    if not view.is_task_file or not view.client.refreshes_lenses:
        return
    from kiro_lsp.lsp.endpoint import ResponseError

    for document in view.views.open_documents():
        other = await view.views.of(document.uri) if _TOLD in document.kept else None
        with contextlib.suppress(ResponseError):  # it is being edited: its lenses are asked for again anyway
            if other is not None and await _are_old(other):
                view.views.surroundings.on_difference()


async def _are_old(view: View) -> bool:
    """Whether the lenses that the client has of a document say what is no longer so."""
    from kiro_lsp.lsp import requirement_lenses

    return bool(view.kept[_TOLD] != await requirement_lenses.covered(view))


def _style(view: View, tasks: int, around: Around) -> Style:
    from kiro_lsp.lsp.lens_bytes import Style
    from kiro_lsp.lsp.lens_templates import COMPLETE_TASKS

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
