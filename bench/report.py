"""The results as Markdown tables that read as plain text too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bench.floors import Floor, Results
from bench.load import Figure
from bench.stall import ROWS as LONG

__all__ = ["document", "tables"]

_WHAT = {
    "hit": "scailookup, from memory",
    "hit-304": "scailookup, from memory, 304 to the ETag got before",
    "hit-gzip": "scailookup, from memory, gzip",
    "hit-q": "scailookup, from memory, filtered by `q`",
    "miss": "scailookup, every answer from the upstream",
    "miss-1000": "the same, 1 000 rows",
    "miss-10000": "the same, 10 000 rows",
    "tornado": "Tornado RequestHandler, the same bytes ready",
    "proxy": "Tornado RequestHandler, CurlAsyncHTTPClient, json",
    "fastapi": "FastAPI, httpx, uvicorn with uvloop and httptools",
    "nginx-static": "nginx, the same bytes in a file",
    "nginx-proxy": "nginx, proxy_pass to the upstream",
    "nginx-cache": "nginx, proxy_cache",
    "nginx-same": "nginx, proxy_cache, the same body as in the microcache, one entry for everybody",
    "nginx-caller": "nginx, proxy_cache, the same answers as in the microcache, by caller",
    "microcache": "nginx with the files of deploy/nginx (no TLS), from its microcache",
}
_SHARED = {
    "hit, alone": "from memory, no shared cache",
    "hit, with Redis": "from memory, with one",
    "miss, alone": "every answer from the upstream, no shared cache",
    "miss, with Redis": "the same, each miss with a lease and a record in Redis",
}
_NOTES = """\
One worker on one core; the load (wrk, 32 connections, fewer for long lists, and the bench
upstream) on the other. scailookup verifies an RS256 token of each caller and logs at info; the rivals
ask for no token. Lists are of 60 rows, about 10 KB, unless said. Hits are answered under the
default settings; misses come from 128 tenants in turn with everything that remembers switched
off. Rows are measured in turn, round by round, and rates are medians of rounds. CPU is the
server's own, user and system. "Core" is how much of its core the server used: well below
100 %, wrk set the pace. "Others" is the most that any other program, or another guest of the
host, used of a core during a round: a round with more than 10 % is made again, up to three times.
A row says what is wrong with it when an answer was not the one meant, a request failed, or the
upstream was asked more or less often than the row means."""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first and the last stand to the right."""
    rows = list(rows)
    widths = [max(len(row[n]) for row in [heads, *rows]) for n in range(len(heads))]
    sides = ["<" if n in (0, len(heads) - 1) else ">" for n in range(len(heads))]

    def line(cells: Sequence[str]) -> str:
        padded = (f"{c:{s}{w}}" for c, s, w in zip(cells, sides, widths, strict=True))
        return f"| {' | '.join(padded)} |"

    marks = ("-" * w if s == "<" else "-" * (w - 1) + ":" for s, w in zip(sides, widths, strict=True))
    return "\n".join([line(heads), f"| {' | '.join(marks)} |", *(line(row) for row in rows)])


def _figure(title: str, what: str, figure: Figure) -> tuple[str, ...]:
    rates = [each.rate for each in figure.rounds]
    return (
        title,
        f"{figure.rate:,.0f}",
        f"{min(rates):,.0f}–{max(rates):,.0f}",
        f"{figure.cpu_us:,.0f}",
        f"{figure.busy:.0%}",
        f"{figure.others:.0%}",
        f"{figure.rss / 2**20:.0f}",
        f"{figure.calls:.2f}",
        f"{what}: {figure.flaw}" if figure.flaw else what,
    )


_HEADS = ("row", "req/s", "from–to", "CPU µs/req", "core", "others", "RSS MiB", "calls/req", "what it is")


def _speed(results: Results) -> list[str]:
    rows = [_figure(name, _WHAT[name], figure) for name, figure in results.speed.items()]
    return ["## Rates\n", _table(_HEADS, rows)] if rows else []


def _growth(results: Results) -> list[str]:
    rows = []
    for size, (miss, hit) in results.rows.items():
        rows.append(_figure(f"{size} rows", "miss", miss))
        rows.append(_figure(f"{size} rows", "hit", hit))
    for each in results.tenants:
        rows.append(_figure(f"{each.tenants} tenants", f"hits of {each.lists} lists", each.figure))
    if results.plugins is not None:
        for size, figure in results.plugins.last.items():
            rows.append(_figure(f"{size} upstreams", "hit of the last one's list", figure))
        first = results.plugins.first
        rows.append(_figure(f"{max(results.plugins.last)} upstreams", "hit of the first one's list", first))
    return ["## Growth\n", _table(_HEADS, rows)] if rows else []


def _engines(results: Results) -> list[str]:
    if not results.engines:
        return []
    first = results.engines[0].cpu_us
    rows = [
        (each.name, f"{each.cpu_us:,.0f}", f"{each.rate:,.0f}", f"{each.cpu_us / first:.2f}", "")
        for each in results.engines
    ]
    heads = ("engine", "CPU µs/req", "req/s", "against the first", "")
    return ["## The way out alone\n", _table(heads, rows)]


def _stall(results: Results) -> list[str]:
    stall = results.stall
    if stall is None:
        return []
    return [
        "## The event loop while long lists are read\n",
        f"/healthz, asked every 2 ms during each of {stall.misses} misses of {LONG:,} rows "
        f"({stall.miss_median:.0f} ms each), waited at the longest {stall.median:.1f} ms (median over "
        f"misses) and {stall.longest:.1f} ms (the worst miss); with nothing else to do {stall.idle:.1f} ms.",
    ]


def _shared(results: Results) -> list[str]:
    if results.shared is None:
        return []
    rows = [_figure(name, _SHARED[name], figure) for name, figure in results.shared.figures.items()]
    return ["## One cache for all processes\n", _table(_HEADS, rows)]


def _floors(floors: Sequence[Floor]) -> list[str]:
    rows = [
        (floor.name, floor.wanted, floor.measured, "met" if floor.met else "missed", floor.remark)
        for floor in floors
    ]
    heads = ("floor", "wanted", "measured", "", "besides")
    return ["## Floors\n", _table(heads, rows)] if rows else []


def tables(results: Results, floors: Sequence[Floor]) -> str:
    """All that was measured."""
    parts = [
        *_speed(results),
        *_engines(results),
        *_growth(results),
        *_shared(results),
        *_stall(results),
        *_floors(floors),
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts)


def document(machine: Mapping[str, str], command: str, results: Results, floors: Sequence[Floor]) -> str:
    """The file bench/RESULTS.md."""
    facts = "\n".join(f"- {name}: {value}" for name, value in machine.items())
    return (
        f"# What scailookup costs\n\nMade by `{command}`; run it again rather than trust another machine's "
        f"figures.\n\n{facts}\n\n{_NOTES}\n\n{tables(results, floors)}\n"
    )
