"""The nouns of one request: who asks, what is sent and what comes back.

Plain frozen values. Nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import quote_plus

from scailookup.answers import Answer, Form, Row, Served
from scailookup.version import __version__

__all__ = [
    "JSON_ONLY",
    "USER_AGENT",
    "VIEW",
    "Answer",
    "Call",
    "Caller",
    "Content",
    "Errand",
    "Exchange",
    "Failure",
    "Form",
    "Grant",
    "Headers",
    "Judged",
    "Reply",
    "Request",
    "Row",
    "Served",
    "Trace",
    "forms",
]

VIEW = "scaicore:view"
USER_AGENT = f"scailookup/{__version__}"
T = TypeVar("T")
Headers = tuple[tuple[str, str], ...]
JSON_ONLY: Headers = (("Accept", "application/json"),)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as a verified token says.

    ``permissions`` is None when the token has no such claim. ``everything`` is
    the development principal's. ``expires`` is epoch seconds.
    """

    subject: str
    tenant: str
    token: str | None = field(default=None, repr=False)
    permissions: frozenset[str] | None = None
    scopes: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    expires: float = float("inf")
    everything: bool = False


@dataclass(frozen=True, slots=True)
class Exchange:
    """The client credentials that a token is fetched with, and from where."""

    upstream: str
    url: str
    client_id: str
    secret: str = field(repr=False)
    scope: str = ""
    more: tuple[tuple[str, str], ...] = ()
    in_body: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    """The credential chosen for one upstream call and the address it may go to.

    ``step`` is caller, tenant, env, shared, or none. ``secret`` is the bare value,
    for keying and scrubbing. With an ``exchange`` the call is signed with a token that
    is fetched when it is made. ``others`` are the credentials of further upstreams that
    the answer is made from.
    """

    step: str
    base_url: str
    headers: Headers = field(default=(), repr=False)
    secret: str = field(default="", repr=False)
    exchange: Exchange | None = None
    others: tuple[str, ...] = field(default=(), repr=False)

    def forms(self) -> list[str]:
        """What signs the call, in each form in which an upstream may send it back."""
        values = [self.secret, *(value for _, value in self.headers)]
        if self.exchange is not None:
            values.append(self.exchange.secret)
        return forms(*values, *(value.rpartition(" ")[2] for value in values))


def forms(*secrets: str) -> list[str]:
    """As they are and as they stand in a form."""
    return [form for secret in secrets for form in (secret, quote_plus(secret))]


class Trace(NamedTuple):
    """What identifies a request across services: W3C names, ours for the id.

    Where requests are traced ``span`` is the span that these names stand for.
    """

    request_id: str
    traceparent: str | None = None
    tracestate: str | None = None
    span: Any = None

    @property
    def names(self) -> dict[str, str]:
        """What log events are to bear."""
        if self.span is None or self.traceparent is None:
            return {"request_id": self.request_id}
        _, trace_id, span_id, _ = self.traceparent.split("-")
        return {"request_id": self.request_id, "trace_id": trace_id, "span_id": span_id}


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request of ours. ``headers`` hold credentials and are never shown.

    ``reads`` says that it changes nothing, so that it may be sent again when the
    connection breaks; a GET always does.
    """

    url: str
    headers: Headers = field(default=(), repr=False)
    method: str = "GET"
    body: bytes | None = field(default=None, repr=False)
    reads: bool = False


class Reply(NamedTuple):
    """One HTTP answer: header names in lower case, the body decoded and bounded."""

    status: int
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes = b""

    def __repr__(self) -> str:
        return f"Reply(status={self.status})"


class Content(NamedTuple):
    """The body of a POST. ``reads`` says that the POST asks and changes nothing."""

    body: bytes
    type: str = "application/json"
    reads: bool = True


@dataclass(frozen=True, slots=True)
class Errand:
    """One call to make: where to, for whom, signed how, until when (monotonic time).

    ``template`` is the url without path values and query, for the log. ``headers`` are
    the fixed ones, ``Accept`` first. With ``content`` it is a POST.
    """

    upstream: str
    lookup: str
    tenant: str
    url: str
    template: str
    grant: Grant
    trace: Trace
    deadline: float
    headers: Headers = JSON_ONLY
    content: Content | None = None

    def request(self) -> Request:
        """What is sent: fixed headers and the credential, nothing of the caller's."""
        headers = [
            *self.headers,
            ("User-Agent", USER_AGENT),
            ("X-Request-ID", self.trace.request_id),
        ]
        if self.trace.traceparent:
            headers.append(("traceparent", self.trace.traceparent))
            if self.trace.tracestate:
                headers.append(("tracestate", self.trace.tracestate))
        if self.content is None:
            return Request(self.url, (*headers, *self.grant.headers))
        body, kind, reads = self.content
        headers.append(("Content-Type", kind))
        return Request(self.url, (*headers, *self.grant.headers), "POST", body, reads)


class Call(NamedTuple):
    """One finished upstream call, as the log event and the observing hook see it.

    ``url`` is a template, never a real path or query; ``duration`` in seconds.
    """

    upstream: str
    lookup: str
    tenant: str
    credential: str
    url: str
    status: int | None
    code: str | None
    attempt: int
    bytes: int
    rows: int | None
    dropped: int | None
    duration: float
    request_id: str


class Failure(NamedTuple):
    """What is told of a plugin that did not load; ``reason`` holds no secret."""

    name: str
    distribution: str
    version: str
    entry_point: str
    reason: str


class Judged(NamedTuple, Generic[T]):
    """What was made of one good reply, with the counts that its log event shows."""

    value: T
    rows: int | None = None
    dropped: int | None = None
