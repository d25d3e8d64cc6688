"""One client's connection: a plain GET is answered on the stream itself, the rest by Tornado's HTTP/1.1.

Tornado's own loop makes a connection object, a header mapping, three futures and a timer for
each request. Here the head is read once, the Front looks at it, and only what the Front does not
take is played back to Tornado, which then has the word on whether it is HTTP at all.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from time import monotonic, perf_counter
from typing import Any, NamedTuple, Protocol, cast

import structlog
from tornado.http1connection import HTTP1Connection, HTTP1ConnectionParameters
from tornado.iostream import IOStream, StreamClosedError, UnsatisfiableReadError

from scailookup.web.front import Front, Untold
from scailookup.web.plain import LONGEST_HEAD
from scailookup.web.state import Web
from scailookup.web.stream import Stream
from scailookup.web.unreadable import flaw, refused, unreadable

__all__ = ["Connection", "Patience", "Peer"]

_END_OF_HEAD = rb"\n\r?\n"
# A head that comes to its end in so many bytes can be told that it is too long.
_MOST_READ = 2 * LONGEST_HEAD
# All that Tornado says to what it cannot read.
_BARE = b"HTTP/1.1 400 Bad Request\r\n\r\n"
_log = structlog.get_logger("scailookup.web")


class Peer(NamedTuple):
    """Who is at the other end, as far as Tornado's requests tell."""

    remote_ip: str
    protocol: str = "http"

    def __str__(self) -> str:
        return self.remote_ip


class Patience(NamedTuple):
    """Seconds for the first head of a connection, and for the next one of a connection kept alive."""

    first: float = 20.0
    idle: float = 120.0


class Owner(Protocol):
    """Whose connection it is."""

    def on_close(self, server_conn: Any) -> None:
        """The connection has ended."""


class Connection:
    """Requests one after another. The task that serves them ends with the connection."""

    def __init__(
        self, stream: Stream, params: HTTP1ConnectionParameters, peer: Peer, patience: Patience
    ) -> None:
        self.stream = stream
        self._params = params
        self._peer = peer
        self._patience = patience
        self._limit = patience.first
        self._since: float | None = None  # waiting for a head since
        self._task: asyncio.Task[None] | None = None
        self._watch: asyncio.TimerHandle | None = None

    def start_serving(self, front: Front, owner: Owner) -> None:
        """Answer what comes, from now on."""
        self._task = asyncio.ensure_future(self._serve(front, owner))
        self._look_again(min(self._patience))

    async def close(self) -> None:
        """End the connection; returns when nothing of it runs any more."""
        self.stream.close()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _serve(self, front: Front, owner: Owner) -> None:
        try:
            while await self._next(front):
                pass
        except (StreamClosedError, UnsatisfiableReadError):
            pass  # the other end has left, or sent a head without an end
        except Exception:
            _log.error("internal_error", route="front", exc_info=True)
        finally:
            if self._watch is not None:
                self._watch.cancel()
            self.stream.close()
            owner.on_close(self)

    async def _next(self, front: Front) -> bool:
        """Answer requests until one was for Tornado; False when the connection is to end."""
        stream = self.stream
        while True:
            self._since = monotonic()
            head = stream.read_until_regex(_END_OF_HEAD, max_bytes=_MOST_READ)
            if cast("Future[bytes]", head).done():
                await asyncio.sleep(0)  # whoever sends without a pause must not keep the loop from others
            block = await head
            self._since, self._limit = None, self._patience.idle
            crowded_out = front.overload.pressed and stream.one_too_many()
            question = None if crowded_out else front.question(block)
            if question is None:
                return await self._ordinary(front, block)
            left: Any = front.answer(question, stream)
            if isinstance(left, Future):
                # Of a client whose head was there at once Tornado would not see that it leaves.
                stream.set_close_callback(_nothing)
            while isinstance(left, Future):
                left = await left
            if left is not None:
                return await self._ordinary(front, block, left)
            if front.leaving:
                return False

    async def _ordinary(self, front: Front, block: bytes, untold: Untold | None = None) -> bool:
        """One request by Tornado's own reading, from its first byte on."""
        error = flaw(block)
        if error is not None:
            await self.stream.write(refused(block, error, front.web, perf_counter()))
            return False
        replayed = cast("IOStream", _Replayed(self.stream, block, front.web))
        connection = HTTP1Connection(replayed, False, self._params, self._peer)
        if untold is None:
            delegate = front.start_request(self, connection)
        else:
            delegate = front.telling(self, connection, untold)
        return await connection.read_response(delegate) and not front.leaving

    def _look_again(self, seconds: float) -> None:
        """One timer a connection, not one a request."""
        self._watch = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        # Who is turned away again and again is not idle, though no head gets here.
        waited = 0.0 if self._since is None else monotonic() - max(self._since, self.stream.refused)
        if waited >= self._limit:
            self.stream.close()
        else:
            self._look_again(self._limit - waited)


def _nothing() -> None:
    """What is done when the client leaves: the stream closes by itself, and the flight goes on."""


class _Replayed:
    """The stream as it was before its head was read; Tornado's bare 400 leaves it as an answer like all."""

    def __init__(self, stream: IOStream, head: bytes, web: Web) -> None:
        self._stream = stream
        self._head = head
        self._web = web
        self._started = perf_counter()

    def read_until_regex(self, regex: bytes, max_bytes: int | None = None) -> Future[bytes]:
        """Tornado's call for a head, which it makes once a connection of its own: what was read."""
        head: Future[bytes] = Future()
        head.set_result(self._head)
        return head

    def write(self, data: bytes) -> Future[None]:
        """Tornado's call for all that leaves."""
        if data == _BARE:
            data = refused(self._head, unreadable(), self._web, self._started)
        return self._stream.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
