"""Memory: fresh, stale, remembered failures, shared flights and the bound in bytes; the clock is fake."""

from __future__ import annotations

import asyncio
import gc
import gzip
import random

import msgspec
import pytest
from fakes import FakeClock

from scailookup.answers import SMALLEST_PACKED, Answer, Form, Served
from scailookup.cache import Ages, Fetched, Hold, Load, Memory
from scailookup.errors import Overloaded, ScailookupError, UpstreamApi, UpstreamAuth

FRESH, STALE, STALE_IF_ERROR, FAILURE = 15.0, 60.0, 300.0, 1.0
KEY, OTHER = b"k" * 32, b"o" * 32


def answer(*rows: object) -> Answer:
    """An answer of these rows."""
    return Answer.of(msgspec.json.encode(list(rows)), credential="caller", upstream_seconds=0.25, calls=1)


def failed(status: int | None = 500, code: str = "BROKEN", retry_after: int | None = None) -> UpstreamApi:
    """The failure of one upstream call."""
    return UpstreamApi(
        "scaigrid", "it broke", "mend it", code=code, upstream_status=status, retry_after=retry_after
    )


def refused(status: int = 403) -> UpstreamAuth:
    """An upstream's refusal."""
    return UpstreamAuth("scaigrid", "no", "ask for it", code="FORBIDDEN", upstream_status=status)


class World:
    """A cache, its clock, and an upstream that gives its outcomes in turn; the last one stays.

    While ``gate`` is an event, every load waits for it.
    """

    def __init__(self, *outcomes: object, max_bytes: int | None = None, **ages: float) -> None:
        self.clock = FakeClock()
        self.outcomes = list(outcomes) or [answer(1)]
        self.calls = 0
        self.gate: asyncio.Event | None = None
        times = {"fresh": FRESH, "stale": STALE, "stale_if_error": STALE_IF_ERROR, "failure": FAILURE} | ages
        bound = {} if max_bytes is None else {"max_bytes": max_bytes}
        self.cache = Memory(Ages(**times), clock=self.clock, **bound)

    async def load(self) -> Answer:
        """One upstream call."""
        self.calls += 1
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(outcome, BaseException):
            raise outcome
        assert isinstance(outcome, Answer)
        return outcome

    async def ask(self, key: bytes = KEY, after: float = 0.0) -> Served:
        """The answer, ``after`` seconds later."""
        self.clock.now += after
        return await self.cache.answer(key, self.load)

    async def failure(self, key: bytes = KEY, after: float = 0.0) -> ScailookupError:
        """How asking fails."""
        with pytest.raises(ScailookupError) as caught:
            await self.ask(key, after)
        return caught.value

    def ask_soon(self, number: int, key: bytes = KEY) -> list[asyncio.Task[Served]]:
        """Several callers at once."""
        return [asyncio.ensure_future(self.ask(key)) for _ in range(number)]


async def settled() -> None:
    """Let what runs behind come to its end."""
    for _ in range(10):
        await asyncio.sleep(0)


# Fresh


@pytest.mark.gen_test
async def test_the_first_answer_is_a_miss():
    """What nobody asked for before is asked of the upstream."""
    world = World()
    served = await world.ask()
    assert ("miss", 0.0, FRESH, 1) == (served.outcome, served.age, served.ttl, world.calls)


@pytest.mark.gen_test
async def test_a_fresh_answer_is_a_hit():
    """Within the fresh time the upstream is left alone, and age and ttl are told."""
    world = World(answer("first"), answer("second"))
    await world.ask()
    served = await world.ask(after=14.0)
    assert ("hit", 14.0, 1.0, ["first"], 1) == (
        *(served.outcome, served.age, served.ttl),
        *(served.answer.rows(), world.calls),
    )


@pytest.mark.gen_test
async def test_fresh_ends():
    """An answer exactly as old as the fresh time is no hit any more."""
    world = World()
    await world.ask()
    world.clock.now += FRESH
    assert None is world.cache.peek(KEY)


@pytest.mark.gen_test
async def test_peek_asks_nobody():
    """Peeking where nothing is held is None and starts nothing."""
    world = World()
    found = world.cache.peek(KEY)
    await settled()
    assert (None, 0) == (found, world.calls)


