"""Circuits: when an address is left alone, and how it comes back; the clock is fake."""

from __future__ import annotations

import asyncio

import pytest
from fakes import FakeClock
from structlog.testing import capture_logs

from scailookup.errors import CallFailed, Overloaded
from scailookup.model import Errand, Grant, Judged, Reply, Trace
from scailookup.transport import Circuits, Door

HERE, THERE = "https://grid.example", "https://other.example"
TRANSPORT = ("timeout", "unreachable", "tls")


def down(code: str = "unreachable") -> CallFailed:
    """A transport failure."""
    return CallFailed(code, "broke")


class World:
    """Circuits with a clock."""

    def __init__(self, threshold: int = 5) -> None:
        self.clock = FakeClock()
        self.circuits = Circuits(threshold, clock=self.clock)

    def call(self, outcome: BaseException | None = None, address: str = HERE) -> None:
        """One admitted call and how it ended."""
        self.circuits.admit(address)
        self.circuits.settle(address, outcome)

    def fail(self, times: int = 5, address: str = HERE) -> None:
        """Several transport failures in a row."""
        for _ in range(times):
            self.call(down(), address)

    def admits(self, address: str = HERE) -> bool:
        """Whether a call may be tried now; one that may is under way from then on."""
        try:
            self.circuits.admit(address)
        except CallFailed:
            return False
        return True

    def refusal(self, after: float = 0.0) -> CallFailed:
        """How a call is refused."""
        self.clock.now += after
        with pytest.raises(CallFailed) as caught:
            self.circuits.admit(HERE)
        return caught.value


@pytest.mark.parametrize(("times", "open_"), [(4, False), (5, True), (6, True)])
def test_opens_after_failures_in_a_row(times, open_):
    """The fifth transport failure in a row opens the circuit, no earlier one does."""
    world = World()
    for _ in range(times):
        world.circuits.settle(HERE, down())
    assert open_ == (not world.admits())


@pytest.mark.parametrize("code", TRANSPORT)
def test_each_transport_failure_counts(code):
    """Timeouts, connections refused and TLS failures all count."""
    world = World(1)
    world.call(down(code))
    assert False is world.admits()


@pytest.mark.parametrize("code", ["http_500", "RATE_LIMITED", "bad_shape", "too_large", "redirected"])
def test_an_answer_is_no_transport_failure(code):
    """Whatever an upstream answers, the address is there."""
    world = World(1)
    world.call(CallFailed(code, "no", status=500))
    assert True is world.admits()


@pytest.mark.parametrize("code", TRANSPORT)
def test_an_upstreams_own_code_is_no_transport_failure(code):
    """An HTTP error whose body happens to name one of our codes is still an answer."""
    world = World(1)
    world.call(CallFailed(code, "the model timed out", status=400))
    assert True is world.admits()


@pytest.mark.parametrize("between", [None, CallFailed("http_404", "no", status=404)])
def test_an_answer_between_starts_the_count_anew(between):
    """Failures count in a row only."""
    world = World()
    world.fail(4)
    world.call(between)
    world.fail(4)
    assert True is world.admits()


def test_the_refusal():
    """An open circuit says circuit_open, without a status, and when to come back."""
    world = World()
    world.fail()
    refusal = world.refusal(after=1.5)
    assert ("circuit_open", None, 4, False) == (
        *(refusal.code, refusal.status),
        *(refusal.retry_after, refusal.repeatable),
    )


def test_a_refusal_does_not_prolong():
    """Calls refused while the circuit is open do not keep it open."""
    world = World()
    world.fail()
    for _ in range(10):
        world.refusal(after=0.4)
    world.clock.now += 1.1
    assert True is world.admits()


@pytest.mark.parametrize(("after", "admitted"), [(4.9, False), (5.0, True)])
def test_a_probe_after_five_seconds(after, admitted):
    """Five seconds later a call is let through."""
    world = World()
    world.fail()
    world.clock.now += after
    assert admitted == world.admits()


def test_one_probe_only():
    """While the probe is under way everybody else is refused."""
    world = World()
    world.fail()
    world.clock.now += 60.0
    assert [True, False, False] == [world.admits() for _ in range(3)]


def test_who_is_refused_during_a_probe_is_told_when_to_come_back():
    """The wait told is never less than a second."""
    world = World()
    world.fail()
    world.clock.now += 60.0
    world.admits()
    assert 1 == world.refusal().retry_after


@pytest.mark.parametrize("outcome", [None, CallFailed("http_500", "no", status=500)])
def test_a_probe_that_is_answered_closes(outcome):
    """One answer closes the circuit, and failures are counted anew."""
    world = World()
    world.fail()
    world.clock.now += 5.0
    world.call(outcome)
    world.fail(4)
    assert [True, True] == [world.admits() for _ in range(2)]


def test_a_probe_that_fails_reopens():
    """One failure of the probe opens the circuit for five seconds more."""
    world = World()
    world.fail()
    world.clock.now += 5.0
    world.call(down())
    assert 5 == world.refusal().retry_after


