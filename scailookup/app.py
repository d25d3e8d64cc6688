"""The composition root: the only room that knows everybody."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from importlib.metadata import EntryPoint

from scailookup.assembly import guard_of, shared_of, web_of
from scailookup.cache import Ages, Memory
from scailookup.credentials import Credentials
from scailookup.declare import Tls
from scailookup.errors import Overloaded
from scailookup.explain import Explainer
from scailookup.figures import figures, shared_figures
from scailookup.hookspecs import Services
from scailookup.identity import KeySet, Permissions
from scailookup.isolation import Observers
from scailookup.log import scrubber
from scailookup.lookup import Limits, Lookups, ask_me
from scailookup.metrics import Metrics, Snapshot
from scailookup.model import Call
from scailookup.plugins import discover
from scailookup.secrets import HeldSecrets, open_store
from scailookup.settings import Settings
from scailookup.tracing import open_spans
from scailookup.transport import Circuits, Door, connect
from scailookup.web.console import Demo, add_console
from scailookup.web.explain import add_explain
from scailookup.web.front import Front
from scailookup.web.handler import Handler
from scailookup.web.site import admin_site, public_site
from scailookup.web.upstreams import add_upstreams

__all__ = ["Service"]


class Service:
    """The whole service of one set of settings, on one event loop. Make it after any fork.

    ``public`` and ``admin`` are what listeners serve. Nobody listens here: a listener may
    outlive a service, when settings change. ``demo`` is what `scailookup demo` adds to the
    page for people. ``plugins`` are the entry points to load, by default those installed.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        *,
        demo: Demo | None = None,
        plugins: Iterable[EntryPoint] | None = None,
    ) -> None:
        self._settings = settings
        self.metrics = metrics
        self._fetch = connect(settings)
        store = open_store(settings, connect(settings))
        self.secrets = HeldSecrets(store, fresh=settings.secret_fresh, hold=settings.secret_hold)
        scrubber.add(*settings.secrets())
        self.plugins = discover(settings, plugins)
        self._circuits = Circuits(settings.circuit)
        tls: dict[str, Tls | None] = {}
        spans = open_spans(settings.otel_names())
        self._door = Door(
            lambda name: connect(settings, tls.get(name)),
            self._observe,
            circuits=self._circuits,
            spans=spans,
            max_wait=settings.max_wait,
        )
        self.plugins.add_handlers(Services(settings, self.secrets, self._door), Handler)
        settings.own.refuse_unknown(self.plugins.absent)
        scrubber.add(*settings.secrets())  # plugins' own among them
        tls.update({upstream.name: upstream.tls for upstream in self.plugins.reached})
        self._keys = KeySet(self._fetch, jwks_url=settings.jwks_url, base_url=settings.scaikey_url)
        self._permissions = Permissions(
            settings.permissions, ask_me(self._door, settings.grid_url, settings.deadline)
        )
        self.web = web_of(settings, guard_of(settings, self._keys, self._permissions), metrics, spans)
        ages = Ages(settings.fresh, settings.stale, settings.stale_if_error, settings.failure_memory)
        self._shared = shared_of(settings, self.plugins, ages)
        if self._shared is not None:
            self.secrets.changed = self._shared.tell_secret
        self.cache = Memory(ages, shared=self._shared.tier if self._shared else None)
        limits = Limits(settings.deadline, settings.max_pages, settings.max_rows)
        pepper = self._shared.pepper if self._shared else None
        credentials = Credentials(settings, self.secrets)
        self._lookups = Lookups(limits, self.cache, credentials, self._door, pepper)
        site = public_site(self.web, self.plugins, self._lookups, self.ready)
        add_upstreams(site, self.plugins, self._circuits)
        explainer = Explainer(settings, self.secrets, self._permissions, self._lookups, self._circuits)
        self.explanations = add_explain(site, explainer)
        add_console(site, settings, demo, self.cache.clear)
        self.public = Front(site)
        self.admin = Front(admin_site(self.web, self.plugins, self.ready, self._gather), short=False)
        # What only `close` undoes comes last: settings may be refused on the way here.
        self._observers = Observers(self.plugins.called) if self.plugins.observed else None
        scrubber.add_source(self.secrets.values)
        scrubber.add_source(self._lookups.tokens.values)

    def _observe(self, call: Call) -> None:
        self.metrics.called(call)
        self.web.history.called(call)
        if self._observers is not None:
            self._observers(call)

    async def _gather(self) -> Snapshot:
        return self.metrics.snapshot()

    async def ready(self) -> None:
        """Return when requests can be served; raises IdentityUnavailable, or Overloaded at the end."""
        if self.web.leaving:
            raise Overloaded("this process is ending and takes no more requests")
        if not self._settings.auth_disabled:
            await self._keys.ready()

    @property
    def longest(self) -> float:
        """Seconds that a request may take."""
        return self.plugins.longest(self._settings.deadline)

    def start(self) -> None:
        """Begin what runs beside requests."""
        self.web.overload.start()
        self.metrics.watch(
            figures(
                cache=self.cache,
                secrets=self.secrets,
                keys=self._keys,
                circuits=self._circuits,
                door=self._door,
                plugins=self.plugins,
                web=self.web,
            )
        )
        if self._shared is not None:
            self.metrics.watch(shared_figures(self._shared))
            self._shared.start(on_refused=self.cache.drop, on_secret=self.secrets.doubt)

    def take_over(self, before: Service) -> None:
        """Stand in for ``before``: secrets of the same store are held through its outages, and read anew."""
        if self._settings.store == before._settings.store:
            self.secrets.take_over(before.secrets)
        self.start()

    def leave(self) -> None:
        """The end has begun: not ready, and every answer ends its connection."""
        self.web.leaving = True

    async def close(self) -> None:
        """Close every client; nobody asks any more."""
        self.web.overload.stop()
        await self._lookups.close()
        await self._door.close()
        await self._fetch.close()
        if self._shared is not None:
            await self._shared.close()
        await self.secrets.close()
        if self._observers is not None:
            await asyncio.to_thread(self._observers.close)  # one that is stuck holds up nobody
        scrubber.remove_source(self.secrets.values)
        scrubber.remove_source(self._lookups.tokens.values)
