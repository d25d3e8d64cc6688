"""What every handler and both roads have at hand, and how they tell of an answered request."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter

import structlog

from scailookup.history import History
from scailookup.metrics import Metrics
from scailookup.model import Caller, Trace
from scailookup.seams import Spans
from scailookup.web.guard import Guard
from scailookup.web.overload import Overload

__all__ = ["Web", "report_request"]

# Seconds after which an answer that is well is told of all the same.
_SLOW = 1.0
_log = structlog.get_logger("scailookup.web")


@dataclass(slots=True)
class Web:
    """What every handler has at hand. ``busy`` is how many requests are under way.

    ``verbose`` says whether debug events are wanted: on the way of a hit putting one together
    for nothing would show. ``microcache`` is how many seconds a proxy may keep a fresh answer; at 0
    it is told nothing. ``leaving`` says that the process ends, and each answer its connection.
    ``spans`` is told of requests where they are traced.
    """

    guard: Guard
    metrics: Metrics
    cors_origins: frozenset[str] = frozenset()
    busy: int = 0
    verbose: bool = True
    history: History = field(default_factory=History)
    microcache: int = 0
    leaving: bool = False
    spans: Spans | None = None
    overload: Overload = field(default_factory=Overload)


def report_request(
    web: Web,
    *,
    route: str,
    method: str,
    status: int,
    error: str | None,
    caller: Caller | None,
    started: float,
    trace: Trace,
    outcome: str,
) -> None:
    """Count one answered request, whichever road it took, and tell of what failed or was slow."""
    seconds = perf_counter() - started
    web.metrics.requested(route, status, outcome, seconds)
    if trace.span is not None and web.spans is not None:
        tenant = caller.tenant if caller else None
        web.spans.end(
            trace, route=route, method=method, status=status, error=error, tenant=tenant, outcome=outcome
        )
    quiet = status < 400 and seconds < _SLOW
    if quiet and not web.verbose:
        return
    say = _log.warning if status >= 500 else _log.debug if quiet else _log.info
    say(
        "request",
        method=method,
        route=route,
        status=status,
        error=error,
        cache=outcome,
        tenant=caller.tenant if caller else None,
        duration_ms=round(seconds * 1000, 1),
        request_id=trace.request_id,
    )
