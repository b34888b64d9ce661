"""What the person granted: trust by digest, consent to run, commands allowed for good. Never kept in a workspace."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import UTC, datetime

from kiro_lsp.store.database import Database
from kiro_lsp.store.encoding import dump, load
from kiro_lsp.store.model import Kept


class Consents(Database):
    """The part of the store that knows what was granted. `root` is the real path of a project."""

    def trust(self, root: str, digest: str) -> Future[None]:
        """Trust a project as long as its digest stays the same."""
        return self._execute("INSERT OR REPLACE INTO trust VALUES (?, ?, ?)", root, digest, _now())

    def revoke_trust(self, root: str) -> Future[None]:
        """Take back trust and consent; commands allowed for good and what was kept go too."""

        def job(db: sqlite3.Connection) -> None:
            for table in ("trust", "consents", "allowed_argv", "kept"):
                db.execute(f"DELETE FROM {table} WHERE root=?", (root,))

        return self.submit(job)

    def trusted_digest(self, root: str) -> str | None:
        row = self.read(lambda db: db.execute("SELECT digest FROM trust WHERE root=?", (root,)).fetchone())
        return None if row is None else str(row[0])

    def remember_consent(self, root: str) -> Future[None]:
        return self._execute("INSERT OR REPLACE INTO consents VALUES (?, ?)", root, _now())

    def consented(self, root: str) -> bool:
        return self.read(lambda db: db.execute("SELECT 1 FROM consents WHERE root=?", (root,)).fetchone()) is not None

    def allow_argv(self, root: str, digest: str, argv: Sequence[str]) -> Future[None]:
        """Allow exactly this command in this project until it is forbidden."""
        text = dump(list(argv))
        return self._execute("INSERT OR REPLACE INTO allowed_argv VALUES (?, ?, ?, ?)", root, digest, text, _now())

    def forbid_argv(self, root: str, digest: str) -> Future[None]:
        return self._execute("DELETE FROM allowed_argv WHERE root=? AND digest=?", root, digest)

    def allowed_argv(self, root: str) -> dict[str, tuple[str, ...]]:
        """Digest → argv of every command that is allowed for good."""
        rows = self.read(
            lambda db: db.execute("SELECT digest, argv FROM allowed_argv WHERE root=? ORDER BY at", (root,)).fetchall()
        )
        return {digest: tuple(load(argv)) for digest, argv in rows}

    def keep(self, root: str, name: str, text: str) -> Future[None]:
        """Keep a text for later runs in a project, such as how a server described its tools when it was last looked at."""
        return self._execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?)", root, name, text, _now())

    def kept(self, root: str, name: str) -> Kept | None:
        row = self.read(
            lambda db: db.execute("SELECT text, at FROM kept WHERE root=? AND name=?", (root, name)).fetchone()
        )
        if row is None:
            return None
        return Kept(str(row[0]), (datetime.now(UTC) - datetime.fromisoformat(row[1])).total_seconds())

    def _execute(self, statement: str, *values: str) -> Future[None]:
        def job(db: sqlite3.Connection) -> None:
            db.execute(statement, values)

        return self.submit(job)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
