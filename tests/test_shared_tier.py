"""One call for all processes: leases, holders that die or are slow, clocks that differ; on one fake store."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable

import pytest
from fake_store import FakeStore

from scailookup.cache import Ages, Fetched
from scailookup.errors import Overloaded, UpstreamApi, UpstreamAuth
from scailookup.model import Answer
from scailookup.shared.news import News
from scailookup.shared.records import Records
from scailookup.shared.seal import Seal
from scailookup.shared.tier import Lease, StoreLost, Tier

SECRET = "a-secret-of-thirty-two-characters!"
KEY, OTHER = b"k" * 32, b"o" * 32
AGES = Ages(15.0, 60.0, 300.0, 1.0)
LEASE, PATIENCE = 3.0, 8.0


def answer(name: str) -> Answer:
    """An answer of one row."""
    return Answer.of(f'["{name}"]'.encode(), credential="tenant")


def failed(status: int = 500, retry_after: int | None = None) -> UpstreamApi:
    """The failure of a call."""
    return UpstreamApi("scaigrid", "no", "fix", code="X", upstream_status=status, retry_after=retry_after)


def refused() -> UpstreamAuth:
    """A refusal."""
    return UpstreamAuth("scaigrid", "no", "fix", code="FORBIDDEN", upstream_status=403)


class Time:
    """Time that passes when told, and wakes who sleeps in turn."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    def __call__(self) -> float:
        return self.now

    async def pause(self, seconds: float) -> None:
        """Sleep."""
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._numbers), woken))
        await woken

    async def passes(self, seconds: float) -> None:
        """Let so much time go by, everything that is due in it included."""
        end = self.now + seconds
        await settled()
        while self._sleepers and self._sleepers[0][0] <= end:
            self.now, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
                await settled()
        self.now = end
        await settled()


async def settled() -> None:
    """Let everything run that can."""
    for _ in range(30):
        await asyncio.sleep(0)


class Node:
    """One process: its way to the common store, its clock, and what it was given to hold."""

    def __init__(self, world: World, name: str, ahead: float = 0.0, ages: Ages = AGES, largest: int = 10**6):
        self.name, self.world = name, world
        self.store = FakeStore(world.time, world.store.records, world.store.listeners)
        seal = Seal(SECRET)

        def now() -> float:
            return world.time() + ahead

        self.news = News(seal, now)
        self.records = Records(seal, now)
        self.tier = Tier(
            self.store,
            self.records,
            self.news,
            ages,
            Lease(LEASE, PATIENCE),
            largest=largest,
            now=now,
            clock=world.time,
            pause=world.time.pause,
        )
        self.held: list[tuple[Answer, float]] = []
        self.gate: asyncio.Event | None = None
        self.outcome: BaseException | None = None

    async def load(self) -> Answer:
        """This node's upstream call; it waits for the gate where there is one."""
        self.world.calls.append(self.name)
        if self.gate is not None:
            await self.gate.wait()
        if self.outcome is not None:
            raise self.outcome
        return answer(self.name)

    def ask(self, key: bytes = KEY) -> asyncio.Task[Fetched]:
        """Begin to ask."""
        return asyncio.ensure_future(
            self.tier.fetch(key, self.load, lambda value, age: self.held.append((value, age)))
        )

    def closes(self) -> asyncio.Event:
        """Have this node's calls wait for the event."""
        self.gate = asyncio.Event()
        return self.gate


class World:
    """One store, one time, the calls made."""

    def __init__(self) -> None:
        self.time = Time()
        self.store = FakeStore(self.time)
        self.calls: list[str] = []

    def nodes(self, *names: str) -> list[Node]:
        """Processes."""
        return [Node(self, name) for name in names]


async def outcome(asked: Awaitable[Fetched]) -> tuple[bytes, str]:
    """The rows, and what the caller is told of where they come from."""
    fetched = await asked
    return fetched.answer.body, fetched.outcome


