"""Work of the server that nobody waits for: when it fails, that is logged, and the server goes on.

A bare task group would take the whole server down with one failed notification. It decides nothing about requests: their
boundary is the endpoint's inbox.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger(__name__)


class Background:
    """A task group whose members fail by themselves. It ends with the group."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group

    def create_task(self, work: Coroutine[Any, Any, object], *, name: str) -> asyncio.Task[None]:
        """Carry it out beside everything else. Raises RuntimeError, with `work` closed, when the group takes no more."""
        guarded = self._guarded(work, name)
        try:
            handle = self._group.create_task(guarded, name=name)
        except RuntimeError:  # the session ends just now
            guarded.close()
            work.close()
            raise
        handle.add_done_callback(lambda _handle: work.close())  # it may have been cancelled before its first step
        return handle

    async def _guarded(self, work: Coroutine[Any, Any, object], name: str) -> None:
        try:
            await work
        except Exception:  # the boundary of work that nobody waits for: one fault must not end the session
            log.exception("%s failed", name)
