"""Tokens by OAuth client credentials: one fetch for all who need it, renewed before its end.

A fetch belongs to the holder: a caller that leaves takes nobody along. A token that the
upstream refuses is forgotten, and the next call fetches another; a fresh one that is
refused again is not: the cause is then elsewhere.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote_plus, urlencode

import msgspec

from scailookup.errors import CallFailed, Overloaded
from scailookup.model import Content, Errand, Exchange, Grant, Judged, Reply, Trace
from scailookup.replies import judge
from scailookup.seams import WayOut
from scailookup.shapes import whole

__all__ = ["AccessTokens"]

FETCH_TIME = 5.0
# A token without a word on its life is taken to live so long.
DEFAULT_LIFE = 300.0
FAILURE_MEMORY = 1.0
_LONGEST_LIFE = 10**9
# A token is renewed this long before its end, or with the last fifth of a short life.
_MARGIN = 60.0
# A token fetched after a refusal stands for so long, refused or not.
_STANDS = 10.0
_MOST = 10_000
_REFUSALS = (400, 401, 403)


@dataclass(slots=True)
class _Token:
    """A token and its times, by the holder's clock."""

    value: str = field(repr=False)
    fetched: float
    renew: float
    ends: float
    after_refusal: bool


class AccessTokens:
    """Holds the tokens of one process; ``way_out`` makes the calls that fetch them."""

    def __init__(self, way_out: WayOut, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._way_out = way_out
        self._clock = clock
        self._tokens: OrderedDict[Exchange, _Token] = OrderedDict()
        self._flights: dict[Exchange, asyncio.Task[_Token]] = {}
        self._failures: dict[Exchange, tuple[float, CallFailed | Overloaded]] = {}
        self._refused: set[Exchange] = set()

    async def sign(self, grant: Grant, tenant: str, trace: Trace, deadline: float) -> Grant:
        """The grant with its token; raises CallFailed or Overloaded when it cannot be had in time."""
        exchange = grant.exchange
        if exchange is None:
            return grant
        token = self._tokens.get(exchange)
        now = self._clock()
        if token is None or now >= token.ends:
            token = await self._shared(exchange, grant.step, tenant, trace, deadline)
        elif now >= token.renew and exchange not in self._flights and not self._failing(exchange):
            self._start(exchange, grant.step, tenant, trace)
        return replace(grant, headers=(("Authorization", f"Bearer {token.value}"),), secret=token.value)

    def refuse(self, grant: Grant) -> None:
        """Forget the token of a signed grant, which the upstream answered with 401."""
        exchange = grant.exchange
        token = None if exchange is None else self._tokens.get(exchange)
        if exchange is None or token is None or token.value != grant.secret:
            return  # another has taken its place already
        if token.after_refusal and self._clock() - token.fetched < _STANDS:
            return
        del self._tokens[exchange]
        if len(self._refused) >= _MOST:
            self._refused.clear()  # of clients that nobody fetches for any more
        self._refused.add(exchange)

    def values(self) -> Iterable[str]:
        """Every token held, for scrubbing texts."""
        return tuple([token.value for token in self._tokens.values()])

    async def close(self) -> None:
        """Stop the fetches under way."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    def _failing(self, exchange: Exchange) -> CallFailed | Overloaded | None:
        """The failure of a moment ago."""
        until, failure = self._failures.get(exchange, (0.0, None))
        if self._clock() < until:
            return failure
        self._failures.pop(exchange, None)
        return None

    async def _shared(
        self, exchange: Exchange, step: str, tenant: str, trace: Trace, deadline: float
    ) -> _Token:
        failure = self._failing(exchange)
        if failure is not None:
            raise _again(failure)
        flight = self._flights.get(exchange) or self._start(exchange, step, tenant, trace)
        try:
            async with asyncio.timeout_at(deadline):
                return await asyncio.shield(flight)
        except TimeoutError:
            raise CallFailed("timeout", "the token did not come in time") from None
        except (CallFailed, Overloaded) as exc:
            raise _again(exc) from None

    def _start(self, exchange: Exchange, step: str, tenant: str, trace: Trace) -> asyncio.Task[_Token]:
        flight = asyncio.ensure_future(self._fetch(exchange, step, tenant, trace))
        self._flights[exchange] = flight

        def landed(done: asyncio.Task[_Token]) -> None:
            del self._flights[exchange]
            if not done.cancelled():
                done.exception()  # seen: everybody who waited may have left

        flight.add_done_callback(landed)
        return flight

    async def _fetch(self, exchange: Exchange, step: str, tenant: str, trace: Trace) -> _Token:
        after_refusal = exchange in self._refused
        self._refused.discard(exchange)
        errand = Errand(
            upstream=exchange.upstream,
            lookup="token",
            tenant=tenant,
            url=exchange.url,
            template=exchange.url,
            grant=_grant(exchange, step),
            trace=trace,
            deadline=time.monotonic() + FETCH_TIME,
            content=Content(_form(exchange), "application/x-www-form-urlencoded", reads=False),
        )
        try:
            value, life = await self._way_out.call(errand, _judged)
        except (CallFailed, Overloaded) as exc:
            self._failures[exchange] = (self._clock() + FAILURE_MEMORY, exc)
            if len(self._failures) > _MOST:
                del self._failures[next(iter(self._failures))]
            raise
        self._failures.pop(exchange, None)
        now = self._clock()
        token = _Token(value, now, now + life - min(_MARGIN, life / 5), now + life, after_refusal)
        self._tokens[exchange] = token
        self._tokens.move_to_end(exchange)
        if len(self._tokens) > _MOST:
            self._tokens.popitem(last=False)
        return token


def _again(failure: CallFailed | Overloaded) -> CallFailed | Overloaded:
    """The same failure for one more caller: an exception is annotated on its way out."""
    if isinstance(failure, Overloaded):
        other = failure.again()
        assert isinstance(other, Overloaded)
        return other
    return CallFailed(failure.code, failure.text, status=failure.status, retry_after=failure.retry_after)


def _grant(exchange: Exchange, step: str) -> Grant:
    """How the call to the token endpoint is signed."""
    if exchange.in_body:
        return Grant(step, exchange.url, (), exchange.secret)
    # RFC 6749, 2.3.1: both are form-encoded first.
    pair = f"{quote_plus(exchange.client_id)}:{quote_plus(exchange.secret)}"
    basic = base64.b64encode(pair.encode()).decode()
    return Grant(step, exchange.url, (("Authorization", f"Basic {basic}"),), exchange.secret)


def _form(exchange: Exchange) -> bytes:
    fields = [("grant_type", "client_credentials"), *exchange.more]
    if exchange.scope:
        fields.append(("scope", exchange.scope))
    if exchange.in_body:
        fields += [("client_id", exchange.client_id), ("client_secret", exchange.secret)]
    return urlencode(fields).encode()


async def _judged(reply: Reply) -> Judged[tuple[str, float]]:
    """Token and life in seconds; raises CallFailed, with the code of RFC 6749's error where there is one."""
    if reply.status in _REFUSALS:
        error, text = _error(reply.body)
        raise CallFailed(
            error or f"http_{reply.status}", text or "the token endpoint refused", status=reply.status
        )
    body: Any = judge(reply)
    found = body if isinstance(body, dict) else {}
    value, kind, life = found.get("access_token"), found.get("token_type", "bearer"), found.get("expires_in")
    sound = isinstance(value, str) and value.isascii() and value.isprintable() and value and " " not in value
    if not sound or not isinstance(kind, str) or kind.lower() != "bearer":
        raise CallFailed("bad_shape", "the token endpoint gave no bearer token", status=reply.status)
    assert isinstance(value, str)
    return Judged((value, _life(life)))


def _life(said: Any) -> float:
    """Seconds that a token lives, by its ``expires_in``."""
    seconds = whole(said)
    return float(seconds) if seconds is not None and 0 < seconds < _LONGEST_LIFE else DEFAULT_LIFE


def _error(raw: bytes) -> tuple[str, str]:
    """RFC 6749's ``error`` and ``error_description``."""
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "", ""
    found = body if isinstance(body, dict) else {}
    error, text = found.get("error"), found.get("error_description")
    error = error if isinstance(error, str) else ""
    return error, text if isinstance(text, str) and text else error
