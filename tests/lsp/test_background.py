"""Work that nobody waits for may fail without taking the server with it."""

from __future__ import annotations

import asyncio
import inspect
import logging

import pytest

from kiro_lsp.lsp.background import Background


async def test_a_job_that_fails_is_logged_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []

    async def fails() -> None:
        raise OSError("disk on fire")

    async def works() -> None:
        await asyncio.sleep(0)
        done.append("worked")

    with caplog.at_level(logging.ERROR):
        async with asyncio.TaskGroup() as group:
            background = Background(group)
            background.create_task(fails(), name="the failing one")
            background.create_task(works(), name="the other")
    assert done == ["worked"]
    assert "the failing one failed" in caplog.text
    assert "disk on fire" in caplog.text


async def test_a_job_cancelled_before_it_began_leaves_nothing_unawaited() -> None:
    async def never() -> None:
        raise AssertionError("it was cancelled")

    async with asyncio.TaskGroup() as group:
        handle = Background(group).create_task(never(), name="never")
        handle.cancel()
    assert handle.cancelled()


async def test_a_job_that_comes_too_late_leaves_nothing_unawaited() -> None:
    async def never() -> None:
        raise AssertionError("it came too late")

    async with asyncio.TaskGroup() as group:
        background = Background(group)
    work = never()
    with pytest.raises(RuntimeError):
        background.create_task(work, name="late")
    assert inspect.getcoroutinestate(work) == inspect.CORO_CLOSED
