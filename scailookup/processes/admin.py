"""The admin listener of several workers: one answer for all of them, gathered when it is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from scailookup.errors import IdentityUnavailable, Overloaded
from scailookup.figures import LOG_FIGURES
from scailookup.metrics import Metrics, Snapshot, counters, merge
from scailookup.model import Failure
from scailookup.processes.channel import State
from scailookup.processes.crew import Worker
from scailookup.web.guard import OpenOnly
from scailookup.web.listener import Listener, listener
from scailookup.web.site import admin_site
from scailookup.web.state import Web

__all__ = ["Admin"]

# A worker that does not answer so long is spoken for by what it said last.
PATIENCE = 2.0


class Admin:
    """Health and figures of all workers. Figures of one that has ended stay, so that no counter goes back."""

    def __init__(self, workers: Callable[[], Iterable[Worker]]) -> None:
        self._workers = workers
        self._ended: Snapshot = {}
        self._ends = 0
        self.metrics = Metrics()
        self.web = Web(OpenOnly(), self.metrics)
        self.metrics.watch(
            {
                **LOG_FIGURES,
                "scailookup_workers": lambda: {(): sum(1 for worker in workers() if worker.up.is_set())},
                "scailookup_worker_ends": lambda: {(): self._ends},
            }
        )

    def listener(self) -> Listener:
        """A server for it."""
        return listener(admin_site(self.web, self, self.ready, self.gather))

    def ended(self, worker: Worker, *, told: bool) -> None:
        """Keep the figures of a worker that is no more; ``told``: it was to end."""
        self._ends += not told
        if worker.state is not None:
            self._ended = merge([self._ended, counters(worker.state.figures)])

    @property
    def failures(self) -> list[Failure]:
        """Plugins that failed in any worker, as last said."""
        return sorted({f for worker in self._workers() if worker.state for f in worker.state.failed})

    async def gather(self) -> Snapshot:
        """The figures of every worker there is or was."""
        states = await self._ask()
        return merge([self._ended, self.metrics.snapshot(), *(state.figures for state in states)])

    async def ready(self) -> None:
        """Return when one worker can serve; raises Overloaded or IdentityUnavailable."""
        if self.web.leaving:
            raise Overloaded("this process is ending and takes no more requests")
        states = await self._ask()
        if not states:
            raise Overloaded("no worker serves yet")
        reasons = [state.unready for state in states]
        if all(reasons):
            raise IdentityUnavailable(str(reasons[0]))

    async def _ask(self) -> list[State]:
        workers = [worker for worker in self._workers() if worker.up.is_set()]
        asking = [asyncio.ensure_future(worker.ask("state")) for worker in workers]
        if asking:
            _, late = await asyncio.wait(asking, timeout=PATIENCE)
            for task in late:
                task.cancel()
        # Those that ended meanwhile are counted among the ended already.
        return [worker.state for worker in self._workers() if worker.up.is_set() and worker.state is not None]
