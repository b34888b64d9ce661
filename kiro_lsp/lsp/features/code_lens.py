"""What stands above each task: run, stop, review, accept. The titles are made in `kiro_lsp/lsp/lenses.py`.

Lenses are complete: a client that would resolve every one (Neovim) has nothing to ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kiro_lsp.lsp.client import Client
    from kiro_lsp.lsp.lenses import Lens
    from kiro_lsp.lsp.views import View

NEEDS = ("kiro_lsp.lsp.lenses",)
_AT_ONCE_TASKS = 300


def capabilities(_client: Client) -> dict[str, Any]:
    return {"codeLensProvider": {"resolveProvider": False}}


async def handle(view: View, _params: Mapping[str, Any]) -> Any:
    from kiro_lsp.lsp.endpoint import Raw, dumped
    from kiro_lsp.lsp.lenses import to_wire

    found = await lenses_of(view)
    if len(found) <= _AT_ONCE_TASKS:
        return to_wire(found)
    return await asyncio.to_thread(lambda: Raw(dumped(to_wire(found))))


async def lenses_of(view: View) -> list[Lens]:
    """The lenses of a task file; none for other documents."""
    from kiro_lsp.lsp.lenses import lenses, now_utc

    if not view.is_task_file:
        return []
    task_list, around = await view.task_list(), await view.around()
    runs = {run.task_key: run for run in around.runs if run.path == view.path}
    if len(task_list.tasks) <= _AT_ONCE_TASKS:
        return lenses(view.uri, task_list, runs, around.offer, now_utc())
    return await asyncio.to_thread(lenses, view.uri, task_list, runs, around.offer, now_utc())


METHODS = {"textDocument/codeLens": handle}
