"""What the figures must reach, and whether they do."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.engines import Engine
from bench.growth import Tenants
from bench.herd import Herd
from bench.load import Figure
from bench.plugins import SIZES, Plugins
from bench.shared import Shared
from bench.stall import Stall

__all__ = ["Floor", "Results", "floors", "ratio"]

MEMORY_MIB = 200
PLUGIN_LOSS = 0.05
_RATIOS = (
    ("hit against bare Tornado, the same bytes", "hit", "tornado", 1.4),
    ("miss against a bare Tornado proxy", "miss", "proxy", 1.6),
    ("miss against FastAPI and httpx", "miss", "fastapi", 7.0),
    ("hit against FastAPI and httpx", "hit", "fastapi", 20.0),
    ("hit of the microcache against nginx's own proxy_cache", "microcache", "nginx-caller", 0.8),
)


@dataclass(slots=True)
class Results:
    """All that was measured; what was not wanted is empty."""

    speed: Mapping[str, Figure] = field(default_factory=dict)
    engines: Sequence[Engine] = ()
    herd: Herd | None = None
    shared: Shared | None = None
    tenants: list[Tenants] = field(default_factory=list)
    plugins: Plugins | None = None
    stall: Stall | None = None
    rows: Mapping[int, tuple[Figure, Figure]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Floor:
    """One demand: ``met`` is worked out from figures alone. ``remark`` says more about them."""

    name: str
    wanted: str
    measured: str
    met: bool
    remark: str = ""


def ratio(one: Figure, other: Figure) -> float:
    """How many times faster: the median over rounds, which stood next to each other in time."""
    return statistics.median(a.rate / b.rate for a, b in zip(one.rounds, other.rounds, strict=True))


def floors(results: Results) -> list[Floor]:
    """Every demand that the results can answer."""
    found = [floor for each in _RATIOS if (floor := _faster(results.speed, *each))]
    if results.herd is not None:
        found.append(_herd(results.herd, ""))
    if results.shared is not None:
        found.append(_herd(results.shared.herd, " over two nodes"))
        found.append(_herd(results.shared.behind, " over two nodes behind nginx"))
    if results.tenants:
        found.append(_memory(results.tenants[-1]))
    if results.plugins is not None:
        found.append(_plugins(results.plugins))
    return found


def _faster(speed: Mapping[str, Figure], name: str, one: str, other: str, least: float) -> Floor | None:
    if one not in speed or other not in speed:
        return None
    a, b = speed[one], speed[other]
    times = ratio(a, b)
    flaws = [f"{each.name}: {each.flaw}" for each in (a, b) if each.flaw]
    remark = "; ".join(flaws) or f"by CPU time {b.cpu_us / a.cpu_us:.2f} times"
    if one == "microcache" and "nginx-same" in speed:
        remark += f"; {ratio(a, speed['nginx-same']):.2f} times one entry for everybody"
    return Floor(
        name, f"at least {least:g} times", f"{times:.2f} times", times >= least and not flaws, remark
    )


def _herd(herd: Herd, where: str) -> Floor:
    calls = "/".join(str(count) for count in herd.calls)
    return Floor(
        f"{herd.size} callers of one cold list{where}",
        "exactly 1 upstream call",
        f"{calls} in {herd.repeats} herds",
        all(count == 1 for count in herd.calls) and herd.refused == 0,
        f"{herd.refused} answers that were not 200; the last after {herd.seconds:.2f} s",
    )


def _memory(most: Tenants) -> Floor:
    size = most.figure.rss / 2**20
    return Floor(
        f"memory with {most.lists} lists of {most.tenants} tenants",
        f"below {MEMORY_MIB} MiB",
        f"{size:.0f} MiB",
        size < MEMORY_MIB and not most.figure.flaw,
        most.figure.flaw or f"{most.filled / 2**20:.0f} MiB before any load",
    )


def _plugins(plugins: Plugins) -> Floor:
    few, *_, many = SIZES
    last = ratio(plugins.last[many], plugins.last[few])
    first = ratio(plugins.first, plugins.last[few])
    flaws = [each.flaw for each in (plugins.first, *plugins.last.values()) if each.flaw]
    # A rate that is higher by chance is no loss.
    loss = 1 - min(last, first)
    by_cpu = plugins.last[many].cpu_us / plugins.last[few].cpu_us - 1
    return Floor(
        f"hits with {many} upstreams against {few}",
        f"at most {PLUGIN_LOSS:.0%} slower",
        f"{last - 1:+.1%} on the last plugin's route, {first - 1:+.1%} on the first",
        loss <= PLUGIN_LOSS and not flaws,
        "; ".join(flaws) or f"CPU time {by_cpu:+.1%}",
    )
