"""What the extension does before it is needed: nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.vscode import Editor
from tests.vscode.conftest import TASK_FILE, Open

ACTIVATED = re.compile(r"activated in ([\d.]+ ms \([\d.]+ ms of the processor\))")


def own_log(editor: Editor) -> str:
    """The extension's own output, of all windows so far."""
    return "\n".join(text for name, text in editor.logs() if "Kiro-LSP" in name)


def test_without_a_task_file_nothing_is_started(
    opened: Open, editor: Editor, project: Path, record_property: pytest.RecordProperty
) -> None:
    (project / "README.md").write_text("# No task in here\n", "utf-8")
    (project / "TODO.md").write_text("- [ ] Tidy up\n", "utf-8")
    window = opened("README.md")
    window.until(lambda: ACTIVATED.search(own_log(editor)), "the extension is active")
    said = ACTIVATED.findall(own_log(editor))
    record_property("summary", f"the extension was activated in {', '.join(said)}")
    assert editor.servers() == []
    assert "starting" not in own_log(editor)
    window.open(TASK_FILE)
    window.see_lens("▶ Run with Claude", at="1. Greet")
    window.server()
    window.open("TODO.md")
    window.see_lens("▶ Run with Claude", at="Tidy up")
    window.server()
    assert "starting" in own_log(editor)
