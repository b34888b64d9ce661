"""One contract for all executors, however they reach an agent: a provider, a program, a tool, a recording.

What differs between them is one entry of `REACHED`; the scenarios know none of it. What only providers have (wires, turns, cut
streams) is in test_contract.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from kiro_lsp import events
from kiro_lsp.errors import ExecutorError
from kiro_lsp.executors.acp import AcpExecutor
from kiro_lsp.executors.command import CommandExecutor
from kiro_lsp.executors.kiro import KiroExecutor
from kiro_lsp.executors.mcp import McpExecutor
from kiro_lsp.executors.protocol import Executor, ExecutorRequest
from kiro_lsp.executors.replay import ReplayExecutor
from kiro_lsp.executors.ways import settings_for
from kiro_lsp.executors.worker import WorkerPool
from kiro_lsp.settings import AgentSettings, Settings
from tests.executors import contract
from tests.support import acp_run, kiro_cli, line_agent, procs
from tests.support.claude import CountingRun, Ended
from tests.support.provider_server import Fault, Step
from tests.support.tree import differences, snapshot

pytestmark = pytest.mark.asyncio(loop_scope="module")

if sys.platform == "win32":
    pytest.skip("programs that are spoken to are not supervised on Windows yet", allow_module_level=True)


@dataclass(frozen=True)
class Script:
    """What an agent does: says something, edits files, then says its last words, falls silent, or is refused."""

    say: str = "I look first."
    edits: Mapping[str, str] = field(
        default_factory=lambda: {"src/number.py": "NUMBER = 2\n", "docs/ü.md": "# naïve 🦊\n"}
    )
    last: str = "It is two now."
    then: Literal["end", "hold", "refused"] = "end"


@dataclass(frozen=True)
class Reached:
    """One way to reach an agent: an executor whose agent plays a script, and the variables for it."""

    name: str
    open: Callable[[Path, WorkerPool, Script], AbstractAsyncContextManager[tuple[Executor, Mapping[str, str]]]]
    tells_tools: bool = True
    """It says what it does while it does it."""
    can_be_refused: bool = True
    needs_a_task: bool = True
    is_program: bool = True
    """False: what runs is ours, and may stay warm for the next run."""


def _provider(provider: contract.Provider) -> Reached:
    @asynccontextmanager
    async def opened(
        _home: Path, pool: WorkerPool, script: Script
    ) -> AsyncIterator[tuple[Executor, Mapping[str, str]]]:
        calls = [("write_file", {"path": path, "content": text}) for path, text in script.edits.items()]
        held = Step(text="I think. And think.", pieces=len("I think."), hold=True)
        last = held if script.then == "hold" else Step(text=script.last)
        faults = [Fault(401, step=1)] if script.then == "refused" else []
        with provider.server([Step(text=script.say, tools=calls), last], faults) as server:
            yield provider.executor(provider.agent, pool), provider.environ(server.url)

    # A model on this machine has no key that could be refused.
    return Reached(provider.name, opened, can_be_refused=provider.metered, is_program=False)


def _acp_steps(script: Script) -> list[Any]:
    ends = {"end": {"say": script.last}, "hold": {"wait": "cancel"}, "refused": {"fail": [-32000, "log in first"]}}
    edits = [{"edit": path, "text": text} for path, text in script.edits.items()]
    thinking = [{"say": "I think."}] if script.then == "hold" else []
    return [{"say": script.say}, *edits, *thinking, ends[script.then]]


def _scripted(home: Path, script: Any) -> dict[str, str]:
    place = acp_run.box(home) / "script.json"
    place.write_text(json.dumps(script), "utf-8")
    return {"SCRIPT": str(place)}


@asynccontextmanager
async def _acp(home: Path, _pool: WorkerPool, script: Script) -> AsyncIterator[tuple[Executor, Mapping[str, str]]]:
    yield AcpExecutor(replace(acp_run.AGENT, env=_scripted(home, _acp_steps(script)))), {}


@asynccontextmanager
async def _kiro(home: Path, _pool: WorkerPool, script: Script) -> AsyncIterator[tuple[Executor, Mapping[str, str]]]:
    env = _scripted(home, {"release": "1.26.0", "steps": _acp_steps(script)})
    place = {"homes": ("~/box",), "guarded": (), "network": "none", "env": env}
    builtin = settings_for("kiro", Settings())
    yield KiroExecutor(replace(builtin, command=sys.executable, args=(kiro_cli.__file__,), **place)), {}  # type: ignore[arg-type]


@asynccontextmanager
async def _cli(_home: Path, _pool: WorkerPool, script: Script) -> AsyncIterator[tuple[Executor, Mapping[str, str]]]:
    def said(text: str) -> Any:
        return {"line": {"type": "item.completed", "item": {"type": "agent_message", "text": text}}}

    orders: list[Any] = [said(script.say)]
    for number, (path, text) in enumerate(script.edits.items()):
        item = {"id": f"e{number}", "type": "file_change", "changes": [{"path": path, "kind": "update"}]}
        orders += [
            {"write": [path, text]},
            {"line": {"type": "item.completed", "item": {**item, "status": "completed"}}},
        ]
    usage = {"input_tokens": 30, "output_tokens": 4}
    ends: dict[str, list[Any]] = {
        "end": [said(script.last), {"line": {"type": "turn.completed", "usage": usage}}],
        "hold": [said("I think."), {"wait": True}],
        "refused": [{"line": {"type": "turn.failed", "error": {"message": "401 Unauthorized"}}}, {"exit": 1}],
    }
    args = (line_agent.__file__, json.dumps([*orders, *ends[script.then]]))
    yield CommandExecutor(replace(acp_run.AGENT, type="cli", args=args, stream="codex", homes=())), {}


@asynccontextmanager
async def _mcp(_home: Path, _pool: WorkerPool, script: Script) -> AsyncIterator[tuple[Executor, Mapping[str, str]]]:
    args = (str(Path(line_agent.__file__).with_name("mcp_script_server.py")), json.dumps(asdict(script)))
    yield (
        McpExecutor(AgentSettings("own", type="mcp", label="Own", command=sys.executable, args=args, network="none")),
        {},
    )


@asynccontextmanager
async def _replay(home: Path, _pool: WorkerPool, script: Script) -> AsyncIterator[tuple[Executor, Mapping[str, str]]]:
    writes = [{"write": {"path": path, "text": text}} for path, text in script.edits.items()]
    later = [{"at": 10**6, "event": {"type": "chunk", "text": "late"}}] if script.then == "hold" else []
    thinking = [{"event": {"type": "chunk", "text": "I think."}}] if script.then == "hold" else []
    rows = [{"kiroRun": 1, "pace": 1 if later else 0, "summary": script.last}]
    rows += [{"event": {"type": "chunk", "text": script.say}}, *writes, *thinking, *later]
    recording = home / "some.run.jsonl"
    recording.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    yield ReplayExecutor(AgentSettings("recorded", type="replay", recording=str(recording))), {}


REACHED = (
    *(_provider(provider) for provider in contract.PROVIDERS if provider.calls),
    Reached("acp", _acp),
    Reached("kiro", _kiro),
    Reached("cli", _cli),
    Reached("mcp", _mcp, can_be_refused=False),
    Reached("replay", _replay, tells_tools=False, can_be_refused=False, needs_a_task=False, is_program=False),
)


def each(suits: Callable[[Reached], bool] = lambda _reached: True) -> pytest.MarkDecorator:
    chosen = [reached for reached in REACHED if suits(reached)]
    return pytest.mark.parametrize("reached", chosen, ids=[reached.name for reached in chosen])


async def play(
    reached: Reached,
    root: Path,
    home: Path,
    pool: WorkerPool,
    script: Script,
    *,
    until: str | None = None,
    **request: Any,
) -> Ended:
    """Carry a task out; with `until`, it is cancelled when the agent has said that, which leaves neither result nor error."""
    asked = ExecutorRequest(**{"root_dir": root, "ticket_markdown": "Make the number two.", **request})
    async with (
        CountingRun(root, billing="subscription") as run,
        reached.open(home, pool, script) as (executor, environ),
    ):
        working = asyncio.create_task(executor.execute(replace(asked, environ=environ), run))
        if until is not None:
            _cancel_at(run, until, working)
        try:
            with contextlib.suppress(asyncio.CancelledError):
                return Ended(run, await working, None)
        except ExecutorError as error:
            return Ended(run, None, error)
        return Ended(run, None, None)


def _cancel_at(run: CountingRun, words: str, working: asyncio.Task[Any]) -> None:
    """Cancel when the agent has said that, or all that it edits is staged: it does nothing more then."""
    emit = run.emit

    def emitting(event: events.RunEvent) -> None:
        emit(event)
        staged = {file.path for file in run.events if isinstance(file, events.File)}
        said = "".join(chunk.text for chunk in run.events if isinstance(chunk, events.Chunk))
        if words in said or staged == set(STAGED):
            working.cancel()

    run.emit = emitting  # type: ignore[method-assign]


STAGED = {path: text.encode() for path, text in Script().edits.items()}


@each()
async def test_a_task_is_carried_out_and_nothing_but_the_stage_changes(
    reached: Reached, root: Path, own_homes: Path, pool: WorkerPool
) -> None:
    before = snapshot(root)
    ended = await play(reached, root, own_homes, pool, Script())
    assert ended.result is not None, ended.error
    assert differences(before, snapshot(root)) == []
    assert ended.staged == STAGED
    assert set(ended.result.changed_files) == set(STAGED)
    assert (ended.result.success, ended.result.error, ended.result.stop_reason) == (True, None, "end_turn")
    assert ended.result.summary == "It is two now."
    assert "I look first." in ended.text
    files = {(event.action, event.path) for event in ended.of(events.File)}
    assert files == {("modify", "src/number.py"), ("create", "docs/ü.md")}
    tools: dict[str, str] = {event.id: event.status for event in ended.of(events.Tool)}
    assert set(tools.values()) == ({"completed"} if reached.tells_tools else set())


@each(lambda reached: reached.needs_a_task)
async def test_a_request_without_a_task_starts_nothing(
    reached: Reached, root: Path, own_homes: Path, pool: WorkerPool
) -> None:
    ended = await play(reached, root, own_homes, pool, Script(), ticket_markdown=None)
    assert ended.error is not None
    assert "holds no task" in ended.error.message
    assert ended.staged == {}
    assert ended.run.events == []


@each()
async def test_a_cancelled_run_keeps_what_was_staged_and_leaves_no_process(
    reached: Reached, root: Path, own_homes: Path, pool: WorkerPool
) -> None:
    before = snapshot(root)
    ended = await play(reached, root, own_homes, pool, Script(then="hold"), until="I think.")
    assert (ended.result, ended.error) == (None, None)
    assert ended.staged == STAGED
    assert differences(before, snapshot(root)) == []
    if reached.is_program:
        assert not procs.gone_within(procs.marked(str(own_homes), "HOME"))


@each(lambda reached: reached.can_be_refused)
async def test_a_login_that_is_refused_says_what_to_do_and_what_was_done_before_is_kept(
    reached: Reached, root: Path, own_homes: Path, pool: WorkerPool
) -> None:
    ended = await play(reached, root, own_homes, pool, Script(then="refused"))
    assert ended.error is not None
    assert ended.error.kind == "auth", ended.error
    assert ended.error.hint
    assert ended.staged == STAGED
