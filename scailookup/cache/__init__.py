"""Answers by the credential that brought them: one process's memory, and the seam of a tier behind it."""

from scailookup.cache.memory import MAX_BYTES, Memory
from scailookup.cache.values import Ages, Cache, Fetched, Flight, Held, Hold, Load, Shared

__all__ = ["MAX_BYTES", "Ages", "Cache", "Fetched", "Flight", "Held", "Hold", "Load", "Memory", "Shared"]
