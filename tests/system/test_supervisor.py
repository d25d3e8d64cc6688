"""A supervisor seen from inside, with real workers, at moments that nobody outside can pick."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fakes import settings
from harness import GUARD, fetch

from scailookup.processes.sockets import open_sockets
from scailookup.processes.supervisor import _Supervisor

HEALTH = "/healthz"


@asynccontextmanager
async def supervised(workers: int) -> AsyncIterator[tuple[_Supervisor, int]]:
    """A supervisor whose workers serve, and their port."""
    given = settings(
        SCAIFLOW_AUTH_DISABLED="true",
        SCAIFLOW_API_PORT="0",
        SCAILOOKUP_ADMIN="off",
        SCAILOOKUP_WORKERS=str(workers),
    )
    sockets = open_sockets(given)
    supervisor = _Supervisor(given, lambda: given, sockets)
    try:
        await asyncio.wait_for(supervisor.start(), GUARD)
        yield supervisor, sockets.port
    finally:
        await supervisor.close()


async def counted(supervisor: _Supervisor) -> float:
    """Requests that any worker has answered, by the figures."""
    figures = await supervisor._admin.gather()
    return sum(sum(values) for values in figures["scailookup_requests"].values())


async def until_ended(supervisor: _Supervisor) -> None:
    """Wait until the end of a worker was noted."""
    while not supervisor._admin._ends:
        await asyncio.sleep(0.01)


def test_a_worker_that_ended_is_counted_once() -> None:
    """Between its end and its successor the counters are what they were, and it is no process that serves."""

    async def scene() -> None:
        async with supervised(1) as (supervisor, port):
            await asyncio.to_thread(fetch, port, HEALTH)
            before = await counted(supervisor)
            assert before
            async with supervisor._changing:  # as a reload does: no successor yet
                os.kill(supervisor._workers[1].pid, signal.SIGKILL)
                await asyncio.wait_for(until_ended(supervisor), GUARD)
                assert await counted(supervisor) == before
                assert not (await supervisor._admin.gather())["scailookup_workers"][()][0]

    asyncio.run(scene())


def test_no_worker_begins_once_the_end_has_come() -> None:
    """One that ended during a reload waits for it; when the end is faster, nobody takes its place."""

    async def scene() -> None:
        async with supervised(1) as (supervisor, _):
            async with supervisor._changing:
                os.kill(supervisor._workers[1].pid, signal.SIGKILL)
                async with asyncio.timeout(GUARD):
                    while "waiters:" not in repr(supervisor._changing):
                        await asyncio.sleep(0.01)
                await supervisor.drain()
            await asyncio.wait_for(asyncio.gather(*supervisor._keepers), GUARD)
            assert not supervisor._workers

    asyncio.run(scene())
