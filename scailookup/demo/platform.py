"""ScaiGrid with its modules ScaiQueue and ScaiBunker, and ScaiKey beside it, in one application.

Every route goes the same way: what is broken, who asks, how often, whether they
may; then the list. Only what the lookups need is there.
"""

from __future__ import annotations

import json
import socket
import struct
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from tornado.web import Application, HTTPError, RequestHandler

from scailookup.demo import answers, data, signin
from scailookup.demo.access import Access, Limits, Principal, Refused, Spent
from scailookup.demo.answers import Envelope
from scailookup.demo.data import Record
from scailookup.demo.faults import FAULTS_PATH, Fault, Faults, FaultsHandler
from scailookup.demo.issuer import Issuer

__all__ = ["ELSEWHERE", "PAGE_SIZE", "Platform"]

PAGE_SIZE = 10
ELSEWHERE = "https://login.scai.invalid/sso"
"""Where the fault ``redirect`` points to: a name that can never be reached."""

_LOGIN_PAGE = "<!doctype html><title>Sign in</title><h1>Sign in to ScaiLabs</h1>"
_MODULES = "/v1/modules/"


class Platform(Application):
    """The demo platform. ``keys`` is tenant id to ``sgk_`` key; ``clock`` drives the rate limit."""

    def __init__(
        self,
        issuer: Issuer,
        *,
        keys: Mapping[str, str] = data.KEYS,
        page_size: int = PAGE_SIZE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.issuer = issuer
        self.access = Access(issuer, keys)
        self.limits = Limits(clock)
        self.faults = Faults()
        self.page_size = page_size
        routes: list[Any] = [
            ("/v1/models", ModelsHandler),
            ("/oai/v1/models", OpenAIModelsHandler),
            ("/v1/modules/scaiqueue/scopes", ScopesHandler),
            ("/v1/modules/scaiqueue/scopes/([^/]+)/queues", QueuesHandler),
            ("/v1/modules/scaibunker/bunkers", BunkersHandler),
            ("/v1/me", MeHandler),
            ("/v1/auth/me", MeHandler),
            ("/health", HealthHandler),
            ("/health/ready", HealthHandler),
            (FAULTS_PATH, FaultsHandler, {"faults": self.faults}),
            *issuer.routes(),
            *signin.routes(issuer),
        ]
        super().__init__(routes, default_handler_class=NowhereHandler, log_function=lambda handler: None)

    def stop(self) -> None:
        """Let go of the requests that a fault holds back."""
        self.faults.stop()


class GridHandler(RequestHandler):
    """What all routes of ScaiGrid share. ``open`` ones ask nobody who they are."""

    permission: str | None = None
    open = False
    application: Platform
    principal: Principal
    fault = Fault()
    spent: Spent | None = None

    def set_default_headers(self) -> None:
        """The headers of every answer; Tornado asks again for those of an error."""
        with suppress(ValueError):
            self.set_header("X-Request-ID", self.request_id)
        if self.spent:
            for name in ("limit", "remaining", "reset"):
                self.set_header(f"X-Scaigrid-Ratelimit-{name.capitalize()}", str(getattr(self.spent, name)))

    @cached_property
    def request_id(self) -> str:
        """The caller's id of the request, else one of ours."""
        return self.request.headers.get("X-Request-ID") or f"req_{uuid.uuid4().hex[:16]}"

    async def prepare(self) -> None:
        """Faults first, then identity, the rate limit and the permission."""
        self.fault = self.application.faults.at(self.request.path)
        if await self._broken(self.fault) or self.open:
            return
        self.principal = self.application.access.principal(self.request.headers.get("Authorization"))
        self._count()
        if self.permission and self.permission not in self.principal.permissions:
            raise Refused(403, "AUTHZ_PERMISSION_DENIED", f"The permission {self.permission} is required.")

    def _count(self) -> None:
        """Say what is left of the minute; only keys are held to it."""
        spent = self.spent = self.application.limits.take(self.principal)
        self.set_default_headers()
        if spent.exceeded and self.principal.key and self.fault.rate_limit:
            raise Refused(
                429, "RATE_LIMITED", f"More than {spent.limit} requests a minute.", retry_after=spent.reset
            )

    async def _broken(self, fault: Fault) -> bool:
        """Do what the fault says; True when that was the whole answer."""
        if fault.delay:
            await self.application.faults.wait(fault.delay)
        if fault.reset:
            self._cut()
        elif fault.redirect:
            self.set_status(302)
            self.set_header("Location", ELSEWHERE)
            self.finish()
        elif fault.html or fault.empty:
            self.set_status(fault.status or 200)
            self.set_header("Content-Type", "text/html" if fault.html else "application/json")
            self.finish(_LOGIN_PAGE if fault.html else b"")
        elif fault.status:
            wait = 5 if fault.status in (429, 503) else None
            code = answers.code_of(fault.status)
            raise Refused(fault.status, code, "The demo platform was told to fail.", retry_after=wait)
        return self._finished

    def _cut(self) -> None:
        """Close the connection with a RST, as a crashing server's kernel would."""
        stream = self.detach()
        linger = struct.pack("ii", 1, 0)
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        stream.close()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Everything that goes wrong, in the documented shape."""
        problem = (kwargs.get("exc_info") or (None, None))[1]
        if not isinstance(problem, Refused):
            problem = Refused(status_code, answers.code_of(status_code), self._reason)
        if problem.retry_after is not None:
            self.set_header("Retry-After", str(problem.retry_after))
        if status_code == 401:
            self.set_header("WWW-Authenticate", 'Bearer realm="scaigrid"')
        module = self.request.path.startswith(_MODULES)
        self.finish(answers.error(problem, self.request_id, module=module))

    def log_exception(self, *exc_info: Any) -> None:
        """A refusal is an answer like any other; only faults of our own are logged."""
        if not isinstance(exc_info[1], HTTPError):
            super().log_exception(*exc_info)


class NowhereHandler(GridHandler):
    """Every other path."""

    open = True

    def get(self) -> None:
        """There is nothing."""
        raise Refused(404, "NOT_FOUND", "There is no such route.")

    post = put = patch = delete = get


class HealthHandler(GridHandler):
    """``/health`` and ``/health/ready``."""

    open = True

    def get(self) -> None:
        """All is well, unless a fault says otherwise."""
        self.finish({"status": "ok"})


class MeHandler(GridHandler):
    """``/v1/me``: the caller, with roles and permissions."""

    def get(self) -> None:
        """Who asks and what they may do."""
        me = {
            "id": self.principal.subject,
            "tenant_id": self.principal.tenant,
            "roles": list(self.principal.roles),
            "permissions": sorted(self.principal.permissions),
        }
        self.finish({"status": "ok", "data": me, "meta": {"request_id": self.request_id}})


class ListHandler(GridHandler):
    """A paged list; ``filters`` are the query parameters that match a field."""

    native: Envelope = "data"
    filters: tuple[str, ...] = ()

    def get(self, *values: str) -> None:
        """One page of the rows the caller may see."""
        rows = [row for row in self.rows(*values) if self._wanted(row)]
        envelope = self.fault.envelope or self.native
        if envelope == "bare":
            page = answers.Page(rows)
        else:
            limit = answers.limit_of(self.get_query_argument("limit", None), self.application.page_size)
            page = answers.cut(rows, self._cursor(), limit)
        body = answers.wrap(page, envelope, self._next_url(page.cursor))
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(body))

    def rows(self, *values: str) -> Sequence[Record]:
        """All rows, in the platform's order."""
        raise NotImplementedError

    @property
    def tenant(self) -> data.Tenant:
        """The caller's tenant."""
        return data.tenant(self.principal.tenant)

    def _wanted(self, row: Record) -> bool:
        asked = ((name, self.get_query_argument(name, None)) for name in self.filters)
        return all(value is None or row.get(name) == value for name, value in asked)

    def _cursor(self) -> str | None:
        found = (self.get_query_argument(name, None) for name in answers.CURSOR_NAMES)
        return next((cursor for cursor in found if cursor), None)

    def _next_url(self, cursor: str | None) -> str:
        kept = {
            name: self.get_query_argument(name)
            for name in ("limit", *self.filters)
            if name in self.request.query_arguments
        }
        query = urlencode(kept | {"cursor": cursor or ""})
        return f"{self.request.protocol}://{self.request.host}{self.request.path}?{query}"


class ModelsHandler(ListHandler):
    """``/v1/models``."""

    permission = "models:list"
    native: Envelope = "data.items"
    filters = ("modality", "status")

    def rows(self, *values: str) -> Sequence[Record]:
        """The models of the tenant."""
        return self.tenant.models


class OpenAIModelsHandler(ListHandler):
    """``/oai/v1/models``: the same models as OpenAI would list them."""

    permission = "models:list"
    native: Envelope = "object"

    def rows(self, *values: str) -> Sequence[Record]:
        """The models of the tenant, OpenAI shaped."""
        return [answers.as_openai(model) for model in self.tenant.models]


class ScopesHandler(ListHandler):
    """``/v1/modules/scaiqueue/scopes``."""

    permission = "scaiqueue:view"

    def rows(self, *values: str) -> Sequence[Record]:
        """The scopes of the tenant."""
        return self.tenant.scopes


class QueuesHandler(ListHandler):
    """``/v1/modules/scaiqueue/scopes/{scope_id}/queues``; the scope by id or slug."""

    permission = "scaiqueue:view"

    def rows(self, *values: str) -> Sequence[Record]:
        """The queues of the scope, system queues last."""
        queues = self.tenant.queues_of(values[0])
        if queues is None:
            raise Refused(404, "SCOPE_NOT_FOUND", "There is no such scope in this tenant.")
        return queues


class BunkersHandler(ListHandler):
    """``/v1/modules/scaibunker/bunkers``; across tenants for holders of scaibunker:admin."""

    permission = "scaibunker:create"
    filters = ("status", "lifecycle")

    def rows(self, *values: str) -> Sequence[Record]:
        """The bunkers the caller may see, secrets and all: hiding them is the proxy's work."""
        if "scaibunker:admin" in self.principal.permissions:
            return [bunker for name in data.TENANTS for bunker in data.tenant(name).bunkers]
        return self.tenant.bunkers