BY_A, BY_B = b'{"data":["a"]}', b'{"data":["b"]}'


# One call


@pytest.mark.gen_test
async def test_nobody_has_it():
    """Who asks first makes the call, and leaves the answer for the others and the lease free."""
    world = World()
    (a,) = world.nodes("a")
    found = await outcome(a.ask())
    await settled()
    assert ((BY_A, "miss"), True, None) == (
        *(found, world.store.get("entry", KEY) is not None),
        world.store.get("lease", KEY),
    )


@pytest.mark.gen_test
async def test_another_has_it():
    """A fresh answer of another process is taken with its age."""
    world = World()
    a, b = world.nodes("a", "b")
    await a.ask()
    await world.time.passes(10.0)
    fetched = await b.ask()
    assert (BY_A, 10.0, "shared", ["a"]) == (fetched.answer.body, fetched.age, fetched.outcome, world.calls)


@pytest.mark.gen_test
async def test_many_at_once_are_one_call():
    """Of many processes that ask at once one makes the call; the others wait for it."""
    world = World()
    nodes = world.nodes(*"abcdefgh")
    gate = nodes[0].closes()
    asked = [node.ask() for node in nodes]
    await world.time.passes(2.0)
    gate.set()
    await world.time.passes(1.0)
    assert ({BY_A}, ["miss"] + ["collapsed"] * 7, ["a"]) == (
        {(await one).answer.body for one in asked},
        [(await one).outcome for one in asked],
        world.calls,
    )


@pytest.mark.gen_test
async def test_lists_do_not_wait_for_each_other():
    """A lease is for one list alone."""
    world = World()
    a, b = world.nodes("a", "b")
    a.closes()
    asked = a.ask()
    await settled()
    assert (BY_B, "miss") == await outcome(b.ask(OTHER))
    asked.cancel()
    await settled()


# Holders that are slow, or die


@pytest.mark.gen_test
async def test_a_lease_is_renewed():
    """A call that takes longer than a lease is still the only one."""
    world = World()
    a, b = world.nodes("a", "b")
    gate = a.closes()
    first, second = a.ask(), b.ask()
    await world.time.passes(2.5 * LEASE)
    gate.set()
    await world.time.passes(0.5)
    assert ((BY_A, "collapsed"), ["a"]) == (await outcome(second), world.calls)
    await first


@pytest.mark.gen_test
async def test_a_holder_that_dies_is_replaced():
    """Without a sign of life the lease ends, and who waits makes the call."""
    world = World()
    a, b, c = world.nodes("a", "b", "c")
    a.closes()
    dead = a.ask()
    await settled()
    a.store.lost = True
    asked = [b.ask(), c.ask()]
    await world.time.passes(LEASE - 0.1)
    waiting = [one.done() for one in asked]
    await world.time.passes(1.0)
    assert ([False, False], ["a", "b"], {BY_B}) == (
        *(waiting, world.calls),
        {(await one).answer.body for one in asked},
    )
    dead.cancel()
    await settled()


@pytest.mark.gen_test
@pytest.mark.parametrize("busy", [True, False])
async def test_a_holder_that_lost_its_lease_writes_nothing(busy):
    """An answer that comes after another took over goes to its own callers, not over the newer one.

    Whether the other is still asking or has long landed makes no difference.
    """
    world = World()
    a, b = world.nodes("a", "b")
    slow_gate, gate = a.closes(), b.closes()
    slow = a.ask()
    await settled()
    a.store.lost = True  # it hangs: no renewal
    second = b.ask()
    await world.time.passes(LEASE + 1.0)
    a.store.lost = False
    if not busy:
        gate.set()
        await world.time.passes(0.1)
    slow_gate.set()
    await world.time.passes(0.1)
    own = await outcome(slow)
    gate.set()
    await second
    await settled()
    stored = b.records.open_answer(KEY, world.store.get("entry", KEY))
    assert ((BY_A, "miss"), BY_B) == (own, stored.value.body)


