"""The short way: a plain GET of a lookup, authorised from memory, is answered without a RequestHandler.

It holds no rule of its own. Routes, identity, permission, credential and cache are
asked through the same code as on the ordinary road; whatever is not plain, and every
failure, goes down that road.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from dataclasses import dataclass
from time import perf_counter, time
from typing import Any

import structlog
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    HTTPServerRequest,
    RequestStartLine,
    format_timestamp,
)

from scailookup.errors import ScailookupError
from scailookup.lookup import Bound, Launched, Lookups, parse_values
from scailookup.model import Caller, Served, Trace
from scailookup.web.handler import BASE_HEADERS, SERVER, report_request, request_id_of, trace_of
from scailookup.web.lookups import LookupHandler
from scailookup.web.reply import long_to_pack, lookup_reply, pack_beforehand
from scailookup.web.router import Routes, Target

__all__ = ["Front"]

# Tornado refuses other hosts when it makes a request object, which the short way does not.
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")
_log = structlog.get_logger("scailookup.web")
_STATUS = {200: "HTTP/1.1 200 OK", 304: "HTTP/1.1 304 Not Modified"}
_BASE = [f"{name}: {value}" for name, value in BASE_HEADERS]
# A browser of another origin, or a body: the ordinary road knows what to do with them.
_NOT_PLAIN = frozenset({"Origin", "Content-Length", "Transfer-Encoding", "Connection"})


@dataclass(slots=True)
class _Plain:
    """A plain question whose caller is known and may ask."""

    routes: Routes
    target: Target
    caller: Caller
    bound: Bound
    headers: HTTPHeaders
    started: float

    @property
    def lookups(self) -> Lookups:
        found: Lookups = self.target.options["lookups"]
        return found


class Front(HTTPServerConnectionDelegate):
    """Stands before the routes. ``short`` False sends everything down the ordinary road."""

    def __init__(self, routes: Routes, *, short: bool = True) -> None:
        self._routes = routes
        self._short = short
        self._second = 0
        self._date = ""
        self._base = _BASE
        self._tasks: set[asyncio.Task[None]] = set()

    def leave(self) -> None:
        """From now on every answer says that it is the last one on its connection."""
        self._base = [*_BASE, "Connection: close"]

    def lead_to(self, other: Front) -> None:
        """Answer from the next request on as ``other`` does; connections that wait for one stay."""
        self._routes = other._routes

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """Tornado's call for each request on a connection."""
        return _Message(self, server_conn, request_conn)

    def ordinary(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """The ordinary road, for one request."""
        return self._routes.start_request(server_conn, request_conn)

    def on_close(self, server_conn: object) -> None:
        """Tornado's call when a connection ends."""
        self._routes.on_close(server_conn)

    def plain(self, path: str, headers: HTTPHeaders) -> _Plain | None:
        """The question, when memory alone can tell who asks and that they may; else None."""
        started = perf_counter()
        routes = self._routes
        if (
            not self._short
            or "?" in path
            or not _NOT_PLAIN.isdisjoint(headers)
            or not _HOST.fullmatch(headers.get("Host", ""))
        ):
            return None
        found = routes.find(path)
        if found is None or found[0].handler is not LookupHandler:
            return None
        target, raw = found
        options = target.options
        if options["lookup"].params:
            return None  # read from the query, defaults too
        caller = routes.web.guard.recall(headers, options["needs"]["GET"])
        if caller is None:
            return None
        try:
            values = parse_values(options["lookup"], raw)
        except ScailookupError:
            return None  # said in full on the ordinary road
        bound = Bound(options["upstream"], options["lookup"], values)
        return _Plain(routes, target, caller, bound, headers, started)

    def serve(self, question: _Plain, message: _Message) -> None:
        """Answer at once from memory, or as soon as the upstream has."""
        lookups = question.lookups
        place = lookups.place(question.bound, question.caller)
        served = None if place is None else lookups.held(place)
        if served is not None and not long_to_pack(served, question.headers):
            self._send(question, served, message.connection)
            return
        trace = trace_of(question.headers)
        # What a task logs carries the id of the request that began it.
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=trace.request_id)
        question.routes.web.busy += 1
        launched = None if place is None or served is not None else lookups.launch(place, trace)
        if launched is None:
            self._follow(question, message, trace, lookups.answer(question.bound, question.caller, trace))
            return
        launched.flight.task.add_done_callback(lambda _: self._landed(question, message, launched))

    def _landed(self, question: _Plain, message: _Message, launched: Launched) -> None:
        """The flight has ended: well, in nearly all cases, and nobody more need be asked or waited for."""
        task = launched.flight.task
        if task.cancelled():  # the process ends, and its connections with it
            question.routes.web.busy -= 1
            message.connection.close()  # type: ignore[attr-defined]
        elif task.exception() is None and not long_to_pack(task.result(), question.headers):
            question.routes.web.busy -= 1
            self._send(question, launched.flight.landed(), message.connection, launched.trace.request_id)
        else:
            self._follow(question, message, launched.trace, launched.settled())

    def _follow(
        self, question: _Plain, message: _Message, trace: Trace, asking: Coroutine[Any, Any, Served]
    ) -> None:
        task = asyncio.ensure_future(self._ask(question, message, trace, asking))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(
        self, question: _Plain, message: _Message, trace: Trace, asking: Coroutine[Any, Any, Served]
    ) -> None:
        try:
            served = await asking
            await pack_beforehand(served, question.headers)
            self._send(question, served, message.connection, trace.request_id)
        except Exception as exc:  # every failure is told, and logged, in one place: the ordinary road
            self._tell(exc, message, trace.request_id)
        finally:
            question.routes.web.busy -= 1

    def _tell(self, failure: Exception, message: _Message, request_id: str) -> None:
        try:
            message.hand_over(failure, request_id)
        except Exception:
            # Nobody is left to answer: a connection that hangs would be worse than one that ends.
            _log.error("internal_error", route="front", request_id=request_id, exc_info=True)
            message.connection.close()  # type: ignore[attr-defined]

    def _send(
        self, question: _Plain, served: Served, connection: HTTPConnection, request_id: str | None = None
    ) -> None:
        """Write the answer, with the headers of the ordinary road in their order."""
        headers, web = question.headers, question.routes.web
        reply = lookup_reply(
            served,
            accept_encoding=headers.get("Accept-Encoding", ""),
            if_none_match=headers.get("If-None-Match"),
            started=question.started,
            vary_origin=bool(web.cors_origins),
            microcache=web.microcache,
            expires=question.caller.expires,
        )
        request_id = request_id or request_id_of(headers)
        lines = [
            _STATUS[reply.status],
            f"Server: {SERVER}",
            f"Date: {self._now()}",
            *self._base,
            f"X-Request-Id: {request_id}",
            *[f"{name}: {value}" for name, value in reply.headers],
            "\r\n",
        ]
        web.history.answered(question.bound.upstream.name, served.outcome)
        # Tornado takes a ready header block too; HTTPHeaders cost as much as all the rest here.
        connection.write("\r\n".join(lines).encode("latin-1") + reply.body)
        connection.finish()
        report_request(
            web,
            route=question.target.name,
            method="GET",
            status=reply.status,
            error=None,
            caller=question.caller,
            started=question.started,
            request_id=request_id,
            outcome=served.outcome,
        )

    def _now(self) -> str:
        """The Date header, made once a second."""
        second = int(time())
        if second != self._second:
            self._second, self._date = second, format_timestamp(second)
        return self._date


