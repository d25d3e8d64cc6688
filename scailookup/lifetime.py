"""The signals that a process obeys, listened to before anything is served."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

__all__ = ["Told", "ending", "first_of", "signals"]

_ENDS = (signal.SIGTERM, signal.SIGINT)


class Told:
    """What signals have said: ``end`` after the first SIGTERM or SIGINT, ``hurry`` after the second.

    ``again`` is set by SIGHUP; who obeys it clears it.
    """

    def __init__(self) -> None:
        self.end = asyncio.Event()
        self.hurry = asyncio.Event()
        self.again = asyncio.Event()

    def ended(self) -> None:
        """One more signal that says to end."""
        (self.hurry if self.end.is_set() else self.end).set()


@asynccontextmanager
async def signals(*, reload: bool = True) -> AsyncIterator[Told]:
    """Listen while the block runs; without ``reload`` SIGHUP keeps its own meaning."""
    loop, told = asyncio.get_running_loop(), Told()
    handlers = dict.fromkeys(_ENDS, told.ended)
    if reload:
        handlers[signal.SIGHUP] = told.again.set
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield told
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)


@asynccontextmanager
async def ending() -> AsyncIterator[asyncio.Event]:
    """An event that the first SIGTERM or SIGINT sets."""
    async with signals(reload=False) as told:
        yield told.end


async def first_of(*works: Coroutine[Any, Any, Any]) -> None:
    """Return when one of ``works`` has ended; the others are cancelled, and what ended badly raises."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