@pytest.mark.gen_test
async def test_fresh_switched_off():
    """With every age 0 each request is asked anew and nothing is kept."""
    world = World(fresh=0.0, stale=0.0, stale_if_error=0.0)
    outcomes = [(await world.ask()).outcome for _ in range(3)]
    assert (["miss"] * 3, 3, 0, 0) == (outcomes, world.calls, len(world.cache), world.cache.bytes)


# Stale while it is renewed


@pytest.mark.gen_test
async def test_stale_is_served_at_once():
    """After fresh the old rows are answered without waiting for the upstream."""
    world = World(answer("old"), answer("new"))
    await world.ask()
    world.gate = asyncio.Event()
    served = await world.ask(after=20.0)
    assert ("stale", ["old"], 20.0, -5.0) == (served.outcome, served.answer.rows(), served.age, served.ttl)
    world.gate.set()
    await settled()


@pytest.mark.gen_test
async def test_a_stale_answer_is_renewed_behind():
    """The renewal's answer is the next hit."""
    world = World(answer("old"), answer("new"))
    await world.ask()
    await world.ask(after=20.0)
    await settled()
    served = await world.ask()
    assert ("hit", ["new"], 2) == (served.outcome, served.answer.rows(), world.calls)


@pytest.mark.gen_test
async def test_only_one_renewal_runs():
    """However many ask for a stale answer, one call renews it."""
    world = World()
    await world.ask()
    world.gate = asyncio.Event()
    world.clock.now += 20.0
    outcomes = []
    for _ in range(50):
        outcomes.append((await world.ask()).outcome)
        await asyncio.sleep(0)
    assert (["stale"] * 50, 2) == (outcomes, world.calls)
    world.gate.set()
    await settled()


@pytest.mark.gen_test
async def test_stale_ends():
    """After fresh and stale together the caller waits for the upstream."""
    world = World(answer("old"), answer("new"))
    await world.ask()
    served = await world.ask(after=FRESH + STALE)
    assert ("miss", ["new"]) == (served.outcome, served.answer.rows())


@pytest.mark.gen_test
async def test_a_call_tells_whether_something_too_old_was_held():
    """Who waits for a call learns whether something too old was held; a hit after it does not."""
    world = World(answer("old"), answer("new"))
    first = await world.ask()
    world.clock.now += FRESH + STALE
    joined = await asyncio.gather(*world.ask_soon(2))
    told = [(one.outcome, one.outdated) for one in (first, *joined, await world.ask())]
    assert [("miss", False), ("miss", True), ("collapsed", True), ("hit", False)] == told


@pytest.mark.gen_test
async def test_stale_switched_off():
    """With stale 0 an answer past fresh is asked anew before anybody is answered."""
    world = World(answer("old"), answer("new"), stale=0.0)
    await world.ask()
    served = await world.ask(after=FRESH + 0.1)
    assert ("miss", ["new"]) == (served.outcome, served.answer.rows())


@pytest.mark.gen_test
async def test_a_failed_renewal_is_not_repeated_at_once():
    """While the failure of a renewal is remembered, stale answers start no other."""
    world = World(answer("old"), failed())
    await world.ask()
    for _ in range(5):
        await world.ask(after=20.0 if world.calls == 1 else 0.1)
        await settled()
    assert 2 == world.calls


@pytest.mark.gen_test
async def test_a_failed_renewal_is_tried_again_later():
    """Once the failure is forgotten, the next stale answer starts another renewal."""
    world = World(answer("old"), failed(), answer("new"))
    await world.ask()
    await world.ask(after=20.0)
    await settled()
    await world.ask(after=FAILURE + 0.1)
    await settled()
    assert ["new"] == (await world.ask()).answer.rows()


@pytest.mark.gen_test
async def test_fresh_0_with_stale_renews_with_every_answer():
    """With fresh 0 and stale on, every answer is stale at once and renewed behind."""
    world = World(answer("old"), answer("new"), fresh=0.0)
    await world.ask()
    first = await world.ask()
    await settled()
    assert (["old"], ["new"]) == (first.answer.rows(), (await world.ask()).answer.rows())


# Stale if it cannot be renewed


@pytest.mark.gen_test
async def test_stale_if_error():
    """Past stale, a failing upstream is answered for by what is held."""
    world = World(answer("old"), failed())
    await world.ask()
    served = await world.ask(after=FRESH + STALE + 1)
    assert ("stale-if-error", ["old"], 76.0) == (served.outcome, served.answer.rows(), served.age)


