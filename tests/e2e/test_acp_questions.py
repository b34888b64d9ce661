"""What an agent that speaks ACP asks is answered by a person, through the whole program: the agent's own options, once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import acp_agent
from tests.support.acp_run import box

if sys.platform == "win32":
    pytest.skip("programs that are spoken to are not supervised on Windows yet", allow_module_level=True)

OPTIONS = [["go", "Fetch it", "allow_once"], ["no", "Do not", "reject_once"]]
STEPS = [
    {"ask": "fetch", "title": "https://docs.example", "options": OPTIONS},
    {"edit": "greeter.py", "text": "print('Good day')\n"},
    {"say": "Polite now."},
]


@pytest.mark.parametrize(("answer", "told"), [("go", "go"), ("no", "no"), (None, "no")])
def test_a_question_of_the_agent_is_answered_on_the_command_line(
    tmp_path: Path, own_homes: Path, answer: str | None, told: str
) -> None:
    root, folder = tmp_path / "project", box(own_homes)
    root.mkdir()
    (root / "tasks.md").write_text("# Plan\n\n- [ ] 1. Greet\n", "utf-8")
    (root / "greeter.py").write_text("print('Hey')\n", "utf-8")
    (folder / "script.json").write_text(json.dumps(STEPS), "utf-8")
    config = tmp_path / "config.toml"
    variables = f'SCRIPT = "{folder}/script.json", LOG = "{folder}/log"'
    config.write_text(
        f'[agents.mine]\ntype = "acp"\ncommand = "{sys.executable}"\nargs = ["{acp_agent.__file__}"]\n'
        f'homes = ["~/box"]\nnetwork = "none"\nenv = {{ {variables} }}\n',
        "utf-8",
    )
    config.chmod(0o600)
    environ = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(own_homes),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "KIRO_LSP_CONFIG": str(config),
        "KIRO_LSP_STATE_DIR": str(tmp_path / "state"),
    }
    argv = [sys.executable, "-m", "kiro_lsp", "run", "tasks.md", "1", "--agent", "mine", "--trust", "--json"]
    with subprocess.Popen(
        argv, cwd=root, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stream: list[Any] = []
        for line in process.stdout:
            event = json.loads(line)
            stream.append(event)
            if event["type"] == "permission":
                if answer is not None:
                    process.stdin.write(json.dumps({"requestId": event["requestId"], "option": answer}) + "\n")
                    process.stdin.flush()
                process.stdin.close()
    (question,) = [event for event in stream if event["type"] == "permission"]
    assert question["title"] == "Allow: https://docs.example"
    assert question["options"] == [
        {"id": "go", "label": "Fetch it", "kind": "allow-once"},
        {"id": "no", "label": "Do not", "kind": "deny"},
    ]
    (answered,) = [event for event in stream if event["type"] == "answer"]
    assert answered["option"] == told
    assert (process.returncode, stream[-1]["type"], stream[-1]["filesChanged"]) == (0, "complete", ["greeter.py"])
    log = [json.loads(line) for line in (folder / "log").read_text("utf-8").splitlines()]
    assert ["permission", told] in log
    assert (root / "greeter.py").read_text("utf-8") == "print('Hey')\n"
