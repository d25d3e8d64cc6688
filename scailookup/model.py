"""The nouns: what plugins declare, who asks, what is sent and what comes back.

Plain frozen values and the Protocols that the rooms above are joined by. Nothing
here does I/O.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import urlsplit

from scailookup.auth import Auth
from scailookup.version import __version__

__all__ = [
    "USER_AGENT",
    "VIEW",
    "Answer",
    "Call",
    "Caller",
    "Errand",
    "Fetch",
    "Filter",
    "Grant",
    "Judged",
    "Lookup",
    "Reply",
    "Request",
    "Route",
    "Row",
    "SecretStore",
    "Secrets",
    "Trace",
    "Upstream",
]

VIEW = "scaicore:view"
USER_AGENT = f"scailookup/{__version__}"
T = TypeVar("T")
Row = dict[str, Any]
Secret = Mapping[str, str]

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_FIELD = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_PERMISSION = re.compile(r"[\x21-\x7e]{1,128}")
_FILTER_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class Filter:
    """A query parameter that keeps the rows whose field ``name`` equals the value given."""

    name: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Lookup:
    """One list of an upstream.

    ``name`` is the route below the upstream's (``scopes/{scope_id}/queues``),
    ``path`` the upstream's path, which may use the same fields.  ``row`` turns
    one raw object into a row; it may raise or return None for what it cannot
    read, and such a row is dropped and counted.  ``key`` names the row's
    identity.  ``keep`` says which rows are offered at all.  ``tenant_field``
    names the raw field that says whose row it is: another tenant's is left out.
    """

    name: str
    path: str
    row: Callable[[Mapping[str, Any]], Row | None] = dict
    key: str = "id"
    filters: tuple[Filter, ...] = ()
    keep: Callable[[Row], bool] | None = None
    tenant_field: str | None = None
    permission: str = VIEW
    summary: str = ""

    def __post_init__(self) -> None:
        for part in self.name.split("/"):
            if not (_NAME.fullmatch(part) or _FIELD.fullmatch(part)):
                raise ValueError(f"lookup {self.name!r}: {part!r} is not a legal route segment")
        if len(set(self.fields)) != len(self.fields):
            raise ValueError(f"lookup {self.name!r} uses a field twice")
        unfed = set(_FIELD.findall(self.path)) - set(self.fields)
        if unfed:
            raise ValueError(f"lookup {self.name!r}: nothing feeds {{{min(unfed)}}} of {self.path}")
        check_upstream_path(self.path)
        for f in self.filters:
            if not _FILTER_NAME.fullmatch(f.name) or f.name in ("q", "limit"):
                raise ValueError(f"lookup {self.name!r}: {f.name!r} cannot be a filter")
        if not _PERMISSION.fullmatch(self.permission):
            raise ValueError(f"lookup {self.name!r}: {self.permission!r} is not a permission")

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the path values, in order."""
        return tuple(_FIELD.findall(self.name))


@dataclass(frozen=True, slots=True)
class Upstream:
    """A service that lookups are made into. ``auth`` has no default on purpose."""

    name: str
    base_url: str
    auth: Auth
    lookups: tuple[Lookup, ...] = ()
    summary: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is not a legal upstream name")
        if not isinstance(self.auth, Auth):
            raise TypeError(f"upstream {self.name}: auth must be one of scailookup.auth's kinds")
        check_base_url(self.base_url)
        names = [look.name for look in self.lookups]
        if len(set(names)) != len(names):
            raise ValueError(f"upstream {self.name} declares a lookup twice")


@dataclass(frozen=True, slots=True)
class Route:
    """A handler of a plugin, mounted under both prefixes at the literal ``path``."""

    path: str
    handler: type[Any]
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"(/[a-z0-9][a-z0-9_.-]*)+", self.path):
            raise ValueError(f"{self.path!r} is not a legal route")
        for name in self.options:
            if isinstance(getattr(self.handler, name, None), property):
                raise ValueError(f"the option {name!r} is a property of every handler: choose another name")


