"""An agent program for tests: does what its orders say, one after the other, in the format of Codex.

    python line_agent.py ORDERS [more arguments, which it tells]

ORDERS is JSON, a list of one-key objects: {"tell": name} (an agent message with what it was given), {"line": object},
{"raw": text}, {"write": [path, text]}, {"errors": text}, {"repeat": [text, size, times]}, {"exit": code}, {"unless": argument, …}:
the rest is skipped where an argument was given, {"wait": true} for ever.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    orders, *more = sys.argv[1:]
    prompt: str | None = None
    for order in json.loads(orders):
        match order:
            case {"tell": name}:
                if prompt is None and name == "prompt":
                    prompt = sys.stdin.read()
                said = {"prompt": prompt, "args": more, "env": dict(os.environ), "cwd": os.getcwd()}[name]
                _line({"type": "item.completed", "item": {"type": "agent_message", "text": json.dumps({name: said})}})
            case {"line": line}:
                _line(line)
            case {"raw": text}:
                _out(text)
            case {"repeat": [text, size, times]}:
                for _ in range(times):
                    _out(text * size)
            case {"write": [path, text]}:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                Path(path).write_text(text, "utf-8")
            case {"errors": text}:
                sys.stderr.write(text)
                sys.stderr.flush()
            case {"unless": argument}:
                if argument in more:
                    return
            case {"exit": code}:
                sys.exit(code)
            case {"wait": _}:
                signal.pause()


def _line(value: Any) -> None:
    _out(json.dumps(value) + "\n")


def _out(text: str) -> None:
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
