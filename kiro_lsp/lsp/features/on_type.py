"""Enter behind a task begins the next one. Editors ask only where formatting while typing is on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kiro_lsp.lsp.client import Client

if TYPE_CHECKING:
    from kiro_lsp.lsp.views import View

NEEDS = ("kiro_lsp.spec.editing.continuing", "kiro_lsp.lsp.edits")


def capabilities(_client: Client) -> dict[str, Any]:
    return {"documentOnTypeFormattingProvider": {"firstTriggerCharacter": "\n"}}


async def handle(view: View, params: Mapping[str, Any]) -> Any:
    from kiro_lsp.lsp.edits import text_edits
    from kiro_lsp.spec.editing.continuing import continued

    if not view.is_task_file or params.get("ch") != "\n":
        return []
    line, _column = view.position(params.get("position"))  # type: ignore[arg-type]  # what is none is refused there
    return text_edits(view, continued(await view.parsed(), line))


METHODS = {"textDocument/onTypeFormatting": handle}
