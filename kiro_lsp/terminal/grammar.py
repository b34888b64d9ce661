"""The grammar of the command line as argparse sees it: verbs, arguments and their help.

One function per group of verbs. Nothing here acts; the completion scripts are generated from the same parser.
"""

from __future__ import annotations

import argparse
from typing import Any

from kiro_lsp import __version__

TASK_HELP = "the task: its key, its id, or its line number (:12 is always line 12)"
VERIFY_HELP = "verify the change with this command (default: the configured one, or the only one that is found)"
RUN_HELP = "the run's id, or a beginning of it that only one run has"
SHELLS = ("bash", "zsh", "fish")
STATUSES = ("open", "in-progress", "done")
FORMATS = (
    "auto",
    "udiff",
    "search-replace",
    "apply-patch",
    "str-replace",
    "multi-edit",
    "insert-line",
    "whole-file",
)

_EPILOG = """\
start here:
  kiro-lsp demo                 the whole way once, with a recorded agent: no key, no network
  kiro-lsp init --spec NAME     a small spec and a commented configuration
  kiro-lsp doctor               what is found, what is missing, what to do

exit codes: 0 done, 1 refused or failed with a reason, 2 wrong usage, 130 interrupted
"""


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="kiro-lsp",
        description="Run the tasks of a tasks.md with a coding agent, review the change, and have the box ticked.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("-V", "--version", action="version", version=f"kiro-lsp {__version__}")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    _server(verbs)
    _mcp(verbs)
    _task_files(verbs)
    _runs(verbs)
    _answers(verbs)
    _reviews(verbs)
    _project(verbs)
    return top


def _verb(verbs: Any, name: str, summary: str, *, json: bool = False) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(
        name, help=summary, description=summary[0].upper() + summary[1:] + "."
    )
    if json:
        verb.add_argument("--json", action="store_true", help="print JSON on standard output")
    return verb


def _server(verbs: Any) -> None:
    serve = _verb(verbs, "serve", "the language server (what an editor starts)")
    way = serve.add_mutually_exclusive_group()
    way.add_argument("--stdio", action="store_true", help="speak over standard input and output")
    way.add_argument("--tcp", metavar="HOST:PORT", help="listen on a TCP port; use a loopback address")
    way.add_argument("--ws", metavar="HOST:PORT", help="listen for a WebSocket; use a loopback address")
    for flag in ("--pipe", "--node-ipc", "--socket"):
        way.add_argument(flag, nargs="?", const=True, help=argparse.SUPPRESS)
    serve.add_argument("--clientProcessId", type=int, metavar="PID", help="end when this process has ended")
    serve.add_argument("--log-file", metavar="FILE", help="write the log there instead of the state directory")
    serve.add_argument("--log-level", choices=("error", "warning", "info", "debug"), default="info")
    serve.add_argument("-v", "--verbose", action="store_true", help="the same as --log-level debug")


def _mcp(verbs: Any) -> None:
    mcp = _verb(verbs, "mcp", "an MCP server: tasks, prompts and runs of this project for an agent you talk to")
    mcp.add_argument("--root", metavar="DIR", help="the project (default: the one around this folder)")


def _task_files(verbs: Any) -> None:
    tasks = _verb(verbs, "tasks", "list the tasks of task files", json=True)
    tasks.add_argument("paths", nargs="+", metavar="PATH", help="a task file, or a folder to look in")
    prompt = _verb(verbs, "prompt", "print exactly what would be sent for a task", json=True)
    _task(prompt)
    mark = _verb(verbs, "mark", "write a task's status into its file (changes one byte)", json=True)
    _task(mark)
    mark.add_argument("status", choices=STATUSES, metavar="STATUS", help="open, in-progress or done")


