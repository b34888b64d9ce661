"""No SDK is ever imported where the event loop runs, and no provider process outlives who started it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kiro_lsp.errors import ExecutorError
from kiro_lsp.executors.anthropic import SCRIPT
from kiro_lsp.executors.worker import Worker, WorkerPool
from tests.conftest import REPO
from tests.support.anthropic_server import AnthropicServer, Step, edits
from tests.support.claude import KEY, environ_for
from tests.support.procs import gone_within, is_dead

SDKS = ("anthropic", "openai", "google.genai", "httpx2", "pydantic", "mcp", "acp", "ollama")

LIST = f"""
import json, sys
print(json.dumps([name for name in {SDKS!r} if name in sys.modules]))
"""

PUBLIC = """
from kiro_lsp.executors import (AgentInfo, CommandResult, Executor, ExecutorError, ExecutorRequest, ExecutorResult,
    IntentContract, LocalRun, Question, RunContext, Spend, agent_named)
ExecutorRequest(root_dir=".", intent=None, ticket_markdown="x", summary="y", target_files=["a"])
"""

ALL_MODULES = """
import kiro_lsp.executors.anthropic, kiro_lsp.executors.openai, kiro_lsp.executors.replay
import kiro_lsp.executors.google, kiro_lsp.executors.ollama
import kiro_lsp.executors.mcp, kiro_lsp.executors.tools.mcp, kiro_lsp.executors.mcp_log
import kiro_lsp.executors.registry, kiro_lsp.executors.toolloop
from kiro_lsp.executors import registry
from kiro_lsp.settings import Sources, load_settings
loaded = load_settings(Sources(), trusted=True)
for info in registry.agents(loaded.settings, loaded.secrets):
    registry.warm_module(info)
"""

WHOLE_RUN = """
import asyncio, os, sys
from kiro_lsp.executors import ExecutorRequest, LocalRun, agent_named
async def main():
    async with LocalRun(sys.argv[1]) as run:
        request = ExecutorRequest(root_dir=sys.argv[1], intent=None, ticket_markdown="Make it two.", summary="two",
                                  target_files=["src/number.py"])
        result = await agent_named("claude").execute(request, run)
        assert result.success and run.changes().files[0].proposed == b"NUMBER = 2\\n", result
asyncio.run(main())
"""


def program(code: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    given = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    return subprocess.run(
        [sys.executable, "-c", code + LIST, *arguments],
        cwd=REPO,
        env=given | environ,
        capture_output=True,
        text=True,
        check=False,
    )


def imported(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("code", [PUBLIC, ALL_MODULES], ids=["public names", "every executor"])
def test_importing_executors_imports_no_sdk(code: str) -> None:
    assert imported(program(code)) == []


def test_a_planners_request_runs_from_end_to_end_without_an_sdk_in_its_process(root: Path) -> None:
    with AnthropicServer(edits("src/number.py", "1", "2")) as server:
        done = program(WHOLE_RUN, str(root), **environ_for(server))
        assert imported(done) == []
        assert len(server.requests) == 3
    assert (root / "src/number.py").read_text() == "NUMBER = 1\n"


HELD = """
import asyncio, os, sys
from kiro_lsp.executors import ExecutorRequest, LocalRun, agent_named
from kiro_lsp.executors import worker
async def main():
    start = worker.Worker.start.__func__
    async def told(cls, script, environ):
        found = await start(cls, script, environ)
        print(found.pid, flush=True)
        return found
    worker.Worker.start = classmethod(told)
    await agent_named("claude").execute(ExecutorRequest(root_dir=sys.argv[1], ticket_markdown="x"), LocalRun(sys.argv[1]))
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the process oracle reads /proc")
def test_killing_the_server_in_the_middle_of_an_answer_leaves_no_process(root: Path) -> None:
    with AnthropicServer([Step(text="a long answer", hold=True)]) as server:
        environ = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")} | environ_for(server)
        with subprocess.Popen(
            [sys.executable, "-c", HELD, str(root)], cwd=REPO, env=environ, stdout=subprocess.PIPE, text=True
        ) as parent:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            assert server.holding.wait(60)
            assert not is_dead(pid)
            os.kill(parent.pid, signal.SIGKILL)
            parent.wait(30)
        assert gone_within({pid}) == set()
        assert server.hung_up.wait(60)


async def test_a_pool_keeps_one_process_warm_and_closes_all(tmp_path: Path) -> None:
    pool = WorkerPool(os.environ)
    await pool.warm_up(SCRIPT)
    await pool.warm_up(SCRIPT)
    async with pool.worker(SCRIPT) as first, pool.worker(SCRIPT) as second:
        await first.ready()
        pids = {first.pid, second.pid}
    assert len(pids) == 2
    async with pool.worker(SCRIPT) as kept:
        assert kept.pid in pids
        assert is_dead((pids - {kept.pid}).pop())
    await pool.close()
    assert all(map(is_dead, pids))
    await pool.warm_up(SCRIPT)
    async with pool.worker(SCRIPT) as late:
        pids.add(late.pid)
    assert all(map(is_dead, pids))


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("raise SystemExit(3)", r"exit code 3"),
        ("import sys; sys.stdin.readline(); print('not json', flush=True); sys.stdin.read()", "no JSON line"),
        ("import sys; sys.stdin.readline(); print('7', end='', flush=True)", "ended"),
        ("import sys; sys.stdin.close(); sys.stdout.close()", "ended"),
    ],
)
async def test_a_program_that_is_no_worker_is_an_error_and_is_gone(tmp_path: Path, code: str, says: str) -> None:
    script = tmp_path / "odd.py"
    script.write_text(code, "utf-8")
    worker = await Worker.start(script, os.environ)
    with pytest.raises(ExecutorError, match=says) as caught:
        await worker.ask({"apiKey": KEY}, lambda _line: None)
    assert caught.value.kind == "internal"
    assert not worker.alive
    await worker.kill()
    assert is_dead(worker.pid)
