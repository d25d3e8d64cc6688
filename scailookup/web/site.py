"""Which routes there are, on the public listener and on the admin's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from scailookup.checks import NAME
from scailookup.lookup import Lookups
from scailookup.metrics import Snapshot
from scailookup.plugins import Plugins
from scailookup.web.guard import Permission
from scailookup.web.health import Failed, HealthHandler, MetricsHandler, ReadyHandler
from scailookup.web.lookups import CatalogueHandler, FailedPluginHandler, LookupHandler
from scailookup.web.openapi import OpenApiHandler, encoded
from scailookup.web.router import PREFIXES, Routes, Target
from scailookup.web.state import Web

__all__ = ["admin_site", "public_site"]

Ready = Callable[[], Awaitable[None]]
Gather = Callable[[], Awaitable[Snapshot]]


def admin_site(web: Web, plugins: Failed, ready: Ready, gather: Gather) -> Routes:
    """Health and metrics, for the operator alone."""
    routes = Routes(web)
    _health(routes, plugins, ready)
    routes.add("/metrics", Target(MetricsHandler, "metrics", {"gather": gather}))
    return routes


def public_site(web: Web, plugins: Plugins, lookups: Lookups, ready: Ready) -> Routes:
    """Every lookup, the catalogue, what plugins handle, and health."""
    routes = Routes(web)
    _health(routes, plugins, ready)
    described = encoded(plugins)
    for prefix in PREFIXES:
        routes.add(f"{prefix}/openapi.json", Target(OpenApiHandler, "openapi.json", {"text": described}))
        routes.add(f"{prefix}/lookups", Target(CatalogueHandler, "lookups", {"plugins": plugins}))
        for _, upstream in plugins.upstreams:
            for lookup in upstream.lookups:
                name = f"{upstream.name}/{lookup.name}"
                options: Mapping[str, Any] = {
                    "upstream": upstream,
                    "lookup": lookup,
                    "lookups": lookups,
                    "needs": {"GET": Permission(lookup.permission, lookup.roles)},
                }
                routes.add(f"{prefix}/{name}", Target(LookupHandler, name, options))
        for plugin in plugins.all:
            for route in plugin.routes:
                routes.add(prefix + route.path, Target(route.handler, route.path.strip("/"), route.options))
        _failed(routes, plugins, prefix)
    return routes


def _failed(routes: Routes, plugins: Plugins, prefix: str) -> None:
    """What a plugin that failed would have served says so; names that others serve stay theirs."""
    serving = {upstream.name for _, upstream in plugins.upstreams}
    for plugin in plugins.failed:
        for name in {plugin.name, *plugin.claimed} - serving:
            # The name of an entry point may be anything; only what can be an upstream's has routes.
            if NAME.fullmatch(name) and not routes.find(f"{prefix}/{name}"):
                target = Target(FailedPluginHandler, plugin.name, {"plugin": plugin})
                routes.add(f"{prefix}/{name}", target, below=True)


def _health(routes: Routes, plugins: Failed, ready: Ready) -> None:
    routes.add("/healthz", Target(HealthHandler, "healthz"))
    routes.add("/readyz", Target(ReadyHandler, "readyz", {"ready": ready, "plugins": plugins}))
