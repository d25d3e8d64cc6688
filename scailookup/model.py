"""The nouns of one request: who asks, what is sent and what comes back.

Plain frozen values. Nothing here does I/O.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from scailookup.errors import ScailookupError
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
    "Form",
    "Grant",
    "Headers",
    "Judged",
    "Reply",
    "Request",
    "Row",
    "Served",
    "Trace",
]

VIEW = "scaicore:view"
# Below this a compressed form gains nothing.
SMALLEST_PACKED = 256
USER_AGENT = f"scailookup/{__version__}"
T = TypeVar("T")
Row = dict[str, Any]
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


@dataclass(frozen=True, slots=True)
class Trace:
    """What identifies a request across services: W3C names, ours for the id."""

    request_id: str
    traceparent: str | None = None
    tracestate: str | None = None


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


class Judged(NamedTuple, Generic[T]):
    """What was made of one good reply, with the counts that its log event shows."""

    value: T
    rows: int | None = None
    dropped: int | None = None


_HEAD = b'{"data":'


@dataclass(frozen=True, slots=True)
class Answer:
    """The full, unfiltered list of one lookup, encoded once.

    ``body`` is what is sent; the JSON of the rows is its first ``length`` bytes after
    ``{"data":``. ``upstream_seconds`` is how long ``calls`` took. ``fresh`` is for how
    many seconds it is good, where it is not for as long as every other.
    """

    body: bytes = field(repr=False)
    length: int
    meta: Mapping[str, Any] = field(default_factory=dict)
    credential: str = "none"
    upstream_seconds: float = 0.0
    calls: int = 0
    fresh: float | None = None

    @classmethod
    def of(
        cls,
        data: bytes,
        *,
        truncated: bool = False,
        dropped: int = 0,
        meta: Mapping[str, Any] = MappingProxyType({}),
        **more: Any,
    ) -> Answer:
        """An answer of the rows that ``data`` is the JSON of; ``meta`` is what else there is to say."""
        said: dict[str, Any] = {"truncated": True} if truncated else {}
        if dropped:
            said["dropped"] = dropped
        if meta:
            said |= meta
        return cls(_body(data, said), len(data), said, **more)

    def rows(self) -> list[Row]:
        """The rows, decoded afresh: memory holds bytes."""
        rows: list[Row] = msgspec.json.decode(self._data())
        return rows

    def with_rows(self, data: bytes) -> bytes:
        """The body of a selection of the rows."""
        return _body(data, self.meta)

    def stale(self) -> Answer:
        """The same, saying in ``meta`` that it is stale."""
        meta = {**self.meta, "stale": True}
        return replace(self, body=_body(bytes(self._data()), meta), meta=meta)

    def _data(self) -> memoryview:
        return memoryview(self.body)[len(_HEAD) : len(_HEAD) + self.length]


def _body(data: bytes, meta: Mapping[str, Any]) -> bytes:
    """``data``, and ``meta`` only when there is something to say."""
    tail = b',"meta":' + msgspec.json.encode(meta) if meta else b""
    return b"".join((_HEAD, data, tail, b"}"))


class Served(NamedTuple):
    """An answer as it is given to one caller.

    ``age`` in seconds; ``ttl`` is the freshness left, negative when stale;
    ``outcome`` is hit, stale, stale-if-error, miss, collapsed (joined another's flight) or shared
    (held by another process).
    ``failure`` is why an answer that is too old is given.
    ``outdated`` says that a call was made though something was held, which was too old.
    """

    answer: Answer
    form: Form
    outcome: str
    age: float = 0.0
    ttl: float = 0.0
    failure: ScailookupError | None = None
    outdated: bool = False


class Form:
    """Ready bytes of one body with its strong ETag, and the same compressed once somebody wants that."""

    __slots__ = ("_packed", "body", "etag", "weight")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.etag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
        self._packed: tuple[bytes, str] | None = None
        # Half as much again covers the compressed form: one that is larger is not sent.
        self.weight = len(body) + len(body) // 2

    @property
    def is_packed(self) -> bool:
        """Whether the compressed form is ready."""
        return self._packed is not None

    def packed(self) -> tuple[bytes, str] | None:
        """The gzip bytes with an ETag of their own; None when the body is too small, or gains too little."""
        if self._packed is None and len(self.body) >= SMALLEST_PACKED:
            small = gzip.compress(self.body, compresslevel=6, mtime=0)
            self._packed = small, self.etag[:-1] + '-gz"'
            if len(small) > len(self.body) // 2:
                self._packed = _NO_GAIN
        return self._packed if self._packed is not _NO_GAIN else None


_NO_GAIN = (b"", "")