@pytest.mark.gen_test
async def test_stale_if_error_while_the_failure_is_remembered():
    """A remembered failure is answered for in the same way, without a call."""
    world = World(answer("old"), failed())
    await world.ask()
    outcomes = [(await world.ask(after=wait)).outcome for wait in (100.0, 0.2, 0.2)]
    assert (["stale-if-error"] * 3, 2) == (outcomes, world.calls)


@pytest.mark.gen_test
async def test_stale_if_error_when_overloaded():
    """No free place in time counts as a failing upstream too."""
    world = World(answer("old"), Overloaded("full"))
    await world.ask()
    assert "stale-if-error" == (await world.ask(after=100.0)).outcome


@pytest.mark.gen_test
async def test_stale_if_error_counts_from_the_end_of_fresh():
    """The window is as long as it says after fresh, and not less by the fresh time."""
    world = World(answer("old"), failed())
    await world.ask()
    assert "stale-if-error" == (await world.ask(after=FRESH + STALE_IF_ERROR - 0.1)).outcome


@pytest.mark.gen_test
async def test_stale_if_error_ends():
    """An answer as old as fresh and stale-if-error together stands in for nothing."""
    world = World(answer("old"), failed())
    await world.ask()
    assert "scaigrid_api" == (await world.failure(after=FRESH + STALE_IF_ERROR)).error


@pytest.mark.gen_test
async def test_stale_if_error_switched_off():
    """With stale-if-error 0 a failure past stale is the answer."""
    world = World(answer("old"), failed(), stale_if_error=0.0)
    await world.ask()
    assert "scaigrid_api" == (await world.failure(after=FRESH + STALE + 1)).error


@pytest.mark.gen_test
async def test_stale_without_stale_if_error():
    """Stale alone still answers at once while a renewal fails behind."""
    world = World(answer("old"), failed(), stale_if_error=0.0)
    await world.ask()
    assert "stale" == (await world.ask(after=20.0)).outcome
    await settled()


@pytest.mark.gen_test
async def test_a_fault_of_ours_is_not_papered_over():
    """An exception that is no failure of an upstream reaches the caller."""
    world = World(answer("old"), RuntimeError("a normalizer broke"))
    await world.ask()
    with pytest.raises(RuntimeError, match="a normalizer broke"):
        await world.ask(after=100.0)


# Refusals


@pytest.mark.gen_test
@pytest.mark.parametrize("status", [401, 403])
async def test_a_refusal_is_never_stale(status):
    """A 401 or 403 reaches the caller though an answer is held."""
    world = World(answer("old"), refused(status))
    await world.ask()
    assert ("scaigrid_auth", status) == (
        (error := await world.failure(after=100.0)).error,
        error.upstream_status,
    )


@pytest.mark.gen_test
@pytest.mark.parametrize("status", [401, 403])
async def test_a_refusal_removes_what_is_held(status):
    """After a refusal a failing upstream has nothing to be answered for with."""
    world = World(answer("old"), refused(status), failed())
    await world.ask()
    await world.failure(after=100.0)
    assert ("scaigrid_api", 0, 0) == (
        (await world.failure(after=FAILURE + 0.1)).error,
        *(len(world.cache), world.cache.bytes),
    )


@pytest.mark.gen_test
async def test_a_refusal_of_a_renewal_removes_what_is_held():
    """A refusal that a renewal behind got ends stale answers too."""
    world = World(answer("old"), refused())
    await world.ask()
    await world.ask(after=20.0)
    await settled()
    assert ("scaigrid_auth", 0) == ((await world.failure()).error, len(world.cache))


@pytest.mark.gen_test
async def test_a_401_that_a_renewal_met_is_asked_about_once_more():
    """Nobody waited for it who could read the refused key afresh: the next caller is not told from memory."""
    world = World(answer("old"), refused(401), answer("new"))
    await world.ask()
    await world.ask(after=20.0)
    await settled()
    assert "miss" == (await world.ask()).outcome


