"""HeldSecrets: memory, coalescing, outages. The clock and the store are the test's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from structlog.testing import capture_logs

from scailookup.errors import SecretsUnavailable
from scailookup.secrets import HeldSecrets

PATH = "tenants/acme/scaigrid_api_key"
OLD, NEW = {"value": "sgk_old"}, {"value": "sgk_new"}


class Clock:
    """A clock that goes when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Store:
    """A store in memory. While ``gates`` holds events, each read waits for its own."""

    name = "memory"

    def __init__(self) -> None:
        self.data: dict[str, Mapping[str, str]] = {PATH: OLD}
        self.failing = False
        self.reads = 0
        self.gates: list[asyncio.Event] = []

    async def read(self, path: str) -> Mapping[str, str] | None:
        self.reads += 1
        found, failing = self.data.get(path), self.failing
        if self.gates:
            await self.gates.pop(0).wait()
        if failing:
            raise SecretsUnavailable("down", "wake it", retry_after=7)
        return found

    async def write(self, path: str, data: Mapping[str, str]) -> None:
        if self.gates:
            await self.gates.pop(0).wait()
        if self.failing:
            raise SecretsUnavailable("down")
        self.data[path] = data

    async def probe(self) -> None: ...

    async def close(self) -> None: ...


class World:
    """A holder with fresh=60, hold=600, missing=5 over a store, and its clock."""

    def __init__(self, **more: float) -> None:
        self.clock = Clock()
        self.store = Store()
        wanted = {"fresh": 60.0, "hold": 600.0, "missing": 5.0, **more}
        self.held = HeldSecrets(self.store, clock=self.clock, **wanted)  # type: ignore[arg-type]

    def gate(self) -> asyncio.Event:
        """The next store call waits until this is set."""
        event = asyncio.Event()
        self.store.gates.append(event)
        return event


@pytest.fixture
def world() -> World:
    return World()


async def settle() -> None:
    """Let everything that can go on go on."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.gen_test
async def test_a_fresh_value_is_answered_from_memory(world):
    """Within ``fresh`` the store is read once."""
    await world.held.get(PATH)
    world.clock.now += 59
    world.store.data[PATH] = NEW
    assert (OLD, 1) == (await world.held.get(PATH), world.store.reads)


@pytest.mark.gen_test
async def test_a_rotation_is_seen_after_fresh(world):
    """A value older than ``fresh`` is read anew."""
    await world.held.get(PATH)
    world.store.data[PATH] = NEW
    world.clock.now += 60
    assert NEW == await world.held.get(PATH)


@pytest.mark.gen_test
async def test_fresh_zero_always_reads():
    """With fresh=0 nothing is answered from memory."""
    world = World(fresh=0.0)
    await world.held.get(PATH)
    world.store.data[PATH] = NEW
    assert NEW == await world.held.get(PATH)


@pytest.mark.gen_test
async def test_fresh_zero_does_not_remember_a_missing_secret():
    """With fresh=0 a key that was just set is found."""
    world = World(fresh=0.0)
    await world.held.get("other")
    world.store.data["other"] = NEW
    assert NEW == await world.held.get("other")


@pytest.mark.gen_test
async def test_concurrent_needs_share_one_read(world):
    """Many callers of one path make one read."""
    gate = world.gate()
    callers = [asyncio.ensure_future(world.held.get(PATH)) for _ in range(50)]
    await settle()
    gate.set()
    assert ([OLD] * 50, 1) == (await asyncio.gather(*callers), world.store.reads)


@pytest.mark.gen_test
async def test_a_cancelled_first_caller_does_not_kill_the_read(world):
    """The read belongs to the holder: the second caller still gets the value of it."""
    gate = world.gate()
    first, second = (asyncio.ensure_future(world.held.get(PATH)) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    gate.set()
    assert (OLD, 1) == (await second, world.store.reads)


@pytest.mark.gen_test
async def test_a_failing_store_is_not_a_missing_secret(world):
    """With nothing held a failure is raised, with the store's own words."""
    world.store.failing = True
    with pytest.raises(SecretsUnavailable) as caught:
        await world.held.get(PATH)
    told = caught.value.detail()
    assert ("down", "wake it", 7) == (told["message"], told["fix"], told["retry_after"])


@pytest.mark.gen_test
async def test_a_held_value_answers_through_an_outage(world):
    """Up to ``hold`` the last value stands in for the store."""
    await world.held.get(PATH)
    world.store.failing = True
    world.clock.now += 600
    assert OLD == await world.held.get(PATH)


