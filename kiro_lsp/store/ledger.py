"""The ledger: reserve before a request, settle after it, over all processes of the person.

A cap is tested and the reservation written in one transaction, so parallel runs cannot pass it together. What was never
settled stays charged as reserved. The ledger's day never goes back, so a clock that does gives no new budget.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Final, Literal

from kiro_lsp.budget import from_nano
from kiro_lsp.events import Envelope
from kiro_lsp.store.database import Database
from kiro_lsp.store.encoding import count
from kiro_lsp.store.model import CostRow, Refusal, Reservation, Spent, Warn
from kiro_lsp.store.runs import append_events

By = Literal["day", "agent", "spec", "task"]

_SPENT: Final = (
    "SELECT coalesce(sum(charged), 0), coalesce(sum(CASE WHEN charged IS NULL THEN reserved END), 0),"
    " coalesce(sum(unknown), 0) FROM ledger"
)
"""Settled, still reserved, and how many are of unknown cost."""
_FORGOTTEN: Final = "(runs no longer kept)"


class Ledger(Database):
    """The part of the store that knows money. All amounts are nano-dollars."""

    def reserve(
        self, run_id: str, root: str, agent: str, nano: int, *, cap_day: int, cap_run: int, day: str
    ) -> Future[Reservation | Refusal]:
        """Set `nano` aside if neither cap could be passed. `day` is the person's local day, ISO 8601. Durable.

        Raises ValueError for a negative amount or what is no day.
        """
        if nano < 0:
            raise ValueError(f"not an amount to reserve: {nano}")
        date.fromisoformat(day)

        def job(db: sqlite3.Connection) -> Reservation | Refusal:
            today = _ledger_day(db, day)
            for setting, name, cap, column, value in (
                ("max_cost_per_run", "by this run", cap_run, "run_id", run_id),
                ("max_cost_per_day", _named(today, day), cap_day, "day", today),
            ):
                settled, held, _unknown = db.execute(f"{_SPENT} WHERE {column}=?", (value,)).fetchone()
                if settled + held + nano > cap or nano != count(nano):
                    return Refusal(
                        f"The next request could cost ${from_nano(nano)}: with ${from_nano(settled)} spent and"
                        f" ${from_nano(held)} reserved {name} it could pass {setting} = ${from_nano(cap)}.",
                        *(setting, cap, settled, held),
                    )
            cursor = db.execute(
                "INSERT INTO ledger (run_id, root, agent, day, reserved) VALUES (?, ?, ?, ?, ?)",
                (run_id, root, agent, today, nano),
            )
            assert cursor.lastrowid is not None
            return Reservation(cursor.lastrowid, nano)

        return self.submit(job)

    def settle(self, reservation: Reservation, nano: int | None, *, warn: Warn | None = None) -> Future[list[Envelope]]:
        """Replace a reservation by what it cost; None (or a negative number) leaves it charged as reserved, marked as
        unknown. Durable.

        Settled twice, the higher amount counts: a report that comes again never gives money back. Where this takes the
        day to what `warn` names, and nobody was told so before, the run gets its event in the same transaction: all
        processes together say it once, and a kill cannot swallow it. The events that were recorded are given back.
        """
        known = None if nano is None or nano < 0 else count(nano)

        def job(db: sqlite3.Connection) -> list[Envelope]:
            db.execute(
                "UPDATE ledger SET unknown = CASE WHEN charged IS NULL THEN ?1 IS NULL ELSE unknown END,"
                " charged = CASE WHEN charged IS NULL THEN coalesce(?1, reserved)"
                " ELSE max(charged, coalesce(?1, charged)) END WHERE id=?2",
                (known, reservation.id),
            )
            return [] if warn is None else _warn(db, reservation, warn)

        return self.submit(job)

    def spent(self, day: str, run_id: str | None = None) -> Spent:
        """What counts against the caps on a day (or of one run, on all days)."""
        where, value = ("run_id=?", run_id) if run_id is not None else ("day=?", self.ledger_day(day))
        row: tuple[int, int, int] = self.read(lambda db: db.execute(f"{_SPENT} WHERE {where}", (value,)).fetchone())
        return Spent(*row)

    def ledger_day(self, day: str) -> str:
        """The day that is charged now: the local day, or the latest one that was ever charged."""
        return self.read(lambda db: _ledger_day(db, day))

    def cost_rows(self, by: By) -> list[CostRow]:
        """Runs, tokens and money by day, agent, spec file or task, in the order of the keys.

        Runs that are not metered have tokens and no money. A run's tokens belong to the day of its first request.
        """

        def query(db: sqlite3.Connection) -> tuple[list[Any], list[Any]]:
            charges = db.execute(
                "SELECT run_id, agent, day, sum(CASE WHEN unknown THEN NULL ELSE charged END),"
                " sum(unknown OR charged IS NULL), sum(coalesce(charged, reserved))"
                " FROM ledger GROUP BY run_id, agent, day ORDER BY min(id)"
            ).fetchall()
            runs = db.execute(
                "SELECT run_id, agent, path, task_key, started_at, input_tokens, output_tokens, cached_tokens, turns"
                " FROM runs"
            ).fetchall()
            return charges, runs

        charges, runs = self.read(query)
        return _summed(by, charges, runs)


@dataclass(slots=True)
class _Sum:
    runs: set[str] = field(default_factory=set)
    counted: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    """Input, output and cached tokens, and turns."""
    nano: int | None = None
    unknown: int = 0
    charged: int = 0
    metered: bool = False


def _summed(by: By, charges: list[Any], runs: list[Any]) -> list[CostRow]:
    known = {run[0]: run for run in runs}
    first_day: dict[str, str] = {}
    sums: dict[str, _Sum] = {}
    keys: dict[By, Callable[[str, str, str], str]] = {
        "day": lambda _run_id, _agent, day: day,
        "agent": lambda _run_id, agent, _day: agent,
        "spec": lambda run_id, _agent, _day: known[run_id][2] if run_id in known else _FORGOTTEN,
        "task": lambda run_id, _agent, _day: " ".join(known[run_id][2:4]) if run_id in known else _FORGOTTEN,
    }
    key_of = keys[by]
    for run_id, agent, day, nano, unknown, charged in charges:
        first_day.setdefault(run_id, day)
        total = sums.setdefault(key_of(run_id, agent, day), _Sum())
        total.runs.add(run_id)
        total.unknown += unknown
        total.charged += charged
        total.metered = True
        if nano is not None:
            total.nano = (total.nano or 0) + nano
    for run_id, agent, _path, _task, started_at, *counted in runs:
        day = first_day.get(run_id) or _day_of(started_at)
        total = sums.setdefault(key_of(run_id, agent, day), _Sum())
        total.runs.add(run_id)
        total.counted = [before + more for before, more in zip(total.counted, counted, strict=True)]
    return [_row(key, total) for key, total in sorted(sums.items())]


def _row(key: str, total: _Sum) -> CostRow:
    tokens_in, tokens_out, cached, turns = total.counted
    known, runs = _known(total), len(total.runs)
    return CostRow(key, runs, tokens_in, tokens_out, cached, known, total.unknown, turns, total.charged, total.metered)


def _known(total: _Sum) -> int | None:
    """Zero is known only where nothing is unknown."""
    return total.nano if total.nano is not None or total.unknown else 0


def local_day(at: datetime | None = None) -> str:
    """The person's day, ISO 8601: now, or at another moment."""
    return (at or datetime.now(UTC)).astimezone().date().isoformat()


