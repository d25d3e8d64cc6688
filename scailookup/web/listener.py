"""The HTTP server with its bounds, and the address it is reached at."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from operator import attrgetter
from time import monotonic
from typing import Any

import structlog
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream

from scailookup.web.front import Front
from scailookup.web.overload import Overload
from scailookup.web.refusal import full
from scailookup.web.stream import Stream
from scailookup.web.wire import Connection, Patience, Peer

__all__ = ["Listener", "listener", "url_of"]

# A body sent slowly: seconds until it is given up.
BODY_SECONDS = 10
_SWEEP_SECONDS = 1.0
# A connection on which nothing has come for so long may have to make room for another.
_QUIET_SECONDS = 1.0
# When all have something to say, seconds until that is looked at again.
_ROOM_SECONDS = 0.1
# When there has to be room, so large a share of the connections is looked for at once.
_SHARE = 16
_MOST_REFUSALS = 32
# So many connections are taken at the end at most: whoever goes on connecting must not put it off.
_MOST_LAST = 1024
_TELL_SECONDS = 10.0
_log = structlog.get_logger("scailookup.web")


class _Seldom:
    """For what is worth saying, but not each time."""

    def __init__(self) -> None:
        self._told = float("-inf")

    def due(self) -> bool:
        """Whether it is time to say it; then it is not for a while."""
        due = monotonic() - self._told > _TELL_SECONDS
        if due:
            self._told = monotonic()
        return due


class _Listening:
    """A bound socket, as far as Tornado uses one, that outlives a process without descriptors.

    One is kept in reserve. When no other is left it is given up for a moment, to take the next
    connection and close it: whoever connects can ask another node at once. Else the connection
    would wait, and the loop be called for it again and again. ``takes`` is asked about each
    connection, and has seen to it when it says no.
    """

    def __init__(self, bound: socket.socket, takes: Callable[[socket.socket], bool]) -> None:
        self._bound = bound
        self._takes = takes
        self.fileno = bound.fileno
        self._spare = _reserve()
        self._telling = _Seldom()

    def accept(self) -> tuple[socket.socket, Any]:
        """A connection; BlockingIOError when there is none, or none that is taken."""
        for _ in range(_MOST_REFUSALS):
            try:
                connection, address = self._bound.accept()
            except OSError as exc:
                if exc.errno not in (errno.EMFILE, errno.ENFILE):
                    raise
                self._turn_away()
                break
            if self._spare < 0:
                self._spare = _reserve()
            if self._takes(connection):
                return connection, address
        raise BlockingIOError

    def close(self) -> None:
        """Stop listening."""
        self._bound.close()
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1

    def _turn_away(self) -> None:
        if self._spare >= 0:
            os.close(self._spare)
        with suppress(OSError):  # somebody was faster
            self._bound.accept()[0].close()
        self._spare = _reserve()
        if self._telling.due():
            _log.error("descriptors_exhausted", reason="no descriptor is left: connections are turned away")


def _reserve() -> int:
    """A descriptor to give up; -1 when there is none."""
    try:
        return os.open(os.devnull, os.O_RDONLY)
    except OSError:
        return -1


class Listener(HTTPServer):
    """Tornado's server without its two system calls around each answer, and with bounds of its own.

    Before a Front there are at most as many connections as its Overload allows. Once a second it
    looks for clients that do not read what they asked for.
    """

    patience = Patience()
    # An answer of which hardly anything is taken for so long is not waited for.
    unread_seconds = 20.0
    # Beyond so many bytes of answers that nobody takes, patience ends at once.
    most_unread = 64 * 1024 * 1024

    def initialize(self, *args: Any, **options: Any) -> None:
        """Tornado's constructor."""
        super().initialize(*args, **options)
        self._streams: set[Stream] = set()
        self._lingering: list[socket.socket] = []
        self._telling = _Seldom()
        self._no_room_until = 0.0
        self._unbounded = Overload()

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        """Take connections on these bound sockets, which are ours from now on."""
        guarded: Any = [_Listening(bound, self._takes) for bound in sockets]
        super().add_sockets(guarded)
        self._sweep()

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        """Answers leave in one write: Nagle's algorithm is switched off once, not twice a request."""
        stream.set_nodelay(True)
        stream.set_nodelay = _stays  # type: ignore[method-assign]
        front = self.request_callback
        if not isinstance(front, Front) or not isinstance(stream, Stream):
            super().handle_stream(stream, address)
            return
        peer = Peer(str(address[0]) if address else "")
        connection = Connection(stream, self.conn_params, peer, self.patience)
        self._connections.add(connection)  # type: ignore[arg-type]
        connection.start_serving(front, self)

    def stop(self) -> None:
        """Take no more connections, after those made already: the kernel would reset whoever waits in it."""
        bound = [] if self._stopped else list(self._sockets.values())
        for sock in bound:
            for _ in range(_MOST_LAST):
                try:
                    self._handle_connection(*sock.accept())
                except ConnectionAbortedError:
                    continue
                except BlockingIOError:
                    break
        super().stop()

    @property
    def writing(self) -> bool:
        """Whether an answer is still on its way to somebody."""
        return any(stream.writing() for stream in self._streams)

    @property
    def _overload(self) -> Overload:
        front = self.request_callback
        return front.overload if isinstance(front, Front) else self._unbounded

    def _handle_connection(self, connection: socket.socket, address: Any) -> None:
        """Tornado's call for each connection; it would make a stream of another class."""
        front = self.request_callback
        if not isinstance(front, Front):
            super()._handle_connection(connection, address)
            return
        stream = Stream(connection, front, self._streams.discard)
        self._streams.add(stream)
        try:
            self.handle_stream(stream, address)
        except OSError:  # the client has left already
            stream.close()

    def _takes(self, connection: socket.socket) -> bool:
        """Whether there is a place for the connection; if need be others make room, or it is refused."""
        overload = self._overload
        if len(self._streams) < overload.connections or self._makes_room(overload):
            return True
        overload.turned_away["connections"] += 1
        if self._telling.due():
            _log.warning("connections_full", connections=len(self._streams))
        self._refuse(connection, overload.connections // _SHARE)
        return False

    def _makes_room(self, overload: Overload) -> bool:
        """Close those connections on which nothing has come for longest, as if their time were up."""
        now = monotonic()
        if now < self._no_room_until:
            return False
        before = now - _QUIET_SECONDS
        quiet = [stream for stream in self._streams if stream.idle and stream.heard <= before]
        quiet.sort(key=attrgetter("heard"))
        for stream in quiet[: 1 + len(self._streams) // _SHARE]:
            overload.cut["idle"] += 1
            stream.close()
        if not quiet:
            self._no_room_until = now + _ROOM_SECONDS
        return bool(quiet)

    def _refuse(self, connection: socket.socket, most: int) -> None:
        """Say why, and close a moment later: a close at once could overtake what was said.

        ``most`` wait for that moment: descriptors are short.
        """
        try:
            connection.setblocking(False)
            connection.send(full())
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            connection.close()
            return
        self._lingering.append(connection)
        if len(self._lingering) > most:
            self._lingering.pop(0).close()

    def _sweep(self, lingered: Iterable[socket.socket] = ()) -> None:
        """Close what has had its time; ``lingered`` was refused before the last sweep."""
        for connection in lingered:
            connection.close()
        unread = sum([stream.pending for stream in self._streams])
        patience = self.unread_seconds if unread <= self.most_unread else _SWEEP_SECONDS
        for stream in [stream for stream in self._streams if stream.stuck(patience)]:
            self._overload.cut["unread"] += 1
            stream.close()
        lingering, self._lingering = self._lingering, []
        if self._streams or lingering or not self._stopped:
            asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep, lingering)


def listener(site: Any) -> Listener:
    """A server for ``site``, with times that a slow client cannot stretch."""
    return Listener(site, idle_connection_timeout=Patience().idle, body_timeout=BODY_SECONDS)


def _stays(value: bool) -> None:
    """What Tornado asks around each answer, left undone."""


def url_of(host: str, port: int) -> str:
    """Where a listener on ``host`` is reached from this machine."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
