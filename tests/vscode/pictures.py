"""Makes the pictures of README.md again: `python -m tests.vscode.pictures [FOLDER]`, by default into docs/images/.

A small project, the extension as it is packaged now, the real VS Code, and a local provider that answers as Claude would:
what is seen is what the program does, with nothing painted.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.conftest import REPO
from tests.e2e.test_main_flow import server_environ
from tests.support.anthropic_server import AnthropicServer, Step
from tests.support.vscode import Editor
from tests.vscode.window import Window

IMAGES = REPO / "docs/images"
NAMES = ("lens", "output", "review", "done")
TASK_FILE = ".kiro/specs/search/tasks.md"

_STORE = '''"""Notes, one file each."""

from pathlib import Path


class Store:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, title: str, text: str) -> Path:
        path = self.folder / f"{title}.md"
        path.write_text(text, "utf-8")
        return path

    def all(self) -> list[Path]:
        return sorted(self.folder.glob("*.md"))
'''
_ALL = '        return sorted(self.folder.glob("*.md"))\n'
_FIND = (
    _ALL
    + '''
    def find(self, word: str) -> list[Path]:
        """Notes that hold the word in any case, the newest first."""
        word = word.casefold()
        found = [path for path in self.all() if word in path.read_text("utf-8").casefold()]
        return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)
'''
)
_CLI = '''"""`notes add TITLE`, `notes list`."""

import sys
from pathlib import Path

from notes.store import Store


def main() -> None:
    store = Store(Path.home() / "notes")
    verb, *rest = sys.argv[1:] or ["list"]
    if verb == "add":
        store.add(rest[0], sys.stdin.read())
    elif verb == "list":
        print(*(path.stem for path in store.all()), sep="\\n")
'''
_LIST = '        print(*(path.stem for path in store.all()), sep="\\n")\n'
_SEARCH = _LIST + '    elif verb == "find":\n        print(*(path.stem for path in store.find(rest[0])), sep="\\n")\n'
_TEST = """from notes.store import Store


def test_case_does_not_matter(tmp_path):
    store = Store(tmp_path)
    store.add("shopping", "Buy Milk")
    store.add("work", "Write the report")
    assert [path.stem for path in store.find("milk")] == ["shopping"]
"""
FILES = {
    TASK_FILE: """# Search in notes

- [x] 1. Keep each note in a file of its own
  - _Requirements: 1.1_
- [ ] 2. Find notes by a word
  - Case does not matter, the newest comes first
  - `notes find WORD` prints the titles
  - _Requirements: 2.1, 2.2_
- [ ] 3. Mark the word where it was found
  - _Requirements: 2.3_
  - _Depends: 2_
""",
    ".kiro/specs/search/requirements.md": """# Requirements

### Requirement 1: Keeping notes

#### Acceptance Criteria

1. WHEN a note is added THEN the system SHALL keep it in a file of its own

### Requirement 2: Finding notes

#### Acceptance Criteria

1. WHEN a person searches for a word THEN the system SHALL list the notes that hold it in any case
2. THE system SHALL list the newest note first
3. THE system SHALL mark the word in what it shows
""",
    "notes/store.py": _STORE,
    "notes/cli.py": _CLI,
}
STEPS = [
    Step(
        thinking="The store lists notes; a search belongs beside it, and the command line calls it.",
        text="I read how notes are kept and listed.",
        tools=[("read_file", {"path": "notes/store.py"}), ("read_file", {"path": "notes/cli.py"})],
        usage={"input_tokens": 4200, "output_tokens": 180},
    ),
    Step(
        text="The store gets `find`, the command line a verb for it, and there is a test of it.",
        tools=[
            ("edit", {"path": "notes/store.py", "old_text": _ALL, "new_text": _FIND}),
            ("edit", {"path": "notes/cli.py", "old_text": _LIST, "new_text": _SEARCH}),
            ("write_file", {"path": "tests/test_find.py", "content": _TEST}),
        ],
        usage={"input_tokens": 5900, "output_tokens": 720},
    ),
    Step(
        text="`notes find WORD` lists the notes that hold the word, whatever its case, the newest first.",
        usage={"input_tokens": 6700, "output_tokens": 90},
        pieces=200,
        hold=True,
    ),
]


def lay_out(root: Path) -> Path:
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, "utf-8")
    return root


def taken(window: Window, provider: AnthropicServer, into: Path) -> None:
    """Goes the whole way once, and takes the four pictures on it."""

    def picture(name: str, height: int = 800) -> None:
        window.page.mouse.move(1279, 400)
        window.until(lambda: not window.toasts() or name == "done", "nothing lies over it")
        clip = {"x": 0, "y": 0, "width": 1280, "height": height}
        window.page.screenshot(path=into / f"{name}.png", clip=clip)  # type: ignore[arg-type]

    window.see_lens("▶ Run with Claude", at="2. Find")
    window.cursor_to("2. Find notes")
    picture("lens", 400)
    window.click_lens("▶ Run with Claude", at="2. Find")
    window.click_dialog("Run")
    window.run_command("Kiro: Show the Output of a Run")
    window.until(provider.holding.is_set, "Claude has edited")
    window.until(lambda: "tests/test_find.py" in window.webview_text(), "the output")
    window.show_view("Kiro")
    window.until(lambda: any("Find notes" in row for row in window.rows()), "the tree")
    picture("output")
    provider.release()
    window.see_lens("Review 3 files", at="2. Find")
    window.press("Control+j", "Control+b")
    window.click_lens("Review 3 files", at="2. Find")
    window.see_diff("store.py", "def find")
    window.run_command("Kiro: Next Change of the Review")
    window.until(lambda: window.page.locator(".review-widget").count(), "the card of a change")
    picture("review")
    window.tab("tasks.md").click()
    window.press("Control+b")
    window.click_lens("Accept", at="2. Find")
    window.until(lambda: "[x] 2. Find" in window.text(), "the box is ticked")
    window.see_lens("✓ View changes", at="2. Find")
    window.until(lambda: "2/3" in window.text().splitlines()[0], "the count beside the heading")
    window.see_toast("Applied 3 files")
    picture("done")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.vscode.pictures")
    parser.add_argument("folder", nargs="?", type=Path, default=IMAGES)
    into = parser.parse_args(arguments).folder
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pictures-") as temporary, AnthropicServer(STEPS) as provider:
        home = Path(temporary)
        with Editor(home / "vscode") as editor:
            editor.serve(server_environ(home, provider))
            window = Window(editor, lay_out(home / "notes"), name="pictures").show(TASK_FILE)
            try:
                taken(window, provider, into)
            finally:
                window.close()
    for name in NAMES:
        print(f"{into / name}.png: {(into / f'{name}.png').stat().st_size // 1000} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
