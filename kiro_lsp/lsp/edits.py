"""Edits of the domain as the protocol's, with the versions of the documents that they were made for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kiro_lsp.lsp import convert
from kiro_lsp.lsp.views import View
from kiro_lsp.spec.editing.edits import TextEdit


def text_edits(view: View, edits: Iterable[TextEdit]) -> list[dict[str, Any]]:
    """TextEdit objects for one document, in the order of their places."""
    return [{"range": view.span(edit.start, edit.end), "newText": edit.new} for edit in sorted(edits)]


def workspace_edit(files: Sequence[tuple[View, Iterable[TextEdit]]]) -> dict[str, Any]:
    """A WorkspaceEdit; versioned where the client takes versions, and null for documents that are not open."""
    document_changes = any(view.client.takes_document_changes for view, _ in files)
    found = {view.uri: (view.version, text_edits(view, edits)) for view, edits in files}
    return convert.workspace_edit(found, document_changes=document_changes)
