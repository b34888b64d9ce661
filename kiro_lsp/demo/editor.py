"""A small editor: it starts the language server as editors do, keeps documents, and applies what the server asks for.

It knows the protocol and nothing about tasks or runs. What an editor would show to its user it hands to callbacks.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kiro_lsp.errors import KiroError
from kiro_lsp.spec.lines import split_lines

Json = dict[str, Any]

CAPABILITIES: Json = {
    "general": {"positionEncodings": ["utf-32", "utf-16"]},
    "textDocument": {"codeLens": {"dynamicRegistration": False}, "synchronization": {"didSave": True}},
    "window": {"workDoneProgress": True, "showMessage": {"messageActionItem": {"additionalPropertiesSupport": True}}},
    "workspace": {
        "applyEdit": True,
        "workspaceEdit": {"documentChanges": True},
        "codeLens": {"refreshSupport": True},
        "workspaceFolders": True,
    },
}


class ServerGone(KiroError):
    code = "server"


@dataclass(slots=True)
class Document:
    path: Path
    text: str
    version: int = 1


@dataclass(slots=True)
class Editor:
    """One client of one server over standard input and output."""

    process: asyncio.subprocess.Process
    on_notification: Callable[[str, Json], None]
    choose: Callable[[str, Sequence[str]], Awaitable[str | None]]
    """A message with buttons: gets the text and the titles, answers with a title or None."""
    documents: dict[str, Document] = field(default_factory=dict)
    encoding: str = "utf-16"
    _waiting: dict[int, asyncio.Future[Any]] = field(default_factory=dict)
    _last_id: int = 0
    _reader: asyncio.Task[None] | None = None
    _answering: set[asyncio.Task[None]] = field(default_factory=set)

    @classmethod
    async def start(
        cls,
        argv: Sequence[str],
        environ: Mapping[str, str],
        log: Path,
        on_notification: Callable[[str, Json], None],
        choose: Callable[[str, Sequence[str]], Awaitable[str | None]],
    ) -> Editor:
        """Start the server; what it writes to standard error goes to `log`."""
        with log.open("wb") as err:
            process = await asyncio.create_subprocess_exec(
                *argv, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=err, env=dict(environ)
            )
        editor = cls(process, on_notification, choose)
        editor._reader = asyncio.create_task(editor._read())
        return editor

    async def initialize(self, root: Path, kiro: Sequence[str]) -> Json:
        """Announce ourselves for one folder; `kiro` are the requests beyond plain LSP that we understand."""
        folder = {"uri": root.as_uri(), "name": root.name}
        answer = await self.request(
            "initialize",
            {
                "processId": None,
                "clientInfo": {"name": "kiro-lsp demo"},
                "rootUri": root.as_uri(),
                "workspaceFolders": [folder],
                "capabilities": CAPABILITIES,
                "initializationOptions": {"kiro": list(kiro)},
            },
        )
        self.encoding = answer["capabilities"].get("positionEncoding", "utf-16")
        await self.notify("initialized", {})
        return dict(answer)

    async def open(self, path: Path) -> str:
        """Open a document; returns its URI."""
        document = Document(path, (await asyncio.to_thread(path.read_bytes)).decode())
        uri = path.as_uri()
        self.documents[uri] = document
        item = {"uri": uri, "languageId": "markdown", "version": document.version, "text": document.text}
        await self.notify("textDocument/didOpen", {"textDocument": item})
        return uri

    async def request(self, method: str, params: Json) -> Any:
        """Ask the server. Raises KiroError when it answers with an error or goes away."""
        self._last_id += 1
        number = self._last_id
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        await self._send({"id": number, "method": method, "params": params})
        return await answer

    async def execute(self, command: str, argument: Json) -> Json:
        """Run a server command that takes one object."""
        return dict(await self.request("workspace/executeCommand", {"command": command, "arguments": [argument]}) or {})

    async def notify(self, method: str, params: Json) -> None:
        await self._send({"method": method, "params": params})

    async def close(self) -> None:
        """Shut the server down as the protocol says, and wait until it is gone."""
        if self.process.returncode is None:
            with contextlib.suppress(ServerGone, ConnectionError, TimeoutError):
                async with asyncio.timeout(30):
                    await self.request("shutdown", {})
                    await self.notify("exit", {})
                    await self.process.wait()
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        if self._reader is not None:
            for work in (self._reader, *self._answering):
                work.cancel()
            await asyncio.gather(self._reader, *self._answering, return_exceptions=True)

    async def _send(self, message: Json) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}, ensure_ascii=False).encode()
        stdin = self.process.stdin
        if stdin is None:
            raise self._gone()
        try:
            stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
            await stdin.drain()
        except ConnectionError as error:
            raise self._gone() from error

    async def _read(self) -> None:
        stdout = self.process.stdout
        try:
            while stdout is not None:
                headers = await stdout.readuntil(b"\r\n\r\n")
                length = next(
                    int(line[15:]) for line in headers.split(b"\r\n") if line.lower().startswith(b"content-length:")
                )
                self._take(json.loads(await stdout.readexactly(length)))
        except asyncio.IncompleteReadError:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(self._gone())

    def _gone(self) -> ServerGone:
        return ServerGone("The language server has ended unexpectedly.", hint="`kiro-lsp doctor` says what is wrong.")

    def _take(self, message: Json) -> None:
        if "method" not in message:
            answer = self._waiting.pop(message["id"])
            if answer.done():
                return
            if "error" in message:
                answer.set_exception(KiroError(message["error"]["message"]))
            else:
                answer.set_result(message.get("result"))
        elif "id" in message:
            answering = asyncio.create_task(self._answer(message))
            self._answering.add(answering)
            answering.add_done_callback(self._answering.discard)
        else:
            self.on_notification(message["method"], message.get("params") or {})

    async def _answer(self, message: Json) -> None:
        params = message.get("params") or {}
        result: Any = None
        match message["method"]:
            case "workspace/applyEdit":
                result = await self._apply(params["edit"])
            case "window/showMessageRequest":
                titles = [action["title"] for action in params.get("actions") or []]
                chosen = await self.choose(params["message"], titles)
                result = next((action for action in params.get("actions") or [] if action["title"] == chosen), None)
            case "workspace/configuration":
                result = [None for _ in params["items"]]
            case "kiro/save":
                result = {"uris": [uri for uri in params["uris"] if await self._save(uri)]}
        with contextlib.suppress(ServerGone):
            await self._send({"id": message["id"], "result": result})

    async def _apply(self, edit: Json) -> Json:
        """Apply a versioned edit to open documents, all of it or nothing."""
        after: dict[str, str] = {}
        for change in edit.get("documentChanges") or []:
            uri, version = change["textDocument"]["uri"], change["textDocument"].get("version")
            document = self.documents.get(uri)
            if document is None or version not in (None, document.version):
                return {"applied": False, "failureReason": f"{uri} is not open, or has changed"}
            after[uri] = edited(after.get(uri, document.text), change["edits"], self.encoding)
        for uri, text in after.items():
            document = self.documents[uri]
            document.text, document.version = text, document.version + 1
            identifier = {"uri": uri, "version": document.version}
            await self.notify(
                "textDocument/didChange", {"textDocument": identifier, "contentChanges": [{"text": text}]}
            )
        return {"applied": True}

    async def _save(self, uri: str) -> bool:
        document = self.documents.get(uri)
        if document is None:
            return False
        document.path.write_bytes(document.text.encode())
        await self.notify("textDocument/didSave", {"textDocument": {"uri": uri}})
        return True

    async def save_all(self) -> None:
        for uri, document in self.documents.items():
            if document.path.read_bytes() != document.text.encode():
                await self._save(uri)


def edited(text: str, edits: Sequence[Json], encoding: str) -> str:
    """The text after edits that all refer to the text before them."""
    lines = [*split_lines(text), ""]
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))

    def offset(position: Json) -> int:
        number = min(int(position["line"]), len(lines) - 1)
        return starts[number] + _characters(lines[number], position["character"], encoding)

    spans = sorted(
        ((offset(e["range"]["start"]), offset(e["range"]["end"]), e["newText"]) for e in edits), reverse=True
    )
    for start, end, new in spans:
        text = text[:start] + new + text[end:]
    return text


def _characters(line: str, units: int, encoding: str) -> int:
    """How many characters the first `units` of a line are."""
    if encoding == "utf-32":
        return min(units, len(line))
    raw, size = (line.encode("utf-16-le"), 2) if encoding == "utf-16" else (line.encode(), 1)
    return len(raw[: units * size].decode("utf-16-le" if size == 2 else "utf-8", "ignore"))
