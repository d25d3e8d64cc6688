"""Counters for `/metrics` on the admin listener. Label sets are bounded: a tenant is no label."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from scailookup.model import Call

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The process's counters, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "scailookup_requests", "Answered requests.", ("route", "status"), registry=self.registry
        )
        # Finding a child by its labels costs more than counting.
        self._requests: dict[tuple[str, int], Counter] = {}
        self._calls: dict[tuple[str, str, int | None, bool], tuple[Counter, Histogram]] = {}
        self.calls = Counter(
            "scailookup_upstream_calls",
            "Finished upstream calls.",
            ("upstream", "lookup", "status", "outcome"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "scailookup_upstream_call_seconds",
            "Duration of upstream calls.",
            ("upstream", "lookup"),
            registry=self.registry,
        )

    def requested(self, route: str, status: int) -> None:
        """Count one answered request."""
        counter = self._requests.get((route, status))
        if counter is None:
            counter = self._requests[route, status] = self.requests.labels(route, str(status))
        counter.inc()

    def called(self, call: Call) -> None:
        """Count one upstream call; an upstream's own codes are unbounded and stay out."""
        key = (call.upstream, call.lookup, call.status, call.code is None)
        found = self._calls.get(key)
        if found is None:
            status = "none" if call.status is None else str(call.status)
            outcome = "ok" if call.code is None else "failed"
            found = (
                self.calls.labels(call.upstream, call.lookup, status, outcome),
                self.seconds.labels(call.upstream, call.lookup),
            )
            self._calls[key] = found
        found[0].inc()
        found[1].observe(call.duration)

    def expose(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)
