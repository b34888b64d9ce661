"""The language server: lifetime, dispatch, and the stages of its start.

`initialize` is answered from a fixed object before anything heavy is imported; then the engine and pygls are imported in
threads while the client goes on. Hot methods (sync, lenses) are served from plain values here, the others by pygls
(cold.py). Every request gets one answer, whatever it holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from kiro_lsp.lsp import convert, documents, features
from kiro_lsp.lsp.background import Background
from kiro_lsp.lsp.capabilities import NAME, initialize_result
from kiro_lsp.lsp.client import Client, client_of
from kiro_lsp.lsp.command_ids import COMMAND_IDS
from kiro_lsp.lsp.doorstep import STRANGER, Greeted
from kiro_lsp.lsp.editor import Editor
from kiro_lsp.lsp.endpoint import (
    HANDED_ON,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    NOT_INITIALIZED,
    Endpoint,
    Inbox,
    Raw,
    ResponseError,
)
from kiro_lsp.lsp.framing import Incoming, Malformed

if TYPE_CHECKING:
    from pathlib import Path

    from kiro_lsp.lsp.backend import Backend

log = logging.getLogger(__name__)

_COLD_STANDARD: Final = frozenset({"workspace/executeCommand", "workspace/textDocumentContent"})
_KIRO: Final = frozenset(
    {
        "kiro/review",
        "kiro/reviewContent",
        "kiro/reviewEdit",
        "kiro/follow",
        "kiro/runs",
        "kiro/specs",
        "kiro/agents",
        "kiro/costs",
    }
)
_PARENT_SECONDS: Final = 2.0


class Server:
    """One server for one client. `send_bytes` gets message bodies; it must not block."""

    def __init__(
        self, send_bytes: Callable[[bytes], None], environ: Mapping[str, str], greeted: Greeted = STRANGER
    ) -> None:
        self.endpoint = Endpoint(send_bytes)
        self.editor = Editor(self.endpoint)
        self._send_bytes = send_bytes
        self._environ = environ
        self._greeted = greeted
        self._inbox = Inbox(self.endpoint)
        self._state = "new"
        self._exit_code: int | None = None
        self._ended = asyncio.Event()
        self._ready = asyncio.Event()
        self._answering = asyncio.Event()
        """Set before `_ready`: features need no project that is settled here."""
        self._initialize: Mapping[str, Any] = {}
        self._backend: Backend | None = None
        self._trouble = ""
        """Why there is no backend, when making it failed."""
        self._group: Background | None = None
        self._features = features.Features()
        self._unsettled = 0
        """How much of what the client said has yet to take effect."""

    # Lifetime

    async def run(self) -> int:
        """Serve until `exit`, the end of input, or the client's death; returns the exit code."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = Background(group)
                self._take_over()
                await self._ended.wait()
                self._inbox.cancel_all()
                closing = group.create_task(self._close_backend(), name="close")
                self.endpoint.give_up()  # told only after runs were cancelled: no question becomes a no first
                await closing
                self.endpoint.close()
                raise _Finished
        except* _Finished:
            pass
        return 0 if self._exit_code is None and self._state in ("new", "shutdown") else self._exit_code or 0

    def end(self, exit_code: int | None = None) -> None:
        """End the server: from `exit`, the end of input, or a signal."""
        if self._exit_code is None and exit_code is not None:
            self._exit_code = exit_code
        self._ended.set()

    async def _close_backend(self) -> None:
        if self._backend is not None:
            await self._backend.close()

    # Messages

    def deliver(self, messages: Sequence[Incoming] | None) -> None:
        """A batch from the reader; None is the end of input."""
        if messages is None:
            self.end(0 if self._state in ("new", "shutdown") else 1)
            return
        for message in messages:
            if isinstance(message, Malformed):
                self.endpoint.refuse(None, ResponseError(message.code, message.message))
            else:
                self._take(message)

    def _take(self, message: Mapping[str, Any]) -> None:
        method, identifier = message.get("method"), message.get("id")
        if isinstance(method, str):
            if "id" in message:
                if isinstance(identifier, bool) or not isinstance(identifier, int | str | None):
                    self.endpoint.refuse(None, ResponseError(INVALID_REQUEST, "an id is a number or a string"))
                else:
                    self._request(message, method, identifier)
            else:
                if not method.startswith("textDocument/"):
                    self._settle()
                self._notification(message, method)
        elif "id" in message and ("result" in message or "error" in message):
            self._settle()
            self.endpoint.take_response(message)
        else:
            self.endpoint.refuse(None, ResponseError(INVALID_REQUEST, "not a JSON-RPC message"))

    def _settle(self) -> None:
        """What was just said takes effect in a task: no request behind it is answered before that had its turn."""
        loop = asyncio.get_running_loop()
        self._unsettled += 1
        loop.call_soon(loop.call_soon, self._settled)

    def _settled(self) -> None:
        self._unsettled -= 1

    def _request(self, message: Mapping[str, Any], method: str, identifier: int | str | None) -> None:
        refused = self._refused(method)
        if refused is not None:
            self.endpoint.refuse(identifier, refused)
            return
        params = message.get("params")
        params = params if isinstance(params, Mapping) else {}
        if method == "initialize":
            self._initialized_with(message, params, identifier)
        elif method == "shutdown":
            self._state = "shutdown"
            self.endpoint.answer(identifier, None)
        elif method in self._features.methods or method in self._features.workspace_methods:
            if self._backend is not None and not self._unsettled:
                known = self._backend.answers.known(method, params)
                if known is not None:
                    self.endpoint.answer(identifier, known)
                    return
                self._inbox.start_now(identifier, self._backend.answers.answer(method, params), self._tasks)
            else:
                self._inbox.start(identifier, self._feature(method, params), self._tasks)
        elif method in _COLD_STANDARD or method in _KIRO:
            if "params" in message and not isinstance(message["params"], Mapping):
                self.endpoint.refuse(
                    identifier, ResponseError(INVALID_PARAMS, f"the parameters of {method} are an object")
                )
            else:
                self._inbox.start(identifier, self._cold(dict(message)), self._tasks)
        else:
            self.endpoint.refuse(identifier, ResponseError(METHOD_NOT_FOUND, f"unknown method {method!r}"))

    def _refused(self, method: str) -> ResponseError | None:
        """Requests that come at the wrong time (LSP 3.18, "Server lifecycle")."""
        if self._state == "new" and method != "initialize":
            return ResponseError(NOT_INITIALIZED, "the server is not initialized")
        if self._state == "shutdown":
            return ResponseError(INVALID_REQUEST, "the server is shutting down")
        if method == "initialize" and self._state != "new":
            return ResponseError(INVALID_REQUEST, "the server is initialized already")
        return None

    @property
    def _tasks(self) -> Background:
        assert self._group is not None
        return self._group

    # Start

    def _take_over(self) -> None:
        """Go on with a client that was greeted before there was a server."""
        message = self._greeted.initialize
        if message is not None:
            self._begin(message, message["params"])
            for following in self._greeted.messages:
                self._take(following)

    def _initialized_with(
        self, message: Mapping[str, Any], params: Mapping[str, Any], identifier: int | str | None
    ) -> None:
        self._begin(message, params)
        self.endpoint.answer(identifier, initialize_result(self.editor.client, list(COMMAND_IDS), self._features))

    def _begin(self, message: Mapping[str, Any], params: Mapping[str, Any]) -> None:
        self._state = "running"
        self._initialize = message
        self.editor.client = client = client_of(params)
        self._features = features.load()
        self._tasks.create_task(self._start(client, params), name="start")
        parent = params.get("processId")
        if isinstance(parent, int) and not isinstance(parent, bool) and parent > 0:
            self._tasks.create_task(self._watch_parent(parent), name="parent")

    async def _start(self, client: Client, params: Mapping[str, Any]) -> None:
        """Import what the rest needs in threads, in this order: the engine, then pygls."""
        try:
            backend_class = await asyncio.to_thread(_import_backend)
            backend = await backend_class.open(
                self.editor, self.endpoint, self._environ, self._tasks, client, features=self._features
            )
        except Exception as error:  # noqa: BLE001  # without a backend the server still answers, and says why
            self._trouble = f"kiro-lsp cannot run tasks: {error}"
            self.endpoint.notify("window/showMessage", {"type": 1, "message": self._trouble})
            self._answering.set()
            self._ready.set()
            return
        self._backend = backend
        for uri in self._greeted.shown:  # the lenses there name it by the first number
            backend.session.views.number_of(uri)
        folders = _folders_of(params)
        backend.session.folders = list(folders)
        self._answering.set()
        try:
            await backend.session.set_folders(folders, [])
        except Exception as error:  # what needs no run goes on
            log.exception("the project was not taken over")
            message = f"kiro-lsp cannot take over the runs of this project: {error}"
            self.endpoint.notify("window/showMessage", {"type": 1, "message": message})
        for document in list(self.editor.documents.values()):
            backend.session.opened(document)
            backend.answers.changed(document, at_once=True)
        self._ready.set()
        await self._correct_first_lenses(backend)
        gc.freeze()  # what is there now stays; nobody needs to look through it again and again for what is garbage
        if backend.notices:
            self.endpoint.notify("window/showMessage", {"type": 2, "message": " ".join(backend.notices)})
        await backend.start_cold(self._initialize, self._send_cold)

    async def _correct_first_lenses(self, backend: Backend) -> None:
        """Lenses that were answered from what was offered last time are asked for again, if that is not offered now."""
        for uri, shown in self._greeted.shown.items():
            with contextlib.suppress(ResponseError):  # edited meanwhile: it is asked for again as it is
                now = await backend.answers.answer("textDocument/codeLens", {"textDocument": {"uri": uri}})
                if not isinstance(now, Raw) or bytes(now) != shown:
                    backend.session.refresh_lenses()

    def _send_cold(self, body: bytes) -> None:
        self._send_bytes(body)

    async def _watch_parent(self, parent: int) -> None:
        """End when the editor is gone without a word; its end of the pipe may be held open by somebody else."""
        while _is_alive(parent):  # noqa: ASYNC110  # there is no event for the end of a process that is not our child
            await asyncio.sleep(_PARENT_SECONDS)
        self.end(1)

    # Hot methods

    async def _feature(self, method: str, params: Mapping[str, Any]) -> Any:
        return await (await self._need_backend(self._answering)).answers.answer(method, params)

    async def _need_backend(self, when: asyncio.Event | None = None) -> Backend:
        await (when or self._ready).wait()
        if self._backend is None:
            raise ResponseError(INTERNAL_ERROR, self._trouble)
        return self._backend

    async def _cold(self, message: dict[str, Any]) -> object:
        """Hand a request to pygls once it is there; pygls answers it."""
        backend = await self._need_backend()
        cold = await backend.need_cold()
        refused = cold.handle(message)
        if refused is not None:
            raise refused
        return HANDED_ON

    # Notifications

    def _notification(self, message: Mapping[str, Any], method: str) -> None:
        if method == "exit":
            self.end(0 if self._state == "shutdown" else 1)
            return
        if self._state != "running":
            return
        handler = _NOTIFICATIONS.get(method)
        params = message.get("params")
        if handler is None or not isinstance(params, Mapping):
            return
        try:
            handler(self, params)
        except (KeyError, TypeError, AttributeError, ValueError):  # malformed: there is nobody to tell
            log.info("malformed %s", method)

    def _cancel(self, params: Mapping[str, Any]) -> None:
        identifier = params.get("id")
        if isinstance(identifier, int | str):
            self._inbox.cancel(identifier)
            if self._backend is not None and self._backend.cold is not None:
                self._backend.cold.cancel(identifier)

    def _did_open(self, params: Mapping[str, Any]) -> None:
        item = params["textDocument"]
        text = item["text"]
        if not isinstance(text, str):
            return
        version = item.get("version")
        document = documents.opened(
            str(item["uri"]), str(item.get("languageId", "")), version if isinstance(version, int) else 0, text
        )
        self.editor.opened(document)
        if self._backend is not None:
            self._backend.session.opened(document)
            self._backend.answers.changed(document, at_once=True)

    def _did_change(self, params: Mapping[str, Any]) -> None:
        item = params["textDocument"]
        document = self.editor.documents.get(str(item["uri"]))
        if document is None:
            return
        version, was_synced = item.get("version"), document.synced
        document.change(
            version if isinstance(version, int) else document.version + 1,
            params["contentChanges"],
            self.editor.client.encoding,
        )
        self.editor.changed()
        if was_synced and not document.synced:
            message = f"{document.uri} is out of step with the editor ({document.why}); close and open it to go on."
            self.endpoint.notify("window/showMessage", {"type": 2, "message": message})
        if self._backend is not None:
            self._backend.session.changed(document)
            self._backend.answers.changed(document)

    def _did_save(self, params: Mapping[str, Any]) -> None:
        document = self.editor.documents.get(str(params["textDocument"]["uri"]))
        if document is not None:
            document.saved_text = document.text
            if self._backend is not None:
                self._backend.session.changed(document)
                self._backend.session.saved(document)

    def _did_close(self, params: Mapping[str, Any]) -> None:
        uri = str(params["textDocument"]["uri"])
        self.editor.closed(uri)
        if self._backend is not None:
            self._backend.session.closed(uri)
            self._backend.answers.closed(uri)

    def _cancel_progress(self, params: Mapping[str, Any]) -> None:
        if self._backend is not None:
            self._backend.cancel_progress(params["token"])

    def _folders_changed(self, params: Mapping[str, Any]) -> None:
        event = params["event"]
        added, removed = _paths(event.get("added")), _paths(event.get("removed"))
        self._tasks.create_task(self._set_folders(added, removed), name="folders")

    async def _set_folders(self, added: list[Path], removed: list[Path]) -> None:
        await (await self._need_backend()).session.set_folders(added, removed)

    def _configuration_changed(self, params: Mapping[str, Any]) -> None:
        self._tasks.create_task(self._set_configuration(params.get("settings")), name="settings")

    async def _set_configuration(self, settings: object) -> None:
        await (await self._need_backend()).configuration_changed(settings)

    def _look_again(self, _params: Mapping[str, Any]) -> None:
        self._tasks.create_task(self._have_looked_again(), name="keys and agents")

    async def _have_looked_again(self) -> None:
        await (await self._need_backend()).look_again()

    def _files_changed(self, _params: Mapping[str, Any]) -> None:
        if self._backend is not None:
            self._backend.session.files_changed()


