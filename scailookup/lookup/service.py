"""One lookup: cache, credential, calls, rows. Knows neither Tornado nor pycurl."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from time import monotonic
from typing import NamedTuple

import structlog

from scailookup.cache import Cache, Flight
from scailookup.credentials import AccessTokens, Credentials
from scailookup.declare import Upstream
from scailookup.errors import (
    CallFailed,
    MissingCredentials,
    ScailookupError,
    SecretsUnavailable,
    UpstreamError,
)
from scailookup.lookup.asking import Asking, gather_rows
from scailookup.lookup.blame import blame, blame_exchange
from scailookup.lookup.bound import Bound, Trip
from scailookup.lookup.rows import Reader
from scailookup.lookup.walk import Read, read_pages
from scailookup.model import Answer, Caller, Grant, Served, Trace
from scailookup.seams import WayOut

__all__ = ["Launched", "Limits", "Lookups", "Place"]

_FROM_STORE = ("tenant", "shared")
_log = structlog.get_logger("scailookup.lookup")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one lookup: seconds for everything, pages and rows."""

    deadline: float
    pages: int
    rows: int


class Place(NamedTuple):
    """Where one answer lies: what is asked, who asks, by which credential, and the key that these make."""

    bound: Bound
    caller: Caller
    grant: Grant
    key: bytes


class Launched(NamedTuple):
    """A call under way for one caller."""

    lookups: Lookups
    place: Place
    trace: Trace
    deadline: float
    flight: Flight

    async def settled(self) -> Served:
        """The answer of the flight that has landed, or what follows a failed one; raises as ``answer``."""
        try:
            return self.flight.landed()
        except UpstreamError as exc:
            exc.credential = exc.credential or self.place.grant.step
            return await self.lookups.once_more(self.place, self.trace, self.deadline, exc)


