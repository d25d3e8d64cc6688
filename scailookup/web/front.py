"""The short way for hits: a warm, authorised, unfiltered GET is answered without a RequestHandler.

It holds no rule of its own. Routes, identity, permission, credential and cache are
asked through the same code as on the ordinary road, in the forms of it that never
wait; whatever they cannot answer from memory falls through to that road.
"""

from __future__ import annotations

from time import perf_counter, time
from typing import Any

import structlog
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    format_timestamp,
)

from scailookup.errors import ScailookupError
from scailookup.lookup import Bound, parse_value
from scailookup.model import Caller
from scailookup.web.handler import BASE_HEADERS, SERVER, report_request, request_id_of
from scailookup.web.lookups import LONG_BODY, LookupHandler
from scailookup.web.reply import LookupReply, accepts_gzip, lookup_reply
from scailookup.web.router import Routes, Target

__all__ = ["Front"]

# A browser of another origin, or a body: the ordinary road knows what to do with them.
_NOT_PLAIN = frozenset({"Origin", "Content-Length", "Transfer-Encoding", "Connection"})
_STATUS = {200: "HTTP/1.1 200 OK", 304: "HTTP/1.1 304 Not Modified"}
_BASE = [f"{name}: {value}" for name, value in BASE_HEADERS]
_log = structlog.get_logger("scailookup.web")


class _Hit:
    """What the short way sends, and what it reports."""

    __slots__ = ("caller", "reply", "request_id", "started", "target")

    def __init__(
        self, target: Target, caller: Caller, request_id: str, reply: LookupReply, started: float
    ) -> None:
        self.target = target
        self.caller = caller
        self.request_id = request_id
        self.reply = reply
        self.started = started


class Front(HTTPServerConnectionDelegate):
    """Stands before the routes. ``short`` False sends everything down the ordinary road."""

    def __init__(self, routes: Routes, *, short: bool = True) -> None:
        self._routes = routes
        self._web = routes.web
        self._short = short
        self._second = 0
        self._date = ""

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """Tornado's call for each request on a connection."""
        if not self._short:
            return self._routes.start_request(server_conn, request_conn)
        return _Message(self, self._routes, server_conn, request_conn)

    def on_close(self, server_conn: object) -> None:
        """Tornado's call when a connection ends."""
        self._routes.on_close(server_conn)

    def recall(self, path: str, headers: HTTPHeaders) -> _Hit | None:
        """The answer from memory; None sends the request down the ordinary road."""
        started = perf_counter()
        if "?" in path or not _NOT_PLAIN.isdisjoint(headers):
            return None
        found = self._routes.find(path)
        if found is None or found[0].handler is not LookupHandler:
            return None
        target, raw = found
        options = target.options
        try:
            caller = self._web.guard.recall(headers, options["needs"]["GET"])
            if caller is None:
                return None
            values = {name: parse_value(name, value) for name, value in raw.items()}
        except ScailookupError:
            return None  # said in full on the ordinary road
        served = options["lookups"].recall(Bound(options["upstream"], options["lookup"], values), caller)
        accept = headers.get("Accept-Encoding", "")
        if served is None or (len(served.form.body) > LONG_BODY and accepts_gzip(accept)):
            return None
        reply = lookup_reply(
            served,
            accept_encoding=accept,
            if_none_match=headers.get("If-None-Match"),
            started=started,
            vary_origin=bool(self._web.cors_origins),
        )
        return _Hit(target, caller, request_id_of(headers), reply, started)

    def send(self, hit: _Hit, connection: HTTPConnection) -> None:
        """Write the answer, with the headers of the ordinary road in their order."""
        lines = [
            _STATUS[hit.reply.status],
            f"Server: {SERVER}",
            f"Date: {self._now()}",
            *_BASE,
            f"X-Request-Id: {hit.request_id}",
            *[f"{name}: {value}" for name, value in hit.reply.headers],
            "\r\n",
        ]
        # Tornado takes a ready header block too; HTTPHeaders cost as much as all the rest here.
        connection.write("\r\n".join(lines).encode("latin-1") + hit.reply.body)
        connection.finish()
        report_request(
            self._web,
            route=hit.target.name,
            method="GET",
            status=hit.reply.status,
            error=None,
            caller=hit.caller,
            started=hit.started,
            request_id=hit.request_id,
        )

    def _now(self) -> str:
        """The Date header, made once a second."""
        second = int(time())
        if second != self._second:
            self._second, self._date = second, format_timestamp(second)
        return self._date


class _Message(HTTPMessageDelegate):
    """One request: answered from memory, or handed on."""

    __slots__ = ("_connection", "_front", "_hit", "_inner", "_routes", "_server")

    def __init__(self, front: Front, routes: Routes, server: object, connection: HTTPConnection) -> None:
        self._front = front
        self._routes = routes
        self._server = server
        self._connection = connection
        self._hit: _Hit | None = None
        self._inner: HTTPMessageDelegate | None = None

    def headers_received(self, start_line: Any, headers: HTTPHeaders) -> Any:
        assert isinstance(start_line, RequestStartLine)
        if start_line.method == "GET" and start_line.version == "HTTP/1.1":
            self._hit = self._front.recall(start_line.path, headers)
            if self._hit is not None:
                return None
        self._inner = self._routes.start_request(self._server, self._connection)
        return self._inner.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Any:
        return None if self._inner is None else self._inner.data_received(chunk)

    def finish(self) -> None:
        if self._hit is not None:
            self._front.send(self._hit, self._connection)
        elif self._inner is not None:
            self._inner.finish()

    def on_connection_close(self) -> None:
        if self._inner is not None:
            self._inner.on_connection_close()
