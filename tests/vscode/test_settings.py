"""Which settings of VS Code reach the server. Alone in its module: a second window of one server is not told of changed files."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.vscode import Editor
from tests.vscode.conftest import Open
from tests.vscode.window import Window


def test_a_default_of_the_editor_is_no_setting(opened: Open, editor: Editor, project: Path, tmp_path: Path) -> None:
    """What nobody set in the editor leaves the person's config.toml in force; what they set goes before it at once."""
    config = tmp_path / "config/kiro-lsp/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[kiro]\nlenses = "off"\n', "utf-8")
    config.chmod(0o600)
    window = opened(**{"kiroLsp.lenses": "recommended"})
    window.see_lens("▶ Run with Claude", at="1. Greet")
    editor.configure()
    window.until(lambda: not offered(window), "config.toml counts")
    editor.configure(**{"kiroLsp.lenses": "recommended"})
    window.see_lens("▶ Run with Claude", at="1. Greet")
    (project / ".vscode").mkdir()
    (project / ".vscode/settings.json").write_text(json.dumps({"kiroLsp.lenses": "off"}), "utf-8")
    window.until(lambda: not offered(window), "the workspace's counts")


def offered(window: Window) -> list[str]:
    """Lenses in view that run something."""
    return [title for lens in window.lenses() for title in lens.titles if "▶" in title]
