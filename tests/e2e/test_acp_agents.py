"""The real agent programs over ACP, from the command line to the review, against providers on this machine.

The person is logged in at home, as the program itself keeps it (Gemini: by key, since its login is with Google alone). Each
carries out a task of several files in the sandbox; until the review, the person's tree, index and refs are as they were.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.support import logins
from tests.support.agent_person import (
    EDIT,
    HELD,
    LOOK,
    WORK,
    accepted,
    cancelled_in_its_turn,
    done_in_the_sandbox,
    of,
    person,
)
from tests.support.provider_server import Fault, Step

if sys.platform != "linux":
    pytest.skip("the programs are installed for Linux", allow_module_level=True)


@pytest.mark.parametrize("name", sorted(logins.SERVERS))
def test_a_task_of_several_files_is_done_in_the_sandbox_and_reviewed(name: str, tmp_path: Path) -> None:
    with person(tmp_path, name, WORK, kind="acp") as somebody:
        stream = done_in_the_sandbox(somebody)
        (start,) = of(stream, "start")
        assert start["way"] == "acp"
        assert {event["path"] for event in of(stream, "file")} == set(stream[-1]["filesChanged"])
        assert of(stream, "permission") == []
        assert of(stream, "usage")[-1]["outputTokens"] >= 20
        accepted(somebody)


@pytest.mark.parametrize("name", sorted(logins.SERVERS))
def test_a_cancelled_program_is_gone_and_what_it_did_is_kept_aside(name: str, tmp_path: Path) -> None:
    with person(tmp_path, name, HELD, kind="acp") as somebody:
        cancelled_in_its_turn(somebody)


@pytest.mark.parametrize("name", sorted(logins.SERVERS))
def test_a_retry_goes_on_in_the_agents_own_session(name: str, tmp_path: Path) -> None:
    with person(tmp_path, name, [LOOK, EDIT, Step(text="Too little.")], kind="acp") as somebody:
        code, stream, err = somebody.run()
        assert code == 0, (stream, err)
        first, session = stream[-1]["runId"], of(stream, "session")[-1]["sessionId"]
        code, _stream, err = somebody.call("review", first, "--reject", "--json")
        assert code == 0, err
        seen = len(somebody.server.requests)
        somebody.server.steps = WORK
        code, stream, err = somebody.call("retry", first, "--trust", "--json")
        assert code == 0, (stream, err)
        assert stream[-1]["filesChanged"] == ["docs/greeting.md", "greeter.py", "old.txt"]
        # Gemini CLI 0.61 mostly empties the record of a session before it opens it: then a new one is told everything.
        opened = of(stream, "session")[-1]["sessionId"] == session
        assert opened or name == "gemini"
        again = json.dumps(somebody.server.requests[seen:])
        assert "Too little." in again
        assert ("You have worked on this before" if opened else "Work on this task was begun before") in again
        assert "Too little." not in "".join(event["text"] for event in of(stream, "chunk"))


@pytest.mark.parametrize(
    ("name", "hint"), [("claude", "`claude auth login`"), ("codex", "`codex login`"), ("gemini", "GEMINI_API_KEY")]
)
def test_a_login_that_is_not_accepted_says_how_to_log_in(name: str, hint: str, tmp_path: Path) -> None:
    faults = [Fault(401, "authentication_error", "the token is not valid")]
    with person(tmp_path, name, WORK, faults, kind="acp") as somebody:
        code, stream, _err = somebody.run()
    end = stream[-1]
    assert (code, end["type"], end["kind"]) == (1, "error", "auth"), end
    assert hint in end["hint"]
