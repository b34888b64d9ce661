"""The real agent programs go on in their own session: a comment on a change is all that they are told, the copy is as it was left.

What they answer is found by the turns that the conversation already has: one that was not opened again would start at the
first step, and its edit would not fit any more.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("the programs are installed for Linux", allow_module_level=True)

from tests.support import logins
from tests.support.agent_person import AFTER, BEFORE, EDIT, LOOK, Person, of, person
from tests.support.provider_server import Step
from tests.support.terminal import AtTerminal
from tests.support.tree import differences, snapshot

WRITE = Step(tools=[("@write", {"path": "docs/greeting.md", "text": "# Greeting\n"})])
COMMENT = "Write the greeting down in docs/greeting.md as well, please."


def reviewed(somebody: Person, run: str) -> dict[str, str]:
    code, (review,), err = somebody.call("review", run, "--json")
    assert code == 0, err
    return {file["path"]: file["diff"] for file in review["files"]}


@pytest.mark.parametrize("name", sorted(logins.SERVERS))
def test_a_comment_is_carried_out_in_the_agents_own_session(name: str, tmp_path: Path) -> None:
    with person(tmp_path, name, [LOOK, EDIT, Step(text="The greeting is polite now.")]) as somebody:
        before = snapshot(somebody.root)
        code, stream, err = somebody.run()
        assert code == 0, (stream[-1:], err)
        first = stream[-1]["runId"]
        (session,) = {event["sessionId"] for event in of(stream, "session")}
        staged = reviewed(somebody, first)
        assert set(staged) == {"greeter.py"}

        somebody.server.steps = [LOOK, EDIT, WRITE, Step(text="It is written down.")]
        somebody.server.requests.clear()
        code, stream, err = somebody.call("review", first, "--comment", COMMENT, "--trust", "--json")
        assert code == 0, (stream[-1:], err)
        second = stream[-1]["runId"]
        (start,) = of(stream, "start")
        assert (start["continues"], start["comment"]) == (first, COMMENT)
        assert of(stream, "session")[-1]["sessionId"] == session
        asked = next(body for body in map(json.dumps, somebody.server.requests) if COMMENT in body)
        assert "The greeting is polite now." in asked, "the conversation goes on"
        assert "<transcript>" not in asked
        assert set(reviewed(somebody, second)) == {"greeter.py", "docs/greeting.md"}
        assert reviewed(somebody, second)["greeter.py"] == staged["greeter.py"]
        assert not differences(before, snapshot(somebody.root))
        assert not somebody.still_alive()

        code, (settled,), err = somebody.call("review", second, "--accept", "--json")
        assert (code, settled["state"]) == (0, "applied"), err
        left = {path: (somebody.root / path).read_text("utf-8") for path in AFTER}
        assert left == AFTER
        assert (somebody.root / "old.txt").read_text("utf-8") == BEFORE["old.txt"]


def test_claude_code_is_continued_in_the_terminal_and_what_it_did_there_is_reviewed(tmp_path: Path) -> None:
    with person(tmp_path, "claude", [LOOK, EDIT, Step(text="Polite.")]) as somebody:
        before = snapshot(somebody.root)
        _code, stream, err = somebody.run()
        first = stream[-1]["runId"]
        somebody.server.steps = [LOOK, EDIT, WRITE, Step(text="Written.")]
        _trust_folder(somebody)
        arguments = ("continue", first, "--trust")
        with AtTerminal(*arguments, cwd=somebody.root, environ=somebody.environ) as terminal:
            terminal.expect("Polite.")
            terminal.type("document")  # a word without a blank: the screen may have moves of the cursor in between
            terminal.expect("document")
            terminal.type("\r")
            terminal.expect("Written.")
            terminal.type("/exit")
            terminal.expect("Exit")
            terminal.type("\r")
            terminal.expect("create docs/greeting.md")
            terminal.expect("What shall become of it?")
            assert not differences(before, snapshot(somebody.root))
            terminal.type("accept everything\n")
            terminal.expect("The task is ticked")
            assert terminal.end() == 0, err
        assert {path: (somebody.root / path).read_text("utf-8") for path in AFTER} == AFTER
        assert not somebody.still_alive()


def _trust_folder(somebody: Person) -> None:
    """What Claude Code would ask a person once for each folder."""
    file = somebody.home / ".claude.json"
    kept = json.loads(file.read_text("utf-8"))
    kept.setdefault("projects", {}).setdefault(str(somebody.root), {})["hasTrustDialogAccepted"] = True
    file.write_text(json.dumps(kept), "utf-8")
