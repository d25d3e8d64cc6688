"""Alive, ready, counted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

from scailookup.metrics import CONTENT_TYPE, Snapshot, expose
from scailookup.model import Failure
from scailookup.version import __version__
from scailookup.web.guard import OPEN, Need
from scailookup.web.handler import Handler

__all__ = ["Failed", "HealthHandler", "MetricsHandler", "ReadyHandler"]


class Failed(Protocol):
    """Who knows the plugins that failed."""

    @property
    def failures(self) -> Sequence[Failure]:
        """What is told of those that did not load."""


class HealthHandler(Handler):
    """The process runs."""

    traced: ClassVar[bool] = False
    needs: ClassVar[Mapping[str, Need]] = {"GET": OPEN}
    always: ClassVar[bool] = True

    async def get(self) -> None:
        """200, always."""
        self.send_json({"status": "ok", "version": __version__})


class ReadyHandler(Handler):
    """The process can serve: it has ScaiKey's keys, or can get them."""

    traced: ClassVar[bool] = False
    needs: ClassVar[Mapping[str, Need]] = {"GET": OPEN}
    always: ClassVar[bool] = True
    ready: Callable[[], Awaitable[None]]
    plugins: Failed

    async def get(self) -> None:
        """200, or 503 ``identity_unavailable``; names the plugins that failed."""
        await self.ready()
        failed: list[dict[str, Any]] = [failure._asdict() for failure in self.plugins.failures]
        self.send_json({"status": "ready", **({"plugins_failed": failed} if failed else {})})


class MetricsHandler(Handler):
    """What Prometheus reads."""

    traced: ClassVar[bool] = False
    needs: ClassVar[Mapping[str, Need]] = {"GET": OPEN}
    always: ClassVar[bool] = True
    gather: Callable[[], Awaitable[Snapshot]]

    async def get(self) -> None:
        """200 in the text format."""
        self.set_header("Cache-Control", "no-store")
        self.send(expose(await self.gather()), CONTENT_TYPE)
