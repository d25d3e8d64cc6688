"""A thousand callers ask for the same cold list at once: how often is the upstream asked?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from bench.client import Ask, ask_all, bearer
from bench.lab import MODELS, Lab, tell
from bench.service import start_service

__all__ = ["SIZE", "Herd", "measure_herd", "stampede"]

SIZE = 1000
_REPEATS = 3
_DELAY_MS = 200  # long enough for everybody to have asked before the first answer comes


@dataclass(frozen=True, slots=True)
class Herd:
    """The worst of several herds."""

    size: int
    repeats: int
    calls: tuple[int, ...]
    refused: int
    seconds: float


def measure_herd(lab: Lab) -> Herd:
    """Send one herd to each of several services that were just started."""
    tell("herd")
    calls, refused, slowest = [], 0, 0.0
    for number in range(_REPEATS):
        service = start_service(lab, f"herd-{number}")
        lab.upstream.serve(60, _DELAY_MS)
        before = lab.upstream.count()
        answers, seconds = asyncio.run(stampede([service.port], lab.tokens[0]))
        calls.append(lab.upstream.count() - before)
        refused += sum(answer != 200 for answer in answers)
        slowest = max(slowest, seconds)
        lab.stop(service.child)
        tell(f"  {calls[-1]} upstream calls, {refused} not 200, all answered in {seconds:.2f} s")
    lab.upstream.serve(60)
    return Herd(SIZE, _REPEATS, tuple(calls), refused, slowest)


async def stampede(ports: Sequence[int], token: str) -> tuple[list[int], float]:
    """A herd dealt out over ``ports``: the status of every answer, and the seconds until the last one."""
    loop = asyncio.get_running_loop()
    started, share = loop.time(), SIZE // len(ports)
    asks = [Ask(MODELS, bearer(token))] * share
    answers = await asyncio.gather(*(ask_all(port, asks, connections=share) for port in ports))
    return [answer.status for each in answers for answer in each], loop.time() - started
