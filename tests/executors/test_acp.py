"""Agents that speak ACP: what they do and say, as a run sees it. The agent is a real program, built on the SDK."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kiro_lsp import events
from kiro_lsp.budget import Usage
from kiro_lsp.executors import acp_session
from kiro_lsp.executors.protocol import Question, Resume
from tests.conftest import REPO
from tests.support import procs
from tests.support.acp_agent import OPTIONS
from tests.support.acp_run import AGENT, Played, box, play
from tests.support.tree import snapshot

TWO = {"src/number.py": b"NUMBER = 2\n"}
EDIT = {"edit": "src/number.py", "text": "NUMBER = 2\n"}
LEAVE = {"ask": "edit", "title": "Edit it", "path": "src/number.py"}


def once(question: Question) -> str:
    return next((key for key, _label, kind in question.options if kind == "allow-once"), "")


@pytest.mark.parametrize("level", ["bubblewrap", "overlay", "copy"])
@pytest.mark.parametrize("by", ["disk", "fs"])
async def test_a_task_of_several_files_is_carried_out(root: Path, own_homes: Path, level: str, by: str) -> None:
    before = snapshot(root)
    steps = [
        {"think": "I look first."},
        {"plan": [["Read", "completed"], ["Write", "in_progress"]]},
        {"say": "I read it."},
        {"read": "src/number.py"},
        {**EDIT, "by": by},
        {"edit": "README.md", "text": "# Two\n", "by": by},
        {"edit": "new/ü.txt", "text": "naïve 🦊\n", "by": by},
        {"say": "It is two now.\n\nAll "},
        {"say": "is well."},
    ]
    played = await play(root, own_homes, steps, level=level)
    assert played.result is not None, played.error
    assert played.level == level
    assert played.staged == {**TWO, "README.md": b"# Two\n", "new/ü.txt": "naïve 🦊\n".encode()}
    assert snapshot(root) == before
    assert played.result.changed_files == ("README.md", "new/ü.txt", "src/number.py")
    assert (played.result.success, played.result.stop_reason) == (True, "end_turn")
    assert played.result.summary == "All is well."
    assert played.told("read") == ["NUMBER = 1\n"]
    assert played.text == "I read it.It is two now.\n\nAll is well."
    assert [event.text for event in played.of(events.Thought)] == ["I look first."]
    assert [entry.status for entry in played.of(events.Plan)[0].entries] == ["completed", "in_progress"]
    calls = [(call.kind, call.path, call.status) for call in played.of(events.Tool) if call.id == "call-1"]
    assert calls == [("edit", "src/number.py", status) for status in ("pending", "in_progress", "completed")]
    assert {file.path for file in played.of(events.File)} == set(played.staged)
    assert played.of(events.Session) == [events.Session("session-1")]
    assert played.questions == []
    assert played.told("initialize") == [
        {"version": 1, "fs": {"readTextFile": True, "writeTextFile": True, "_meta": None}, "terminal": True}
    ]
    assert (played.told("new") == [{"cwd": str(root)}]) is (level != "copy")
    assert "Make the number two." in played.told("prompt")[0][-1]


async def test_what_was_changed_by_one_way_is_seen_by_the_other(root: Path, own_homes: Path) -> None:
    """A command of the agent sees what it wrote through us, and a read through us what a command wrote."""
    steps = [
        {**EDIT, "by": "fs"},
        {"shell": "cat src/number.py && echo NUMBER = 3 > src/number.py && rm README.md"},
        {"read": "src/number.py"},
        {"run": ["cat", "src/number.py"]},
        {"edit": "other.txt", "text": "x\n", "by": "fs"},
        {"shell": "cat src/number.py other.txt"},
    ]
    played = await play(root, own_homes, steps)
    assert played.error is None
    assert [said["output"] for said in played.told("shell")] == ["NUMBER = 2\n", "NUMBER = 3\nx\n"]
    assert played.told("read") == ["NUMBER = 3\n"]
    assert played.told("terminal")[0]["output"] == "NUMBER = 3\n"
    assert played.staged == {"src/number.py": b"NUMBER = 3\n", "README.md": None, "other.txt": b"x\n"}


@pytest.mark.parametrize(
    ("step", "answer"),
    [
        ({"read": "src/number.py"}, "NUMBER = 1\n"),
        ({"read": "nowhere.txt"}, ""),  # some agents ask before they create a file
        ({"read": "README.md", "line": 3}, "naïve 🦊\n"),
        ({"read": "README.md", "line": 1, "limit": 1}, "# Numbers\n"),
        ({"read": "../elsewhere.txt"}, None),
        ({"read": "/etc/hostname"}, None),
        ({"read": ".env"}, None),
        ({"read": "binary"}, None),
    ],
)
async def test_files_are_read_as_the_run_sees_them(
    root: Path, own_homes: Path, step: dict[str, Any], answer: str | None
) -> None:
    (root / ".env").write_text("SECRET=1\n", "utf-8")
    (root / "binary").write_bytes(b"\xff\xfe\x00")
    played = await play(root, own_homes, [step])
    assert played.error is None
    assert played.told("read") == ([] if answer is None else [answer])
    assert len(played.told("refused")) == (answer is None)


@pytest.mark.parametrize("path", ["../outside.txt", "/tmp/outside.txt", ".git/config", "a\0b"])
async def test_no_write_through_us_leaves_the_project(root: Path, own_homes: Path, path: str) -> None:
    step = {"update": {}} if "\0" in path else {"edit": path, "text": "x", "by": "fs"}
    played = await play(root, own_homes, [step, {"say": "on"}])
    assert played.staged == {}
    assert not Path("/tmp/outside.txt").exists()
    assert not (root.parent / "outside.txt").exists()


# Questions


@pytest.mark.parametrize(
    ("level", "step", "asked"),
    [
        ("bubblewrap", LEAVE, 0),
        ("bubblewrap", {**LEAVE, "ask": "delete"}, 0),
        ("bubblewrap", {**LEAVE, "path": "/etc/hosts"}, 1),
        ("bubblewrap", {"ask": "fetch", "title": "https://example.com"}, 1),
        ("bubblewrap", {"ask": "other", "title": "a tool of a server"}, 1),
        ("bubblewrap", {"shell": "echo hi", "ask": True}, 0),
        ("overlay", LEAVE, 0),
        ("overlay", {"shell": "echo hi", "ask": True}, 1),
        ("copy", LEAVE, 1),
        ("copy", {**LEAVE, "ask": "read"}, 0),
        ("copy", {"shell": "echo hi", "ask": True}, 1),
    ],
)
async def test_the_person_is_asked_where_the_sandbox_does_not_answer(
    root: Path, own_homes: Path, level: str, step: dict[str, Any], asked: int
) -> None:
    played = await play(root, own_homes, [step], level=level, answer=once)
    assert played.error is None
    assert len(played.questions) == asked
    assert played.told("permission") == ["yes"]


async def test_in_a_sandbox_with_an_open_network_a_command_is_asked_for(root: Path, own_homes: Path) -> None:
    played = await play(root, own_homes, [{"shell": "echo hi", "ask": True}, LEAVE], network="open", answer=once)
    assert [question.kind for question in played.questions] == ["command"]
    assert "echo hi" in played.questions[0].title
    assert "network open" in played.questions[0].title


@pytest.mark.parametrize(
    ("chosen", "outcome", "again"),
    [
        ("allow-once", "yes", 2),
        ("allow-run", "yes", 1),  # no agent is told "always": it might write that down for later runs
        ("deny", "no", 2),
        ("nobody", "no", 2),
    ],
)
async def test_the_agents_own_options_are_shown_and_the_chosen_one_is_its_answer(
    root: Path, own_homes: Path, chosen: str, outcome: str, again: int
) -> None:
    def answer(question: Question) -> str:
        return next((key for key, _label, kind in question.options if kind == chosen), "")

    step = {"ask": "other", "title": "use a tool"}
    played = await play(root, own_homes, [step, step], answer=answer)
    assert played.told("permission") == [outcome, outcome]
    assert len(played.questions) == again
    question = played.questions[0]
    assert question.options == (
        ("yes", "Allow", "allow-once"),
        ("always", "Always allow (this run)", "allow-run"),
        ("no", "Reject", "deny"),
    )
    assert question.title == "Allow: use a tool"


async def test_options_that_allow_only_get_a_no(root: Path, own_homes: Path) -> None:
    step = {"ask": "other", "title": "use a tool", "options": OPTIONS[:1]}
    played = await play(root, own_homes, [step])
    assert played.questions[0].options[-1][2] == "deny"
    assert played.told("permission") == ["cancelled"]


async def test_nothing_is_hidden_in_a_question(root: Path, own_homes: Path) -> None:
    sly = "pip list" + " " * 80 + "\n; curl evil\u202e\x1b[8m"
    played = await play(root, own_homes, [{"ask": "other", "title": sly}])
    title = played.questions[0].title
    assert title.endswith("\\n; curl evil<U+202E><U+001B>[8m")


async def test_what_is_too_long_to_be_looked_at_is_refused_without_a_question(root: Path, own_homes: Path) -> None:
    step = {"shell": "echo " + "x" * 5000, "ask": True}
    played = await play(root, own_homes, [step], level="copy", answer=once)
    assert played.questions == []
    assert played.told("permission") == ["no"]
    assert played.told("shell") == []


async def test_who_denies_is_heard_and_the_agent_may_go_on_or_end(root: Path, own_homes: Path) -> None:
    steps = [{"ask": "other", "title": "a"}, EDIT, {"stop": "cancelled"}]
    played = await play(root, own_homes, steps)
    assert played.result is not None
    assert played.result.stop_reason == "cancelled"
    assert played.staged == TWO


# Terminals


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ({"run": ["echo", "hi"]}, {"exit": 0, "output": "hi\n", "truncated": False}),
        ({"run": ["echo one && echo two"]}, {"exit": 0, "output": "one\ntwo\n", "truncated": False}),
        ({"run": ["sh", "-c", "exit 7"]}, {"exit": 7, "output": "", "truncated": False}),
        ({"run": ["pwd"], "cwd": "/src"}, {"exit": 0, "truncated": False}),
        ({"run": ["sh", "-c", "echo $WHO"], "env": [{"name": "WHO", "value": "me"}]}, {"output": "me\n"}),
        ({"run": ["sh", "-c", "seq 1 5000"], "output_byte_limit": 9}, {"output": "999\n5000\n", "truncated": True}),
        ({"run": ["no-such-program"]}, {"exit": 127}),
        ({"run": ["sh", "-c", "sleep 100"], "kill": True}, {"exit": None}),
    ],
)
async def test_a_command_of_the_agent_runs_in_its_workplace(
    root: Path, own_homes: Path, step: dict[str, Any], told: dict[str, Any]
) -> None:
    if "cwd" in step:
        step = {**step, "cwd": str(root) + step["cwd"]}
    played = await play(root, own_homes, [step])
    assert played.error is None
    (said,) = played.told("terminal")
    assert {name: said[name] for name in told} == told
    if "cwd" in step:
        assert said["output"].strip() == step["cwd"]
    call = played.of(events.Tool)[-1]
    assert call.output == (said["output"].strip("\n") or None)


@pytest.mark.parametrize(("answer", "ran"), [(once, True), (None, False)])
async def test_without_a_sandbox_a_terminal_needs_a_yes(root: Path, own_homes: Path, answer: Any, ran: bool) -> None:
    played = await play(root, own_homes, [{"run": ["touch", "made"]}], level="copy", answer=answer)
    assert [question.kind for question in played.questions] == ["command"]
    assert "not sandboxed" in played.questions[0].title
    assert played.staged == ({"made": b""} if ran else {})
    assert bool(played.told("refused")) is not ran


# Sessions


@pytest.mark.parametrize(
    ("script", "told", "said"),
    [
        ({"loads": True}, ["load"], "You have worked on this before"),
        ({"loads": True, "load": [{"fail": [-32002, "no such session"]}]}, ["load", "new"], "was begun before"),
        ({}, ["new"], "was begun before"),
    ],
)
async def test_a_session_is_opened_again_where_that_can_be(
    root: Path, own_homes: Path, script: dict[str, Any], told: list[str], said: str
) -> None:
    resume = Resume("run-1", "It was cancelled.", session_id="session-0", staged=("src/number.py",))
    played = await play(root, own_homes, {**script, "steps": [EDIT]}, resume=resume)
    assert played.error is None
    assert [name for name in ("load", "new") if played.told(name)] == told
    (prompt,) = played.told("prompt")
    assert said in prompt[-1]
    assert any("Make the number two." in text for text in prompt) is (told != ["load"])
    assert "long ago" not in played.text
    assert played.of(events.Session)[0].session_id == ("session-0" if told == ["load"] else "session-1")


@pytest.mark.parametrize(
    ("script", "method", "told", "done"),
    [
        ({"logins": ["key"]}, "key", [], True),  # it opens a session as it is
        ({"logins": ["browser", "key"], "login": "key"}, "key", ["key"], True),
        ({"logins": ["browser"], "login": "browser"}, "key", [], False),
        ({"logins": ["browser"], "login": "browser"}, None, [], False),
        ({"logins": ["key"], "login": "other"}, "key", ["key"], False),
    ],
)
async def test_an_agent_is_told_to_log_in_only_where_it_insists(
    root: Path, own_homes: Path, script: dict[str, Any], method: str | None, told: list[str], done: bool
) -> None:
    played = await play(root, own_homes, {**script, "steps": [EDIT]}, auth_method=method)
    assert played.told("authenticate") == told
    assert (played.error is None) is done
    if played.error is not None:
        assert (played.error.kind, "`script login`" in played.error.hint) == ("auth", True)


@pytest.mark.parametrize(
    ("level", "mode", "set_"), [("bubblewrap", "free", ["free"]), ("bubblewrap", "unknown", []), ("copy", "free", [])]
)
async def test_only_our_sandbox_loosens_an_agents_own(
    root: Path, own_homes: Path, level: str, mode: str, set_: list[str]
) -> None:
    script = {"modes": ["careful", "free"], "steps": []}
    played = await play(root, own_homes, script, level=level, sandbox_mode=mode)
    assert played.told("mode") == set_


@pytest.mark.parametrize(
    ("models", "model", "told", "error"),
    [
        (["small", "large"], "large", [["model", "large"]], None),
        (["small", "large"], "huge", [], "no model 'huge' here; it has small, large"),
        ([], "any", [], None),
        (["small", "large"], "", [], None),
    ],
)
async def test_the_model_is_the_one_that_is_asked_for(
    root: Path, own_homes: Path, models: list[str], model: str, told: list[Any], error: str | None
) -> None:
    played = await play(root, own_homes, {"models": models, "steps": [EDIT]}, model=model)
    assert played.told("option") == told
    assert (played.error is None) is (error is None)
    if error is not None:
        assert error in str(played.error)


async def test_the_usage_of_a_turn_is_counted(root: Path, own_homes: Path) -> None:
    usage = {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}
    played = await play(root, own_homes, [{"usage": usage}])
    assert played.result is not None
    assert played.result.usage == Usage(5, 7)
    assert played.run.requests == [(Usage(), Usage(5, 7))]


# Being stopped


@pytest.mark.parametrize(
    ("steps", "ends"), [([{"wait": "cancel"}], ["cancelled"]), ([{"deaf": True}, {"wait": "for ever"}], [])]
)
async def test_a_cancelled_agent_is_told_and_gone_and_what_it_did_is_kept(
    root: Path, own_homes: Path, steps: list[Any], ends: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if ends:
        monkeypatch.setattr(acp_session, "CANCEL_SECONDS", 60.0)
    before = snapshot(root)
    seen: list[Played] = []
    with pytest.raises(asyncio.CancelledError):
        await play(
            root,
            own_homes,
            [EDIT, {"shell": "sleep 300 >/dev/null 2>&1 & echo started"}, {"say": "working"}, *steps],
            started=seen.append,
            until=lambda event: isinstance(event, events.Chunk),
            env={procs.NAME: "acp-cancel"},
        )
    (played,) = seen
    assert played.told("cancel") == ["session-1"]
    assert played.told("ended") == ends, "it has a moment to end its turn by itself"
    assert played.staged == TWO
    assert snapshot(root) == before
    assert not procs.gone_within(procs.marked("acp-cancel"))


async def test_a_question_is_withdrawn_when_the_run_is_cancelled(
    root: Path, own_homes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acp_session, "CANCEL_SECONDS", 60.0)
    asked = asyncio.Event()

    async def never(_question: Question) -> str:
        asked.set()
        return await asyncio.Future()

    working = asyncio.create_task(play(root, own_homes, [{"ask": "other", "title": "x"}, {"say": "on"}], answer=never))
    await asked.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    log = (box(own_homes) / "log").read_text("utf-8")
    assert '["permission", "cancelled"]' in log
    assert '["cancel", "session-1"]' in log


# Another agent


def test_another_agent_is_one_file(tmp_path: Path, own_homes: Path) -> None:
    """In a copy of the package, so that nothing but the file is new: it is listed, found and carries a task out."""
    import shutil

    shutil.copytree(REPO / "kiro_lsp", tmp_path / "kiro_lsp", ignore=shutil.ignore_patterns("__pycache__"))
    lines = [
        'label = "Imaginary"',
        'type = "acp"',
        f'command = "{sys.executable}"',
        f'args = ["{AGENT.args[0] if AGENT.args else ""}"]',
        'homes = ["~/box"]',
        'network = "none"',
        f'env = {{ SCRIPT = "{box(own_homes)}/script.json" }}',
    ]
    (tmp_path / "kiro_lsp" / "executors" / "agents" / "imaginary.toml").write_text("\n".join(lines), "utf-8")
    steps = [{"edit": "a.txt", "text": "two\n"}, {"say": "Imagined."}]
    (box(own_homes) / "script.json").write_text(json.dumps(steps), "utf-8")
    root = tmp_path / "project"
    root.mkdir()
    (root / "tasks.md").write_text("# Plan\n\n- [ ] 1. Imagine\n", "utf-8")
    (root / "a.txt").write_text("one\n", "utf-8")
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(own_homes), "PYTHONPATH": str(tmp_path)}
    argv = [sys.executable, "-m", "kiro_lsp", "run", "tasks.md", "1", "--agent", "imaginary", "--trust", "--json"]
    done = subprocess.run(argv, cwd=root, env=environ, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr + done.stdout
    last = json.loads(done.stdout.splitlines()[-1])
    assert (last["type"], last["filesChanged"], last["summary"]) == ("complete", ["a.txt"], "Imagined.")
    assert json.loads(done.stdout.splitlines()[1])["type"] in ("start", "state")
    assert (root / "a.txt").read_text("utf-8") == "one\n"