def test_a_reopened_circuit_lets_the_next_probe_through():
    """After a failed probe another one follows five seconds later."""
    world = World()
    world.fail()
    world.clock.now += 5.0
    world.call(down())
    world.clock.now += 5.0
    assert [True, False] == [world.admits(), world.admits()]


@pytest.mark.parametrize("outcome", [asyncio.CancelledError(), Overloaded("full"), RuntimeError()], ids=repr)
def test_a_probe_given_up_frees_its_place(outcome):
    """A probe that ended without a word on the address lets the next one through at once."""
    world = World()
    world.fail()
    world.clock.now += 5.0
    world.call(outcome)
    assert True is world.admits()


def test_a_call_given_up_is_no_answer():
    """A cancelled call neither counts nor breaks the row."""
    world = World()
    world.fail(4)
    world.call(asyncio.CancelledError())
    world.fail(1)
    assert False is world.admits()


def test_0_switches_it_off():
    """With a threshold of 0 nothing ever opens."""
    world = World(0)
    world.fail(100)
    assert True is world.admits()


def test_addresses_do_not_share():
    """One address down leaves the other alone."""
    world = World()
    world.fail(address=HERE)
    assert (False, True) == (world.admits(HERE), world.admits(THERE))


def test_opening_and_closing_are_told():
    """An operator sees in the log when an address is given up and when it is back."""
    world = World()
    with capture_logs() as events:
        world.fail()
        world.clock.now += 5.0
        world.call()
    assert [("circuit_opened", HERE), ("circuit_closed", HERE)] == [
        (event["event"], event["address"]) for event in events
    ]


# In the door


class Walk:
    """A door with circuits over a client that fails as told."""

    def __init__(self, *outcomes: BaseException | None, threshold: int = 2) -> None:
        self.clock = FakeClock()
        self.outcomes = list(outcomes)
        self.asked = 0
        self.waiting: asyncio.Event | None = None
        circuits = Circuits(threshold, clock=self.clock)
        self.door = Door(lambda upstream: self._fetch, lambda call: None, circuits=circuits)

    async def _fetch(self, request, *, deadline):
        self.asked += 1
        if self.waiting is not None:
            await self.waiting.wait()
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if outcome is not None:
            raise outcome
        return Reply(200, {}, b"[]")

    async def call(self, url: str = HERE + "/v1/models") -> object:
        """The value of one call, or the code of its failure."""

        async def good(reply: Reply) -> Judged[str]:
            return Judged("well")

        deadline = asyncio.get_running_loop().time() + 60.0
        errand = Errand(
            "scaigrid", "models", "tnt_acme", url, url, Grant("none", HERE), Trace("r1"), deadline
        )
        try:
            return await self.door.call(errand, good)
        except CallFailed as failed:
            return failed.code


@pytest.mark.gen_test
async def test_an_open_circuit_makes_no_call():
    """Past the threshold nothing is sent."""
    walk = Walk(down())
    with capture_logs():
        codes = [await walk.call() for _ in range(4)]
    assert (["unreachable"] * 2 + ["circuit_open"] * 2, 2) == (codes, walk.asked)


@pytest.mark.gen_test
async def test_a_cancelled_probe_frees_its_place_in_the_door():
    """A caller who leaves during the probe does not lock the address."""
    walk = Walk(down(), down(), None)
    with capture_logs():
        for _ in range(2):
            await walk.call()
        walk.clock.now += 5.0
        walk.waiting = asyncio.Event()
        probe = asyncio.ensure_future(walk.call())
        await asyncio.sleep(0)
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)
        walk.waiting = None
        assert "well" == await walk.call()


@pytest.mark.gen_test
async def test_paths_of_one_address_share_its_circuit():
    """The circuit belongs to scheme, host and port, not to a path."""
    walk = Walk(down())
    with capture_logs():
        for path in ("/v1/models", "/v1/me"):
            await walk.call(HERE + path)
        assert "circuit_open" == await walk.call(HERE + "/v1/modules/scaiqueue/scopes")


def test_its_state_can_be_shown() -> None:
    """Closed, then open with the seconds left, then probing."""
    world = World()
    assert ("closed", 0) == world.circuits.state(HERE)
    world.fail()
    assert ("open", 5) == world.circuits.state(HERE)
    world.clock.now += 6
    world.circuits.admit(HERE)
    assert ("probing", 0) == world.circuits.state(HERE)


def test_addresses_that_failed_are_bounded():
    """Somebody who names one dead address after the other fills no memory; the oldest is forgotten."""
    world = World(1)
    for number in range(10_001):
        world.fail(1, f"https://h{number}.example")
    assert (10_000, "closed", "open") == (
        len(world.circuits.refused()),
        world.circuits.state("https://h0.example")[0],
        world.circuits.state("https://h1.example")[0],
    )
