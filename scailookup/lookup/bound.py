"""A lookup with the values of one request, and what is sent upstream for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from scailookup.declare import Lookup, Upstream, fill
from scailookup.model import Caller, Content, Errand, Grant, Headers, Trace
from scailookup.places import put, steps

__all__ = ["Bound", "Trip", "content_of", "with_query"]


@dataclass(frozen=True, slots=True)
class Bound:
    """A lookup with its upstream, the path values and the values to hand on of one request."""

    upstream: Upstream
    lookup: Lookup
    values: Mapping[str, str]
    handed: tuple[tuple[str, str], ...] = ()

    def url(self, base_url: str) -> str:
        """The upstream url of the first page."""
        lookup = self.lookup
        target = fill(lookup.target, self.values) if self.values else lookup.target
        if self.handed and lookup.body is None:
            target = with_query(target, self._sent())
        return base_url + target

    def body(self) -> Any:
        """The JSON sent for the first page, None with a GET."""
        if self.lookup.body is None:
            return None
        body = _filled(self.lookup.body, self.values)
        for name, value in self._sent().items():
            body = put(body, steps(name), value)
        return body

    def _sent(self) -> dict[str, str]:
        """The values to hand on, by the names that they have upstream."""
        given = dict(self.handed)
        return {p.sent_as: given[p.name] for p in self.lookup.params if p.name in given}

    def template(self, base_url: str) -> str:
        """The url as the log shows it: no values, no query."""
        return base_url + self.lookup.path.partition("?")[0]


class Trip(NamedTuple):
    """One lookup on its way to the upstream: for whom, signed how, until when."""

    bound: Bound
    caller: Caller
    grant: Grant
    trace: Trace
    deadline: float

    def errand(
        self,
        url: str,
        content: Content | None = None,
        *,
        template: str | None = None,
        headers: Headers | None = None,
    ) -> Errand:
        """One call of it; ``template`` and ``headers`` are the lookup's own unless said."""
        bound = self.bound
        return Errand(
            upstream=bound.upstream.name,
            lookup=bound.lookup.name,
            tenant=self.caller.tenant,
            url=url,
            template=bound.template(self.grant.base_url) if template is None else template,
            grant=self.grant,
            trace=self.trace,
            deadline=self.deadline,
            headers=bound.upstream.headers_of(bound.lookup) if headers is None else headers,
            content=content,
        )


def _filled(body: Any, values: Mapping[str, str]) -> Any:
    """The body with each text that is ``{field}`` replaced by the value."""
    if isinstance(body, Mapping):
        return {name: _filled(inner, values) for name, inner in body.items()}
    if isinstance(body, list | tuple):
        return [_filled(inner, values) for inner in body]
    if isinstance(body, str) and body.startswith("{") and body.endswith("}"):
        return values.get(body[1:-1], body)
    return body


def with_query(target: str, query: Mapping[str, str | int]) -> str:
    """``target`` with these parameters at the end of its query."""
    pairs = "&".join([f"{quote(k, safe='')}={quote(str(v), safe='')}" for k, v in query.items()])
    return f"{target}{'&' if '?' in target else '?'}{pairs}" if pairs else target


def content_of(body: Any) -> Content | None:
    """What is sent of a JSON body; None for none."""
    return None if body is None else Content(msgspec.json.encode(body))
