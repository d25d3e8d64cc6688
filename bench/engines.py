"""The three ways to drive pycurl on the event loop, alone: no server, no JSON, 32 requests under way."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pycurl
from tornado.curl_httpclient import CurlAsyncHTTPClient

from bench.lab import Lab, tell
from bench.rivals.own_multi import Multi

__all__ = ["ENGINES", "Engine", "measure_engines"]

UNDER_WAY = 32
_REQUESTS = 60  # of each, in one round
_HEADERS = (
    ("Accept", "application/json"),
    ("X-Request-ID", "bench"),
    ("Authorization", "Bearer " + "x" * 600),
)
Get = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Engine:
    """Medians over rounds: CPU microseconds a request, and requests a second."""

    name: str
    cpu_us: float
    rate: float


def measure_engines(lab: Lab, rounds: int) -> list[Engine]:
    """Each engine in a process of its own on the server's core, one round of each in turn."""
    tell("engines")
    lab.upstream.serve(60)
    url = f"{lab.upstream.base}/v1/models"
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ENGINES}
    for _ in range(rounds):
        for name, figures in found.items():
            child = lab.start_module("bench.engines", name, url, core=lab.server_core)
            cpu, rate = json.loads(child.said(r"(\[[0-9., ]+\])", seconds=60))
            figures.append((cpu, rate))
            lab.stop(child)
    engines = []
    for name, figures in found.items():
        cpus, rates = zip(*figures, strict=True)
        engines.append(Engine(name, statistics.median(cpus), statistics.median(rates)))
        tell(f"  {name}: {engines[-1].cpu_us:.0f} µs CPU, {engines[-1].rate:,.0f}/s")
    return engines


def _bare(url: str, perform: Callable[[pycurl.Curl], Awaitable[object]]) -> Get:
    """The same few options on the same handles, whoever drives them."""
    idle: list[pycurl.Curl] = []
    lines = [f"{name}: {value}" for name, value in _HEADERS]

    async def get() -> object:
        handle = idle.pop() if idle else pycurl.Curl()
        chunks: list[bytes] = []
        handle.setopt(pycurl.URL, url)
        handle.setopt(pycurl.TIMEOUT_MS, 8000)
        handle.setopt(pycurl.HTTPHEADER, lines)
        handle.setopt(pycurl.WRITEFUNCTION, chunks.append)
        handle.setopt(pycurl.HEADERFUNCTION, bytearray().extend)
        await perform(handle)
        idle.append(handle)
        return b"".join(chunks)

    return get


async def _own(url: str) -> Get:
    return _bare(url, Multi().start)


async def _async_multi(url: str) -> Get:
    return _bare(url, pycurl.AsyncCurlMulti().perform)


async def _tornado(url: str) -> Get:
    client = CurlAsyncHTTPClient(max_clients=UNDER_WAY)
    return lambda: client.fetch(url, headers=dict(_HEADERS))


# The first is the one in use, which the others are compared to.
ENGINES = {
    "AsyncCurlMulti": _async_multi,
    "own loop": _own,
    "Tornado's client": _tornado,
}


async def _main(name: str, url: str) -> None:
    get = await ENGINES[name](url)

    async def ask(times: int) -> None:
        for _ in range(times):
            await get()

    async def everybody(times: int) -> None:
        await asyncio.gather(*(ask(times) for _ in range(UNDER_WAY)))

    await everybody(_REQUESTS)  # connections and handles are made
    cpu, begun = time.process_time(), time.perf_counter()
    await everybody(_REQUESTS)
    cpu, elapsed = time.process_time() - cpu, time.perf_counter() - begun
    count = UNDER_WAY * _REQUESTS
    print(json.dumps([cpu / count * 1e6, count / elapsed]), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2]))
