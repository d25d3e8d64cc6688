"""Restart two nodes behind nginx under load, over and over, and count what is lost.

``python -m bench.rolling [--requests 20000]``. Exit status: 0 nothing was lost, 1 something was.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

from bench.client import Ask, ask, bearer
from bench.edge import start_edge
from bench.lab import MODELS, Lab, tell
from bench.processes import BenchError
from bench.service import Service, start_service
from bench.steady import Steady

_CALLERS = 200
_CONNECTIONS = 16


async def _roll(lab: Lab, nodes: list[Service], edge: int, requests: int) -> tuple[Steady, int]:
    """Restart one node after the other until enough was asked; the load, and how many restarts."""
    asks = [
        Ask(path, bearer(token)) for token in lab.tokens[:_CALLERS] for path in (MODELS, f"{MODELS}?q=0003")
    ]
    restarts = 0
    async with Steady(edge, asks, connections=_CONNECTIONS) as load:
        while sum(load.fates.values()) < requests or restarts < len(nodes):
            place = restarts % len(nodes)
            await asyncio.to_thread(lab.stop, nodes[place].child)  # SIGTERM, and wait for the end
            nodes[place] = await asyncio.to_thread(
                start_service, lab, f"node-{place}", port=nodes[place].port
            )
            restarts += 1
            tell(
                f"  {restarts} restarts, {sum(load.fates.values())} requests, failed: {load.failed or 'none'}"
            )
    return load, restarts


def main() -> int:
    """Run, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.rolling", description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    wanted = parser.parse_args().requests
    with Lab() as lab:
        nodes = [start_service(lab, f"node-{place}") for place in range(2)]
        _, edge = start_edge(lab, [node.port for node in nodes], core=lab.load_core)
        if ask(edge, MODELS, bearer(lab.tokens[0])).status != 200:
            raise BenchError("the pair does not answer")
        started = time.monotonic()
        load, restarts = asyncio.run(_roll(lab, nodes, edge, wanted))
        seconds = time.monotonic() - started
    waits = sorted(load.waits)
    print(
        f"{sum(load.fates.values())} requests in {seconds:.0f} s, {restarts} restarts; "
        f"failed: {load.failed or 'none'}; answered: {dict(load.fates)}; "
        f"median {waits[len(waits) // 2] * 1000:.1f} ms, "
        f"99 % within {waits[len(waits) * 99 // 100] * 1000:.0f} ms, slowest {waits[-1] * 1000:.0f} ms"
    )
    return 1 if load.failed else 0


if __name__ == "__main__":
    sys.exit(main())
