"""Twice what one worker can answer: what becomes of those who are answered, of the others, and of memory.

``python -m bench.overload [--seconds 8] [--times 2] [--only hit,miss]``. Exit status: 0 when goodput stays
above 80 % of the best, the service recovers at once and memory does not grow from one overload to the next,
1 when not.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.arrivals import Arrivals, Second
from bench.client import Ask, bearer
from bench.lab import MODELS, Lab
from bench.load import Row, measure
from bench.service import NO_MEMORY, start_service

_FLOOR = 0.8
_GROWTH = 0.05  # of memory from one overload to the next: the first fills what is kept
_CONNECTIONS = 3000
_SETTLED = 2  # seconds of the run that are not compared: the burst that is worked off
_SCOPES = "/api/v1/scaiqueue/scopes"
_PATHS = {"hit": (MODELS,), "miss": (MODELS, _SCOPES, f"{_SCOPES}/scp_1/queues")}
_KINDS: Mapping[str, Mapping[str, str]] = {"hit": {"SCAILOOKUP_FRESH": "3600"}, "miss": NO_MEMORY}


@dataclass(frozen=True, slots=True)
class Figures:
    """One kind of request. Rates a second, waits in milliseconds, memory in MiB."""

    kind: str
    best: float
    best_cpu: float
    core: float
    offered: float
    good: float
    first: float
    good_wait: float
    shed_wait: float
    shed_p99: float
    fates: Counter[str]
    spent: float
    before: float
    after: float
    back: Counter[str]
    again: float

    @property
    def ratio(self) -> float:
        """Goodput while there is too much, as a share of the best."""
        return self.good / self.best

    @property
    def by_cpu(self) -> float:
        """The same by CPU time for each answer in time, where others on the core do not count."""
        return self.best_cpu * self.fates["good"] / self.spent

    @property
    def well(self) -> bool:
        """Whether what was promised is kept."""
        recovered = set(self.back) <= {"good"}
        return self.ratio >= _FLOOR and recovered and self.again <= self.after * (1 + _GROWTH)


def _rate(seconds: Sequence[Second]) -> float:
    return statistics.mean(second.fates["good"] for second in seconds)


def _measure(lab: Lab, kind: str, seconds: int, times: float) -> Figures:
    service = start_service(lab, kind, _KINDS[kind], pythonpath=os.environ.get("PYTHONPATH"))
    # So many different lists that hardly ever two wait for the same call.
    wires = [Ask(path, bearer(token)).wire() for path in _PATHS[kind] for token in lab.tokens]
    rotation = lab.rotation(f"overload-{kind}", _PATHS[kind], lab.tokens)
    best = measure(lab, [Row(kind, service.child, service.port, MODELS, rotation=rotation)], 3, 2)[0]
    with Arrivals(service.port, wires, _CONNECTIONS) as load:
        load.offer(best.rate / 4, 4)
        before = service.child.rss_bytes() / 2**20
        spent, begun = service.child.cpu_seconds(), time.monotonic()
        done = load.offer(best.rate * times, seconds)
        spent, took = service.child.cpu_seconds() - spent, time.monotonic() - begun
        after = service.child.rss_bytes() / 2**20
        back = sum((second.fates for second in load.offer(best.rate / 2, 2)), Counter())
        load.offer(best.rate * times, seconds)
        again = service.child.rss_bytes() / 2**20
    lab.stop(service.child)
    settled = done[_SETTLED:]
    good = sorted(wait for second in settled for wait in second.good)
    shed = sorted(wait for second in settled for wait in second.shed) or [0.0]
    return Figures(
        kind,
        best.rate,
        best.cpu_us,
        spent / took,
        best.rate * times,
        _rate(settled),
        _rate(done[:_SETTLED]),
        statistics.median(good) * 1000,
        statistics.median(shed) * 1000,
        shed[int(len(shed) * 0.99)] * 1000,
        sum((second.fates for second in done), Counter()),
        spent * 1e6,
        before,
        after,
        back,
        again,
    )


def _shown(f: Figures) -> str:
    return (
        f"{f.kind}: best {f.best:,.0f}/s; offered {f.offered:,.0f}/s, answered {f.good:,.0f}/s "
        f"({f.ratio:.0%} of the best, {f.by_cpu:.0%} by CPU time, on {f.core:.0%} of a core; "
        f"{f.first / f.best:.0%} in the first {_SETTLED} s), "
        f"median {f.good_wait:.0f} ms; refused after {f.shed_wait:.0f} ms (99 %: {f.shed_p99:.0f} ms); "
        f"{dict(f.fates)}; memory {f.before:.1f} → {f.after:.1f}, {f.again:.1f} MiB after a second time; "
        f"half the best right after it: {dict(f.back)}: {'kept' if f.well else 'MISSED'}"
    )


def main() -> int:
    """Run, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.overload", description=__doc__)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--times", type=float, default=2.0)
    parser.add_argument("--only", default="hit,miss")
    asked = parser.parse_args()
    with Lab() as lab:
        os.sched_setaffinity(0, {lab.load_core})
        lab.upstream.serve(60)
        found = [_measure(lab, kind, asked.seconds, asked.times) for kind in asked.only.split(",")]
    for figures in found:
        print(_shown(figures))
    return 0 if all(figures.well for figures in found) else 1


if __name__ == "__main__":
    sys.exit(main())
