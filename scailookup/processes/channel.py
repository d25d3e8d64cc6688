"""Messages between the supervisor and one worker, over a pair of sockets of their own.

Pickled, since settings travel in them: both ends are this program, and nobody else can
reach the sockets. The channel is the life line too: it ends when the other side does.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
import struct
from dataclasses import dataclass
from typing import Any, Literal

from scailookup.metrics import Snapshot
from scailookup.model import Failure
from scailookup.settings import Settings

__all__ = ["Alive", "Channel", "Done", "Order", "State", "Up"]

_LENGTH = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class Order:
    """What the supervisor wants; ``number`` comes back with the answer; to ``drain`` there is none."""

    number: int
    what: Literal["start", "prepare", "commit", "abandon", "state", "drain"]
    settings: Settings | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """An order was carried out, or refused for a reason."""

    number: int
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Up:
    """The worker serves."""


@dataclass(frozen=True, slots=True)
class Alive:
    """The worker's loop goes round. Said unasked, every second."""


@dataclass(frozen=True, slots=True)
class State:
    """How a worker stands: its figures, why it is not ready (error, message), and plugins that failed."""

    number: int
    figures: Snapshot
    unready: str | None
    failed: tuple[Failure, ...]


class Channel:
    """One end of the pair."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, sock: socket.socket) -> Channel:
        """The channel over a connected socket, which it then owns."""
        return cls(*await asyncio.open_unix_connection(sock=sock))

    def send(self, message: Any) -> None:
        """Send one message; without effect when the other side has ended."""
        if not self._writer.is_closing():
            data = pickle.dumps(message)
            self._writer.write(_LENGTH.pack(len(data)) + data)

    async def flush(self) -> None:
        """Return when everything has left, or cannot."""
        try:
            await self._writer.drain()
        except OSError:
            return

    async def receive(self) -> Any:
        """The next message; None when the other side has ended."""
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            return pickle.loads(await self._reader.readexactly(length))  # noqa: S301 - from our own child or parent
        except (asyncio.IncompleteReadError, OSError):
            return None

    def close(self) -> None:
        """End it."""
        self._writer.close()
