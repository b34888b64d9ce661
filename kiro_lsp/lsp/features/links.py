"""Paths of files that are there, as links."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kiro_lsp.lsp.aside import aside
from kiro_lsp.lsp.client import Client

if TYPE_CHECKING:
    from pathlib import Path

    from kiro_lsp.lsp.views import View
    from kiro_lsp.spec.navigation.targets import PathPlace

NEEDS = ("kiro_lsp.spec.navigation.targets",)


def capabilities(_client: Client) -> dict[str, Any]:
    return {"documentLinkProvider": {"resolveProvider": False}}


async def links(view: View, _params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The line behind a path is the fragment of its target (`#L12`), as editors read it."""
    from kiro_lsp.lsp import convert

    found = []
    for place, path in await files_of(view, await _places(view)):
        target = convert.uri_of(view.root / path) + ("" if place.at is None else f"#L{place.at + 1}")
        where = view.range(place.spot.line, place.spot.start, place.spot.end)
        found.append({"range": where, "target": target, "tooltip": path})
    return found


async def _places(view: View) -> Sequence[PathPlace]:
    from kiro_lsp.spec.navigation.targets import path_places

    parsed = await view.parsed()
    return await view.once("path places", lambda: path_places(parsed))


async def files_of(view: View, places: Sequence[PathPlace]) -> list[tuple[PathPlace, str]]:
    """The places that mean a file of the project which is there, each with its root-relative path."""
    folder = view.path.rpartition("/")[0]
    candidates = [place.candidates(folder) for place in places]
    wanted = {path for paths in candidates for path in paths}
    if not wanted:
        return []
    there = [path for path, exists in (await view.exists(wanted)).items() if exists]
    files = await aside(_files, view.root, there) if there else frozenset()
    chosen = (next((path for path in paths if path in files), None) for paths in candidates)
    return [(place, path) for place, path in zip(places, chosen, strict=True) if path is not None]


def _files(root: Path, paths: Iterable[str]) -> frozenset[str]:
    """Those that are files and, with every symbolic link followed, still lie in the project."""
    import os

    inside = os.path.join(os.path.realpath(root), "")
    found = set()
    for path in paths:
        real = os.path.realpath(root / path)
        if real.startswith(inside) and os.path.isfile(real):
            found.add(path)
    return frozenset(found)


METHODS = {"textDocument/documentLink": links}
EMPTY: dict[str, Any] = {"textDocument/documentLink": []}
