"""A client's byte stream, where requests are turned away unread and clients that do not read are seen."""

from __future__ import annotations

import socket
from collections.abc import Callable
from time import monotonic
from typing import Any

from tornado.iostream import IOStream

from scailookup.web.front import Front
from scailookup.web.refusal import refuse

__all__ = ["PACE", "Stream"]

# A client that takes fewer bytes of its answer than this, for as long as is allowed, does not read.
PACE = 16 * 1024


class Stream(IOStream):
    """One connection of a listener; ``closed`` is told of its end.

    ``heard`` is when bytes came last, ``refused`` when a request was last turned away here. ``over``
    says that the request being read is one too many, in a form that only the ordinary road can answer.
    """

    # Beyond 30 names an object's dict is no longer a compact one: Tornado's own are 28.
    __slots__ = ("_counted", "_front", "_moved", "_taken", "_tell", "heard", "over", "refused")

    def __init__(self, connection: socket.socket, front: Front, closed: Callable[[Stream], None]) -> None:
        self._front = front
        self._tell = closed
        self.heard = self._moved = monotonic()
        self._taken = 0
        self.refused = 0.0
        self.over = self._counted = False
        super().__init__(connection)

    def read_from_fd(self, buf: Any) -> int | None:
        """Tornado's call when bytes have come: how many were read; None when there is nothing for it."""
        try:
            count = self.socket.recv_into(buf)
        except BlockingIOError:
            return None
        self.heard = monotonic()
        if self._front.overload.pressed and self._turned_away(buf, count):
            return None
        return count

    def close_fd(self) -> None:
        """Tornado's call when the stream is closed."""
        self._tell(self)
        super().close_fd()

    @property
    def idle(self) -> bool:
        """Whether the client has the word."""
        return self.reading() and not self.writing()

    @property
    def pending(self) -> int:
        """Bytes of answers that the client has not taken yet."""
        return self._total_write_index - self._total_write_done_index

    def stuck(self, seconds: float) -> bool:
        """Whether the client has hardly read for so long. To be asked again and again."""
        now, taken = monotonic(), self._total_write_done_index
        if not self.writing() or taken - self._taken >= PACE:
            self._taken, self._moved = taken, now
        return now - self._moved >= seconds

    def one_too_many(self) -> bool:
        """Whether the head that was just found is. One that came together with others is counted now."""
        if not self._counted:
            self.over = not self._front.overload.lets_in()
        self._counted = False
        return self.over

    def _turned_away(self, buf: Any, count: int) -> bool:
        """Answer a request that is one too many; only a whole head with nothing before it is looked at."""
        overload, web = self._front.overload, self._front.web
        # Tornado reads heads by a pattern. Bytes of a body must never be taken for a request.
        if self._read_regex is None or self._read_buffer_size or not count:
            return False
        self.over = not overload.lets_in()
        self._counted = True
        if not self.over:
            return False
        head = bytes(buf[:count])
        refusal = refuse(head, web)
        if refusal is None or self._front.always(head):
            return False
        self._counted = False
        self.refused = self.heard
        overload.turn_away()
        web.metrics.requested("none", 503, "none", 0.0)
        try:
            sent = self.socket.send(refusal.answer)
        except OSError:
            sent = 0
        if refusal.last or sent < len(refusal.answer):
            self.close()
        return True
