"""One worker as its supervisor sees it: begun, asked, told to end, its last figures kept."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
from typing import Any

import structlog

from scailookup.processes.channel import Alive, Channel, Done, Order, State, Up
from scailookup.processes.worker import command
from scailookup.settings import Settings

__all__ = ["Worker"]

# Seconds without a word after which a worker hangs: longer than one hook of a plugin may hold its
# loop. Before it serves it may load all of them.
SILENCE = 20
STARTING = 90
_TICK = 1.0
_log = structlog.get_logger("scailookup")


class Worker:
    """A process of ours, killed when it hangs. ``state`` is the last that it said of itself."""

    def __init__(self, number: int, process: asyncio.subprocess.Process, channel: Channel) -> None:
        self.number = number
        self.pid = process.pid
        self.up = asyncio.Event()
        self.state: State | None = None
        self._process = process
        self._channel = channel
        self._serial = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._heard = 0
        self._reading = asyncio.ensure_future(self._read())
        self._watching = asyncio.ensure_future(self._watch())

    @classmethod
    async def begin(cls, number: int, settings: Settings, public: list[socket.socket]) -> Worker:
        """Start the process and have it serve on ``public``; raises OSError when there is no room for it."""
        ours, theirs = socket.socketpair()
        channel = await Channel.over(ours)
        try:
            with theirs:
                passed = [sock.fileno() for sock in public]
                process = await asyncio.create_subprocess_exec(
                    *command(number, theirs.fileno(), passed),
                    pass_fds=(theirs.fileno(), *passed),
                    stdin=asyncio.subprocess.DEVNULL,
                    env=dict(os.environ),
                )
        except OSError:
            channel.close()
            raise
        worker = cls(number, process, channel)
        worker._channel.send(Order(0, "start", settings))
        return worker

    async def ask(self, what: Any, settings: Settings | None = None) -> Any:
        """What the worker answers to an order: Done or State; None when it has ended."""
        number = next(self._serial)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        if self._reading.done():
            return None
        self._channel.send(Order(number, what, settings))
        return await answer

    def drain(self) -> None:
        """Tell it to end calmly."""
        self._channel.send(Order(0, "drain"))

    def kill(self) -> None:
        """End it at once."""
        if self._process.returncode is None:
            self._process.kill()

    async def ended(self) -> int:
        """Wait for its end; the exit status, negative for a signal. ``state`` is its last afterwards."""
        status = await self._process.wait()
        self._watching.cancel()
        await self._reading
        self._channel.close()
        return status

    async def _read(self) -> None:
        while (message := await self._channel.receive()) is not None:
            self._heard += 1
            if isinstance(message, Alive):
                continue
            if isinstance(message, Up):
                self.up.set()
                continue
            if isinstance(message, State):
                self.state = message
            assert isinstance(message, State | Done)
            answer = self._waiting.pop(message.number, None)
            if answer is not None and not answer.done():
                answer.set_result(message)
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_result(None)

    async def _watch(self) -> None:
        """Kill it once it has been silent too long."""
        silent = 0
        # Looks are counted, not the clock: when we were stopped ourselves, nobody is to blame.
        while silent < (SILENCE if self.up.is_set() else STARTING):
            before = self._heard
            await asyncio.sleep(_TICK)
            silent = 0 if self._heard != before else silent + 1
        _log.error("worker_silent", worker=self.number, pid=self.pid, seconds=silent)
        self.kill()
