"""Work in a thread, for modules that are imported before anything heavy is: `asyncio` is half of what a first answer waits for."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Value = TypeVar("Value")


async def aside(work: Callable[Given, Value], *args: Given.args, **named: Given.kwargs) -> Value:
    """`asyncio.to_thread`."""
    import asyncio

    return await asyncio.to_thread(work, *args, **named)
