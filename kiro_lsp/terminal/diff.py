"""A change set in front of a person: a coloured diff on a terminal, the plain unified diff everywhere else.

Piped output is exactly the unified diff, so that `git apply` takes it. On a terminal nothing that a model wrote can
move the cursor or hide.
"""

from __future__ import annotations

from collections.abc import Iterable

from kiro_lsp.changes.changeset import unified_diff
from kiro_lsp.changes.model import FileChange
from kiro_lsp.terminal.console import Console, visible

_COLOUR = {"+": "green", "-": "red", "@": "cyan", "\\": "dim"}
WORD = {"create": "new", "modify": "changed", "delete": "deleted", "rename": "renamed"}


def print_changes(changes: Iterable[FileChange], console: Console) -> None:
    """Every file's diff, one after the other."""
    for change in changes:
        if console.is_terminal:
            _print_file(change, console)
        else:
            console.raw(unified_diff(change))


def _print_file(change: FileChange, console: Console) -> None:
    from rich.console import Console as RichConsole
    from rich.text import Text

    rich = RichConsole(file=console.out, no_color=not console.colour, highlight=False, soft_wrap=True)
    name = f"{change.path} → {change.to}" if change.to else change.path
    rich.print(Text(f"{WORD[change.action]}: {visible(name)}", "bold"))
    for line in unified_diff(change).split("\n"):
        if line and not line.startswith(("diff ", "index ", "--- ", "+++ ", "new file", "deleted file")):
            rich.print(Text("  " + visible(line.removesuffix("\r")), _COLOUR.get(line[0], "")))


def counted(number: int, what: str) -> str:
    """`1 file`, `3 files`."""
    return f"{number} {what}" + ("" if number == 1 else "s")