@pytest.mark.gen_test
async def test_a_value_older_than_hold_does_not_answer(world):
    """After ``hold`` the outage is raised."""
    await world.held.get(PATH)
    world.store.failing = True
    world.clock.now += 601
    with pytest.raises(SecretsUnavailable):
        await world.held.get(PATH)


@pytest.mark.gen_test
async def test_an_outage_is_logged_once_and_without_the_value(world):
    """One ``secrets_held`` warning per outage; it names the path only."""
    await world.held.get(PATH)
    world.store.failing = True
    with capture_logs() as events:
        for _ in range(5):
            world.clock.now += 60
            await world.held.get(PATH)
            await settle()
    assert [{"event": "secrets_held", "log_level": "warning", "path": PATH, "age": 60.0}] == events


@pytest.mark.gen_test
async def test_recovery_is_seen_by_a_retry_behind_the_held_value(world):
    """While failing, the held value answers at once and the retry it starts brings the new one."""
    await world.held.get(PATH)
    world.store.failing = True
    world.clock.now += 60
    await world.held.get(PATH)
    world.store.failing, world.store.data[PATH] = False, NEW
    world.clock.now += 1
    await world.held.get(PATH)
    await settle()
    assert NEW == await world.held.get(PATH)


@pytest.mark.gen_test
async def test_a_hanging_store_known_to_fail_does_not_delay_the_held_value():
    """During an outage nobody waits for the retry, however patient."""
    world = World(patience=3600.0)
    await world.held.get(PATH)
    world.store.failing = True
    world.clock.now += 60
    await world.held.get(PATH)
    world.clock.now += 1
    gate = world.gate()
    answer = await world.held.get(PATH)
    gate.set()
    await settle()
    assert (OLD, 3) == (answer, world.store.reads)


@pytest.mark.gen_test
async def test_a_store_that_begins_to_hang_is_answered_for():
    """When patience ends, the held value answers and the read goes on behind."""
    world = World(patience=0.0)
    await world.held.get(PATH)
    world.store.data[PATH] = NEW
    world.clock.now += 60
    gate = world.gate()
    meanwhile = await world.held.get(PATH)
    gate.set()
    await settle()
    assert (OLD, NEW) == (meanwhile, await world.held.get(PATH))


@pytest.mark.gen_test
async def test_a_failing_store_is_not_hammered(world):
    """Within a second of a failed read the failure is repeated from memory."""
    world.store.failing = True
    for _ in range(10):
        with pytest.raises(SecretsUnavailable):
            await world.held.get(PATH)
    assert 1 == world.store.reads


@pytest.mark.gen_test
async def test_a_failed_path_is_tried_again_after_the_pause(world):
    """A second later the store is asked again."""
    world.store.failing = True
    with pytest.raises(SecretsUnavailable):
        await world.held.get(PATH)
    world.store.failing = False
    world.clock.now += 1
    assert OLD == await world.held.get(PATH)


@pytest.mark.gen_test
async def test_each_caller_gets_an_exception_of_its_own(world):
    """Callers annotate what they catch, so no two share one."""
    world.store.failing = True
    caught = await asyncio.gather(*(world.held.get(PATH) for _ in range(3)), return_exceptions=True)
    assert 3 == len({id(exc) for exc in caught})


@pytest.mark.gen_test
async def test_a_missing_secret_is_remembered(world):
    """Within ``missing`` "there is none" comes from memory."""
    await world.held.get("other")
    world.clock.now += 4
    assert (None, 1) == (await world.held.get("other"), world.store.reads)


@pytest.mark.gen_test
async def test_a_missing_secret_is_looked_for_again(world):
    """After ``missing`` a key set meanwhile is found."""
    await world.held.get("other")
    world.store.data["other"] = NEW
    world.clock.now += 5
    assert NEW == await world.held.get("other")


@pytest.mark.gen_test
async def test_a_deleted_secret_is_gone(world):
    """Deletion replaces the held value."""
    await world.held.get(PATH)
    del world.store.data[PATH]
    world.clock.now += 60
    assert None is await world.held.get(PATH)


@pytest.mark.gen_test
async def test_a_deleted_secret_does_not_come_back_in_an_outage(world):
    """After a deletion an outage has nothing to answer with."""
    await world.held.get(PATH)
    del world.store.data[PATH]
    world.clock.now += 60
    await world.held.get(PATH)
    world.store.failing = True
    world.clock.now += 5
    with pytest.raises(SecretsUnavailable):
        await world.held.get(PATH)


@pytest.mark.gen_test
async def test_fresh_forces_a_read(world):
    """``fresh=True`` does not answer from memory."""
    await world.held.get(PATH)
    world.store.data[PATH] = NEW
    assert NEW == await world.held.get(PATH, fresh=True)


