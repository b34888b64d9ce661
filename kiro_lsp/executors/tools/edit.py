"""edit: replace one exact piece of text in a file.

`PLACES` is where ways to find the text are listed, strictest first. A way that finds several places ends the search: an
edit that fits two places is refused with all of them named, never guessed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping

from kiro_lsp.executors.protocol import RunContext
from kiro_lsp.executors.tools.arguments import Arguments, BadArguments
from kiro_lsp.executors.tools.definition import Parameter, Tool, ToolResult
from kiro_lsp.executors.tools.missing import not_found
from kiro_lsp.executors.tools.text import FileText, numbered

Range = tuple[int, int]
"""Half-open character offsets in a text with `\\n` line ends."""

_NEAREST = 3
_CONTEXT = 2
_COMPARED_LINES = 20_000
_NUMBER_PREFIX = re.compile(r"\s*\d+\t")


def exactly(text: str, old: str) -> list[Range]:
    """Every place where `old` stands, overlapping ones too: "aa" has two places in "aaa"."""
    found, index = [], text.find(old)
    while index >= 0:
        found.append((index, index + len(old)))
        index = text.find(old, index + 1)
    return found


PLACES: tuple[Callable[[str, str], list[Range]], ...] = (exactly,)


async def _execute(args: Arguments, run: RunContext) -> ToolResult:
    path, old, new = args.text("path"), args.text("old_text"), args.text("new_text")
    old, new = old.replace("\r\n", "\n"), new.replace("\r\n", "\n")
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
    places = next((found for way in PLACES if (found := way(file.text, old))), [])
    if len(places) != 1:
        message = _ambiguous(file.text, path, places) if places else _absent(file, path, old, new)
        return ToolResult(message, is_error=True, path=path, kind="edit")
    start, end = places[0]
    try:
        changed = file.replaced(start, end, new)
    except UnicodeEncodeError as error:
        raise BadArguments("new_text holds a lone surrogate: it is not valid Unicode.") from error
    await run.write(path, changed)
    line = file.text.count("\n", 0, start) + 1
    return ToolResult(f"Edited {path} at line {line}.\n{_around(changed, path, line, new)}", path=path, kind="edit")


def _around(changed: bytes, path: str, line: int, new: str) -> str:
    """The edited place as it is now, so that the model need not read the file again."""
    lines = FileText.of(changed, path).lines
    first = max(line - _CONTEXT, 1)
    last = min(line + new.count("\n") + _CONTEXT, len(lines))
    shown = lines[first - 1 : last]
    if len(shown) > 40:
        return f"[lines {first}-{last} are new or next to it; {len(lines)} lines in all]"
    return numbered(shown, first)


def _ambiguous(text: str, path: str, places: list[Range]) -> str:
    numbers = [str(text.count("\n", 0, start) + 1) for start, _ in places[:50]]
    listed = f"{', '.join(numbers[:-1])} and {numbers[-1]}"
    more = f" (the first 50 of {len(places)})" if len(places) > 50 else ""
    return (
        f"old_text matches {len(places)} places in {path}, at lines {listed}{more}. Nothing was changed. "
        "Add lines before or after it to old_text, so that it matches only the one you mean."
    )


def _absent(file: FileText, path: str, old: str, new: str) -> str:
    lines = file.lines
    if not lines:
        return f"old_text was not found: {path} is empty. Use write_file to fill it."
    said = [f"old_text was not found in {path}. Nothing was changed."]
    if new.strip() and len(already := exactly(file.text, new)) == 1:
        line = file.text.count("\n", 0, already[0][0]) + 1
        said.append(f"new_text is already there, at line {line}: was this edit made before?")
    if all(_NUMBER_PREFIX.match(line) for line in old.split("\n") if line):
        said.append("old_text starts with line numbers: they are added by read_file and are not part of the file.")
    nearest = _nearest(lines, old)
    if nearest:
        said.append("The nearest places are:" if len(nearest) > 1 else "The nearest place is:")
        height = min(old.rstrip("\n").count("\n") + 1, 12)
        for index in nearest:
            first = max(index - _CONTEXT, 0)
            said.append(numbered(lines[first : index + height + _CONTEXT], first + 1, widest=300))
    said.append("Copy the text exactly as it is in the file, with its indentation, and try again.")
    return "\n".join(said)


def _nearest(lines: list[str], old: str) -> list[int]:
    """0-based lines where `old` most likely was meant to start: by its first line that says something."""
    wanted = old.split("\n")
    lead = next((index for index, line in enumerate(wanted) if line.strip()), 0)
    needle = wanted[lead].strip()
    same = [index for index, line in enumerate(lines) if line.strip() == needle]
    if not same and needle:
        same = [
            index
            for index, line in enumerate(lines)
            if needle in line or (len(line.strip()) > 8 and line.strip() in needle)
        ]
    if not same:
        close = difflib.get_close_matches(
            needle, [line.strip() for line in lines[:_COMPARED_LINES]], n=_NEAREST, cutoff=0.6
        )
        same = [index for index, line in enumerate(lines[:_COMPARED_LINES]) if line.strip() in close]
    return [max(index - lead, 0) for index in same[:_NEAREST]]


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
    ),
    execute=_execute,
    title=_title,
    writes=True,
)