@pytest.mark.gen_test
async def test_a_refusal_leaves_other_keys_alone():
    """One caller's refusal costs no other caller the answer."""
    world = World(answer("a"), answer("b"), refused())
    await world.ask(KEY)
    await world.ask(OTHER)
    await world.failure(KEY, after=100.0)
    assert 1 == len(world.cache)


@pytest.mark.gen_test
async def test_an_answer_after_a_refusal_is_kept_again():
    """A caller who may again is answered as before."""
    world = World(answer("old"), refused(), answer("new"))
    await world.ask()
    await world.failure(after=100.0)
    await world.ask(after=FAILURE + 0.1)
    assert ("hit", ["new"]) == ((served := await world.ask()).outcome, served.answer.rows())


# Remembered failures


@pytest.mark.gen_test
async def test_a_failure_is_remembered():
    """Within the failure memory nobody asks again."""
    world = World(failed())
    failures = [await world.failure(after=wait) for wait in (0.0, 0.3, 0.3, 0.3)]
    assert (["scaigrid_api"] * 4, 1) == ([error.error for error in failures], world.calls)


@pytest.mark.gen_test
async def test_a_failure_is_forgotten():
    """After the failure memory the upstream is asked again."""
    world = World(failed(), answer("well"))
    await world.failure()
    assert ["well"] == (await world.ask(after=FAILURE)).answer.rows()


@pytest.mark.gen_test
async def test_failure_memory_switched_off():
    """With 0 every request asks."""
    world = World(failed(), failure=0.0)
    for _ in range(3):
        await world.failure()
    assert 3 == world.calls


@pytest.mark.gen_test
async def test_a_429_is_not_remembered_with_failure_memory_off():
    """0 switches the memory of a 429 off too."""
    world = World(failed(429, "RATE_LIMITED", 30), failure=0.0)
    for _ in range(2):
        await world.failure()
    assert 2 == world.calls


@pytest.mark.gen_test
async def test_a_remembered_failure_is_marked():
    """Only what is told again bears the mark."""
    world = World(failed())
    assert [False, True, True] == [(await world.failure()).remembered for _ in range(3)]


@pytest.mark.gen_test
async def test_a_429_is_remembered_for_its_retry_after():
    """The upstream's own word on when to come back is kept."""
    world = World(failed(429, "RATE_LIMITED", 30), answer("well"))
    for wait in (0.0, 10.0, 19.9):
        await world.failure(after=wait)
    assert (1, ["well"]) == (world.calls, (await world.ask(after=0.2)).answer.rows())


@pytest.mark.gen_test
async def test_a_429_without_retry_after():
    """A 429 that names no time is remembered as any failure."""
    world = World(failed(429, "RATE_LIMITED"), answer("well"))
    await world.failure()
    assert ["well"] == (await world.ask(after=FAILURE)).answer.rows()


@pytest.mark.gen_test
async def test_retry_after_grows_less():
    """Who asks later is told to wait less, in header and body alike."""
    world = World(failed(429, "RATE_LIMITED", 30))
    failures = [await world.failure(after=wait) for wait in (0.0, 10.0, 19.5)]
    assert [(30, "30"), (20, "20"), (1, "1")] == [
        (error.detail()["retry_after"], error.headers["Retry-After"]) for error in failures
    ]


@pytest.mark.gen_test
@pytest.mark.parametrize(("status", "code"), [(503, "MAINTENANCE"), (None, "circuit_open")])
async def test_a_remembered_retry_after_is_still_the_upstreams(status, code):
    """A failure remembered for a second still says the wait that it was given, less what has passed."""
    world = World(failed(status, code, 30))
    failures = [await world.failure(after=wait) for wait in (0.0, 0.5)]
    assert ([30, 30], 1) == ([error.detail()["retry_after"] for error in failures], world.calls)


@pytest.mark.gen_test
async def test_a_success_forgets_the_failure():
    """After a success nothing of the failure is left."""
    world = World(failed(), answer("well"), fresh=0.0, stale=0.0, stale_if_error=0.0)
    await world.failure()
    await world.ask(after=FAILURE)
    assert "miss" == (await world.ask()).outcome


@pytest.mark.gen_test
async def test_failures_of_ours_are_not_remembered():
    """Being overloaded is over when it is over."""
    world = World(Overloaded("full"), answer("well"))
    await world.failure()
    assert ["well"] == (await world.ask()).answer.rows()