@pytest.mark.gen_test
async def test_a_holder_that_lost_its_lease_leaves_the_new_one():
    """A late failure of the old holder neither ends the new lease nor is told to those who wait."""
    world = World()
    a, b, c = world.nodes("a", "b", "c")
    slow_gate, gate = a.closes(), b.closes()
    a.outcome = failed()
    slow = a.ask()
    await settled()
    a.store.lost = True
    second = b.ask()
    await world.time.passes(LEASE + 1.0)
    a.store.lost = False
    slow_gate.set()
    third = c.ask()
    await world.time.passes(0.5)
    waiting = third.done()
    gate.set()
    await world.time.passes(0.5)
    assert (False, (BY_B, "collapsed"), ["a", "b"]) == (waiting, await outcome(third), world.calls)
    await second
    assert isinstance(slow.exception(), UpstreamApi)


@pytest.mark.gen_test
async def test_patience_ends():
    """Nobody waits for a holder longer than a lookup may take; then the call is made, and kept to oneself."""
    world = World()
    a, b = world.nodes("a", "b")
    a.closes()
    first, second = a.ask(), b.ask()
    await world.time.passes(PATIENCE + 1.0)
    assert ((BY_B, "miss"), None) == (await outcome(second), world.store.get("entry", KEY))
    first.cancel()
    await settled()


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "fault", [Overloaded("full"), RuntimeError("ours"), asyncio.CancelledError()], ids=repr
)
async def test_a_failure_of_the_holder_alone_frees_the_lease(fault):
    """What is no upstream's failure is told to nobody: the next in line has a try of its own."""
    world = World()
    a, b = world.nodes("a", "b")
    gate, a.outcome = a.closes(), fault
    first, second = a.ask(), b.ask()
    await world.time.passes(0.5)
    gate.set()
    await world.time.passes(0.5)
    assert ((BY_B, "miss"), ["a", "b"]) == (await outcome(second), world.calls)
    assert first.cancelled() or first.exception() is fault


@pytest.mark.gen_test
async def test_a_command_repeated_on_a_new_connection_finds_its_own_lease():
    """The lease that a holder has already is not somebody else's."""
    world = World()
    first = await world.store.begin(KEY, b"holder", LEASE, 300.0)
    assert first == await world.store.begin(KEY, b"holder", LEASE, 300.0)


# Failures


@pytest.mark.gen_test
async def test_a_failure_is_told_to_all_who_wait():
    """One call fails for everybody, with the same words."""
    world = World()
    a, b = world.nodes("a", "b")
    gate, a.outcome = a.closes(), failed()
    first, second = a.ask(), b.ask()
    await world.time.passes(0.5)
    gate.set()
    await world.time.passes(0.5)
    assert (["a"], first.exception().detail()) == (world.calls, second.exception().detail())


@pytest.mark.gen_test
@pytest.mark.parametrize(("after", "calls"), [(0.9, ["a"]), (1.1, ["a", "b"])])
async def test_a_failure_is_remembered_by_all(after, calls):
    """For the time of a failure's memory, counted from when it happened, nobody asks again."""
    world = World()
    a, b = world.nodes("a", "b")
    a.outcome = failed()
    with pytest.raises(UpstreamApi):
        await a.ask()
    await world.time.passes(after)
    second = b.ask()
    await world.time.passes(1.0)
    assert (calls, calls == ["a"]) == (world.calls, second.exception() is not None)


@pytest.mark.gen_test
async def test_a_429_is_remembered_as_told():
    """Too many requests: nobody asks before the upstream's own time is over, counted from the answer."""
    world = World()
    a, b = world.nodes("a", "b")
    a.outcome = failed(429, retry_after=30)
    with pytest.raises(UpstreamApi):
        await a.ask()
    await world.time.passes(20.0)
    with pytest.raises(UpstreamApi) as caught:
        await b.ask()
    assert (20.0, 30, ["a"]) == (caught.value.age, caught.value.retry_after, world.calls)


