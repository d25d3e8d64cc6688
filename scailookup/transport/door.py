"""The way out: every upstream call takes a place, gets at most two attempts and leaves one event each."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from time import monotonic
from typing import TypeVar
from urllib.parse import urlsplit

import structlog

from scailookup.errors import CallFailed
from scailookup.log import scrubber
from scailookup.model import Call, Errand, Judged, Reply
from scailookup.replies import launder
from scailookup.seams import Fetch, Judge, Spans
from scailookup.transport.circuit import Circuits
from scailookup.transport.gate import Gate

__all__ = ["ATTEMPTS", "PLACES", "Door", "address_of"]

ATTEMPTS = 2
PLACES = 256
_PAUSE = 0.05
_T = TypeVar("_T")


class Door:
    """Clients, places and events of all upstreams of one process.

    ``connect`` makes the client of one upstream; ``observe`` is told of every
    finished call.
    """

    def __init__(
        self,
        connect: Callable[[str], Fetch],
        observe: Callable[[Call], None],
        *,
        places: int = PLACES,
        max_wait: float = 0.0,
        circuits: Circuits | None = None,
        spans: Spans | None = None,
    ) -> None:
        self._connect = connect
        self._observe = observe
        self._places = places
        self._spans = spans
        self._max_wait = max_wait
        self._circuits = circuits or Circuits(0)
        self._log = structlog.get_logger("scailookup.upstream").bind()
        self._clients: dict[str, Fetch] = {}
        self._gates: dict[str, Gate] = {}

    async def call(self, errand: Errand, judge: Judge[_T]) -> _T:
        """Make the call and have ``judge`` read the reply.

        A second attempt follows only a failure that says it is repeatable, with
        time left. Raises CallFailed (``circuit_open`` without a call), or
        Overloaded when no place comes in time.
        """
        address = address_of(errand.url)
        self._circuits.admit(address)
        outcome: BaseException | None = None
        try:
            return await self._attempts(errand, judge)
        except BaseException as exc:
            outcome = exc
            raise
        finally:
            self._circuits.settle(address, outcome)

    async def _attempts(self, errand: Errand, judge: Judge[_T]) -> _T:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._attempt(errand, judge, attempt)
            except CallFailed as exc:
                pause = _PAUSE * (1 + secrets.randbelow(100) / 100)
                if attempt == ATTEMPTS or not exc.repeatable or monotonic() + pause >= errand.deadline:
                    raise
            await asyncio.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(self, errand: Errand, judge: Judge[_T], attempt: int) -> _T:
        gate = self._gates.get(errand.upstream)
        if gate is None:
            gate = self._gates[errand.upstream] = Gate(self._places, self._max_wait)
        await gate.enter(errand.deadline)
        started = monotonic()
        reply: Reply | None = None
        judged: Judged[_T] | None = None
        status: int | None = None
        code: str | None = "internal"
        if self._spans is not None:
            errand = self._spans.call(errand)
        try:
            reply = await self._client(errand.upstream)(errand.request(), deadline=errand.deadline)
            status = reply.status
            judged = await judge(reply)
            code = None
            return judged.value
        except CallFailed as exc:
            launder(exc, lambda text: scrubber(text, *errand.grant.forms()))
            status, code = exc.status, exc.code
            raise
        except asyncio.CancelledError:
            code = "cancelled"
            raise
        finally:
            seconds = monotonic() - started
            gate.leave(seconds)
            self._report(
                errand,
                Call(
                    upstream=errand.upstream,
                    lookup=errand.lookup,
                    tenant=errand.tenant,
                    credential=errand.grant.step,
                    url=errand.template,
                    status=status,
                    code=code,
                    attempt=attempt,
                    bytes=len(reply.body) if reply else 0,
                    rows=judged.rows if judged else None,
                    dropped=judged.dropped if judged else None,
                    duration=seconds,
                    request_id=errand.trace.request_id,
                ),
            )

    @property
    def gates(self) -> Mapping[str, Gate]:
        """The places of each upstream that was called."""
        return self._gates

    def _client(self, upstream: str) -> Fetch:
        if upstream not in self._clients:
            self._clients[upstream] = self._connect(upstream)
        return self._clients[upstream]

    def _report(self, errand: Errand, call: Call) -> None:
        say = self._log.info if call.code is None else self._log.warning
        say(
            "upstream_call",
            upstream=call.upstream,
            lookup=call.lookup,
            tenant=call.tenant,
            credential=call.credential,
            url=call.url,
            status=call.status,
            code=call.code,
            attempt=call.attempt,
            bytes=call.bytes,
            rows=call.rows,
            dropped=call.dropped,
            duration_ms=round(call.duration * 1000, 1),
            request_id=call.request_id,
        )
        self._observe(call)
        if self._spans is not None:
            self._spans.called(errand, call)

    async def close(self) -> None:
        """Close every client."""
        for client in self._clients.values():
            close = getattr(client, "close", None)
            if close is not None:
                await close()
        self._clients.clear()


def address_of(url: str) -> str:
    """The part of ``url`` that a circuit is for: scheme, host and port."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