@pytest.mark.gen_test
async def test_a_failure_is_remembered_for_its_key_alone():
    """Another key's caller asks for itself."""
    world = World(failed(), answer("other"))
    await world.failure(KEY)
    assert ["other"] == (await world.ask(OTHER)).answer.rows()


# Flights


@pytest.mark.gen_test
async def test_concurrent_misses_share_one_flight():
    """A hundred callers at once make one call; one of them is the miss."""
    world = World()
    served = await asyncio.gather(*world.ask_soon(100))
    assert (1, ["collapsed"] * 99 + ["miss"]) == (world.calls, sorted(one.outcome for one in served))


@pytest.mark.gen_test
async def test_collapsed_callers_get_the_same_bytes():
    """Whoever shared a flight has the same body and ETag."""
    world = World()
    served = await asyncio.gather(*world.ask_soon(10))
    assert 1 == len({(one.form.body, one.form.etag) for one in served})


@pytest.mark.gen_test
async def test_flights_of_two_keys_are_two():
    """Concurrent callers of two keys make two calls."""
    world = World()
    await asyncio.gather(*world.ask_soon(10, KEY), *world.ask_soon(10, OTHER))
    assert 2 == world.calls


@pytest.mark.gen_test
async def test_the_first_caller_leaving_does_not_end_the_flight():
    """Who started the call may go; who joined it is answered."""
    world = World()
    world.gate = asyncio.Event()
    first, second = world.ask_soon(2)
    await settled()
    first.cancel()
    await settled()
    world.gate.set()
    assert ([1], True, 1) == ((await second).answer.rows(), first.cancelled(), world.calls)


@pytest.mark.gen_test
async def test_nobody_waiting_does_not_end_the_flight():
    """With every caller gone the answer is still fetched and kept."""
    world = World()
    world.gate = asyncio.Event()
    callers = world.ask_soon(3)
    await settled()
    for caller in callers:
        caller.cancel()
    await settled()
    world.gate.set()
    await settled()
    assert ("hit", 1) == ((await world.ask()).outcome, world.calls)


@pytest.mark.gen_test
async def test_a_failure_that_nobody_waits_for_is_quiet():
    """A flight that fails with every caller gone leaves no unseen exception behind."""
    complaints: list[dict] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    world = World(failed())
    world.gate = asyncio.Event()
    (caller,) = world.ask_soon(1)
    await settled()
    caller.cancel()
    await settled()
    world.gate.set()
    await settled()
    del caller
    gc.collect()
    assert [] == complaints


@pytest.mark.gen_test
async def test_each_caller_gets_its_own_exception():
    """An exception is annotated on its way out: no two callers share one."""
    world = World(failed())
    caught = await asyncio.gather(*world.ask_soon(5), return_exceptions=True)
    caught += [await world.failure() for _ in range(2)]
    assert (7, {"scaigrid_api"}) == (len({id(error) for error in caught}), {error.error for error in caught})


@pytest.mark.gen_test
async def test_annotating_one_exception_leaves_the_others_alone():
    """The credential step that one caller's failure is given is not seen by the next."""
    world = World(failed())
    first = await world.failure()
    first.credential = "tenant"
    assert None is (await world.failure()).credential


@pytest.mark.gen_test
async def test_a_failed_flight_is_over():
    """After a failure the next caller starts a new flight."""
    world = World(failed(), answer("well"), failure=0.0)
    await world.failure()
    assert "miss" == (await world.ask()).outcome


# Room


def padded(number: int, size: int = 30_000) -> Answer:
    """An answer of about ``size`` bytes."""
    return answer(number, "x" * size)


@pytest.mark.gen_test
async def test_the_cache_is_bounded_by_bytes():
    """However much is kept, its weight stays below the bound."""
    world = World(*(padded(number) for number in range(20)), max_bytes=100_000)
    weights = []
    for number in range(20):
        await world.ask(b"%d" % number)
        weights.append(world.cache.bytes)
    assert (True, 2) == (max(weights) <= 100_000, len(world.cache))


@pytest.mark.gen_test
async def test_the_least_recently_used_leaves_first():
    """A hit keeps an entry; what nobody asked for makes room."""
    world = World(*(padded(number) for number in range(3)), max_bytes=100_000)
    await world.ask(b"a")
    await world.ask(b"b")
    await world.ask(b"a")
    await world.ask(b"c")
    assert [True, False, True] == [world.cache.peek(key) is not None for key in (b"a", b"b", b"c")]