@pytest.mark.gen_test
async def test_while_a_forced_read_is_under_way_nobody_is_given_what_is_held(world):
    """Who asks meanwhile waits for it: the value held was refused."""
    await world.held.get(PATH)
    world.store.data[PATH] = NEW
    gate = world.gate()
    forced = asyncio.ensure_future(world.held.get(PATH, fresh=True))
    await settle()
    with pytest.raises(LookupError):
        world.held.held(PATH)
    other = asyncio.ensure_future(world.held.get(PATH))
    await settle()
    assert not other.done()
    gate.set()
    assert [NEW, NEW] == [await forced, await other]
    assert (NEW, 2) == (world.held.held(PATH), world.store.reads)


@pytest.mark.gen_test
async def test_a_forced_read_that_fails_raises(world):
    """``fresh=True`` never answers the held value."""
    await world.held.get(PATH)
    world.store.failing = True
    with pytest.raises(SecretsUnavailable):
        await world.held.get(PATH, fresh=True)


@pytest.mark.gen_test
async def test_forced_reads_coalesce(world):
    """Concurrent forced needs make one read."""
    await world.held.get(PATH)
    await asyncio.gather(*(world.held.get(PATH, fresh=True) for _ in range(20)))
    assert 2 == world.store.reads


@pytest.mark.gen_test
async def test_a_forced_read_does_not_join_an_older_one(world):
    """A forced need sees what was written after an unforced read began."""
    gate = world.gate()
    older = asyncio.ensure_future(world.held.get(PATH))
    await settle()
    world.store.data[PATH] = NEW
    forced = await world.held.get(PATH, fresh=True)
    gate.set()
    await older
    assert NEW == forced


@pytest.mark.gen_test
async def test_an_older_read_does_not_undo_a_newer_one(world):
    """A slow read that ends after a newer one leaves what the newer found."""
    gate = world.gate()
    older = asyncio.ensure_future(world.held.get(PATH))
    await settle()
    world.store.data[PATH] = NEW
    await world.held.get(PATH, fresh=True)
    gate.set()
    await older
    assert NEW == await world.held.get(PATH)


@pytest.mark.gen_test
async def test_put_writes_through(world):
    """What is put lies in the store."""
    await world.held.put(PATH, NEW)
    assert NEW == world.store.data[PATH]


@pytest.mark.gen_test
async def test_put_replaces_what_is_held(world):
    """After a put the new value is answered at once, from memory."""
    await world.held.get(PATH)
    await world.held.put(PATH, NEW)
    assert (NEW, 1) == (await world.held.get(PATH), world.store.reads)


@pytest.mark.gen_test
async def test_a_read_begun_before_a_put_does_not_undo_it(world):
    """A slow read that ends after a put leaves what was put."""
    gate = world.gate()
    older = asyncio.ensure_future(world.held.get(PATH))
    await settle()
    await world.held.put(PATH, NEW)
    gate.set()
    await older
    assert NEW == await world.held.get(PATH)


@pytest.mark.gen_test
async def test_a_cancelled_put_is_finished(world):
    """A caller that goes away leaves no half-known write behind."""
    await world.held.get(PATH)
    gate = world.gate()
    putting = asyncio.ensure_future(world.held.put(PATH, NEW))
    await settle()
    putting.cancel()
    gate.set()
    await settle()
    assert NEW == await world.held.get(PATH)


@pytest.mark.gen_test
async def test_a_failed_put_is_raised(world):
    """A store that fails a write is not hidden."""
    world.store.failing = True
    with pytest.raises(SecretsUnavailable):
        await world.held.put(PATH, NEW)


@pytest.mark.gen_test
async def test_after_a_failed_put_the_store_is_asked(world):
    """A failed write may have landed, so memory does not answer."""
    await world.held.get(PATH)
    world.store.failing = True
    with pytest.raises(SecretsUnavailable):
        await world.held.put(PATH, NEW)
    world.store.failing, world.store.data[PATH] = False, NEW
    assert NEW == await world.held.get(PATH)


@pytest.mark.gen_test
async def test_a_read_begun_before_a_failed_put_is_not_trusted(world):
    """A failed write may have landed after the read: the next need asks the store."""
    gate = world.gate()
    older = asyncio.ensure_future(world.held.get(PATH))
    await settle()
    world.store.failing = True
    with pytest.raises(SecretsUnavailable):
        await world.held.put(PATH, NEW)
    world.store.failing, world.store.data[PATH] = False, NEW
    gate.set()
    await older
    assert NEW == await world.held.get(PATH)


