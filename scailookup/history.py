"""The last quarter of an hour of each upstream, for people: counts and seconds in bounded memory.

No tenant, key, path or message is kept: what is here may be shown to every viewer.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from scailookup.model import Call

__all__ = ["SPAN", "STEP", "History"]

STEP = 15
SPAN = 900


@dataclass(slots=True)
class _Bucket:
    """The calls that ended in one step of time."""

    number: int
    calls: int = 0
    failed: int = 0
    seconds: float = 0.0
    slowest: float = 0.0


@dataclass(slots=True)
class _Past:
    """What is known of one upstream. ``trouble`` is code, status and lookup of the last failed call.

    ``bad`` is when it last failed by itself: a refused credential or an unknown id is the asker's trouble.
    """

    buckets: deque[_Bucket] = field(default_factory=lambda: deque(maxlen=SPAN // STEP))
    good: float | None = None
    bad: float | None = None
    trouble: dict[str, Any] | None = None
    troubled: float = 0.0


class History:
    """Observes calls, and how lookups were answered, in this process."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pasts: dict[str, _Past] = {}
        self._answers: dict[str, dict[str, int]] = {}

    def called(self, call: Call) -> None:
        """Take note of one finished call; one that was given up says nothing of the upstream."""
        if call.code == "cancelled":
            return
        past = self._pasts.setdefault(call.upstream, _Past())
        now = self._clock()
        number = int(now // STEP)
        if not past.buckets or past.buckets[-1].number != number:
            past.buckets.append(_Bucket(number))
        bucket = past.buckets[-1]
        bucket.calls += 1
        bucket.seconds += call.duration
        bucket.slowest = max(bucket.slowest, call.duration)
        if call.code is None:
            past.good = now
        else:
            bucket.failed += 1
            past.bad = past.bad if _askers(call.status) else now
            past.troubled = now
            past.trouble = {"code": call.code, "status": call.status, "lookup": call.lookup}

    def answered(self, upstream: str, outcome: str) -> None:
        """Take note of one answered lookup; ``outcome`` is a Served's."""
        answers = self._answers.setdefault(upstream, {})
        answers[outcome] = answers.get(outcome, 0) + 1

    def of(self, upstream: str) -> dict[str, Any]:
        """What is known: the steps from old to new, times as ages in seconds, and answers by outcome.

        ``state`` is ``idle`` (not called in the span), ``failing`` (the last call that says so
        failed) or ``ok``.
        """
        past = self._pasts.get(upstream, _Past())
        now = self._clock()
        first = int(now // STEP) - SPAN // STEP + 1
        buckets = {bucket.number: bucket for bucket in past.buckets if bucket.number >= first}
        steps = [buckets.get(number, _Bucket(number)) for number in range(first, first + SPAN // STEP)]
        failing = past.bad is not None and (past.good is None or past.bad >= past.good)
        state = "idle" if not buckets else "failing" if failing else "ok"
        trouble = past.trouble and past.trouble | {"age": int(now - past.troubled)}
        return {
            "state": state,
            "last_error": trouble,
            "last_good_age": _age(now, past.good),
            "calls": [step.calls for step in steps],
            "failed": [step.failed for step in steps],
            "mean_ms": [_ms(step.seconds / step.calls) if step.calls else None for step in steps],
            "slowest_ms": [_ms(step.slowest) if step.calls else None for step in steps],
            "answers": dict(self._answers.get(upstream, {})),
        }


def _askers(status: int | None) -> bool:
    """Whether the upstream is well and answered so about what it was asked."""
    return status is not None and 400 <= status < 500 and status not in (408, 429)


def _age(now: float, then: float | None) -> int | None:
    return None if then is None else int(now - then)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
