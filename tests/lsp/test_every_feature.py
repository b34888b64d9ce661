"""Every feature, asked by every kind of client: it answers with what the client can use, and is known to its users.

What a feature says is in the tests of that feature; here is that none is left out.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import pytest_asyncio

from kiro_lsp.lsp import features
from kiro_lsp.lsp.capabilities import initialize_result
from kiro_lsp.lsp.client import client_of
from kiro_lsp.lsp.command_ids import COMMAND_IDS
from kiro_lsp.lsp.convert import file_of
from tests.conftest import REPO
from tests.support.asking import ASKED, OF_A_RANGE, OF_PLACES, RESOLVED, Text, check, questions, token_places
from tests.support.editors import CLIENTS, REQUIREMENTS, TASKS, Editor, editing, known

COUNTING_IN_UTF_32 = "neovim with utf-32"
FEATURES = features.load()
DOCUMENTATION = (REPO / "docs/features.md").read_text("utf-8")

HERE: dict[str, tuple[str, Callable[[Any], bool]]] = {
    # Method → where it is asked, and whether the answer says something.
    "textDocument/completion": ("_Requirements: |1.1, 2_", lambda found: "1.2" in labels(found)),
    "textDocument/definition": ("(depends on |1)", bool),
    "textDocument/documentHighlight": ("(depends on |1)", lambda found: len(found) > 1),
    "textDocument/hover": ("- [ ] |1. Set up", lambda found: "greet them" in found["contents"]["value"]),
    "textDocument/onTypeFormatting": ("- [ ] 4. Last\n|", lambda found: found[0]["newText"].strip() == "- [ ] 5."),
    "textDocument/prepareRename": ("- [ ] |4. Last", lambda found: found["placeholder"] == "4"),
    "textDocument/references": ("_Requirements: 1.1, |2_", lambda found: len(found) > 1),
    "textDocument/rename": ("- [ ] |4. Last", bool),
    "textDocument/codeLens": ("", lambda found: len(found) > 2),
    "textDocument/diagnostic": ("", lambda found: found["kind"] == "full"),
    "textDocument/documentLink": ("", lambda found: found[0]["target"].endswith("src/app.py")),
    "textDocument/documentSymbol": ("", bool),
    "textDocument/foldingRange": ("", bool),
    "textDocument/semanticTokens/full": ("", lambda found: len(found["data"]) > 20),
    "textDocument/semanticTokens/full/delta": ("", lambda found: len(found["data"]) > 20),
    "textDocument/semanticTokens/range": ("", lambda found: len(found["data"]) > 20),
    "textDocument/selectionRange": ("first |step", lambda found: "parent" in found[0]),
    "textDocument/codeAction": ("", lambda found: len(found) > 3),
    "textDocument/inlayHint": ("", bool),
}
PROVIDERS = {
    "codeActionProvider": "textDocument/codeAction",
    "codeLensProvider": "textDocument/codeLens",
    "completionProvider": "textDocument/completion",
    "definitionProvider": "textDocument/definition",
    "diagnosticProvider": "textDocument/diagnostic",
    "documentHighlightProvider": "textDocument/documentHighlight",
    "documentLinkProvider": "textDocument/documentLink",
    "documentOnTypeFormattingProvider": "textDocument/onTypeFormatting",
    "documentSymbolProvider": "textDocument/documentSymbol",
    "foldingRangeProvider": "textDocument/foldingRange",
    "hoverProvider": "textDocument/hover",
    "inlayHintProvider": "textDocument/inlayHint",
    "referencesProvider": "textDocument/references",
    "renameProvider": "textDocument/rename",
    "selectionRangeProvider": "textDocument/selectionRange",
    "semanticTokensProvider": "textDocument/semanticTokens/full",
    "workspaceSymbolProvider": "workspace/symbol",
}
NOT_A_FEATURE = {"executeCommandProvider"}
UNLESS_ANNOUNCED = {"textDocument/inlayHint": "inlayHint"}
"""Methods that say nothing to a client which did not announce them."""


def labels(found: Any) -> list[str]:
    return [item["label"] for item in found["items"]]


@pytest_asyncio.fixture(params=(*CLIENTS, COUNTING_IN_UTF_32))
async def editor(request: pytest.FixtureRequest, tmp_path: Path, own_homes: Path) -> AsyncIterator[Editor]:
    async with editing(tmp_path, own_homes, request.param) as found:
        yield found


def text_of(editor: Editor) -> Callable[[str], Text]:
    def read(uri: str) -> Text:
        path = file_of(uri)
        assert path is not None
        return Text(editor.speaker.texts.get(uri) or path.read_text("utf-8"), editor.encoding)

    return read


async def asked(editor: Editor, method: str) -> tuple[dict[str, Any], Any]:
    """The last question about the place of `HERE`, whose answer is fit for the client, and that answer."""
    where = HERE[method][0]
    place = editor.place(where) if where else {"line": 0, "character": 0}
    for params in questions(method, editor.uri, text_of(editor)(editor.uri), [place], Random(1)):
        answer = await editor.speaker.ask(method, params)
        check(method, params, answer, text_of(editor))
    return params, answer


@pytest.mark.parametrize("method", HERE)
async def test_every_feature_answers_every_client(method: str, editor: Editor) -> None:
    _params, answer = await asked(editor, method)
    wanted = UNLESS_ANNOUNCED.get(method)
    if wanted is not None and not editor.capabilities["textDocument"].get(wanted):
        assert answer == []
    else:
        assert HERE[method][1](answer)


@pytest.mark.parametrize("method", RESOLVED)
async def test_what_is_resolved_is_the_same_and_more(method: str, editor: Editor) -> None:
    """Also when the client already has all of it."""
    params, answer = await asked(editor, RESOLVED[method])
    listed = answer["items"] if isinstance(answer, dict) else answer
    for item in [item for item in listed if "data" in item or method != "codeLens/resolve"][:20]:
        if "arguments" in item:
            continue  # a bare command: nothing to resolve
        found = await editor.speaker.ask(method, item)
        check(method, params, found, text_of(editor))
        assert found.items() >= item.items()


async def test_every_task_of_the_project_is_found(editor: Editor) -> None:
    found = await editor.speaker.ask("workspace/symbol", {"query": "set up"})
    check("workspace/symbol", {}, found, text_of(editor))
    assert [symbol["name"][:8] for symbol in found] == ["1 Set up"]


async def test_tokens_are_cut_from_the_text_in_the_clients_units(editor: Editor) -> None:
    """The same words for every client, behind characters that count differently."""
    _params, answer = await asked(editor, "textDocument/semanticTokens/full")
    text = Text(TASKS, editor.encoding)
    words = []
    for line, start, length, _kind in token_places(answer["data"]):
        columns = {text.units(text.lines[line][:at]): at for at in range(len(text.lines[line]) + 1)}
        words.append(text.lines[line][columns[start] : columns[start + length]])
    assert words[:7] == ["1", "Requirements", "1.1", "2", "x", "3", "1"]
    assert words[-1] == "4"


async def test_documents_beside_the_tasks_are_answered_about_too(editor: Editor) -> None:
    uri = editor.speaker.open(editor.folder / "requirements.md", REQUIREMENTS)
    text = text_of(editor)(uri)
    for method in HERE:
        for params in questions(method, uri, text, text.some_places(Random(2), 8), Random(3)):
            message = await editor.speaker.begin(method, params)
            assert message.get("error", {}).get("code") in (None, -32803), message
            check(method, params, message.get("result"), text_of(editor))


# None is left out


def test_every_method_that_is_served_is_asked_here() -> None:
    served = {*FEATURES.methods, *FEATURES.workspace_methods}
    assert served == ASKED
    assert set(HERE) == {method for method in served if method.startswith("textDocument/")}
    assert {*OF_A_RANGE, *OF_PLACES} <= served


@pytest.mark.parametrize("name", [*CLIENTS, COUNTING_IN_UTF_32])
def test_everything_that_is_announced_is_served_and_asked_here(name: str) -> None:
    client = client_of({"capabilities": known(name), "clientInfo": {"name": name}})
    announced = initialize_result(client, list(COMMAND_IDS), FEATURES)["capabilities"]
    providers = {provider for provider in announced if provider.endswith("Provider")} - NOT_A_FEATURE
    assert providers <= set(PROVIDERS)
    assert {PROVIDERS[provider] for provider in providers} <= ASKED


@pytest.mark.parametrize("module", FEATURES.modules, ids=lambda module: module.__name__.rpartition(".")[2])
def test_every_feature_has_a_line_in_the_documentation(module: Any) -> None:
    served = [*getattr(module, "METHODS", ()), *getattr(module, "WORKSPACE_METHODS", ())]
    assert served
    named = set(re.findall(r"`(\w+/\w+)[^`]*`", DOCUMENTATION))
    assert [method for method in served if "/".join(method.split("/")[:2]) not in named] == []
