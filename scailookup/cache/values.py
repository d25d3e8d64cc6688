"""What a cache is to the rooms around it: ages, flights, and the Protocols of both tiers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from scailookup.errors import ScailookupError, UpstreamError
from scailookup.model import Answer, Served

__all__ = ["Ages", "Cache", "Fetched", "Flight", "Held", "Hold", "Load", "Shared"]

_LONGEST_FAILURE = 3600.0

Load = Callable[[], Awaitable[Answer]]
Hold = Callable[[Answer, float], None]


class Cache(Protocol):
    """Answers of lookups by key."""

    def peek(self, key: bytes) -> Served | None:
        """The answer, when it is held and fresh; never asks anybody."""

    def look(self, key: bytes) -> Held:
        """What is known of ``key``, for telling; nothing changes."""

    def forgive(self, key: bytes) -> None:
        """Forget that the lookup failed a moment ago."""

    def launch(self, key: bytes, load: Load) -> Flight | None:
        """The one call that brings what nobody holds, begun or joined; None when more is to be considered."""

    async def answer(self, key: bytes, load: Load, *, patient: bool = False) -> Served:
        """The answer, from memory or by ``load``; raises what ``load`` raised.

        ``patient`` waits for ``load`` where an older answer could be given at once.
        """


class Flight(NamedTuple):
    """One call under way. It belongs to the cache; ``joined`` says that somebody else began it."""

    task: asyncio.Task[Served]
    joined: bool

    def landed(self) -> Served:
        """What a call that ended well brought; raises what it raised, as a failure of this caller's own."""
        try:
            served = self.task.result()
        except ScailookupError as exc:
            raise exc.again() from None
        return served._replace(outcome="collapsed") if self.joined and served.outcome == "miss" else served


class Held(NamedTuple):
    """What a cache knows under one key; ``age`` and ``left`` (of what ``state`` says) in seconds.

    ``state`` is fresh, stale (given, and renewed behind), stale-if-error, or none. ``failure`` is the
    remembered one, and ``flying`` says that a call is under way.
    """

    state: str = "none"
    age: float = 0.0
    left: float = 0.0
    failure: UpstreamError | None = None
    flying: bool = False


@dataclass(frozen=True, slots=True)
class Ages:
    """Seconds: fresh; after it stale while renewed; after it stale if renewing fails; a failure's memory."""

    fresh: float
    stale: float
    stale_if_error: float
    failure: float

    @property
    def beyond(self) -> float:
        """For how long after it stopped being fresh an answer may still be of use."""
        return max(self.stale, self.stale_if_error)

    def fresh_of(self, answer: Answer) -> float:
        """For how long ``answer`` is fresh."""
        return self.fresh if answer.fresh is None else answer.fresh

    def usable(self, answer: Answer) -> float:
        """How old ``answer`` may get before nothing can be done with it."""
        return self.fresh_of(answer) + self.beyond

    def failure_lasts(self, exc: UpstreamError) -> float:
        """How long ``exc`` is remembered; 0 for not at all."""
        if self.failure <= 0:
            return 0.0
        wait = exc.retry_after if exc.upstream_status == 429 and exc.retry_after else self.failure
        return min(wait, _LONGEST_FAILURE)


class Fetched(NamedTuple):
    """An answer and its age in seconds.

    ``outcome`` is miss, shared (another process held it) or collapsed (another process fetched it).
    """

    answer: Answer
    age: float = 0.0
    outcome: str = "miss"


class Shared(Protocol):
    """A cache of many processes, behind the memory of each. It never fails a lookup by failing itself."""

    async def fetch(self, key: bytes, load: Load, hold: Hold) -> Fetched:
        """The answer, held there or by one ``load`` for all; raises what ``load`` raised, here or elsewhere.

        An answer past fresh that is found on the way is given to ``hold`` with its age.
        """

    def forgive(self, key: bytes) -> None:
        """Forget that the lookup failed a moment ago."""
