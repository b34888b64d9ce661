"""Picking up what a dead process left: live runs become interrupted, a half-done apply is brought to before or after.

No model call and no command is ever repeated here, and staged changes stay as they are.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from kiro_lsp.engine import recovery
from kiro_lsp.engine.run import now
from kiro_lsp.events import Phase, RunEvent, State
from kiro_lsp.store import RunRecord

if TYPE_CHECKING:
    from kiro_lsp.engine.engine import Engine


async def pick_up(engine: Engine, record: RunRecord) -> None:
    """Settle one orphan. Safe to call for the same run from several processes: the first swap wins."""
    store = engine.store
    if not await asyncio.wrap_future(store.claim(record.run_id, engine.owner)):
        return
    if record.state == "applying":
        outcome = await asyncio.to_thread(recovery.recover, store, Path(record.root), record.run_id)
        await engine.finish_recovered(record, outcome)
        return
    if record.state == "verifying":
        # The agent had ended: its work is whole, and only the verdict is missing.
        ended: list[RunEvent] = [State("verifying", "review", "the process that verified it ended"), Phase("review")]
    else:
        ended = [State(record.state, "interrupted", "the process that ran it ended")]
    envelopes = await asyncio.wrap_future(store.append_while(record.run_id, [record.state], ended, at=now()))
    engine.publish_foreign(envelopes)
