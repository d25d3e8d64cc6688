"""Figures for `/metrics` on the admin listener, right across workers.

Counting is a plain addition to a dict: no lock, no file, nothing of Prometheus. What others
keep anyway (the cache's size, the age of keys) is read when somebody asks. A process's
figures travel as a ``Snapshot``; those of several are added up, and only then put into
Prometheus's form. Label sets are bounded: a tenant is no label, nor is an upstream's own code.
"""

from __future__ import annotations

import os
import resource
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from scailookup.model import Call
from scailookup.version import __version__

__all__ = [
    "BUCKETS",
    "CONTENT_TYPE",
    "FAMILIES",
    "Family",
    "Metrics",
    "Reader",
    "Snapshot",
    "counters",
    "expose",
    "merge",
]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# The codes that are ours, and so few; every code of an upstream's own is one label.
_CODES = frozenset(
    ("timeout", "unreachable", "tls", "bad_shape", "too_large", "redirected", "cancelled", "internal")
)
_PAGE = os.sysconf("SC_PAGE_SIZE")

Snapshot = dict[str, dict[tuple[str, ...], list[float]]]
"""By family and label values: one number, or a histogram's buckets and its sum."""
Reader = Callable[[], Mapping[tuple[str, ...], float]]


@dataclass(frozen=True, slots=True)
class Family:
    """One family of figures. ``join``: what several processes make of a gauge, their sum or the highest."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    kind: Literal["counter", "gauge", "histogram"] = "counter"
    join: Literal["sum", "max"] = "sum"


_UPSTREAM = ("upstream", "lookup")
FAMILIES = {
    family.name: family
    for family in (
        Family("scailookup_requests", "Answered requests.", ("route", "status", "outcome")),
        Family("scailookup_request_seconds", "Duration of answered requests.", ("route",), "histogram"),
        Family("scailookup_upstream_calls", "Finished upstream calls.", (*_UPSTREAM, "status", "code")),
        Family("scailookup_upstream_call_seconds", "Duration of upstream calls.", _UPSTREAM, "histogram"),
        Family("scailookup_upstream_calls_busy", "Upstream calls under way.", _UPSTREAM[:1], "gauge"),
        Family(
            "scailookup_upstream_calls_waiting",
            "Upstream calls that wait for a place.",
            _UPSTREAM[:1],
            "gauge",
        ),
        Family("scailookup_rows_dropped", "Records of upstreams that could not be read.", _UPSTREAM),
        Family("scailookup_cache_bytes", "What answers held in memory weigh.", kind="gauge"),
        Family("scailookup_cache_entries", "Answers held in memory.", kind="gauge"),
        Family("scailookup_cache_evictions", "Answers that left memory for want of room."),
        Family("scailookup_flights_joined", "Lookups that waited for a call begun by another."),
        Family(
            "scailookup_circuit_open",
            "1 while calls to an upstream are refused.",
            _UPSTREAM[:1],
            "gauge",
            "max",
        ),
        Family(
            "scailookup_circuits_open", "Addresses, tenants' own among them, not called now.", (), "gauge"
        ),
        Family("scailookup_secret_reads", "Reads of the secret store.", ("outcome",)),
        Family("scailookup_secret_age_seconds", "Since the secret store last answered.", (), "gauge", "max"),
        Family("scailookup_signing_key_fetches", "Fetches of ScaiKey's signing keys.", ("outcome",)),
        Family(
            "scailookup_signing_key_age_seconds", "Since the signing keys were fetched.", (), "gauge", "max"
        ),
        Family("scailookup_shared_cache_fetches", "Questions to the shared cache.", ("outcome",)),
        Family("scailookup_shared_cache_rejections", "Records and news in it that were not ours."),
        Family("scailookup_shared_cache_lost", "1 while a process goes on without it.", (), "gauge", "max"),
        Family("scailookup_plugins_failed", "Plugins that did not load.", (), "gauge", "max"),
        Family("scailookup_requests_busy", "Requests under way.", kind="gauge"),
        Family("scailookup_turned_away", "Requests and connections refused for want of room.", ("reason",)),
        Family("scailookup_connections_cut", "Connections ended while their clients idled.", ("reason",)),
        Family("scailookup_wait_seconds", "How late the event loop is.", (), "gauge", "max"),
        Family("scailookup_workers", "Processes that serve.", kind="gauge"),
        Family("scailookup_worker_ends", "Workers that ended without being told to."),
        Family("scailookup_process_cpu_seconds", "CPU time of the serving processes."),
        Family("scailookup_process_resident_bytes", "Memory of the serving processes.", kind="gauge"),
        Family("scailookup_process_descriptors", "Open descriptors of one process.", (), "gauge", "max"),
        Family("scailookup_process_descriptors_limit", "How many it may open.", (), "gauge", "max"),
        Family("scailookup_log_lines_lost", "Lines of the log that could not be written."),
        Family("scailookup_build_info", "The version that serves.", ("version",), "gauge", "max"),
    )
}


class Metrics:
    """The figures of one process."""

    def __init__(self) -> None:
        self._requests: defaultdict[tuple[str, int, str], list[float]] = defaultdict(_buckets)
        self._calls: defaultdict[tuple[str, str, int | None, str], int] = defaultdict(int)
        self._seconds: defaultdict[tuple[str, str], list[float]] = defaultdict(_buckets)
        self._dropped: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._readers: dict[str, Reader] = {}
        self._before: Snapshot = {}
        self.watch(_PROCESS)

    def requested(self, route: str, status: int, outcome: str, seconds: float) -> None:
        """Count one answered request that took ``seconds``; ``outcome`` is the cache's, or none."""
        buckets = self._requests[route, status, outcome]
        buckets[bisect_left(BUCKETS, seconds)] += 1
        buckets[-1] += seconds

    def called(self, call: Call) -> None:
        """Count one upstream call."""
        code = call.code
        if code is None:
            code = "ok"
        elif code not in _CODES or (call.status or 0) >= 400:
            code = "upstream"  # with a status of failure the code is the upstream's own
        self._calls[call.upstream, call.lookup, call.status, code] += 1
        place = (call.upstream, call.lookup)
        buckets = self._seconds[place]
        buckets[bisect_left(BUCKETS, call.duration)] += 1
        buckets[-1] += call.duration
        if call.dropped:
            self._dropped[place] += call.dropped

    def watch(self, readers: Mapping[str, Reader]) -> None:
        """Read these families where they are kept, in place of what was read for them before.

        A counter goes on from where the one before ended.
        """
        for name, reader in readers.items():
            assert name in FAMILIES, name
            if name in self._readers and FAMILIES[name].kind == "counter":
                self._before = merge([self._before, {name: _read(self._readers[name])}])
            self._readers[name] = reader

    def snapshot(self) -> Snapshot:
        """All figures as they are now."""
        own: Snapshot = {
            "scailookup_requests": {(r, str(s), o): [sum(b[:-1])] for (r, s, o), b in self._requests.items()},
            "scailookup_upstream_calls": {
                (u, lookup, "none" if status is None else str(status), code): [n]
                for (u, lookup, status, code), n in self._calls.items()
            },
            "scailookup_upstream_call_seconds": {k: list(v) for k, v in self._seconds.items()},
            "scailookup_rows_dropped": {place: [n] for place, n in self._dropped.items()},
        }
        durations: list[Snapshot] = [
            {"scailookup_request_seconds": {(route,): b}} for (route, _, _), b in self._requests.items()
        ]
        read = {name: _read(reader) for name, reader in self._readers.items()}
        return merge([own, *durations, self._before, read])


