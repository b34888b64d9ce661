"""A run in flight without an engine around it: what an executor is given, over a project and a store of the test's own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from kiro_lsp.engine.run import RunHandle
from kiro_lsp.engine.stage import Stage
from kiro_lsp.events import Billing, Envelope, RunEvent
from kiro_lsp.executors.protocol import AgentInfo
from kiro_lsp.sandbox.isolation import Level
from kiro_lsp.sandbox.programs import reduced_environ
from kiro_lsp.settings import CostSettings, Settings
from kiro_lsp.settings.redact import Redactor
from kiro_lsp.store import Store
from tests.store.rows import add_run


class LiveRun:
    """`handle` is the run context; `events` what it published so far (after `await handle.written()`)."""

    def __init__(
        self,
        store: Store,
        root: Path,
        *,
        billing: Billing = "metered",
        cost: CostSettings | None = None,
        levels: frozenset[Level] | None = None,
        buffers: Mapping[str, bytes] | None = None,
        environ: Mapping[str, str] = os.environ,
        task_file: str = "tasks.md",
        run_id: str = "run-1",
    ) -> None:
        self.events: list[RunEvent] = []
        self.store = store
        agent = AgentInfo("fake", "Fake", "cli", "cli", "claude-sonnet-5-5", billing, True, "")
        record = add_run(store, run_id, root=str(root), path=task_file, state="running", billing=billing)
        settings = Settings(cost=cost or CostSettings())
        self.handle = RunHandle(record, agent, settings, store, Redactor(()), self._published)
        self.handle.state = "running"
        open_documents = buffers or {}
        self.handle.stage = Stage(
            run_id=record.run_id,
            root=root,
            store=store,
            buffer_bytes=open_documents.get,
            open_documents=lambda: list(open_documents),
            emit=self.handle.emit,
            task_file=task_file,
            trusted=False,
            environ=reduced_environ(environ, (root,)),
        )
        if levels is not None:
            self.handle.stage.copy.levels = levels

    def _published(self, envelopes: Sequence[Envelope]) -> None:
        self.events += [envelope.event for envelope in envelopes]

    async def happened(self, kind: type[RunEvent] | None = None) -> list[RunEvent]:
        """What is recorded so far, of one kind."""
        await self.handle.written()
        recorded = [envelope.event for envelope in self.store.events(self.handle.run_id)]
        return [event for event in recorded if kind is None or isinstance(event, kind)]
