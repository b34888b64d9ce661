"""The command line: which verbs there are, what they take, and how a failure is told.

`main` parses, finds the verb's function in `kiro_lsp.terminal` by name and turns its failures into one message and an
exit code: 0 done, 1 refused or failed with a reason, 2 wrong usage, 130 interrupted. It does no work of its own, and
nothing heavy is imported before a verb is known: editors start this program and wait for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from kiro_lsp import __version__

if TYPE_CHECKING:
    import argparse

    from kiro_lsp.terminal.console import Console

    Verb = Callable[[argparse.Namespace, Console], int]

MODULE_OF: Final = {
    "serve": "kiro_lsp.terminal.serving",
    "tasks": "kiro_lsp.terminal.task_files",
    "prompt": "kiro_lsp.terminal.task_files",
    "mark": "kiro_lsp.terminal.task_files",
    "run": "kiro_lsp.terminal.running",
    "retry": "kiro_lsp.terminal.running",
    "continue": "kiro_lsp.terminal.continuing",
    "apply": "kiro_lsp.terminal.apply",
    "review": "kiro_lsp.terminal.reviewing",
    "undo": "kiro_lsp.terminal.reviewing",
    "commit": "kiro_lsp.terminal.reviewing",
    "restore": "kiro_lsp.terminal.reviewing",
    "cancel": "kiro_lsp.terminal.runs",
    "answer": "kiro_lsp.terminal.runs",
    "runs": "kiro_lsp.terminal.runs",
    "costs": "kiro_lsp.terminal.runs",
    "agents": "kiro_lsp.terminal.agents",
    "doctor": "kiro_lsp.terminal.doctor",
    "trust": "kiro_lsp.terminal.setup",
    "init": "kiro_lsp.terminal.setup",
    "demo": "kiro_lsp.demo.driver",
    "mcp": "kiro_lsp.terminal.mcp",
    "completion": "kiro_lsp.terminal.completion",
}
"""Verb → the module that has a function of that name, with `_` behind it where Python has a word of that name."""

_STARTING: Final = frozenset({"run", "retry", "continue"})

_SERVER_FLAGS = (
    "--stdio",
    "--tcp",
    "--ws",
    "--pipe",
    "--node-ipc",
    "--socket",
    "--clientProcessId",
    "--log-",
    "-v",
    "--verb",
)


def entry() -> None:
    """The `kiro-lsp` program."""
    sys.exit(main(None))


def main(argv: list[str] | None = None) -> int:
    """Run one command line (without the program's name; None means this process's own) and return its exit code.

    Can be called again and again in one process: nothing is kept between calls.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    if arguments in (["--version"], ["-V"]):
        return _print_version()
    if not arguments or arguments[0].startswith(_SERVER_FLAGS):
        arguments.insert(0, "serve")
    if arguments == ["serve", "--stdio"]:
        # The line that editors start a thousand times: no grammar is needed to read it.
        from kiro_lsp.terminal.serving import over_stdio

        return over_stdio()
    try:
        parsed = build_parser().parse_args(arguments)
    except SystemExit as error:  # argparse has said what is wrong, or printed the help
        return _flushed(error.code if isinstance(error.code, int) else 2)
    return _flushed(_call(parsed))


def _print_version() -> int:
    sys.stdout.write(f"kiro-lsp {__version__}\n")
    return _flushed(0)


def _call(parsed: argparse.Namespace) -> int:
    from importlib import import_module

    from kiro_lsp.errors import KiroError, UsageError
    from kiro_lsp.terminal.console import Console

    console = Console()
    console.json = bool(getattr(parsed, "json", False))
    try:
        verb: Verb = getattr(import_module(MODULE_OF[parsed.verb]), function_of(parsed.verb))
        return verb(parsed, console)
    except UsageError as error:
        console.refuse(error)
        return 2
    except KiroError as error:
        console.refuse(error, **({"runId": None} if parsed.verb in _STARTING else {}))
        return 1
    except BrokenPipeError:
        _reader_left()
        return 1 if parsed.verb in _STARTING else 0  # a run was stopped by that; a list was merely long enough
    except KeyboardInterrupt:
        console.say("Interrupted.")
        return 130
    except OSError as error:
        where = f" {error.filename!r}" if error.filename else ""
        console.refuse(
            KiroError(f"The system refused{where}: {error.strerror or error}.", hint="Nothing else was changed.")
        )
        return 1


def function_of(verb: str) -> str:
    """The name of a verb's function in its module."""
    from keyword import iskeyword

    return f"{verb}_" if iskeyword(verb) else verb


def _flushed(code: int) -> int:
    """The exit code, after everything that was printed has reached its reader, or the reader turns out to be gone."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _reader_left()
    return code


def _reader_left() -> None:
    """The program that read our output has seen enough (`| head`).

    Standard output is pointed elsewhere so that the interpreter's own flush at exit does not complain.
    """
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def build_parser() -> argparse.ArgumentParser:
    """The whole grammar; the completion scripts are made from it too."""
    from kiro_lsp.terminal.grammar import parser

    return parser()
