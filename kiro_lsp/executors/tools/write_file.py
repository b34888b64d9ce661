"""write_file: create a file or replace its whole content."""

from __future__ import annotations

from collections.abc import Mapping

from kiro_lsp.errors import UnreadableFile
from kiro_lsp.executors.protocol import RunContext
from kiro_lsp.executors.tools.arguments import Arguments, BadArguments
from kiro_lsp.executors.tools.definition import Parameter, Tool, ToolResult
from kiro_lsp.executors.tools.text import FileText

LARGEST = 10 * 1024 * 1024


async def _execute(args: Arguments, run: RunContext) -> ToolResult:
    path, content = args.text("path"), args.text("content")
    try:
        before: bytes | None = await run.read(path)
    except FileNotFoundError:
        before = None
    try:
        data = _in_style(before, path, content)
    except UnicodeEncodeError as error:
        raise BadArguments("content holds a lone surrogate: it is not valid Unicode.") from error
    if len(data) > LARGEST:
        raise BadArguments(f"content has {len(data)} bytes; at most {LARGEST} can be written.")
    if data == before:
        return ToolResult(f"{path} has exactly this content already: nothing was changed.", path=path, kind="edit")
    await run.write(path, data)
    lines = content.count("\n") + (not content.endswith("\n") and content != "")
    return ToolResult(f"{'Created' if before is None else 'Replaced'} {path} ({lines} lines).", path=path, kind="edit")


def _in_style(before: bytes | None, path: str, content: str) -> bytes:
    """The bytes to write: in the line ends and with the byte order mark that the file has, if it is a text file."""
    if before is None:
        return content.encode("utf-8")
    try:
        return FileText.of(before, path).rewritten(content)
    except UnreadableFile:
        return content.encode("utf-8")


def _title(args: Mapping[str, object]) -> str:
    return f"Write {args.get('path') or '?'}"


TOOL = Tool(
    name="write_file",
    kind="edit",
    phase="editing",
    description=(
        "Create a file, or replace the whole content of one. Folders are created as needed. To change a part of a "
        "file use edit: "
        "it is shorter and cannot lose anything. Write UTF-8 text with \\n line ends; a file that has \\r\\n keeps "
        "them."
    ),
    parameters=(
        Parameter("path", "file", "Path of the file, relative to the project root.", example='"src/app.py"'),
        Parameter("content", "text", "The whole new content."),
    ),
    execute=_execute,
    title=_title,
    writes=True,
)
