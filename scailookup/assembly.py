"""Parts of a service that take more than a call to make of its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scailookup.cache import Ages
from scailookup.identity import KeySet, Permissions, Tokens
from scailookup.metrics import Metrics
from scailookup.model import Caller
from scailookup.plugins import Plugins
from scailookup.seams import Spans
from scailookup.settings import Settings
from scailookup.version import __version__
from scailookup.web.guard import Guard
from scailookup.web.overload import Overload
from scailookup.web.state import Web

if TYPE_CHECKING:
    from scailookup.shared import SharedCache

__all__ = ["guard_of", "shared_of", "web_of"]


def guard_of(given: Settings, keys: KeySet, permissions: Permissions) -> Guard:
    """Who asks, by tokens; the developer, where nobody is asked for one."""
    principal = Caller("dev", given.dev_tenant, everything=True)
    if given.auth_disabled:
        return Guard(None, permissions, principal)
    audience = given.audience or ""
    tokens = Tokens(keys, audience=audience, base_url=given.scaikey_url, issuer=given.issuer)
    return Guard(tokens, permissions, principal)


def web_of(given: Settings, guard: Guard, metrics: Metrics, spans: Spans | None) -> Web:
    """What every handler has at hand."""
    web = Web(
        guard,
        metrics,
        frozenset(given.cors_origins),
        verbose=given.log_level == "debug",
        microcache=given.microcache,
        spans=spans,
        overload=Overload(given.max_wait, given.max_connections),
    )
    web.overload.busy = lambda: web.busy
    return web


def shared_of(given: Settings, plugins: Plugins, ages: Ages) -> SharedCache | None:
    """The cache of all processes, where one is wanted; only then is anything of it imported."""
    if given.cache_url is None:
        return None
    from scailookup.shared import open_shared

    lists, deadlines = [], [given.deadline]
    for plugin, upstream in plugins.upstreams:
        for lookup in upstream.lookups:
            lists.append((plugin.distribution, plugin.version, upstream.name, lookup.name, lookup.path))
            deadlines.append(lookup.deadline or upstream.deadline or 0.0)
    # Processes that would make another list of the same upstream answer share nothing.
    bounds = (__version__, given.max_body, given.max_pages, given.max_rows)
    own = [(name, shown) for name, shown, _ in given.own.values()]
    kind = repr((bounds, own, sorted(lists))).encode()
    return open_shared(given, kind, ages, patience=max(deadlines))
