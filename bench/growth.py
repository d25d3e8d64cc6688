"""How cost grows: with the rows of a list, and with the tenants in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.client import Ask, ask, ask_all, bearer
from bench.lab import MODELS, Lab, tell
from bench.load import Figure, Row, measure
from bench.processes import BenchError
from bench.service import LASTING, NO_MEMORY, Service, start_service
from bench.speed import STRANGERS

__all__ = ["LISTS", "Tenants", "measure_rows", "measure_tenants"]

SIZES = (10, 100, 300, 1000, 3000, 10_000)
TENANTS = (1, 10, 100, 300, 1000)
LISTS = (MODELS, "/api/v1/scaiqueue/scopes", "/api/v1/scaiqueue/scopes/scp_000000000001/queues")


def measure_rows(lab: Lab, rounds: int, seconds: int) -> dict[int, tuple[Figure, Figure]]:
    """For each length of list a figure of misses and one of hits."""
    tell("growth with rows")
    miss = start_service(lab, "rows-miss", NO_MEMORY)
    hit = start_service(lab, "rows-hit", LASTING)
    rotation = lab.rotation("rows", [MODELS], lab.tokens[:STRANGERS])
    rows = []
    for number, size in enumerate(SIZES):
        connections = 32 if size < 300 else 8 if size < 3000 else 2
        more = {"rows": size, "connections": connections}
        rows.append(
            Row(f"miss of {size}", miss.child, miss.port, MODELS, rotation=rotation, calls=1.0, **more)
        )
        # A tenant for each length: what is in memory is as long as when it was asked for first.
        auth = bearer(lab.tokens[number])
        lab.upstream.serve(size)
        ask(hit.port, MODELS, auth)
        rows.append(Row(f"hit of {size}", hit.child, hit.port, MODELS, auth, calls=0.0, **more))
    figures = measure(lab, rows, rounds, seconds)
    lab.stop(miss.child, hit.child)
    return dict(zip(SIZES, zip(figures[::2], figures[1::2], strict=True), strict=True))


@dataclass(frozen=True, slots=True)
class Tenants:
    """A service with the lists of so many tenants in memory. ``filled`` is its memory before any load."""

    tenants: int
    lists: int
    filled: int
    figure: Figure


def measure_tenants(lab: Lab, rounds: int, seconds: int) -> list[Tenants]:
    """One service for each number of tenants, all their lists in memory, hits spread over all of them."""
    tell("growth with tenants")
    lab.upstream.serve(60)
    services, rows, filled = [], [], []
    for count in TENANTS:
        service = start_service(lab, f"tenants-{count}", LASTING)
        _fill(service, lab.tokens[:count])
        services.append(service)
        filled.append(service.child.rss_bytes())
        tell(f"  {count} tenants: {filled[-1] / 2**20:.0f} MiB")
        rotation = lab.rotation(f"tenants-{count}", LISTS, lab.tokens[:count])
        rows.append(_row(count, service, rotation))
    figures = measure(lab, rows, rounds, seconds)
    lab.stop(*(service.child for service in services))
    rows_of = zip(TENANTS, filled, figures, strict=True)
    return [Tenants(count, count * len(LISTS), before, figure) for count, before, figure in rows_of]


def _row(count: int, service: Service, rotation: Path) -> Row:
    name = f"hits of {count} tenants"
    return Row(name, service.child, service.port, MODELS, rotation=rotation, calls=0.0)


def _fill(service: Service, tokens: Sequence[str]) -> None:
    """Ask for every list of every tenant once."""
    asks = [Ask(path, bearer(token)) for token in tokens for path in LISTS]
    answers = asyncio.run(ask_all(service.port, asks, connections=min(16, len(asks))))
    refused = [answer for answer in answers if answer.status != 200]
    if refused:
        raise BenchError(f"filling failed: {refused[0].status} {refused[0].body[:300]!r}")
