"""read_file: lines of a text file with their numbers."""

from __future__ import annotations

from collections.abc import Mapping

from kiro_lsp.executors.protocol import RunContext
from kiro_lsp.executors.tools.arguments import Arguments, BadArguments
from kiro_lsp.executors.tools.definition import Parameter, Tool, ToolResult
from kiro_lsp.executors.tools.missing import not_found
from kiro_lsp.executors.tools.text import FileText, numbered

LINES = 2000
CHARACTERS = 100_000


async def _execute(args: Arguments, run: RunContext) -> ToolResult:
    path = args.text("path")
    first, last = args.integer("start_line") or 1, args.integer("end_line")
    if last is not None and last < first:
        raise BadArguments(
            f"end_line ({last}) is before start_line ({first}). Lines count from 1, and end_line is included."
        )
    try:
        data = await run.read(path)
    except FileNotFoundError:
        return await not_found(path, run, kind="read")
    lines = FileText.of(data, path).lines
    if not lines:
        return ToolResult(f"[{path} is empty]", path=path, kind="read")
    if first > len(lines):
        raise BadArguments(f"{path} has {len(lines)} lines; start_line {first} is after its end.")
    wanted = lines[first - 1 : last]
    shown = _fitting(wanted[:LINES])
    text = numbered(shown, first)
    end = first + len(shown) - 1
    if len(shown) < len(wanted):
        text += f"\n[cut: lines {first}-{end} of {len(lines)} are shown. Read on with start_line {end + 1}.]"
    elif end < len(lines) or first > 1:
        text += f"\n[lines {first}-{end} of {len(lines)}]"
    return ToolResult(text, path=path, kind="read")


def _fitting(lines: list[str]) -> list[str]:
    """As many lines as fit, at least one: a single line is cut by itself."""
    size = 0
    for index, line in enumerate(lines):
        size += min(len(line), CHARACTERS // 10) + 8
        if size > CHARACTERS and index:
            return lines[:index]
    return lines


def _title(args: Mapping[str, object]) -> str:
    first, last = args.get("start_line"), args.get("end_line")
    lines = f" from line {first or 1}" + (f" to {last}" if last else "") if first or last else ""
    return f"Read {args.get('path') or '?'}{lines}"


TOOL = Tool(
    name="read_file",
    kind="read",
    phase="reading",
    description=(
        f"Read a text file. Each line comes with its number and a tab in front, which are not part of the file. At "
        f"most {LINES} "
        "lines at once; the end of the result says what was cut. Unsaved edits of the person and your own changes are "
        "included."
    ),
    parameters=(
        Parameter("path", "file", "Path of the file, relative to the project root.", example='"src/app.py"'),
        Parameter(
            "start_line", "integer", "First line to read, counted from 1.", required=False, minimum=1, example="1"
        ),
        Parameter("end_line", "integer", "Last line to read, included.", required=False, minimum=1, example="200"),
    ),
    execute=_execute,
    title=_title,
)
