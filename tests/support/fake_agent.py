"""An agent program of the tests' own, which says what Claude Code says in its line mode and does what a test wants.

It is a script in the person's `~/.local/bin`, where programs of their own are, so that every sandbox shows it. `{prompt}` comes
on its input. What it does is Python: `BODY` in between a start and an end of a stream.
"""

from __future__ import annotations

import stat
from pathlib import Path

NAME = "fake-agent"
CONFIG = """
[agents.fake]
type = "cli"
label = "Fake"
command = "fake-agent"
stream = "claude"
login = ["fake-agent", "login"]
network = "none"
"""
_SCRIPT = """#!/usr/bin/python3
import json, os, sys
prompt = sys.stdin.read()
def say(**line): print(json.dumps(line), flush=True)
say(type="system", subtype="init", session_id="s-1", model="fake")
def end(text="Done.", **more):
    say(**({"type": "result", "subtype": "success", "is_error": False, "result": text, "session_id": "s-1",
            "usage": {"input_tokens": 10, "output_tokens": 5}} | more))
    sys.exit(0)
"""


def install(home: Path, body: str) -> str:
    """Put the agent into a home folder; returns the folder that must be on the PATH."""
    folder = home / ".local" / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / NAME
    script.write_text(f"{_SCRIPT}{body}\nend()\n", "utf-8")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return str(folder)
