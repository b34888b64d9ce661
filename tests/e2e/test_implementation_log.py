"""After an accepted and ticked task of a spec-workflow spec, its server's log-implementation is called, where a person asked
for it; the server is a stand-in with the original's tools and arguments.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from tests.support import spec_workflow_server
from tests.support.program import TASKS, Project, nobody_left
from tests.support.tree import differences, snapshot

if sys.platform == "win32":
    pytest.skip("programs that are spoken to are POSIX", allow_module_level=True)

SPEC = ".spec-workflow/specs/greeter"
LOG = f"{SPEC}/Implementation Logs/task-1.md"
SCRIPT = str(Path(spec_workflow_server.__file__))


def configured(project: Project, *lines: str, command: str = sys.executable) -> None:
    path = Path(project.environ["KIRO_LSP_CONFIG"])
    table = [
        "",
        "[mcp.servers.spec-workflow]",
        f"command = {json.dumps(command)}",
        f"args = [{json.dumps(SCRIPT)}]",
        *lines,
    ]
    path.write_text(path.read_text("utf-8") + "\n".join(table) + "\n", "utf-8")
    (project.root / SPEC).mkdir(parents=True)
    (project.root / SPEC / "tasks.md").write_text(TASKS, "utf-8")


def accepted(project: Project) -> subprocess.CompletedProcess[str]:
    arguments = ["run", f"{SPEC}/tasks.md", "1", "--agent", "recorded", "--trust", "--json"]
    started = project.call(*arguments)
    assert started.returncode == 0, started.stderr
    return project.call("review", project.run_record()["runId"], "--accept")


def test_the_entry_is_written_and_nothing_else_that_the_server_did(project: Project) -> None:
    configured(project, "log_implementation = true", 'env = { KIRO_TEST_ROGUE = "1" }')
    done = accepted(project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Logged by spec-workflow: {LOG}." in done.stdout + done.stderr
    tree = project.tree()
    assert tree[LOG].splitlines() == [
        "# Task 1",
        "Polite now.",
        "modified ['greeter.py', 'old.txt']",
        "created ['docs/new.md']",
        "{'linesAdded': 2, 'linesRemoved': 2}",
    ]
    assert tree[f"{SPEC}/tasks.md"] == TASKS.replace("- [ ] 1.", "- [x] 1.")
    assert "elsewhere.txt" not in tree
    nobody_left(project)


@pytest.mark.parametrize(
    ("lines", "command", "says"),
    [
        ([], sys.executable, ""),
        (["log_implementation = true", "enabled = false"], sys.executable, ""),
        (["log_implementation = true"], "no-such-program", "No entry in the implementation log"),
        (["log_implementation = true"], "/bin/cat", "No entry in the implementation log"),
    ],
    ids=["not asked for", "switched off", "missing", "no server"],
)
def test_without_an_entry_the_task_is_done_all_the_same(
    project: Project, lines: list[str], command: str, says: str
) -> None:
    configured(project, *lines, command=command)
    done = accepted(project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert says in done.stdout + done.stderr
    tree = project.tree()
    assert LOG not in tree
    assert tree[f"{SPEC}/tasks.md"] == TASKS.replace("- [ ] 1.", "- [x] 1.")
    nobody_left(project)


def test_undo_leaves_the_record_of_what_happened(project: Project) -> None:
    configured(project, "log_implementation = true")
    before = snapshot(project.root, times=False)
    assert accepted(project).returncode == 0
    assert project.call("undo", project.run_record()["runId"]).returncode == 0
    left = differences(before, snapshot(project.root, times=False))
    assert set(left) == {f"{SPEC}/Implementation Logs: new", f"{LOG}: new"}


async def test_the_stand_in_has_the_tools_of_the_original(shared: Path) -> None:
    recorded = json.loads((shared / "agent_traffic" / "mcp-spec-workflow.json").read_text("utf-8"))
    original = {tool["name"]: arguments(tool["inputSchema"]) for tool in found(recorded)}
    async with Client(spec_workflow_server.server) as client:
        listed = (await client.list_tools()).tools
    assert {tool.name: arguments(tool.input_schema) for tool in listed} == original
    assert not {"run-task", "execute-task", "implement-task"} & set(original), "none of its tools carries out a task"


def arguments(schema: dict[str, Any]) -> tuple[set[str], set[str]]:
    """(all, required)."""
    return set(schema.get("properties", {})), set(schema.get("required", ()))


def found(value: Any) -> list[dict[str, Any]]:
    """The tools, wherever in the recording they stand."""
    if isinstance(value, list):
        return [tool for each in value for tool in found(each)]
    if not isinstance(value, dict):
        return []
    return [value] if "inputSchema" in value else [tool for each in value.values() for tool in found(each)]