@pytest.mark.gen_test
async def test_values_are_all_strings_held(world):
    """The log scrubber sees every held string, also after a rotation."""
    world.store.data["b"] = {"user": "u1", "password": "p1"}
    await world.held.get(PATH)
    await world.held.get("b")
    await world.held.put(PATH, NEW)
    assert {"sgk_new", "u1", "p1"} == set(world.held.values())


@pytest.mark.gen_test
async def test_the_least_recently_used_leaves():
    """More paths than ``size`` push out the one not used for longest."""
    world = World(size=2)
    for path in ("a", "b"):
        world.store.data[path] = {"value": path}
        await world.held.get(path)
    await world.held.get("a")
    await world.held.get(PATH)
    assert {"a", "sgk_old"} == set(world.held.values())


@pytest.mark.gen_test
async def test_no_store_has_no_secrets():
    """Without a store every secret is missing."""
    assert None is await HeldSecrets(None, fresh=60, hold=600).get(PATH, fresh=True)


@pytest.mark.gen_test
async def test_no_store_takes_no_secrets():
    """Without a store a write says whose task it is to have one."""
    with pytest.raises(SecretsUnavailable) as caught:
        await HeldSecrets(None, fresh=60, hold=600).put(PATH, NEW)
    assert "The operator must configure one" in caught.value.fix


@pytest.mark.gen_test
async def test_close_ends_the_reads_under_way(world):
    """Nothing of the holder runs after close."""
    world.gate()
    caller = asyncio.ensure_future(world.held.get(PATH))
    await settle()
    await world.held.close()
    await asyncio.gather(caller, return_exceptions=True)
    assert {asyncio.current_task()} == asyncio.all_tasks()


# Other processes


def told(world: World) -> list[str]:
    """What the holder says was changed here."""
    paths: list[str] = []
    world.held.changed = paths.append
    return paths


@pytest.mark.gen_test
@pytest.mark.parametrize("path", [PATH, None])
async def test_what_others_changed_is_read_anew(world, path):
    """A secret in doubt, or every one, is asked of the store before it is answered again."""
    await world.held.get(PATH)
    world.store.data[PATH] = NEW
    world.held.doubt(path)
    assert NEW == await world.held.get(PATH)


@pytest.mark.gen_test
async def test_what_is_in_doubt_is_not_at_hand(world):
    """A hit may not use it either."""
    await world.held.get(PATH)
    world.held.doubt(PATH)
    with pytest.raises(LookupError):
        world.held.held(PATH)


@pytest.mark.gen_test
async def test_a_read_begun_before_the_doubt_does_not_end_it(world):
    """What was on its way when the news came may be what was there before."""
    gate = world.gate()
    asked = asyncio.ensure_future(world.held.get(PATH))
    await settle()
    world.held.doubt(PATH)
    world.store.data[PATH] = NEW
    gate.set()
    await asked
    assert NEW == await world.held.get(PATH)


@pytest.mark.gen_test
async def test_what_is_in_doubt_stands_in_for_a_failing_store(world):
    """News is no reason to fail when the store is down."""
    await world.held.get(PATH)
    world.held.doubt(PATH)
    world.store.failing = True
    assert OLD == await world.held.get(PATH)


@pytest.mark.gen_test
async def test_doubting_what_is_not_held_is_nothing(world):
    """News of a secret that nobody asked for here is passed over."""
    world.held.doubt("other")
    assert OLD == await world.held.get(PATH)


@pytest.mark.gen_test
async def test_a_write_is_told(world):
    """Others must hear of a key that was set here."""
    paths = told(world)
    await world.held.put(PATH, NEW)
    assert [PATH] == paths


@pytest.mark.gen_test
async def test_a_write_that_failed_is_told(world):
    """It may have landed all the same."""
    paths, world.store.failing = told(world), True
    with pytest.raises(SecretsUnavailable):
        await world.held.put(PATH, NEW)
    assert [PATH] == paths


@pytest.mark.gen_test
async def test_a_change_that_a_refusal_brought_to_light_is_told_once(world):
    """A key read afresh after a 401 that differs from the one held is news, once for all who asked."""
    paths = told(world)
    await world.held.get(PATH)
    world.store.data[PATH] = NEW
    await asyncio.gather(*(world.held.get(PATH, fresh=True) for _ in range(5)))
    assert [PATH] == paths


@pytest.mark.gen_test
@pytest.mark.parametrize("fresh", [True, False])
async def test_an_ordinary_read_is_no_news(world, fresh):
    """Reading what did not change, or reading on time what did, tells nobody: each process does so itself."""
    paths = told(world)
    await world.held.get(PATH)
    if not fresh:
        world.store.data[PATH] = NEW
        world.clock.now += 61
    await world.held.get(PATH, fresh=fresh)
    assert [] == paths