def _task(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("path", metavar="PATH", help="the task file")
    verb.add_argument("task", metavar="TASK", help=TASK_HELP)


def _runs(verbs: Any) -> None:
    run = _verb(verbs, "run", "run one task with an agent; your files change only when you accept", json=True)
    _task(run)
    _run_options(run)
    run.add_argument("--agent", metavar="NAME", help="which agent (see: kiro-lsp agents)")
    run.add_argument("--model", metavar="MODEL", help="which model")
    run.add_argument("--note", metavar="TEXT", help="something to add to the task for this run")
    check = run.add_mutually_exclusive_group()
    check.add_argument("--verify", nargs="?", const="", metavar="COMMAND", help=VERIFY_HELP)
    check.add_argument("--no-verify", action="store_true", help="do not run the configured verify command")
    retry = _verb(verbs, "retry", "run the task of a run again, going on from what it left", json=True)
    _run(retry)
    retry.add_argument("--fresh", action="store_true", help="start from zero instead")
    _run_options(retry)
    carry_on = _verb(
        verbs, "continue", "open the agent's own session of a run in this terminal, then review what it left"
    )
    _run(carry_on)
    carry_on.add_argument("--trust", action="store_true", help="trust this project for this run, without asking")
    cancel = _verb(verbs, "cancel", "stop a run; what it has staged stays reviewable", json=True)
    _run(cancel)
    answer = _verb(verbs, "answer", "answer a question that a run is waiting on", json=True)
    _run(answer)
    answer.add_argument("request", metavar="REQUEST", help="the requestId of the question")
    answer.add_argument("option", nargs="?", metavar="OPTION", help="the id of the option; not needed with --text")
    answer.add_argument("--text", metavar="TEXT", help="what to tell the agent, with the option or instead of one")
    runs = _verb(verbs, "runs", "list runs, or show one", json=True)
    runs.add_argument("run", nargs="?", metavar="RUN", help=RUN_HELP)
    runs.add_argument("--diff", action="store_true", help="show the run's changes as a diff")
    runs.add_argument("--root", metavar="DIR", help="only runs of this project")
    runs.add_argument("--limit", type=_positive, default=50, metavar="N", help="how many, newest first (50)")
    costs = _verb(verbs, "costs", "what was spent", json=True)
    costs.add_argument("--by", choices=("day", "agent", "spec", "task"), default="day", help="one row for each (day)")


def _run(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("run", metavar="RUN", help=RUN_HELP)


def _run_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--accept", action="store_true", help="apply the change without asking")
    _permissions(verb)


def _permissions(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--trust", action="store_true", help="trust this project for this run, without asking")
    verb.add_argument(
        "--allow-command",
        action="append",
        default=[],
        metavar="ARGV",
        help="allow the agent to run exactly this command, written as in a shell; may be repeated",
    )


def _answers(verbs: Any) -> None:
    apply = _verb(
        verbs, "apply", "turn a model's answer, in any edit format, into a diff; writes nothing by itself", json=True
    )
    apply.add_argument(
        "answer", nargs="?", default="-", metavar="FILE", help="the answer; without one, or with -, standard input"
    )
    apply.add_argument(
        "--root", metavar="DIR", help="the folder that its paths start from (default: the project around this folder)"
    )
    apply.add_argument("--file", metavar="PATH", help="the file of an answer that names none")
    apply.add_argument("--format", choices=FORMATS, default="auto", help="how the answer is written (auto)")
    then = apply.add_mutually_exclusive_group()
    then.add_argument("--write", action="store_true", help="write all of it or nothing; `undo` takes it back")
    then.add_argument(
        "--review", action="store_true", help="keep it as a review, to accept file by file or hunk by hunk"
    )
    apply.add_argument(
        "--protected", action="store_true", help="let --write change hooks, CI, editor settings and the like too"
    )


def _reviews(verbs: Any) -> None:
    review = _verb(verbs, "review", "look at a run's changes, accept or reject them", json=True)
    review.add_argument(
        "run", nargs="?", metavar="RUN", help=RUN_HELP + "; without one, the run that waits for review here"
    )
    decision = review.add_mutually_exclusive_group()
    decision.add_argument("--accept", action="store_true", help="apply what is pending")
    decision.add_argument("--reject", action="store_true", help="drop what is pending")
    decision.add_argument(
        "--comment", metavar="TEXT", help="have the agent change what you say, in a run that goes on from this one"
    )
    decision.add_argument("--verify", nargs="?", const="", metavar="COMMAND", help=VERIFY_HELP)
    decision.add_argument("--repair", action="store_true", help="have the agent repair what the verify command found")
    review.add_argument("--file", metavar="F", help="only this file of the review")
    review.add_argument("--hunk", action="append", metavar="ID", help="only this hunk; may be repeated")
    _permissions(review)
    review.add_argument(
        "--revision", type=int, metavar="N", help="refuse when the review has moved on since revision N"
    )
    for name, summary in (
        ("undo", "take back what was accepted from a run, byte for byte"),
        ("restore", "write back the backup that was made before a run"),
    ):
        _run(_verb(verbs, name, summary, json=True))
    commit = _verb(verbs, "commit", "commit what was accepted from a run, and nothing else", json=True)
    _run(commit)
    commit.add_argument(
        "-m", "--message", metavar="TEXT", help="the commit's message (default: the task's id and title)"
    )


def _project(verbs: Any) -> None:
    agents = _verb(verbs, "agents", "list the agents and whether they can run here", json=True)
    agents.add_argument("--root", metavar="DIR", help="the project (default: the one around this folder)")
    agents.add_argument("--explain", nargs=2, metavar=("PATH", "TASK"), help="which agent this task would get, and why")
    doctor = _verb(verbs, "doctor", "what is found, missing and wrong, and what to do about it", json=True)
    doctor.add_argument("--root", metavar="DIR", help="the project (default: the one around this folder)")
    doctor.add_argument("--live", metavar="AGENT", help="make one smallest real call; its price is shown first")
    doctor.add_argument("--yes", action="store_true", help="make the call of --live without asking")
    trust = _verb(verbs, "trust", "look at what a project wants to decide, and allow it", json=True)
    trust.add_argument("path", nargs="?", metavar="PATH", help="the project (default: the one around this folder)")
    answer = trust.add_mutually_exclusive_group()
    answer.add_argument("--show", action="store_true", help="show the values and their digest, ask nothing")
    answer.add_argument("--yes", metavar="DIGEST", help="trust exactly these values")
    answer.add_argument("--once", action="store_true", help="say how to trust for a single run")
    answer.add_argument("--revoke", action="store_true", help="take trust and remembered permissions back")
    init = _verb(verbs, "init", "write a commented configuration, and a small spec to start from", json=True)
    init.add_argument("--spec", metavar="NAME", help="also write a spec of this name")
    init.add_argument("--root", metavar="DIR", help="where (default: this folder)")
    demo = _verb(verbs, "demo", "the whole way once, with a recorded agent: no key, no network", json=True)
    demo.add_argument(
        "--project", action="store_true", help="only write the project, to be opened in an editor; no agent plays"
    )
    demo.add_argument(
        "folder", nargs="?", metavar="DIR", help="where to write the demo's project (default: ./kiro-lsp-demo)"
    )
    completion = _verb(verbs, "completion", "print a completion script for a shell")
    completion.add_argument("shell", choices=SHELLS, metavar="SHELL", help="bash, zsh or fish")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return number
