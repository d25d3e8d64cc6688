"""What the faults share: a site with quick clocks under a steady load, and the table that is the promise."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from contract.support import API_MODELS, Answer, Server, Site, Upstream, fetch, script_all

from ..load import Load, outcome, until

__all__ = ["PAGE", "QUICK", "Row", "Scene", "table"]

PAGE = Path(__file__).resolve().parents[3] / "docs" / "operating.md"
# Everything that takes seconds in earnest takes a moment here; what is held is held through the fault.
QUICK = {
    "SCAILOOKUP_DEADLINE": "1",
    "SCAILOOKUP_CONNECT_TIMEOUT": "0.5",
    "SCAILOOKUP_FRESH": "0.1",
    "SCAILOOKUP_STALE": "0.1",
    "SCAILOOKUP_STALE_IF_ERROR": "600",
    "SCAILOOKUP_FAILURE_MEMORY": "0.1",
    "SCAILOOKUP_CIRCUIT": "5",
    "SCAILOOKUP_SECRET_FRESH": "0.1",
    "SCAILOOKUP_SECRET_HOLD": "600",
}


@dataclass(frozen=True)
class Row:
    """One promise: outcomes that callers may see, events that are logged, metrics that move.

    Those in ``later`` say when to come again. An event is its name and the fields that it has.
    """

    what: str
    outcomes: frozenset[str]
    later: frozenset[str]
    events: frozenset[str]
    metrics: frozenset[str]

    @property
    def test(self) -> str:
        """The name of the test that shows it."""
        return "test_" + re.sub(r"\W+", "_", self.what.lower()).strip("_")


def table() -> dict[str, Row]:
    """The rows of docs/operating.md's table of faults, by the names of their tests."""
    section = PAGE.read_text(encoding="utf-8").partition("\n## When a part fails\n")[2].partition("\n## ")[0]
    rows = {}
    for line in re.findall(r"(?m)^\| (.+) \|$", section)[1:]:
        what, callers, operator, does = (cell.strip() for cell in line.split(" | "))
        assert does
        names = re.findall(r"`([a-z_]+(?: [a-z_]+=[\w.]+)*)`", operator)
        row = Row(
            what,
            frozenset(re.findall(r"`(\d{3}[^`]*)`", callers)),
            frozenset(re.findall(r"`(\d{3}[^`]*)` with `Retry-After`", callers)),
            frozenset(name for name in names if not name.startswith("scailookup_")),
            frozenset(name for name in names if name.startswith("scailookup_")),
        )
        rows[row.test] = row
    return rows


class Scene:
    """A site and its callers, one of whom has a list already; used as a context.

    At its end every outcome seen must be one that the row allows, every event it names
    was logged since the beginning, and every metric has another value than it had then.
    """

    def __init__(self, row: Row, directory: Path, **options: Any) -> None:
        self._row = row
        self.site = script_all(Site(directory, **{**QUICK, **options}))
        self.ask = self.site.get
        self.claims: dict[str, Any] = {}
        self._held = self.site.issuer.token()
        self._turn = itertools.count()
        self._seen: set[str] = set()
        self._told = 0
        self._before: dict[str, float] = {}
        self._moved: set[str] = set()
        self._port = 0
        self.load = Load(self._next)

    @property
    def grid(self) -> Upstream:
        """The upstream."""
        return self.site.grid

    @property
    def server(self) -> Server:
        """The node."""
        return self.site.server

    def __enter__(self) -> Scene:
        """Begin the load; it is seen to go well first."""
        try:
            self.load.__enter__()
            self.load.more(of="200")
            self.watch(self.server.admin_port or 0)
            self._told = len(self.server.events)
        except BaseException:
            self.site.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.load.__exit__(kind, exc, trace)
            if exc is None:
                self._check()
        finally:
            self.site.stop()

    def watch(self, admin_port: int) -> None:
        """Look from now on at the figures of the node whose operator's listener is there."""
        self._port = admin_port
        self._before = self._figures()

    def look(self) -> set[str]:
        """The metrics of the row that were seen to move."""
        now = self._figures()
        self._moved |= {name for name in self._row.metrics if now[name] != self._before[name]}
        return self._moved

    def told(self, name: str) -> list[dict[str, Any]]:
        """The events of this name since the beginning."""
        return [event for event in self.server.events[self._told :] if event["event"] == name]

    def again(self) -> None:
        """The upstream runs again, on the port it had."""
        self.site.grid = Upstream(port=self.grid.port)
        script_all(self.site)

    def sees(self, *outcomes: str, count: int = 1) -> None:
        """Wait until each of these was seen so often more."""
        for name in outcomes:
            self.load.more(count, of=name)

    def recovers(self) -> None:
        """Wait until a while goes by in which everybody is answered."""

        def calm() -> bool:
            self._seen |= set(self.load.mark())
            self.load.more(30)
            return set(self.load.seen) <= {"200", "200 stale"}

        until(calm)

    def _check(self) -> None:
        seen = self._seen | set(self.load.seen)
        more = seen - self._row.outcomes
        assert not more, f"callers saw what the page does not promise: {sorted(more)}"
        untold = {event for event in self._row.events if not self._was_told(event)}
        assert not untold, f"the operator was not told of {sorted(untold)}"
        still = self._row.metrics - self.look()
        assert not still, f"did not move: {sorted(still)}"

    def _was_told(self, event: str) -> bool:
        name, *fields = event.split()
        wanted = dict(field.split("=") for field in fields)
        return any(all(_shown(e.get(k)) == v for k, v in wanted.items()) for e in self.told(name))

    def _figures(self) -> dict[str, float]:
        """The sum of the samples of each metric that the row names; of a histogram what it counts."""
        sums = dict.fromkeys(self._row.metrics, 0.0)
        for line in fetch(self._port, "/metrics").body.decode().splitlines():
            name = re.split(r"[{ ]", line)[0].removesuffix("_count")
            if name in sums:
                sums[name] += float(line.rpartition(" ")[2])
        return sums

    def _next(self) -> Answer:
        """Every other request is of a caller whose list is held; the others of somebody new each time."""
        new = next(self._turn) % 2
        answer = self.ask(API_MODELS, self.site.issuer.token(**self.claims) if new else self._held)
        seen = outcome(lambda: answer)
        if seen in self._row.later and answer.header("Retry-After") is None:
            self._seen.add(f"{seen} without Retry-After")
        return answer


def _shown(value: Any) -> str:
    """A field of an event as the table writes it."""
    return f"{value:g}" if isinstance(value, float) else str(value)
