"""What the extension does before it is needed (nothing), and which settings reach the server."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support import procs
from tests.support.vscode import Editor
from tests.vscode.conftest import TASK_FILE, Open

ACTIVATED = re.compile(r"activated in ([\d.]+) ms")


def own_log(editor: Editor) -> str:
    """The extension's own output, of all windows so far."""
    return "\n".join(text for name, text in editor.logs() if "Kiro-LSP" in name)


def servers(editor: Editor) -> list[int]:
    """Processes of language servers that windows of this editor started."""
    found = []
    for pid in procs.marked(editor.mark):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") if Path(f"/proc/{pid}").exists() else []
        if b"kiro_lsp" in words:
            found.append(pid)
    return found


def test_without_a_task_file_nothing_is_started(
    opened: Open, editor: Editor, project: Path, record_property: pytest.RecordProperty
) -> None:
    (project / "README.md").write_text("# No task in here\n", "utf-8")
    window = opened("README.md")
    window.until(lambda: ACTIVATED.search(own_log(editor)), "the extension is active")
    said = ACTIVATED.findall(own_log(editor))
    record_property("summary", f"the extension was activated in {', '.join(said)} ms")
    assert servers(editor) == []
    assert "starting" not in own_log(editor)
    window.open(TASK_FILE)
    window.see_lens("▶ Run with Claude", at="1. Greet")
    assert len(servers(editor)) == 1
    assert "starting" in own_log(editor)


def test_a_default_of_the_editor_is_no_setting(opened: Open, editor: Editor, project: Path, tmp_path: Path) -> None:
    """What nobody set in the editor leaves the person's config.toml in force; what they set goes before it at once."""
    config = tmp_path / "config/kiro-lsp/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[kiro]\nlenses = "off"\n', "utf-8")
    config.chmod(0o600)
    window = opened(**{"kiroLsp.lenses": "recommended"})
    window.see_lens("▶ Run with Claude", at="1. Greet")
    editor.configure()
    window.until(
        lambda: not any("▶" in title for lens in window.lenses() for title in lens.titles), "config.toml counts"
    )
    editor.configure(**{"kiroLsp.lenses": "recommended"})
    window.see_lens("▶ Run with Claude", at="1. Greet")
    (project / ".vscode").mkdir()
    (project / ".vscode/settings.json").write_text(json.dumps({"kiroLsp.lenses": "off"}), "utf-8")
    window.until(lambda: not any("▶" in title for lens in window.lenses() for title in lens.titles), "the workspace's")
