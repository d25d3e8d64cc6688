"""The HTTP server with its bounds, and the address it is reached at."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable
from time import monotonic
from typing import Any

import structlog
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream

from scailookup.web.front import Front
from scailookup.web.wire import Connection, Patience, Peer

__all__ = ["Listener", "listener", "url_of"]

# A body sent slowly: seconds until it is given up.
BODY_SECONDS = 10

_TELL_SECONDS = 10.0
_log = structlog.get_logger("scailookup.web")


class _Listening:
    """A bound socket, as far as Tornado uses one, that outlives a process without descriptors.

    One is kept in reserve. When no other is left it is given up for a moment, to take the next
    connection and close it: whoever connects can ask another node at once. Else the connection
    would wait, and the loop be called for it again and again.
    """

    def __init__(self, bound: socket.socket) -> None:
        self._bound = bound
        self.fileno = bound.fileno
        self._spare = os.open(os.devnull, os.O_RDONLY)
        self._told = float("-inf")

    def accept(self) -> tuple[socket.socket, Any]:
        """A connection; BlockingIOError when there is none, or it had to be closed."""
        try:
            return self._bound.accept()
        except OSError as exc:
            if exc.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self._turn_away()
            raise BlockingIOError from None

    def close(self) -> None:
        """Stop listening."""
        self._bound.close()
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1

    def _turn_away(self) -> None:
        if self._spare >= 0:
            os.close(self._spare)
        try:
            self._bound.accept()[0].close()
            self._spare = os.open(os.devnull, os.O_RDONLY)
        except OSError:
            self._spare = -1  # somebody was faster
        if monotonic() - self._told > _TELL_SECONDS:
            self._told = monotonic()
            _log.error("descriptors_exhausted", reason="no descriptor is left: connections are turned away")


class Listener(HTTPServer):
    """Tornado's server with connections of our own where a Front answers them."""

    patience = Patience()

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        """Take connections on these bound sockets, which are ours from now on."""
        guarded: Any = [_Listening(bound) for bound in sockets]
        super().add_sockets(guarded)

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        """Answers leave in one write: Nagle's algorithm is switched off once, not twice a request."""
        stream.set_nodelay(True)
        stream.set_nodelay = _stays  # type: ignore[method-assign]
        front = self.request_callback
        if not isinstance(front, Front):
            super().handle_stream(stream, address)
            return
        peer = Peer(str(address[0]) if address else "")
        connection = Connection(stream, self.conn_params, peer, self.patience)
        self._connections.add(connection)  # type: ignore[arg-type]
        connection.start_serving(front, self)

    @property
    def writing(self) -> bool:
        """Whether an answer is still on its way to somebody."""
        return any(connection.stream.writing() for connection in self._connections)


def listener(site: Any) -> Listener:
    """A server for ``site``, with times that a slow client cannot stretch."""
    return Listener(site, idle_connection_timeout=Patience().idle, body_timeout=BODY_SECONDS)


def _stays(value: bool) -> None:
    """What Tornado asks around each answer, left undone."""


def url_of(host: str, port: int) -> str:
    """Where a listener on ``host`` is reached from this machine."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
