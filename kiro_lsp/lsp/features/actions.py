"""Code actions: what lenses offer, fixes for what diagnostics name, and changes of the task file itself.

What runs, reviews, accepts or undoes is a command, so that nothing passes the journal by. What only changes the words of a spec
is an edit that the editor makes in the person's own document, to be undone there. Where the client can ask for an edit when the
action is chosen, it is found then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kiro_lsp.lsp.aside import aside
from kiro_lsp.lsp.client import Client
from kiro_lsp.lsp.features import import_all

if TYPE_CHECKING:
    from kiro_lsp.lsp.lenses import Lens
    from kiro_lsp.lsp.views import View, Views
    from kiro_lsp.spec.editing.menu import Offer
    from kiro_lsp.spec.facts import Facts
    from kiro_lsp.spec.model import Task

NEEDS = ("kiro_lsp.spec.editing.menu", "kiro_lsp.spec.checks", "kiro_lsp.lsp.edits", "kiro_lsp.lsp.lenses")
KINDS = ("quickfix", "refactor.rewrite", "source", "source.kiroLsp.addIds", "source.kiroLsp.renumber")
_TASKS_AT_MOST = 50
"""Tasks of a selection that are offered anything."""
_DIAGNOSTICS_AT_MOST = 50
_NUMBERED_AT_ONCE = 2000
"""Tasks of a file up to which numbering is offered unasked to a client that must get the edit with the offer."""


def capabilities(_client: Client) -> dict[str, Any]:
    return {"codeActionProvider": {"codeActionKinds": list(KINDS), "resolveProvider": True}}


async def handle(view: View, params: Mapping[str, Any]) -> Any:
    from kiro_lsp.lsp.endpoint import INVALID_PARAMS, ResponseError

    span, context = params.get("range"), params.get("context")
    if not isinstance(span, Mapping):
        raise ResponseError(INVALID_PARAMS, "there is no range")
    first, last = view.position(span.get("start"))[0], view.position(span.get("end"))[0]  # type: ignore[arg-type]
    context = context if isinstance(context, Mapping) else {}
    if not view.is_task_file:
        found = await _of_requirements(view, first, last)
        return found if view.client.takes_code_actions else [action["command"] for action in found]
    around = await _tasks_at(view, first, last)
    found = await _commands(view, around)
    if view.client.takes_code_actions:
        found += await _fixes(view, context) if _asked(context, "quickfix") else []
        found += await _changes(view, context, around)
        return [action for action in found if _asked(context, action["kind"])]
    found += _status_commands(view, await _selectors(view, around), around)
    return [action["command"] for action in found]


def _asked(context: Mapping[str, Any], kind: str) -> bool:
    only = context.get("only")
    return not isinstance(only, list) or any(
        kind == wanted or kind.startswith(f"{wanted}.") or not wanted for wanted in only
    )


async def _tasks_at(view: View, first: int, last: int) -> list[Task]:
    """The tasks in whose own lines a selection lies: for a cursor in the details of a task that task."""
    from kiro_lsp.spec.editing.context import task_around

    parsed = await view.parsed()
    found = [task for task in parsed.task_list.tasks if first <= task.line <= last]
    if not found and (task := task_around(parsed, first)) is not None:
        found = [task]
    return found[:_TASKS_AT_MOST]


# Commands


async def _commands(view: View, around: list[Task]) -> list[dict[str, Any]]:
    from kiro_lsp.lsp.lenses import lenses_of, now_utc, waiting

    known = await view.around()
    runs = {run.task_key: run for run in known.runs if run.path == view.path}
    selectors = await _selectors(view, around)
    found = []
    offer, waits = known.offer.in_file(view.path), waiting(view.uri, await view.task_list()) if around else {}
    for task in around:
        about = {"uri": view.uri, "task": selectors[task.key]}
        found += [_of_lens(lens) for lens in lenses_of(task, runs.get(task.key), about, offer, now_utc())]
        if (lens := waits.get(task.key)) is not None:
            title = f"Show {lens.title.removeprefix('waits for ')}, which this task waits for"
            found.append(_command(title, lens.command, lens.argument))
        if task.mark_column is not None:
            found.append(_command("Copy the prompt of this task", "kiroLsp.copyPrompt", about))
    return found


async def _of_requirements(view: View, first: int, last: int) -> list[dict[str, Any]]:
    """What the lenses of the requirements in a selection do."""
    await aside(import_all, ("kiro_lsp.lsp.requirement_lenses", "kiro_lsp.spec.navigation.targets"))
    from kiro_lsp.lsp import requirement_lenses

    commands = [
        requirement_lenses.lens(view, one)["command"]
        for one in await requirement_lenses.covered(view)
        if first <= one.line <= last
    ]
    return [_command(f"Show what covers it: {one['title']}", one["command"], one["arguments"][0]) for one in commands]


async def _selectors(view: View, around: list[Task]) -> dict[str, str]:
    from kiro_lsp.spec import tasks

    task_list = await view.task_list()
    if len(around) == 1:
        return {around[0].key: tasks.selector_of(task_list, around[0])}
    return tasks.selectors(task_list) if around else {}


def _of_lens(lens: Lens) -> dict[str, Any]:
    kind = "quickfix" if lens.command in ("kiroLsp.accept", "kiroLsp.openReview") else "source"
    return _command(lens.title, lens.command, lens.argument, kind)


def _command(title: str, command: str, argument: Mapping[str, Any] | None, kind: str = "source") -> dict[str, Any]:
    arguments = [] if argument is None else [argument]
    return {"title": title, "kind": kind, "command": {"title": title, "command": command, "arguments": arguments}}


def _status_commands(view: View, selectors: Mapping[str, str], around: list[Task]) -> list[dict[str, Any]]:
    """For clients that take bare commands only."""
    found = []
    for task in around:
        if task.mark_column is not None:
            status = "open" if task.status == "done" else "done"
            argument = {"uri": view.uri, "task": selectors[task.key], "status": status}
            found.append(_command(f"Mark as {status}: {task.title[:60]}", "kiroLsp.setStatus", argument))
    return found


# Fixes


async def _fixes(view: View, context: Mapping[str, Any]) -> list[dict[str, Any]]:
    from kiro_lsp.lsp.edits import workspace_edit
    from kiro_lsp.spec.editing.menu import settling

    named = context.get("diagnostics")
    ours = [
        (diagnostic, diagnostic["code"], place)
        for diagnostic in (named if isinstance(named, list) else ())[:_DIAGNOSTICS_AT_MOST]
        if isinstance(diagnostic, Mapping)
        and diagnostic.get("source") == "kiro-lsp"
        and isinstance(diagnostic.get("code"), str)
        and (place := _line_of(diagnostic)) is not None
    ]
    if not ours:
        return []
    facts = await view.facts(existing=True)
    found = []
    for (diagnostic, code, line), fixes in zip(ours, await aside(_fixes_of, facts, ours), strict=True):
        for title, edits in fixes:
            action: dict[str, Any] = {
                "title": title,
                "kind": "quickfix",
                "diagnostics": [diagnostic],
                "edit": workspace_edit([(view, edits)]),
            }
            if len(fixes) == 1:
                action["isPreferred"] = True
            found.append(action)
        listed = await _offered(view, settling(facts.parsed, code, line))
        found += [{**action, "diagnostics": [diagnostic]} for action in listed]
    return found


def _line_of(diagnostic: Mapping[str, Any]) -> int | None:
    try:
        line = diagnostic["range"]["start"]["line"]
    except (KeyError, TypeError):
        return None
    return line if isinstance(line, int) else None


def _fixes_of(facts: Facts, named: list[tuple[Any, str, int]]) -> list[list[tuple[str, list[Any]]]]:
    from kiro_lsp.spec import checks

    return [[(fix.title, list(fix.edits)) for fix in checks.fixes(facts, code, line)] for _, code, line in named]


# Changes of the file


async def _changes(view: View, context: Mapping[str, Any], around: list[Task]) -> list[dict[str, Any]]:
    from kiro_lsp.spec.editing.menu import offers

    parsed = await view.parsed()
    wanted = [kind for kind in KINDS if _asked(context, kind)]
    listed = await aside(offers, parsed, view.path, around, wanted)
    large = len(parsed.task_list.tasks) > _NUMBERED_AT_ONCE and not isinstance(context.get("only"), list)
    if large and not view.client.resolves_code_actions:
        listed = [offer for offer in listed if not offer.name.startswith("renumber")]
    return await _offered(view, listed)


async def _offered(view: View, listed: list[Offer]) -> list[dict[str, Any]]:
    """Offers as actions, with their edits for clients that would not ask for them."""
    if view.client.resolves_code_actions:
        number = view.views.number_of(view.uri)
        return [
            {"title": offer.title, "kind": offer.kind, "data": [number, view.version, offer.name, list(offer.lines)]}
            for offer in listed
        ]
    found = []
    for offer in listed:
        edit = await _edit_of(view, offer)
        if isinstance(edit, dict):
            found.append({"title": offer.title, "kind": offer.kind, "edit": edit})
    return found


async def _edit_of(view: View, offer: Offer) -> dict[str, Any] | str:
    """The edit of an offer, or why there is none."""
    from kiro_lsp.lsp.edits import workspace_edit
    from kiro_lsp.spec.editing.edits import Refused
    from kiro_lsp.spec.editing.menu import carried_out

    parsed, documents = await view.parsed(), await view.documents()
    change = await aside(carried_out, parsed, view.path, offer, documents, read_as=str(view.root / view.path))
    if isinstance(change, Refused):
        return change.message
    files = [(view, change.edits)] if change.edits else []
    for path, edits in change.documents.items():
        other = await view.sibling(path)
        if other is None or other.text != documents[path]:
            return f"{path} has changed meanwhile: ask again."
        files.append((other, edits))
    return workspace_edit(files) if files else "There is nothing to change."


async def resolve(views: Views, params: Mapping[str, Any]) -> Any:
    from kiro_lsp.lsp.endpoint import CONTENT_MODIFIED, INVALID_PARAMS, REQUEST_FAILED, ResponseError
    from kiro_lsp.spec.editing.menu import Offer

    data = params.get("data")
    if data is None:
        return params
    if not isinstance(data, list) or [type(part) for part in data[:1] + data[2:]] != [int, str, list]:
        raise ResponseError(INVALID_PARAMS, "this is no code action of ours")
    view = await views.of_number(data[0])
    if view is None or view.version != data[1]:
        raise ResponseError(CONTENT_MODIFIED, "the document changed since the action was offered")
    lines = tuple(line for line in data[3] if isinstance(line, int))
    edit = await _edit_of(view, Offer(data[2], str(params.get("title")), str(params.get("kind")), lines))
    if isinstance(edit, str):
        raise ResponseError(REQUEST_FAILED, edit)
    if not view.is_current:
        raise ResponseError(CONTENT_MODIFIED, "the document changed while the edit was made")
    return {**params, "edit": edit}


METHODS = {"textDocument/codeAction": handle}
WORKSPACE_METHODS = {"codeAction/resolve": resolve}
EMPTY: dict[str, Any] = {"textDocument/codeAction": []}
