"""The yardstick for a language server of task files: pygls as its tutorial has it, one regular expression, nothing kept.

It answers lenses, symbols, hover and pulled diagnostics for every line with a box, in code fences too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lsprotocol import types
from pygls.lsp.server import LanguageServer

BOX = re.compile(r"^\s*[-*] \[(.)\]\*?\s+(?:(\d+(?:\.\d+)*)\.?\s+)?(.*)")

server = LanguageServer("naive", "1")


def boxes(ls: LanguageServer, uri: str) -> Iterator[tuple[types.Range, re.Match[str]]]:
    for number, line in enumerate(ls.workspace.get_text_document(uri).lines):
        if found := BOX.match(line):
            start = types.Position(line=number, character=0)
            yield types.Range(start=start, end=types.Position(line=number, character=len(line) - 1)), found


@server.feature(types.TEXT_DOCUMENT_CODE_LENS)
def code_lens(ls: LanguageServer, params: types.CodeLensParams) -> list[types.CodeLens]:
    uri = params.text_document.uri
    return [
        types.CodeLens(
            range=place,
            command=types.Command(title="Run", command="naive.run", arguments=[{"uri": uri, "line": place.start.line}]),
        )
        for place, _ in boxes(ls, uri)
    ]


@server.feature(types.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
def symbols(ls: LanguageServer, params: types.DocumentSymbolParams) -> list[types.DocumentSymbol]:
    return [
        types.DocumentSymbol(name=found[3] or "task", kind=types.SymbolKind.Event, range=place, selection_range=place)
        for place, found in boxes(ls, params.text_document.uri)
    ]


@server.feature(types.TEXT_DOCUMENT_HOVER)
def hover(ls: LanguageServer, params: types.HoverParams) -> types.Hover | None:
    line = ls.workspace.get_text_document(params.text_document.uri).lines[params.position.line]
    found = BOX.match(line)
    return types.Hover(contents=f"**{found[2]}** {found[3]}") if found else None


@server.feature(types.TEXT_DOCUMENT_DIAGNOSTIC)
def diagnostics(
    ls: LanguageServer, params: types.DocumentDiagnosticParams
) -> types.RelatedFullDocumentDiagnosticReport:
    seen: set[str] = set()
    items = []
    for place, found in boxes(ls, params.text_document.uri):
        if found[2] in seen:
            items.append(types.Diagnostic(range=place, message=f"The id {found[2]} is taken."))
        elif found[2]:
            seen.add(found[2])
    return types.RelatedFullDocumentDiagnosticReport(items=items)


@server.command("naive.run")
def run(_ls: LanguageServer, *_args: object) -> None:
    """Present so that the command is announced."""


if __name__ == "__main__":
    server.start_io()
