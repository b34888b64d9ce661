"""Completion in task files: ids, marks, tags, metadata keys, requirements, dependencies, paths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kiro_lsp.lsp.client import Client

if TYPE_CHECKING:
    from kiro_lsp.lsp.views import View, Views
    from kiro_lsp.spec.editing.completing import Candidate
    from kiro_lsp.spec.editing.context import Context
    from kiro_lsp.spec.facts import Facts

NEEDS = ("kiro_lsp.spec.editing.completing",)
_TRIGGERS = ["[", "(", "_", "`", "/", ".", ",", " ", '"']
_AFTER_BLANK = ("id", "requirement", "dependency")
"""What is offered of itself behind a blank; other lists would be in the way of what is typed."""
_KINDS = {
    "id": 12,  # Value
    "mark": 20,  # EnumMember
    "tag": 14,  # Keyword
    "key": 10,  # Property
    "requirement": 18,  # Reference
    "task": 18,
    "path": 17,  # File
    "folder": 19,
}
_DOCUMENTED_AT_ONCE = 50


def capabilities(_client: Client) -> dict[str, Any]:
    return {"completionProvider": {"triggerCharacters": _TRIGGERS, "resolveProvider": True}}


async def handle(view: View, params: Mapping[str, Any]) -> Any:
    from kiro_lsp.spec.editing.completing import candidates
    from kiro_lsp.spec.editing.context import context_at

    if not view.is_task_file:
        return None
    line, column = view.position(params.get("position"))  # type: ignore[arg-type]  # what is none is refused there
    context = context_at(await view.parsed(), line, column)
    if context is None or not _is_wanted(context, params.get("context")):
        return None
    facts = await view.facts()
    paths = await view.views.surroundings.project_files(view.root) if context.kind == "path" else ()
    found = candidates(facts, context, paths)
    items = [_item(view, facts, context, candidate, at) for at, candidate in enumerate(found.items)]
    return {"isIncomplete": found.incomplete or context.kind == "path", "items": items}


def _is_wanted(context: Context, asked: Any) -> bool:
    if not isinstance(asked, Mapping) or asked.get("triggerKind") != 2:
        return True
    sign = asked.get("triggerCharacter")
    return context.kind != "task" and (sign != " " or context.kind in _AFTER_BLANK)


def _item(view: View, facts: Facts, context: Context, candidate: Candidate, at: int) -> dict[str, Any]:
    from kiro_lsp.spec.editing.completing import documentation

    new, snippet = candidate.new, False
    if candidate.cursor is not None:
        new, snippet = _with_cursor(candidate, snippets=view.client.takes_snippets)
    item: dict[str, Any] = {
        "label": candidate.label,
        "kind": _KINDS[candidate.kind],
        "sortText": f"{at:04d}",
        "filterText": _filter(context, candidate),
        "textEdit": {"range": view.range(context.line, context.start, context.end), "newText": new},
    }
    if candidate.detail:
        item["detail"] = candidate.detail
    if snippet:
        item["insertTextFormat"] = 2
    if candidate.name:
        if view.client.resolves_documentation:
            item["data"] = [view.views.number_of(view.uri), candidate.kind, candidate.name]
        elif at < _DOCUMENTED_AT_ONCE and (text := documentation(facts, candidate.kind, candidate.name)):
            item["documentation"] = text
    return item


def _filter(context: Context, candidate: Candidate) -> str:
    """What the client compares with the text that would be replaced."""
    typed = context.typed
    if candidate.new.startswith(typed):
        return candidate.new
    name = candidate.new.rpartition("/")[2] if candidate.kind == "path" else candidate.label
    return name if name.casefold().startswith(typed.casefold()) else typed + name


def _with_cursor(candidate: Candidate, *, snippets: bool) -> tuple[str, bool]:
    """The text with the cursor where the value goes; without snippets it ends there."""
    assert candidate.cursor is not None
    before, after = candidate.new[: candidate.cursor], candidate.new[candidate.cursor :]
    if not snippets or not after:
        return before, False
    before, after = (text.replace("\\", "\\\\").replace("$", "\\$").replace("}", "\\}") for text in (before, after))
    return f"{before}$0{after}", True


async def resolve(views: Views, params: Mapping[str, Any]) -> Any:
    """The same item with its documentation; one whose document is gone stays as it is."""
    from kiro_lsp.spec.editing.completing import documentation

    data = params.get("data")
    if isinstance(data, list) and [type(part) for part in data] == [int, str, str]:
        view = await views.of_number(data[0])
        if view is not None and (text := documentation(await view.facts(), data[1], data[2])):
            return {**params, "documentation": text}
    return params


METHODS = {"textDocument/completion": handle}
WORKSPACE_METHODS = {"completionItem/resolve": resolve}
