"""Which settings of VS Code reach the server."""

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
    window = opened()
    set_by_the_person(editor, "recommended")
    window.see_lens("▶ Run with Claude", at="1. Greet")
    set_by_the_person(editor, None)
    window.until(lambda: not offered(window), "config.toml counts")
    set_by_the_person(editor, "recommended")
    window.see_lens("▶ Run with Claude", at="1. Greet")
    (project / ".vscode").mkdir()
    (project / ".vscode/settings.json").write_text(json.dumps({"kiroLsp.lenses": "off"}), "utf-8")
    window.until(lambda: not offered(window), "the workspace's counts")


def set_by_the_person(editor: Editor, lenses: str | None) -> None:
    """Changes the person's settings of the machine while a window is open: VS Code in a browser looks at this file only."""
    file = editor.folder / "data/Machine/settings.json"
    values = {name: value for name, value in json.loads(file.read_text("utf-8")).items() if name != "kiroLsp.lenses"}
    file.write_text(json.dumps(values | ({} if lenses is None else {"kiroLsp.lenses": lenses})), "utf-8")


def offered(window: Window) -> list[str]:
    """Lenses in view that run something."""
    return [title for lens in window.lenses() for title in lens.titles if "▶" in title]
