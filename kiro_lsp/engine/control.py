"""How the processes that share a store talk: who owns what, requests between them, news of each other's runs.

A run belongs to the process that started it; a project that a language server has open is settled there, because only it
sees the buffers. Everything goes through rows of the store, looked at every 100 ms when something in it has changed. A
process that died is noticed by its lock, never by a time-out.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from kiro_lsp import events
from kiro_lsp.engine import pickup
from kiro_lsp.engine.settle import Settled
from kiro_lsp.engine.stage import COPIES
from kiro_lsp.engine.verdicts import STOPPED
from kiro_lsp.errors import KiroError, RunRefused
from kiro_lsp.sandbox import copy
from kiro_lsp.store import ControlRow, Owner, OwnerLock, RunRecord

if TYPE_CHECKING:
    from kiro_lsp.engine.engine import Engine

POLL_SECONDS = 0.1
"""The contract allows 200 ms until the owner picks a request up."""

_SETTLING = frozenset({"accept", "reject", "undo", "restore", "commit"})


class Control:
    """The side of an engine that other processes see."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._store = engine.store
        self._lock: OwnerLock | None = None
        self._held: set[str] = set()
        self._poller: asyncio.Task[None] | None = None
        self._group: asyncio.TaskGroup | None = None
        self._last_row = 0

    @property
    def owner(self) -> Owner:
        assert self._lock is not None, "the engine has not been entered"
        return self._lock.owner

    async def start(self, group: asyncio.TaskGroup) -> None:
        """Make this process known, pick up what dead ones left, and begin to listen."""
        self._group = group
        self._lock = await asyncio.to_thread(self._store.register_owner)
        self._last_row = await asyncio.to_thread(self._store.last_event_row)
        await self._pick_up()
        await asyncio.to_thread(copy.clean_leftovers, self._store.directory / COPIES)
        self._poller = group.create_task(self._listen(), name="control rows")

    def stop(self) -> None:
        if self._poller is not None:
            self._poller.cancel()

    async def release(self) -> None:
        for root in list(self._held):
            await self.release_root(root)
        if self._lock is not None:
            await asyncio.to_thread(self._lock.release)

    async def hold(self, real_root: str) -> None:
        self._held.add(real_root)
        await asyncio.wrap_future(self._store.hold_root(real_root, self.owner))

    async def release_root(self, real_root: str) -> None:
        self._held.discard(real_root)
        await asyncio.wrap_future(self._store.release_root(real_root, self.owner))

    # Asking others

    def elsewhere(self, record: RunRecord) -> Owner | None:
        """The living process whose job it is to settle this run; None means it is ours."""
        if record.run_id in self._engine.handles:
            return None
        # A run that is being verified has ended its work: whoever sees the buffers decides on it.
        at_work = record.state in events.LIVE_STATES and record.state != "verifying"
        if at_work and record.owner not in (None, self.owner) and self._alive(record.owner):
            return record.owner
        # Of several servers that have the project open it is the one in which the person started the run, else the first.
        holder = self._store.holder_of(record.root, record.owner)
        return holder if holder is not None and holder != self.owner and self._alive(holder) else None

    async def request(self, record: RunRecord, kind: str, args: dict[str, Any]) -> dict[str, Any]:
        """Have the owner of a live run do something. Raises RunRefused with the owner's reason, or when it is dead."""
        owner = record.owner
        if owner is None or not self._alive(owner):
            await pickup.pick_up(self._engine, record)
            raise RunRefused(
                f"The process that ran {record.run_id} is gone; the run is now marked as interrupted.",
                code="interrupted",
                hint="What it staged can be reviewed, or retry the run.",
            )
        return await self._ask(owner, record.run_id, kind, args)

    async def settle_elsewhere(self, record: RunRecord, owner: Owner, verb: str, args: dict[str, Any]) -> Settled:
        result = await self._ask(owner, record.run_id, verb, args)
        # Another version of this program may know fewer fields or more.
        known: dict[str, Any] = {name: result[name] for name in Settled.__dataclass_fields__ if name in result}
        for name in {"files", "conflicts", "merged"} & set(known):
            known[name] = tuple(known[name])
        return Settled(**known)

    async def _ask(self, owner: Owner, run_id: str, kind: str, args: dict[str, Any]) -> dict[str, Any]:
        row = await asyncio.to_thread(self._store.post, kind, run_id, args, to=owner, by=self._engine.face)
        while (result := await asyncio.to_thread(self._store.result, row)) is None:
            if not self._alive(owner):
                raise RunRefused(
                    f"The process {owner.pid} that owns run {run_id} ended before it answered.",
                    code="interrupted",
                    hint="Look at the run again: its staged changes are kept.",
                )
            await asyncio.sleep(POLL_SECONDS / 2)
        if "refused" in result:
            refused = result["refused"]
            raise RunRefused(refused["message"], code=refused["code"], hint=refused["hint"])
        return result

    def _alive(self, owner: Owner | None) -> bool:
        return owner is not None and self._store.owner_alive(owner)

    # Being asked, and hearing of others

    async def _listen(self) -> None:
        assert self._group is not None
        version = -1
        while True:
            current = self._store.data_version()
            if current != version:
                version = current
                for row in await asyncio.to_thread(self._store.take, self.owner):
                    self._group.create_task(self._serve(row), name=f"{row.kind} from {row.by}")
                self._last_row, envelopes = await asyncio.to_thread(self._store.events_since_row, self._last_row)
                self._engine.publish_foreign(envelopes)
            await asyncio.sleep(POLL_SECONDS)

    async def _serve(self, row: ControlRow) -> None:
        """Do what another process asked and write the answer; a refusal is an answer."""
        try:
            result = await self._carry_out(row)
        except KiroError as error:
            result = {"refused": {"code": error.code, "message": error.message, "hint": error.hint}}
        await asyncio.wrap_future(self._store.finish(row.id, result))

    async def _carry_out(self, row: ControlRow) -> dict[str, Any]:
        engine, args = self._engine, row.args
        handle = engine.handles.get(row.run_id or "")
        if row.kind in _SETTLING:
            settled = await engine.settle_here(row.kind, self._store.run(row.run_id or ""), args)
            return {name: getattr(settled, name) for name in Settled.__dataclass_fields__}
        if row.kind == "cancel" and engine.verifications.stop(row.run_id or "", f"stopped by {args['by']}"):
            return {"message": STOPPED}
        if handle is None:
            raise RunRefused(
                f"Run {row.run_id} is not live any more.", code="not-live", hint="Look at its state again."
            )
        if row.kind == "cancel":
            handle.cancel(args["by"])
            return {"message": f"Cancelling run {row.run_id}; what it staged is kept."}
        if row.kind == "answer":
            handle.answer(args["request"], args["option"], args["by"], args.get("text"))
            return {"message": "Answered."}
        raise RunRefused(f"This process cannot do {row.kind!r}; it may be an older version.", code="unknown-request")

    async def _pick_up(self) -> None:
        for record in await asyncio.to_thread(self._store.orphans):
            await pickup.pick_up(self._engine, record)
