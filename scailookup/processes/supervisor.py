"""Several workers under one supervisor, which holds the sockets, obeys the signals and serves no lookup.

A worker that ends comes back; its sockets stay open here meanwhile, so that connections
wait instead of being refused. Workers that keep ending stop the service with status 3.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from scailookup.errors import SettingsError
from scailookup.lifetime import first_of, signals
from scailookup.processes.admin import Admin
from scailookup.processes.alone import Load, announce, obey, reread
from scailookup.processes.channel import Done
from scailookup.processes.crew import Worker
from scailookup.processes.notify import Notifier
from scailookup.processes.serving import GRACE
from scailookup.processes.sockets import Sockets, open_sockets
from scailookup.processes.worker import BAD_SETTINGS
from scailookup.settings import Settings

__all__ = ["CRASH_LOOP", "supervise"]

CRASH_LOOP = 3
# So many ends of one worker within so many seconds are a crash loop.
ENDS = 5
WITHIN = 60.0
_PAUSE = 0.1
# Seconds until a worker that the machine had no room for is tried again.
_LATER = 1.0
_log = structlog.get_logger("scailookup")


class _Stop(Exception):
    """The service must end, with this status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


async def supervise(settings: Settings, load: Load) -> int:
    """Serve with ``settings.workers`` processes until a signal says to end; the exit status.

    Raises SettingsError, or OSError when a port is taken.
    """
    notifier = Notifier()
    async with signals() as told:
        supervisor = _Supervisor(settings, load, open_sockets(settings))
        try:
            await supervisor.start()
            await supervisor.watch(lambda: obey(told, notifier, supervisor.reload, supervisor.drain))
        except _Stop as stop:
            if stop.status == CRASH_LOOP:  # the others are sound and have requests in hand
                notifier.stopping()
                await first_of(supervisor.drain(), told.hurry.wait())
            return stop.status
        finally:
            await supervisor.close()
    return 0


class _Supervisor:
    def __init__(self, settings: Settings, load: Load, sockets: Sockets) -> None:
        self._settings = settings
        self._load = load
        self._sockets = sockets
        self._workers: dict[int, Worker] = {}
        self._leaving = False
        self._admin = Admin(self._workers.values)
        self._server = self._admin.listener()
        self._changing = asyncio.Lock()
        self._keepers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Return when every worker serves; raises _Stop when one cannot."""
        if self._sockets.admin:
            self._server.add_sockets(self._sockets.admin)
        started = [asyncio.Event() for _ in self._sockets.public]
        self._keepers = [
            asyncio.ensure_future(self._keep(number, event)) for number, event in enumerate(started, 1)
        ]

        async def all_up() -> None:
            for event in started:
                await event.wait()
            announce(self._settings, self._sockets)

        await self.watch(all_up)

    async def watch(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do ``work``; raises _Stop as soon as a worker cannot be kept."""

        async def keepers() -> None:
            done, _ = await asyncio.wait(self._keepers, return_when=asyncio.FIRST_EXCEPTION)
            for keeper in done:
                keeper.result()
            await asyncio.Event().wait()  # they end well when told to, and then ``work`` ends

        await first_of(work(), keepers())

    async def _keep(self, number: int, started: asyncio.Event) -> None:
        """Have worker ``number`` run, again and again."""
        loop = asyncio.get_running_loop()
        ends: deque[float] = deque(maxlen=ENDS)
        while not self._leaving:
            worker = await self._begin(number, first=not started.is_set())
            if worker is None:
                await asyncio.sleep(_LATER)
                continue
            up = asyncio.ensure_future(worker.up.wait())
            up.add_done_callback(lambda done: None if done.cancelled() else started.set())
            status = await worker.ended()
            up.cancel()
            del self._workers[number]  # its figures count once: from here on among those of the ended
            self._admin.ended(worker, told=self._leaving)
            if self._leaving:
                return
            _log.error("worker_ended", worker=number, pid=worker.pid, status=status)
            if status == BAD_SETTINGS and not started.is_set():
                raise _Stop(BAD_SETTINGS)  # it has said why
            ends.append(loop.time())
            if len(ends) == ENDS and ends[-1] - ends[0] < WITHIN:
                _log.error("crash_loop", worker=number, ends=ENDS, seconds=round(ends[-1] - ends[0], 1))
                raise _Stop(CRASH_LOOP)
            await asyncio.sleep(_PAUSE * len(ends))

    async def _begin(self, number: int, *, first: bool) -> Worker | None:
        """Start worker ``number``; None at the end, or when there is no room: OSError for the ``first``."""
        async with self._changing:  # it begins with settings that all have, or all get
            if self._leaving:
                return None
            try:
                worker = await Worker.begin(number, self._settings, self._sockets.public[number - 1])
            except OSError as exc:
                if first:
                    raise
                _log.error("worker_not_started", worker=number, reason=str(exc))
                return None
            self._workers[number] = worker
            return worker

    async def reload(self) -> None:
        """Read the settings again and have every worker take them, or none."""
        async with self._changing:
            self._settings = await reread(self._settings, self._load, self._sockets, self._change)

    async def _change(self, new: Settings) -> None:
        workers = list(self._workers.values())
        answers = await asyncio.gather(*(worker.ask("prepare", new) for worker in workers))
        refusals = [answer.refusal for answer in answers if isinstance(answer, Done) and answer.refusal]
        what = "abandon" if refusals else "commit"
        await asyncio.gather(*(worker.ask(what) for worker in workers))
        if refusals:
            raise SettingsError(refusals[0])

    async def drain(self) -> None:
        """Have every worker end calmly, and wait for them, a little longer than they may take."""
        self._leaving = self._admin.web.leaving = True
        for sockets in self._sockets.public:
            for sock in sockets:
                sock.close()
        for worker in self._workers.values():
            worker.drain()
        ending = [asyncio.ensure_future(worker.ended()) for worker in self._workers.values()]
        if ending:
            await asyncio.wait(ending, timeout=self._settings.deadline + 2 * GRACE)
        _log.info("stopped")

    async def close(self) -> None:
        """Leave no process and no socket behind."""
        self._leaving = True
        for worker in self._workers.values():
            worker.kill()
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        await asyncio.gather(*(worker.ended() for worker in self._workers.values()))
        self._server.stop()
        await self._server.close_all_connections()
        self._sockets.close()
