"""The signals that end a process, listened to before anything is served."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["ending"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@asynccontextmanager
async def ending() -> AsyncIterator[asyncio.Event]:
    """An event that the first SIGTERM or SIGINT sets."""
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    for number in _SIGNALS:
        loop.add_signal_handler(number, told.set)
    try:
        yield told
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
