"""What this server announces: one plain object, answered before pygls is imported. A test compares it with lsprotocol's types.

Also the order of things between client and server that depends on what the client announced.
"""

from __future__ import annotations

from typing import Any

from kiro_lsp import __version__
from kiro_lsp.lsp.client import Client
from kiro_lsp.lsp.features import Features, merge

NAME = "kiro-lsp"


def initialize_result(client: Client, commands: list[str], features: Features) -> dict[str, Any]:
    capabilities: dict[str, Any] = {
        "positionEncoding": client.encoding,
        "textDocumentSync": {"openClose": True, "change": 2, "save": {"includeText": False}},
        "executeCommandProvider": {"commands": commands, "workDoneProgress": True},
        "workspace": {
            "workspaceFolders": {"supported": True, "changeNotifications": True},
            "textDocumentContent": {"schemes": ["kiro-review"]},
        },
    }
    merge(capabilities, features.capabilities(client))
    return {"capabilities": capabilities, "serverInfo": {"name": NAME, "version": __version__}}
