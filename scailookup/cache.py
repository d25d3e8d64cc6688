"""The seam between lookup and credentials where answers will be kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Protocol

from scailookup.model import Answer

__all__ = ["Cache", "Straight"]


class Cache(Protocol):
    """Answers of lookups, by a key that holds the credential used."""

    async def answer(self, key: Hashable, load: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer under ``key``; ``load`` gets it when it is not held."""


class Straight:
    """Keeps nothing: every question goes upstream."""

    async def answer(self, key: Hashable, load: Callable[[], Awaitable[Answer]]) -> Answer:
        """Always ``load()``."""
        return await load()