@pytest.mark.gen_test
async def test_a_stale_answer_counts_as_use():
    """What is answered stale does not leave before what nobody asks for."""
    world = World(padded(0), padded(1), failed(), padded(2), max_bytes=100_000)
    await world.ask(b"a")
    await world.ask(b"b")
    await world.ask(b"a", after=20.0)
    await settled()
    await world.ask(b"c")
    assert 2 == len(world.cache)
    assert "stale" == (await world.ask(b"a")).outcome


@pytest.mark.gen_test
async def test_weight_returns_to_nothing():
    """Whatever was kept, renewed, marked stale and refused leaves no weight behind."""
    world = World(padded(0), padded(1, 50), refused())
    await world.ask()
    await world.ask(after=20.0)
    await settled()
    await world.ask(after=20.0)
    await settled()
    assert (3, 0, 0) == (world.calls, len(world.cache), world.cache.bytes)


@pytest.mark.gen_test
async def test_a_renewed_answer_is_weighed_once():
    """An answer that takes another's place takes its weight too."""
    world = World(padded(0), padded(1))
    await world.ask()
    before = world.cache.bytes
    await world.ask(after=100.0)
    assert (before, 1) == (world.cache.bytes, len(world.cache))


@pytest.mark.gen_test
async def test_too_large_an_answer_is_not_kept():
    """An answer that alone passes the bound is served, and nothing else leaves for it."""
    world = World(padded(0, 1000), padded(1, 200_000), max_bytes=100_000)
    await world.ask(OTHER)
    served = await world.ask(KEY)
    assert ("miss", None, True) == (
        *(served.outcome, world.cache.peek(KEY)),
        world.cache.peek(OTHER) is not None,
    )


@pytest.mark.gen_test
async def test_too_large_a_renewal_does_not_leave_the_old_one():
    """When the new answer is too large to keep, the old one is not served again."""
    world = World(padded(0, 1000), padded(1, 200_000), max_bytes=100_000)
    await world.ask()
    await world.ask(after=100.0)
    assert (0, 0) == (len(world.cache), world.cache.bytes)


@pytest.mark.gen_test
async def test_the_compressed_form_is_paid_for():
    """An entry weighs its body and what the compressed form may take besides."""
    world = World(padded(0))
    served = await world.ask()
    packed = served.form.packed()
    assert packed is not None
    assert len(served.form.body) + len(packed[0]) <= world.cache.bytes


@pytest.mark.gen_test
async def test_two_keys_never_share():
    """What is held under one key is not answered under another."""
    world = World(answer("mine"), answer("yours"))
    rows = [(await world.ask(key)).answer.rows() for key in (KEY, OTHER, KEY, OTHER)]
    assert [["mine"], ["yours"], ["mine"], ["yours"]] == rows


# Forms


@pytest.mark.gen_test
async def test_a_stale_body_says_so():
    """meta.stale stands in the body of a stale answer, and in no fresh one."""
    world = World()
    fresh = await world.ask()
    stale = await world.ask(after=20.0)
    await settled()
    assert ({"data": [1]}, {"data": [1], "meta": {"stale": True}}) == (
        msgspec.json.decode(fresh.form.body),
        msgspec.json.decode(stale.form.body),
    )


@pytest.mark.gen_test
async def test_a_stale_body_keeps_the_rest_of_meta():
    """What else was to be said of an answer is said of its stale form too."""
    world = World(Answer.of(b"[1]", truncated=True, dropped=2))
    await world.ask()
    stale = await world.ask(after=20.0)
    await settled()
    assert {"truncated": True, "dropped": 2, "stale": True} == msgspec.json.decode(stale.form.body)["meta"]


@pytest.mark.gen_test
async def test_a_stale_body_has_another_etag():
    """Other bytes, another ETag: a client never takes a stale body for the fresh one."""
    world = World()
    fresh = await world.ask()
    stale = await world.ask(after=20.0)
    await settled()
    assert fresh.form.etag != stale.form.etag


