"""The composition root: the only room that knows everybody."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING

import structlog
from tornado.netutil import bind_sockets

from scailookup.cache import Ages, Memory
from scailookup.credentials import Credentials
from scailookup.declare import Tls
from scailookup.hookspecs import Services
from scailookup.identity import KeySet, Permissions, Tokens
from scailookup.log import scrubber
from scailookup.lookup import Limits, Lookups, ask_me
from scailookup.metrics import Metrics
from scailookup.model import Call, Caller
from scailookup.plugins import discover
from scailookup.secrets import HeldSecrets, open_store
from scailookup.settings import Settings
from scailookup.transport import Circuits, Door, connect
from scailookup.version import __version__
from scailookup.web.console import Demo, add_console
from scailookup.web.front import Front
from scailookup.web.handler import Guard, Web
from scailookup.web.listener import listener, url_of
from scailookup.web.site import admin_site, public_site
from scailookup.web.upstreams import add_upstreams

if TYPE_CHECKING:
    from scailookup.shared import SharedCache

__all__ = ["Service"]

_log = structlog.get_logger("scailookup")
_GRACE = 1.0


class Service:
    """The whole service on one event loop. Make it after any fork.

    ``url``, ``port`` and ``admin_url`` are set once ``start`` returned. ``demo`` is what
    `scailookup demo` adds to the page for people. ``plugins`` are the entry points to
    load, by default those installed.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        demo: Demo | None = None,
        plugins: Iterable[EntryPoint] | None = None,
    ) -> None:
        self._settings = settings
        self.metrics = Metrics()
        self._fetch = connect(settings)
        store = open_store(settings, connect(settings))
        self.secrets = HeldSecrets(store, fresh=settings.secret_fresh, hold=settings.secret_hold)
        scrubber.add(*settings.secrets())
        scrubber.add_source(self.secrets.values)
        self.plugins = discover(settings, plugins)
        circuits = Circuits(settings.circuit)
        tls: dict[str, Tls | None] = {}
        self._door = Door(lambda name: connect(settings, tls.get(name)), self._observe, circuits=circuits)
        self.plugins.add_handlers(Services(settings, self.secrets, self._door))
        settings.own.refuse_unknown(self.plugins.absent)
        scrubber.add(*settings.secrets())  # plugins' own among them
        tls.update({upstream.name: upstream.tls for upstream in self.plugins.reached})
        self._keys = KeySet(self._fetch, jwks_url=settings.jwks_url, base_url=settings.scaikey_url)
        self.web = Web(self._guard(), self.metrics, frozenset(settings.cors_origins))
        self.web.verbose = settings.log_level == "debug"
        self.web.microcache = settings.microcache
        ages = Ages(settings.fresh, settings.stale, settings.stale_if_error, settings.failure_memory)
        self._shared = self._open_shared(ages)
        self.cache = Memory(ages, shared=self._shared.tier if self._shared else None)
        limits = Limits(settings.deadline, settings.max_pages, settings.max_rows)
        pepper = self._shared.pepper if self._shared else None
        credentials = Credentials(settings, self.secrets)
        self._lookups = Lookups(limits, self.cache, credentials, self._door, pepper)
        scrubber.add_source(self._lookups.tokens.values)
        site = public_site(self.web, self.plugins, self._lookups, self.ready)
        add_upstreams(site, self.plugins, circuits)
        add_console(site, settings, demo, self.cache.clear)
        self._servers = [listener(Front(site))]
        if settings.admin_host is not None:
            self._servers.append(listener(admin_site(self.web, self.plugins, self.ready)))
        self.url = ""
        self.port = 0
        self.admin_url: str | None = None

    def _guard(self) -> Guard:
        given = self._settings
        permissions = Permissions(given.permissions, ask_me(self._door, given.grid_url, given.deadline))
        principal = Caller("dev", given.dev_tenant, everything=True)
        if given.auth_disabled:
            return Guard(None, permissions, principal)
        audience = given.audience or ""
        tokens = Tokens(self._keys, audience=audience, base_url=given.scaikey_url, issuer=given.issuer)
        return Guard(tokens, permissions, principal)

    def _open_shared(self, ages: Ages) -> SharedCache | None:
        """The cache of all processes, where one is wanted; only then is anything of it imported."""
        if self._settings.cache_url is None:
            return None
        from scailookup.shared import open_shared

        given = self._settings
        lists, deadlines = [], [given.deadline]
        for plugin, upstream in self.plugins.upstreams:
            for lookup in upstream.lookups:
                lists.append((plugin.distribution, plugin.version, upstream.name, lookup.name, lookup.path))
                deadlines.append(lookup.deadline or upstream.deadline or 0.0)
        # Processes that would make another list of the same upstream answer share nothing.
        bounds = (__version__, given.max_body, given.max_pages, given.max_rows)
        own = [(name, shown) for name, shown, _ in given.own.values()]
        kind = repr((bounds, own, sorted(lists))).encode()
        shared = open_shared(given, kind, ages, patience=max(deadlines))
        self.secrets.changed = shared.tell_secret
        return shared

    def _observe(self, call: Call) -> None:
        self.metrics.called(call)
        self.web.history.called(call)
        self.plugins.called(call)

    async def ready(self) -> None:
        """Return when requests can be served; raises IdentityUnavailable."""
        if not self._settings.auth_disabled:
            await self._keys.ready()

    async def start(self) -> None:
        """Listen and serve; raises OSError when a port is taken."""
        settings = self._settings
        for warning in settings.warnings():
            _log.warning("settings_warning", reason=warning)
        sockets = [bind_sockets(settings.port, settings.host)]
        if settings.admin_host is not None:
            sockets.append(bind_sockets(settings.admin_port, settings.admin_host))
            self.admin_url = url_of(settings.admin_host, sockets[1][0].getsockname()[1])
        for server, bound in zip(self._servers, sockets, strict=True):
            server.add_sockets(bound)
        self.port = sockets[0][0].getsockname()[1]
        self.url = url_of(settings.host, self.port)
        if self._shared is not None:
            self._shared.start(on_refused=self.cache.drop, on_secret=self.secrets.doubt)
        _log.info("listening", url=self.url, port=self.port, admin_url=self.admin_url)

    async def stop(self) -> None:
        """Take no more connections, finish what is under way, close everything."""
        for server in self._servers:
            server.stop()
        loop = asyncio.get_running_loop()
        end = loop.time() + self.plugins.longest(self._settings.deadline) + _GRACE
        while self.web.busy and loop.time() < end:
            await asyncio.sleep(0.01)
        for server in self._servers:
            await server.close_all_connections()
        await self._lookups.close()
        await self._door.close()
        await self._fetch.close()
        if self._shared is not None:
            await self._shared.close()
        await self.secrets.close()
        _log.info("stopped")
