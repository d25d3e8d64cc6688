"""The places before one upstream."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from scailookup.errors import Overloaded
from scailookup.transport import Gate

pytestmark = pytest.mark.gen_test


def soon(seconds: float = 60.0) -> float:
    """A deadline of the running loop."""
    return asyncio.get_running_loop().time() + seconds


async def rest() -> None:
    """Let every task go as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


def entering(gate: Gate, order: list, name: object, deadline: float) -> asyncio.Task:
    """A task that enters and says so."""

    async def enter() -> None:
        await gate.enter(deadline)
        order.append(name)

    return asyncio.ensure_future(enter())


async def test_free_places_are_taken_at_once():
    """As many enter as there are places, the next one waits."""
    gate, order = Gate(2), []
    tasks = [entering(gate, order, n, soon()) for n in range(3)]
    await rest()
    assert ([0, 1], False) == (order, tasks[2].done())
    gate.leave(0.0)
    await asyncio.gather(*tasks)


async def test_order():
    """Who came first enters first, one for each place given back."""
    gate, order = Gate(1), []
    tasks = [entering(gate, order, n, soon()) for n in range(5)]
    for _ in range(4):
        await rest()
        gate.leave(0.0)
    await asyncio.gather(*tasks)
    assert [0, 1, 2, 3, 4] == order


async def test_a_place_given_back_goes_to_the_queue():
    """Somebody who comes as a place is handed over cannot take it from the one who waited."""
    gate, order = Gate(1), []
    await gate.enter(soon())
    waiting = entering(gate, order, "waited", soon())
    await rest()
    gate.leave(0.0)
    late = entering(gate, order, "late", soon())
    await rest()
    assert ["waited"] == order
    gate.leave(0.0)
    await asyncio.gather(waiting, late)


async def test_the_wait_ends_at_the_deadline():
    """Who gets no place before the deadline is Overloaded."""
    gate = Gate(1)
    await gate.enter(soon())
    with pytest.raises(Overloaded):
        await gate.enter(soon(0.02))


async def test_who_left_the_queue_gets_no_place():
    """A place given back after somebody's deadline goes to the next one, and is not lost."""
    gate = Gate(1)
    await gate.enter(soon())
    with pytest.raises(Overloaded):
        await gate.enter(soon(0.01))
    gate.leave(0.0)
    await gate.enter(soon())
    assert [True] == [isinstance(await outcome(gate), Overloaded)]


async def outcome(gate: Gate):
    """What comes of entering with hardly any time."""
    try:
        return await gate.enter(soon(0.005))
    except Overloaded as exc:
        return exc


async def test_a_foreseeable_wait_is_refused_at_once():
    """With calls that take 100 s nobody is kept waiting for 10 s: it is refused in the same step."""
    gate = Gate(1)
    await gate.enter(soon())
    for _ in range(50):
        gate.leave(100.0)
        await gate.enter(soon())
    refused = asyncio.ensure_future(gate.enter(soon(10.0)))
    await asyncio.sleep(0)
    assert isinstance(refused.exception(), Overloaded)


async def test_an_unforeseeable_wait_is_waited():
    """With short calls the same deadline is waited for."""
    gate = Gate(1)
    await gate.enter(soon())
    for _ in range(50):
        gate.leave(0.001)
        await gate.enter(soon())
    waiting = asyncio.ensure_future(gate.enter(soon(10.0)))
    await rest()
    assert not waiting.done()
    gate.leave(0.0)
    await waiting


async def test_the_queue_counts_in_what_is_foreseen():
    """The same call is refused behind a queue that it would be kept waiting by."""
    gate, order = Gate(1), []
    await gate.enter(soon())
    for _ in range(100):
        gate.leave(4.0)
        await gate.enter(soon())
    tasks = [entering(gate, order, n, soon(10.0)) for n in range(5)]
    await rest()
    assert [False, False, True, True, True] == [task.done() for task in tasks]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_retry_after_is_about_one_call():
    """Overloaded says to come back after what a call takes."""
    gate = Gate(1)
    await gate.enter(soon())
    for _ in range(100):
        gate.leave(30.0)
        await gate.enter(soon())
    with pytest.raises(Overloaded) as caught:
        await gate.enter(soon(1.0))
    assert "30" == caught.value.headers["Retry-After"]


async def test_cancelled_in_the_queue():
    """Who gives up waiting leaves the queue to the others."""
    gate, order = Gate(1), []
    await gate.enter(soon())
    first, second = (entering(gate, order, n, soon()) for n in (1, 2))
    await rest()
    first.cancel()
    await rest()
    gate.leave(0.0)
    await second
    assert [2] == order


async def test_cancelled_as_the_turn_comes():
    """Who is cancelled in the moment its turn comes gives the place on."""
    gate, order = Gate(1), []
    await gate.enter(soon())
    first, second = (entering(gate, order, n, soon()) for n in (1, 2))
    await rest()
    gate.leave(0.0)
    first.cancel()
    await second
    assert ([2], True) == (order, first.cancelled())


async def test_cancelled_as_the_turn_comes_with_nobody_behind():
    """The place is free again for whoever comes next."""
    gate = Gate(1)
    await gate.enter(soon())
    waiting = asyncio.ensure_future(gate.enter(soon()))
    await rest()
    gate.leave(0.0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert None is await gate.enter(soon())


async def test_what_is_told_of_it():
    """Places taken and callers in line; who has gone away is in none, and a place handed on stays taken."""
    gate, order = Gate(2), []
    tasks = [entering(gate, order, n, soon()) for n in range(5)]
    await rest()
    assert (2, 3) == (gate.busy, gate.waiting)
    tasks[2].cancel()
    await rest()
    assert (2, 2) == (gate.busy, gate.waiting)
    gate.leave(0.0)
    await rest()
    assert (2, 1) == (gate.busy, gate.waiting)
    for _ in range(3):
        gate.leave(0.0)
        await rest()
    assert (0, 0) == (gate.busy, gate.waiting)
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_line_that_does_not_end_is_short():
    """Half a second after it formed, not sooner, who would wait longer than allowed is refused."""
    gate = Gate(1, 0.2)
    await gate.enter(soon())
    gate.leave(1.0)
    await gate.enter(soon())
    formed = asyncio.get_running_loop().time()
    waiting = [asyncio.ensure_future(gate.enter(soon())) for _ in range(3)]

    async def ask_again_and_again() -> None:
        while True:  # who leaves at once makes the line no longer, and it never ends meanwhile
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    await gate.enter(soon())

    with pytest.raises(Overloaded):
        await ask_again_and_again()
    assert asyncio.get_running_loop().time() - formed >= 0.5
    assert 3 == gate.waiting
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_calls_that_hang_are_seen_before_they_end():
    """None has ended, but each has lasted: who would have to wait as long as that is refused."""
    gate = Gate(1)
    await gate.enter(soon())
    first = asyncio.ensure_future(gate.enter(soon()))
    await asyncio.sleep(0.3)
    second = asyncio.ensure_future(gate.enter(soon(0.5)))
    await rest()
    assert isinstance(second.exception(), Overloaded)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