def check_base_url(url: str) -> None:
    """Raise ValueError unless ``url`` is http(s)://host[:port][/path] and nothing more."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("a base URL starts with https:// (or http://) and a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a base URL holds no user or password")
    if "?" in url or "#" in url:
        raise ValueError("a base URL has no query and no fragment")
    _ = parts.port  # raises ValueError when out of range
    if not re.fullmatch(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+", parts.hostname):
        raise ValueError("a base URL's host is a name or an address")
    if parts.path:
        check_upstream_path(parts.path)


def check_upstream_path(path: str) -> None:
    """Raise ValueError unless ``path`` is a plain absolute path, perhaps with a query."""
    if not path.startswith("/"):
        raise ValueError(f"the path {path!r} must start with /")
    if "#" in path or not path.isascii() or any(c <= " " or c == "\x7f" for c in path):
        raise ValueError("a path holds printable ASCII characters and no fragment")
    folded = path.partition("?")[0].lower().replace("%2e", ".")
    if any(part in (".", "..") for part in folded.split("/")) or "//" in folded:
        raise ValueError(f"the path {path!r} has an empty or dot segment")


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
class Grant:
    """The credential chosen for one upstream call and the address it may go to.

    ``step`` is caller, tenant, env, shared, or none. ``secret`` is the bare value,
    for keying and scrubbing.
    """

    step: str
    base_url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Trace:
    """What identifies a request across services: W3C names, ours for the id."""

    request_id: str
    traceparent: str | None = None
    tracestate: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request of ours. ``headers`` hold credentials and are never shown."""

    url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    method: str = "GET"
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer: header names in lower case, the body decoded and bounded."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Errand:
    """One call to make: where to, for whom, signed how, until when (loop time).

    ``template`` is the url without path values and query, for the log.
    """

    upstream: str
    lookup: str
    tenant: str
    url: str
    template: str
    grant: Grant
    trace: Trace
    deadline: float

    def request(self) -> Request:
        """What is sent: our own headers and the credential, nothing of the caller's."""
        headers = [
            ("Accept", "application/json"),
            ("User-Agent", USER_AGENT),
            ("X-Request-ID", self.trace.request_id),
        ]
        if self.trace.traceparent:
            headers.append(("traceparent", self.trace.traceparent))
            if self.trace.tracestate:
                headers.append(("tracestate", self.trace.tracestate))
        return Request(self.url, (*headers, *self.grant.headers))


@dataclass(frozen=True, slots=True)
class Call:
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


@dataclass(frozen=True, slots=True)
class Judged(Generic[T]):
    """What was made of one good reply, with the counts that its log event shows."""

    value: T
    rows: int | None = None
    dropped: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The full, unfiltered list of one lookup."""

    rows: Sequence[Row]
    truncated: bool = False
    dropped: int = 0
    credential: str = "none"
    upstream_seconds: float = 0.0
    calls: int = 0


class Fetch(Protocol):
    """Send one request; the only thing the rooms know of the transport.

    ``deadline`` is a time of the running loop. Raises CallFailed.
    """

    def __call__(self, request: Request, *, deadline: float) -> Awaitable[Reply]: ...


class SecretStore(Protocol):
    """Where secrets lie. A secret is a flat mapping of strings."""

    name: str

    async def read(self, path: str) -> Secret | None:
        """The secret at ``path``, None when there is none; raises SecretsUnavailable."""

    async def write(self, path: str, data: Secret) -> None:
        """Set or replace the secret; raises SecretsUnavailable."""

    async def probe(self) -> None:
        """Raise SecretsUnavailable unless the store answers and knows us."""

    async def close(self) -> None:
        """Stop what runs in the background."""


class Secrets(Protocol):
    """Secrets as the rooms above use them: held, coalesced, kept through outages."""

    async def get(self, path: str, *, fresh: bool = False) -> Secret | None:
        """The secret at ``path``, None when there is none; raises SecretsUnavailable."""

    async def put(self, path: str, data: Secret) -> None:
        """Set or replace the secret; raises SecretsUnavailable."""