def _warn(db: sqlite3.Connection, reservation: Reservation, warn: Warn) -> list[Envelope]:
    """A project may ask to be warned earlier than the person; that does not use up the person's own warning."""
    row = db.execute("SELECT run_id, day FROM ledger WHERE id=?", (reservation.id,)).fetchone()
    if row is None:
        return []
    run_id, day = row
    spent = Spent(*db.execute(f"{_SPENT} WHERE day=?", (day,)).fetchone())
    if not 0 < spent.spent >= warn.at:
        return []
    (told,) = db.execute("SELECT coalesce(max(at), -1) FROM warned WHERE day=?", (day,)).fetchone()
    if told >= warn.at:
        return []
    db.execute("INSERT OR REPLACE INTO warned (day, at) VALUES (?, ?)", (day, warn.at))
    return append_events(db, run_id, [warn.said(day, spent)], warn.time)


def _day_of(started_at: str) -> str:
    try:
        return local_day(datetime.fromisoformat(started_at))
    except ValueError:
        return started_at[:10]


def _named(today: str, day: str) -> str:
    """How a refusal names the day. A clock that was once ahead leaves the ledger there, which a person must be told."""
    return "today" if today == day else f"on {today} (the ledger's day; it was there before and does not go back)"


def _ledger_day(db: sqlite3.Connection, day: str) -> str:
    (latest,) = db.execute("SELECT max(day) FROM ledger").fetchone()
    return max(day, latest or day)
