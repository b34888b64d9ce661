"""A program that is run for one answer: what it is given, what becomes of what it says and does, how its end is judged."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from kiro_lsp.errors import BudgetExceeded, ErrorKind, ExecutorError
from kiro_lsp.events import Chunk, File, Isolation, Phase, RunEvent, Session
from kiro_lsp.executors.command import CommandExecutor, Patience
from kiro_lsp.executors.protocol import ExecutorRequest, ExecutorResult, Resume
from kiro_lsp.settings import AgentSettings
from tests.support import line_agent, logins, procs, programs_npm
from tests.support.acp_run import LEVELS
from tests.support.claude import CountingRun
from tests.support.provider_server import Step
from tests.support.tree import differences, snapshot

if sys.platform == "win32":
    pytest.skip("programs that are spoken to are not supervised on Windows yet", allow_module_level=True)

DONE = {"line": {"type": "turn.completed", "usage": {"input_tokens": 30, "output_tokens": 4}}}
THREAD = {"line": {"type": "thread.started", "thread_id": "th-1"}}
TICKET = "Make the number two."


def says(text: str) -> Any:
    return {"line": {"type": "item.completed", "item": {"type": "agent_message", "text": text}}}


def edited(path: str) -> Any:
    item = {
        "id": f"e-{path}",
        "type": "file_change",
        "status": "completed",
        "changes": [{"path": path, "kind": "update"}],
    }
    return {"line": {"type": "item.completed", "item": item}}


@dataclass
class Ended:
    run: CountingRun
    result: ExecutorResult | None = None
    error: ExecutorError | None = None

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.run.events if isinstance(event, kind)]

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.of(Chunk))

    def told(self, name: str) -> list[Any]:
        """What the program says that it was given, each time it was started."""
        lines = [line for line in self.text.splitlines() if line.startswith(f'{{"{name}"')]
        return [json.loads(line)[name] for line in lines]

    @property
    def staged(self) -> dict[str, bytes | None]:
        return {change.path: change.proposed for change in self.run.changes().files}


def agent(orders: Sequence[Any], **more: Any) -> AgentSettings:
    settings = AgentSettings(
        "script",
        type="cli",
        label="Scripted",
        command=sys.executable,
        args=(line_agent.__file__, json.dumps(orders)),
        stream="codex",
        billing="subscription",
        network="none",
        login=("script", "login"),
    )
    return replace(settings, **more)


async def play(
    root: Path,
    settings: AgentSettings,
    *,
    level: str = "bubblewrap",
    patience: Patience | None = None,
    run: CountingRun | None = None,
    **request: Any,
) -> Ended:
    run = run or CountingRun(root, levels=LEVELS[level], billing="subscription")
    ended = Ended(run)
    asked = ExecutorRequest(root_dir=root, **{"ticket_markdown": TICKET, **request})
    async with run:
        try:
            ended.result = await CommandExecutor(settings, patience=patience).execute(asked, run)
        except ExecutorError as error:
            ended.error = error
    return ended


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "a.py").write_text("number = 1\n", "utf-8")
    return folder


@pytest.mark.parametrize("level", LEVELS)
async def test_what_it_changes_is_staged_while_it_works_and_the_tree_is_left_alone(root: Path, level: str) -> None:
    before = snapshot(root)
    orders = [
        THREAD,
        {"write": ["a.py", "number = 2\n"]},
        edited("a.py"),
        {"write": ["new/b.py", "b = 1\n"]},
        says("Two now.\n\nAs asked."),
        DONE,
    ]
    ended = await play(root, agent(orders), level=level)
    assert ended.error is None
    assert ended.result is not None
    assert ended.result.summary == "As asked."
    assert ended.result.changed_files == ("a.py", "new/b.py")
    assert ended.staged == {"a.py": b"number = 2\n", "new/b.py": b"b = 1\n"}
    assert differences(before, snapshot(root)) == []
    assert ended.of(Isolation)[0].level == level
    assert ended.of(Session) == [Session("th-1")]
    assert {event.path for event in ended.of(File)} == {"a.py", "new/b.py"}
    assert [(most.input_tokens, used) for most, used in ended.run.requests] == [(30, ended.result.usage)]


async def test_the_whole_prompt_comes_by_its_input_or_as_an_argument(root: Path) -> None:
    long = "Make the number two. ünï\n" + "x" * 300_000
    ended = await play(root, agent([{"tell": "prompt"}, DONE]), ticket_markdown=long)
    (prompt,) = ended.told("prompt")
    assert long in prompt
    assert "Never edit the task file" in prompt
    asked = agent([{"tell": "prompt"}, {"tell": "args"}, DONE])
    ended = await play(root, replace(asked, args=(*(asked.args or ()), "--prompt={prompt}")))
    assert ended.told("prompt") == [""]
    (arguments,) = ended.told("args")
    assert arguments[0].startswith("--prompt=")
    assert arguments[0].endswith(TICKET)


@pytest.mark.parametrize(
    ("level", "model", "arguments", "variable"),
    [
        ("bubblewrap", "", ["--free"], None),
        ("bubblewrap", "m-1", ["--free", "--model", "m-1"], None),
        ("overlay", "", ["--careful"], "yes"),
        ("copy", "m-1", ["--careful", "--model", "m-1"], "yes"),
    ],
)
async def test_it_is_let_loose_only_within_our_own_sandbox(
    root: Path, level: str, model: str, arguments: list[str], variable: str | None
) -> None:
    settings = agent(
        [{"tell": "args"}, {"tell": "env"}, DONE],
        sandbox_args=("--free",),
        copy_args=("--careful",),
        copy_env={"CAREFUL": "yes"},
        model_args=("--model", "{model}"),
        resume_args=("--resume", "{session}"),
        model=model,
        env={"OWN": "1"},
    )
    ended = await play(root, settings, level=level)
    assert ended.told("args") == [arguments]
    (environ,) = ended.told("env")
    assert (environ.get("CAREFUL"), environ["OWN"]) == (variable, "1")


async def test_its_environment_holds_no_secret_but_the_key_that_it_is_given(root: Path) -> None:
    key = {"SCRIPT_KEY": "the-key-of-the-script"}
    ended = await play(root, agent([{"tell": "env"}, DONE]), environ=key)
    (environ,) = ended.told("env")
    assert environ["SCRIPT_KEY"] == key["SCRIPT_KEY"]
    assert not [name for name in environ if name.startswith(("AWS_", "GITHUB_", "PLANTED_", "DATABASE_"))]


RESUME = Resume("run-0", "It failed.", session_id="th-1", transcript="was said before")


async def test_an_earlier_session_is_gone_on_with_and_only_what_is_new_is_said(root: Path) -> None:
    settings = agent([{"tell": "args"}, {"tell": "prompt"}, DONE], resume_args=("--resume", "{session}"))
    ended = await play(root, settings, resume=RESUME)
    assert ended.told("args") == [["--resume", "th-1"]]
    (prompt,) = ended.told("prompt")
    assert "You have worked on this before" in prompt
    assert TICKET not in prompt
    assert ended.run.requests == [], "the total of a thread says nothing of this turn"


async def test_where_the_session_is_gone_all_is_told_again(root: Path) -> None:
    gone = [{"unless": "--resume"}, {"tell": "args"}, {"tell": "prompt"}, DONE]
    ended = await play(root, agent(gone, resume_args=("--resume", "{session}")), resume=RESUME)
    assert ended.error is None
    assert ended.told("args") == [[]]
    (prompt,) = ended.told("prompt")
    assert TICKET in prompt
    assert "was said before" in prompt


async def test_a_session_that_failed_while_at_work_is_not_begun_again(root: Path) -> None:
    ended = await play(
        root, agent([says("I go on."), {"exit": 3}], resume_args=("--resume", "{session}")), resume=RESUME
    )
    assert ended.error is not None
    assert ended.text.count("I go on.") == 1


ENDS: dict[str, tuple[list[Any], ErrorKind, str]] = {
    "fails with the exit code of success": (
        [{"line": {"type": "turn.failed", "error": {"message": "status 429 Too Many Requests"}}}, {"exit": 0}],
        "rate-limit",
        "Scripted failed: status 429 Too Many Requests",
    ),
    "is not logged in": (
        [{"line": {"type": "turn.failed", "error": {"message": "401 Unauthorized"}}}],
        "auth",
        "Scripted is not logged in. It said: 401 Unauthorized",
    ),
    "ends in the middle": (
        [says("I begin."), {"errors": "Traceback: it broke"}, {"exit": 3}],
        "agent",
        "Scripted ended before it was done (exit code 3): Traceback: it broke",
    ),
    "says nothing at all": ([{"exit": 0}], "agent", "Scripted ended before it was done (exit code 0)."),
    "ends with a code that says something": (
        [{"errors": "no words"}, {"exit": 41}],
        "auth",
        "Scripted is not logged in. It said: no words",
    ),
    "says on its error output that nobody is logged in": (
        [{"errors": "Please log in first: not logged in"}, {"exit": 1}],
        "auth",
        "Scripted is not logged in.",
    ),
}


@pytest.mark.parametrize("case", ENDS)
async def test_it_failed_when_it(root: Path, case: str) -> None:
    orders, kind, message = ENDS[case]
    stream = "gemini" if "code that says" in case else "codex"
    ended = await play(root, agent([{"write": ["a.py", "number = 3\n"]}, *orders], stream=stream))
    assert ended.error is not None
    assert (ended.error.kind, message in ended.error.message) == (kind, True), ended.error.message
    assert ended.error.hint
    assert ("`script login`" in ended.error.hint) == (kind == "auth")
    assert ended.staged == {"a.py": b"number = 3\n"}, "what it did is kept"


async def test_it_worked_when_it_says_so_whatever_its_exit_code_is(root: Path) -> None:
    ended = await play(root, agent([says("Done."), DONE, {"exit": 1}]))
    assert ended.error is None


async def test_one_that_is_done_and_does_not_end_is_ended(root: Path) -> None:
    ended = await play(root, agent([says("Done."), DONE, {"wait": True}]), patience=Patience(end=0.2))
    assert ended.error is None
    assert ended.result is not None
    assert ended.result.summary == "Done."


async def test_one_that_waits_for_a_network_for_ever_is_stopped(root: Path) -> None:
    waits = {"line": {"type": "error", "message": "Reconnecting... waiting for network"}}
    ended = await play(root, agent([waits, waits, {"wait": True}]), patience=Patience(offline=0.2))
    assert ended.error is not None
    assert ended.error.kind == "network"
    assert Phase("waiting", "Reconnecting... waiting for network") in ended.of(Phase)


async def test_what_it_waits_for_is_shown_also_when_it_says_so_on_its_error_output(root: Path) -> None:
    line = {"line": {"type": "result", "status": "success"}}
    orders = [{"errors": "Attempt 1 failed with status 429. Retrying\n"}, line, {"wait": True}]
    ended = await play(root, agent(orders, stream="gemini"), patience=Patience(end=2.5))
    assert ended.error is None
    assert Phase("waiting", "Attempt 1 failed with status 429") in ended.of(Phase)


async def test_what_it_was_not_allowed_to_do_is_named(root: Path) -> None:
    denied = [{"tool_name": "Bash", "tool_use_id": "t", "tool_input": {"command": "make"}}] * 2
    line = {"line": {"type": "result", "subtype": "success", "result": "Tried.", "permission_denials": denied}}
    ended = await play(root, agent([line], stream="claude"), level="copy")
    assert ended.text == "\n[not allowed here, and left out: Bash make]\n"


async def test_a_known_secret_is_not_told(root: Path) -> None:
    orders = [{"tell": "prompt"}, DONE]
    ended = await play(root, agent(orders), redact=lambda text: text.replace("number", "[secret]"))
    (prompt,) = ended.told("prompt")
    assert "Make the [secret] two." in prompt


async def test_long_lines_broken_text_and_words_between_do_not_matter(root: Path) -> None:
    orders = [
        {"raw": "warning: something\n\n"},
        {"raw": '{"type": "item.completed", "item": {"type": "reasoning", "text": "\udcff"}}\n'},
        {"raw": '{"type": "item.completed", "item": {"text": "'},
        {"repeat": ["x", 1_000_000, 50]},
        {"raw": '"}}\n'},
        says("Done."),
        DONE,
    ]
    ended = await play(root, agent(orders))
    assert ended.error is None
    assert ended.text == "Done.\n"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"command": "no-such-program-here"}, "Scripted cannot be started"),
        ({"stream": "telegraph"}, "There is no stream format 'telegraph'"),
    ],
)
async def test_what_cannot_be_started_is_named(root: Path, more: Mapping[str, Any], message: str) -> None:
    ended = await play(root, agent([DONE], **more))
    assert ended.error is not None
    assert ended.error.kind == "agent"
    assert message in ended.error.message


async def test_a_request_without_a_task_starts_nothing(root: Path) -> None:
    ended = await play(root, agent([DONE]), ticket_markdown=None)
    assert ended.error is not None
    assert ended.run.events == []


async def test_a_cap_that_is_passed_ends_it(root: Path) -> None:
    class Capped(CountingRun):
        def spend(self, model: str, at_most: Any) -> Any:
            raise BudgetExceeded("The cap would be passed.")

    settings = agent([{"write": ["a.py", "2"]}, DONE, {"wait": True}])
    ended = await play(root, settings, run=Capped(root, levels=LEVELS["copy"]))
    assert isinstance(ended.error, BudgetExceeded)
    assert ended.staged == {"a.py": b"2"}


async def test_a_cancelled_one_is_gone_with_all_that_it_started(root: Path, own_homes: Path) -> None:
    run = CountingRun(root, levels=LEVELS["bubblewrap"], billing="subscription")
    begun = asyncio.Event()

    def emitting(event: RunEvent) -> None:
        CountingRun.emit(run, event)
        if isinstance(event, Chunk):
            begun.set()

    run.emit = emitting  # type: ignore[method-assign]
    working = asyncio.create_task(play(root, agent([says("I begin."), {"wait": True}]), run=run))
    await asyncio.wait_for(begun.wait(), 30)
    alive = {pid for pid in procs.marked(str(own_homes), "HOME") if pid != os.getpid()}
    assert alive
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert not procs.gone_within(alive)


async def test_real_claude_in_a_plain_copy_edits_and_runs_nothing(
    root: Path, own_homes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kiro_lsp.executors.ways import known_builtins

    monkeypatch.setenv("PATH", programs_npm.search_path())
    programs_npm.program("claude")
    steps = [
        Step(tools=[("@read", {"path": "a.py"})]),
        Step(tools=[("@edit", {"path": "a.py", "old": "number = 1", "new": "number = 2"})]),
        Step(tools=[("Bash", {"command": "touch made-by-a-command", "description": "d"})]),
        Step(text="Edited, and nothing was run."),
    ]
    way = next(way for way in known_builtins()["claude"].ways if way.type == "cli")
    before = snapshot(root)
    with logins.SERVERS["claude"](steps) as server:
        variables = logins.laid_out(own_homes, "claude", server.url, "local-login-token")
        settings = replace(way, label="Claude", billing="subscription", network="open", env={**way.env, **variables})
        ended = await play(root, settings, level="copy")
    assert ended.error is None
    assert ended.staged == {"a.py": b"number = 2\n"}
    assert differences(before, snapshot(root)) == []
