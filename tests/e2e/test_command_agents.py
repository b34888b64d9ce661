"""The real agent programs in their line modes, from the command line to the review, against providers on this machine.

The person is logged in at home, as the program itself keeps it (Gemini: by key, since its login is with Google alone). Each
carries out a task of several files in the sandbox; until the review, the person's tree, index and refs are as they were.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import logins, planted
from tests.support.agent_person import (
    HELD,
    TOKEN,
    WORK,
    accepted,
    cancelled_in_its_turn,
    done_in_the_sandbox,
    of,
    person,
)
from tests.support.provider_server import Fault, ProviderServer

if sys.platform != "linux":
    pytest.skip("the programs are installed for Linux", allow_module_level=True)


@pytest.mark.parametrize("name", sorted(logins.SERVERS))
def test_a_task_of_several_files_is_done_in_the_sandbox_and_reviewed(name: str, tmp_path: Path) -> None:
    with person(tmp_path, name, WORK) as somebody:
        stream = done_in_the_sandbox(somebody)
        assert {event["path"] for event in of(stream, "tool") if event["kind"] == "edit"} >= {"greeter.py"}
        usage = of(stream, "usage")[-1]
        assert usage["inputTokens"] > 1000
        assert usage["outputTokens"] == 20 * len(WORK)
        assert usage["billing"] == ("metered" if name == "gemini" else "subscription")
        assert ("planted" if name == "gemini" else TOKEN) in _shown_keys(somebody.server)
        accepted(somebody)


def _shown_keys(server: ProviderServer) -> str:
    """What the provider was shown of who asks, with planted keys named and not told."""
    values = [value for headers in server.headers for value in headers.values()]
    return " ".join("planted" if planted.found_in(value) else value for value in values)


def test_a_program_that_is_paid_by_use_is_stopped_at_the_cap(tmp_path: Path) -> None:
    """Its requests go through the proxy on this machine: two fit under the cap, the third is never sent."""
    dear = [replace(step, usage={"output_tokens": 16_000}) for step in WORK]
    with person(tmp_path, "claude", dear, cap="1.00") as somebody:
        code, stream, err = somebody.run()
        end = stream[-1]
        assert (code, end["type"], end["kind"]) == (1, "error", "budget"), (stream, err)
        assert "max_cost_per_run" in end["hint"]
        assert len(somebody.server.requests) == 2
        assert TOKEN not in _shown_keys(somebody.server)
        usage = of(stream, "usage")[-1]
        assert (usage["billing"], usage["turns"]) == ("metered", 2)
        assert 0.6 < float(usage["cost"]) < 1
        assert [event["path"] for event in of(stream, "file")] == ["greeter.py"]


@pytest.mark.parametrize("name", sorted(logins.SERVERS))
def test_a_cancelled_program_is_gone_and_what_it_did_is_kept_aside(name: str, tmp_path: Path) -> None:
    with person(tmp_path, name, HELD) as somebody:
        cancelled_in_its_turn(somebody)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("claude", "`claude auth login`"),
        ("codex", "`codex login`"),
        ("gemini", "GEMINI_API_KEY"),
    ],
)
def test_a_login_that_is_not_accepted_says_how_to_log_in(name: str, hint: str, tmp_path: Path) -> None:
    with person(tmp_path, name, WORK, [Fault(401, "authentication_error", "the token is not valid")]) as somebody:
        code, stream, _err = somebody.run()
    end = stream[-1]
    assert (code, end["type"], end["kind"]) == (1, "error", "auth")
    assert hint in end["hint"]
    assert "the token is not valid" in end["message"]


@pytest.mark.parametrize("name", ["claude", "codex"])
def test_an_overloaded_provider_is_told_apart_and_the_retry_goes_on_in_the_programs_own_session(
    name: str, tmp_path: Path
) -> None:
    with person(tmp_path, name, WORK, [Fault(529, "overloaded_error", "Overloaded", step=2)]) as somebody:
        code, stream, err = somebody.run()
        end = stream[-1]
        assert (code, end["type"], end["kind"]) == (1, "error", "overloaded"), (stream, err)
        session = of(stream, "session")[-1]["sessionId"]
        seen = len(somebody.server.requests)
        somebody.server.faults.clear()
        code, stream, err = somebody.call("retry", end["runId"], "--trust", "--json")
        assert code == 0, (stream, err)
        assert stream[-1]["filesChanged"] == ["docs/greeting.md", "greeter.py", "old.txt"]
        assert of(stream, "session")[-1]["sessionId"] == session
        again = json.dumps(somebody.server.requests[seen])
        assert "I look first." in again
        assert "You have worked on this before" in again
