"""A steady load over kept connections, every request's fate counted: for what must not be lost."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Sequence

from bench.client import Ask

__all__ = ["Steady"]

_SECONDS = 30.0


class Steady:
    """``connections`` callers ask one of ``asks`` after the other, ``rate`` a second in all (None: freely).

    ``fates`` counts statuses as text, and the failures of connections by name; ``waits`` are the
    seconds of each request that was answered.
    """

    def __init__(
        self, port: int, asks: Sequence[Ask], *, connections: int, rate: float | None = None
    ) -> None:
        self._port, self._rate = port, rate
        self._wires = itertools.cycle([ask.wire() for ask in asks])
        self._connections = connections
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.fates: Counter[str] = Counter()
        self.waits: list[float] = []

    @property
    def failed(self) -> dict[str, int]:
        """All that was not 200 or 304."""
        return {fate: count for fate, count in self.fates.items() if fate not in ("200", "304")}

    async def __aenter__(self) -> Steady:
        self._begun = asyncio.get_running_loop().time()
        self._sent = itertools.count()
        self._tasks = [asyncio.create_task(self._ask()) for _ in range(self._connections)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def _ask(self) -> None:
        """One caller: a connection for as long as the server keeps it, then another."""
        while not self._stop.is_set():
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError as exc:
                self.fates[f"connect: {type(exc).__name__}"] += 1
                await asyncio.sleep(0.01)
                continue
            try:
                await self._converse(reader, writer)
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as exc:
                self.fates[type(exc).__name__] += 1
            finally:
                writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        kept = True
        while kept and not self._stop.is_set():
            if self._rate is not None:
                await asyncio.sleep(self._begun + next(self._sent) / self._rate - loop.time())
            started = loop.time()
            async with asyncio.timeout(_SECONDS):
                writer.write(next(self._wires))
                head = await reader.readuntil(b"\r\n\r\n")
                status, kept = head[9:12].decode(), b"\r\nConnection: close\r\n" not in head
                length = 0 if status == "304" else _length(head)
                await reader.readexactly(length)
            self.waits.append(loop.time() - started)
            self.fates[status] += 1


def _length(head: bytes) -> int:
    found = head.lower().partition(b"\r\ncontent-length:")[2]
    return int(found.partition(b"\r\n")[0] or 0)
