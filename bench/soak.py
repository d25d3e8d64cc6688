"""Half load on a node behind nginx for minutes: memory, descriptors and threads must not grow.

``python -m bench.soak [--minutes 10]``. Exit status: 0 nothing grew, 1 something did.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median

from bench.client import Ask, bearer
from bench.edge import start_edge
from bench.lab import MODELS, Lab, tell
from bench.service import Service, start_service
from bench.steady import Steady

_CALLERS = 300
_CONNECTIONS = 16
_PROBE_SECONDS = 5.0
_SAMPLES = 60
# Hits, misses as lists go stale, selections, compressed answers, known ones, and two kinds of refusal.
_PATHS = (MODELS, "/v1/scaiqueue/scopes", f"{MODELS}?q=0003", "/api/v1/nowhere", f"{MODELS}?limit=0")
_GROWTH = 0.05  # of memory between the second and the last sixth of the run


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process holds at one moment."""

    mib: float
    descriptors: int
    threads: int


def _sample(node: Service) -> Sample:
    proc = Path("/proc", str(node.child.pid))
    return Sample(
        node.child.rss_bytes() / 2**20, len(os.listdir(proc / "fd")), len(os.listdir(proc / "task"))
    )


def _asks(lab: Lab) -> list[Ask]:
    asks = []
    for number, token in enumerate(lab.tokens[:_CALLERS]):
        headers = bearer(token) | ({"Accept-Encoding": "gzip"} if number % 2 else {})
        asks += [Ask(path, headers) for path in _PATHS]
    return asks


async def _best(port: int, asks: list[Ask]) -> float:
    """Requests a second when they come freely."""
    async with Steady(port, asks, connections=_CONNECTIONS) as load:
        await asyncio.sleep(_PROBE_SECONDS)
        return sum(load.fates.values()) / _PROBE_SECONDS


async def _soak(lab: Lab, node: Service, port: int, minutes: float) -> tuple[Steady, list[Sample], float]:
    asks = _asks(lab)
    rate = await _best(port, asks) / 2
    tell(f"soak: {rate:.0f} requests a second for {minutes:g} minutes")
    samples = []
    async with Steady(port, asks, connections=_CONNECTIONS, rate=rate) as load:
        for number in range(_SAMPLES):
            await asyncio.sleep(minutes * 60 / _SAMPLES)
            samples.append(_sample(node))
            if number % 6 == 5:
                tell(f"  {samples[-1]}, {sum(load.fates.values())} requests")
    return load, samples, rate


def _grown(samples: list[Sample]) -> tuple[Sample, Sample, bool]:
    """Medians of the second and of the last sixth, and whether one grew: the first is for filling up."""
    sixth = len(samples) // 6
    early, late = (
        Sample(*(median(column) for column in zip(*map(astuple, part), strict=True)))
        for part in (samples[sixth : 2 * sixth], samples[-sixth:])
    )
    grew = late.mib > early.mib * (1 + _GROWTH) or late.descriptors > early.descriptors + 8
    return early, late, grew or late.threads > early.threads


def main() -> int:
    """Run, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    minutes = parser.parse_args().minutes
    with Lab() as lab:
        node = start_service(lab, "soak")
        _, port = start_edge(lab, [node.port], core=lab.load_core)
        load, samples, rate = asyncio.run(_soak(lab, node, port, minutes))
    early, late, grew = _grown(samples)
    print(
        f"{sum(load.fates.values())} requests in {minutes:g} minutes at {rate:.0f}/s: {dict(load.fates)}; "
        f"early {early}, late {late}: {'GREW' if grew else 'no growth'}"
    )
    return 1 if grew else 0


if __name__ == "__main__":
    sys.exit(main())
