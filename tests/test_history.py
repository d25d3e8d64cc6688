"""What is remembered of each upstream for people: bounded, of nobody in particular, gone in time."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import FakeClock

from scailookup.history import SPAN, STEP, History
from scailookup.model import Call

GOOD = Call(
    upstream="scaigrid",
    lookup="models",
    tenant="tnt_planted",
    credential="caller",
    url="https://grid.example/planted",
    status=200,
    code=None,
    attempt=1,
    bytes=10,
    rows=1,
    dropped=0,
    duration=0.1,
    request_id="req-planted",
)
BAD = GOOD._replace(status=500, code="BROKEN", duration=0.3)


class Watch:
    """A history with a clock."""

    def __init__(self) -> None:
        self.clock = FakeClock(float(100 * SPAN))
        self.history = History(clock=self.clock)

    def call(self, *calls: Call) -> None:
        """Let these calls end now."""
        for call in calls:
            self.history.called(call)

    @property
    def grid(self) -> dict[str, Any]:
        """What is known of scaigrid."""
        return self.history.of("scaigrid")


@pytest.fixture
def watch() -> Watch:
    """An empty history."""
    return Watch()


def test_nothing_is_known_of_who_was_not_asked(watch: Watch) -> None:
    """An upstream without calls is idle, with all its steps empty."""
    assert ("idle", None, [0] * (SPAN // STEP)) == tuple(
        watch.grid[n] for n in ("state", "last_error", "calls")
    )


def test_calls_and_times_stand_in_the_last_step(watch: Watch) -> None:
    """Counts, mean and slowest of what ended now."""
    watch.call(GOOD, BAD)
    last = [watch.grid[name][-1] for name in ("calls", "failed", "mean_ms", "slowest_ms")]
    assert [2, 1, 200.0, 300.0] == last


def test_steps_move_to_the_left_and_out(watch: Watch) -> None:
    """A step later the calls stand one place before; after the span they are gone."""
    watch.call(GOOD)
    watch.clock.now += STEP
    assert [1, 0] == watch.grid["calls"][-2:]
    watch.clock.now += SPAN
    assert ("idle", 0) == (watch.grid["state"], sum(watch.grid["calls"]))


def test_memory_is_bounded(watch: Watch) -> None:
    """However long it goes on, there are no more steps than the span has."""
    for _ in range(3 * SPAN // STEP):
        watch.call(GOOD)
        watch.clock.now += STEP
    assert SPAN // STEP == len(watch.grid["calls"]) == len(watch.history._pasts["scaigrid"].buckets)


@pytest.mark.parametrize(
    ("calls", "state"), [((BAD, GOOD), "ok"), ((GOOD, BAD), "failing"), ((BAD,), "failing"), ((GOOD,), "ok")]
)
def test_the_last_call_decides(watch: Watch, calls: tuple[Call, ...], state: str) -> None:
    """Failing until a call succeeds."""
    for call in calls:
        watch.clock.now += 1
        watch.call(call)
    assert state == watch.grid["state"]


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_what_the_asker_did_is_not_the_upstreams_failure(watch: Watch, status: int) -> None:
    """It is counted and shown as the last error, and the upstream is well."""
    watch.call(GOOD, GOOD._replace(status=status, code="NO"))
    assert ("ok", 1, "NO") == (
        watch.grid["state"],
        watch.grid["failed"][-1],
        watch.grid["last_error"]["code"],
    )


def test_a_call_that_was_given_up_does_not_count(watch: Watch) -> None:
    """Nobody can say what it would have brought."""
    watch.call(GOOD._replace(status=None, code="cancelled"))
    assert "idle" == watch.grid["state"]


def test_the_last_error_has_its_age(watch: Watch) -> None:
    """Code, status and lookup, and how long ago."""
    watch.call(BAD)
    watch.clock.now += 7
    assert {"code": "BROKEN", "status": 500, "lookup": "models", "age": 7} == watch.grid["last_error"]


def test_answers_are_counted_by_outcome(watch: Watch) -> None:
    """The share that came from memory can be told."""
    for outcome in ("hit", "hit", "miss"):
        watch.history.answered("scaigrid", outcome)
    assert {"hit": 2, "miss": 1} == watch.grid["answers"]


def test_nothing_of_a_tenant_is_kept(watch: Watch) -> None:
    """Neither tenant, nor url, nor request id."""
    watch.call(GOOD, BAD)
    assert "planted" not in repr(watch.grid) + repr(watch.history._pasts)
