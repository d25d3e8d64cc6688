"""Behind the miss: what another process holds is taken, and of all who lack a list one asks for it.

Who asks holds a lease in the store and renews it while the call is under way. A holder
that dies stops renewing, and the next in line takes over; one that was too slow finds
its lease gone and keeps its answer to itself. Whenever the store fails the call is made
as if there were none.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

import structlog

from scailookup.cache import Ages, Fetched, Hold, Load
from scailookup.errors import UpstreamAuth, UpstreamError
from scailookup.model import Answer
from scailookup.shared.news import News
from scailookup.shared.records import SKEW, Aged, Records
from scailookup.shared.seal import Broken

__all__ = ["BUSY", "CLAIMED", "HELD", "Begun", "Lease", "Store", "StoreLost", "Tier"]

HELD, CLAIMED, BUSY = 0, 1, 2
_SHORTEST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.005, 0.2, 1.6
# Those who wait must have the time to read what came of it, however short it lasts.
_SHORTEST_RECORD = 2.0
_MOST_REMEMBERED = 10_000
_log = structlog.get_logger("scailookup.shared")


class StoreLost(Exception):
    """The store did not do what it was asked: go on without it."""


class Begun(NamedTuple):
    """What the store says first: HELD, a record looks usable; CLAIMED, the lease is ours; BUSY."""

    state: int
    entry: bytes | None = None
    failure: bytes | None = None


class Store(Protocol):
    """Records and leases by key, seen alike by all processes. Times in seconds; all raise StoreLost."""

    async def begin(self, key: bytes, holder: bytes, lease: float, left: float) -> Begun:
        """Both records; and the lease, but for a failure or an entry with more than ``left`` to live.

        With ``left`` infinite the lease is asked for in any case.
        """

    async def extend(self, key: bytes, holder: bytes, lease: float) -> bool:
        """Renew the lease; False when it is the holder's no more."""

    async def release(self, key: bytes, holder: bytes) -> None:
        """Give the lease back."""

    async def land(self, key: bytes, holder: bytes, entry: bytes, life: float) -> bool:
        """Keep the entry, drop the failure, give the lease back; without the lease do nothing: False."""

    async def fail(self, key: bytes, holder: bytes, failure: bytes, life: float) -> bool:
        """The same for a failure; an older entry stays."""

    async def refuse(self, key: bytes, failure: bytes | None, life: float, news: bytes) -> None:
        """Drop the entry and the lease, keep the failure, tell everybody."""

    async def tell(self, news: bytes) -> None:
        """Tell everybody."""


class Lease(NamedTuple):
    """Seconds: how long a lease lasts unrenewed, and how long others wait for its holder."""

    seconds: float
    patience: float


