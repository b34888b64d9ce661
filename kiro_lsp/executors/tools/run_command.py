"""run_command: a program in a copy of the project, after the person allowed it where that is no sandbox."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from kiro_lsp.executors.protocol import RunContext
from kiro_lsp.executors.tools.arguments import Arguments, BadArguments
from kiro_lsp.executors.tools.definition import Parameter, Tool, ToolResult
from kiro_lsp.executors.tools.text import shortened

CHARACTERS = 30_000
LONGEST = 1800
USUAL = 300


async def _execute(args: Arguments, run: RunContext) -> ToolResult:
    argv = args.strings("argv")
    if not argv[0].strip():
        raise BadArguments('argv[0] is empty: it must be the program, for example ["pytest", "-q"].')
    if any("\0" in part for part in argv):
        raise BadArguments("an argument holds a NUL character, which no program can be given.")
    try:
        ended = await run.run_command(argv, cwd=args.text("cwd"), timeout=args.integer("timeout_seconds") or USUAL)
    except FileNotFoundError as error:
        return ToolResult(
            f"{error} There is no shell: argv[0] must be a program, not a shell word.", is_error=True, kind="execute"
        )
    output, cut = shortened(ended.output, CHARACTERS)
    said = f"exit code {ended.exit_code} after {ended.seconds:.1f} s"
    if ended.truncated or cut:
        said += ", the middle of the output is left out"
    return ToolResult(f"[{said}]\n{output}".rstrip("\n"), is_error=ended.exit_code != 0, kind="execute")


def _title(args: Mapping[str, object]) -> str:
    argv = args.get("argv")
    if not isinstance(argv, list) or not argv:
        return "Run ?"
    return f"Run {shlex.join(str(part) for part in argv)}"


TOOL = Tool(
    name="run_command",
    kind="execute",
    phase="running",
    description=(
        "Run a program in a copy of the project that has all changes made so far, and get its output. What it changes "
        "there becomes part of your changes. The person may be asked first and say no. There may be no network. There is "
        "no shell: pass the program and each argument as one list element; no pipes, no redirection, no variables. Ignored "
        "files (such as node_modules or .venv) may be missing in the copy. "
        "Input is empty; processes that are left behind are ended."
    ),
    parameters=(
        Parameter("argv", "strings", "The program and its arguments.", example='["pytest", "-q"]'),
        Parameter(
            "cwd", "folder", "Folder to run in, relative to the project root. Default: the root.", required=False
        ),
        Parameter(
            "timeout_seconds",
            "integer",
            f"Seconds after which it is stopped. Default {USUAL}.",
            required=False,
            minimum=1,
            maximum=LONGEST,
        ),
    ),
    execute=_execute,
    title=_title,
)
