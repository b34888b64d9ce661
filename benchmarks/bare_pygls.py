"""The yardstick for start and memory: a pygls server as its tutorial has it, with one feature and nothing of ours."""

from __future__ import annotations

from lsprotocol import types
from pygls.lsp.server import LanguageServer

server = LanguageServer("bare", "1")


@server.feature(types.TEXT_DOCUMENT_CODE_LENS)
def code_lens(ls: LanguageServer, params: types.CodeLensParams) -> list[types.CodeLens]:
    """One lens per line with a box."""
    document = ls.workspace.get_text_document(params.text_document.uri)
    lenses = []
    for number, line in enumerate(document.lines):
        if line.lstrip().startswith("- [ ]"):
            start, end = types.Position(line=number, character=0), types.Position(line=number, character=1)
            command = types.Command(title="Run", command="bare.run")
            lenses.append(types.CodeLens(range=types.Range(start=start, end=end), command=command))
    return lenses


@server.command("bare.run")
def run(_ls: LanguageServer, *_args: object) -> None:
    """Present so that the command is announced."""


if __name__ == "__main__":
    server.start_io()
