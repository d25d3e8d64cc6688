"""The short way: a plain GET of a lookup, authorised from memory, is answered without a RequestHandler.

It holds no rule of its own. Routes, identity, permission, credential and cache are
asked through the same code as on the ordinary road; whatever is not plain, and every
failure, goes down that road.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Coroutine
from contextlib import suppress
from time import perf_counter, time
from typing import Any, NamedTuple

import structlog
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    HTTPServerRequest,
    format_timestamp,
)
from tornado.iostream import IOStream, StreamClosedError

from scailookup.errors import ScailookupError
from scailookup.lookup import Bound, Launched, Lookups, parse_values
from scailookup.model import Caller, Served, Trace
from scailookup.web.headers import BASE_HEADERS, SERVER, trace_of
from scailookup.web.lookups import LookupHandler
from scailookup.web.overload import Overload
from scailookup.web.plain import Head, plain_head
from scailookup.web.reply import long_to_pack, lookup_reply, pack_beforehand
from scailookup.web.router import Routes, Target
from scailookup.web.state import Web, report_request

__all__ = ["Front", "Question", "Untold"]

_log = structlog.get_logger("scailookup.web")
_STATUS = {200: "HTTP/1.1 200 OK", 304: "HTTP/1.1 304 Not Modified"}
_BASE = [f"{name}: {value}" for name, value in BASE_HEADERS]


class Untold(NamedTuple):
    """A failure of the short way, which the ordinary road has to tell.

    Upstream and log know its ids; ``started`` is when the request came (perf_counter).
    """

    failure: Exception
    trace: Trace
    started: float


class Question(NamedTuple):
    """A plain question whose caller is known and may ask."""

    routes: Routes
    target: Target
    caller: Caller
    bound: Bound
    head: Head
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
        # The operator's own listener turns nobody away.
        self.overload = routes.web.overload if short else Overload()
        self._second = 0
        self._date = ""
        self._base = _BASE

    def leave(self) -> None:
        """From now on every answer says that it is the last one on its connection."""
        self._base = [*_BASE, "Connection: close"]

    def lead_to(self, other: Front) -> None:
        """Answer from the next request on as ``other`` does; connections that wait for one stay."""
        self._routes, self.overload = other._routes, other.overload

    @property
    def web(self) -> Web:
        """What the routes' handlers have at hand."""
        found: Web = self._routes.web
        return found

    @property
    def leaving(self) -> bool:
        """Whether each answer is the last one on its connection."""
        return self._base is not _BASE

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """Tornado's call for a request on the ordinary road."""
        return self._routes.start_request(server_conn, request_conn)

    def always(self, head: bytes) -> bool:
        """Whether what the head asks is answered however many come."""
        return head.split(b" ", 2)[1].partition(b"?")[0] in self._routes.always

    def telling(
        self, server_conn: object, request_conn: HTTPConnection, untold: Untold
    ) -> HTTPMessageDelegate:
        """The ordinary road for a request of which the short way has failed; nobody is asked again."""
        return _Telling(self._routes, server_conn, request_conn, untold)

    def question(self, block: bytes) -> Question | None:
        """What the head in ``block`` asks, when memory alone can tell that the caller may; else None."""
        started = perf_counter()
        routes = self._routes
        head = plain_head(block) if self._short else None
        found = None if head is None else routes.find(head.target)
        if head is None or found is None or found[0].handler is not LookupHandler:
            return None
        target, raw = found
        options = target.options
        if options["lookup"].params:
            return None  # read from the query, defaults too
        caller = routes.web.guard.recall(head, options["needs"]["GET"])
        if caller is None:
            return None
        try:
            values = parse_values(options["lookup"], raw)
        except ScailookupError:
            return None  # said in full on the ordinary road
        bound = Bound(options["upstream"], options["lookup"], values)
        return Question(routes, target, caller, bound, head, started)

    def answer(self, question: Question, stream: IOStream) -> Future[Any] | None:
        """Answer at once from memory, or as soon as the upstream has.

        What is returned is done when the answer has left, or holds what is still Untold; None: it has left.
        """
        lookups, fields = question.lookups, question.head.fields
        place = lookups.place(question.bound, question.caller)
        served = None if place is None else lookups.held(place)
        if served is not None and not long_to_pack(served, fields):
            return self._send(question, served, stream, self._trace(question))
        trace = self._trace(question)
        # What a task logs carries the ids of the request that began it.
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(**trace.names)
        question.routes.web.busy += 1
        launched = None if place is None or served is not None else lookups.launch(place, trace)
        if launched is None:
            return self._follow(
                question, stream, trace, lookups.answer(question.bound, question.caller, trace)
            )
        answered: Future[Any] = Future()
        launched.flight.task.add_done_callback(lambda _: self._landed(question, stream, launched, answered))
        return answered

    def _landed(
        self, question: Question, stream: IOStream, launched: Launched, answered: Future[Any]
    ) -> None:
        """The flight has ended: well, in nearly all cases, and nobody more need be asked or waited for."""
        task = launched.flight.task
        if task.cancelled():  # the process ends, and its connections with it
            question.routes.web.busy -= 1
            stream.close()
            answered.set_result(None)
        elif task.exception() is None and not long_to_pack(task.result(), question.head.fields):
            question.routes.web.busy -= 1
            answered.set_result(self._send(question, launched.flight.landed(), stream, launched.trace))
        else:
            answered.set_result(self._follow(question, stream, launched.trace, launched.settled()))

    def _trace(self, question: Question) -> Trace:
        trace, spans = trace_of(question.head), question.routes.web.spans
        if spans is None:
            return trace
        begun: Trace = spans.begin(trace, perf_counter() - question.started)
        # A hit logs nothing on its way, but the event of a slow one must not bear another's ids.
        structlog.contextvars.bind_contextvars(**begun.names)
        return begun

    def _follow(
        self, question: Question, stream: IOStream, trace: Trace, asking: Coroutine[Any, Any, Served]
    ) -> Future[Any]:
        return asyncio.ensure_future(self._ask(question, stream, trace, asking))

    async def _ask(
        self, question: Question, stream: IOStream, trace: Trace, asking: Coroutine[Any, Any, Served]
    ) -> Future[Any] | Untold | None:
        try:
            served = await asking
            await pack_beforehand(served, question.head.fields)
            return self._send(question, served, stream, trace)
        except Exception as exc:  # every failure is told, and logged, in one place: the ordinary road
            return Untold(exc, trace, question.started)
        finally:
            question.routes.web.busy -= 1

    def _send(self, question: Question, served: Served, stream: IOStream, trace: Trace) -> Future[Any] | None:
        """Write the answer, with the headers of the ordinary road in their order; None when it has left."""
        fields, web = question.head.fields, question.routes.web
        reply = lookup_reply(
            served,
            accept_encoding=fields.get("Accept-Encoding", ""),
            if_none_match=fields.get("If-None-Match"),
            started=question.started,
            vary_origin=bool(web.cors_origins),
            microcache=web.microcache,
            expires=question.caller.expires,
        )
        lines = [
            _STATUS[reply.status],
            f"Server: {SERVER}",
            f"Date: {self._now()}",
            *self._base,
            f"X-Request-Id: {trace.request_id}",
            *[f"{name}: {value}" for name, value in reply.headers],
            "\r\n",
        ]
        web.history.answered(question.bound.upstream.name, served.outcome)
        left: Future[Any] | None = None
        with suppress(StreamClosedError):  # the caller has left; what was brought is kept
            left = stream.write("\r\n".join(lines).encode("latin-1") + reply.body)
        report_request(
            web,
            route=question.target.name,
            method="GET",
            status=reply.status,
            error=None,
            caller=question.caller,
            started=question.started,
            trace=trace,
            outcome=served.outcome,
        )
        return None if left is None or left.done() else left

    def _now(self) -> str:
        """The Date header, made once a second."""
        second = int(time())
        if second != self._second:
            self._second, self._date = second, format_timestamp(second)
        return self._date


class _Telling(HTTPMessageDelegate):
    """A request on the ordinary road whose handler is given the failure it has to tell."""

    def __init__(self, routes: Routes, server: object, connection: HTTPConnection, untold: Untold) -> None:
        self._routes = routes
        self._server = server
        self._connection = connection
        self._untold = untold
        self._handler: HTTPMessageDelegate | None = None

    def headers_received(self, start_line: Any, headers: HTTPHeaders) -> Any:
        untold = self._untold
        # The ids that the upstream and the log have seen already.
        headers["X-Request-Id"] = untold.trace.request_id
        request = HTTPServerRequest(
            connection=self._connection,
            server_connection=self._server,
            start_line=start_line,
            headers=headers,
        )
        self._handler = self._routes.find_handler(request, **untold._asdict())

    def finish(self) -> None:
        assert self._handler is not None
        self._handler.finish()

    def on_connection_close(self) -> None:
        if self._handler is not None:
            self._handler.on_connection_close()