@pytest.mark.gen_test
async def test_a_stale_answer_keeps_its_selection_stale():
    """A selection of a stale answer's rows says meta.stale as well."""
    world = World()
    await world.ask()
    stale = await world.ask(after=20.0)
    await settled()
    assert {"stale": True} == msgspec.json.decode(stale.answer.with_rows(b"[]"))["meta"]


@pytest.mark.gen_test
async def test_a_renewed_answer_is_not_marked():
    """What a renewal brought says nothing of being stale."""
    world = World()
    await world.ask()
    await world.ask(after=20.0)
    await settled()
    assert {"data": [1]} == msgspec.json.decode((await world.ask()).form.body)


@pytest.mark.gen_test
async def test_an_answer_already_given_is_not_changed():
    """A fresh answer still being sent keeps its body when the entry turns stale."""
    world = World()
    fresh = await world.ask()
    await world.ask(after=20.0)
    await settled()
    assert (b'{"data":[1]}', b'{"data":[1]}') == (fresh.form.body, fresh.answer.body)


@pytest.mark.gen_test
async def test_hits_share_the_compressed_form():
    """The gzip form is made once for all who want it."""
    world = World(padded(0))
    first = (await world.ask()).form.packed()
    assert first is (await world.ask()).form.packed()


def test_the_compressed_form_is_the_body():
    """What is compressed reads as the body."""
    form = Form(b"x" * 1000)
    packed = form.packed()
    assert packed is not None
    assert (form.body, True) == (gzip.decompress(packed[0]), len(packed[0]) < len(form.body))


def test_the_compressed_form_has_an_etag_of_its_own():
    """Other bytes, another strong ETag."""
    form = Form(b"x" * 1000)
    packed = form.packed()
    assert packed is not None
    assert (True, '"', True) == (packed[1] != form.etag, packed[1][0], packed[1].endswith('-gz"'))


@pytest.mark.parametrize(("size", "packs"), [(SMALLEST_PACKED - 1, False), (SMALLEST_PACKED, True)])
def test_a_small_body_is_not_compressed(size, packs):
    """Below the smallest size there is no compressed form."""
    assert packs == (Form(b"x" * size).packed() is not None)


@pytest.mark.parametrize("times", [1, 2])
def test_what_compresses_badly_stays_plain(times):
    """A compressed form heavier than what was accounted for is not used, now or later."""
    form = Form(random.Random(7).randbytes(5000))
    assert [None] * times == [form.packed() for _ in range(times)]


def test_what_compresses_badly_is_tried_once():
    """That compressing gains too little is remembered: nobody has to wait for it again."""
    form = Form(random.Random(7).randbytes(5000))
    before = form.is_packed
    form.packed()
    assert (False, True) == (before, form.is_packed)


# A cache of all processes behind this one


class Others:
    """A Shared that says what it is told; ``older`` is found on the way, with its age."""

    def __init__(self, outcome: object = None, older: tuple[Answer, float] | None = None) -> None:
        self.outcome, self.older = outcome, older
        self.asked = 0
        self.forgiven: list[bytes] = []

    async def fetch(self, key: bytes, load: Load, hold: Hold) -> Fetched:
        self.asked += 1
        if self.older is not None:
            hold(*self.older)
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome if isinstance(self.outcome, Fetched) else Fetched(await load())

    def forgive(self, key: bytes) -> None:
        self.forgiven.append(key)


def behind(others: Others) -> World:
    """A cache with others behind it."""
    world = World()
    world.cache = Memory(Ages(FRESH, STALE, STALE_IF_ERROR, FAILURE), shared=others, clock=world.clock)
    return world


@pytest.mark.gen_test
async def test_what_others_hold_is_served_with_its_age():
    """An answer of another process is as old as it is, here too, and no call of ours."""
    world = behind(Others(Fetched(answer("theirs"), 10.0, "shared")))
    served = await world.ask()
    assert ("shared", 10.0, 5.0, 0) == (served.outcome, served.age, served.ttl, world.calls)


@pytest.mark.gen_test
async def test_what_others_held_is_a_hit_after_that():
    """It is kept as long as it is fresh, counted from when it was fetched, and nobody is asked for it."""
    others = Others(Fetched(answer("theirs"), 10.0, "shared"))
    world = behind(others)
    await world.ask()
    served = await world.ask(after=4.0)
    world.clock.now += 1.0
    assert ("hit", 14.0, 1, None) == (served.outcome, served.age, others.asked, world.cache.peek(KEY))


