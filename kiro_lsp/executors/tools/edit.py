"""edit: replace one exact piece of text in a file, found by the edit engine.

The text must fit one place: exactly, or as whole lines with white space and look-alike characters aside. An edit that
fits two places is refused with all of them named, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from kiro_lsp.changes.edits.answer import Answer, Failure, FileEdit, StringEdit
from kiro_lsp.changes.edits.apply import apply_answer
from kiro_lsp.changes.edits.syntax import broken
from kiro_lsp.executors.protocol import RunContext
from kiro_lsp.executors.tools.arguments import Arguments, BadArguments
from kiro_lsp.executors.tools.definition import Parameter, Tool, ToolResult
from kiro_lsp.executors.tools.missing import not_found
from kiro_lsp.executors.tools.text import FileText, numbered

_CONTEXT = 2
_SHOWN = 12
_NUMBER_PREFIX = re.compile(r"\s*\d+\t")


async def _execute(args: Arguments, run: RunContext) -> ToolResult:
    path, old, new = args.text("path"), args.text("old_text"), args.text("new_text")
    every = args.flag("replace_all")
    if not old:
        raise BadArguments(
            "old_text is empty. Give the exact text to replace; use write_file to create or replace a whole file."
        )
    if old == new:
        raise BadArguments("old_text and new_text are the same: there is nothing to change.")
    try:
        data = await run.read(path)
    except FileNotFoundError:
        return await not_found(path, run, kind="edit")
    file = FileText.of(data, path)
    if not file.raw:
        raise BadArguments(f"{path} is empty: use write_file to fill it.")
    edit = FileEdit((path,), "edit", (StringEdit(old, new, every),), format="str-replace")
    outcome = apply_answer(Answer("str-replace", (edit,)), {path: data})
    if outcome.failures:
        return ToolResult(_why(file, old, outcome.failures[0]), is_error=True, path=path, kind="edit")
    changed = outcome.changes[0].proposed or b""
    await run.write(path, changed)
    placed = outcome.placed[0]
    found = f" ({placed.note})" if placed.note else ""
    said = [f"Edited {path} at line {placed.line}{found}.", *broken(outcome.changes)]
    said.append(_around(changed, path, placed.line, new))
    return ToolResult("\n".join(said), path=path, kind="edit")


def _around(changed: bytes, path: str, line: int, new: str) -> str:
    """The edited place as it is now, so that the model need not read the file again."""
    lines = FileText.of(changed, path).lines
    first = max(line - _CONTEXT, 1)
    last = min(line + new.count("\n") + _CONTEXT, len(lines))
    shown = lines[first - 1 : last]
    if len(shown) > 40:
        return f"[lines {first}-{last} are new or next to it; {len(lines)} lines in all]"
    return numbered(shown, first)


def _why(file: FileText, old: str, failure: Failure) -> str:
    """The engine's message with the places it names, as the file has them."""
    said = [f"{failure.hint} Nothing was changed."]
    if all(_NUMBER_PREFIX.match(line) for line in old.split("\n") if line):
        said.append("old_text starts with line numbers: they are added by read_file and are not part of the file.")
    if failure.reason == "not-found" and failure.candidates:
        height = min(old.rstrip("\n").count("\n") + 1, _SHOWN)
        said.append("The nearest places are:" if len(failure.candidates) > 1 else "The nearest place is:")
        for line in failure.candidates:
            first = max(line - 1 - _CONTEXT, 0)
            said.append(numbered(file.lines[first : line - 1 + height + _CONTEXT], first + 1, widest=300))
    return "\n".join(said)


def _title(args: Mapping[str, object]) -> str:
    return f"Edit {args.get('path') or '?'}"


TOOL = Tool(
    name="edit",
    kind="edit",
    phase="editing",
    description=(
        "Replace one piece of text in a file. old_text must be exactly what the file holds, with its indentation, and "
        "must occur "
        "exactly once: include enough lines around it. Do not include the line numbers that read_file shows. Line "
        "ends and the "
        "byte order mark of the file are kept."
    ),
    parameters=(
        Parameter("path", "file", "Path of the file, relative to the project root.", example='"src/app.py"'),
        Parameter("old_text", "text", "The exact text to replace. It must occur exactly once."),
        Parameter("new_text", "text", "The text to put there. Empty deletes old_text."),
        Parameter("replace_all", "boolean", "Replace every occurrence.", required=False, example="true"),
    ),
    execute=_execute,
    title=_title,
    writes=True,
)
