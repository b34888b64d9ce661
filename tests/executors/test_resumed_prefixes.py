"""A run that goes on from another says all that is new behind the task, so that a provider's cache begins as before.

With the real SDKs against servers that count as the providers' pages describe their caches.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.prompt_cache import PROVIDERS, RECORDED, TASKS, Provider, Spec
from kiro_lsp.executors.protocol import ExecutorRequest, Resume
from kiro_lsp.executors.worker import WorkerPool
from kiro_lsp.settings import CostSettings, Settings
from tests.support.claude import CountingRun
from tests.support.provider_server import Step

pytestmark = pytest.mark.asyncio(loop_scope="module")
FIRST = Resume("r1", "It failed: no route.", transcript="I read.\n" * 400, staged=("a.py",))
SECOND = replace(FIRST, transcript=FIRST.transcript + "\n[the person] Shorter.\nDone.\n", comment="Shorter still.")


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.label)
async def test_what_an_earlier_run_sent_is_read_from_the_cache(
    provider: Provider, pool: WorkerPool, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(RECORDED / "project", tmp_path / "project"))
    prompt = Spec(root, TASKS, ()).prompt(0, shared=True)
    with provider.server() as server:
        server.steps = [Step(text="Done.")]
        environ = {provider.address: server.url, provider.agent.api_key_env or "": "local-key"}
        for resume in (None, FIRST, SECOND):
            request = ExecutorRequest(
                root, prompt=prompt, settings=Settings(cost=CostSettings()), environ=environ, resume=resume
            )
            await provider.executor(provider.agent, pool).execute(request, CountingRun(root))
    alone, resumed, again = server.counted[-3:]
    assert resumed.tokens > alone.tokens + 500, "the transcript is sent"
    assert resumed.read >= 0.9 * alone.tokens
    assert again.read >= 0.9 * alone.tokens
    if "marks" not in provider.label and "Claude" not in provider.label:
        assert again.read >= 0.95 * resumed.tokens, "a transcript that has grown begins as the one before"
