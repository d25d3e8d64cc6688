"""One lookup: cache, credential, calls page by page, rows. Knows neither Tornado nor pycurl."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

import msgspec
import structlog

from scailookup import envelopes
from scailookup.cache import Cache, Flight
from scailookup.credentials import Credentials
from scailookup.declare import Lookup, Upstream
from scailookup.errors import CallFailed, ScailookupError, SecretsUnavailable, UpstreamError
from scailookup.lookup.blame import blame
from scailookup.lookup.rows import Reader
from scailookup.model import Answer, Caller, Errand, Grant, Judged, Reply, Served, Trace
from scailookup.replies import judge

__all__ = ["Bound", "Launched", "Limits", "Lookups", "Place", "WayOut"]

_log = structlog.get_logger("scailookup.lookup")
UNREADABLE = "not one record of the list can be read"


class WayOut(Protocol):
    """The transport, as a lookup sees it."""

    async def call(self, errand: Errand, judge: Any) -> Any:
        """Make one call and have ``judge`` read the reply; raises CallFailed or Overloaded."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A lookup with its upstream and the path values of one request."""

    upstream: Upstream
    lookup: Lookup
    values: Mapping[str, str]

    def url(self, base_url: str) -> str:
        """The upstream url: each value one percent-encoded segment."""
        path = self.lookup.path
        for name, value in self.values.items():
            path = path.replace("{" + name + "}", quote(value, safe=""))
        return base_url + path

    def template(self, base_url: str) -> str:
        """The url as the log shows it: no values, no query."""
        return base_url + self.lookup.path.partition("?")[0]


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
    """Answers lookups."""

    def __init__(self, limits: Limits, cache: Cache, credentials: Credentials, way_out: WayOut) -> None:
        self._limits = limits
        self._cache = cache
        self._credentials = credentials
        self._way_out = way_out
        self._pepper = secrets.token_bytes(32)

    async def answer(self, bound: Bound, caller: Caller, trace: Trace) -> Served:
        """The full list for ``caller``; a stored key that gets 401 is read afresh and tried once more.

        Raises MissingCredentials, SecretsUnavailable, Overloaded, UpstreamAuth or
        UpstreamApi; each carries the credential step once that is known.
        """
        deadline = monotonic() + self._limits.deadline
        place = self._place(bound, caller, await self._choose(bound, caller, deadline))
        try:
            return await self._served(place, trace, deadline)
        except UpstreamError as exc:
            return await self.once_more(place, trace, deadline, exc)

    def place(self, bound: Bound, caller: Caller) -> Place | None:
        """Where the answer lies, when the credential is at hand; nobody is asked."""
        grant = self._credentials.recall(bound.upstream, caller)
        return None if grant is None else self._place(bound, caller, grant)

    def held(self, place: Place) -> Served | None:
        """The answer, when it is at hand and fresh; nobody is asked."""
        return self._cache.peek(place.key)

    def launch(self, place: Place, trace: Trace) -> Launched | None:
        """The call for what is not at hand, under way; None when ``answer`` has more to consider."""
        deadline = monotonic() + self._limits.deadline
        flight = self._cache.launch(place.key, lambda: self._pages(place, trace, deadline))
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

    async def _served(self, place: Place, trace: Trace, deadline: float) -> Served:
        try:
            return await self._cache.answer(place.key, lambda: self._pages(place, trace, deadline))
        except ScailookupError as exc:
            exc.credential = exc.credential or place.grant.step
            raise

    def _place(self, bound: Bound, caller: Caller, grant: Grant) -> Place:
        return Place(bound, caller, grant, self._key(bound, caller, grant))

    def _key(self, bound: Bound, caller: Caller, grant: Grant) -> bytes:
        """What an answer is held under: a keyed hash, so that memory and peers learn no credential.

        It holds all that may change the full list. Filters are applied to that list later.
        """
        parts = (
            grant.secret,
            caller.tenant,
            grant.base_url,
            bound.upstream.name,
            bound.lookup.name,
            *bound.values.values(),
        )
        # The lengths keep two lists of parts apart that read the same joined.
        text = "\0".join(parts) + "\0" + ",".join([str(len(part)) for part in parts])
        return hashlib.blake2b(text.encode(), key=self._pepper, digest_size=32).digest()

    async def _choose(self, bound: Bound, caller: Caller, deadline: float, *, fresh: bool = False) -> Grant:
        """The credential, within the deadline: a hanging store is a failing one."""
        grant = None if fresh else self._credentials.recall(bound.upstream, caller)
        if grant is not None:
            return grant
        try:
            async with asyncio.timeout_at(deadline):
                return await self._credentials.choose(bound.upstream, caller, fresh=fresh)
        except TimeoutError:
            raise SecretsUnavailable("the secret store did not answer in time") from None

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

    async def _pages(self, place: Place, trace: Trace, deadline: float) -> Answer:
        started = monotonic()
        bound, caller, grant, _ = place
        reader = Reader(bound.lookup, caller.tenant, self._limits.rows)
        url: str | None = bound.url(grant.base_url)
        asked: set[str] = set()
        truncated = False
        while url is not None:
            asked.add(url)
            errand = self._errand(bound, caller, grant, trace, deadline, url)
            try:
                page = await self._way_out.call(errand, lambda reply: _judged(reply, reader))
            except CallFailed as failure:
                raise blame(failure, bound.upstream, grant) from None
            url, truncated = self._after(page, url, asked, reader)
        if reader.unreadable:  # every page of a list cut short
            raise blame(CallFailed("bad_shape", UNREADABLE), bound.upstream, grant)
        return Answer.of(
            msgspec.json.encode(reader.rows),
            truncated=truncated,
            dropped=reader.dropped,
            credential=grant.step,
            upstream_seconds=monotonic() - started,
            calls=len(asked),
        )

    def _errand(
        self, bound: Bound, caller: Caller, grant: Grant, trace: Trace, deadline: float, url: str
    ) -> Errand:
        return Errand(
            upstream=bound.upstream.name,
            lookup=bound.lookup.name,
            tenant=caller.tenant,
            url=url,
            template=bound.template(grant.base_url),
            grant=grant,
            trace=trace,
            deadline=deadline,
        )

    def _after(
        self, page: envelopes.NextPage, url: str, asked: set[str], reader: Reader
    ) -> tuple[str | None, bool]:
        """The next url, or None and whether there would have been more."""
        if reader.full:
            return None, True
        if isinstance(page, envelopes.End):
            return None, page.truncated
        following = envelopes.next_url(url, page)
        capped = len(asked) >= self._limits.pages or len(reader.rows) >= self._limits.rows
        if following is None or following in asked or capped:
            return None, True
        return following, False


async def _judged(reply: Reply, reader: Reader) -> Judged[envelopes.NextPage]:
    """Read one good page into ``reader``; raises CallFailed for a bad one."""
    typed = reader.decode(reply)
    if typed is not None:
        records, rest = typed
        return Judged(envelopes.next_page(rest, reply.headers), *reader.take_typed(records))
    body = judge(reply)
    try:
        kept, dropped = await reader.take(envelopes.records(body))
    except CallFailed as exc:
        raise CallFailed(exc.code, exc.text, status=reply.status) from None
    page = envelopes.next_page(body, reply.headers)
    if reader.unreadable and isinstance(page, envelopes.End):
        raise CallFailed("bad_shape", UNREADABLE, status=reply.status)
    return Judged(page, kept, dropped)


def _stored(grant: Grant) -> bool:
    """Whether the credential came out of the secret store and may have been changed there."""
    return grant.step in ("tenant", "shared")
