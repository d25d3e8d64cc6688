"""Waiting for the signal that ends a process."""

from __future__ import annotations

import asyncio
import signal

__all__ = ["until_told"]


async def until_told() -> None:
    """Return at the first SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    await told.wait()
