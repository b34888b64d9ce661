"""Language features, one module each, found by their place: no list names them.

A feature module has

- `METHODS`: LSP method → `handle(view, params)`, which returns a JSON-ready value or `Raw` bytes, at once or as a coroutine.
  Methods without a document are in `WORKSPACE_METHODS`, their handlers get `(views, params)`;
- `capabilities(client)`: what it adds to the server's capabilities, merged into those of the others;
- if it pushes: `changed(view)`, called with every new text of a document, debounced, and when what stands around it changed.
- if it keeps what it answered: `KNOWN`, method → `known(view, params)`, the answer as bytes if it is still the right one, else
  None. It is asked first, and must not wait or make anything;
- if what it answers first needs the documents beside a task file: `BESIDE`, its methods; they are then read with the first look
  at where the file lies, in one thread;
- if `null` is no answer to one of its methods: `EMPTY`, method → the answer for a document that it has nothing to say of.

`initialize` is answered before anything heavy is imported, so at its top a feature imports nothing but `client` and `aside`;
the rest is imported inside its handlers, and named in `NEEDS` so that a thread imports it first.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from types import ModuleType

    from kiro_lsp.lsp.client import Client
    from kiro_lsp.lsp.endpoint import Raw
    from kiro_lsp.lsp.views import View, Views

Handler = Callable[["View", Mapping[str, Any]], Any]
WorkspaceHandler = Callable[["Views", Mapping[str, Any]], Any]
Known = Callable[["View", Mapping[str, Any]], "Raw | None"]


class Features(NamedTuple):
    """All features together."""

    methods: Mapping[str, Handler] = MappingProxyType({})
    workspace_methods: Mapping[str, WorkspaceHandler] = MappingProxyType({})
    empty: Mapping[str, Any] = MappingProxyType({})
    known: Mapping[str, Known] = MappingProxyType({})
    beside: frozenset[str] = frozenset()
    pushers: tuple[Callable[[View], Awaitable[None]], ...] = ()
    modules: tuple[ModuleType, ...] = ()

    def capabilities(self, client: Client) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for module in self.modules:
            merge(found, module.capabilities(client))
        return found

    def needs_of(self, method: str = "") -> tuple[str, ...]:
        """The modules that the handler of a method imports; without a method those of everything that pushes."""
        return tuple(
            name
            for module in self.modules
            if (method in _served(module) if method else hasattr(module, "changed"))
            for name in getattr(module, "NEEDS", ())
        )


def import_all(names: Iterable[str]) -> None:
    """For a thread, so that no request waits for an import on the loop."""
    for name in names:
        importlib.import_module(name)


def load() -> Features:
    """Every feature of this package. Raises ValueError when two modules serve one method."""
    modules = tuple(_modules())
    methods: dict[str, Handler] = {}
    workspace_methods: dict[str, WorkspaceHandler] = {}
    empty: dict[str, Any] = {}
    known: dict[str, Known] = {}
    beside: set[str] = set()
    for module in modules:
        twice = _served(module) & (methods.keys() | workspace_methods.keys())
        if twice:
            raise ValueError(f"{module.__name__}: {', '.join(sorted(twice))} is served by another feature already")
        methods.update(getattr(module, "METHODS", {}))
        workspace_methods.update(getattr(module, "WORKSPACE_METHODS", {}))
        empty.update(getattr(module, "EMPTY", {}))
        known.update(getattr(module, "KNOWN", {}))
        beside.update(getattr(module, "BESIDE", ()))
    pushers = tuple(module.changed for module in modules if hasattr(module, "changed"))
    return Features(methods, workspace_methods, empty, known, frozenset(beside), pushers, modules)


def _served(module: ModuleType) -> set[str]:
    return {*getattr(module, "METHODS", ()), *getattr(module, "WORKSPACE_METHODS", ())}


def _modules() -> Iterator[ModuleType]:
    # Not by pkgutil, which imports `inspect` for it: that takes longer than to import the features.
    for name in sorted({name.partition(".")[0] for folder in __path__ for name in os.listdir(folder)}):
        if name.isidentifier() and not name.startswith("_"):
            yield importlib.import_module(f"{__name__}.{name}")


def merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Put one tree of capabilities into another; of two values for one name the later wins, lists are joined."""
    for name, value in more.items():
        known = into.get(name)
        if isinstance(known, dict) and isinstance(value, Mapping):
            merge(known, value)
        elif isinstance(known, list) and isinstance(value, list):
            into[name] = [*known, *(item for item in value if item not in known)]
        else:
            into[name] = dict(value) if isinstance(value, Mapping) else value
