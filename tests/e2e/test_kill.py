"""Killed at any named point of run, review and accept: nothing is lost, nothing is half, nothing lives on.

Each case starts the real program with KIRO_LSP_FAULT, which makes it SIGKILL itself at one point. Then a new process looks:
the run is shown, its staged changes are there, the tree is before or after, and work can go on from there.
"""

from __future__ import annotations

import signal
import subprocess
from shlex import join

import pytest

from kiro_lsp.engine import faults
from tests.support.anthropic_server import AnthropicServer, Step
from tests.support.program import AFTER, APPLIED, BEFORE, COMMAND, TASK_FILE, TASKS, TICKED, Project, nobody_left

RUN = [point for point in faults.POINTS if point.startswith("run.")]
REVIEW = ["review.accepting", "review.applied", "review.ticked", "review.settled"]
APPLY = [
    point
    for point in faults.POINTS
    if point.startswith(("apply.", "disk.")) and point not in ("disk.back", "disk.folder")
]
NOT_ON_THIS_WAY = {
    "apply.buffers": "no document is open in a terminal",
    "apply.edited": "no document is open in a terminal",
}
COMMANDED = {"run.copied", "run.commanded"}


STEPS = [
    Step(tools=[("write_file", {"path": "first.txt", "content": "first"})]),
    Step(tools=[("run_command", {"argv": COMMAND})]),
    Step(text="Done as asked."),
]


def killed(done: subprocess.CompletedProcess[str]) -> bool:
    return done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("point", [point for point in RUN if point not in COMMANDED])
def test_a_server_killed_in_a_run_shows_it_and_keeps_what_was_staged(point: str, project: Project) -> None:
    fault = f"{point}:2" if point in ("run.staging", "run.staged") else point
    assert killed(project.start("recorded", fault=fault))
    nobody_left(project)
    assert project.tree() == BEFORE

    record = project.run_record()
    expected = {"run.staging": 1, "run.staged": 2, "run.ending": 3, "run.ended": 3}.get(point, 0)
    assert record["state"] in ("interrupted", "review")
    staged = project.reviewed(record["runId"])
    assert len(staged) in (expected, expected + (point == "run.staging"))
    assert set(staged.values()) <= {"pending"}
    if staged:
        assert project.call("review", record["runId"], "--accept").returncode == 0
        finished = record["state"] == "review"
        assert project.tree()[TASK_FILE] == (TICKED if finished else TASKS)
        assert project.tree()["greeter.py"] == APPLIED["greeter.py"]


@pytest.mark.parametrize("point", sorted(COMMANDED))
def test_a_server_killed_around_a_command_leaves_no_process_and_no_copy(
    point: str, project: Project, provider: AnthropicServer
) -> None:
    provider.steps = STEPS
    assert killed(project.start("claude", "--allow-command", join(COMMAND), fault=point))
    nobody_left(project)
    assert project.tree() == BEFORE
    record = project.run_record()
    assert record["state"] == "interrupted"
    assert list(project.reviewed(record["runId"])) == ["first.txt"]
    assert "made.txt" not in project.tree()


@pytest.mark.parametrize("point", REVIEW + [point for point in APPLY if point not in NOT_ON_THIS_WAY])
def test_an_accept_killed_anywhere_is_before_or_after(point: str, project: Project) -> None:
    assert project.start("recorded").returncode == 0
    run_id = project.run_record()["runId"]
    assert killed(project.call("review", run_id, "--accept", fault=point))
    nobody_left(project)

    record = project.run_record()  # a new process: what was cut off is brought to an end first
    assert record["state"] in ("review", "applied")
    expected = {"review": (BEFORE,), "applied": (AFTER, APPLIED)}[record["state"]]
    assert project.tree() in expected
    if record["state"] == "review":
        assert set(project.reviewed(run_id).values()) == {"pending"}
        assert project.call("review", run_id, "--accept").returncode == 0
    assert project.tree() == AFTER
    assert project.call("undo", run_id).returncode == 0
    assert project.tree() == BEFORE


@pytest.mark.parametrize("point", ["review.rejecting", "review.rejected"])
def test_a_reject_killed_anywhere_leaves_the_tree_and_can_be_repeated(point: str, project: Project) -> None:
    assert project.start("recorded").returncode == 0
    run_id = project.run_record()["runId"]
    assert killed(project.call("review", run_id, "--reject", fault=point))
    assert project.tree() == BEFORE
    assert project.call("review", run_id, "--reject").returncode == 0
    assert project.run_record()["state"] == "rejected"
    assert project.tree() == BEFORE


def test_at_least_twenty_points_are_walked_through() -> None:
    assert len(RUN) + len(REVIEW) + len(APPLY) - len(NOT_ON_THIS_WAY) + 2 >= 20


ANSWER = """\
greeter.py
<<<<<<< SEARCH
print('Hey')
=======
print('Good day')
>>>>>>> REPLACE

docs/new.md
<<<<<<< SEARCH
=======
# New
>>>>>>> REPLACE
"""


@pytest.mark.parametrize("point", [point for point in faults.POINTS if point.startswith("paste.")])
def test_a_pasted_answer_is_kept_whole_or_not_at_all(point: str, project: Project) -> None:
    answer = project.root.parent / "answer.md"
    answer.write_text(ANSWER, "utf-8")
    assert killed(project.call("apply", str(answer), "--write", fault=point))
    assert project.tree() == BEFORE
    record = project.run_record()
    assert record["state"] == "interrupted"
    staged = project.reviewed(record["runId"])
    assert list(staged) == ([] if point == "paste.recorded" else ["docs/new.md", "greeter.py"])
    # Where nothing was kept there is nothing to accept.
    assert project.call("review", record["runId"], "--accept").returncode == (0 if staged else 1)
    tree = project.tree()
    assert tree[TASK_FILE] == TASKS
    assert tree["greeter.py"] == (APPLIED if staged else BEFORE)["greeter.py"]


@pytest.mark.parametrize("point", ["apply.prepared", "disk.swapped", "apply.recorded"])
def test_a_write_killed_anywhere_is_before_or_after(point: str, project: Project) -> None:
    answer = project.root.parent / "answer.md"
    answer.write_text(ANSWER, "utf-8")
    assert killed(project.call("apply", str(answer), "--write", fault=point))
    record = project.run_record()
    written = {"greeter.py": APPLIED["greeter.py"], "docs/new.md": APPLIED["docs/new.md"]}
    assert project.tree() == (BEFORE | written if record["state"] == "applied" else BEFORE)
    assert record["state"] in ("applied", "review")
    if record["state"] == "applied":
        assert project.call("undo", record["runId"]).returncode == 0
        assert project.tree() == BEFORE
