"""Runs and their events. Appending an event also keeps the run's columns in step, in the same transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from typing import Any, Final

import orjson

from kiro_lsp import events
from kiro_lsp.errors import UnknownRun
from kiro_lsp.events import Envelope, RunEvent, RunState
from kiro_lsp.spec.model import TaskAnchor
from kiro_lsp.store.database import Database
from kiro_lsp.store.model import Owner, RunRecord

_COLUMNS: Final = (
    "run_id, root, path, task_key, title, agent, way, model, billing, state, started_at, anchor, task_id, owner, replay,"
    " reason, note, ended_at, cost, input_tokens, output_tokens, cached_tokens,"
    " (SELECT count(*) FROM changes WHERE changes.run_id = runs.run_id) AS files, revision, intent"
)
_UPDATABLE: Final = frozenset({"agent", "way", "model", "billing", "intent", "note", "reason"})


class Runs(Database):
    """The part of the store that knows runs."""

    def create_run(self, run: RunRecord) -> Future[bool]:
        """Record a run; False when its task already has a live one (one run per task at a time)."""

        def job(db: sqlite3.Connection) -> bool:
            live = sorted(events.LIVE_STATES)
            busy = db.execute(
                f"SELECT 1 FROM runs WHERE root=? AND path=? AND task_key=? AND state IN ({_marks(live)})",
                (run.root, run.path, run.task_key, *live),
            ).fetchone()
            if busy:
                return False
            values = {
                "run_id": run.run_id,
                "root": run.root,
                "path": run.path,
                "task_key": run.task_key,
                "title": run.title,
                "task_id": run.task_id,
                "agent": run.agent,
                "way": run.way,
                "model": run.model,
                "billing": run.billing,
                "state": run.state,
                "started_at": run.started_at,
                "anchor": _dump_anchor(run.anchor),
                "owner": None if run.owner is None else dump_owner(run.owner),
                "replay": int(run.replay),
                "reason": run.reason,
                "note": run.note,
                "cost": run.cost,
                "revision": run.revision,
                "intent": None if run.intent is None else orjson.dumps(dict(run.intent)).decode(),
            }
            db.execute(
                f"INSERT INTO runs ({', '.join(values)}) VALUES ({_marks(values)})",
                tuple(values.values()),
            )
            return True

        return self.submit(job)

    def update_run(self, run_id: str, **columns: Any) -> Future[None]:
        """Set columns that are learnt after the start: agent, way, model, billing, intent, note, reason."""
        unknown = set(columns) - _UPDATABLE
        if unknown:
            raise ValueError(f"not a column to update: {sorted(unknown)}")
        values = {name: orjson.dumps(value).decode() if name == "intent" else value for name, value in columns.items()}

        def job(db: sqlite3.Connection) -> None:
            assignments = ", ".join(f"{name}=?" for name in values)
            db.execute(f"UPDATE runs SET {assignments} WHERE run_id=?", (*values.values(), run_id))

        return self.submit(job)

    def transition(
        self,
        run_id: str,
        from_states: Collection[RunState],
        to: RunState,
        *,
        revision: int | None = None,
        owner: Owner | None = None,
    ) -> Future[bool]:
        """Compare and swap: move the run to `to` only if it is in one of `from_states` (and at `revision`). Durable."""

        def job(db: sqlite3.Connection) -> bool:
            query = (
                f"UPDATE runs SET state=?, owner=coalesce(?, owner) WHERE run_id=? AND state IN ({_marks(from_states)})"
            )
            values: list[Any] = [to, None if owner is None else dump_owner(owner), run_id, *from_states]
            if revision is not None:
                query += " AND revision=?"
                values.append(revision)
            return db.execute(query, values).rowcount == 1

        return self.submit(job)

    def run(self, run_id: str) -> RunRecord:
        """The run of that id, or of that unique beginning of an id. Raises UnknownRun."""
        escaped = run_id.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        rows = self.read(
            lambda db: db.execute(
                f"SELECT {_COLUMNS} FROM runs WHERE run_id=? OR run_id LIKE ? ESCAPE '\\' ORDER BY run_id=? DESC LIMIT 5",
                (run_id, f"{escaped}%" if run_id else "\\", run_id),
            ).fetchall()
        )
        if len(rows) == 1 or (rows and rows[0][0] == run_id):
            return _record(rows[0])
        if rows:
            raise UnknownRun(
                f"{run_id!r} is the beginning of several runs.",
                hint=f"Write more of it: {', '.join(row[0] for row in rows)}.",
            )
        latest = [
            row[0]
            for row in self.read(lambda db: db.execute("SELECT run_id FROM runs ORDER BY started_at DESC LIMIT 3"))
        ]
        known = f"The latest are {', '.join(latest)}." if latest else "No run was recorded yet."
        raise UnknownRun(f"There is no run {run_id!r}.", hint=f"{known} `kiro-lsp runs` lists them.")

    def runs(self, root: str | None = None, limit: int = 200) -> list[RunRecord]:
        """Newest first; those of one project when its real root is given."""
        where, values = ("WHERE root=?", [root]) if root is not None else ("", [])
        rows = self.read(
            lambda db: db.execute(
                f"SELECT {_COLUMNS} FROM runs {where} ORDER BY started_at DESC, rowid DESC LIMIT ?",
                [*values, limit],
            ).fetchall()
        )
        return [_record(row) for row in rows]

    def live_runs(self) -> list[RunRecord]:
        """Runs in a state that needs a living owner."""
        live = sorted(events.LIVE_STATES)
        rows = self.read(
            lambda db: db.execute(f"SELECT {_COLUMNS} FROM runs WHERE state IN ({_marks(live)})", live).fetchall()
        )
        return [_record(row) for row in rows]

    # Events

    def append(self, run_id: str, group: Sequence[RunEvent], *, durable: bool, at: str) -> Future[list[Envelope]]:
        """Number and keep events, all or none; `at` is RFC 3339. The Future gives them back as they were numbered."""

        def job(db: sqlite3.Connection) -> list[Envelope]:
            (last,) = db.execute("SELECT coalesce(max(seq), 0) FROM events WHERE run_id=?", (run_id,)).fetchone()
            envelopes = [Envelope(run_id, last + number, at, event) for number, event in enumerate(group, 1)]
            for envelope in envelopes:
                type_, body = events.body_to_wire(envelope.event)
                db.execute(
                    "INSERT INTO events (run_id, seq, at, type, body) VALUES (?, ?, ?, ?, ?)",
                    (run_id, envelope.seq, at, type_, orjson.dumps(body).decode()),
                )
                _fold(db, run_id, envelope)
            return envelopes

        return self.submit(job, durable=durable)

    def events(self, run_id: str, after: int = 0, limit: int | None = None) -> list[Envelope]:
        """The events of a run with seq > `after`, in order."""
        rows = self.read(
            lambda db: db.execute(
                "SELECT run_id, seq, at, type, body FROM events WHERE run_id=? AND seq>? ORDER BY seq LIMIT ?",
                (run_id, after, -1 if limit is None else limit),
            ).fetchall()
        )
        return [_envelope(row) for row in rows]

    def has_event(self, run_id: str, type_: str) -> bool:
        found = self.read(
            lambda db: db.execute("SELECT 1 FROM events WHERE run_id=? AND type=? LIMIT 1", (run_id, type_)).fetchone()
        )
        return found is not None

    def last_event_row(self) -> int:
        """The row number of the newest event of all runs; 0 when there is none."""
        row: int = self.read(lambda db: db.execute("SELECT coalesce(max(row), 0) FROM events").fetchone()[0])
        return row

    def events_since_row(self, row: int) -> tuple[int, list[Envelope]]:
        """Events of any process that came after `row`, and the row to ask from next time."""
        rows = self.read(
            lambda db: db.execute(
                "SELECT run_id, seq, at, type, body, row FROM events WHERE row>? ORDER BY row LIMIT 5000", (row,)
            ).fetchall()
        )
        return (rows[-1][5] if rows else row), [_envelope(item[:5]) for item in rows]


def _fold(db: sqlite3.Connection, run_id: str, envelope: Envelope) -> None:
    event = envelope.event
    if isinstance(event, events.State):
        db.execute("UPDATE runs SET state=? WHERE run_id=?", (event.to, run_id))
    elif isinstance(event, events.ENDED):
        db.execute("UPDATE runs SET ended_at=? WHERE run_id=?", (envelope.at, run_id))
    elif isinstance(event, events.Start):
        db.execute(
            "UPDATE runs SET agent=?, way=?, model=?, reason=? WHERE run_id=?",
            (event.agent, event.way, event.model, event.reason, run_id),
        )
    elif isinstance(event, events.UsageReport):
        db.execute(
            "UPDATE runs SET cost=?, input_tokens=?, output_tokens=?, cached_tokens=?, billing=? WHERE run_id=?",
            (event.cost, event.input_tokens, event.output_tokens, event.cached_tokens, event.billing, run_id),
        )


def _envelope(row: Sequence[Any]) -> Envelope:
    run_id, seq, at, type_, body = row
    return Envelope(run_id, seq, at, events.event_from_wire(type_, orjson.loads(body)))


def _record(row: Sequence[Any]) -> RunRecord:
    (
        run_id,
        root,
        path,
        task_key,
        title,
        agent,
        way,
        model,
        billing,
        state,
        started_at,
        anchor,
        task_id,
        owner,
        replay,
    ) = row[:15]
    (reason, note, ended_at, cost, input_tokens, output_tokens, cached_tokens, files, revision, intent) = row[15:]
    return RunRecord(
        run_id=run_id,
        root=root,
        path=path,
        task_key=task_key,
        title=title,
        agent=agent,
        way=way,
        model=model,
        billing=billing,
        state=state,
        started_at=started_at,
        anchor=_load_anchor(anchor),
        task_id=task_id,
        owner=None if owner is None else load_owner(owner),
        replay=bool(replay),
        reason=reason,
        note=note,
        ended_at=ended_at,
        cost=cost,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_tokens=cached_tokens,
        files=files,
        revision=revision,
        intent=None if intent is None else orjson.loads(intent),
    )


def _dump_anchor(anchor: TaskAnchor) -> str:
    fields = (anchor.key, anchor.id, anchor.title_hash, list(anchor.heading_path), anchor.before, anchor.after)
    return orjson.dumps(fields).decode()


def _load_anchor(text: str) -> TaskAnchor:
    key, identifier, title_hash, heading_path, before, after = orjson.loads(text)
    return TaskAnchor(key, identifier, title_hash, tuple(heading_path), before, after)


def dump_owner(owner: Owner) -> str:
    return owner.key


def load_owner(text: str) -> Owner:
    pid, ticks, serial, boot_id = text.split("-", 3)
    return Owner(int(pid), int(ticks), boot_id, serial)


def _marks(values: Collection[Any]) -> str:
    return ", ".join("?" for _ in values)
