"""Every way a provider fails ends the run in a stated state, with a message that says what to do, and nothing half done.

The real program, the real SDK, a local provider that fails as it is told to.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.support import planted
from tests.support.anthropic_server import AnthropicServer, Fault, Step, closed_port
from tests.support.program import BEFORE, Project, nobody_left

WRITE = ("write_file", {"path": "first.txt", "content": "first"})


def check(project: Project, kind: str, *, staged: Sequence[str] = (), state: str = "failed") -> dict[str, Any]:
    """Run the task, expect one error of that kind, and give it back."""
    done = project.start("claude")
    assert done.returncode == 1, done.stdout + done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    (error,) = [event for event in events if event["type"] == "error"]
    assert error["kind"] == kind, error
    assert error["message"]
    assert error["hint"]
    assert not planted.found_in(done.stdout + done.stderr)
    assert not [event for event in events if event["type"] in ("complete", "cancelled")]
    record = project.run_record()
    assert record["state"] == state
    assert list(project.reviewed(record["runId"])) == list(staged)
    assert project.tree() == BEFORE
    nobody_left(project)
    return dict(error)


@pytest.mark.parametrize(
    ("status", "type_", "kind"),
    [
        (401, "authentication_error", "auth"),
        (402, "billing_error", "payment"),
        (429, "rate_limit_error", "rate-limit"),
        (529, "overloaded_error", "overloaded"),
        (500, "api_error", "agent"),
    ],
)
def test_an_http_error_ends_the_run_with_its_reason(
    status: int, type_: str, kind: str, project: Project, provider: AnthropicServer
) -> None:
    provider.faults = [Fault(status, type_, headers={"retry-after-ms": "1"})]
    check(project, kind)


def test_a_refused_connection_is_a_network_error(project: Project) -> None:
    project.environ["ANTHROPIC_BASE_URL"] = f"http://127.0.0.1:{closed_port()}"
    check(project, "network")


def test_a_missing_key_says_which_variable_and_offers_what_there_is(project: Project) -> None:
    del project.environ["ANTHROPIC_API_KEY"]
    done = project.start("claude")
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert "ANTHROPIC_API_KEY" in said
    assert "recorded" in said


@pytest.mark.parametrize(
    ("steps", "kind", "staged"),
    [
        ([Step(tools=[WRITE]), Step(text="I was going to", cut_after=400)], "network", ["first.txt"]),
        ([Step(tools=[WRITE], cut_after=900)], "network", []),
        ([Step(tools=[WRITE], stop="max_tokens")], "max-tokens", []),
        ([Step(text="I will not do that.", stop="refusal")], "refusal", []),
        ([Step()], "agent", []),
        ([Step(text="well", error_event={"type": "overloaded_error", "message": "busy"})], "overloaded", []),
    ],
    ids=["cut later", "cut in a call", "max tokens in a call", "refusal", "empty", "error event"],
)
def test_an_incomplete_answer_is_never_acted_on(
    steps: list[Step], kind: str, staged: list[str], project: Project, provider: AnthropicServer
) -> None:
    provider.steps = steps
    check(project, kind, staged=staged)


def test_an_agent_that_repeats_itself_is_stopped(project: Project, provider: AnthropicServer) -> None:
    provider.steps = [Step(tools=[("read_file", {"path": "greeter.py"})])] * 50
    error = check(project, "loop")
    assert "5 times" in error["message"]
