"""An edit is proven by what the documents hold, whatever the client answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kiro_lsp.lsp import convert, documents
from kiro_lsp.lsp.client import client_of
from kiro_lsp.lsp.editor import Editor
from kiro_lsp.lsp.endpoint import Endpoint, ResponseError

FILE = Path("/p/a.txt")
OTHER = Path("/p/b.txt")
OLD, NEW = "one\r\ntwo\r\n", "one\r\n2\r\n"
Client = Callable[[Editor, dict[str, Any]], Any]


class Scripted(Endpoint):
    """An endpoint whose client is a function; what it raises is an error answer."""

    def __init__(self, client: Client) -> None:
        super().__init__(lambda _body: None)
        self.client, self.editor = client, Editor(self)
        self.sent: list[tuple[str, Any]] = []

    async def request(self, method: str, params: Any) -> Any:
        self.sent.append((method, params))
        await asyncio.sleep(0)
        return self.client(self.editor, params)


def apply(editor: Editor, params: dict[str, Any], *, only: str = "") -> None:
    for change in params["edit"]["documentChanges"]:
        uri = change["textDocument"]["uri"]
        document = editor.documents[uri]
        if only in uri:
            for edit in reversed(change["edits"]):
                document.change(document.version + 1, [{"range": edit["range"], "text": edit["newText"]}], "utf-16")
            editor.changed()


def honest(editor: Editor, params: dict[str, Any]) -> Any:
    apply(editor, params)
    return {"applied": True}


def late(editor: Editor, params: dict[str, Any]) -> Any:
    asyncio.get_running_loop().call_soon(apply, editor, params)
    return {"applied": True}


def modest(editor: Editor, params: dict[str, Any]) -> Any:
    apply(editor, params)
    return {"applied": False}


def partial(editor: Editor, params: dict[str, Any]) -> Any:
    apply(editor, params, only="a.txt")
    return {"applied": False}


def refusing(_editor: Editor, _params: dict[str, Any]) -> Any:
    return {"applied": False, "failureReason": "no"}


def odd(_editor: Editor, _params: dict[str, Any]) -> Any:
    return "yes"


def failing(_editor: Editor, _params: dict[str, Any]) -> Any:
    raise ResponseError(-32603, "broken")


def open_in(editor: Editor, *paths: Path) -> None:
    for path in paths:
        editor.opened(documents.opened(convert.uri_of(path), "text", 7, OLD))


@pytest.mark.parametrize(
    ("client", "reached"),
    [(honest, True), (late, True), (modest, True), (partial, False), (refusing, False), (odd, False), (failing, False)],
)
async def test_what_the_documents_hold_decides(client: Client, reached: bool) -> None:
    endpoint = Scripted(client)
    endpoint.editor.client = client_of(
        {"capabilities": {"workspace": {"applyEdit": True, "workspaceEdit": {"documentChanges": True}}}}
    )
    open_in(endpoint.editor, FILE, OTHER)
    assert await endpoint.editor.edit({FILE: (OLD, NEW), OTHER: (OLD, NEW)}) is reached
    ((method, params),) = endpoint.sent
    assert method == "workspace/applyEdit"
    assert [change["textDocument"]["version"] for change in params["edit"]["documentChanges"]] == [7, 7]


async def test_nothing_is_sent_for_a_document_that_is_not_what_was_read() -> None:
    endpoint = Scripted(honest)
    editor = endpoint.editor
    assert not await editor.edit({FILE: (OLD, NEW)})  # the client cannot apply edits
    editor.client = client_of({"capabilities": {"workspace": {"applyEdit": True}}})
    assert not await editor.edit({FILE: (OLD, NEW)})  # it is not open
    open_in(editor, FILE)
    assert not await editor.edit({FILE: ("something else", NEW)})
    editor.documents[convert.uri_of(FILE)].change(1, [{"range": "nonsense", "text": ""}], "utf-16")
    assert not await editor.edit({FILE: (OLD, NEW)})  # it is unsynced: nobody knows what it holds
    assert endpoint.sent == []


async def test_without_document_changes_the_plain_form_is_sent() -> None:
    endpoint = Scripted(refusing)
    endpoint.editor.client = client_of({"capabilities": {"workspace": {"applyEdit": True}}})
    open_in(endpoint.editor, FILE)
    await endpoint.editor.edit({FILE: (OLD, NEW)})
    ((_method, params),) = endpoint.sent
    assert list(params["edit"]) == ["changes"]
    assert list(params["edit"]["changes"]) == [convert.uri_of(FILE)]


async def test_only_a_client_that_can_save_is_asked_to() -> None:
    endpoint = Scripted(lambda _editor, params: {"uris": [*params["uris"][:1], "file:///unasked"]})
    open_in(endpoint.editor, FILE, OTHER)
    assert await endpoint.editor.save([FILE, OTHER]) == []
    endpoint.editor.client = client_of({"initializationOptions": {"kiro": ["kiro/save"]}})
    assert await endpoint.editor.save([FILE, OTHER]) == [FILE]


def test_a_document_is_found_by_where_links_lead(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    editor = Scripted(honest).editor
    uri = (tmp_path / "link" / "a.txt").as_uri()
    editor.opened(documents.opened(uri, "text", 1, OLD))
    assert editor.text(tmp_path / "real" / "a.txt") == editor.text(tmp_path / "link" / "a.txt") == OLD
    editor.closed(uri)
    assert editor.text(tmp_path / "real" / "a.txt") is None
