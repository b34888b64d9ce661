"""A VS Code to try things in: `python -m tests.vscode.explore [FOLDER] [--file FILE] [--script FILE] [--setting NAME=JSON]…`.

Opens FOLDER, or a small project made for it, with the extension as it is now, and runs Python from the script or line by line
from standard input, where every verb of `Window` is a name (`see_lens("▶ Run")`, `click_lens(…)`, `screenshot("x")`), besides
`window`, `editor`, `page`, `project` and `provider` (the local one that answers as Claude). What a line evaluates to is printed.

`reload()` packages and installs the extension again and opens the window anew. To keep one open for a while, let it read a FIFO:

    mkfifo /tmp/verbs; sleep infinity > /tmp/verbs &
    python -m tests.vscode.explore < /tmp/verbs &
    echo 'screenshot("now")' > /tmp/verbs
"""

from __future__ import annotations

import argparse
import code
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.e2e.test_main_flow import GREETER, REQUIREMENTS, server_environ
from tests.e2e.test_main_flow import TASKS as GREETER_TASKS
from tests.support.anthropic_server import AnthropicServer, edits
from tests.support.vscode import Editor, packaged
from tests.vscode.window import Window

TASK_FILE = ".kiro/specs/greeter/tasks.md"


def lay_out(root: Path) -> Path:
    """The small project of the scenarios: one spec with two tasks, and the program that they are about."""
    (root / TASK_FILE).parent.mkdir(parents=True)
    (root / TASK_FILE).write_text(GREETER_TASKS, "utf-8", newline="")
    (root / TASK_FILE).with_name("requirements.md").write_text(REQUIREMENTS, "utf-8")
    (root / "greeter.py").write_text(GREETER, "utf-8")
    return root


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.vscode.explore")
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--file", help="opened at the start, relative to the folder")
    parser.add_argument("--script", type=Path, help="run instead of standard input")
    parser.add_argument("--setting", action="append", default=[], metavar="NAME=JSON")
    given = parser.parse_args(arguments)
    settings = {name: json.loads(value) for name, _, value in (setting.partition("=") for setting in given.setting)}
    steps = edits("greeter.py", "'Hey '", "'Good day, '", summary="The greeting is polite.")
    with tempfile.TemporaryDirectory(prefix="explore-") as temporary, AnthropicServer(steps) as provider:
        home = Path(temporary)
        folder = given.folder.resolve() if given.folder else lay_out(home / "project")
        file = given.file or (TASK_FILE if (folder / TASK_FILE).is_file() else None)
        with Editor(home / "vscode") as editor:
            editor.serve(server_environ(home, provider))
            editor.configure(**settings)
            window = Window(editor, folder, name="explore").show(file)
            names = {name: getattr(window, name) for name in dir(Window) if not name.startswith("_")}

            def reload() -> None:
                editor.install(packaged(editor.programs, editor.folder / "kiro-lsp.vsix"))
                window.show(file)

            names |= {"window": window, "editor": editor, "page": window.page, "project": folder}
            names |= {"provider": provider, "reload": reload, "edits": edits}
            try:
                _run(given.script, names)
            finally:
                window.close()
    return 0


def _run(script: Path | None, names: dict[str, Any]) -> None:
    if script is not None:
        exec(compile(script.read_text("utf-8"), str(script), "exec"), names)
        return
    console = code.InteractiveConsole(names)
    said: Callable[[str], object] = print
    said("ready")
    for line in sys.stdin:
        sys.stdout.flush()
        console.push(line.rstrip("\n"))
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