@pytest.mark.gen_test
async def test_a_hit_asks_no_others():
    """What is fresh here never waits for anybody."""
    others = Others()
    world = behind(others)
    await world.ask()
    outcomes = [(await world.ask()).outcome for _ in range(3)]
    assert (["hit"] * 3, 1) == (outcomes, others.asked)


@pytest.mark.gen_test
async def test_those_who_join_are_told_where_it_came_from():
    """A flight that found the answer with others is a shared one for each who waited."""
    world = behind(Others(Fetched(answer("theirs"), 1.0, "shared")))
    assert {"shared"} == {(await asked).outcome for asked in world.ask_soon(3)}


@pytest.mark.gen_test
async def test_an_older_answer_of_others_stands_in():
    """A process that holds nothing has what others held when the upstream fails."""
    world = behind(Others(failed(), older=(answer("old"), 100.0)))
    served = await world.ask()
    assert ("stale-if-error", ["old"], 100.0) == (served.outcome, served.answer.rows(), served.age)


@pytest.mark.gen_test
@pytest.mark.parametrize(("older", "told"), [((answer("old"), 100.0), True), (None, False)])
async def test_a_call_tells_whether_others_held_something_too_old(older, told):
    """An older answer of others that a call replaces counts as held, though nothing was held here."""
    served = await behind(Others(older=older)).ask()
    assert ("miss", told) == (served.outcome, served.outdated)


@pytest.mark.gen_test
async def test_an_answer_of_others_that_is_too_old_does_not():
    """Past stale-if-error the failure is told."""
    world = behind(Others(failed(), older=(answer("old"), FRESH + STALE_IF_ERROR)))
    assert isinstance(await world.failure(), UpstreamApi)


@pytest.mark.gen_test
async def test_nothing_stands_in_for_a_refusal_by_others():
    """A refusal takes away what was found on the way, too."""
    world = behind(Others(refused(), older=(answer("old"), 100.0)))
    failure = await world.failure()
    assert (True, 0) == (isinstance(failure, UpstreamAuth), len(world.cache))


@pytest.mark.gen_test
async def test_a_younger_answer_of_ours_is_not_replaced():
    """What others held longer ago does not take the place of what is held here."""
    others = Others()
    world = behind(others)
    await world.ask()
    others.outcome, others.older = failed(), (answer("old"), 200.0)
    served = await world.ask(after=80.0)
    assert ("stale-if-error", [1], 80.0) == (served.outcome, served.answer.rows(), served.age)


@pytest.mark.gen_test
async def test_a_failure_of_others_lasts_from_when_it_happened():
    """It is remembered here for what is left of its time, no longer."""
    exc = failed()
    exc.age = 0.6
    others = Others(exc)
    world = behind(others)
    await world.failure()
    await world.failure(after=0.3)
    before = others.asked
    await world.failure(after=0.2)
    assert (1, 2) == (before, others.asked)


@pytest.mark.gen_test
async def test_what_is_left_of_a_retry_after_is_counted_from_then():
    """A 429 met elsewhere ten seconds ago has ten seconds less to wait."""
    exc = failed(429, retry_after=30)
    exc.age = 10.0
    world = behind(Others(exc))
    await world.failure()
    assert 15 == (await world.failure(after=5.0)).extra["retry_after"]


def test_others_forgive_as_well():
    """The one more try is not spoiled by what others remember."""
    others = Others()
    behind(others).cache.forgive(KEY)
    assert [KEY] == others.forgiven


@pytest.mark.gen_test
async def test_what_others_were_refused_is_dropped():
    """News of a refusal take the answer out of memory and out of the account."""
    world = World()
    await world.ask()
    world.cache.drop(KEY)
    assert (None, 0, 0) == (world.cache.peek(KEY), len(world.cache), world.cache.bytes)


@pytest.mark.gen_test
async def test_all_can_be_forgotten():
    """After it every key is asked anew, failed ones too, and no bytes are counted."""
    world = World(answer(1), failed(), answer(2))
    await world.ask()
    await world.failure(OTHER)
    world.cache.clear()
    assert (0, 0) == (len(world.cache), world.cache.bytes)
    assert ["miss", "miss"] == [(await world.ask(key)).outcome for key in (KEY, OTHER)]
