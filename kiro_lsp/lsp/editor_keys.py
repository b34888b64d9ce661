"""Keys of providers that the editor keeps for the person: asked for one by one, and never part of what comes at the start."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from kiro_lsp.lsp.endpoint import ResponseError
from kiro_lsp.settings import STANDARD_KEYS

if TYPE_CHECKING:
    from kiro_lsp.lsp.endpoint import Endpoint
    from kiro_lsp.lsp.session import Session


class EditorKeys:
    """They count as those of the launch environment do, which come first: only what it lacks is asked for."""

    def __init__(self, endpoint: Endpoint, session: Session, environ: dict[str, str]) -> None:
        self._endpoint, self._session, self._environ = endpoint, session, environ
        self._names = sorted(set(STANDARD_KEYS) - set(environ))
        self._asking = asyncio.Lock()

    async def ask(self) -> None:
        """Ask for each; what changed holds from the next run on. A key that the editor has no more is forgotten."""
        async with self._asking:
            for name in self._names:
                try:
                    answer = await self._endpoint.request("kiro/secret", {"name": name})
                except ResponseError:
                    continue
                value = answer.get("value") if isinstance(answer, Mapping) else None
                self._keep(name, value if isinstance(value, str) else "")

    def _keep(self, name: str, value: str) -> None:
        if value == self._environ.get(name, ""):
            return
        if value:
            self._environ[name] = value
        else:
            del self._environ[name]
        self._session.keys_changed()
