"""A client as the settings say, for whatever is called from here."""

from __future__ import annotations

from scailookup.declare import Tls
from scailookup.settings import Settings
from scailookup.transport.curl import CurlClient

__all__ = ["connect"]


def connect(settings: Settings, tls: Tls | None = None) -> CurlClient:
    """A client of its own for one address; ``tls`` are that upstream's certificates."""
    return CurlClient(
        connect_timeout=settings.connect_timeout,
        max_body=settings.max_body,
        proxy=settings.proxy.get_secret_value() if settings.proxy else None,
        tls=tls,
    )
