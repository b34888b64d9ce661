"""A server in this process, spoken to as a client does, with an own picture of each document."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from kiro_lsp.lsp.server import Server
from kiro_lsp.spec.lines import split_lines


class Speaker:
    """Sends requests and edits; answers what the server asks with null, or as it was told."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.server = Server(self._take, environ)
        self.notifications: list[dict[str, Any]] = []
        self.asked: list[str] = []
        """Methods of the server's own requests."""
        self.requests: list[dict[str, Any]] = []
        """Those requests, whole."""
        self.answers: dict[str, Any] = {}
        """Method → what such a request is answered with."""
        self._ids = itertools.count(1)
        self.last_id = 0
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._versions: dict[str, int] = {}
        self.texts: dict[str, str] = {}

    def _take(self, body: bytes) -> None:
        message = json.loads(body)
        if "method" in message:
            if "id" in message:
                self.asked.append(message["method"])
                self.requests.append(message)
                result = self.answers.get(message["method"])
                asyncio.get_running_loop().call_soon(
                    self.server.deliver, [{"jsonrpc": "2.0", "id": message["id"], "result": result}]
                )
            else:
                self.notifications.append(message)
        elif message["id"] in self._waiting:
            self._waiting.pop(message["id"]).set_result(message)

    def tell(self, method: str, params: Any) -> None:
        self.server.deliver([{"jsonrpc": "2.0", "method": method, "params": params}])

    def begin(self, method: str, params: Any) -> asyncio.Future[dict[str, Any]]:
        number = self.last_id = next(self._ids)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        future = self._waiting[number]
        self.server.deliver([{"jsonrpc": "2.0", "id": number, "method": method, "params": params}])
        return future

    async def ask(self, method: str, params: Any) -> Any:
        """The result; an error answer fails the test."""
        message = await asyncio.wait_for(self.begin(method, params), 60)
        assert "error" not in message, message
        return message["result"]

    def open(self, path: Path, text: str) -> str:
        """Open a document; returns its URI."""
        uri = path.as_uri()
        self.texts[uri], self._versions[uri] = text, 1
        item = {"uri": uri, "languageId": "markdown", "version": 1, "text": text}
        self.tell("textDocument/didOpen", {"textDocument": item})
        return uri

    def edit(self, uri: str, line: int, start: int, end: int, text: str) -> None:
        """Replace columns (UTF-16 units; the lines concerned hold nothing above U+FFFF) of one line."""
        lines = split_lines(self.texts[uri]) or [""]
        lines[line] = lines[line][:start] + text + lines[line][end:]
        self.texts[uri] = "".join(lines)
        self._versions[uri] += 1
        range_ = {"start": {"line": line, "character": start}, "end": {"line": line, "character": end}}
        document = {"uri": uri, "version": self._versions[uri]}
        self.tell(
            "textDocument/didChange", {"textDocument": document, "contentChanges": [{"range": range_, "text": text}]}
        )


@asynccontextmanager
async def speaking(root: Path, environ: Mapping[str, str], **client: Any) -> AsyncIterator[Speaker]:
    """An initialized server for the project `root`; ended afterwards."""
    speaker = Speaker(environ)
    running = asyncio.create_task(speaker.server.run())
    await asyncio.sleep(0)
    try:
        await speaker.ask("initialize", {"processId": None, "rootUri": root.as_uri(), "capabilities": {}, **client})
        speaker.tell("initialized", {})
        yield speaker
    finally:
        speaker.server.end(0)
        await running