@pytest.mark.gen_test
async def test_who_waits_hears_of_a_failure_that_nobody_remembers():
    """With the failures' memory off, a call that others wait for fails for them, and for nobody later."""
    world = World()
    none = Ages(15.0, 60.0, 300.0, 0.0)
    a, b, late = (Node(world, name, ages=none) for name in ("a", "b", "late"))
    gate, a.outcome = a.closes(), failed()
    first, second = a.ask(), b.ask()
    await world.time.passes(0.5)
    gate.set()
    await world.time.passes(0.5)
    found = await outcome(late.ask())
    assert (True, True, "miss", ["a", "late"]) == (
        *(first.exception() is not None, second.exception() is not None),
        *(found[1], world.calls),
    )


@pytest.mark.gen_test
async def test_a_forgiven_failure_is_asked_again():
    """The one more try that is owed to a key read afresh is made, and what it brings counts."""
    world = World()
    a, b = world.nodes("a", "b")
    a.outcome = refused()
    with pytest.raises(UpstreamAuth):
        await a.ask()
    await world.time.passes(0.1)
    b.tier.forgive(KEY)
    assert (BY_B, "miss") == await outcome(b.ask())


# Refusals


@pytest.mark.gen_test
async def test_a_refusal_removes_the_entry_and_tells_all():
    """A 403 takes the answer out of the store, and everybody hears which."""
    world = World()
    a, b = world.nodes("a", "b")
    heard = []
    world.store.listeners.append(lambda message: heard.append(b.news.read(message)))
    await a.ask()
    await world.time.passes(20.0)
    a.outcome = refused()
    with pytest.raises(UpstreamAuth):
        await a.ask()
    await settled()
    assert (None, [("refused", KEY)]) == (
        world.store.get("entry", KEY),
        [(told.about, told.subject) for told in heard],
    )


@pytest.mark.gen_test
async def test_a_refused_entry_that_is_put_back_is_not_taken():
    """Who replays the record of before the refusal gets nowhere, however young it is."""
    world = World()
    a, b = world.nodes("a", "b")
    await a.ask()
    await settled()
    old = world.store.get("entry", KEY)
    await world.time.passes(1.0)
    b.tier.refused(KEY)
    world.store.put("entry", KEY, old, 300.0)
    assert (BY_B, "miss", []) == (*await outcome(b.ask()), b.held)


@pytest.mark.gen_test
async def test_a_refusal_without_the_store_is_told_later():
    """What could not be told is told as soon as the store is back."""
    world = World()
    a, b = world.nodes("a", "b")
    await b.ask()
    await settled()
    a.store.lost, a.outcome = True, refused()
    with pytest.raises(UpstreamAuth):
        await a.ask()
    await settled()
    before = world.store.get("entry", KEY)
    a.store.lost = False
    await a.tier.recovered()
    assert (True, None) == (before is not None, world.store.get("entry", KEY))


@pytest.mark.gen_test
async def test_a_changed_secret_is_told_now_or_later():
    """News of a secret go out at once, and after an outage where there was one."""
    world = World()
    a, b = world.nodes("a", "b")
    heard = []
    world.store.listeners.append(lambda message: heard.append(b.news.read(message).subject))
    a.tier.tell_secret("one")
    await settled()
    a.store.lost = True
    a.tier.tell_secret("two")
    await settled()
    missing = list(heard)
    with pytest.raises(StoreLost):
        await a.tier.recovered()
    a.store.lost = False
    await a.tier.recovered()
    assert ([b"one"], [b"one", b"two"]) == (missing, heard)


# Without the store


@pytest.mark.gen_test
async def test_a_lost_store_is_nobodys_failure():
    """Each process calls for itself."""
    world = World()
    a, b = world.nodes("a", "b")
    a.store.lost = b.store.lost = True
    assert [(BY_A, "miss"), (BY_B, "miss")] == [await outcome(a.ask()), await outcome(b.ask())]


