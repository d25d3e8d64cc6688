"""Load by wrk on one core against a server on the other, and what a round of it costs."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.client import Answer, ask
from bench.lab import Lab, tell
from bench.machine import busy_seconds
from bench.processes import BenchError, Child, tool
from scailookup.terminal import Progress

__all__ = ["Figure", "Round", "Row", "measure"]

_ROTATE = Path(__file__).with_name("rotate.lua")
_SETTLE = 0.1
_GENTLE = 20
# What others may use of a core during a round; a round with more is made again, so often at most.
_CALM = 0.1
_TRIES = 4
_TOLERANCE = 0.02  # of upstream calls per request: a refresh behind a hit, requests cut off at the end


@dataclass(frozen=True, slots=True)
class Row:
    """One thing to put under load.

    ``rotation`` is a file of requests to send in turn; without it ``path`` is sent
    with ``headers``, over and over. ``calls`` is how many upstream calls one request
    must cost for the figure to mean what its name says. ``check`` looks at one
    answer beforehand and returns what is wrong with it. ``gentle`` warms before
    every round.
    """

    name: str
    child: Child
    port: int
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    rotation: Path | None = None
    rows: int = 60
    calls: float | None = None
    check: Callable[[Answer], str | None] | None = None
    connections: int = 32
    gentle: bool = False


@dataclass(frozen=True, slots=True)
class Round:
    """What one round of load gave. ``others`` is what anybody else used of a core meanwhile."""

    rate: float
    cpu_us: float
    calls: float
    errors: int
    others: float


@dataclass(slots=True)
class Figure:
    """All rounds of a row. ``flaw`` says why the figure does not mean what its name says."""

    name: str
    rounds: list[Round] = field(default_factory=list)
    rss: int = 0
    flaw: str | None = None

    @property
    def rate(self) -> float:
        """Median of the requests per second."""
        return statistics.median(each.rate for each in self.rounds)

    @property
    def cpu_us(self) -> float:
        """Median of the CPU time per request."""
        return statistics.median(each.cpu_us for each in self.rounds)

    @property
    def busy(self) -> float:
        """How much of its core the server used: well below 1, something else set the pace."""
        return statistics.median(each.rate * each.cpu_us / 1e6 for each in self.rounds)

    @property
    def others(self) -> float:
        """The most that others used of a core during a round."""
        return max(each.others for each in self.rounds)

    @property
    def calls(self) -> float:
        """Median of the upstream calls per request."""
        return statistics.median(each.calls for each in self.rounds)


def measure(lab: Lab, rows: Sequence[Row], rounds: int, seconds: int) -> list[Figure]:
    """Warm every row, then measure them round by round in turn, so that drift hits all alike."""
    figures = [Figure(row.name) for row in rows]
    pairs = list(zip(rows, figures, strict=True))
    with Progress(sys.stderr, of=len(rows) * (1 + rounds)) as progress:
        for row, figure in pairs:
            tell(f"  warming {row.name}")
            progress.step(f"warming {row.name}")
            figure.flaw = _warm(lab, row)
            progress.clear()
        for number in range(rounds):
            # There and back, so that nobody always follows the same neighbour.
            for row, figure in pairs if number % 2 == 0 else reversed(pairs):
                progress.step(f"round {number + 1}/{rounds} {row.name}")
                figure.rounds.append(_round(lab, row, seconds, progress))
                figure.rss = max(figure.rss, row.child.rss_bytes())
                progress.clear()
                tell(f"  round {number + 1}/{rounds} {row.name}: {_shown(figure.rounds[-1])}")
    for row, figure in pairs:
        figure.flaw = figure.flaw or _flaw(row, figure)
        if figure.flaw:
            tell(f"  {row.name}: {figure.flaw}")
    return figures


def _shown(each: Round) -> str:
    return f"{each.rate:,.0f}/s, {each.cpu_us:,.0f} µs CPU, {each.calls:.2f} calls, {each.errors} errors"


def _warm(lab: Lab, row: Row) -> str | None:
    """Warm gently, then with all connections; returns what is wrong with the answer."""
    answer = _gently(lab, row)
    if answer.status not in (200, 304):
        raise BenchError(f"{row.name}: status {answer.status}: {answer.body[:300]!r}")
    _wrk(lab, row, 1, connections=row.connections)
    return row.check(answer) if row.check else None


def _gently(lab: Lab, row: Row) -> Answer:
    """A few requests one by one, then few connections; returns the last answer of the former.

    httpx drops idle connections between two rounds and pays for a burst long after it.
    """
    lab.upstream.serve(row.rows)
    path, headers = row.path, row.headers
    if row.rotation is not None:
        with row.rotation.open() as lines:
            path, token = next(lines).split()
        headers = {**headers, "Authorization": f"Bearer {token}"}
    answers = [ask(row.port, path, headers) for _ in range(_GENTLE if row.rows < 1000 else 3)]
    _wrk(lab, row, 1, connections=2)
    return answers[-1]


def _round(lab: Lab, row: Row, seconds: int, progress: Progress) -> Round:
    """One round in peace, or the most peaceful of a few; errors of any of them count."""
    tried = [_try(lab, row, seconds)]
    while tried[-1].others > _CALM and len(tried) < _TRIES:
        progress.clear()
        tell(f"  {row.name}: others used {tried[-1].others:.0%} of a core, once more")
        tried.append(_try(lab, row, seconds))
    best = min(tried, key=lambda each: each.others)
    return replace(best, errors=sum(each.errors for each in tried))


def _try(lab: Lab, row: Row, seconds: int) -> Round:
    if row.gentle:
        _gently(lab, row)
    lab.upstream.serve(row.rows)
    time.sleep(_SETTLE)
    calls, cpu, others = lab.upstream.count(), row.child.cpu_seconds(), busy_seconds() - lab.cpu_seconds()
    requests, elapsed, errors = _wrk(lab, row, seconds, connections=row.connections)
    others = max(busy_seconds() - lab.cpu_seconds() - others, 0.0)
    cpu = row.child.cpu_seconds() - cpu
    calls = lab.upstream.count() - calls
    done = max(requests, 1)
    return Round(requests / elapsed, cpu * 1e6 / done, calls / done, errors, others / elapsed)


def _wrk(lab: Lab, row: Row, seconds: int, *, connections: int) -> tuple[int, float, int]:
    """Requests answered, the seconds it took, and how many of them were errors."""
    command = [tool("taskset"), "-c", str(lab.load_core), tool("wrk"), "-t1", f"-c{connections}"]
    command += [f"-d{seconds}s", "--timeout", "30s"]
    for name, value in row.headers.items():
        command += ["-H", f"{name}: {value}"]
    command += ["-s", str(_ROTATE)] if row.rotation else []
    command.append(f"http://127.0.0.1:{row.port}{row.path}")
    command += ["--", str(row.rotation)] if row.rotation else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    found = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m),", done.stdout)
    if found is None:
        raise BenchError(f"wrk said:\n{done.stdout}{done.stderr}")
    unit = {"ms": 0.001, "s": 1.0, "m": 60.0}[found[3]]
    return int(found[1]), float(found[2]) * unit, _errors(done.stdout)


def _errors(text: str) -> int:
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    count = int(refused[1]) if refused else 0
    return count + (sum(int(number) for number in broken.groups()) if broken else 0)


def _flaw(row: Row, figure: Figure) -> str | None:
    errors = sum(each.errors for each in figure.rounds)
    if errors:
        return f"{errors} requests failed"
    if row.calls is None:
        return None
    # Requests under way when a round ends have called already and are not counted: more is no flaw of a miss.
    low, high = row.calls - _TOLERANCE, row.calls + (_TOLERANCE if row.calls == 0 else float("inf"))
    if not low <= figure.calls <= high:
        return f"{figure.calls:.2f} upstream calls a request where {row.calls:.0f} is meant"
    return None
