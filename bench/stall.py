"""How long the event loop is away while long lists are read: /healthz asked every two milliseconds."""

from __future__ import annotations

import http.client
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.client import ask, bearer
from bench.lab import MODELS, Lab, tell
from bench.processes import BenchError
from bench.service import NO_MEMORY, start_service

__all__ = ["Stall", "measure_stall"]

ROWS = 10_000
_EVERY = 0.002
_MISSES = 30
_IDLE_SECONDS = 2.0
_Spans = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Stall:
    """Milliseconds that /healthz waited at the longest: over all misses, and while nothing happened."""

    misses: int
    median: float
    longest: float
    idle: float
    miss_median: float


def measure_stall(lab: Lab) -> Stall:
    """Probe an idle service, then one that answers long misses one after the other."""
    tell("stall")
    service = start_service(lab, "stall", NO_MEMORY)
    lab.upstream.serve(ROWS)
    _miss(service.port, lab.tokens[0])
    end = time.perf_counter() + _IDLE_SECONDS
    idle = _probe(service.port, lambda: time.perf_counter() < end)
    misses: _Spans = []
    asking = threading.Thread(target=_ask_long, args=(service.port, lab.tokens[0], misses))
    asking.start()
    probes = _probe(service.port, asking.is_alive)
    asking.join()
    lab.stop(service.child)
    if len(misses) < _MISSES:
        raise BenchError("a long miss failed while the event loop was probed")
    result = _judge(idle, probes, misses)
    tell(f"  median {result.median:.1f} ms, longest {result.longest:.1f} ms, idle {result.idle:.1f} ms")
    return result


def _judge(idle: _Spans, probes: _Spans, misses: _Spans) -> Stall:
    """The longest probe that overlaps each miss."""
    longest = [
        max((end - start for start, end in probes if start < over and end > begun), default=0.0)
        for begun, over in misses
    ]
    return Stall(
        len(misses),
        statistics.median(longest) * 1000,
        max(longest) * 1000,
        max(end - start for start, end in idle) * 1000,
        statistics.median(over - begun for begun, over in misses) * 1000,
    )


def _miss(port: int, token: str) -> None:
    answer = ask(port, MODELS, bearer(token))
    if answer.status != 200:
        raise BenchError(f"a miss of {ROWS} rows: status {answer.status}: {answer.body[:300]!r}")


def _ask_long(port: int, token: str, misses: _Spans) -> None:
    for _ in range(_MISSES):
        begun = time.perf_counter()
        _miss(port, token)
        misses.append((begun, time.perf_counter()))


def _probe(port: int, going: Callable[[], bool]) -> _Spans:
    """When each question left and when it was answered, for as long as ``going`` says so."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    probes: _Spans = []
    try:
        while going():
            begun = time.perf_counter()
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            probes.append((begun, time.perf_counter()))
            time.sleep(max(0.0, _EVERY - (time.perf_counter() - begun)))
    finally:
        connection.close()
    return probes