@pytest.mark.gen_test
async def test_a_store_lost_while_waiting():
    """Who waits for another's call makes its own as soon as the store is gone."""
    world = World()
    a, b = world.nodes("a", "b")
    a.closes()
    first, second = a.ask(), b.ask()
    await settled()
    b.store.lost = True
    await world.time.passes(0.5)
    assert (BY_B, "miss") == await outcome(second)
    first.cancel()
    await settled()


@pytest.mark.gen_test
async def test_a_store_lost_during_the_call():
    """The answer arrives though it cannot be shared."""
    world = World()
    (a,) = world.nodes("a")
    gate = a.closes()
    asked = a.ask()
    await settled()
    a.store.lost = True
    gate.set()
    assert (BY_A, "miss") == await outcome(asked)


@pytest.mark.gen_test
async def test_with_all_ages_off_the_store_is_not_asked():
    """Nothing is kept, so nothing is shared."""
    world = World()
    off = Node(world, "a", ages=Ages(0.0, 0.0, 0.0, 0.0))
    assert ((BY_A, "miss"), 0) == (await outcome(off.ask()), off.store.begun)


@pytest.mark.gen_test
async def test_what_is_too_large_is_not_shared():
    """A list beyond the bound stays with who fetched it, and the lease is free."""
    world = World()
    small = Node(world, "a", largest=10)
    await small.ask()
    await settled()
    assert (None, None) == (world.store.get("entry", KEY), world.store.get("lease", KEY))


# Ages and clocks


@pytest.mark.gen_test
async def test_an_old_entry_is_given_to_hold():
    """What is past fresh is renewed; the old answer is handed over for the case that this fails."""
    world = World()
    a, b = world.nodes("a", "b")
    await a.ask()
    await world.time.passes(20.0)
    found = await outcome(b.ask())
    assert ((BY_B, "miss"), [(answer("a"), 20.0)]) == (found, b.held)


@pytest.mark.gen_test
async def test_a_replayed_entry_is_as_old_as_it_is():
    """A record put back after its time is of no use, whatever life the store gives it."""
    world = World()
    a, b = world.nodes("a", "b")
    await a.ask()
    await settled()
    old = world.store.get("entry", KEY)
    await world.time.passes(400.0)
    world.store.put("entry", KEY, old, 10_000.0)
    assert ((BY_B, "miss"), []) == (await outcome(b.ask()), b.held)


@pytest.mark.gen_test
@pytest.mark.parametrize("kind", ["entry", "failure"])
async def test_a_record_that_does_not_open_is_none(kind):
    """Rubbish in the place of a record costs a call, not a failure, and the good answer takes its place."""
    world = World()
    a, b = world.nodes("a", "b")
    world.store.put(kind, KEY, b"rubbish" * 10, 310.0)
    first = await outcome(a.ask())
    await settled()
    assert ((BY_A, "miss"), (BY_A, "shared")) == (first, await outcome_later(world, b))


async def outcome_later(world: World, node: Node) -> tuple[bytes, str]:
    """What a node finds a moment later."""
    await world.time.passes(0.5)
    return await outcome(node.ask())


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("ahead", "found", "calls"),
    [
        (4.0, (BY_A, "shared"), ["a"]),
        (-4.0, (BY_A, "shared"), ["a"]),
        (20.0, (BY_B, "miss"), ["a", "b"]),
        (-20.0, (BY_B, "miss"), ["a", "b"]),
    ],
)
async def test_clocks_that_differ(ahead, found, calls):
    """Seconds of difference do no harm; beyond that a host fetches for itself and trusts no wrong age."""
    world = World()
    a, b = Node(world, "a"), Node(world, "b", ahead)
    await a.ask()
    await world.time.passes(1.0)
    assert (found, calls) == (await outcome(b.ask()), world.calls)


