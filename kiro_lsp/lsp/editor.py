"""The editor's open documents as the engine sees them, and edits to them that are proven by content.

What the client answers to an edit is a hint: after it, the document as the client's own notifications describe it decides.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from kiro_lsp.lsp import convert
from kiro_lsp.lsp.client import Client
from kiro_lsp.lsp.documents import Document
from kiro_lsp.lsp.endpoint import Endpoint, ResponseError

_SETTLE_SECONDS = 5.0
"""How long the changes that an applied edit announces may take to arrive after its answer."""
_PARTIAL_SECONDS = 0.5
"""The same where a person may have taken only a part, so that the whole may never come."""


class Editor:
    """Open documents by absolute path; implements the engine's Buffers."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.client = Client()
        self.documents: dict[str, Document] = {}
        """By URI, as the client spells it."""
        self._paths: dict[Path, str] = {}
        self._real_paths: dict[Path, str] = {}
        """The same by where links lead: what a run is about is named like that."""
        self._changed = asyncio.Event()

    # What the client says

    def opened(self, document: Document) -> None:
        self.documents[document.uri] = document
        if (path := convert.file_of(document.uri)) is not None:
            self._paths[path] = document.uri
            self._real_paths[Path(os.path.realpath(path))] = document.uri
        self._changed.set()

    def changed(self) -> None:
        self._changed.set()

    def closed(self, uri: str) -> None:
        self.documents.pop(uri, None)
        if (path := convert.file_of(uri)) is not None and self._paths.get(path) == uri:
            del self._paths[path]
        self._real_paths = {real: known for real, known in self._real_paths.items() if known != uri}
        self._changed.set()

    def at(self, path: Path) -> Document | None:
        uri = self._paths.get(path) or self._real_paths.get(path)
        return None if uri is None else self.documents.get(uri)

    # What the engine asks

    def paths(self) -> Sequence[Path]:
        return list(self._paths)

    def text(self, path: Path) -> str | None:
        document = self.at(path)
        return None if document is None else document.text

    def dirty(self, path: Path) -> bool:
        document = self.at(path)
        return document is not None and document.dirty

    async def edit(self, files: Mapping[Path, tuple[str, str]]) -> bool:
        """Ask for one edit of several documents; True only when every document then holds its new text.

        A document that is unsynced is never edited: nobody knows what it holds.
        """
        if not self.client.applies_edits:
            return False
        wanted: dict[str, tuple[int | None, list[dict[str, object]]]] = {}
        for path, (old, new) in files.items():
            document = self.at(path)
            if document is None or not document.synced or document.text != old:
                return False
            wanted[document.uri] = (document.version, convert.text_edits(old, new, self.client.encoding))
        edit = convert.workspace_edit(wanted, document_changes=self.client.takes_document_changes)
        try:
            answer = await self._endpoint.request("workspace/applyEdit", {"label": "kiro-lsp", "edit": edit})
        except ResponseError:
            answer = None
        said_yes = isinstance(answer, Mapping) and answer.get("applied") is True
        return await self._reached({path: new for path, (_old, new) in files.items()}, patient=said_yes)

    async def save(self, paths: Sequence[Path]) -> Sequence[Path]:
        """Have a client that can do it save documents; those that it saved."""
        if not self.client.understands("kiro/save"):
            return []
        by_uri = {document.uri: path for path in paths if (document := self.at(path)) is not None}
        try:
            answer = await self._endpoint.request("kiro/save", {"uris": list(by_uri)})
        except ResponseError:
            return []
        saved = answer.get("uris") if isinstance(answer, Mapping) else None
        return [by_uri[uri] for uri in saved if uri in by_uri] if isinstance(saved, list) else []

    async def settle(self, path: Path, wanted: str) -> None:
        """Wait until a document holds a text, or for a moment: its changes may come after the answer to an edit."""
        if self.at(path) is not None:
            await self._reached({path: wanted}, patient=True, seconds=_PARTIAL_SECONDS)

    async def _reached(self, wanted: Mapping[Path, str], *, patient: bool, seconds: float = _SETTLE_SECONDS) -> bool:
        """Whether the documents hold these texts; after a yes their didChange may still be on its way."""

        def reached() -> bool:
            return all(_same_text(self.text(path), text) for path, text in wanted.items())

        if reached() or not patient:
            return reached()
        try:
            async with asyncio.timeout(seconds):
                while not reached():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True


def _same_text(actual: str | None, wanted: str) -> bool:
    """Equal, or equal but for line ends: an editor keeps one kind in a document and translates what it is given."""
    if actual is None or actual == wanted:
        return actual is not None
    return _plain(actual) == _plain(wanted)


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
