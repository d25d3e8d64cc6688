"""One list and its query parameters, as a plugin declares them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from scailookup.checks import FIELD_NAME, NAME, check_headers, check_seconds, check_upstream_path
from scailookup.declare.templates import fields_of, spread_of
from scailookup.layout import Layout
from scailookup.model import VIEW, Row
from scailookup.paging import Paging
from scailookup.places import put, steps

if TYPE_CHECKING:
    from scailookup.declare.upstreams import Upstream
    from scailookup.gather import Gather

__all__ = ["Filter", "Lookup", "Param"]

_ROUTE_FIELD = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_WORD = re.compile(r"[\x21-\x7e]{1,128}")
_OURS = frozenset({"q", "limit"})
LONGEST_VALUE = 256


@dataclass(frozen=True, slots=True)
class Filter:
    """A query parameter that keeps the rows whose field ``name`` equals the value given."""

    name: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Param:
    """A query parameter that is handed on to the upstream, unlike a Filter.

    Its value is part of what an answer is kept under: each value has a list of its own.
    ``sent_as`` is the upstream's name for it (a place in the body where the list is
    fetched with one), ``choices`` are the only values taken, ``default`` is sent when
    the caller gives none. A value has 1 to 256 characters and no control character.
    """

    name: str
    description: str = ""
    sent_as: str = ""
    choices: tuple[str, ...] = ()
    default: str | None = None
    required: bool = False

    def __post_init__(self) -> None:
        if not FIELD_NAME.fullmatch(self.name) or self.name in _OURS:
            raise ValueError(f"{self.name!r} cannot be a parameter")
        object.__setattr__(self, "sent_as", self.sent_as or self.name)
        object.__setattr__(self, "choices", tuple(self.choices))
        if not _WORD.fullmatch(self.sent_as):
            raise ValueError(f"parameter {self.name}: {self.sent_as!r} cannot be sent as a name")
        if self.required and self.default is not None:
            raise ValueError(f"parameter {self.name}: what is required has no default")
        for value in (*self.choices, *([] if self.default is None else [self.default])):
            reason = self.refusal(value)
            if reason is not None:
                raise ValueError(f"parameter {self.name}: the value {value!r} {reason}")

    def refusal(self, value: str) -> str | None:
        """Why a value is not taken; None when it is."""
        if self.choices and value not in self.choices:
            return f"must be one of {', '.join(self.choices)}"
        if not 1 <= len(value) <= LONGEST_VALUE:
            return f"must have 1 to {LONGEST_VALUE} characters"
        if any(unicodedata.category(c) == "Cc" for c in value):
            return "holds a control character"
        return None


@dataclass(frozen=True, slots=True)
class Lookup:
    """One list of an upstream.

    ``name`` is the route below the upstream's (``scopes/{scope_id}/queues``),
    ``path`` the upstream's path, which may use the same fields: ``{name}`` is sent as
    one segment, ``{+name}`` as several.  ``row`` turns one raw object into a row; it
    may raise or return None for what it cannot read, and such a row is dropped and
    counted.  ``key`` names the row's identity; ``key_of`` names the fields that it is
    made of, each percent-encoded, with a slash between.  ``keep`` says which rows are
    offered at all.  ``tenant_field`` names the raw field that says whose row it is:
    another tenant's is left out.  ``record`` is a quicker way to the same rows: a
    ``msgspec.Struct`` whose JSON is the row.  A page that does not decode into such
    records goes through ``row``.

    ``filters`` and ``params`` are the query parameters besides ``q`` and ``limit``.
    ``body`` makes the call a POST of that JSON; a text in it that is ``{field}`` is
    replaced by the value.  ``layout`` says where the list stands and ``paging`` how it
    goes on, where the usual envelopes and marks do not fit.  ``headers`` are fixed;
    an ``Accept`` among them takes the place of ours.  ``deadline`` and ``fresh`` are
    seconds, in the place of the service's settings.  ``roles`` carry ``permission``
    here besides those that carry it everywhere.

    ``schema`` describes the row's fields for the OpenAPI document: JSON Schema by
    name, the first of ``examples`` shown as a row.

    ``gather`` in the place of ``path`` is a coroutine that makes the records out of
    several calls; ``sources`` are further upstreams whose lookups it may ask.
    """

    name: str
    path: str = ""
    row: Callable[[Mapping[str, Any]], Row | None] = dict
    key: str = "id"
    filters: tuple[Filter, ...] = ()
    keep: Callable[[Row], bool] | None = None
    tenant_field: str | None = None
    permission: str = VIEW
    summary: str = ""
    record: type[msgspec.Struct] | None = None
    params: tuple[Param, ...] = field(default=(), kw_only=True)
    key_of: tuple[str, ...] = field(default=(), kw_only=True)
    body: Any = field(default=None, hash=False, kw_only=True)
    layout: Layout | None = field(default=None, kw_only=True)
    paging: Paging | None = field(default=None, kw_only=True)
    headers: Mapping[str, str] = field(default_factory=dict, hash=False, kw_only=True)
    deadline: float | None = field(default=None, kw_only=True)
    fresh: float | None = field(default=None, kw_only=True)
    roles: frozenset[str] = field(default=frozenset(), kw_only=True)
    schema: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False, kw_only=True)
    gather: Gather | None = field(default=None, kw_only=True)
    sources: tuple[Upstream, ...] = field(default=(), kw_only=True)
    # Worked out here, once, so that no request has to.
    fields: tuple[str, ...] = field(init=False, repr=False, compare=False)
    spread: frozenset[str] = field(init=False, repr=False, compare=False)
    target: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._take("params", "filters", "key_of", "sources", kind=tuple)
        self._take("roles", kind=frozenset)
        self._set(
            fields=_fields(self.name),
            spread=spread_of(self.path),
            headers=MappingProxyType(dict(self.headers)),
            schema=MappingProxyType(dict(self.schema)),
        )
        self._check_way()
        self._check_query()
        if not _WORD.fullmatch(self.permission):
            raise ValueError(f"lookup {self.name!r}: {self.permission!r} is not a permission")
        try:
            check_headers(self.headers)
            check_seconds("deadline", self.deadline)
            check_seconds("fresh", self.fresh, zero=True)
        except ValueError as exc:
            raise ValueError(f"lookup {self.name!r}: {exc}") from None
        if self.record is not None:
            self._check_record(self.record)
        if self.schema and self.key not in self.schema:
            raise ValueError(f"lookup {self.name!r}: the schema lacks the key {self.key!r}")
        if self.key_of:
            self._set(row=_joined(self.row, self.key, self.key_of))
        self._resolve()

    def _take(self, *names: str, kind: type[Any]) -> None:
        for name in names:
            value = getattr(self, name)
            if isinstance(value, str):
                raise TypeError(f"lookup {self.name!r}: {name} is a list of names, not one text")
            self._set(**{name: kind(value)})

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _check_way(self) -> None:
        """A path or a coroutine; what belongs to the one does not stand with the other."""
        if self.gather is None:
            if self.sources:
                raise ValueError(f"lookup {self.name!r}: sources are for a lookup that gathers")
            unfed = set(fields_of(self.path)) - set(self.fields)
            if unfed:
                raise ValueError(f"lookup {self.name!r}: nothing feeds {{{min(unfed)}}} of {self.path}")
            check_upstream_path(self.path)
            return
        for name in ("path", "body", "layout", "paging"):
            if getattr(self, name):
                raise ValueError(f"lookup {self.name!r}: {name} says nothing where `gather` makes the calls")
        for source in self.sources:
            for other in source.lookups:
                if other.fields or any(param.required for param in other.params):
                    raise ValueError(f"lookup {self.name!r}: nothing feeds {source.name}/{other.name}")
                if (other.permission, other.roles) != (self.permission, self.roles):
                    raise ValueError(
                        f"lookup {self.name!r}: {source.name}/{other.name} needs another permission"
                    )

    def _check_record(self, record: type[msgspec.Struct]) -> None:
        """A record is a row as it is: nothing may choose among them, and each has the key."""
        if self.keep is not None or self.tenant_field is not None:
            raise ValueError(f"lookup {self.name!r}: with a record there is no keep and no tenant_field")
        if self.layout or self.paging or self.gather or self.key_of:
            raise ValueError(f"lookup {self.name!r}: a record is for the usual envelopes and marks alone")
        if self.key not in record.__struct_fields__:
            raise ValueError(f"lookup {self.name!r}: the record has no field {self.key!r}")

    def _check_query(self) -> None:
        taken = set(_OURS)
        for f in self.filters:
            if not FIELD_NAME.fullmatch(f.name) or f.name in taken:
                raise ValueError(f"lookup {self.name!r}: {f.name!r} cannot be a filter")
            taken.add(f.name)
        sent = {name for name, _ in self.paging.first()} if self.paging else set()
        for p in self.params:
            if p.name in taken:
                raise ValueError(f"lookup {self.name!r}: {p.name!r} is declared twice")
            if p.sent_as in sent:
                raise ValueError(f"lookup {self.name!r}: {p.sent_as} is sent upstream twice")
            taken.add(p.name)
            sent.add(p.sent_as)

    def _resolve(self) -> None:
        """The first page's parameters, put where they go."""
        first = self.paging.first() if self.paging else ()
        if self.body is None:
            query = "&".join([f"{quote(name, safe='')}={value}" for name, value in first])
            joint = "&" if "?" in self.path else "?"
            self._set(target=f"{self.path}{joint}{query}" if query else self.path)
            return
        body = self.body
        for name, value in first:
            body = put(body, steps(name), value)
        try:
            msgspec.json.encode(body)
        except (TypeError, ValueError, RecursionError):
            raise ValueError(f"lookup {self.name!r}: the body is not JSON") from None
        self._set(target=self.path, body=body)


def _fields(name: str) -> tuple[str, ...]:
    """The fields of a route; raises ValueError when it is none."""
    fields = []
    for part in name.split("/"):
        match = _ROUTE_FIELD.fullmatch(part)
        if match is not None:
            fields.append(match[1])
        elif not NAME.fullmatch(part):
            raise ValueError(f"lookup {name!r}: {part!r} is not a legal route segment")
    if len(set(fields)) != len(fields):
        raise ValueError(f"lookup {name!r} uses a field twice")
    return tuple(fields)


def _joined(
    read: Callable[[Mapping[str, Any]], Row | None], key: str, parts: tuple[str, ...]
) -> Callable[[Mapping[str, Any]], Row | None]:
    """``read``, and the row's identity made of several of its fields."""

    def row(raw: Mapping[str, Any]) -> Row | None:
        found = read(raw)
        if found is None:
            return None
        values = [found.get(part) for part in parts]
        if not all(_names(value) for value in values):
            return None
        return {key: "/".join([quote(str(value), safe="") for value in values]), **found}

    return row


def _names(value: Any) -> bool:
    return (isinstance(value, str) and value != "") or type(value) is int
