"""One id renamed everywhere in a spec: a task's or a requirement's, from the task file or from the document that defines it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kiro_lsp.lsp.aside import aside
from kiro_lsp.lsp.client import Client

if TYPE_CHECKING:
    from kiro_lsp.lsp.views import View
    from kiro_lsp.spec.editing.edits import Refused, TextEdit
    from kiro_lsp.spec.editing.renaming import Target
    from kiro_lsp.spec.facts import Facts

NEEDS = ("kiro_lsp.spec.editing.renaming", "kiro_lsp.spec.editing.requirement_ids", "kiro_lsp.lsp.edits")


def capabilities(client: Client) -> dict[str, Any]:
    return {"renameProvider": {"prepareProvider": True} if client.prepares_renames else True}


async def prepare(view: View, params: Mapping[str, Any]) -> Any:
    tasks, line, column = await _task_view(view), *view.position(params.get("position"))  # type: ignore[arg-type]
    if tasks is None:
        return None
    facts = await tasks.facts()
    _kind, target = await aside(_target, view, facts, line, column)
    if target is None:
        return None
    return {"range": view.range(target.line, target.start, target.end), "placeholder": target.name}


async def rename(view: View, params: Mapping[str, Any]) -> Any:
    from kiro_lsp.lsp.edits import workspace_edit
    from kiro_lsp.lsp.endpoint import CONTENT_MODIFIED, INVALID_PARAMS, REQUEST_FAILED, ResponseError
    from kiro_lsp.spec.editing.edits import Refused

    tasks, line, column = await _task_view(view), *view.position(params.get("position"))  # type: ignore[arg-type]
    name = params.get("newName")
    if not isinstance(name, str):
        raise ResponseError(INVALID_PARAMS, "the new name is no text")
    facts = await tasks.facts() if tasks is not None else None
    kind, target = await aside(_target, view, facts, line, column) if facts is not None else ("", None)
    if target is None or facts is None or tasks is None:
        raise ResponseError(REQUEST_FAILED, "There is no id of a task or requirement here.")
    where = str(tasks.root / tasks.path)
    found = await aside(_renamed, facts, where, kind, target, name)
    if isinstance(found, Refused):
        raise ResponseError(REQUEST_FAILED, found.message)
    files = []
    for path, edits in found.items():
        other = tasks if path == tasks.path else await tasks.sibling(path)
        if other is None or (path in facts.documents and other.text != facts.documents[path]) or not tasks.is_current:
            raise ResponseError(CONTENT_MODIFIED, f"{path} changed while the new name was looked at")
        files.append((other, edits))
    return workspace_edit(files) if files else None


async def _task_view(view: View) -> View | None:
    return next(iter(await view.task_views()), None)


def _target(view: View, facts: Facts, line: int, column: int) -> tuple[str, Target | None]:
    from kiro_lsp.spec.editing.renaming import task_target
    from kiro_lsp.spec.editing.requirement_ids import requirement_target

    if view.is_task_file and (found := task_target(facts.parsed, line, column)) is not None:
        return "task", found
    is_task_file = view.is_task_file
    return "requirement", requirement_target(
        view.lines, facts.requirements, view.path, line, column, tasks=is_task_file
    )


def _renamed(
    facts: Facts, where: str, kind: str, target: Target, name: str
) -> Mapping[str, tuple[TextEdit, ...]] | Refused:
    from kiro_lsp.spec.editing.edits import Refused
    from kiro_lsp.spec.editing.renaming import rename_task, task_of
    from kiro_lsp.spec.editing.requirement_ids import rename_requirement

    if kind == "requirement":
        return rename_requirement(facts.parsed, facts.path, facts.documents, target.name, name, read_as=where)
    task = task_of(facts.parsed, target)
    if task is None:
        return Refused(f"There is no task {target.name} in this file.")
    change = rename_task(facts.parsed, where, task, name, facts.documents)
    if isinstance(change, Refused):
        return change
    return {**({facts.path: change.edits} if change.edits else {}), **change.documents}


METHODS = {"textDocument/prepareRename": prepare, "textDocument/rename": rename}
