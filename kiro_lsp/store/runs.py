"""Runs and their events. Appending an event also keeps the run's columns in step, in the same transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final

from kiro_lsp import events
from kiro_lsp.budget import from_nano
from kiro_lsp.errors import UnknownRun
from kiro_lsp.events import Envelope, RunEvent, RunState
from kiro_lsp.spec.model import TaskAnchor
from kiro_lsp.store import locks
from kiro_lsp.store.database import Database
from kiro_lsp.store.encoding import count, dump, load, shown
from kiro_lsp.store.model import Owner, RunRecord

_LIVE: Final = ", ".join(f"'{state}'" for state in sorted(events.LIVE_STATES))

_AT_WORK: Final = ", ".join(f"'{state}'" for state in sorted(events.LIVE_STATES - {"verifying"}))
"""A run whose change is being verified has ended its work: its task can be worked on again."""

_COLUMNS: Final = (
    "run_id, root, path, task_key, title, agent, way, model, billing, state, started_at, anchor, task_id, owner, replay,"
    # A run that ended with a reservation open (it was killed, or its usage never came) has an unknown cost.
    f" reason, note, ended_at, CASE WHEN state NOT IN ({_LIVE}) AND EXISTS (SELECT 1 FROM ledger WHERE"
    " ledger.run_id = runs.run_id AND (charged IS NULL OR unknown)) THEN NULL ELSE cost END,"
    " input_tokens, output_tokens, cached_tokens, turns,"
    " (SELECT coalesce(sum(coalesce(charged, reserved)), 0) FROM ledger WHERE ledger.run_id = runs.run_id),"
    " (SELECT count(*) FROM changes WHERE changes.run_id = runs.run_id) AS files, revision, intent,"
    " session, continues"
)
_FIELDS: Final = (
    *(
        "run_id",
        "root",
        "path",
        "task_key",
        "title",
        "agent",
        "way",
        "model",
        "billing",
        "state",
        "started_at",
        "anchor",
    ),
    *("task_id", "owner", "replay", "reason", "note", "ended_at", "cost"),
    *("input_tokens", "output_tokens", "cached_tokens", "turns", "charged", "files", "revision", "intent"),
    *("session", "continues"),
)
"""What those columns are in a `RunRecord`."""
_UPDATABLE: Final = frozenset({"agent", "way", "model", "billing", "intent", "note", "reason"})


class Runs(Database):
    """The part of the store that knows runs."""

    def create_run(self, run: RunRecord) -> Future[bool]:
        """Record a run; False when its task already has a live one (one run per task at a time).

        A run whose process died does not block its task, unless it died while applying: that must be recovered first.
        """

        def job(db: sqlite3.Connection) -> bool:
            others = db.execute(
                f"SELECT state, owner FROM runs WHERE root=? AND path=? AND task_key=? AND state IN ({_AT_WORK})",
                (run.root, run.path, run.task_key),
            ).fetchall()
            if any(state == "applying" or self._runs_still(owner) for state, owner in others):
                return False
            values = {
                "run_id": run.run_id,
                "root": run.root,
                "path": run.path,
                "task_key": run.task_key,
                "title": shown(run.title),
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
                "reason": shown(run.reason),
                "note": None if run.note is None else shown(run.note),
                "cost": run.cost,
                "revision": run.revision,
                "intent": None if run.intent is None else dump(dict(run.intent)),
            }
            if run.continues is not None:
                values["continues"] = run.continues
            db.execute(
                f"INSERT INTO runs ({', '.join(values)}) VALUES ({_marks(values)})",
                tuple(values.values()),
            )
            return True

        return self.submit(job)

    def _runs_still(self, owner: str | None) -> bool:
        return owner is not None and locks.is_alive(self.owners_folder, load_owner(owner))

    @property
    def owners_folder(self) -> Path:
        return self.directory / "owners"

    def update_run(self, run_id: str, **columns: Any) -> Future[None]:
        """Set columns that are learnt after the start: agent, way, model, billing, intent, note, reason."""
        unknown = set(columns) - _UPDATABLE
        if unknown:
            raise ValueError(f"not a column to update: {sorted(unknown)}")
        values = {
            name: dump(value) if name == "intent" else shown(value) if isinstance(value, str) else value
            for name, value in columns.items()
        }

        def job(db: sqlite3.Connection) -> None:
            _require(db, run_id)
            assignments = ", ".join(f"{name}=?" for name in values)
            if values:
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
            for row in self.read(
                lambda db: db.execute("SELECT run_id FROM runs ORDER BY started_at DESC, rowid DESC LIMIT 3").fetchall()
            )
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

    def continuing(self, run_id: str) -> list[RunRecord]:
        """The runs that go on from this one, newest first."""
        rows = self.read(
            lambda db: db.execute(
                f"SELECT {_COLUMNS} FROM runs WHERE continues=? ORDER BY started_at DESC, rowid DESC", (run_id,)
            ).fetchall()
        )
        return [_record(row) for row in rows]

    def live_runs(self) -> list[RunRecord]:
        """Runs in a state that needs a living owner."""
        rows = self.read(lambda db: db.execute(f"SELECT {_COLUMNS} FROM runs WHERE state IN ({_LIVE})").fetchall())
        return [_record(row) for row in rows]

    # Events

    def append(self, run_id: str, group: Sequence[RunEvent], *, durable: bool, at: str) -> Future[list[Envelope]]:
        """Number and keep events, all or none; `at` is RFC 3339. The Future gives them back as they were numbered.

        The run's state, agent, cost and end follow from them in the same transaction. Raises UnknownRun (in the Future).
        """

        return self.submit(lambda db: append_events(db, run_id, group, at), durable=durable)

    def append_while(
        self, run_id: str, states: Collection[RunState], group: Sequence[RunEvent], *, at: str
    ) -> Future[list[Envelope]]:
        """As `append`, durable, if the run is in one of these states at that moment; else nothing is kept: []."""

        def job(db: sqlite3.Connection) -> list[Envelope]:
            query = f"SELECT 1 FROM runs WHERE run_id=? AND state IN ({_marks(states)})"
            if db.execute(query, (run_id, *states)).fetchone() is None:
                return []
            return append_events(db, run_id, group, at)

        return self.submit(job)

    def events(self, run_id: str, after: int = 0, limit: int | None = None) -> list[Envelope]:
        """The events of a run with seq > `after`, in order."""
        rows = self.read(
            lambda db: db.execute(
                "SELECT run_id, seq, at, type, body FROM events WHERE run_id=? AND seq>? ORDER BY seq LIMIT ?",
                (run_id, after, -1 if limit is None else limit),
            ).fetchall()
        )
        return _envelopes(rows)

    def has_event(self, run_id: str, type_: str) -> bool:
        found = self.read(
            lambda db: db.execute("SELECT 1 FROM events WHERE run_id=? AND type=? LIMIT 1", (run_id, type_)).fetchone()
        )
        return found is not None

    def last_event(self, run_id: str, *types: str) -> Envelope | None:
        """The newest event of a run that is of one of these types."""
        rows = self.read(
            lambda db: db.execute(
                "SELECT run_id, seq, at, type, body FROM events WHERE run_id=?"
                f" AND type IN ({_marks(types)}) ORDER BY seq DESC LIMIT 1",
                (run_id, *types),
            ).fetchall()
        )
        return next(iter(_envelopes(rows)), None)

    def last_event_row(self) -> int:
        """The row number of the newest event of all runs; 0 when there is none."""
        row: int = self.read(lambda db: db.execute("SELECT coalesce(max(row), 0) FROM events").fetchone()[0])
        return row

    def events_since_row(self, row: int) -> tuple[int, list[Envelope]]:
        """Events of any process that came after `row`, and the row to ask from next time."""
        rows = self.read(
            lambda db: db.execute(
                "SELECT run_id, seq, at, type, body, row FROM events WHERE row>? ORDER BY row", (row,)
            ).fetchall()
        )
        return (rows[-1][5] if rows else row), _envelopes([item[:5] for item in rows])


def append_events(db: sqlite3.Connection, run_id: str, group: Sequence[RunEvent], at: str) -> list[Envelope]:
    """As Runs.append, within a transaction of the writer thread. Raises UnknownRun."""
    _require(db, run_id)
    (last,) = db.execute("SELECT coalesce(max(seq), 0) FROM events WHERE run_id=?", (run_id,)).fetchone()
    envelopes = [Envelope(run_id, last + number, at, event) for number, event in enumerate(group, 1)]
    for envelope in envelopes:
        type_, body = events.body_to_wire(envelope.event)
        db.execute(
            "INSERT INTO events (run_id, seq, at, type, body) VALUES (?, ?, ?, ?, ?)",
            (run_id, envelope.seq, at, type_, dump(body)),
        )
        _fold(db, run_id, envelope)
    return envelopes


def _fold(db: sqlite3.Connection, run_id: str, envelope: Envelope) -> None:
    event = envelope.event
    if isinstance(event, events.State):
        db.execute("UPDATE runs SET state=? WHERE run_id=?", (event.to, run_id))
        if event.to == "interrupted":
            db.execute("UPDATE runs SET ended_at=coalesce(ended_at, ?) WHERE run_id=?", (envelope.at, run_id))
            # What its process had reserved may have been spent, and nobody will say any more: it stays charged.
            db.execute(
                "UPDATE ledger SET charged=reserved, unknown=1 WHERE run_id=? AND charged IS NULL",
                (run_id,),
            )
    elif isinstance(event, events.ENDED):
        db.execute("UPDATE runs SET ended_at=? WHERE run_id=?", (envelope.at, run_id))
    elif isinstance(event, events.Start):
        db.execute(
            "UPDATE runs SET agent=?, way=?, model=?, reason=? WHERE run_id=?",
            (shown(event.agent), event.way, shown(event.model), shown(event.reason), run_id),
        )
    elif isinstance(event, events.Session):
        db.execute("UPDATE runs SET session=? WHERE run_id=?", (shown(event.session_id), run_id))
    elif isinstance(event, events.UsageReport):
        tokens = count(event.input_tokens), count(event.output_tokens), count(event.cached_tokens)
        db.execute(
            "UPDATE runs SET cost=?, input_tokens=?, output_tokens=?, cached_tokens=?, turns=?, billing=?"
            " WHERE run_id=?",
            (event.cost, *tokens, count(event.turns or 0), event.billing, run_id),
        )


def _require(db: sqlite3.Connection, run_id: str) -> None:
    if db.execute("SELECT 1 FROM runs WHERE run_id=?", (run_id,)).fetchone() is None:
        raise UnknownRun(f"There is no run {run_id!r}.", hint="`kiro-lsp runs` lists them.")


def _envelopes(rows: Sequence[Sequence[Any]]) -> list[Envelope]:
    """Events of a type that only a newer kiro-lsp knows are left out: their numbers stay, so nothing else moves."""
    return [
        Envelope(run_id, seq, at, events.event_from_wire(type_, load(body)))
        for run_id, seq, at, type_, body in rows
        if type_ in events.EVENT_TYPES
    ]


def _record(row: Sequence[Any]) -> RunRecord:
    values: dict[str, Any] = dict(zip(_FIELDS, row, strict=True))
    owner, intent, charged = values["owner"], values["intent"], values["charged"]
    values |= {
        "anchor": _load_anchor(values["anchor"]),
        "owner": None if owner is None else load_owner(owner),
        "replay": bool(values["replay"]),
        "cost": _cost(values["cost"], charged, values["state"]),
        "charged": from_nano(charged),
        "intent": None if intent is None else load(intent),
    }
    return RunRecord(**values)


def _cost(reported: str | None, charged: int, state: RunState) -> str | None:
    """What a run has cost: a process that was killed may have settled what it never came to report."""
    ended = charged and state not in events.LIVE_STATES
    return from_nano(charged) if ended and reported is not None else reported


def _dump_anchor(anchor: TaskAnchor) -> str:
    fields = (anchor.key, anchor.id, anchor.title_hash, list(anchor.heading_path), anchor.before, anchor.after)
    return dump(fields)


def _load_anchor(text: str) -> TaskAnchor:
    key, identifier, title_hash, heading_path, before, after = load(text)
    return TaskAnchor(key, identifier, title_hash, tuple(heading_path), before, after)


def dump_owner(owner: Owner) -> str:
    return owner.key


def load_owner(text: str) -> Owner:
    pid, ticks, serial, boot_id = text.split("-", 3)
    return Owner(int(pid), int(ticks), boot_id, serial)


def _marks(values: Collection[Any]) -> str:
    return ", ".join("?" for _ in values)
