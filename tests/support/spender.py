"""One process of many that spend at once: the real engine with a run for each task of its project, until all have ended.

`python -m tests.support.spender PROJECT AGENT`; says run id → state as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from kiro_lsp.engine.engine import Engine
from kiro_lsp.engine.execute import StartRun
from kiro_lsp.spec import tasks
from kiro_lsp.store import Store, state_dir

TASK_FILE = ".kiro/specs/spend/tasks.md"


async def spend(root: Path, agent: str) -> dict[str, str]:
    """Run every task of the project's one task file at the same time."""
    store = Store.open(state_dir(os.environ))
    try:
        async with Engine(store, face="terminal", environ=os.environ) as engine:
            known = tasks.parse((root / TASK_FILE).read_text("utf-8"), str(root / TASK_FILE)).tasks
            starts = [StartRun(root, TASK_FILE, task.key, agent, trust="once", confirmed=True) for task in known]
            run_ids = [await engine.start(start) for start in starts]
            for run_id in run_ids:
                await engine.run_ended(run_id)
            return {run_id: store.run(run_id).state for run_id in run_ids}
    finally:
        store.close()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(spend(Path(sys.argv[1]), sys.argv[2]))))
