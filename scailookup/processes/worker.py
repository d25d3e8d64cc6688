"""One worker: a fresh interpreter that serves, and does what its supervisor says.

Signals of the terminal and of the service manager reach the whole group; the supervisor
alone obeys SIGINT and SIGHUP. A worker whose supervisor is gone ends by itself.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from typing import Any

import structlog

from scailookup import log
from scailookup.errors import ScailookupError, SettingsError
from scailookup.lifetime import first_of
from scailookup.processes.channel import Alive, Channel, Done, Order, State, Up
from scailookup.processes.serving import Serving, spare_collector
from scailookup.settings import Settings

__all__ = ["command", "main"]

BAD_SETTINGS = 2
_BEAT = 1.0
# Seconds that readiness may hold up the figures: less than the supervisor waits for them.
_MOMENT = 0.5
_log = structlog.get_logger("scailookup")


def command(number: int, channel: int, public: list[int]) -> list[str]:
    """The command line of worker ``number`` with these descriptors."""
    # -P: modules come from where scailookup is installed, never from the working directory.
    numbers = [str(value) for value in (number, channel, *public)]
    return [sys.executable, "-P", "-m", "scailookup.processes", *numbers]


class _Worker:
    def __init__(self, number: int, channel: Channel, public: list[socket.socket]) -> None:
        self._number = number
        self._channel = channel
        self._public = public
        self._leave = asyncio.Event()
        self._prepared: Settings | None = None
        self.serving: Serving | None = None

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._leave.set)
        beating = asyncio.ensure_future(self._beat())
        try:
            await first_of(self._obey(), self._leave.wait())
            if self.serving is not None:
                await self.serving.drain()
                # Dead men's figures count: the supervisor adds these up.
                self._channel.send(await self._state(0))
                await self._channel.flush()
        finally:
            beating.cancel()
            self._channel.close()

    async def _beat(self) -> None:
        """Tell the supervisor that we do not hang, whatever order we are at."""
        while True:
            self._channel.send(Alive())
            await asyncio.sleep(_BEAT)

    async def _obey(self) -> None:
        """Carry out orders until one says to end, or the supervisor is gone."""
        while isinstance(order := await self._channel.receive(), Order):
            if order.what == "drain":
                return
            self._channel.send(await self._carry_out(order))
        _log.error("supervisor_gone")

    async def _carry_out(self, order: Order) -> Any:
        if order.what == "start":
            assert order.settings is not None
            return await self._start(order.settings)
        assert self.serving is not None
        if order.what == "state":
            return await self._state(order.number)
        if order.what == "prepare":
            assert order.settings is not None
            try:
                await self.serving.prepare(order.settings)
            except (SettingsError, ScailookupError) as exc:
                return Done(order.number, str(exc))
            self._prepared = order.settings
        elif order.what == "abandon":
            await self.serving.abandon()
        elif self._prepared is not None:
            self.serving.commit()
            self._logging(self._prepared)
        return Done(order.number)

    async def _start(self, settings: Settings) -> Up:
        self._logging(settings)
        self.serving = Serving(settings)
        await self.serving.start(self._public, [])
        spare_collector()
        _log.info("worker_started", pid=os.getpid())
        return Up()

    def _logging(self, settings: Settings) -> None:
        log.scrubber.add(*settings.secrets())
        log.configure(settings.log_level, settings.log_format, worker=self._number)

    async def _state(self, number: int) -> State:
        assert self.serving is not None
        service, unready = self.serving.service, None
        try:
            await asyncio.wait_for(service.ready(), _MOMENT)
        except ScailookupError as exc:
            unready = exc.message
        except TimeoutError:
            unready = "it is not known yet whether tokens can be checked: ScaiKey has not answered"
        return State(number, self.serving.metrics.snapshot(), unready, tuple(service.plugins.failures))


async def _main(number: int, channel: int, public: list[int]) -> None:
    sockets = [socket.socket(fileno=descriptor) for descriptor in public]
    await _Worker(number, await Channel.over(socket.socket(fileno=channel)), sockets).run()


def main() -> None:
    """Run the worker that the command line describes."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        asyncio.run(_main(int(sys.argv[1]), int(sys.argv[2]), [int(text) for text in sys.argv[3:]]))
    except SettingsError as exc:
        print(f"scailookup: {exc}", file=sys.stderr)
        sys.exit(BAD_SETTINGS)
