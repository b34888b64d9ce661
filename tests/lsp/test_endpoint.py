"""Every request gets exactly one answer, whenever it is cancelled and whatever its id."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from kiro_lsp.lsp.endpoint import REQUEST_CANCELLED, Endpoint, Inbox


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 9])
async def test_a_request_cancelled_at_any_step_is_answered_once(steps: int) -> None:
    sent: list[Any] = []
    inbox = Inbox(Endpoint(lambda body: sent.append(json.loads(body))))

    async def work() -> str:
        for _ in range(3):
            await asyncio.sleep(0)
        return "done"

    async with asyncio.TaskGroup() as group:
        inbox.start(7, work(), group)
        for _ in range(steps):
            await asyncio.sleep(0)
        inbox.cancel(7)
    await asyncio.sleep(0)
    assert [message["id"] for message in sent] == [7]
    if steps < 3:
        assert sent[0]["error"]["code"] == REQUEST_CANCELLED
    else:
        assert sent[0].get("result") == "done" or sent[0]["error"]["code"] == REQUEST_CANCELLED


async def test_an_id_that_is_used_twice_gets_two_answers_and_can_still_be_cancelled() -> None:
    sent: list[Any] = []
    inbox = Inbox(Endpoint(lambda body: sent.append(json.loads(body))))

    async def quick() -> int:
        return 1

    async with asyncio.TaskGroup() as group:
        inbox.start(7, quick(), group)
        inbox.start(7, asyncio.Event().wait(), group)
        for _ in range(3):
            await asyncio.sleep(0)
        inbox.cancel(7)
    await asyncio.sleep(0)
    assert [message.get("result") or message["error"]["code"] for message in sent] == [1, REQUEST_CANCELLED]
