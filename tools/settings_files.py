"""Writes what is made from the table of settings: `python -m tools.settings_files [--check]`.

The section of docs/configuration.md, and of the VS Code extension the settings in package.json, their words in
package.nls.json, and src/server/settings_keys.ts. `--check` writes nothing and names what is not as it would be written.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from kiro_lsp.settings.templates import settings_reference
from tools import editor_settings

REPO = Path(__file__).resolve().parent.parent
EXTENSION = REPO / "client-vscode"


def files() -> Mapping[Path, str]:
    """Each file with the text that it should have."""
    manifest, words = EXTENSION / "package.json", EXTENSION / "package.nls.json"
    page = REPO / "docs" / "configuration.md"
    return {
        page: re.sub(
            r"(<!-- settings:begin.*?-->\n).*?(<!-- settings:end -->)",
            lambda found: found[1] + settings_reference() + found[2],
            page.read_text("utf-8"),
            flags=re.DOTALL,
        ),
        manifest: _json(editor_settings.manifest(json.loads(manifest.read_text("utf-8")))),
        words: _json(editor_settings.words(json.loads(words.read_text("utf-8")))),
        EXTENSION / "src" / "server" / "settings_keys.ts": editor_settings.typescript(),
    }


def stale() -> list[Path]:
    """The files that are not as they would be written."""
    return [path for path, text in files().items() if not path.exists() or path.read_text("utf-8") != text]


def main(arguments: list[str]) -> int:
    old = stale()
    for path in old:
        print(path.relative_to(REPO))
    if "--check" in arguments:
        return 1 if old else 0
    for path in old:
        path.write_text(files()[path], "utf-8")
    return 0


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