class Lookups:
    """Answers lookups. ``pepper`` is what processes that share a cache hash its keys with."""

    def __init__(
        self,
        limits: Limits,
        cache: Cache,
        credentials: Credentials,
        way_out: WayOut,
        pepper: bytes | None = None,
        tokens: AccessTokens | None = None,
    ) -> None:
        self._limits = limits
        self._cache = cache
        self._credentials = credentials
        self._way_out = way_out
        self.tokens = tokens or AccessTokens(way_out)
        self._pepper = pepper or secrets.token_bytes(32)

    async def answer(
        self,
        bound: Bound,
        caller: Caller,
        trace: Trace,
        *,
        until: float | None = None,
        patient: bool = False,
    ) -> Served:
        """The full list for ``caller``; a stored key that gets 401 is read afresh and tried once more.

        ``until`` bounds the lookup's own deadline (monotonic time). ``patient`` waits
        where an older answer could be given at once. Raises MissingCredentials,
        SecretsUnavailable, Overloaded, UpstreamAuth or UpstreamApi; each carries the
        credential step once that is known.
        """
        deadline = self._deadline(bound)
        if until is not None:
            deadline = min(deadline, until)
        place = self._place(bound, caller, await self._choose(bound, caller, deadline))
        try:
            return await self._served(place, trace, deadline, patient)
        except UpstreamError as exc:
            return await self.once_more(place, trace, deadline, exc)

    def place(self, bound: Bound, caller: Caller) -> Place | None:
        """Where the answer lies, when the credential is at hand; nobody is asked."""
        grant = self._recall(bound, caller)
        return None if grant is None else self._place(bound, caller, grant)

    def held(self, place: Place) -> Served | None:
        """The answer, when it is at hand and fresh; nobody is asked."""
        return self._cache.peek(place.key)

    def launch(self, place: Place, trace: Trace) -> Launched | None:
        """The call for what is not at hand, under way; None when ``answer`` has more to consider."""
        deadline = self._deadline(place.bound)
        flight = self._cache.launch(place.key, lambda: self._load(place, trace, deadline))
        return None if flight is None else Launched(self, place, trace, deadline, flight)

    async def once_more(self, place: Place, trace: Trace, deadline: float, exc: UpstreamError) -> Served:
        """What the upstream says to the stored key read afresh, when it refused the one that was held."""
        renewable = exc.upstream_status == 401 and not exc.remembered and _stored(place.grant)
        renewed = await self._renewed(place, deadline) if renewable else None
        if renewed is None or renewed.step != place.grant.step:
            raise exc
        place = self._place(place.bound, place.caller, renewed)
        # Refused a moment ago and remembered so; this is the one more try it is owed.
        self._cache.forgive(place.key)
        return await self._served(place, trace, deadline)

    async def close(self) -> None:
        """End what runs behind."""
        await self.tokens.close()

    async def _served(self, place: Place, trace: Trace, deadline: float, patient: bool = False) -> Served:
        try:
            return await self._cache.answer(
                place.key, lambda: self._load(place, trace, deadline), patient=patient
            )
        except ScailookupError as exc:
            exc.credential = exc.credential or place.grant.step
            raise

    def _deadline(self, bound: Bound) -> float:
        """Until when the lookup has time (monotonic): its own, its upstream's, or the service's."""
        return monotonic() + (bound.lookup.deadline or bound.upstream.deadline or self._limits.deadline)

    def _place(self, bound: Bound, caller: Caller, grant: Grant) -> Place:
        return Place(bound, caller, grant, self._key(bound, caller, grant))

    def _key(self, bound: Bound, caller: Caller, grant: Grant) -> bytes:
        """What an answer is held under: a keyed hash, so that memory and peers learn no credential.

        It holds all that may change the full list. Filters are applied to that list later.
        """
        parts: tuple[str, ...] = (
            grant.secret,
            caller.tenant,
            grant.base_url,
            bound.upstream.name,
            bound.lookup.name,
            *bound.values.values(),
        )
        if bound.handed or grant.others:
            parts += (*[word for pair in bound.handed for word in pair], *grant.others)
        if grant.exchange is not None:
            parts += (grant.exchange.client_id,)
        # The lengths keep two lists of parts apart that read the same joined.
        text = "\0".join(parts) + "\0" + ",".join([str(len(part)) for part in parts])
        return hashlib.blake2b(text.encode(), key=self._pepper, digest_size=32).digest()

    async def _choose(self, bound: Bound, caller: Caller, deadline: float, *, fresh: bool = False) -> Grant:
        """The credential, within the deadline: a hanging store is a failing one."""
        grant = None if fresh else self._recall(bound, caller)
        if grant is not None:
            return grant
        try:
            async with asyncio.timeout_at(deadline):
                grant = await self._credentials.choose(bound.upstream, caller, fresh=fresh)
                if not bound.lookup.sources:
                    return grant
                others = [self._other(source, caller) for source in bound.lookup.sources]
                return replace(grant, others=tuple(await asyncio.gather(*others)))
        except TimeoutError:
            raise SecretsUnavailable("the secret store did not answer in time") from None

    def _recall(self, bound: Bound, caller: Caller) -> Grant | None:
        """The credential from memory alone, with those of the sources that an answer is made from."""
        grant = self._credentials.recall(bound.upstream, caller)
        if grant is None or not bound.lookup.sources:
            return grant
        found = [self._credentials.recall(source, caller) for source in bound.lookup.sources]
        others = tuple([_mark(other) for other in found if other is not None])
        return replace(grant, others=others) if len(others) == len(found) else None

    async def _other(self, source: Upstream, caller: Caller) -> str:
        """What an answer depends on at a source; a source without a credential has no rows in it."""
        try:
            return _mark(await self._credentials.choose(source, caller))
        except (MissingCredentials, SecretsUnavailable):
            return ""

    async def _renewed(self, place: Place, deadline: float) -> Grant | None:
        bound, caller = place.bound, place.caller
        try:
            return await self._choose(bound, caller, deadline, fresh=True)
        except ScailookupError as exc:
            # The refusal is what the caller must hear of, not that we tried to mend it.
            _log.warning(
                "fresh_key_failed", upstream=bound.upstream.name, tenant=caller.tenant, error=exc.error
            )
            return None

    async def _load(self, place: Place, trace: Trace, deadline: float) -> Answer:
        """The answer, asked for now."""
        started = monotonic()
        bound = place.bound
        trip = Trip(bound, place.caller, place.grant, trace, deadline)
        if trip.grant.exchange is not None:
            trip = await self._signed(trip)
        reader = self._reader(bound, trip.caller)
        try:
            if bound.lookup.gather is None:
                read = await read_pages(trip, self._way_out, reader, self._limits.pages)
            else:
                read = await self._gathered(trip, reader)
            rows = reader.encoded()
        except CallFailed as failure:
            if failure.status == 401:
                self.tokens.refuse(trip.grant)
                if trip.grant.step in _FROM_STORE and trip.grant.exchange is None:
                    # Before the failure is remembered: whoever asks next asks for the key too.
                    self._credentials.doubt(bound.upstream, place.caller)
            raise blame(failure, bound.upstream, trip.grant) from None
        return Answer.of(
            rows,
            truncated=read.truncated,
            dropped=reader.dropped,
            meta=read.meta,
            credential=trip.grant.step,
            upstream_seconds=monotonic() - started,
            calls=read.calls,
            fresh=bound.lookup.fresh if read.fresh is None else read.fresh,
        )

    def _reader(self, bound: Bound, caller: Caller) -> Reader:
        return Reader(bound.lookup, caller.tenant, self._limits.rows)

    async def _signed(self, trip: Trip) -> Trip:
        """The same with a token, fetched where none is held."""
        try:
            grant = await self.tokens.sign(trip.grant, trip.caller.tenant, trip.trace, trip.deadline)
        except CallFailed as failure:
            raise blame_exchange(failure, trip.bound.upstream, trip.grant) from None
        return trip._replace(grant=grant)

    async def _gathered(self, trip: Trip, reader: Reader) -> Read:
        def other(bound: Bound, until: float) -> Awaitable[Served]:
            return self.answer(bound, trip.caller, trip.trace, until=until, patient=True)

        asking = Asking(trip, self._way_out, self._limits.pages, other)
        try:
            return await gather_rows(asking, trip, reader)
        finally:
            if asking.refused:
                self.tokens.refuse(trip.grant)


def _mark(grant: Grant) -> str:
    """A source's credential and address, as a part of what an answer is kept under."""
    client = grant.exchange.client_id if grant.exchange is not None else ""
    return f"{grant.base_url} {len(client)} {client} {grant.secret}"


def _stored(grant: Grant) -> bool:
    """Whether the credential may have changed since it was read: it came from the store, or is a token."""
    return grant.step in _FROM_STORE or grant.exchange is not None
