"""One cache behind all workers and hosts: sealed records in Redis, one call for the cluster, news for all.

Nothing of this room is imported unless ``SCAILOOKUP_CACHE_URL`` is set.
"""

from scailookup.shared.keeper import SharedCache, open_shared, probe_shared

__all__ = ["SharedCache", "open_shared", "probe_shared"]
