"""What the client announced, asked by name. Capabilities are dug out here and nowhere else.

`initializationOptions.kiro` is a list of the requests and notifications beyond plain LSP that the client understands; a
client that lists `kiro/review` is one of ours, or does as ours do.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from kiro_lsp.lsp.documents import Encoding

_EAGER = ("vim", "emacs", "lsp4ij", "intellij", "jetbrains", "helix", "kak")
"""Parts of the names of clients that resolve every lens, or of which that is not known."""


class Client(NamedTuple):
    capabilities: Mapping[str, Any] = MappingProxyType({})
    options: Mapping[str, Any] = MappingProxyType({})
    name: str = ""

    def _at(self, *path: str) -> Any:
        value: Any = self.capabilities
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    @property
    def encoding(self) -> Encoding:
        offered = self._at("general", "positionEncodings")
        for encoding in offered if isinstance(offered, list) else ():
            if encoding in ("utf-8", "utf-16", "utf-32"):
                return encoding  # type: ignore[no-any-return]
        return "utf-16"

    @property
    def applies_edits(self) -> bool:
        return self._at("workspace", "applyEdit") is True

    @property
    def takes_document_changes(self) -> bool:
        return self._at("workspace", "workspaceEdit", "documentChanges") is True

    @property
    def confirms_annotated_edits(self) -> bool:
        return isinstance(self._at("workspace", "workspaceEdit", "changeAnnotationSupport"), Mapping)

    @property
    def shows_progress(self) -> bool:
        return self._at("window", "workDoneProgress") is True

    @property
    def refreshes_lenses(self) -> bool:
        return self._at("workspace", "codeLens", "refreshSupport") is True

    @property
    def resolves_every_lens(self) -> bool:
        """Whether it resolves all lenses of a file and not only those that it shows: then they are sent complete."""
        return any(name in self.name.casefold() for name in _EAGER) or not self.name

    @property
    def takes_code_actions(self) -> bool:
        """Whether code actions may be more than bare commands."""
        return isinstance(self._at("textDocument", "codeAction", "codeActionLiteralSupport"), Mapping)

    @property
    def resolves_code_actions(self) -> bool:
        """Whether the edit of a code action may be found when it is chosen."""
        named = self._at("textDocument", "codeAction", "resolveSupport", "properties")
        return (
            isinstance(named, list)
            and "edit" in named
            and self._at("textDocument", "codeAction", "dataSupport") is True
        )

    @property
    def resolves_documentation(self) -> bool:
        """Whether the documentation of a completion may be asked for when it is shown."""
        named = self._at("textDocument", "completion", "completionItem", "resolveSupport", "properties")
        return isinstance(named, list) and "documentation" in named

    @property
    def takes_snippets(self) -> bool:
        return self._at("textDocument", "completion", "completionItem", "snippetSupport") is True

    @property
    def prepares_renames(self) -> bool:
        return self._at("textDocument", "rename", "prepareSupport") is True

    @property
    def nests_symbols(self) -> bool:
        """Whether an outline may be a tree; else it is a flat list."""
        return self._at("textDocument", "documentSymbol", "hierarchicalDocumentSymbolSupport") is True

    @property
    def takes_location_links(self) -> bool:
        """Whether a definition may say which words led to it, and how far what it leads to goes."""
        return self._at("textDocument", "definition", "linkSupport") is True

    @property
    def shows_markdown_hovers(self) -> bool:
        """Whether it prefers Markdown to plain text where the pointer rests; one that does not say so gets plain text."""
        named = self._at("textDocument", "hover", "contentFormat")
        known = [kind for kind in named if kind in ("markdown", "plaintext")] if isinstance(named, list) else []
        return known[:1] == ["markdown"]

    @property
    def shows_inlay_hints(self) -> bool:
        return isinstance(self._at("textDocument", "inlayHint"), Mapping)

    @property
    def takes_semantic_tokens(self) -> bool:
        return isinstance(self._at("textDocument", "semanticTokens"), Mapping)

    @property
    def pulls_diagnostics(self) -> bool:
        """Whether it asks for diagnostics; then none are pushed."""
        return isinstance(self._at("textDocument", "diagnostic"), Mapping)

    @property
    def refreshes_diagnostics(self) -> bool:
        return self._at("workspace", "diagnostics", "refreshSupport") is True

    @property
    def shows_related_places(self) -> bool:
        """Whether a diagnostic may point at other places that explain it."""
        return any(
            self._at("textDocument", kind, "relatedInformation") is True
            for kind in ("publishDiagnostics", "diagnostic")
        )

    @property
    def pulls_configuration(self) -> bool:
        return self._at("workspace", "configuration") is True

    @property
    def shows_documents(self) -> bool:
        return self._at("window", "showDocument", "support") is True

    def understands(self, method: str) -> bool:
        """Whether a request or notification beyond plain LSP may be sent."""
        listed = self.options.get("kiro")
        return isinstance(listed, list) and method in listed

    @property
    def is_ours(self) -> bool:
        return self.understands("kiro/review")

    @property
    def trusted(self) -> bool | None:
        """What the editor says of the workspace; it may lower trust, never raise it."""
        said = self.options.get("trusted")
        return said if isinstance(said, bool) else None

    @property
    def settings(self) -> Mapping[str, Any]:
        given = self.options.get("settings")
        return given if isinstance(given, Mapping) else {}

    @property
    def own_settings(self) -> Mapping[str, Any]:
        """What the person set for themselves; only from a client that tells it apart from what a workspace says."""
        given = self.options.get("ownSettings") if self.understands("kiro/settings") else None
        return given if isinstance(given, Mapping) else {}


def client_of(params: Mapping[str, Any]) -> Client:
    """The client of an initialize request, however odd its parameters are."""
    capabilities, options, info = (
        params.get("capabilities"),
        params.get("initializationOptions"),
        params.get("clientInfo"),
    )
    return Client(
        capabilities if isinstance(capabilities, Mapping) else {},
        options if isinstance(options, Mapping) else {},
        str(info.get("name", "")) if isinstance(info, Mapping) else "",
    )
