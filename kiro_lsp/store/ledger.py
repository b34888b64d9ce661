"""The ledger: reserve before a request, settle after it, over all processes of the person.

A cap is tested and the reservation written in one transaction, so parallel runs cannot pass it together. What was never
settled stays charged as reserved. The ledger's day never goes back, so a clock that does gives no new budget.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final, Literal

from kiro_lsp.budget import from_nano
from kiro_lsp.store.database import Database
from kiro_lsp.store.encoding import count
from kiro_lsp.store.model import CostRow, Refusal, Reservation, Spent

By = Literal["day", "agent", "spec", "task"]

_CHARGE: Final = "coalesce(charged, reserved)"
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
            for name, cap, column, value in (
                ("by this run", cap_run, "run_id", run_id),
                (_named(today, day), cap_day, "day", today),
            ):
                (used,) = db.execute(
                    f"SELECT coalesce(sum({_CHARGE}), 0) FROM ledger WHERE {column}=?", (value,)
                ).fetchone()
                if used + nano > cap or nano != count(nano):
                    return Refusal(
                        f"The next request could cost ${from_nano(nano)}; with ${from_nano(used)} used {name}"
                        f" it would pass the cap of ${from_nano(cap)}."
                    )
            cursor = db.execute(
                "INSERT INTO ledger (run_id, root, agent, day, reserved) VALUES (?, ?, ?, ?, ?)",
                (run_id, root, agent, today, nano),
            )
            assert cursor.lastrowid is not None
            return Reservation(cursor.lastrowid, nano)

        return self.submit(job)

    def settle(self, reservation: Reservation, nano: int | None) -> Future[None]:
        """Replace a reservation by what it cost; None (or a negative number) leaves it charged as reserved, marked as
        unknown. Durable.

        Settled twice, the higher amount counts: a report that comes again never gives money back.
        """
        known = None if nano is None or nano < 0 else count(nano)

        def job(db: sqlite3.Connection) -> None:
            db.execute(
                "UPDATE ledger SET unknown = CASE WHEN charged IS NULL THEN ?1 IS NULL ELSE unknown END,"
                " charged = CASE WHEN charged IS NULL THEN coalesce(?1, reserved)"
                " ELSE max(charged, coalesce(?1, charged)) END WHERE id=?2",
                (known, reservation.id),
            )

        return self.submit(job)

    def spent(self, day: str, run_id: str | None = None) -> Spent:
        """What counts against the caps on a day (or of one run, on all days)."""
        where, value = ("run_id=?", run_id) if run_id is not None else ("day=?", self.ledger_day(day))
        row: tuple[int, int, int] = self.read(
            lambda db: db.execute(
                "SELECT coalesce(sum(charged), 0), coalesce(sum(CASE WHEN charged IS NULL THEN reserved END), 0),"
                f" coalesce(sum(unknown), 0) FROM ledger WHERE {where}",
                (value,),
            ).fetchone()
        )
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
                " sum(unknown OR charged IS NULL), count(*) FROM ledger GROUP BY run_id, agent, day ORDER BY min(id)"
            ).fetchall()
            runs = db.execute(
                "SELECT run_id, agent, path, task_key, started_at, input_tokens, output_tokens, cached_tokens FROM runs"
            ).fetchall()
            return charges, runs

        charges, runs = self.read(query)
        return _summed(by, charges, runs)


@dataclass(slots=True)
class _Sum:
    runs: set[str] = field(default_factory=set)
    tokens: tuple[int, int, int] = (0, 0, 0)
    nano: int | None = None
    unknown: int = 0


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
    for run_id, agent, day, nano, unknown, _requests in charges:
        first_day.setdefault(run_id, day)
        total = sums.setdefault(key_of(run_id, agent, day), _Sum())
        total.runs.add(run_id)
        total.unknown += unknown
        if nano is not None:
            total.nano = (total.nano or 0) + nano
    for run_id, agent, _path, _task, started_at, *tokens in runs:
        day = first_day.get(run_id) or _local_day(started_at)
        total = sums.setdefault(key_of(run_id, agent, day), _Sum())
        total.runs.add(run_id)
        total.tokens = (total.tokens[0] + tokens[0], total.tokens[1] + tokens[1], total.tokens[2] + tokens[2])
    return [
        CostRow(key, len(total.runs), *total.tokens, _known(total), total.unknown)
        for key, total in sorted(sums.items())
    ]


def _known(total: _Sum) -> int | None:
    """Zero is known only where nothing is unknown."""
    return total.nano if total.nano is not None or total.unknown else 0


def _local_day(started_at: str) -> str:
    try:
        return datetime.fromisoformat(started_at).astimezone().date().isoformat()
    except ValueError:
        return started_at[:10]


def _named(today: str, day: str) -> str:
    """How a refusal names the day. A clock that was once ahead leaves the ledger there, which a person must be told."""
    return "today" if today == day else f"on {today} (the ledger's day; it was there before and does not go back)"


def _ledger_day(db: sqlite3.Connection, day: str) -> str:
    (latest,) = db.execute("SELECT max(day) FROM ledger").fetchone()
    return max(day, latest or day)
