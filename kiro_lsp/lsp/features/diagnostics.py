"""What is wrong in a task file, while it is written: asked for by the client where it can, else pushed.

The rules are pure (`kiro_lsp/spec/checks`); here is only when they run and how their findings travel. Of the same text with
the same things around it they run once. A client that asks is told to ask again when something around an open file changed
what is to be said about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kiro_lsp.lsp.aside import aside
from kiro_lsp.lsp.client import Client

if TYPE_CHECKING:
    from kiro_lsp.lsp.views import View, Views
    from kiro_lsp.settings.diagnostics import DiagnosticSettings
    from kiro_lsp.spec.checks import Finding
    from kiro_lsp.spec.facts import Facts

NEEDS = ("kiro_lsp.spec.checks", "kiro_lsp.spec.checks.files")
_CACHED: Final = "diagnostics"
_TOLD: Final = "diagnostics told"
_AT_ONCE_TASKS: Final = 200
"""For so many tasks the rules run on the loop."""
_NOTHING: Final[Mapping[str, bool]] = {}
_REFRESHING: Final = "refresh of diagnostics"
"""Kept while one runs: its task, and whether one more is needed behind it."""


class _Found(NamedTuple):
    """The diagnostics of one text in one surrounding. `basis` is what they were made from."""

    basis: tuple[Facts | None, Mapping[str, bool], DiagnosticSettings | None]
    items: list[dict[str, Any]]
    result_id: str


class _Told(NamedTuple):
    """What the client knows last: for which text, and by which name."""

    lines: object
    result_id: str


def capabilities(client: Client) -> dict[str, Any]:
    if not client.pulls_diagnostics:
        return {}
    provider = {"identifier": "kiro-lsp", "interFileDependencies": True, "workspaceDiagnostics": False}
    return {"diagnosticProvider": provider}


async def handle(view: View, params: Mapping[str, Any]) -> Any:
    found = await _found(view)
    view.kept[_TOLD] = _Told(view.lines, found.result_id)
    if params.get("previousResultId") == found.result_id:
        return {"kind": "unchanged", "resultId": found.result_id}
    return {"kind": "full", "resultId": found.result_id, "items": found.items}


async def changed(view: View) -> None:
    """Push what is found, or have a client that asks ask again."""
    told: _Told | None = view.kept.get(_TOLD)
    if not view.is_task_file:
        return
    if not view.client.pulls_diagnostics:
        found = await _found(view)
        if told != _Told(view.lines, found.result_id) and view.is_current:
            view.kept[_TOLD] = _Told(view.lines, found.result_id)
            about = {"uri": view.uri, "version": view.version, "diagnostics": found.items}
            view.notify("textDocument/publishDiagnostics", about)
    elif view.client.refreshes_diagnostics and told is not None and told.lines is view.lines:
        found = await _found(view)
        if found.result_id != told.result_id and view.is_current:
            view.kept[_TOLD] = None
            _refresh(view.views)


def _refresh(views: Views) -> None:
    """Have the client ask again, without waiting for its answer; one request at a time."""
    import asyncio

    running: list[Any] | None = views.kept.get(_REFRESHING)
    if running is not None:
        running[1] = True
    else:
        running = views.kept[_REFRESHING] = [None, True]
        running[0] = asyncio.get_running_loop().create_task(_send_refresh(views, running), name="refresh diagnostics")


async def _send_refresh(views: Views, running: list[Any]) -> None:
    from kiro_lsp.lsp.endpoint import ResponseError

    try:
        while running[1]:
            running[1] = False
            await views.endpoint.request("workspace/diagnostic/refresh", None)
    except ResponseError:
        return  # the client will ask when it likes to
    finally:
        del views.kept[_REFRESHING]


async def _found(view: View) -> _Found:
    """What is found, from what was found before where that was made from the same."""
    import hashlib
    import json
    from dataclasses import replace

    from kiro_lsp.spec.checks.files import paths_wanted

    if not view.is_task_file:
        return _Found((None, _NOTHING, None), [], "none")
    facts, settings = await view.facts(), await view.settings()
    small = len(facts.tasks.tasks) <= _AT_ONCE_TASKS
    wanted = paths_wanted(facts) if small else await aside(paths_wanted, facts)
    existing = await view.exists(wanted) if wanted else _NOTHING
    basis = (facts, existing, settings.diagnostics)
    known: _Found | None = view.cache.get(_CACHED)
    if known is not None and known.basis[0] is facts and known.basis[1:] == basis[1:]:
        return known
    whole = replace(facts, existing=existing)
    levels = settings.diagnostics.levels
    items = _items(view, whole, levels) if small else await aside(_items, view, whole, levels)
    result_id = hashlib.sha256(json.dumps(items).encode()).hexdigest()[:16]
    found = _Found(basis, items, result_id)
    view.cache[_CACHED] = found
    return found


def _items(view: View, facts: Facts, levels: Mapping[str, str]) -> list[dict[str, Any]]:
    from kiro_lsp.spec.checks import findings

    return [_item(view, finding) for finding in findings(facts, levels)]


def _item(view: View, finding: Finding) -> dict[str, Any]:
    from kiro_lsp.lsp import convert

    item = convert.diagnostic(finding, view.lines, view.encoding)
    if finding.related and view.client.shows_related_places:
        item["relatedInformation"] = [
            {"location": _location(view, related.path, related.line), "message": related.message}
            for related in finding.related
        ]
    return item


def _location(view: View, path: str, line: int) -> dict[str, Any]:
    from kiro_lsp.lsp import convert

    if path:
        return {"uri": convert.uri_of(view.root / path), "range": convert.line_range(line, line)}
    text = view.lines[line].rstrip("\r\n") if line < len(view.lines) else ""
    return {"uri": view.uri, "range": view.range(line, 0, len(text))}


METHODS = {"textDocument/diagnostic": handle}
EMPTY = {"textDocument/diagnostic": {"kind": "full", "items": []}}
