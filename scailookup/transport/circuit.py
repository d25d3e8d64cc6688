"""A circuit per upstream address: after repeated transport failures nobody waits for the next one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from scailookup.errors import CallFailed

__all__ = ["OPEN_SECONDS", "Circuits"]

OPEN_SECONDS = 5.0
_MOST = 10_000
TRANSPORT_FAILURES = frozenset({"timeout", "unreachable", "tls"})
_log = structlog.get_logger("scailookup.upstream")


@dataclass(slots=True)
class _Circuit:
    failures: int = 0
    open_until: float = 0.0
    probing: bool = False


class Circuits:
    """``threshold`` failed calls in a row open an address's circuit; 0 switches it off.

    An open circuit refuses at once. After five seconds one call is let through as a
    probe: its success closes the circuit, its failure opens it again.
    """

    def __init__(self, threshold: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._threshold = threshold
        self._clock = clock
        self._circuits: dict[str, _Circuit] = {}

    def refused(self) -> set[str]:
        """The addresses that are not called now, or by a probe alone."""
        return {
            address for address, circuit in self._circuits.items() if circuit.failures >= self._threshold > 0
        }

    def admit(self, address: str) -> None:
        """Return when a call to ``address`` may be tried; raises CallFailed with ``circuit_open``."""
        circuit = self._circuits.get(address)
        if circuit is None or circuit.failures < self._threshold:
            return
        left = circuit.open_until - self._clock()
        if left > 0 or circuit.probing:
            raise CallFailed(
                "circuit_open",
                "the calls before this one failed one after another; the next try is due shortly",
                retry_after=max(1, math.ceil(left)),
            )
        circuit.probing = True

    def state(self, address: str) -> tuple[str, int]:
        """``closed``, ``open`` or ``probing``, and the seconds until the next try; for showing."""
        circuit = self._circuits.get(address)
        if circuit is None or circuit.failures < self._threshold:
            return "closed", 0
        if circuit.probing:
            return "probing", 0
        return "open", max(0, math.ceil(circuit.open_until - self._clock()))

    def settle(self, address: str, outcome: BaseException | None) -> None:
        """Tell how an admitted call ended. A call that was given up says nothing of the address."""
        circuit = self._circuits.get(address)
        if outcome is not None and not isinstance(outcome, CallFailed):
            if circuit is not None:
                circuit.probing = False
            return
        # With a status the upstream spoke, whatever code it chose to give.
        if outcome is None or outcome.status is not None or outcome.code not in TRANSPORT_FAILURES:
            if circuit is not None:
                del self._circuits[address]
                if circuit.failures >= self._threshold:
                    _log.info("circuit_closed", address=address)
            return
        if self._threshold:
            self._failed(address, circuit or self._circuits.setdefault(address, _Circuit()))
            # A tenant's admin may name ever more addresses of an allowed host.
            if len(self._circuits) > _MOST:
                del self._circuits[next(iter(self._circuits))]

    def _failed(self, address: str, circuit: _Circuit) -> None:
        circuit.failures += 1
        circuit.probing = False
        if circuit.failures >= self._threshold:
            circuit.open_until = self._clock() + OPEN_SECONDS
            _log.warning("circuit_opened", address=address, failures=circuit.failures, seconds=OPEN_SECONDS)
