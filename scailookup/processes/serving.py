"""A service behind its listeners: it can be exchanged for one with other settings, and be ended calmly."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Callable

import structlog

from scailookup.app import Service
from scailookup.errors import ScailookupError, SettingsError
from scailookup.figures import LOG_FIGURES
from scailookup.isolation import reason_of
from scailookup.metrics import Metrics
from scailookup.settings import Settings
from scailookup.tracing import close_spans
from scailookup.web.listener import Listener, listener

__all__ = ["Serving", "spare_collector"]

GRACE = 1.0
_PAUSE = 0.01
_CALM = 3  # so many looks in a row must find nothing under way
# New objects after which the collector looks: requests under way, with their rows, are no garbage.
_YOUNG = 5_000
_log = structlog.get_logger("scailookup")
Make = Callable[[Settings, Metrics], Service]


class Serving:
    """Listeners that stay, in front of a Service that may be exchanged. Lives on one event loop.

    An exchange has two steps, so that several processes take new settings over together
    or not at all: ``prepare``, then ``commit`` or ``abandon``.
    """

    def __init__(self, settings: Settings, make: Make = Service) -> None:
        self._make = make
        self.metrics = Metrics()
        self.metrics.watch(LOG_FIGURES)
        self.service = make(settings, self.metrics)
        self._next: Service | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._public, self._admin = self.service.public, self.service.admin
        self._servers: list[Listener] = []

    async def start(self, public: list[socket.socket], admin: list[socket.socket]) -> None:
        """Serve on these sockets."""
        self.service.start()
        for front, sockets in ((self._public, public), (self._admin, admin)):
            server = listener(front)
            server.add_sockets(sockets)
            self._servers.append(server)

    async def prepare(self, settings: Settings) -> None:
        """Make the next service and have it ready.

        Raises SettingsError, or a ScailookupError when it could not serve now. A fault of ours,
        or of a plugin's, is a SettingsError too: what serves must not end because of what could not.
        """
        await self.abandon()
        try:
            self._next = self._make(settings, self.metrics)
            await self._next.ready()
        except (SettingsError, ScailookupError, asyncio.CancelledError):
            await self.abandon()
            raise
        except Exception as exc:
            await self.abandon()
            _log.error("prepare_failed", exc_info=True)
            raise SettingsError(f"no service can be made of them: {reason_of(exc)}") from None

    def commit(self) -> None:
        """Let the prepared service answer from the next request on; the one before ends what it has begun."""
        assert self._next is not None
        before, self.service, self._next = self.service, self._next, None
        self.service.take_over(before)
        self._public.lead_to(self.service.public)
        self._admin.lead_to(self.service.admin)
        task = asyncio.ensure_future(_retire(before))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def abandon(self) -> None:
        """Forget the prepared service."""
        prepared, self._next = self._next, None
        if prepared is not None:
            await prepared.close()

    async def drain(self) -> None:
        """Take no more connections, answer what has come, close everything. `/readyz` says 503 meanwhile."""
        self.service.leave()
        self._public.leave()
        public, admin = self._servers
        public.stop()
        public.conn_params.no_keep_alive = True
        loop = asyncio.get_running_loop()
        end, calm = loop.time() + self.service.longest + GRACE, 0
        while calm < _CALM and loop.time() < end:
            await asyncio.sleep(_PAUSE)
            calm = 0 if self.service.web.busy or self._retiring or public.writing else calm + 1
        for server in (public, admin):
            server.stop()
            await server.close_all_connections()
        await self.abandon()
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await self.service.close()
        await close_spans()
        _log.info("stopped")


async def _retire(service: Service) -> None:
    """Close a service when nobody waits for it any more."""
    loop = asyncio.get_running_loop()
    end = loop.time() + service.longest + GRACE
    try:
        while service.web.busy and loop.time() < end:
            await asyncio.sleep(_PAUSE)
    finally:
        await service.close()


def spare_collector() -> None:
    """Have the garbage collector look less often, and never at what is here now: that stays."""
    gc.freeze()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
