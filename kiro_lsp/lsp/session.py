"""One client's session once it is initialized: folders, documents, the engine behind them, and what features answer.

Reads what the client sends as plain values. It keeps no rule about tasks or runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kiro_lsp.engine.engine import Engine
from kiro_lsp.engine.workspace import PROJECT_CONFIG, root_of
from kiro_lsp.errors import UsageError
from kiro_lsp.lsp import convert
from kiro_lsp.lsp.background import Background
from kiro_lsp.lsp.client import Client
from kiro_lsp.lsp.documents import Document
from kiro_lsp.lsp.editor import Editor
from kiro_lsp.lsp.endpoint import Endpoint, ResponseError
from kiro_lsp.lsp.views import Views
from kiro_lsp.spec import tasks

REFRESH_SECONDS = 1.0


class Session:
    """Answers with plain values; see commands.py for what changes something."""

    def __init__(  # the parts of the server, each once
        self,
        engine: Engine,
        editor: Editor,
        endpoint: Endpoint,
        group: Background,
        client_settings: dict[str, Any],
        *,
        own_settings: dict[str, Any] | None = None,
    ) -> None:
        self._engine, self._editor, self.endpoint, self._group = engine, editor, endpoint, group
        self.folders: list[Path] = []
        self.client_settings = client_settings
        """What the editor sent for `kiroLsp`; shared with the engine, so it is changed in place."""
        self.own_settings = {} if own_settings is None else own_settings
        """The same of what the person set for themselves."""
        self._held: set[Path] = set()
        self._refresh_timer: asyncio.TimerHandle | None = None
        self._refreshed_at = 0.0
        self._loop = asyncio.get_running_loop()
        self.views = Views(engine, editor, endpoint, self)
        self.views.surroundings.on_difference = self.refresh_lenses
        engine.on_change.append(self._runs_changed)

    @property
    def client(self) -> Client:
        return self._editor.client

    # Places

    def place_of(self, uri: str) -> tuple[Path, Path]:
        path = convert.file_of(uri)
        if path is None:
            raise UsageError(f"{uri!r} is not a file on this machine.", hint="Save the document first.")
        return root_of(path, self.folders), path

    def only_root(self, *, strict: bool = False) -> Path:
        if strict and len(self.folders) > 1:
            raise UsageError("Several projects are open.", hint="Name one by the URI of a file in it.")
        if self.folders:
            return self.folders[0]
        documents = list(self._editor.paths())
        if documents:
            return root_of(documents[0], self.folders)
        raise UsageError("No project is open.", hint="Open a folder or a task file, or name the root.")

    def roots(self) -> Sequence[Path]:
        """The projects that are open; without a folder those of the open documents."""
        return self.folders or list(dict.fromkeys(root_of(path) for path in self._editor.paths()))

    async def set_folders(self, added: list[Path], removed: list[Path]) -> None:
        """Folders come and go; a project that is open here is settled here."""
        self.folders = [folder for folder in self.folders if folder not in removed] + [
            folder for folder in added if folder not in self.folders
        ]
        for folder in removed:
            if folder in self._held:
                self._held.discard(folder)
                await self._engine.release(folder)
        for folder in added:
            await self._hold(folder)
        self.views.folders_changed()
        self.refresh_lenses()

    async def _hold(self, root: Path) -> None:
        if root not in self._held:
            self._held.add(root)
            try:
                await self._engine.hold(root)
            except BaseException:
                self._held.discard(root)
                raise
            self._group.create_task(self._engine.warm_up(root), name="warm up")

    # Documents

    def opened(self, document: Document) -> None:
        """A document was opened: its project is held, its problems are shown."""
        self._forget_texts(document.uri)
        self._group.create_task(self._opened(document), name="opened")

    async def _opened(self, document: Document) -> None:
        path = convert.file_of(document.uri)
        if path is not None:
            await self._hold(root_of(path, self.folders))
            await self.publish_problems(document)

    def changed(self, document: Document) -> None:
        if not tasks.is_task_file(document.uri):
            self.views.surroundings.forget()
        self._group.create_task(self.publish_problems(document), name="problems")

    async def publish_problems(self, document: Document) -> None:
        """Problems of kiro.toml; those of task files are a feature's (`features/diagnostics.py`)."""
        path = convert.file_of(document.uri)
        version = document.version
        if path is None or not path.as_posix().endswith(PROJECT_CONFIG):
            return
        problems = await asyncio.to_thread(self._config_problems, path)
        if document.version == version and self._editor.documents.get(document.uri) is document:
            found = [convert.diagnostic(problem, document.lines, self._editor.client.encoding) for problem in problems]
            params = {"uri": document.uri, "version": version, "diagnostics": found}
            self.endpoint.notify("textDocument/publishDiagnostics", params)

    def _config_problems(self, path: Path) -> list[Any]:
        workspace = self._engine.workspace(path.parent.parent)
        return [problem for problem in workspace.asked_for().problems if problem.path == str(path)]

    def closed(self, uri: str) -> None:
        self._forget_texts(uri)
        self.endpoint.notify("textDocument/publishDiagnostics", {"uri": uri, "diagnostics": []})

    def _forget_texts(self, uri: str) -> None:
        """An open document stands for its file: a task file for what it says, any other for settings, too."""
        if tasks.is_task_file(uri):
            self.views.surroundings.forget_texts()
        else:
            self.views.surroundings.forget()

    def _runs_changed(self, _root: str) -> None:
        self._loop.call_soon_threadsafe(self._forget)

    def saved(self, document: Document) -> None:
        """A document was written to the disk by the editor, which no running agent is blamed for."""
        path = convert.file_of(document.uri)
        if path is not None:
            self._engine.saved([path])
        self.files_changed()

    def files_changed(self) -> None:
        """Something was saved, or changed on disk."""
        self._forget()

    def _forget(self) -> None:
        self.views.surroundings.forget()
        self.refresh_lenses()

    def refresh_lenses(self) -> None:
        """Ask the client to fetch lenses again, at most once a second and only where it announced that it can."""
        if not self._editor.client.refreshes_lenses or self._refresh_timer is not None:
            return
        wait = max(0.0, self._refreshed_at + REFRESH_SECONDS - self._loop.time())
        self._refresh_timer = self._loop.call_later(wait, self._send_refresh)

    def _send_refresh(self) -> None:
        self._refresh_timer = None
        self._refreshed_at = self._loop.time()
        self._group.create_task(self._refresh(), name="refresh lenses")

    async def _refresh(self) -> None:
        try:
            await self.endpoint.request("workspace/codeLens/refresh", None)
        except ResponseError:
            return  # the client will ask when it likes to

    def stop(self) -> None:
        self.views.surroundings.stop()
        if self._refresh_timer is not None:
            self._refresh_timer.cancel()

    # Settings

    def keys_changed(self) -> None:
        """A key came from the editor: what is available changes without a file changing."""
        self._engine.forget_settings()
        self._forget()

    async def configuration_changed(self, settings: Mapping[str, Any], own: Mapping[str, Any] | None = None) -> None:
        for kept, given in ((self.client_settings, settings), (self.own_settings, own or {})):
            kept.clear()
            kept.update(given)
        self._forget()
        for document in list(self._editor.documents.values()):
            await self.publish_problems(document)
