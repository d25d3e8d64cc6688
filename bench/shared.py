"""Two nodes before one Redis: cold herds over both, and what a hit and a miss cost beside a node alone."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.client import bearer
from bench.edge import start_edge
from bench.herd import SIZE, Herd, stampede
from bench.lab import MODELS, Lab, tell
from bench.load import Figure, Row, measure
from bench.processes import tool
from bench.service import start_service

__all__ = ["Shared", "measure_shared"]

_REPEATS = 3
_DELAY_MS = 200
_TENANTS = 128
# Nothing is fresh or stale, so every request is a miss; but records are kept, so each goes by way of Redis.
_MISSES = {
    "SCAILOOKUP_FRESH": "0",
    "SCAILOOKUP_STALE": "0",
    "SCAILOOKUP_STALE_IF_ERROR": "5",
    "SCAILOOKUP_FAILURE_MEMORY": "0",
}


@dataclass(frozen=True, slots=True)
class Shared:
    """The herds over two nodes, dealt out by us and by nginx, and figures by name.

    The figures are of a node alone and of one with Redis behind it.
    """

    herd: Herd
    behind: Herd
    figures: Mapping[str, Figure]


def measure_shared(lab: Lab, rounds: int, seconds: int) -> Shared:
    """Start a Redis, then nodes before it; the herds first, while lists are cold."""
    tell("shared cache")
    cache = {"SCAILOOKUP_CACHE_URL": _redis(lab), "SCAILOOKUP_CACHE_KEY": "k" * 32}
    nodes = [start_service(lab, f"shared-{name}", cache) for name in ("one", "other")]
    ports = [node.port for node in nodes]
    herd = _herds(lab, ports, lab.tokens[-_REPEATS:])
    edge, port = start_edge(lab, ports, core=lab.server_core)
    behind = _herds(lab, [port], lab.tokens[-2 * _REPEATS : -_REPEATS])
    lab.stop(edge, nodes[1].child)
    alone = start_service(lab, "shared-alone")
    misses = {name: start_service(lab, name, {**_MISSES, **more}) for name, more in _kinds(cache)}
    rotation = lab.rotation("shared", [MODELS], lab.tokens[:_TENANTS])
    rows = [
        Row("hit, alone", alone.child, alone.port, MODELS, bearer(lab.tokens[0]), calls=0.0),
        Row("hit, with Redis", nodes[0].child, nodes[0].port, MODELS, bearer(lab.tokens[0]), calls=0.0),
        *(
            Row(name, node.child, node.port, MODELS, rotation=rotation, calls=1.0)
            for name, node in misses.items()
        ),
    ]
    figures = measure(lab, rows, rounds, seconds)
    lab.stop(nodes[0].child, alone.child, *(node.child for node in misses.values()))
    return Shared(herd, behind, {figure.name: figure for figure in figures})


def _kinds(cache: Mapping[str, str]) -> list[tuple[str, Mapping[str, str]]]:
    return [("miss, alone", {}), ("miss, with Redis", cache)]


def _redis(lab: Lab) -> str:
    """Start one on the core of the load; returns its url."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [tool("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    child = lab.start("redis", command, core=lab.load_core, cwd=lab.work)
    lab.until_it_answers(child, port)
    return f"redis://127.0.0.1:{port}"


def _herds(lab: Lab, ports: Sequence[int], tokens: Sequence[str]) -> Herd:
    """One herd for each of several callers that nobody asked for yet."""
    calls, refused, slowest = [], 0, 0.0
    lab.upstream.serve(60, _DELAY_MS)
    for token in tokens:
        before = lab.upstream.count()
        answers, seconds = asyncio.run(stampede(ports, token))
        calls.append(lab.upstream.count() - before)
        refused += sum(answer != 200 for answer in answers)
        slowest = max(slowest, seconds)
        tell(f"  {calls[-1]} upstream calls, {refused} not 200, all answered in {seconds:.2f} s")
    lab.upstream.serve(60)
    return Herd(SIZE, len(tokens), tuple(calls), refused, slowest)
