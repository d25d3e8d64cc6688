"""Far more callers than a steady load has, from one thread: each asks again as soon as it is answered."""

from __future__ import annotations

import contextlib
import re
import selectors
import socket
import threading
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

from harness import GUARD

from .load import until

__all__ = ["Flood", "connect", "wire"]


def wire(path: str, token: str) -> bytes:
    """A request as it is sent."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


def connect(port: int, *, window: int | None = None) -> socket.socket:
    """A connection; ``window`` bounds what it takes without being read (bytes)."""
    line = socket.socket()
    if window is not None:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    line.settimeout(GUARD)
    line.connect(("127.0.0.1", port))
    return line


class Flood:
    """A context: each of ``requests`` is asked on a connection of its own, and ``again`` once answered.

    ``seen`` counts statuses.
    """

    def __init__(self, port: int, requests: Sequence[bytes], *, again: bool = True) -> None:
        self._port, self._requests, self._again = port, requests, again
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.seen: Counter[int] = Counter()

    def __enter__(self) -> Flood:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(GUARD)

    def more(self, status: int, count: int) -> None:
        """Wait until so many more answers with this status have come."""
        wanted = self.seen[status] + count
        until(lambda: self.seen[status] >= wanted)

    def _run(self) -> None:
        with selectors.DefaultSelector() as ready, contextlib.ExitStack() as lines:
            for request in self._requests:
                line = lines.enter_context(connect(self._port))
                line.sendall(request)
                ready.register(line, selectors.EVENT_READ, (bytearray(), request))
            while not self._stop.is_set():
                for key, _ in ready.select(1):
                    assert isinstance(key.fileobj, socket.socket)
                    self._read(key.fileobj, *key.data)

    def _read(self, line: socket.socket, answer: bytearray, request: bytes) -> None:
        data = line.recv(1 << 20)
        assert data, "a connection of the flood was closed"
        answer += data
        head = answer.find(b"\r\n\r\n")
        length = re.search(rb"\r\nContent-Length: (\d+)", answer[: head + 2])
        if head > 0 and length and len(answer) == head + 4 + int(length[1]):
            self.seen[int(answer[9:12])] += 1
            answer.clear()
            if self._again:
                line.sendall(request)
