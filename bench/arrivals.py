"""Requests that come when they come, whether or not the ones before were answered: an open loop.

Thrifty by design: one thread, one epoll, no event loop between, so that one core can offer more than
the server's can answer.
"""

from __future__ import annotations

import gc
import itertools
import select
import socket
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter

from bench.processes import BenchError

__all__ = ["PATIENCE", "Arrivals", "Second"]

# An answer that took longer is of no use to whoever waits before a picker.
PATIENCE = 1.0
_LAST_WORD = 3.0
_READ = 256 * 1024


@dataclass(slots=True)
class Second:
    """What became of the requests that were due in one second. Waits (seconds) count from then on."""

    fates: Counter[str] = field(default_factory=Counter)
    good: list[float] = field(default_factory=list)
    shed: list[float] = field(default_factory=list)


class _Line:
    """One connection: what is asked on it, since when, and how much of the answer is still to come."""

    __slots__ = ("due", "fd", "left", "second", "socket", "status")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.fd = self.socket.fileno()
        self.left = 0
        self.due = 0.0
        self.status = ""


class Arrivals:
    """Open connections to ``port``, over which ``offer`` sends ``wires`` in turn. A context.

    A connection that the server closes is opened again when it is needed.
    """

    def __init__(self, port: int, wires: Sequence[bytes], connections: int) -> None:
        self._port, self._wires = port, itertools.cycle(wires)
        self._poll = select.epoll()
        self._lines: dict[int, _Line] = {}
        self._free: deque[_Line] = deque()
        self._most = connections

    def __enter__(self) -> Arrivals:
        for _ in range(self._most):
            self._free.append(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        for line in list(self._lines.values()):
            line.socket.close()
        self._poll.close()

    def offer(self, rate: float, seconds: float) -> list[Second]:
        """Send ``rate`` requests a second; one entry for each second of them."""
        done = [Second() for _ in range(int(seconds))]
        total, sent, begun = int(rate * int(seconds)), 0, perf_counter()
        gc.disable()
        try:
            while True:
                now = perf_counter() - begun
                due = min(total, int(now * rate) + 1)
                while sent < due:
                    self._send(sent / rate, done[int(sent / rate)], begun)
                    sent += 1
                if sent == total and (len(self._free) == len(self._lines) or now > seconds + _LAST_WORD):
                    break
                pause = max(0.0, sent / rate - (perf_counter() - begun)) if sent < total else 0.05
                for fd, _ in self._poll.poll(pause, 512):
                    self._read(self._lines[fd], begun)
        finally:
            gc.enable()
        for line in set(self._lines.values()) - set(self._free):
            line.second.fates["unanswered"] += 1
            self._drop(line)
        return done

    def _open(self) -> _Line:
        line = _Line(self._port)
        self._lines[line.fd] = line
        self._poll.register(line.fd, select.EPOLLIN)
        return line

    def _drop(self, line: _Line) -> None:
        del self._lines[line.fd]
        line.socket.close()

    def _send(self, due: float, second: Second, begun: float) -> None:
        if self._free:
            line = self._free.popleft()
        elif len(self._lines) < self._most:
            try:
                line = self._open()
            except OSError:
                second.fates["refused"] += 1
                return
        else:
            second.fates["unsent"] += 1
            return
        line.due, line.second, line.left = begun + due, second, 0
        try:
            line.socket.send(next(self._wires))
        except OSError:
            second.fates["broken"] += 1
            self._drop(line)

    def _read(self, line: _Line, begun: float) -> None:
        try:
            data = line.socket.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            if line in self._free:
                self._free.remove(line)
            else:
                line.second.fates["broken"] += 1
            self._drop(line)
            return
        if line.left == 0:
            head = data.find(b"\r\n\r\n")
            at = data.find(b"Content-Length: ", 0, head)
            if head < 0:
                raise BenchError("an answer's head came in pieces")
            line.status = data[9:12].decode()
            length = int(data[at + 16 : data.find(b"\r", at)]) if at > 0 else 0
            line.left = length - (len(data) - head - 4)
        else:
            line.left -= len(data)
        if line.left == 0:
            self._ended(line)

    def _ended(self, line: _Line) -> None:
        wait, second = perf_counter() - line.due, line.second
        if line.status in ("200", "304"):
            second.fates["good" if wait <= PATIENCE else "late"] += 1
            second.good.append(wait)
        else:
            second.fates[line.status] += 1
            second.shed.append(wait)
        self._free.append(line)