def _buckets() -> list[float]:
    """How many durations fell into each bucket and beyond all of them, then their sum."""
    return [0.0] * (len(BUCKETS) + 2)


def _read(reader: Reader) -> dict[tuple[str, ...], list[float]]:
    return {labels: [value] for labels, value in reader().items()}


def _cpu() -> Mapping[tuple[str, ...], float]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {(): used.ru_utime + used.ru_stime}


def _resident() -> Mapping[tuple[str, ...], float]:
    try:
        with open("/proc/self/statm", "rb") as stream:
            return {(): float(int(stream.read().split()[1]) * _PAGE)}
    except OSError:  # no descriptor is left, and the other figures matter the more
        return {}


def _descriptors() -> Mapping[tuple[str, ...], float]:
    try:
        return {(): float(len(os.listdir("/proc/self/fd")) - 1)}  # the one that lists them is among them
    except OSError:  # all are taken
        return _descriptors_limit()


def _descriptors_limit() -> Mapping[tuple[str, ...], float]:
    return {(): float(resource.getrlimit(resource.RLIMIT_NOFILE)[0])}


_PROCESS: Mapping[str, Reader] = {
    "scailookup_process_cpu_seconds": _cpu,
    "scailookup_process_resident_bytes": _resident,
    "scailookup_process_descriptors": _descriptors,
    "scailookup_process_descriptors_limit": _descriptors_limit,
    "scailookup_build_info": lambda: {(__version__,): 1.0},
}


def merge(snapshots: Iterable[Snapshot]) -> Snapshot:
    """One snapshot of several processes."""
    merged: Snapshot = {}
    for snapshot in snapshots:
        for name, samples in snapshot.items():
            highest = FAMILIES[name].join == "max"
            into = merged.setdefault(name, {})
            for labels, values in samples.items():
                have = into.get(labels)
                if have is None:
                    into[labels] = list(values)
                elif highest:
                    into[labels] = [max(pair) for pair in zip(have, values, strict=True)]
                else:
                    into[labels] = [sum(pair) for pair in zip(have, values, strict=True)]
    return merged


def counters(snapshot: Snapshot) -> Snapshot:
    """What of a snapshot outlives its process: a counter never goes back."""
    return {name: samples for name, samples in snapshot.items() if FAMILIES[name].kind != "gauge"}


def expose(snapshot: Snapshot) -> bytes:
    """The text that Prometheus reads; every family stands in it, seen or not."""
    registry = CollectorRegistry()
    registry.register(_Collector(snapshot))
    return generate_latest(registry)


class _Collector:
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        for family in FAMILIES.values():
            samples = self._snapshot.get(family.name, {})
            if family.kind == "histogram":
                yield _histogram(family, samples)
                continue
            kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
            metric = kind(family.name, family.help, labels=family.labels)
            if not samples and not family.labels and family.kind == "counter":
                samples = {(): [0.0]}
            for labels, (value,) in sorted(samples.items()):
                metric.add_metric(labels, value)
            yield metric


def _histogram(family: Family, samples: Mapping[tuple[str, ...], list[float]]) -> Metric:
    metric = HistogramMetricFamily(family.name, family.help, labels=family.labels)
    for labels, values in sorted(samples.items()):
        total, buckets = 0.0, []
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), values[:-1], strict=True):
            total += count
            buckets.append((bound, total))
        metric.add_metric(labels, buckets, values[-1])
    return metric
