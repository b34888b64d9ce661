"""Prints, as JSON, what each provider is sent first for one task of the recorded spec: `python -m tests.support.first_requests N`.

A process of its own, with a hash seed of its own: what it sends must be what any other process sends.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.prompt_cache import PROVIDERS, RECORDED, TASKS, Spec, carry_out
from kiro_lsp.executors.worker import WorkerPool
from kiro_lsp.settings import CostSettings
from tests.support.provider_server import Step

DONE = (Step(text="Done."),)


async def first_requests(tasks: int, pool: WorkerPool, cost: CostSettings, folder: Path) -> dict[str, list[bytes]]:
    """Provider → the bodies of the first requests of so many tasks of the recorded spec, each ticked before the next."""
    found = {}
    for number, provider in enumerate(PROVIDERS):
        root = Path(shutil.copytree(RECORDED / "project", folder / str(number)))
        with provider.server() as server:
            await carry_out(provider, server, Spec(root, TASKS, [DONE] * tasks), cost, pool)
        found[provider.label] = list(server.bodies)
    return found


async def main(tasks: int) -> None:
    pool = WorkerPool(os.environ)
    try:
        with TemporaryDirectory(prefix="kiro-lsp-first-") as folder:
            found = await first_requests(tasks, pool, CostSettings(), Path(folder))
    finally:
        await pool.close()
    print(json.dumps({label: [body.decode() for body in bodies] for label, bodies in found.items()}))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
