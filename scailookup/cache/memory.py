"""Answers in memory: fresh, then stale while one call behind renews them, then stale if that fails.

One flight serves everybody who asks for the same key, and belongs to the cache: a
caller that leaves does not end it. A failed lookup is remembered for a moment, so that
a failing upstream is asked once a second and not a thousand times. A refusal (401, 403)
removes what is held and is never papered over.

The caller makes the key. It must hold the credential that would be used, the tenant,
the address, the lookup and its path values, and the permission must have been checked
before the cache is read.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from scailookup.cache.values import Ages, Fetched, Flight, Held, Load, Shared
from scailookup.errors import ScailookupError, UpstreamAuth, UpstreamError
from scailookup.model import Answer, Form, Served

__all__ = ["MAX_BYTES", "Memory"]

MAX_BYTES = 64 * 1024 * 1024
_ENTRY_WEIGHT = 1024
_MOST_FAILURES = 10_000


@dataclass(slots=True)
class _Entry:
    answer: Answer
    form: Form
    stored: float
    fresh: float
    weight: int
    marked_stale: bool = False

    def stale_form(self) -> Form:
        """The form that says it is stale; it takes the place of the fresh one, which is over."""
        if not self.marked_stale:
            self.answer = self.answer.stale()
            self.form = Form(self.answer.body)
            self.marked_stale = True
        return self.form


class Memory:
    """The cache of one process, bounded by bytes; the least recently used entry leaves first."""

    def __init__(
        self,
        ages: Ages,
        *,
        shared: Shared | None = None,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ages = ages
        self._shared = shared
        self._max_bytes = max_bytes
        self._clock = clock
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._flights: dict[bytes, asyncio.Task[Served]] = {}
        self._failures: OrderedDict[bytes, tuple[float, float, UpstreamError]] = OrderedDict()
        self.bytes = 0
        self.evicted = 0
        self.joined = 0

    def __len__(self) -> int:
        return len(self._entries)

    def peek(self, key: bytes) -> Served | None:
        """The answer under ``key`` when it is fresh."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        age = self._clock() - entry.stored
        left = entry.fresh - age
        if left <= 0:
            return None
        self._entries.move_to_end(key)
        return Served(entry.answer, entry.form, "hit", age, left)

    async def answer(self, key: bytes, load: Load, *, patient: bool = False) -> Served:
        """Fresh from memory; stale and renewed behind; else by one shared flight.

        Raises what the flight raised, or raised a moment ago, when nothing held may
        stand in for it.
        """
        served = self.peek(key)
        if served is not None:
            return served
        entry = self._entries.get(key)
        if entry is not None and not patient and self._young(entry, self._ages.stale):
            self._renew_behind(key, load)
            return self._stale(key, entry, "stale")
        try:
            return await self._join(key, load)
        except ScailookupError as exc:
            served = self._stand_in(key, exc)
            if served is None:
                raise
            return served

    def look(self, key: bytes) -> Held:
        """What is known of ``key``, for telling; it does not count as a use."""
        failure, flying = self._remembered(key), key in self._flights
        entry = self._entries.get(key)
        if entry is None:
            return Held(failure=failure, flying=flying)
        age = self._clock() - entry.stored
        for state, more in (
            ("fresh", 0.0),
            ("stale", self._ages.stale),
            ("stale-if-error", self._ages.stale_if_error),
        ):
            if age < entry.fresh + more:
                return Held(state, age, entry.fresh + more - age, failure, flying)
        return Held("none", age, 0.0, failure, flying)

    def forgive(self, key: bytes) -> None:
        """Forget the failure under ``key``."""
        self._failures.pop(key, None)
        if self._shared is not None:
            self._shared.forgive(key)

    def drop(self, key: bytes) -> None:
        """Forget the answer under ``key``: somebody was refused it."""
        self._drop(key)

    def _stand_in(self, key: bytes, exc: ScailookupError) -> Served | None:
        """An older answer in the place of a failure; a refusal has none."""
        entry = self._entries.get(key)
        if (
            entry is None
            or isinstance(exc, UpstreamAuth)
            or not self._young(entry, self._ages.stale_if_error)
        ):
            return None
        return self._stale(key, entry, "stale-if-error", exc)

    def clear(self) -> None:
        """Forget every answer and every failure; flights under way still land."""
        self._entries.clear()
        self._failures.clear()
        self.bytes = 0

    def _young(self, entry: _Entry, more: float) -> bool:
        """Whether an answer may still be given ``more`` seconds after it stopped being fresh."""
        return self._clock() - entry.stored < entry.fresh + more

    def _stale(
        self, key: bytes, entry: _Entry, outcome: str, failure: ScailookupError | None = None
    ) -> Served:
        self._entries.move_to_end(key)
        age = self._clock() - entry.stored
        form = entry.stale_form()
        return Served(entry.answer, form, outcome, age, entry.fresh - age, failure)

    def _renew_behind(self, key: bytes, load: Load) -> None:
        if key in self._flights or self._remembered(key) is not None:
            return

        def landed(done: asyncio.Task[Served]) -> None:
            failure = None if done.cancelled() else done.exception()
            if isinstance(failure, UpstreamAuth) and failure.upstream_status == 401:
                # Nobody waited who could read the refused key afresh: the next caller asks, and will.
                self.forgive(key)

        self._start(key, load).add_done_callback(landed)

    def launch(self, key: bytes, load: Load) -> Flight | None:
        """The flight for ``key``; None when something is held or remembered, which ``answer`` weighs."""
        if key in self._entries or key in self._failures:
            return None
        return self._flight(key, load)

    async def _join(self, key: bytes, load: Load) -> Served:
        failure = self._remembered(key)
        if failure is not None:
            raise failure
        flight = self._flight(key, load)
        await asyncio.wait([flight.task])
        return flight.landed()

    def _flight(self, key: bytes, load: Load) -> Flight:
        task = self._flights.get(key)
        if task is None:
            return Flight(self._start(key, load), False)
        self.joined += 1
        return Flight(task, True)

    def _start(self, key: bytes, load: Load) -> asyncio.Task[Served]:
        flight = asyncio.ensure_future(self._fly(key, load))
        self._flights[key] = flight

        def landed(done: asyncio.Task[Served]) -> None:
            del self._flights[key]
            if not done.cancelled():
                done.exception()  # seen: everybody who waited may have left

        flight.add_done_callback(landed)
        return flight

    async def _fly(self, key: bytes, load: Load) -> Served:
        try:
            fetched = (
                Fetched(await load())
                if self._shared is None
                else await self._shared.fetch(key, load, partial(self._take_over, key))
            )
        except ScailookupError as exc:
            if isinstance(exc, UpstreamAuth):
                self._drop(key)
            if isinstance(exc, UpstreamError):
                self._remember(key, exc)
            # Nobody but this flight knows what it took over on the way.
            served = self._stand_in(key, exc) if self._shared is not None else None
            if served is None:
                raise
            return served
        answer, age, outcome = fetched
        form = Form(answer.body)
        outdated = key in self._entries  # from before, or taken over on the way
        self._keep(key, answer, form, age)
        left = self._ages.fresh_of(answer) - age
        return Served(answer, form, outcome, age, left, outdated=outdated)

    def _take_over(self, key: bytes, answer: Answer, age: float) -> None:
        """Hold what another process held, so that it may stand in as if it had been here all along."""
        entry = self._entries.get(key)
        if entry is None or entry.stored < self._clock() - age:
            self._keep(key, answer, Form(answer.body), age)

    def _remembered(self, key: bytes) -> UpstreamError | None:
        """The failure of a moment ago, with what is left of its Retry-After."""
        since, until, exc = self._failures.get(key, (0.0, 0.0, None))
        now = self._clock()
        if exc is None or now >= until:
            self._failures.pop(key, None)
            return None
        if exc.retry_after is None:
            return exc.later(None)
        return exc.later(max(1, math.ceil(exc.retry_after - (now - since))))

    def _remember(self, key: bytes, exc: UpstreamError) -> None:
        lasts = self._ages.failure_lasts(exc)
        if lasts <= 0:
            return
        since = self._clock() - exc.age
        self._failures[key] = (since, since + lasts, exc.later(exc.retry_after))
        self._failures.move_to_end(key)
        if len(self._failures) > _MOST_FAILURES:
            self._failures.popitem(last=False)

    def _keep(self, key: bytes, answer: Answer, form: Form, age: float) -> None:
        self._drop(key)
        self._failures.pop(key, None)
        weight = form.weight + len(key) + _ENTRY_WEIGHT
        if self._ages.usable(answer) <= 0 or weight > self._max_bytes:
            return
        fresh = self._ages.fresh_of(answer)
        self._entries[key] = _Entry(answer, form, self._clock() - age, fresh, weight)
        self.bytes += weight
        while self.bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))
            self.evicted += 1

    def _drop(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes -= entry.weight
