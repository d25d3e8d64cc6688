"""The figures that are read rather than counted, family by family, out of the rooms' own state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from scailookup.cache import Memory
from scailookup.identity import KeySet
from scailookup.log import lines_lost
from scailookup.metrics import Reader
from scailookup.plugins import Plugins
from scailookup.secrets import HeldSecrets
from scailookup.transport import Circuits, Door, address_of
from scailookup.web.state import Web

if TYPE_CHECKING:
    from scailookup.shared import SharedCache

__all__ = ["LOG_FIGURES", "figures", "shared_figures"]

LOG_FIGURES: Mapping[str, Reader] = {"scailookup_log_lines_lost": lambda: {(): lines_lost()}}
"""Of the process, whose log outlives a service with other settings."""


def figures(
    *,
    cache: Memory,
    secrets: HeldSecrets,
    keys: KeySet,
    circuits: Circuits,
    door: Door,
    plugins: Plugins,
    web: Web,
) -> Mapping[str, Reader]:
    """Readers for ``Metrics.watch``, each a name in ``FAMILIES``."""

    def open_now() -> dict[tuple[str, ...], float]:
        refused = circuits.refused()
        return {(up.name,): float(address_of(up.base_url) in refused) for _, up in plugins.upstreams}

    return {
        "scailookup_cache_bytes": lambda: {(): cache.bytes},
        "scailookup_cache_entries": lambda: {(): len(cache)},
        "scailookup_cache_evictions": lambda: {(): cache.evicted},
        "scailookup_flights_joined": lambda: {(): cache.joined},
        "scailookup_upstream_calls_busy": lambda: {(name,): g.busy for name, g in door.gates.items()},
        "scailookup_upstream_calls_waiting": lambda: {(name,): g.waiting for name, g in door.gates.items()},
        "scailookup_circuit_open": open_now,
        "scailookup_circuits_open": lambda: {(): len(circuits.refused())},
        "scailookup_secret_reads": lambda: _outcomes(secrets.reads, secrets.failures),
        "scailookup_secret_age_seconds": lambda: _known(secrets.age),
        "scailookup_signing_key_fetches": lambda: _outcomes(keys.fetches, keys.failures),
        "scailookup_signing_key_age_seconds": lambda: _known(keys.age),
        "scailookup_plugins_failed": lambda: {(): len(plugins.failed)},
        "scailookup_requests_busy": lambda: {(): web.busy},
        "scailookup_turned_away": lambda: {(reason,): n for reason, n in web.overload.turned_away.items()},
        "scailookup_connections_cut": lambda: {(reason,): n for reason, n in web.overload.cut.items()},
        "scailookup_wait_seconds": lambda: {(): web.overload.wait},
    }


def shared_figures(shared: SharedCache) -> Mapping[str, Reader]:
    """The same of the cache of all processes."""
    tier = shared.tier
    return {
        "scailookup_shared_cache_fetches": lambda: {(name,): n for name, n in tier.outcomes.items()},
        "scailookup_shared_cache_rejections": lambda: {(): tier.rejections},
        "scailookup_shared_cache_lost": lambda: {(): float(shared.lost)},
    }


def _outcomes(good: int, failed: int) -> dict[tuple[str, ...], float]:
    return {("ok",): good, ("failed",): failed}


def _known(age: float | None) -> dict[tuple[str, ...], float]:
    return {} if age is None else {(): age}