class _Message(HTTPMessageDelegate):
    """One request: answered the short way, or handed on."""

    __slots__ = ("_front", "_inner", "_line", "_question", "_server", "connection")

    def __init__(self, front: Front, server: object, connection: HTTPConnection) -> None:
        self._front = front
        self._server = server
        self.connection = connection
        self._question: _Plain | None = None
        self._inner: HTTPMessageDelegate | None = None

    def headers_received(self, start_line: Any, headers: HTTPHeaders) -> Any:
        assert isinstance(start_line, RequestStartLine)
        self._line = start_line
        if start_line.method == "GET" and start_line.version == "HTTP/1.1":
            self._question = self._front.plain(start_line.path, headers)
            if self._question is not None:
                return None
        self._inner = self._front.ordinary(self._server, self.connection)
        return self._inner.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Any:
        return None if self._inner is None else self._inner.data_received(chunk)

    def finish(self) -> None:
        if self._question is not None:
            self._front.serve(self._question, self)
        elif self._inner is not None:
            self._inner.finish()

    def hand_over(self, failure: Exception, request_id: str) -> None:
        """Let the ordinary road tell the failure; nobody is asked again."""
        assert self._question is not None
        request = HTTPServerRequest(
            connection=self.connection,
            server_connection=self._server,
            start_line=self._line,
            headers=self._question.headers,
        )
        # The id that the upstream and the log have seen already.
        request.headers["X-Request-Id"] = request_id
        self._question.routes.find_handler(request, failure=failure).finish()

    def on_connection_close(self) -> None:
        if self._inner is not None:
            self._inner.on_connection_close()
