"""search: lines that match a regular expression."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kiro_lsp.executors.protocol import RunContext
from kiro_lsp.executors.tools.arguments import Arguments, BadArguments
from kiro_lsp.executors.tools.definition import Parameter, Tool, ToolResult
from kiro_lsp.sandbox import paths

SHOWN = 200
_WIDEST = 300


async def _execute(args: Arguments, run: RunContext) -> ToolResult:
    given, under = args.text("pattern"), args.text("path")
    if not given:
        raise BadArguments("pattern is empty: give the text or the regular expression to look for.")
    pattern = re.escape(given) if args.flag("literal") else given
    try:
        found = await run.search(pattern, under=under, limit=SHOWN + 1)
    except ValueError as error:
        raise BadArguments(f"{error}. Set literal to true to look for the text as it is.") from error
    found = [match for match in found if not paths.holds_secrets(match.path)]
    where = f" under {under}" if under else ""
    if not found:
        return ToolResult(
            f"No line{where} matches {given!r}. Ignored files are not searched.", path=under or None, kind="search"
        )
    lines = [f"{match.path}:{match.line}: {_cut(match.text)}" for match in found[:SHOWN]]
    if len(found) > SHOWN:
        lines.append(f"[only the first {SHOWN} lines are shown. Narrow the pattern or give a path.]")
    return ToolResult("\n".join(lines), path=under or None, kind="search")


def _cut(line: str) -> str:
    return line if len(line) <= _WIDEST else f"{line[:_WIDEST]}… [{len(line) - _WIDEST} more characters]"


def _title(args: Mapping[str, object]) -> str:
    under = args.get("path")
    return f"Search {args.get('pattern') or '?'}" + (f" in {under}" if under else "")


TOOL = Tool(
    name="search",
    kind="search",
    phase="reading",
    description=(
        "Search the text files of the project line by line for a regular expression (case-sensitive; start it with "
        "(?i) to "
        f"ignore case). Results are path:line: text, at most {SHOWN}. Ignored files are not searched; your own "
        "changes are."
    ),
    parameters=(
        Parameter("pattern", "text", "Regular expression. It is matched inside one line.", example='"def main"'),
        Parameter("path", "folder", "Folder or file to search, relative to the project root.", required=False),
        Parameter("literal", "boolean", "Look for the pattern as plain text.", required=False, example="true"),
    ),
    execute=_execute,
    title=_title,
)
