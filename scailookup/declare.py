"""What a plugin declares: upstreams with their lookups, and handlers. Frozen values, checked when made."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec

from scailookup.auth import Auth
from scailookup.model import VIEW, Row

__all__ = ["Filter", "Lookup", "Route", "Upstream", "check_base_url", "check_upstream_path"]

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
    ``record`` is a quicker way to the same rows: a ``msgspec.Struct`` whose JSON is
    the row. A page that does not decode into such records goes through ``row``.
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
    record: type[msgspec.Struct] | None = None

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
        if self.record is not None:
            self._check_record(self.record)

    def _check_record(self, record: type[msgspec.Struct]) -> None:
        """A record is a row as it is: nothing may choose among them, and each has the key."""
        if self.keep is not None or self.tenant_field is not None:
            raise ValueError(f"lookup {self.name!r}: with a record there is no keep and no tenant_field")
        if self.key not in record.__struct_fields__:
            raise ValueError(f"lookup {self.name!r}: the record has no field {self.key!r}")

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
        object.__setattr__(self, "base_url", self.base_url.rstrip("/"))
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
    """Raise ValueError unless ``url`` is http(s)://host[:port][/path] and nothing more.

    The message never holds a part of the url: somebody may have put a password there.
    """
    # urlsplit drops blanks and control characters in silence; what it judged would not be what is used.
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("a base URL holds printable ASCII characters and no blanks")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("a base URL has a host and, if any, a port up to 65535") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("a base URL starts with https:// (or http://) and a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a base URL holds no user or password")
    if "?" in url or "#" in url:
        raise ValueError("a base URL has no query and no fragment")
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
