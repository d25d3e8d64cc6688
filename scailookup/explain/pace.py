"""How often explanations may ask an upstream: they pass the cache by, and must not pass its bounds by."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

__all__ = ["Pace"]

AT_ONCE = 4
APART = 1.0
_LONGEST = 3600.0
_MOST = 10_000


class Pace:
    """At most four at a time, and for each key one a second, later where the upstream said so."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._busy = 0
        self._next: OrderedDict[tuple[str, str], float] = OrderedDict()

    def enter(self, key: tuple[str, str]) -> int:
        """0 when it may be asked now, which ``leave`` ends; else the seconds to wait."""
        now = self._clock()
        wait = self._next.get(key, now) - now
        if wait > 0 or self._busy >= AT_ONCE:
            return max(1, math.ceil(wait))
        self._busy += 1
        self._put_off(key, now + APART)
        return 0

    def leave(self, key: tuple[str, str], retry_after: int | None = None) -> None:
        """It has been asked; ``retry_after`` is what a 429 said."""
        self._busy -= 1
        if retry_after:
            self._put_off(key, self._clock() + min(retry_after, _LONGEST))

    def _put_off(self, key: tuple[str, str], until: float) -> None:
        self._next[key] = until
        self._next.move_to_end(key)
        if len(self._next) > _MOST:
            self._next.popitem(last=False)