@pytest.mark.gen_test
@pytest.mark.parametrize("ahead", [-20.0, -4.0, 4.0, 20.0])
async def test_clocks_that_differ_do_not_part_who_waits(ahead):
    """Whoever waits gets an answer, by the other's call or by its own: leases do not go by host clocks."""
    world = World()
    a, b = Node(world, "a"), Node(world, "b", ahead)
    gate = a.closes()
    first, second = a.ask(), b.ask()
    await world.time.passes(2.0)
    alone = list(world.calls)
    gate.set()
    await world.time.passes(2.0)
    assert (["a"], True) == (alone, (await second).answer.body in (BY_A, BY_B))
    await first


@pytest.mark.gen_test
async def test_a_call_that_nothing_keeps_fresh_is_still_shared():
    """With fresh at 0 those who wait take what came while they waited; who comes later asks again.

    That holds on a host whose clock is behind, too.
    """
    world = World()
    ages = Ages(0.0, 60.0, 300.0, 1.0)
    a, b, late = (Node(world, name, ahead, ages) for name, ahead in (("a", 0.0), ("b", 0.0), ("late", -4.0)))
    gate = a.closes()
    first, second = a.ask(), b.ask()
    await world.time.passes(0.5)
    gate.set()
    await world.time.passes(0.5)
    assert [(BY_A, "miss"), (BY_A, "collapsed")] == [await outcome(first), await outcome(second)]
    assert "miss" == (await outcome(late.ask()))[1]


@pytest.mark.gen_test
async def test_closing_finishes_what_is_to_be_written():
    """An answer that just came is in the store when the process has ended."""
    world = World()
    (a,) = world.nodes("a")
    await a.ask()
    await a.tier.close()
    assert world.store.get("entry", KEY) is not None


@pytest.mark.gen_test
async def test_a_call_that_outlives_the_end_writes_nothing_more():
    """What is given up after closing leaves its lease to end by itself."""
    world = World()
    (a,) = world.nodes("a")
    a.closes()
    asked = a.ask()
    await settled()
    await a.tier.close()
    asked.cancel()
    await settled()
    assert world.store.get("lease", KEY) is not None


@pytest.mark.gen_test
async def test_an_old_entry_put_back_under_those_who_wait_is_not_taken():
    """Waiting makes nobody take a record of long ago for what was waited for."""
    world = World()
    a, b = world.nodes("a", "b")
    await a.ask()
    await settled()
    old = world.store.get("entry", KEY)
    await world.time.passes(100.0)
    gate = a.closes()
    world.store.records.pop(("entry", KEY))
    first, second = a.ask(), b.ask()
    await world.time.passes(1.0)
    world.store.put("entry", KEY, old, 300.0)
    await world.time.passes(1.0)
    waiting = second.done()
    gate.set()
    await world.time.passes(1.0)
    assert (False, "collapsed") == (waiting, (await second).outcome)
    await first


@pytest.mark.gen_test
async def test_what_became_of_each_question_is_counted():
    """Called, collapsed, shared, failed and alone, each once; what was not ours is counted as well."""
    world = World()
    a, b = world.nodes("a", "b")
    gate = a.closes()
    first, second = a.ask(), b.ask()
    await world.time.passes(1.0)
    gate.set()
    await world.time.passes(1.0)
    await asyncio.gather(first, second, b.ask())
    world.store.put("entry", OTHER, b"rubbish" * 10, 310.0)
    world.store.put("failure", OTHER, b.records.close_failure(OTHER, failed()), 1.0)
    with pytest.raises(UpstreamApi):
        await b.ask(OTHER)
    b.store.lost = True
    await b.ask(OTHER)
    assert ({"called": 1}, {"collapsed": 1, "shared": 1, "failed": 1, "alone": 1}, 1) == (
        *(a.tier.outcomes, b.tier.outcomes),
        b.tier.rejections,
    )
