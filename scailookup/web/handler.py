"""The handler everything inherits: it denies by default, and every answer leaves in one shape."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import Any, ClassVar

import msgspec
import structlog
from tornado.web import HTTPError, RequestHandler

from scailookup.errors import (
    Forbidden,
    Internal,
    InvalidParameter,
    MethodNotAllowed,
    NotFound,
    ScailookupError,
)
from scailookup.model import Caller, Trace
from scailookup.web.guard import OPEN, Need, Permission
from scailookup.web.headers import BASE_HEADERS, EXPOSED, SERVER, trace_of
from scailookup.web.overload import crowded
from scailookup.web.state import Web, report_request
from scailookup.web.unreadable import unreadable

__all__ = ["Handler", "Missing"]

_PREFLIGHT_SECONDS = 600
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_log = structlog.get_logger("scailookup.web")


class Handler(RequestHandler):
    """A route. ``needs`` says per method who may; a method without an entry needs ``scaicore:view``.

    A subclass implements ``get``, ``post`` and so on, raises ScailookupErrors, and
    ends with ``send``. HEAD is GET without the body. ``self.caller`` is who asks
    (None on an open route), ``self.trace`` the request's ids; ``traced`` says whether it may
    have a span. ``always`` answers however many come. ``operations`` holds, by method in lower
    case, what OpenAPI is to say of it besides: ``requestBody``, ``responses``.
    """

    needs: ClassVar[Mapping[str, Need]] = {}
    max_body: ClassVar[int] = 0
    traced: ClassVar[bool] = True
    always: ClassVar[bool] = False
    operations: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    web: Web
    route_name: str
    trace: Trace
    caller: Caller | None = None
    outcome: str = "none"

    def initialize(self, web: Web, route_name: str, **options: Any) -> None:
        """Take what the router hands over; ``options`` become attributes."""
        self.web = web
        self.route_name = route_name
        self.started = perf_counter()
        if web.spans is not None and self.traced and "trace" not in options:
            self.trace = web.spans.begin(self.trace)
        for name, value in options.items():
            setattr(self, name, value)
        structlog.contextvars.clear_contextvars()  # a keep-alive connection keeps its context
        structlog.contextvars.bind_contextvars(**self.trace.names)
        self.web.busy += 1
        self._lend_nothing()

    def set_default_headers(self) -> None:
        """Only what every answer has, errors too."""
        self.clear_header("Content-Type")
        if not hasattr(self, "trace"):  # an error clears the headers and comes here again
            self.trace = trace_of(self.request.headers)
        self.set_header("Server", SERVER)
        for name, value in BASE_HEADERS:
            self.set_header(name, value)
        self.set_header("X-Request-ID", self.trace.request_id)

    async def prepare(self) -> None:
        """CORS, method, body size, caller, permission: in this order, before any handler runs."""
        allowed = self._cors()
        self._let_in()
        method = self.request.method or ""
        if method == "OPTIONS" and allowed:
            self._preflight()
            return
        if method not in self.methods():
            raise MethodNotAllowed(self.methods())
        if getattr(self.request, "oversized", False) or len(self.request.body) > max(self.max_body, 1024):
            raise InvalidParameter("body", "the body is too large", "Send a smaller body.")
        need = self.needs.get("GET" if method == "HEAD" else method, Permission())
        if method not in ("GET", "HEAD") and need != OPEN and not allowed:
            self._refuse_strangers()
        self.caller = await self.web.guard.admit(self.request.headers, need, self.trace)

    def _let_in(self) -> None:
        """Turn away what is one too many and could not be turned away by its first line."""
        stream = getattr(self.request.connection, "stream", None)
        if self.web.overload.pressed and getattr(stream, "over", False) and not self.always:
            self.web.overload.turn_away()
            raise crowded()

    def _refuse_strangers(self) -> None:
        """A page of an origin that is not allowed changes nothing, whether a token is asked for or not."""
        if self.request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
            raise Forbidden(
                "a page of another origin may change nothing here",
                "The operator must add the page's origin to SCAILOOKUP_CORS_ORIGINS.",
            )

    @classmethod
    def methods(cls) -> tuple[str, ...]:
        """The methods that this handler implements, HEAD wherever GET is."""
        own = [m for m in _METHODS if getattr(cls, m.lower()) is not getattr(RequestHandler, m.lower())]
        return ("GET", "HEAD", *own[1:]) if own[:1] == ["GET"] else tuple(own)

    def _lend_nothing(self) -> None:
        """No proxy may keep the answer; for a fresh list `lookup_reply` says otherwise."""
        if self.web.microcache:
            self.set_header("X-Accel-Expires", "0")

    def _cors(self) -> bool:
        """Name the caller's origin when it is an allowed one."""
        if not self.web.cors_origins:
            return False
        self.add_header("Vary", "Origin")
        origin = self.request.headers.get_list("Origin")
        if len(origin) != 1 or origin[0] not in self.web.cors_origins:
            return False
        self.set_header("Access-Control-Allow-Origin", origin[0])
        self.set_header("Access-Control-Expose-Headers", EXPOSED)
        return True

    def _preflight(self) -> None:
        self.set_header("Access-Control-Allow-Methods", ", ".join(self.methods()))
        self.set_header(
            "Access-Control-Allow-Headers", "Authorization, Content-Type, If-None-Match, X-Request-ID"
        )
        self.set_header("Access-Control-Max-Age", str(_PREFLIGHT_SECONDS))
        self.set_status(204)
        self.finish()

    async def head(self, *args: str, **kwargs: str) -> None:
        """GET; Tornado leaves the body out."""
        await self.get(*args, **kwargs)  # type: ignore[misc]

    def send(self, body: bytes, content_type: str = "application/json") -> None:
        """Answer ``body`` as it is."""
        self.set_header("Content-Type", content_type)
        self.finish(body)

    def send_json(self, value: Any) -> None:
        """Answer ``value`` as JSON, not to be stored by anybody."""
        self.set_header("Cache-Control", "no-store")
        self.send(msgspec.json.encode(value))

    def finish(self, chunk: Any = None) -> Any:
        """End the answer, and the connection with it when the process ends."""
        if self.web.leaving:
            self.set_header("Connection", "close")
        return super().finish(chunk)

    def compute_etag(self) -> str | None:
        """None: the answers that have an ETag set their own."""
        return None

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Every failure in the contract's shape; a foreign one shows nothing of itself."""
        exc = (kwargs.get("exc_info") or (None, None))[1]
        error = exc if isinstance(exc, ScailookupError) else self._foreign(status_code)
        self.set_status(error.status)
        for name, value in error.headers.items():
            self.set_header(name, value)
        if error.credential is not None:
            self.set_header("X-Lookup-Credential", error.credential)
        self.set_header("Cache-Control", "no-store")
        self._lend_nothing()
        self._cors()
        self.error = error.error
        detail = error.detail() | {"request_id": self.trace.request_id}
        self.send(msgspec.json.encode({"detail": detail}))

    def _foreign(self, status: int) -> ScailookupError:
        """The contract's error for a status that Tornado itself raised."""
        if status == 405:
            return MethodNotAllowed(self.methods())
        if 400 <= status < 500:
            return unreadable()
        return Internal()

    def log_exception(self, typ: Any, value: BaseException | None, tb: Any) -> None:
        """Expected failures leave no traceback; a fault of ours does, in the log alone."""
        theirs = isinstance(value, HTTPError) and value.status_code < 500  # Tornado's word on the request
        if not isinstance(value, ScailookupError) and not theirs:
            _log.error(
                "internal_error",
                route=self.route_name,
                request_id=self.trace.request_id,
                exc_info=(typ, value, tb),
            )

    def on_finish(self) -> None:
        """Count the request, and tell of it where it is worth telling."""
        self.web.busy -= 1
        report_request(
            self.web,
            route=self.route_name,
            method=self.request.method or "",
            status=self.get_status(),
            error=getattr(self, "error", None),
            caller=self.caller,
            started=self.started,
            trace=self.trace,
            outcome=self.outcome,
        )


class Missing(Handler):
    """404 for whatever is no route, before anybody is asked who they are."""

    needs: ClassVar[Mapping[str, Need]] = {}

    async def prepare(self) -> None:
        """Nothing is looked at."""
        self._cors()
        raise NotFound()
