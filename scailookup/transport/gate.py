"""A bounded number of places before one upstream, with a clock on the queue."""

from __future__ import annotations

import asyncio
from collections import deque

from scailookup.errors import Overloaded

__all__ = ["Gate"]

# How much the newest duration weighs in the running mean.
_WEIGHT = 0.2


# Seconds after which a line that was never empty is no burst: whoever joins it only makes it longer.
_BURST = 0.5


class Gate:
    """``places`` calls at a time; the rest waits, but never past its deadline.

    A caller whose wait would foreseeably pass its deadline is sent away at once
    instead of being kept waiting for nothing. In a line that does not end, ``max_wait``
    (seconds, 0: any) takes the deadline's place: all places are taken then with or
    without a long line before them.
    """

    def __init__(self, places: int, max_wait: float = 0.0) -> None:
        self._free = places
        self._max_wait = max_wait
        self._moved = 0.0  # when the last place was given or taken
        self._formed = 0.0  # when the line was last empty
        self._places = places
        self._queue: deque[asyncio.Future[None]] = deque()
        self._mean = 0.0

    async def enter(self, deadline: float) -> None:
        """Take a place before ``deadline`` (loop time); raises Overloaded."""
        loop = asyncio.get_running_loop()
        if self._free > 0:
            self._free -= 1
            if not self._free:
                self._moved = loop.time()
            return
        now = loop.time()
        if not self._queue:
            self._formed = now
        # Each call under way is older than the last move: those of a hanging upstream grow longer as we look.
        each = max(self._mean, now - self._moved)
        wait = each * (len(self._queue) + 1) / self._places
        standing = self._max_wait and now - self._formed > _BURST
        if wait >= (min(self._max_wait, deadline - now) if standing else deadline - now):
            raise self._full()
        turn: asyncio.Future[None] = loop.create_future()
        self._queue.append(turn)
        try:
            async with asyncio.timeout_at(deadline):
                await turn
        except BaseException as exc:
            self._give_back(turn)
            if isinstance(exc, TimeoutError):
                raise self._full() from None
            raise

    def leave(self, seconds: float) -> None:
        """Give the place to the next in line; ``seconds`` is how long it was held."""
        self._mean += _WEIGHT * (seconds - self._mean)
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                self._moved = asyncio.get_running_loop().time()
                return
        self._free += 1

    @property
    def busy(self) -> int:
        """How many places are taken."""
        return self._places - self._free

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return sum(not turn.done() for turn in self._queue)

    def _give_back(self, turn: asyncio.Future[None]) -> None:
        if turn.done() and not turn.cancelled():
            self.leave(self._mean)  # the turn came in the same moment as the end
        elif turn in self._queue:
            self._queue.remove(turn)

    def _full(self) -> Overloaded:
        return Overloaded(
            "too many calls to this upstream are under way, and the wait would pass the deadline",
            retry_after=max(1, round(self._mean)),
        )