_NOTIFICATIONS: Mapping[str, Callable[[Server, Mapping[str, Any]], None]] = {
    "$/cancelRequest": Server._cancel,
    "textDocument/didOpen": Server._did_open,
    "textDocument/didChange": Server._did_change,
    "textDocument/didSave": Server._did_save,
    "textDocument/didClose": Server._did_close,
    "window/workDoneProgress/cancel": Server._cancel_progress,
    "workspace/didChangeWorkspaceFolders": Server._folders_changed,
    "workspace/didChangeConfiguration": Server._configuration_changed,
    "workspace/didChangeWatchedFiles": Server._files_changed,
    "kiro/lookAgain": Server._look_again,
}


class _Finished(Exception):
    """Ends the server's task group, and with it everything that still runs."""


def _import_backend() -> type[Backend]:
    from kiro_lsp.lsp.backend import Backend

    return Backend


def _folders_of(params: Mapping[str, Any]) -> list[Path]:
    folders = _paths(params.get("workspaceFolders"))
    root = params.get("rootUri")
    if not folders and isinstance(root, str) and (path := convert.file_of(root)) is not None:
        folders = [path]
    return folders


def _paths(folders: object) -> list[Path]:
    uris = [folder.get("uri") for folder in folders if isinstance(folder, Mapping)] if isinstance(folders, list) else []
    return [path for uri in uris if isinstance(uri, str) and (path := convert.file_of(uri)) is not None]


def _is_alive(pid: int) -> bool:
    """Whether a process exists. On Windows signals would end it, so there the pipe alone decides."""
    if os.name == "nt":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


__all__ = ["NAME", "Server"]