class Tier:
    """The cache of all processes, as each one's memory sees it.

    ``now`` is epoch seconds, for what goes between hosts; ``clock`` is this process's own.
    ``outcomes`` counts what became of each ``fetch``: shared, collapsed or failed (all three
    another's doing), called, alone. ``rejections`` counts records and news that were not ours.
    """

    def __init__(
        self,
        store: Store,
        records: Records,
        news: News,
        ages: Ages,
        lease: Lease,
        *,
        largest: int,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store, self._records, self._news = store, records, news
        self._ages, self._lease, self._largest = ages, lease, largest
        self._now, self._clock, self._pause = now, clock, pause
        self._refused: OrderedDict[bytes, float] = OrderedDict()
        self._forgiven: OrderedDict[bytes, float] = OrderedDict()
        self._untold: OrderedDict[tuple[str, bytes], None] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._warned_at = -math.inf
        self._closed = False
        self.outcomes: Counter[str] = Counter()
        self.rejections = 0

    async def fetch(self, key: bytes, load: Load, hold: Hold) -> Fetched:
        """A fresh answer of anybody's, else what ``load`` brings here or where the lease is held.

        An older answer met on the way goes to ``hold``. Raises what ``load`` raised, here
        or elsewhere.
        """
        if self._ages.fresh + self._ages.beyond <= 0:
            return await self._alone(key, load)
        holder = os.urandom(16)
        began, pause = self._clock(), _SHORTEST_PAUSE
        left = self._ages.beyond
        seen: Begun | None = None
        while True:
            try:
                begun = await self._store.begin(key, holder, self._lease.seconds, left)
            except StoreLost:
                return await self._alone(key, load)
            waited = self._clock() - began
            # What was there at first is judged by its age. What came while we waited is our call's as well.
            grace = -1.0 if seen is None else waited + SKEW
            found = self._found(key, begun, grace, hold) if seen is None or begun[1:] != seen[1:] else None
            seen = begun
            if found is None and begun.state == CLAIMED:
                return await self._lead(key, holder, load)
            if begun.state == CLAIMED:
                self._behind(self._store.release(key, holder))
            if isinstance(found, UpstreamError):
                self.outcomes["failed"] += 1
                raise found
            if found is not None:
                self.outcomes[found.outcome] += 1
                return found
            if waited >= self._lease.patience:
                return await self._alone(key, load)
            if begun.state == BUSY:
                await self._pause(pause)
                pause = min(pause * _GROWTH, _LONGEST_PAUSE)
            else:
                left = math.inf  # the store took for usable what is not: claim it all the same

    def forgive(self, key: bytes) -> None:
        """Let the next ``fetch`` pass over a failure recorded until now."""
        _remember(self._forgiven, key, self._now())

    def refused(self, key: bytes) -> None:
        """Take no entry of ``key`` that was made until now."""
        _remember(self._refused, key, self._now())

    def tell_secret(self, path: str) -> None:
        """Tell everybody, soon, that the secret at ``path`` was changed."""
        self._behind(self._tell(path.encode()))

    async def recovered(self) -> None:
        """The store is back: tell it what it missed. Raises StoreLost when it is lost again."""
        while self._untold:
            (about, subject), _ = self._untold.popitem(last=False)
            await (self._tell(subject) if about == "secret" else self._refuse(subject, None))

    async def close(self) -> None:
        """Finish what still has to be written; the store bounds each by a time of its own."""
        self._closed = True
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _found(self, key: bytes, begun: Begun, grace: float, hold: Hold) -> Fetched | UpstreamError | None:
        """What may be answered from the records: what is fresh, or no older than ``grace``."""
        entry = self._opened(key, begun.entry, self._records.open_answer)
        if entry is not None and entry.made > self._refused.get(key, -math.inf):
            if entry.age <= grace:
                return Fetched(entry.value, entry.age, "collapsed")
            if entry.age < self._ages.fresh_of(entry.value):
                return Fetched(entry.value, entry.age, "shared")
            if entry.age < self._ages.usable(entry.value):
                hold(entry.value, entry.age)
        failure = self._opened(key, begun.failure, self._records.open_failure)
        if failure is None or failure.made <= self._forgiven.get(key, -math.inf):
            return None
        lasts = self._ages.failure_lasts(failure.value)
        return failure.value if failure.age < lasts or failure.age <= grace else None

    def _opened(
        self, key: bytes, sealed: bytes | None, opener: Callable[[bytes, bytes], Aged[Any]]
    ) -> Aged[Any] | None:
        if sealed is None:
            return None
        try:
            return opener(key, sealed)
        except Broken:
            self.rejected()
            return None

    def rejected(self) -> None:
        """Say that a record or message was not ours, or too far in the future; once a minute will do."""
        self.rejections += 1
        now = self._clock()
        if now - self._warned_at >= 60.0:
            self._warned_at = now
            _log.warning("shared_cache_rejected", reason="not sealed by us, moved, too old or of the future")

    async def _lead(self, key: bytes, holder: bytes, load: Load) -> Fetched:
        """Make the call while holding the lease; what becomes of it is written behind the answer."""
        self.outcomes["called"] += 1
        renewing = asyncio.ensure_future(self._renew(key, holder))
        try:
            answer = await load()
        except UpstreamAuth as exc:
            self.refused(key)
            self._behind(self._refuse(key, exc))
            raise
        except UpstreamError as exc:
            self._behind(self._fail(key, holder, exc))
            raise
        except BaseException:  # ours alone: others may have more luck
            self._behind(self._store.release(key, holder))
            raise
        finally:
            renewing.cancel()
        self._forgiven.pop(key, None)
        self._behind(self._land(key, holder, answer))
        return Fetched(answer)

    async def _alone(self, key: bytes, load: Load) -> Fetched:
        """Make the call without the store; only a refusal has to be told all the same."""
        self.outcomes["alone"] += 1
        try:
            return Fetched(await load())
        except UpstreamAuth as exc:
            self.refused(key)
            self._behind(self._refuse(key, exc))
            raise

    async def _renew(self, key: bytes, holder: bytes) -> None:
        with suppress(StoreLost):
            while True:
                await self._pause(self._lease.seconds / 3)
                if not await self._store.extend(key, holder, self._lease.seconds):
                    return

    async def _land(self, key: bytes, holder: bytes, answer: Answer) -> None:
        entry = self._records.close_answer(key, answer)
        if len(entry) > self._largest:
            await self._store.release(key, holder)
            return
        await self._store.land(key, holder, entry, max(self._ages.usable(answer), _SHORTEST_RECORD))

    async def _fail(self, key: bytes, holder: bytes, exc: UpstreamError) -> None:
        life = max(self._ages.failure_lasts(exc), _SHORTEST_RECORD)
        await self._store.fail(key, holder, self._records.close_failure(key, exc), life)

    async def _refuse(self, key: bytes, exc: UpstreamError | None) -> None:
        life = max(self._ages.failure_lasts(exc), _SHORTEST_RECORD) if exc else 0.0
        failure = self._records.close_failure(key, exc) if exc else None
        try:
            await self._store.refuse(key, failure, life, self._news.write("refused", key))
        except StoreLost:
            _remember(self._untold, ("refused", key), None)
            raise

    async def _tell(self, path: bytes) -> None:
        try:
            await self._store.tell(self._news.write("secret", path))
        except StoreLost:
            _remember(self._untold, ("secret", path), None)
            raise

    def _behind(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do ``work`` after the answer: nobody waits for it, and a lost store is nobody's failure."""
        if self._closed:  # a call that was given up; its lease ends by itself
            work.close()
            return
        task = asyncio.ensure_future(_quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _quietly(work: Coroutine[Any, Any, Any]) -> None:
    with suppress(StoreLost):
        await work


def _remember(where: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    where[key] = value
    where.move_to_end(key)
    if len(where) > _MOST_REMEMBERED:
        where.popitem(last=False)
