"""A tool of an MCP server as an agent, with real servers: what it is given, what it changes, and how it can go wrong."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from mcp.types import ElicitRequestFormParams

from kiro_lsp import events
from kiro_lsp.errors import ErrorKind, ExecutorError
from kiro_lsp.events import RunEvent
from kiro_lsp.executors.local import LocalRun
from kiro_lsp.executors.mcp import McpExecutor, _arguments
from kiro_lsp.executors.mcp_client import Offer
from kiro_lsp.executors.mcp_questions import Questions
from kiro_lsp.executors.protocol import ExecutorRequest, ExecutorResult, Question, Reply
from kiro_lsp.settings import AgentSettings
from tests.support import planted, procs
from tests.support.mcp_servers import by_http, own_agent
from tests.support.tree import differences, snapshot

if sys.platform == "win32":
    pytest.skip("programs that are spoken to are POSIX", allow_module_level=True)

BEFORE = {"greeter.py": "print('Hey')\n", "old.txt": "old\n", "docs/old.md": "# Old\n"}
CHANGED = {"greeter.py": b"print('Good day')\n", "docs/new.md": b"# New\n", "old.txt": None}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    for path, text in BEFORE.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, "utf-8")
    return folder


class Watched(LocalRun):
    """A run that tells when a word was said, and answers questions in words."""

    def __init__(self, root: Path, *, word: str = "", replies: Mapping[str, Reply] | None = None, **more: Any) -> None:
        super().__init__(root, **more)
        self.word, self.said, self.replies = word, asyncio.Event(), replies or {}
        self.questions: list[Question] = []

    def emit(self, event: RunEvent) -> None:
        super().emit(event)
        if self.word and self.word in repr(event):
            self.said.set()

    async def ask_in_words(self, question: Question) -> Reply:
        self.questions.append(question)
        return next((reply for part, reply in self.replies.items() if part in question.title), Reply("deny"))

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def proposed(self) -> dict[str, bytes | None]:
        return {change.path: change.proposed for change in self.changes().files}


async def carry_out(run: LocalRun, agent: AgentSettings, **limits: float) -> ExecutorResult:
    request = ExecutorRequest(root_dir=run.root, ticket_markdown="Greet politely.")
    return await McpExecutor(agent, **limits).execute(request, run)


async def test_a_task_is_carried_out_by_a_tool_in_a_copy_and_its_progress_is_shown(root: Path) -> None:
    before = snapshot(root)
    async with Watched(root) as run:
        result = await carry_out(run, own_agent("run_task"))
        assert (result.success, result.summary) == (True, "Greets politely now.")
        assert run.proposed == CHANGED
        assert set(result.changed_files) == set(CHANGED)
        assert not differences(before, snapshot(root))
        said = "".join(event.text for event in run.of(events.Chunk))
        assert said == "looking around\nediting greeter.py\ndone\nGreets politely now.\n"
        phases = [event.detail for event in run.of(events.Phase)]
        assert "own: run_task · editing greeter.py (2/3)" in phases
        assert [event.status for event in run.of(events.Tool)] == ["in_progress", "completed"]
        assert [event.level for event in run.of(events.Isolation)] != ["memory"]


async def test_a_server_by_http_works_on_a_plain_copy_that_it_can_see(root: Path) -> None:
    before = snapshot(root)
    with by_http() as url:
        async with Watched(root) as run:
            result = await carry_out(run, own_agent("run_task", command=None, args=None, endpoint=url))
            assert result.success
            assert run.proposed == CHANGED
            assert [event.level for event in run.of(events.Isolation)] == ["copy"]
            assert "not sandboxed" in run.of(events.Isolation)[0].network
            told = await carry_out(run, own_agent("roots", command=None, args=None, endpoint=url))
            assert told.summary is not None
            assert told.summary.startswith("roots: file://")
            assert str(root) not in told.summary, "it must never be sent to the person's own files"
    assert not differences(before, snapshot(root))


async def test_a_server_by_http_that_writes_to_the_persons_files_is_found_out(root: Path) -> None:
    with by_http() as url:
        away = {"instructions": "{prompt}", "project_path": str(root)}
        agent = own_agent("run_task", command=None, args=None, endpoint=url, arguments=away)
        async with Watched(root) as run:
            with pytest.raises(ExecutorError, match="files were changed that it must not touch") as caught:
                await carry_out(run, agent)
            assert "greeter.py" in caught.value.message
            assert run.proposed == {}


@pytest.mark.parametrize(
    ("properties", "configured", "expected"),
    [
        (["prompt"], {}, {"prompt": "P"}),
        (["instructions", "projectPath"], {}, {"instructions": "P", "projectPath": "/copy"}),
        (["task", "cwd", "title"], {}, {"task": "P", "cwd": "/copy", "title": "N"}),
        (["prompt", "task", "working_directory"], {}, {"prompt": "P", "task": "T", "working_directory": "/copy"}),
        (["prompt", "colour"], {}, {"prompt": "P"}),
        (
            ["a", "b"],
            {"a": "do {task} in {path}", "b": "{unknown} {prompt}"},
            {"a": "do T in /copy", "b": "{unknown} P"},
        ),
        (["n"], {"n": "3"}, {"n": "3"}),
        (["n:integer"], {"n": "3"}, {"n": 3}),
        (["n:integer"], {"n": "three"}, {"n": "three"}),
        (["n:number"], {"n": "0.5"}, {"n": 0.5}),
        (["n:boolean"], {"n": "true"}, {"n": True}),
        (["n:array"], {"n": "{path}"}, {"n": ["/copy"]}),
        (["prompt:object"], {}, {}),
        ([], {}, {}),
    ],
)
def test_arguments_are_what_is_configured_or_what_their_names_say(
    properties: list[str], configured: dict[str, str], expected: dict[str, Any]
) -> None:
    schema = {name.partition(":")[0]: {"type": name.partition(":")[2] or "string"} for name in properties}
    agent = AgentSettings("own", type="mcp", arguments=configured)
    values = {"prompt": "P", "task": "T", "title": "N", "path": "/copy"}
    assert _arguments(Offer("tool", "", {"properties": schema}), agent, values) == expected


def test_an_argument_that_nothing_fills_is_named() -> None:
    offer = Offer("tool", "", {"properties": {"colour": {"type": "string"}}, "required": ["colour"]})
    with pytest.raises(ExecutorError, match="wants colour") as caught:
        _arguments(offer, AgentSettings("own"), {})
    assert "agents.own.arguments" in caught.value.hint


@pytest.mark.parametrize(
    ("agent", "limits", "kind", "says", "staged"),
    [
        (own_agent("fail"), {}, "agent", "cannot do it", {"half.txt": b"half\n"}),
        (
            own_agent("hang"),
            {"call_seconds": 20.0},
            "timeout",
            "said nothing for 20 seconds",
            {"begun.txt": b"begun\n"},
        ),
        (own_agent("run_task", "dies"), {}, "agent", "exit code 7). It said: out of memory", {}),
        (own_agent("run_task", "silent"), {"connect_seconds": 1.0}, "timeout", "not answered within 1 s", {}),
        (own_agent("run_task", "mute"), {"connect_seconds": 25.0}, "timeout", "which tools it has", {}),
        (own_agent("run_task", "flood"), {}, "agent", "without an answer", {}),
        (own_agent("no_such_tool"), {}, "agent", "has no tool 'no_such_tool'. There are: run_task, fail", {}),
        (own_agent(None), {}, "agent", "has several tools", {}),
        (own_agent("x", command="no-such-program", args=()), {}, "agent", "no-such-program", {}),
        (own_agent("x", command=None, args=None), {}, "agent", "does not say which MCP server", {}),
        (own_agent("x", command=None, endpoint="http://127.0.0.1:9/mcp"), {}, "network", "http://127.0.0.1:9", {}),
    ],
    ids=["fails", "hangs", "dies", "silent", "mute", "floods", "unknown", "several", "missing", "nowhere", "refused"],
)
async def test_what_goes_wrong_has_a_kind_and_words_and_keeps_what_was_changed(
    root: Path,
    agent: AgentSettings,
    limits: dict[str, float],
    kind: ErrorKind,
    says: str,
    staged: dict[str, bytes],
) -> None:
    before = snapshot(root)
    async with Watched(root) as run:
        with pytest.raises(ExecutorError) as caught:
            await carry_out(run, agent, **limits)
        assert caught.value.kind == kind
        assert says in caught.value.message
        assert caught.value.hint
        assert run.proposed == staged
    assert not differences(before, snapshot(root))


async def test_the_persons_model_is_lent_to_no_server(root: Path) -> None:
    async with Watched(root) as run:
        assert "refused: " in ((await carry_out(run, own_agent("sample"))).summary or "")
        assert run.questions == []


@pytest.mark.parametrize(
    ("tool", "how", "summary"), [("run_task", "noise", "Greets politely now."), ("only", "newest", "the newest")]
)
async def test_a_server_that_speaks_oddly_but_well_is_understood(root: Path, tool: str, how: str, summary: str) -> None:
    async with Watched(root) as run:
        assert (await carry_out(run, own_agent(tool, how))).summary == summary


async def test_cancelling_ends_the_server_and_keeps_what_it_had_changed(root: Path) -> None:
    mark = f"mcp-{id(root)}"
    agent = own_agent("hang", env={procs.NAME: mark})
    async with Watched(root, word="hanging") as run:
        working = asyncio.create_task(carry_out(run, agent))
        await run.said.wait()
        pids = procs.marked(mark)
        assert pids, "the server is at work"
        working.cancel()
        assert await asyncio.to_thread(procs.gone_within, pids) == set()
        with pytest.raises(asyncio.CancelledError):
            await working
        assert procs.marked(mark) == set()
        assert run.proposed == {"begun.txt": b"begun\n"}


@pytest.mark.parametrize(
    ("replies", "summary"),
    [
        ({"Polite": Reply("choice-0"), "Name": Reply("answer", "Ann")}, "polite=True name=Ann"),
        ({"Polite": Reply("choice-1"), "Name": Reply("default")}, "polite=False name=World"),
        ({"Polite": Reply("choice-0"), "Name": Reply("answer")}, "nobody said: decline"),
    ],
)
async def test_what_a_server_asks_is_asked_of_the_person(root: Path, replies: dict[str, Reply], summary: str) -> None:
    async with Watched(root, replies=replies) as run:
        assert (await carry_out(run, own_agent("ask"))).summary == summary
        first = run.questions[0]
        assert (first.kind, first.title) == ("elicitation", "The MCP server own asks: How shall it greet?\nPolite")
        assert [label for _, label, _ in first.options] == ["Yes", "No", "Decline"]


class Thinking(Watched):
    """The person looks at the clock and says yes."""

    clock: asyncio.Timeout

    async def ask_in_words(self, question: Question) -> Reply:
        assert self.clock.when() is None, "no time passes while they think"
        return Reply("choice-0")


async def test_a_call_has_all_its_time_while_the_person_thinks(root: Path) -> None:
    asked = {"properties": {"sure": {"type": "boolean"}}, "required": ["sure"]}
    params = ElicitRequestFormParams(message="?", requested_schema=asked)
    async with Thinking(root) as run, asyncio.timeout(1000) as run.clock:
        questions, before = Questions(run, "own"), run.clock.when()
        with questions.stopping(run.clock):
            answer = await questions.answer(None, params)  # type: ignore[arg-type]
        after = run.clock.when()
    assert (answer.action, answer.content) == ("accept", {"sure": True})
    assert before is not None
    assert after is not None
    assert after >= before


async def test_a_server_is_told_of_the_copy_and_sees_no_key(root: Path) -> None:
    environ = {"ANTHROPIC_API_KEY": planted.KEYS["anthropic"], **planted.ENVIRON, "PATH": "/usr/bin:/bin"}
    token = planted.KEYS["bearer"]
    async with Watched(root, environ=environ) as run:
        seen = (
            await carry_out(run, own_agent("environment", env={"TICKET_TOKEN": token, "TONE": "polite"}))
        ).summary or ""
        assert "PATH=" in seen
        assert "TONE=polite" in seen
        assert "TICKET_TOKEN=[redacted]" in seen, "it has its own, and shows it to nobody"
        assert not [name for name, value in environ.items() if name != "PATH" and value in seen]
