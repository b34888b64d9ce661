"""One click for each way to reach an agent: a provider, a program by ACP, Kiro CLI, a program's lines, a tool, a recording.

All six tasks stand in one file, each with the agent that it asks for; each agent makes a file of its own.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.support import acp_agent, kiro_cli, line_agent
from tests.support.acp_run import box
from tests.support.anthropic_server import AnthropicServer, Step
from tests.vscode.conftest import TASK_FILE, Open

AGENTS = {
    "claude": "Claude",
    "scripted": "Scripted",
    "kiro": "Kiro",
    "lines": "Lines",
    "tool": "Tool",
    "recorded": "Recorded",
}
"""Name in the task file → how a lens calls it."""
TASKS = "# Plan\n\n" + "".join(
    f"- [ ] {number}. Made by {name}\n  - _Agent: {name}_\n" for number, name in enumerate(AGENTS, 1)
)


def made(name: str) -> tuple[str, str]:
    return f"made/{name}.md", f"# Made by {name}\n"


def configuration(home: Path) -> str:
    """The agents, each with a script that makes its file."""
    folder = box(home)
    for name in ("scripted", "kiro"):
        path, text = made(name)
        steps = [{"say": f"I am {name}."}, {"edit": path, "text": text}, {"say": "It is done."}]
        script = {"steps": steps} if name == "scripted" else {"release": "1.26.0", "steps": steps}
        (folder / f"{name}.json").write_text(json.dumps(script), "utf-8")
    program = home / ".local/bin/kiro-cli"
    program.parent.mkdir(parents=True)
    code = f"import runpy\nrunpy.run_path({kiro_cli.__file__!r}, run_name='__main__')\n"
    program.write_text(f"#!{sys.executable}\n{code}", "utf-8")
    program.chmod(0o755)
    recording = home / "recording.jsonl"
    path, text = made("recorded")
    rows: list[Any] = [{"kiroRun": 1, "pace": 0, "summary": "As recorded."}, {"write": {"path": path, "text": text}}]
    recording.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    tool = {"say": "Looking.", "edits": dict([made("tool")]), "last": "Done.", "then": "end"}
    tables: dict[str, dict[str, Any]] = {
        "scripted": {"type": "acp", "args": [acp_agent.__file__], "env": {"SCRIPT": f"{folder}/scripted.json"}},
        "lines": {"type": "cli", "stream": "codex", "args": [line_agent.__file__, json.dumps(_line_orders())]},
        "tool": {
            "type": "mcp",
            "args": [str(Path(line_agent.__file__).with_name("mcp_script_server.py")), json.dumps(tool)],
        },
    }
    common = {"command": sys.executable, "network": "none", "billing": "subscription"}
    tables = {name: {"label": AGENTS[name], **common, **table} for name, table in tables.items()}
    tables["scripted"]["homes"] = ["~/box"]
    tables["kiro"] = {"homes": ["~/box"], "guarded": [], "network": "none", "env": {"SCRIPT": f"{folder}/kiro.json"}}
    tables["recorded"] = {"type": "replay", "label": "Recorded", "recording": str(recording)}
    return "".join(f"\n[agents.{name}]\n{_toml(table)}" for name, table in tables.items())


def _line_orders() -> list[Any]:
    path, text = made("lines")
    item = {"id": "e0", "type": "file_change", "changes": [{"path": path, "kind": "add"}], "status": "completed"}
    return [
        {"write": [path, text]},
        {"line": {"type": "item.completed", "item": item}},
        {"line": {"type": "turn.completed", "usage": {"input_tokens": 30, "output_tokens": 4}}},
    ]


def _toml(table: dict[str, Any]) -> str:
    """Strings, lists of strings and tables of strings are written alike in JSON and TOML, but for what names a value."""
    rows = []
    for name, value in table.items():
        inner = (
            ", ".join(f"{key} = {json.dumps(each)}" for key, each in value.items()) if isinstance(value, dict) else ""
        )
        rows.append(f"{name} = {{ {inner} }}\n" if inner else f"{name} = {json.dumps(value)}\n")
    return "".join(rows)


def test_a_click_on_its_lens_has_a_task_done_by_every_kind_of_agent(
    opened: Open, project: Path, tmp_path: Path, provider: AnthropicServer
) -> None:
    path, text = made("claude")
    provider.steps = [Step(tools=[("write_file", {"path": path, "content": text})]), Step(text="It is done.")]
    (project / TASK_FILE).write_text(TASKS, "utf-8")
    home = tmp_path / "home"
    home.mkdir()
    window = opened(config=configuration(home), more={"PATH": f"{home}/.local/bin:/usr/bin:/bin"})
    for name, label in AGENTS.items():
        at = f"Made by {name}"
        path, text = made(name)
        window.click_lens(f"▶ Run with {label}", at=at)
        window.see_lens("Review 1 file", at=at)
        assert not (project / path).exists()
        window.screenshot(f"{name}-review")
        window.click_lens("Accept", at=at)
        window.until(
            lambda at=at: any("[x]" in line and at in line for line in window.text().splitlines()), f"{name} is ticked"
        )
        assert (project / path).read_text("utf-8") == text
        window.see_lens("✓ View changes", at=at)
    window.screenshot("all-done")
    window.save()
    assert (project / TASK_FILE).read_text("utf-8") == TASKS.replace("[ ]", "[x]")
