"""list_files: the files of the project as the run sees them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from kiro_lsp.executors.protocol import RunContext
from kiro_lsp.executors.tools.arguments import Arguments, BadArguments
from kiro_lsp.executors.tools.definition import Parameter, Tool, ToolResult

SHOWN = 1000


async def _execute(args: Arguments, run: RunContext) -> ToolResult:
    under, pattern = args.text("path"), args.text("pattern")
    found = await run.list(under)
    where = under or "the project"
    if pattern:
        try:
            matching = re.compile(_glob(pattern), re.DOTALL)
        except re.error as error:
            raise BadArguments(f"pattern {pattern!r} is not a glob: {error}.") from error
        found = [path for path in found if matching.match(path[len(under) :].lstrip("/") if under else path)]
    if not found:
        what = f"No file under {where} matches {pattern}." if pattern else f"There is no file under {where}."
        return ToolResult(f"{what} Ignored files are not listed.", path=under or None, kind="read")
    lines = found[:SHOWN]
    if len(found) > SHOWN:
        folders = Counter(path[len(under) :].lstrip("/").partition("/")[0] for path in found)
        largest = ", ".join(f"{name} ({count})" for name, count in folders.most_common(20))
        lines.append(
            f"[{len(found) - SHOWN} more files are not shown, {len(found)} in all. Give a path or a pattern. Largest: "
            f"{largest}]"
        )
    return ToolResult("\n".join(lines), path=under or None, kind="read")


_GLOB_PIECES = re.compile(r"(\*\*/|\*\*|\*|\?|\[!?[^\[\]/]+\]|\{[^{}]+\})")


def _glob(pattern: str) -> str:
    """A regular expression for a glob: `*` stays in a folder, `**/` crosses folders, a bare name matches anywhere."""
    if "/" not in pattern:
        pattern = f"**/{pattern}"
    pieces = _GLOB_PIECES.split(pattern.removeprefix("./").lstrip("/"))
    return f"{''.join(_piece(piece) for piece in pieces)}\\Z"


def _piece(piece: str) -> str:
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(piece)
    if wild:
        return wild
    if piece.startswith("{") and piece.endswith("}"):
        return f"(?:{'|'.join(re.escape(choice) for choice in piece[1:-1].split(','))})"
    if piece.startswith("[") and piece.endswith("]"):
        inside = piece[1:-1]
        negated = inside.startswith("!")
        ranges = "".join(character if character == "-" else re.escape(character) for character in inside[negated:])
        return f"[{'^/' if negated else ''}{ranges}]"
    return re.escape(piece)


def _title(args: Mapping[str, object]) -> str:
    pattern = args.get("pattern")
    return f"List {args.get('path') or 'the project'}" + (f" for {pattern}" if pattern else "")


TOOL = Tool(
    name="list_files",
    kind="read",
    phase="reading",
    description=(
        "List the files of the project, one path per line, relative to the project root. Ignored files (.gitignore "
        "and the "
        "like) and .git are left out; files you created in this session are in."
    ),
    parameters=(
        Parameter(
            "path",
            "folder",
            "Folder to list, relative to the project root. Default: the whole project.",
            required=False,
        ),
        Parameter(
            "pattern",
            "text",
            "Glob that the path below that folder must match, for example *.py or src/**/*.ts.",
            required=False,
        ),
    ),
    execute=_execute,
    title=_title,
)
