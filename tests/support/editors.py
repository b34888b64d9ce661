"""A spec as three well-known editors have it open: what each announces, and requests in its own units."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from lsprotocol.converters import get_converter
from pytest_lsp import client_capabilities

from tests.support.lsp_client import apply_text_edits
from tests.support.speaking import Speaker, speaking

TASKS = """# Plan 😀

- [ ] 1. Set up 😀 `src/app.py`
  - first step
  - second step
  - _Requirements: 1.1, 2_
- [x] 3. Build 😀 (depends on 1)
  - [x] 3.1 Inner
  - [ ] 3.2 Other 😀, after task 3.1
    - _Depends: 3.1_
- [ ] 4. Last

```json
{"waves": [{"id": 0, "tasks": ["1", "3.1"]}, {"id": 1, "tasks": ["3.2", "4"]}]}
```
"""
REQUIREMENTS = """# Requirements

### Requirement 1: Login 😀

**User Story:** As a user, I want to log in.

#### Acceptance Criteria

1. WHEN a user logs in THEN the system SHALL greet them
2. WHEN a user fails THEN the system SHALL say so

### Requirement 2: Logout

#### Acceptance Criteria

1. WHEN a user logs out THEN the system SHALL say goodbye
"""
DESIGN = "# Design\n\n😀 Task 3 makes the engine, tasks 3.1 and 3.2 its parts; see Requirement 2 and release 3.1.\n"
CLIENTS = ("visual-studio-code", "neovim", "emacs")


class Editor:
    """One editor with the spec open; requirements.md is not open."""

    def __init__(self, speaker: Speaker, folder: Path, capabilities: dict[str, Any], encoding: str) -> None:
        self.speaker, self.folder, self.capabilities, self.encoding = speaker, folder, capabilities, encoding
        self.uri = speaker.open(folder / "tasks.md", TASKS)
        speaker.open(folder / "design.md", DESIGN)

    def units(self, text: str) -> int:
        return (
            len(text.encode(f"{self.encoding}-le" if self.encoding != "utf-8" else "utf-8"))
            // {
                "utf-8": 1,
                "utf-16": 2,
                "utf-32": 4,
            }[self.encoding]
        )

    def place(self, text: str, uri: str | None = None, *, source: str | None = None) -> dict[str, Any]:
        """The position of `|` in a text that stands once in the document."""
        whole = source if source is not None else self.speaker.texts[uri or self.uri]
        assert whole.count(text.replace("|", "")) == 1, text
        at = whole.index(text.replace("|", "")) + text.index("|")
        before = whole[:at].split("\n")
        return {"line": len(before) - 1, "character": self.units(before[-1])}

    async def ask(self, method: str, at: dict[str, Any], uri: str | None = None, **more: Any) -> Any:
        return await self.speaker.ask(method, {"textDocument": {"uri": uri or self.uri}, "position": at, **more})

    async def actions(self, text: str, **context: Any) -> list[dict[str, Any]]:
        at = self.place(text)
        context = {"diagnostics": [], **context}
        params = {"textDocument": {"uri": self.uri}, "range": {"start": at, "end": at}, "context": context}
        found: list[dict[str, Any]] = await self.speaker.ask("textDocument/codeAction", params)
        return found

    async def chosen(self, text: str, title: str, **context: Any) -> dict[str, str]:
        """The documents that an action changes, as they are then."""
        (action,) = [action for action in await self.actions(text, **context) if action["title"] == title]
        if "edit" not in action:
            assert self.resolves, "this client cannot ask for the edit"
            action = await self.speaker.ask("codeAction/resolve", action)
        return self.applied(action["edit"])

    @property
    def resolves(self) -> bool:
        return bool(self.capabilities["textDocument"]["codeAction"].get("resolveSupport"))

    def applied(self, edit: dict[str, Any]) -> dict[str, str]:
        takes_changes = self.capabilities["workspace"].get("workspaceEdit", {}).get("documentChanges")
        if takes_changes:
            assert list(edit) == ["documentChanges"]
            listed = [
                (change["textDocument"]["uri"], change["edits"], change["textDocument"]["version"])
                for change in edit["documentChanges"]
            ]
            assert all(version == (1 if uri in self.speaker.texts else None) for uri, _, version in listed)
        else:
            assert list(edit) == ["changes"]
            listed = [(uri, edits, 1) for uri, edits in edit["changes"].items()]
        return {
            uri.rpartition("/")[2]: apply_text_edits(self.text(uri), edits, self.encoding) for uri, edits, _ in listed
        }

    def text(self, uri: str) -> str:
        return self.speaker.texts.get(uri) or (self.folder / uri.rpartition("/")[2]).read_text("utf-8")

    async def complete(self, text: str, **context: Any) -> dict[str, dict[str, Any]]:
        """Label → item, after the first line that holds `|` took the place of the task file's last line."""
        whole = self.speaker.texts[self.uri]
        changed = text.replace("|", "")
        self.rewrite(changed)
        found = await self.ask("textDocument/completion", self.place(text, source=changed), **context)
        self.rewrite(whole)
        return {item["label"]: item for item in (found or {"items": []})["items"]}

    def rewrite(self, text: str) -> None:
        self.speaker.texts[self.uri] = text
        self.speaker._versions[self.uri] += 1
        document = {"uri": self.uri, "version": self.speaker._versions[self.uri]}
        self.speaker.tell("textDocument/didChange", {"textDocument": document, "contentChanges": [{"text": text}]})


def known(name: str) -> dict[str, Any]:
    """What a well-known editor announces; a name behind `with ` takes the place of the units that it counts in."""
    name, _, units = name.partition(" with ")
    found: dict[str, Any] = json.loads(json.dumps(get_converter().unstructure(client_capabilities(name))))
    if units:
        found.setdefault("general", {})["positionEncodings"] = [units]
    return found


@asynccontextmanager
async def editing(root: Path, homes: Path, name: str) -> AsyncIterator[Editor]:
    """A well-known editor with the spec open, in a project made for it."""
    folder = root / ".kiro/specs/a"
    folder.mkdir(parents=True)
    (root / "src").mkdir()
    for path, text in (
        (folder / "tasks.md", TASKS),
        (folder / "requirements.md", REQUIREMENTS),
        (folder / "design.md", DESIGN),
        (root / "src/app.py", ""),
        (root / "src/hidden.py", ""),
        (root / ".gitignore", "hidden.py\n"),
    ):
        path.write_text(text, "utf-8")
    capabilities = known(name)
    environ = {"HOME": str(homes), "PATH": "/usr/bin:/bin", "KIRO_LSP_STATE_DIR": str(homes / "state")}
    encoding = capabilities.get("general", {}).get("positionEncodings", ["utf-16"])[0]
    info = {"name": name.partition(" with ")[0]}
    async with speaking(root, environ, capabilities=capabilities, clientInfo=info) as speaker:
        yield Editor(speaker, folder, capabilities, encoding)


@pytest_asyncio.fixture(params=CLIENTS)
async def editor(request: pytest.FixtureRequest, tmp_path: Path, own_homes: Path) -> AsyncIterator[Editor]:
    async with editing(tmp_path, own_homes, request.param) as found:
        yield found
