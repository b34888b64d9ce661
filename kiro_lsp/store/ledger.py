"""The ledger: reserve before a request, settle after it, over all processes of the person.

A cap is tested and the reservation written in one transaction, so parallel runs cannot pass it together. What was never
settled stays charged as reserved. The ledger's day never goes back, so a clock that does gives no new budget.
"""

from __future__ import annotations

import sqlite3
from concurrent.futures import Future
from typing import Any, Final, Literal

from kiro_lsp.budget import from_nano
from kiro_lsp.store.database import Database
from kiro_lsp.store.model import CostRow, Refusal, Reservation, Spent

By = Literal["day", "agent", "spec", "task"]

_KEY: Final[dict[By, str]] = {
    "day": "ledger.day",
    "agent": "ledger.agent",
    "spec": "runs.path",
    "task": "runs.path || ' ' || runs.task_key",
}
_CHARGE: Final = "coalesce(charged, reserved)"


class Ledger(Database):
    """The part of the store that knows money. All amounts are nano-dollars."""

    def reserve(
        self, run_id: str, root: str, agent: str, nano: int, *, cap_day: int, cap_run: int, day: str
    ) -> Future[Reservation | Refusal]:
        """Set `nano` aside if neither cap could be passed. `day` is the person's local day, ISO 8601. Durable."""

        def job(db: sqlite3.Connection) -> Reservation | Refusal:
            today = _ledger_day(db, day)
            for name, cap, column, value in (
                ("this run", cap_run, "run_id", run_id),
                ("today", cap_day, "day", today),
            ):
                (used,) = db.execute(
                    f"SELECT coalesce(sum({_CHARGE}), 0) FROM ledger WHERE {column}=?", (value,)
                ).fetchone()
                if used + nano > cap:
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
        """Replace a reservation by what it cost; None leaves it charged as reserved, marked as unknown. Durable."""

        def job(db: sqlite3.Connection) -> None:
            db.execute(
                "UPDATE ledger SET charged=?, unknown=? WHERE id=? AND charged IS NULL",
                (reservation.nano if nano is None else nano, int(nano is None), reservation.id),
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
        """Runs, tokens and money by day, agent, spec file or task."""
        rows: list[Any] = self.read(
            lambda db: db.execute(
                f"SELECT {_KEY[by]} AS name, count(DISTINCT ledger.run_id), sum({_CHARGE}), sum(ledger.unknown),"
                " group_concat(DISTINCT ledger.run_id) FROM ledger LEFT JOIN runs USING (run_id) GROUP BY name ORDER BY name"
            ).fetchall()
        )
        return [CostRow(name or "", runs, *self._tokens(ids), nano, unknown) for name, runs, nano, unknown, ids in rows]

    def _tokens(self, run_ids: str) -> tuple[int, int, int]:
        ids = run_ids.split(",")
        marks = ", ".join("?" for _ in ids)
        row: tuple[int, int, int] = self.read(
            lambda db: db.execute(
                "SELECT coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0), coalesce(sum(cached_tokens), 0)"
                f" FROM runs WHERE run_id IN ({marks})",
                ids,
            ).fetchone()
        )
        return row


def _ledger_day(db: sqlite3.Connection, day: str) -> str:
    (latest,) = db.execute("SELECT max(day) FROM ledger").fetchone()
    return max(day, latest or day)
