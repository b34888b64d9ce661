"""A program that behaves as Kiro CLI is documented to: `--version`, `chat --no-interactive`, `acp`.

What it does stands in the file that the variable SCRIPT names, as one JSON object; what it was told it writes, a JSON value a
line, to the file LOG names. In a session by ACP it is the agent of acp_agent.py, whose script "steps" are.

    {"release": "1.26.0", "logged_in": true, "steps": […],
     "write": {path: text | null}, "shell": [line…], "says": text, "exit": 0, "waits": false}

Without questions it uses only tools that are trusted: all of them with --trust-all-tools, those that --trust-tools names.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))


def main() -> int:
    script: dict[str, Any] = json.loads(Path(os.environ["SCRIPT"]).read_text("utf-8"))
    parser = argparse.ArgumentParser(prog="kiro-cli")
    parser.add_argument("--version", action="store_true")
    verbs = parser.add_subparsers(dest="verb")
    chat = verbs.add_parser("chat")
    chat.add_argument("--no-interactive", action="store_true")
    chat.add_argument("--trust-all-tools", "-a", action="store_true")
    chat.add_argument("--trust-tools", type=lambda text: text.split(","), default=[])
    chat.add_argument("--model")
    chat.add_argument("input", nargs="?")
    if script["release"] is None or _at_least(script["release"], (1, 25)):
        verbs.add_parser("acp")
    args = parser.parse_args()
    if args.version:
        if script["release"] is None:
            return 2
        print(f"kiro-cli {script['release']}")
        return 0
    if args.verb == "acp":
        from tests.support import acp_agent

        acp_agent.main()
        return 0
    return _chat(args, script)


def _chat(args: argparse.Namespace, script: dict[str, Any]) -> int:
    _note("chat", {"prompt": args.input, "model": args.model, "argv": sys.argv[1:-1], "cwd": os.getcwd()})
    _note("environ", dict(os.environ))
    if not args.no_interactive:
        raise SystemExit("there is no terminal here")
    if not script.get("logged_in", True):
        sys.stderr.write("\x1b[31merror\x1b[0m: You are not logged in, please log in with kiro-cli login\n")
        return 1
    trusted = ["fs_read", "fs_write", "execute_bash"] if args.trust_all_tools else args.trust_tools
    for path, text in script.get("write", {}).items():
        _use("fs_write", trusted)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).unlink() if text is None else Path(path).write_text(text, "utf-8")
    for line in script.get("shell", ()):
        _use("execute_bash", trusted)
        subprocess.run(line, shell=True, check=False)
    sys.stdout.write(f"\x1b[38;5;141m> \x1b[0m{script.get('says', 'Done.')}\x1b[0m\n")
    sys.stdout.flush()
    while script.get("waits"):
        signal.pause()
    return int(script.get("exit", 0))


def _use(tool: str, trusted: list[str]) -> None:
    if tool not in trusted:
        sys.stderr.write(f"error: Tool approval required for {tool} but --no-interactive was specified.\n")
        raise SystemExit(1)
    print(f"\x1b[38;5;10mUsing tool: {tool}\x1b[0m (trusted)", flush=True)


def _note(name: str, value: Any) -> None:
    with Path(os.environ["LOG"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps([name, value]) + "\n")


def _at_least(version: str, wanted: tuple[int, int]) -> bool:
    return tuple(int(part) for part in version.split(".")[:2]) >= wanted


if __name__ == "__main__":
    raise SystemExit(main())
