"""The HTTP server with its bounds, and the address it is reached at."""

from __future__ import annotations

from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream

__all__ = ["Listener", "listener", "url_of"]

# A connection kept alive, a body sent slowly: seconds until it is given up.
IDLE_SECONDS = 120
BODY_SECONDS = 10


class Listener(HTTPServer):
    """Tornado's server without its two system calls around each answer."""

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        """Answers leave in one write: Nagle's algorithm is switched off once, not twice a request."""
        stream.set_nodelay(True)
        stream.set_nodelay = _stays  # type: ignore[method-assign]
        super().handle_stream(stream, address)


def listener(site: Any) -> Listener:
    """A server for ``site``, with times that a slow client cannot stretch."""
    return Listener(site, idle_connection_timeout=IDLE_SECONDS, body_timeout=BODY_SECONDS)


def _stays(value: bool) -> None:
    """What Tornado asks around each answer, left undone."""


def url_of(host: str, port: int) -> str:
    """Where a listener on ``host`` is reached from this machine."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
