"""Requests to language features, and what they push: views in, JSON out, nothing stale.

An answer is about the text that the document has when it is sent. A request that waited while the text changed is answered from
the new text, or refused with `ContentModified` when it speaks of a place in the old one.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Mapping
from typing import Any, Final

from kiro_lsp.lsp.background import Background
from kiro_lsp.lsp.documents import Document
from kiro_lsp.lsp.endpoint import CONTENT_MODIFIED, INVALID_PARAMS, Raw, ResponseError
from kiro_lsp.lsp.features import Features, import_all
from kiro_lsp.lsp.views import Views

PAUSE_SECONDS: Final = 0.15
"""How long a document rests before its features push."""
LONGEST_PAUSE_SECONDS: Final = 1.0
"""The same while somebody types on."""
_TRIES: Final = 4
_PLACED: Final = frozenset({"position", "positions", "range"})


class Answers:
    """Needs the engine, so it exists only once that was imported."""

    def __init__(self, features: Features, views: Views, group: Background) -> None:
        self._features, self.views, self._group = features, views, group
        self._loop = asyncio.get_running_loop()
        self._timers: dict[str, tuple[asyncio.TimerHandle, float]] = {}
        """URI → (when features push, since when it was put off)."""
        self._pushing: set[str] = set()
        self._again: set[str] = set()
        self._imported: set[str] = set()
        """Methods of which all that their handlers import is there."""
        self.last_asked = self._loop.time()
        """When something was last asked that was not known already."""
        views.surroundings.on_change = self._all_changed

    async def answer(self, method: str, params: Mapping[str, Any]) -> Any:
        self.last_asked = self._loop.time()
        if method not in self._imported:
            await self._import(method)
        workspace_handler = self._features.workspace_methods.get(method)
        if workspace_handler is not None:
            found = workspace_handler(self.views, params)
            return await found if inspect.isawaitable(found) else found
        handler, uri = self._features.methods[method], uri_of(params)
        for _ in range(_TRIES):
            view = await self.views.of(uri, beside=method in self._features.beside)
            if view is None:
                return self._features.empty.get(method)
            try:
                found = handler(view, params)
                if inspect.isawaitable(found):
                    found = await found
            except ResponseError as error:
                if error.code != CONTENT_MODIFIED:
                    raise
            else:
                if view.is_current:
                    return found
            if not view.is_current and not _PLACED.isdisjoint(params):
                break  # else a document beside it is being changed, and the place is right
        raise ResponseError(CONTENT_MODIFIED, "the document changed while the answer was found")

    def known(self, method: str, params: Mapping[str, Any]) -> Raw | None:
        """What was answered to the same request, if that is still the right answer; None for everything else.

        A pointer that rests, and a client that asks for all again at every turn, cost no more than finding this out.
        """
        known = self._features.known.get(method)
        if known is None:
            return None
        try:
            view = self.views.known(params["textDocument"]["uri"])
            return known(view, params) if view is not None else None
        except (KeyError, TypeError):
            return None

    async def _import(self, method: str) -> None:
        """Have a thread import what the handler of a method will; "" stands for everything that pushes."""
        needs = self._features.needs_of(method)
        if not all(name in sys.modules for name in needs):
            await asyncio.to_thread(import_all, needs)
        self._imported.add(method)

    async def import_rest(self) -> None:
        """The same for all features, once the first answers are out."""
        for method in ("", *self._features.methods, *self._features.workspace_methods):
            await self._import(method)

    # Pushes

    def changed(self, document: Document, *, at_once: bool = False) -> None:
        """Have features push for a document, after a pause in which nothing more happens to it."""
        now = self._loop.time()
        known = self._timers.get(document.uri)
        since = known[1] if known is not None else now
        if known is not None:
            known[0].cancel()
        wait = 0.0 if at_once else max(0.0, min(PAUSE_SECONDS, since + LONGEST_PAUSE_SECONDS - now))
        self._timers[document.uri] = (self._loop.call_later(wait, self._push, document.uri), since)

    def _all_changed(self) -> None:
        """Something around the documents changed, which may be all that a push depends on."""
        for document in self.views.open_documents():
            self.changed(document)

    def closed(self, uri: str) -> None:
        known = self._timers.pop(uri, None)
        if known is not None:
            known[0].cancel()

    def stop(self) -> None:
        for uri in list(self._timers):
            self.closed(uri)

    def _push(self, uri: str) -> None:
        """At most one push of a document runs at a time; what comes meanwhile makes one more."""
        self._timers.pop(uri, None)
        if uri in self._pushing:
            self._again.add(uri)
        else:
            self._pushing.add(uri)
            self._group.create_task(self._push_all(uri), name="push")

    async def _push_all(self, uri: str) -> None:
        try:
            view = await self.views.of(uri)
            if view is not None and view.version is not None and self._features.pushers:
                await self._import("")
                for pusher in self._features.pushers:
                    await pusher(view)
        except ResponseError as error:
            if error.code != CONTENT_MODIFIED:  # else the edit that came between pushes in its turn
                raise
        finally:
            self._pushing.discard(uri)
            if uri in self._again:
                self._again.discard(uri)
                self._push(uri)


def uri_of(params: Mapping[str, Any]) -> str:
    """The document that a request is about: `textDocument`, or what a resolve request brings back in `data`.

    Raises ResponseError.
    """
    for name in ("textDocument", "data"):
        place = params.get(name)
        uri = place.get("uri") if isinstance(place, Mapping) else None
        if isinstance(uri, str):
            return uri
    raise ResponseError(INVALID_PARAMS, "the parameters have no textDocument.uri")
