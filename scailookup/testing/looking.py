"""One lookup of an upstream through the real core, against a script and without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scailookup.cache import Ages, Memory
from scailookup.credentials import Credentials
from scailookup.declare import Lookup, Upstream
from scailookup.lookup import Bound, Limits, Lookups, parse_query, parse_values
from scailookup.model import Call, Caller, Reply, Request, Row, Trace
from scailookup.settings import Settings
from scailookup.testing.script import Replies, Script, Sent
from scailookup.testing.secrets import FakeSecrets
from scailookup.testing.serving import settings as dev_settings
from scailookup.transport import Door

__all__ = ["Looked", "look_up", "match"]

_OFF = Ages(0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Looked:
    """What a lookup gave: its rows, the members of ``meta``, and the requests that would have left."""

    rows: list[Row]
    meta: Mapping[str, Any]
    requests: list[Sent]


def look_up(
    upstream: Upstream,
    path: str,
    *,
    replies: Replies,
    secrets: Mapping[str, Any] | None = None,
    settings: Settings | None = None,
    tenant: str = "tnt_test",
    token: str | None = "caller.jwt.token",  # noqa: S107
) -> Looked:
    """Look up ``path`` of ``upstream``, as in ``look_up(weather, "stations?kind=sea", replies=…)``.

    ``path`` is the route below the upstream's, with its query. ``replies`` are by
    target, ``{"/v3/stations": {"data": […]}}``: JSON, a ``reply(…)`` with status and
    headers, an exception, or a function of what was ``Sent``; one function in the place
    of the mapping answers everything. ``secrets`` are the store's, as of
    ``FakeSecrets``. ``token`` is the caller's own, None for a caller without.

    Raises the errors of ``scailookup.errors`` as the service answers them, and
    AssertionError for a request that has no reply. Not to be called on a running loop.
    """
    upstream_is = _Scripted(Script(replies))
    given = dev_settings() if settings is None else settings
    lookup, raw = match(upstream, path.partition("?")[0])
    selection = parse_query(path.partition("?")[2], lookup)
    bound = Bound(upstream, lookup, parse_values(lookup, raw), selection.handed)
    caller = Caller("usr_test", tenant, token)

    async def work() -> tuple[list[Row], Mapping[str, Any]]:
        door = Door(lambda name: upstream_is, _unobserved)
        limits = Limits(given.deadline, given.max_pages, given.max_rows)
        lookups = Lookups(limits, Memory(_OFF), Credentials(given, FakeSecrets(secrets)), door)
        try:
            served = await lookups.answer(bound, caller, Trace("test"))
        finally:
            await lookups.close()
        return list(selection.apply(served.answer.rows(), lookup.key)), served.answer.meta

    try:
        rows, meta = asyncio.run(work())
    finally:
        # A coroutine that gathers may let a failed call pass; the test must not.
        if upstream_is.failures:
            raise upstream_is.failures[0] from None
    return Looked(rows, dict(meta), upstream_is.sent)


class _Scripted:
    """A Fetch that answers by a script and keeps what it was sent, and the faults of the test itself."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.sent: list[Sent] = []
        self.failures: list[AssertionError] = []

    async def __call__(self, request: Request, *, deadline: float) -> Reply:
        self.sent.append(Sent.of(request))
        try:
            found = self._script.answer(self.sent[-1])
            if found is None:
                raise AssertionError(self._script.lacks(self.sent[-1]))
        except AssertionError as exc:
            self.failures.append(exc)
            raise
        return found


def match(upstream: Upstream, path: str) -> tuple[Lookup, dict[str, str]]:
    """The lookup that a path below the upstream's leads to, and its raw values; raises ValueError."""
    parts = path.strip("/").split("/")
    for lookup in sorted(upstream.lookups, key=lambda lookup: len(lookup.fields)):
        names = lookup.name.split("/")
        if len(names) != len(parts):
            continue
        pairs = list(zip(names, parts, strict=True))
        if all(name == part or name.startswith("{") for name, part in pairs):
            return lookup, {name[1:-1]: part for name, part in pairs if name.startswith("{")}
    known = ", ".join(lookup.name for lookup in upstream.lookups)
    raise ValueError(f"{upstream.name} has no lookup at {path!r}; it has: {known or '-'}")


def _unobserved(call: Call) -> None:
    """Nobody watches the calls of a test."""
