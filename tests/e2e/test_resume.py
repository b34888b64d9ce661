"""The real program, killed in the middle of a run and retried: the next process goes on from what was staged.

At each point the bytes that were staged before the kill are those that the retried agent is shown and that its review
proposes; the tree is untouched all along, and no process is left.
"""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from kiro_lsp.engine import faults
from tests.support.anthropic_server import AnthropicServer, Step
from tests.support.program import BEFORE, TASK_FILE, Project, nobody_left

CONTENT = "first\r\nno end of line, and ünïcode"
STEPS = [
    Step(text="I begin.", tools=[("write_file", {"path": "first.txt", "content": CONTENT})]),
    Step(tools=[("delete_file", {"path": "old.txt"})]),
    Step(tools=[("write_file", {"path": "greeter.py", "content": "print('Hello')\n"})]),
    Step(text="Done as asked."),
]
LOOK = [
    Step(tools=[("read_file", {"path": "first.txt"})]),
    Step(tools=[("list_files", {})]),
    Step(text="All is there."),
]
RUN = ["run.started", "run.staging:2", "run.staged:3", "run.ending", "run.ended"]


def runs(project: Project) -> list[Any]:
    listed = project.call("runs", "--json")
    assert listed.returncode == 0, listed.stderr
    return list(json.loads(listed.stdout))


def staged(project: Project, run_id: str) -> dict[str, str]:
    """Path → diff of what a run proposes."""
    shown = project.call("review", run_id, "--json")
    assert shown.returncode == 0, shown.stderr
    return {file["path"]: file["diff"] for file in json.loads(shown.stdout)["files"]}


def retried(project: Project, run_id: str, *more: str, fault: str = "") -> int:
    return project.call("retry", run_id, "--trust", "--json", *more, fault=fault).returncode


@pytest.mark.parametrize("point", RUN)
def test_a_killed_run_is_gone_on_with_from_the_bytes_that_it_had_staged(
    point: str, project: Project, provider: AnthropicServer
) -> None:
    provider.steps = STEPS
    assert project.start("claude", fault=point).returncode == -signal.SIGKILL
    nobody_left(project)
    (first,) = runs(project)
    before = staged(project, first["runId"])

    provider.steps, provider.requests[:] = LOOK, []
    assert retried(project, first["runId"]) == 0
    second = runs(project)[0]
    assert (second["continues"], second["state"]) == (first["runId"], "review")
    assert staged(project, second["runId"]) == before
    seen = json.dumps(provider.requests[-1]["messages"], ensure_ascii=False)
    assert ("ünïcode" in seen) == ("first.txt" in before)
    assert project.tree() == BEFORE
    nobody_left(project)


@pytest.mark.parametrize("point", [*(each for each in faults.POINTS if each.startswith("resume.")), "run.recorded"])
def test_a_retry_that_is_killed_at_its_beginning_loses_nothing(
    point: str, project: Project, provider: AnthropicServer
) -> None:
    provider.steps = STEPS
    assert project.start("claude", fault="run.staged:2").returncode == -signal.SIGKILL
    (first,) = runs(project)
    before = staged(project, first["runId"])
    assert retried(project, first["runId"], fault=point) == -signal.SIGKILL
    second = runs(project)[0]
    assert second["continues"] == first["runId"]
    assert staged(project, first["runId"]) == before
    # Killed before it had kept anything, it has given the review back.
    assert staged(project, second["runId"]) == (before if point.startswith("resume.") else {})
    counts, other = (second, first) if point.startswith("resume.") else (first, second)
    assert project.call("review", other["runId"], "--accept").returncode == 1
    assert project.call("review", counts["runId"], "--accept").returncode == 0
    assert (project.root / "first.txt").read_bytes() == CONTENT.encode()
    assert "old.txt" not in project.tree()
    assert project.tree()[TASK_FILE] == BEFORE[TASK_FILE]


def test_a_run_that_was_stopped_by_its_budget_goes_on_when_there_is_more(
    project: Project, provider: AnthropicServer
) -> None:
    provider.steps = [STEPS[0], Step(text="Too dear.", usage={"input_tokens": 10**9}), *STEPS[2:]]
    provider.steps[1].tools = STEPS[1].tools
    assert project.start("claude").returncode == 1
    (first,) = runs(project)
    assert first["state"] == "budget"
    before = staged(project, first["runId"])
    assert set(before) == {"first.txt", "old.txt"}
    assert retried(project, first["runId"]) == 1, "the day's cap holds for the retry too"
    assert staged(project, runs(project)[0]["runId"]) == before
