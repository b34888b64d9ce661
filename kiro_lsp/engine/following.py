"""What faces follow: the events of runs without a gap, and the newest run of a task as a lens shows it."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from kiro_lsp.budget import used_in_words
from kiro_lsp.events import Envelope, EventStream, Permission, RunState
from kiro_lsp.store import RunRecord, Store


@dataclass(frozen=True, slots=True)
class LiveRun:
    """What a lens shows of the newest run of a task."""

    run_id: str
    path: str
    task_key: str
    title: str
    agent: str
    label: str
    state: RunState
    phase: str
    started_at: str
    cost: str | None
    files: int
    question: Permission | None = None
    used: str = ""
    """What it has cost, or counted where it is not metered, in words."""
    verified: bool | None = None
    """What the verify command said of its pending change, if one has."""


def used_by(record: RunRecord) -> str:
    """What a run has cost, or counted where it is not metered, in words; "" for nothing."""
    tokens = record.input_tokens + record.output_tokens
    return used_in_words(record.billing, record.cost, record.charged, tokens, record.turns)


class Follower:
    """An async iterator over envelopes. One that falls too far behind is served from the record again."""

    def __init__(self, store: Store, stream: EventStream, run_id: str | None, after: int) -> None:
        self._store, self._stream, self._run_id, self._last = store, stream, run_id, after
        self._recorded: deque[Envelope] | None = None
        self._subscription = stream.subscribe(run_id)

    def __aiter__(self) -> Follower:
        return self

    async def __anext__(self) -> Envelope:
        while True:
            if self._recorded is None:
                recorded = (
                    []
                    if self._run_id is None
                    else await asyncio.to_thread(self._store.events, self._run_id, self._last)
                )
                self._recorded = deque(recorded)
            if self._recorded:
                return self._seen(self._recorded.popleft())
            envelope = await self._subscription.next()
            if envelope is None:
                if not self._subscription.lagged:
                    raise StopAsyncIteration
                self._subscription, self._recorded = self._stream.subscribe(self._run_id), None
            elif self._run_id is None or envelope.seq > self._last:
                return self._seen(envelope)

    def close(self) -> None:
        self._stream.unsubscribe(self._subscription)

    def _seen(self, envelope: Envelope) -> Envelope:
        self._last = envelope.seq
        return envelope
